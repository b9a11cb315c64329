//! A response body in memory: for HTTP servers that pull the body, and for tests.
//!
//! Most blocking servers take a response's body as something to [`Read`] and call it from a thread
//! of their own. [`channel`] is a bounded pipe between the two: an [`Emitter`](crate::Emitter) on the
//! [`BodyWriter`], the server on the [`Body`].
//!
//! A server that collects what it reads before it sends holds events back: see
//! [`Body::with_padding`].

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::sync::ignore_poison;

/// A pipe that holds at most `capacity` bytes, and at least one: what goes into the writer comes out
/// of the body.
///
/// Its memory grows as it is used, by doubling, up to the capacity or a little less than twice that;
/// nothing is allocated afterwards. Where one thread has both ends, a write into a full pipe waits for
/// ever.
///
/// ```
/// use std::io::BufReader;
/// use sse_io::{Emitter, Event, Reader, body};
///
/// let (writer, body) = body::channel(16 << 10);
/// let emitter = Emitter::new(writer);
/// std::thread::spawn(move || emitter.emit(&Event::new("hello").with_id("1")));
///
/// let mut reader = Reader::new(BufReader::new(body));
/// assert_eq!(reader.read_event()?.unwrap().data, "hello");
/// assert_eq!(reader.read_event()?, None); // the emitter is gone
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn channel(capacity: usize) -> (BodyWriter, Body) {
    let pipe = Arc::new(Pipe {
        state: Mutex::default(),
        changed: Condvar::new(),
        capacity: capacity.max(1),
    });
    let writer = BodyWriter {
        pipe: Arc::clone(&pipe),
        timeout: None,
    };
    let body = Body {
        pipe,
        block: 0,
        total: 0,
        padding: 0,
    };
    (writer, body)
}

/// The end of a [`channel`] that is written to.
///
/// A write takes what fits into the pipe, and waits while nothing fits. What it took can be read at
/// once. Flushing never waits: it marks the end of a block for [`Body::with_padding`], and does
/// nothing else.
///
/// Dropping it ends the body behind what was written, whether its thread is done or has panicked.
///
/// # Errors
///
/// Writing and flushing fail with [`BrokenPipe`](io::ErrorKind::BrokenPipe) once the body is
/// dropped, and a write with [`TimedOut`](io::ErrorKind::TimedOut) as
/// [`with_timeout`](BodyWriter::with_timeout) has it.
///
/// ```
/// use std::io::{self, Write};
/// use sse_io::body;
///
/// let (mut writer, body) = body::channel(4);
/// assert_eq!(writer.write(b"abcdef")?, 4);
/// drop(body);
/// assert_eq!(writer.write(b"ef").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
/// # Ok::<(), io::Error>(())
/// ```
pub struct BodyWriter {
    pipe: Arc<Pipe>,
    timeout: Option<Duration>,
}

/// The end of a [`channel`] that is read from: a response's body.
///
/// A read waits until there are bytes, and never fails. The end comes when the writer is dropped and
/// everything is read.
///
/// Dropping it makes the writer fail, at once where it waits: this is how the server tells that the
/// client is gone.
///
/// ```
/// use std::io::{Read, Write};
/// use sse_io::body;
///
/// let (mut writer, mut body) = body::channel(1024);
/// writer.write_all(b"data: a\n\n")?;
/// drop(writer);
/// let mut text = String::new();
/// body.read_to_string(&mut text)?;
/// assert_eq!(text, "data: a\n\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Body {
    pipe: Arc<Pipe>,
    /// What the body is padded to; below 2 it is not.
    block: u64,
    /// How many bytes were given out, padding included.
    total: u64,
    /// What is left to give out of a comment that pads, its line break included.
    padding: u64,
}

/// What the two ends share. At most one of them waits: the writer while the pipe is full, or the
/// body while it is empty.
struct Pipe {
    state: Mutex<Contents>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct Contents {
    bytes: VecDeque<u8>,
    /// How many of the bytes the last flush covers, until the body has come to its end.
    flushed: Option<usize>,
    writer_gone: bool,
    body_gone: bool,
}

impl BodyWriter {
    /// Sets how long a write may wait for room before it fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut). Default: for ever.
    ///
    /// As with a socket, the time counts from the last byte that found room: a body that is read at
    /// all, however slowly, does not time out. A write that fails has taken nothing; an
    /// [`Emitter`](crate::Emitter) ends its stream then, as the first part of the frame may be gone.
    ///
    /// ```
    /// use std::io;
    /// use std::time::Duration;
    /// use sse_io::{Emitter, Event, body};
    ///
    /// let (writer, _body) = body::channel(8);
    /// let emitter = Emitter::new(writer.with_timeout(Duration::from_millis(1)));
    /// let error = emitter.emit(&Event::new("nobody reads this")).unwrap_err();
    /// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    /// assert!(emitter.is_closed());
    /// ```
    #[must_use = "the setter returns the writer"]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut state = self.pipe.wait_for_room(self.timeout)?;
        let room = self.pipe.capacity - state.bytes.len();
        let taken = bytes.len().min(room);
        state.bytes.extend(&bytes[..taken]);
        drop(state);
        self.pipe.changed.notify_all();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.pipe.lock();
        if state.body_gone {
            return Err(body_gone());
        }
        state.flushed = Some(state.bytes.len());
        drop(state);
        self.pipe.changed.notify_all();
        Ok(())
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        self.pipe.lock().writer_gone = true;
        self.pipe.changed.notify_all();
    }
}

impl Body {
    /// Pads the body where the writer flushes, so that a server which sends whole blocks of so many
    /// bytes holds no event back. Default: no padding, and so with 0 and 1.
    ///
    /// The padding is a comment of spaces, which clients ignore. It brings the total of the body's
    /// bytes to 1 (mod `block`): then all but its own line break fills whole blocks, and one byte
    /// more makes the server send them. (To send the same number of bytes behind each event does not
    /// do: the total drifts.) It comes between two flushes and so never inside a frame. Flushes that
    /// the reader has not come to yet are padded together, at the last of them.
    ///
    /// This costs up to `block` + 1 bytes for each event. The response's head may be held back as
    /// well: a comment sent first of all brings it out.
    ///
    /// For `tiny_http` and what is built on it the block is 8192, and the response must be chunked:
    /// they collect the whole of a body before they answer a request of HTTP/1.0.
    ///
    /// ```
    /// use std::io::Read;
    /// use sse_io::{Emitter, Event, body};
    ///
    /// let (writer, body) = body::channel(1024);
    /// Emitter::new(writer).emit(&Event::new("a"))?;
    /// let mut text = String::new();
    /// body.with_padding(16).read_to_string(&mut text)?;
    /// assert_eq!(text, "data: a\n\n:      \n");
    /// assert_eq!(text.len() % 16, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "the setter returns the body"]
    pub fn with_padding(mut self, block: usize) -> Self {
        self.block = block as u64;
        self
    }

    /// Takes bytes out of the pipe, up to the end of the last flush; `None` when that is just where
    /// the body is.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut state = self.pipe.wait_for_bytes();
        let mut count = buffer.len().min(state.bytes.len());
        if let Some(flushed) = state.flushed {
            if flushed == 0 {
                state.flushed = None;
                return Ok(None);
            }
            count = count.min(flushed);
            state.flushed = Some(flushed - count);
        }
        state.bytes.read_exact(&mut buffer[..count])?;
        drop(state);
        self.pipe.changed.notify_all();
        Ok(Some(count))
    }

    /// Gives out what it can of the comment that pads.
    fn pad(&mut self, buffer: &mut [u8], first: bool) -> usize {
        let count = usize::try_from(self.padding)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        buffer[..count].fill(b' ');
        if first {
            buffer[0] = b':';
        }
        self.padding -= count as u64;
        if self.padding == 0 {
            buffer[count - 1] = b'\n';
        }
        count
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut first = false;
        let count = loop {
            if self.padding > 0 {
                break self.pad(buffer, first);
            }
            if let Some(count) = self.receive(buffer)? {
                break count;
            }
            self.padding = padding(self.total, self.block);
            first = true;
        };
        self.total += count as u64;
        Ok(count)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut state = self.pipe.lock();
        state.body_gone = true;
        // Nobody will read it, and the writer may live on for long.
        state.bytes = VecDeque::new();
        drop(state);
        self.pipe.changed.notify_all();
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        ignore_poison(self.state.lock())
    }

    /// Waits until there is room for a byte.
    fn wait_for_room(&self, timeout: Option<Duration>) -> io::Result<MutexGuard<'_, Contents>> {
        let mut state = self.lock();
        // The clock is only asked where there is something to wait for.
        let mut deadline = None;
        loop {
            if state.body_gone {
                return Err(body_gone());
            }
            if state.bytes.len() < self.capacity {
                return Ok(state);
            }
            let now = Instant::now();
            // One that lies beyond what the clock can tell is none.
            let end = *deadline.get_or_insert_with(|| now.checked_add(timeout?));
            state = match end {
                None => ignore_poison(self.changed.wait(state)),
                Some(end) if now < end => {
                    ignore_poison(self.changed.wait_timeout(state, end - now)).0
                }
                Some(_) => return Err(timed_out()),
            };
        }
    }

    /// Waits until there are bytes, a flush that the body has not come by, or the end.
    fn wait_for_bytes(&self) -> MutexGuard<'_, Contents> {
        let mut state = self.lock();
        while state.bytes.is_empty() && state.flushed.is_none() && !state.writer_gone {
            state = ignore_poison(self.changed.wait(state));
        }
        state
    }
}

/// How many bytes bring a body of `total` bytes to 1 (mod `block`). An empty one has nothing to push
/// out.
fn padding(total: u64, block: u64) -> u64 {
    if total == 0 || block < 2 {
        return 0;
    }
    match total % block {
        1 => 0,
        // One byte is missing, and the shortest comment has two.
        0 => block + 1,
        past => block - past + 1,
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter")
            .field("capacity", &self.pipe.capacity)
            .field("waiting", &self.pipe.lock().bytes.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("capacity", &self.pipe.capacity)
            .field("waiting", &self.pipe.lock().bytes.len())
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}

fn body_gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "the reader of the body has dropped it",
    )
}

fn timed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "nobody has read the body within the time-out",
    )
}

//! The writer: one frame, one write. Framing (plain or chunked) is settled here, out of sight.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use crate::buffer;
use crate::encode::{self, InvalidField, Lines};
use crate::event::Event;

/// Room in front of a frame for the size line of a chunk: 16 hexadecimal digits and CRLF.
const ROOM: usize = 18;

/// Writes events to any [`Write`].
///
/// Each frame (an event, a comment, an id or a reconnection time, with its blank line) is encoded into
/// a buffer that is reused, and reaches the inner writer in **one** `write_all`: nothing is allocated
/// once the buffer has grown, and nothing is written when a field is refused. A buffer blown up past
/// 128 KiB by a huge event is given back after it.
///
/// `write_*` do not flush; they block as long as the inner writer does. For a live stream call
/// [`flush`](Writer::flush) after each, or use an [`Emitter`](crate::Emitter), which does and can be
/// shared between threads.
///
/// After a failed write or flush the stream may hold half a frame, so every later write is refused
/// with [`BrokenPipe`](io::ErrorKind::BrokenPipe).
///
/// ```
/// use sse_io::{Event, Writer};
///
/// let mut writer = Writer::new(Vec::new());
/// writer.write_comment("hello")?;
/// writer.write_event(&Event::new("a\nb").with_name("tick"))?;
/// assert_eq!(writer.get_ref(), b": hello\n\nevent: tick\ndata: a\ndata: b\n\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    framing: Framing,
    frame: FrameBuffer,
    /// A write has failed, or is under way.
    broken: bool,
}

/// How frames are packed on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As they are.
    Plain,
    /// Each as one chunk of HTTP/1.1 (RFC 9112, 7.1).
    Chunked,
}

impl Framing {
    /// What comes behind the last frame of a stream that is complete.
    pub(crate) fn last(self) -> &'static [u8] {
        match self {
            Framing::Plain => b"",
            Framing::Chunked => b"0\r\n\r\n",
        }
    }
}

impl<W: Write> Writer<W> {
    /// A writer of a bare event stream. Writes nothing yet.
    ///
    /// ```
    /// # use sse_io::{Event, Writer};
    /// let mut writer = Writer::new(Vec::new());
    /// writer.write_event(&Event::new("hello"))?;
    /// assert_eq!(writer.get_ref(), b"data: hello\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(inner: W) -> Self {
        Writer::with_framing(inner, Framing::Plain)
    }

    pub(crate) fn with_framing(inner: W, framing: Framing) -> Self {
        Writer {
            inner,
            framing,
            frame: FrameBuffer::default(),
            broken: false,
        }
    }

    /// Writes one event and returns the length of its wire form in bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) with an [`InvalidField`] inside when a field
    /// cannot be sent: nothing is written and the writer stays usable. Otherwise what the inner
    /// writer fails with, and `BrokenPipe` from then on.
    ///
    /// ```
    /// # use sse_io::{Event, Writer};
    /// let mut writer = Writer::new(Vec::new());
    /// assert_eq!(writer.write_event(&Event::new("hello").with_id("1"))?, 19);
    /// assert!(writer.write_event(&Event::new("x").with_name("two\nlines")).is_err());
    /// assert_eq!(writer.into_inner(), b"id: 1\ndata: hello\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_event(&mut self, event: &Event<'_>) -> io::Result<usize> {
        self.write(|frame| frame.event(event))
    }

    /// Writes one event whose data the closure streams into the frame, after what `event.data`
    /// holds (it continues that text's last line), and returns the length of the wire form in bytes.
    ///
    /// Nothing is written until the closure is done. Line breaks in what it writes start new data
    /// lines, as they do in `event.data`.
    ///
    /// # Errors
    ///
    /// The closure's own error, or [`InvalidData`](io::ErrorKind::InvalidData) when what it wrote is
    /// not UTF-8; in both cases the frame is dropped, nothing is written and the writer stays
    /// usable. Otherwise as [`write_event`](Writer::write_event).
    ///
    /// ```
    /// use sse_io::{Event, Writer};
    ///
    /// let mut writer = Writer::new(Vec::new());
    /// writer.write_event_with(&Event::new("").with_id("1"), |data| write!(data, "{}\n{}", 1, 2))?;
    /// assert_eq!(writer.get_ref(), b"id: 1\ndata: 1\ndata: 2\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "json")]
    pub fn write_event_with<F>(&mut self, event: &Event<'_>, data: F) -> io::Result<usize>
    where
        F: FnOnce(&mut DataWriter<'_>) -> io::Result<()>,
    {
        self.write(|frame| frame.event_with(event, data))
    }

    /// Writes a comment, which clients ignore: one `:` line for each line of the text, then a blank
    /// line. Returns the number of bytes.
    ///
    /// # Errors
    ///
    /// What the inner writer fails with, and `BrokenPipe` from then on.
    ///
    /// ```
    /// # use sse_io::Writer;
    /// let mut writer = Writer::new(Vec::new());
    /// writer.write_comment("")?;
    /// writer.write_comment("a\rdata: not an event")?;
    /// assert_eq!(writer.get_ref(), b":\n\n: a\n: data: not an event\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_comment(&mut self, text: &str) -> io::Result<usize> {
        self.write(|frame| {
            frame.comment(text);
            Ok(())
        })
    }

    /// Sets the client's last event ID without sending an event (HTML standard, 9.2.6): a client that
    /// comes back asks for what follows this id. The empty id has it ask for nothing. Returns the
    /// number of bytes.
    ///
    /// # Errors
    ///
    /// As [`write_event`](Writer::write_event).
    ///
    /// ```
    /// # use sse_io::Writer;
    /// let mut writer = Writer::new(Vec::new());
    /// writer.write_id("41")?;
    /// assert_eq!(writer.get_ref(), b"id: 41\n\n");
    /// assert!(writer.write_id("4\n2").is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_id(&mut self, id: &str) -> io::Result<usize> {
        self.write(|frame| Ok(frame.id(id)?))
    }

    /// Sets the client's reconnection time without sending an event, in whole milliseconds, rounded
    /// up. Returns the number of bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) with an [`InvalidField`] inside when it exceeds
    /// `u64::MAX` milliseconds. Otherwise as [`write_event`](Writer::write_event).
    ///
    /// ```
    /// # use sse_io::Writer;
    /// # use std::time::Duration;
    /// let mut writer = Writer::new(Vec::new());
    /// writer.write_retry(Duration::from_micros(2_500))?;
    /// assert_eq!(writer.get_ref(), b"retry: 3\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_retry(&mut self, retry: Duration) -> io::Result<usize> {
        self.write(|frame| Ok(frame.retry(retry)?))
    }

    /// Flushes the inner writer. Call it after each frame of a live stream.
    ///
    /// # Errors
    ///
    /// What the inner writer fails with, but for `Interrupted`, which is retried; `BrokenPipe` from
    /// then on, and after a failed write.
    ///
    /// ```
    /// use std::io::BufWriter;
    /// use sse_io::{Event, Writer};
    ///
    /// let mut writer = Writer::new(BufWriter::new(Vec::new()));
    /// writer.write_event(&Event::new("hello"))?;
    /// writer.flush()?;
    /// assert_eq!(writer.get_ref().get_ref(), b"data: hello\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn flush(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(broken_pipe());
        }
        // Set before, so that a panic counts as a failure too.
        self.broken = true;
        flush(&mut self.inner)?;
        self.broken = false;
        Ok(())
    }

    /// The inner writer.
    ///
    /// ```
    /// # use sse_io::Writer;
    /// assert!(Writer::new(Vec::new()).get_ref().is_empty());
    /// ```
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// The inner writer. To write to it directly changes the stream.
    ///
    /// ```
    /// # use sse_io::{Event, Writer};
    /// let mut writer = Writer::new(Vec::new());
    /// writer.write_event(&Event::new("hello"))?;
    /// writer.get_mut().clear();
    /// assert!(writer.into_inner().is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// The inner writer, and how to pack what is sent to it from here on.
    pub(crate) fn into_parts(self) -> (W, Framing) {
        (self.inner, self.framing)
    }

    /// Gives the inner writer back, unflushed.
    ///
    /// ```
    /// # use sse_io::{Event, Writer};
    /// let mut writer = Writer::new(Vec::new());
    /// writer.write_event(&Event::new("hello"))?;
    /// assert_eq!(writer.into_inner(), b"data: hello\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> W {
        self.inner
    }

    fn write(
        &mut self,
        encode: impl FnOnce(&mut FrameBuffer) -> io::Result<()>,
    ) -> io::Result<usize> {
        if self.broken {
            return Err(broken_pipe());
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        let result = encode(&mut frame).and_then(|()| self.send(&mut frame));
        self.frame = frame.recycle();
        result
    }

    /// Writes a frame that was encoded elsewhere, and returns its length.
    pub(crate) fn send(&mut self, frame: &mut FrameBuffer) -> io::Result<usize> {
        if self.broken {
            return Err(broken_pipe());
        }
        // Set before, so that a panic counts as a failure too.
        self.broken = true;
        let length = frame.len();
        self.inner.write_all(frame.wire(self.framing))?;
        self.broken = false;
        Ok(length)
    }

    /// Ends the stream: writes the last chunk where frames are chunks, and flushes. A stream that is
    /// broken gets nothing more.
    pub(crate) fn finish(self) -> W {
        let last = self.framing.last();
        self.end(last)
    }

    /// Ends the stream so that a client which reads chunks knows that it is not complete: what comes
    /// in place of a chunk is none, in its first byte already.
    pub(crate) fn abort(self) -> W {
        self.end(b"stream broken\r\n")
    }

    fn end(mut self, last: &[u8]) -> W {
        if !self.broken {
            // The peer may be gone already, and there is nobody left to tell.
            let _ = match self.framing {
                Framing::Plain => Ok(()),
                Framing::Chunked => self.inner.write_all(last),
            }
            .and_then(|()| flush(&mut self.inner));
        }
        self.inner
    }
}

/// Flushes, and again when interrupted.
pub(crate) fn flush(inner: &mut impl Write) -> io::Result<()> {
    loop {
        match inner.flush() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn broken_pipe() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "an earlier write to the event stream failed",
    )
}

/// A frame being built, with room around it for a chunk's size line and CRLF, so that the chunk is
/// one slice.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    /// [`ROOM`] bytes, then the frame.
    bytes: Vec<u8>,
}

impl FrameBuffer {
    /// Makes it empty.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(ROOM, 0);
    }

    /// The buffer to use for the next frame: this one, unless a huge frame has blown it up.
    #[inline]
    pub(crate) fn recycle(self) -> FrameBuffer {
        if self.bytes.capacity() <= buffer::KEEP {
            self
        } else {
            FrameBuffer::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - ROOM
    }

    /// Gives the buffer back if it is larger than this.
    pub(crate) fn shrink(&mut self, keep: usize) {
        if self.bytes.capacity() > keep {
            *self = FrameBuffer::default();
        }
    }

    /// The frame, as it is without framing.
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[ROOM..]
    }

    /// Appends what was encoded before: several frames are then written as one.
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    #[inline]
    pub(crate) fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        encode::event(event, &mut self.bytes)?;
        Ok(())
    }

    pub(crate) fn event_with<F>(&mut self, event: &Event<'_>, data: F) -> io::Result<()>
    where
        F: FnOnce(&mut DataWriter<'_>) -> io::Result<()>,
    {
        let mut lines = encode::begin_event(event, &mut self.bytes)?;
        let start = self.bytes.len();
        lines.push(event.data.as_bytes(), &mut self.bytes);
        data(&mut DataWriter {
            lines: &mut lines,
            out: &mut self.bytes,
        })?;
        // What the lines have between them is ASCII: they are UTF-8 together or not at all.
        if let Err(error) = std::str::from_utf8(&self.bytes[start..]) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        lines.end(&mut self.bytes);
        Ok(())
    }

    pub(crate) fn comment(&mut self, text: &str) {
        encode::comment(text, &mut self.bytes);
    }

    pub(crate) fn id(&mut self, id: &str) -> Result<(), InvalidField> {
        encode::id(id, &mut self.bytes)
    }

    pub(crate) fn retry(&mut self, retry: Duration) -> Result<(), InvalidField> {
        encode::retry(retry, &mut self.bytes)
    }

    /// The bytes for the wire. The frame is used up.
    #[inline]
    pub(crate) fn wire(&mut self, framing: Framing) -> &[u8] {
        match framing {
            Framing::Plain => &self.bytes[ROOM..],
            Framing::Chunked => self.chunk(),
        }
    }

    fn chunk(&mut self) -> &[u8] {
        let mut size = self.len();
        let mut start = ROOM - 2;
        self.bytes[start..ROOM].copy_from_slice(b"\r\n");
        while size > 0 {
            start -= 1;
            self.bytes[start] = b"0123456789abcdef"[size % 16];
            size /= 16;
        }
        self.bytes.extend_from_slice(b"\r\n");
        &self.bytes[start..]
    }
}

/// Takes the data of an event in [`write_event_with`](Writer::write_event_with): anything that
/// writes into a [`Write`] writes straight into the frame.
///
/// CRLF, CR and LF start a new data line, also where two writes cut a CRLF apart. Never fails, never
/// blocks.
///
/// ```
/// use std::io::Write;
/// use sse_io::{Event, Writer};
///
/// let mut writer = Writer::new(Vec::new());
/// writer.write_event_with(&Event::default(), |data| {
///     data.write_all(b"one\r")?;
///     data.write_all(b"\ntwo")
/// })?;
/// assert_eq!(writer.get_ref(), b"data: one\ndata: two\n\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct DataWriter<'a> {
    lines: &'a mut Lines,
    out: &'a mut Vec<u8>,
}

impl DataWriter<'_> {
    /// Takes formatted text, so that `write!` works without [`Write`] in scope.
    ///
    /// # Errors
    ///
    /// Only what a formatting implementation returns of its own.
    ///
    /// ```
    /// use sse_io::{Event, Writer};
    ///
    /// let mut writer = Writer::new(Vec::new());
    /// writer.write_event_with(&Event::default(), |data| write!(data, "{} of {}", 3, 5))?;
    /// assert_eq!(writer.get_ref(), b"data: 3 of 5\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
        Write::write_fmt(self, args)
    }
}

impl Write for DataWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.push(bytes, self.out);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.lines.push(bytes, self.out);
        Ok(())
    }

    /// Does nothing: the frame goes out as a whole.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for DataWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataWriter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_a_huge_frame_has_blown_up_is_given_back() {
        let capacity = |size| {
            let bytes = Vec::with_capacity(size);
            FrameBuffer { bytes }.recycle().bytes.capacity()
        };
        assert_eq!(capacity(buffer::KEEP), buffer::KEEP);
        assert_eq!(capacity(buffer::KEEP + 1), 0);
        let shrunk = |keep| {
            let mut buffer = FrameBuffer {
                bytes: Vec::with_capacity(100),
            };
            buffer.shrink(keep);
            buffer.bytes.capacity()
        };
        assert_eq!([shrunk(99), shrunk(100), shrunk(101)], [0, 100, 100]);
    }
}

//! The emitter: a stream that several threads write to, with heartbeats and a proper end.
//!
//! There are two locks. `stream` is held over I/O and is taken first; `control` is held for a
//! few instructions and never over I/O or the user's code. Frames are encoded before either.

mod control;
mod heartbeat;
mod socket;
mod watch;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use self::control::{Control, MarkEnded, RaiseAtClose, closed};
pub use self::heartbeat::{Heartbeat, HeartbeatThread};
pub use self::socket::{Peer, Socket};

use crate::event::Event;
use crate::sync::{Signal, ignore_poison};
use crate::writer::{DataWriter, FrameBuffer, Framing, Writer};

/// A live event stream, shared by any number of threads: each event goes out whole and at once.
///
/// All clones write to one stream. An `Emitter` comes from
/// [`ResponseHead::start`](crate::ResponseHead::start) for an HTTP response, or from
/// [`Emitter::new`] for a bare stream.
///
/// [`emit`](Emitter::emit) encodes the event, takes the lock, writes it in one piece and flushes;
/// it blocks as long as the inner writer does, and nothing is allocated once the buffers have grown.
///
/// **The end.** The stream ends when [`close`](Emitter::close) is called, when the last handle is
/// dropped, or with the first failed write. Ended properly, a chunked response gets its last chunk;
/// after a failed write nothing more is sent. In each case the inner writer is dropped, which closes
/// the connection where it owns it.
///
/// The inner writer must not use its own emitter: it runs under the lock. When a heartbeat is under
/// way as the last handle is dropped, the stream ends on the heartbeat's thread, a moment later;
/// [`HeartbeatThread::join`] waits for that.
///
/// **Stalled peers.** A peer that stops reading blocks the write once the socket's buffers are full.
/// Only that thread is stuck, and those that emit on the same stream. It comes free when the peer
/// goes, when the socket's write time-out strikes (see
/// `http::tune_listener`), or when the socket is shut down.
///
/// ```
/// use sse_io::{Emitter, Event};
///
/// let mut stream = Vec::new();
/// let emitter = Emitter::new(&mut stream);
/// emitter.emit(&Event::new("hello"))?;
/// emitter.comment("still here")?;
/// drop(emitter);
/// assert_eq!(stream, b"data: hello\n\n: still here\n\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "sse")]
pub struct Emitter<W: Write = Box<dyn Write + Send>> {
    stream: Arc<Stream<W>>,
}

/// What the handles share. Dropping the last one ends the stream.
struct Stream<W: Write> {
    /// None once the stream has ended.
    writer: Mutex<Option<Writer<W>>>,
    control: Arc<Control>,
}

impl<W: Write> Emitter<W> {
    /// An emitter of a bare event stream. Writes nothing yet.
    ///
    /// ```
    /// # use sse_io::{Emitter, Event};
    /// let mut stream = Vec::new();
    /// Emitter::new(&mut stream).emit(&Event::new("hello"))?;
    /// assert_eq!(stream, b"data: hello\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(inner: W) -> Self {
        Emitter::with_framing(inner, Framing::Plain)
    }

    pub(crate) fn with_framing(inner: W, framing: Framing) -> Self {
        let writer = Mutex::new(Some(Writer::with_framing(inner, framing)));
        Emitter {
            stream: Arc::new(Stream {
                writer,
                control: Arc::new(Control::new()),
            }),
        }
    }

    /// Sends one event: one write and one flush, under the lock. Returns the length of its wire form
    /// in bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) with an
    /// [`InvalidField`](crate::InvalidField) inside when a field cannot be sent: nothing is written
    /// and the stream goes on. What the inner writer fails with: the stream is closed then. From
    /// there on, and after [`close`](Emitter::close), [`BrokenPipe`](io::ErrorKind::BrokenPipe).
    ///
    /// ```
    /// # use sse_io::{Emitter, Event};
    /// let emitter = Emitter::new(Vec::new());
    /// assert_eq!(emitter.emit(&Event::new("hello"))?, b"data: hello\n\n".len());
    /// emitter.close();
    /// let error = emitter.emit(&Event::new("too late")).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn emit(&self, event: &Event<'_>) -> io::Result<usize> {
        self.send(|frame| frame.event(event))
    }

    /// Sends one event whose data the closure streams into the frame, after what `event.data` holds.
    /// The closure runs before any lock is taken and may use the emitter itself.
    ///
    /// # Errors
    ///
    /// The closure's own error, or [`InvalidData`](io::ErrorKind::InvalidData) when what it wrote is
    /// not UTF-8: nothing is written and the stream goes on. Otherwise as [`emit`](Emitter::emit).
    ///
    /// ```
    /// use sse_io::{Emitter, Event};
    ///
    /// let mut stream = Vec::new();
    /// Emitter::new(&mut stream).emit_with(&Event::new("n = "), |data| write!(data, "{}", 7))?;
    /// assert_eq!(stream, b"data: n = 7\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "json")]
    pub fn emit_with(
        &self,
        event: &Event<'_>,
        data: impl FnOnce(&mut DataWriter<'_>) -> io::Result<()>,
    ) -> io::Result<usize> {
        self.send(|frame| frame.event_with(event, data))
    }

    /// Sends a comment, which clients ignore: one `:` line for each line of the text. Returns the
    /// number of bytes.
    ///
    /// # Errors
    ///
    /// As [`emit`](Emitter::emit).
    ///
    /// ```
    /// # use sse_io::Emitter;
    /// let mut stream = Vec::new();
    /// Emitter::new(&mut stream).comment("one\ntwo")?;
    /// assert_eq!(stream, b": one\n: two\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn comment(&self, text: &str) -> io::Result<usize> {
        self.send(|frame| {
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
    /// As [`emit`](Emitter::emit).
    ///
    /// ```
    /// use sse_io::Emitter;
    ///
    /// let mut stream = Vec::new();
    /// Emitter::new(&mut stream).id("41")?;
    /// assert_eq!(stream, b"id: 41\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn id(&self, id: &str) -> io::Result<usize> {
        self.send(|frame| Ok(frame.id(id)?))
    }

    /// Sets the client's reconnection time without sending an event, in whole milliseconds, rounded
    /// up. A server that is about to restart spreads its clients by giving each another time. Returns
    /// the number of bytes.
    ///
    /// # Errors
    ///
    /// As [`emit`](Emitter::emit); a time of more than `u64::MAX` milliseconds cannot be sent.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::Emitter;
    ///
    /// let mut stream = Vec::new();
    /// Emitter::new(&mut stream).retry(Duration::from_secs(2))?;
    /// assert_eq!(stream, b"retry: 2000\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn retry(&self, retry: Duration) -> io::Result<usize> {
        self.send(|frame| Ok(frame.retry(retry)?))
    }

    /// Ends the stream for every handle. Never waits for another thread's write: if one is under
    /// way, its thread ends the stream when that write comes back. Does nothing when the stream has
    /// ended already.
    ///
    /// Otherwise the stream is ended in this call, and the inner writer dropped: for a chunked
    /// response this writes the last chunk, which may block like any write.
    ///
    /// ```
    /// use sse_io::ResponseHead;
    ///
    /// let mut connection = Vec::new();
    /// let emitter = ResponseHead::new().start(&mut connection)?;
    /// emitter.close();
    /// assert!(emitter.is_closed());
    /// drop(emitter);
    /// assert!(connection.ends_with(b"0\r\n\r\n"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "stop")]
    pub fn close(&self) {
        self.stream.control.close();
        drop(self.stream.finish_if_closed());
    }

    /// Ends the stream for every handle as one that is broken, and not complete: for a gateway whose
    /// upstream has failed, or a producer that cannot go on. Otherwise as [`close`](Emitter::close).
    /// Does nothing when the stream was closed already.
    ///
    /// A chunked response does not get its last chunk but a line that is no chunk, on which the
    /// client's HTTP library fails at once, even where the server keeps the connection open
    /// (`tiny_http` does). Without chunks nothing is written: the stream ends with its connection, and
    /// looks complete unless its events say how they end.
    ///
    /// ```
    /// use sse_io::{Event, ResponseHead};
    ///
    /// let mut connection = Vec::new();
    /// let emitter = ResponseHead::new().start(&mut connection)?;
    /// emitter.emit(&Event::new("a"))?;
    /// emitter.abort();
    /// assert!(emitter.emit(&Event::new("b")).is_err());
    /// drop(emitter);
    /// assert!(connection.ends_with(b"data: a\n\n\r\nstream broken\r\n"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn abort(&self) {
        self.stream.control.abort();
        drop(self.stream.finish_if_closed());
    }

    /// Whether the stream was closed or has failed.
    ///
    /// ```
    /// # use sse_io::Emitter;
    /// let emitter = Emitter::new(Vec::new());
    /// assert!(!emitter.is_closed());
    /// emitter.clone().close();
    /// assert!(emitter.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.stream.control.lock().closed
    }

    /// Waits until the stream is closed or has failed, at most for `timeout`; `None` waits without a
    /// limit. Returns whether it is.
    ///
    /// A peer that went away is noticed by a write, so without events it takes about two heartbeats;
    /// or at once where the socket is [watched](Emitter::watch).
    /// What ends the stream may still be on its way: see [`wait_ended`](Emitter::wait_ended).
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::Emitter;
    ///
    /// let emitter = Emitter::new(Vec::new());
    /// assert!(!emitter.wait_closed(Some(Duration::from_millis(1))));
    /// let other = emitter.clone();
    /// std::thread::spawn(move || other.close());
    /// assert!(emitter.wait_closed(None));
    /// ```
    pub fn wait_closed(&self, timeout: Option<Duration>) -> bool {
        self.stream.control.wait_for(timeout, |state| state.closed)
    }

    /// Waits until the stream has ended: it is closed, its end was sent (or it failed), and nothing
    /// more will be written. At most for `timeout`; `None` waits without a limit. Returns whether it
    /// has.
    ///
    /// For a handler that shuts the socket down itself, and for a program about to exit: another
    /// thread that emits, closes or sends a heartbeat may be sending the last chunk as
    /// [`wait_closed`](Emitter::wait_closed) returns. As long as a peer does not read, a write that it
    /// blocks blocks this as well.
    ///
    /// ```
    /// use sse_io::{Emitter, Event};
    ///
    /// let emitter = Emitter::new(Vec::new());
    /// let producer = emitter.clone();
    /// std::thread::spawn(move || {
    ///     let _ = producer.emit(&Event::new("the last"));
    ///     producer.close();
    /// });
    /// assert!(emitter.wait_ended(None));
    /// ```
    pub fn wait_ended(&self, timeout: Option<Duration>) -> bool {
        self.stream.control.wait_for(timeout, |state| state.ended)
    }

    /// Sends what was encoded before, under the rules of [`emit`](Emitter::emit). `None` when the
    /// stream was closed before anything was written.
    pub(crate) fn send_encoded(&self, frame: &mut FrameBuffer) -> io::Result<Option<usize>> {
        let _last = FinishIfClosed(&self.stream);
        self.stream.send_if_open(frame)
    }

    /// Sends a heartbeat if the stream is open and nothing was written for its interval; with a
    /// position, the client's last event ID is moved there first, in the same write. Returns whether
    /// it was sent.
    pub(crate) fn beat(
        &self,
        heartbeat: &Heartbeat,
        position: Option<&str>,
        frame: &mut FrameBuffer,
    ) -> io::Result<bool> {
        let _last = FinishIfClosed(&self.stream);
        self.stream.beat(heartbeat, position, frame)
    }

    /// Gives the inner writer out, for somebody else to go on with the stream; None when the stream is
    /// closed. For all other handles it is closed then. Waits for a write that is under way.
    ///
    /// Fails where the peer is watched: the watch would end the connection.
    pub(crate) fn hand_over(self) -> io::Result<Option<(W, Framing)>> {
        let control = &self.stream.control;
        if control.is_watched() {
            let message = "the fan-out watches its clients itself";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let _last = FinishIfClosed(&self.stream);
        let mut writer = ignore_poison(self.stream.writer.lock());
        let open = !control.lock().closed;
        let taken = if open { writer.take() } else { None };
        drop(writer);
        if taken.is_some() {
            control.close();
            drop(MarkEnded(control));
        }
        Ok(taken.map(Writer::into_parts))
    }

    /// When a write last ended.
    pub(crate) fn last_write(&self) -> Instant {
        self.stream.control.lock().last_write
    }

    /// Raises the signal when the stream is closed from now on, until the guard is dropped.
    pub(crate) fn raise_at_close(&self, signal: &Arc<Signal>) -> RaiseAtClose<'_> {
        self.stream.control.raise_at_close(signal)
    }

    fn send(&self, encode: impl FnOnce(&mut FrameBuffer) -> io::Result<()>) -> io::Result<usize> {
        let control = &self.stream.control;
        let mut frame = control.open_frame()?;
        let _last = FinishIfClosed(&self.stream);
        let result = encode(&mut frame).and_then(|()| self.stream.send(&mut frame));
        control.put_back(frame);
        result
    }
}

impl<W: Write + Send + 'static> Emitter<W> {
    /// Sends heartbeats on this thread until the stream is closed: one whenever nothing was written
    /// for the interval. A [`Duration`] stands for comments; for events see [`Heartbeat`].
    ///
    /// The handle is given up first: heartbeats never keep a stream open, and the call returns when
    /// the last other handle is dropped.
    ///
    /// # Errors
    ///
    /// What a heartbeat failed with, the way a client that went away is noticed on an idle stream;
    /// the stream is closed then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::{Emitter, Event};
    ///
    /// let emitter = Emitter::new(Vec::new());
    /// let producer = emitter.clone();
    /// let work = std::thread::spawn(move || producer.emit(&Event::new("work done")));
    /// emitter.serve_heartbeats(Duration::from_secs(15))?; // until the work is done
    /// assert!(work.join().unwrap().is_ok());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn serve_heartbeats(self, heartbeat: impl Into<Heartbeat>) -> io::Result<()> {
        let Emitter { stream } = self;
        heartbeat::serve(stream, heartbeat.into())
    }

    /// Sends heartbeats on a thread of their own, named `sse-heartbeat`: one whenever nothing was
    /// written for the interval, so that a busy stream costs nothing. A [`Duration`] stands for
    /// comments; for events see [`Heartbeat`].
    ///
    /// Dropping the guard stops them. They never keep a stream open: the thread ends with the
    /// stream, be it closed, failed, or dropped with its last handle.
    ///
    /// # Errors
    ///
    /// What the system answers when it has no thread to give.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::Emitter;
    ///
    /// let emitter = Emitter::new(Vec::new());
    /// let heartbeats = emitter.spawn_heartbeats(Duration::from_secs(15))?;
    /// emitter.close();
    /// assert!(heartbeats.join().is_ok()); // the thread has ended with the stream
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "keep alive")]
    pub fn spawn_heartbeats(&self, heartbeat: impl Into<Heartbeat>) -> io::Result<HeartbeatThread> {
        heartbeat::spawn(&self.stream, heartbeat.into())
    }
}

impl<W: Socket + 'static> Emitter<W> {
    /// Closes the stream as soon as the client hangs up, and sends heartbeats meanwhile: on a thread of
    /// its own, named `sse-watch`, in place of [`spawn_heartbeats`](Emitter::spawn_heartbeats). A
    /// handler in [`wait_closed`](Emitter::wait_closed) returns at once then, where it would take the
    /// second write to notice otherwise.
    ///
    /// The thread waits in a read of the socket and ends with the stream, which it does not keep open.
    /// It has a handle to the socket of its own, one more file descriptor. What the client still sends
    /// is read and thrown away, and with the end of the stream nothing more is received: the connection
    /// carries no further request, so say `Connection: close` in the head. The socket is set to block, and
    /// its read time-out is changed.
    ///
    /// A client that shuts down its side for writing and still reads (`nc -N` does, no browser) has hung
    /// up as well, as TCP cannot tell the two apart. Servers that keep the socket to themselves
    /// (`tiny_http`, and rouille's upgrades) leave heartbeats and the second write.
    ///
    /// # Errors
    ///
    /// What the system answers when it has no file descriptor or no thread to give: nothing is watched
    /// then, and the stream goes on.
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    /// use sse_io::Emitter;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?)?;
    /// let emitter = Emitter::new(listener.accept()?.0);
    /// emitter.watch(Duration::from_secs(15))?;
    /// drop(client);
    /// assert!(emitter.wait_closed(None));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watch(&self, heartbeat: impl Into<Heartbeat>) -> io::Result<()> {
        watch::spawn(&self.stream, heartbeat.into())
    }
}

impl<W: Write> Clone for Emitter<W> {
    /// Another handle to the same stream.
    fn clone(&self) -> Self {
        Emitter {
            stream: Arc::clone(&self.stream),
        }
    }
}

impl<W: Write> fmt::Debug for Emitter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl<W: Write> Stream<W> {
    /// Writes and flushes one frame, unless the stream is closed.
    fn send(&self, frame: &mut FrameBuffer) -> io::Result<usize> {
        self.send_if_open(frame)?.ok_or_else(closed)
    }

    /// Writes and flushes one frame; `None` when the stream is closed.
    fn send_if_open(&self, frame: &mut FrameBuffer) -> io::Result<Option<usize>> {
        let mut writer = ignore_poison(self.writer.lock());
        match writer.as_mut() {
            Some(writer) if !self.control.lock().closed => self.write(writer, frame).map(Some),
            _ => Ok(None),
        }
    }

    /// Writes and flushes one frame; a failure closes the stream, and so does a panic.
    fn write(&self, writer: &mut Writer<W>, frame: &mut FrameBuffer) -> io::Result<usize> {
        let unsent = CloseOnDrop(&self.control);
        let length = writer.send(frame)?;
        writer.flush()?;
        std::mem::forget(unsent);
        self.control.lock().last_write = Instant::now();
        Ok(length)
    }

    /// Sends a heartbeat if the stream is open and still idle now; returns whether it did.
    fn beat(
        &self,
        heartbeat: &Heartbeat,
        position: Option<&str>,
        frame: &mut FrameBuffer,
    ) -> io::Result<bool> {
        let Some(mut writer) = self.try_lock() else {
            // Somebody writes at this moment: the stream is anything but idle.
            self.control.lock().last_write = Instant::now();
            return Ok(false);
        };
        let state = self.control.lock();
        let due = !state.closed && state.last_write.elapsed() >= heartbeat.interval();
        drop(state);
        let (true, Some(writer)) = (due, writer.as_mut()) else {
            return Ok(false);
        };
        frame.clear();
        if let Some(id) = position {
            frame.id(id)?;
        }
        heartbeat.encode(frame);
        self.write(writer, frame).map(|_| true)
    }

    /// The stream lock, unless somebody else has it.
    fn try_lock(&self) -> Option<MutexGuard<'_, Option<Writer<W>>>> {
        match self.writer.try_lock() {
            Ok(writer) => Some(writer),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Ends a closed stream, unless somebody else is writing to it. Whoever that is calls this after
    /// letting the lock go, so that one of the two does it. Gives the inner writer out, to be dropped
    /// with no lock held: that is the user's code.
    fn finish_if_closed(&self) -> Option<W> {
        let state = self.control.lock();
        let (closed, aborted) = (state.closed, state.aborted);
        drop(state);
        if !closed {
            return None;
        }
        let writer = self.try_lock()?.take()?;
        let _ended = MarkEnded(&self.control);
        Some(match aborted {
            true => writer.abort(),
            false => writer.finish(),
        })
    }
}

impl<W: Write> Drop for Stream<W> {
    fn drop(&mut self) {
        self.control.close();
        drop(self.finish_if_closed());
    }
}

/// What a thread does after it has held the stream, even if the inner writer panicked.
struct FinishIfClosed<'a, W: Write>(&'a Stream<W>);

impl<W: Write> Drop for FinishIfClosed<'_, W> {
    fn drop(&mut self) {
        drop(self.0.finish_if_closed());
    }
}

/// Closes the stream unless it is forgotten.
struct CloseOnDrop<'a>(&'a Control);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

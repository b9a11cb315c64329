//! Heartbeats: comments or events on an idle stream, from a thread that does not keep it open.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Control, FinishIfClosed, Stream};
use crate::event::Event;
use crate::sync::ignore_poison;
use crate::writer::FrameBuffer;

/// A heartbeat thread copies a few bytes and writes them; the rest is for the inner writer.
pub(super) const STACK: usize = 256 << 10;

/// The shortest interval, in place of a shorter one.
const SHORTEST: Duration = Duration::from_millis(1);

/// What is sent on an idle stream, and after how long: a comment, or an event.
///
/// A heartbeat is sent whenever nothing was written for the interval. About 15 seconds keep proxies
/// from dropping the connection (HTML standard, 9.2.7), and find out that the client is gone.
///
/// Comments are for the connection alone: no script in a page can see them. A page that is to notice
/// a dead link needs [events](Heartbeat::with_event), and a timer that each of them starts anew.
///
/// A [`Duration`] converts into the heartbeat with comments. Cloning copies no text.
///
/// ```
/// use std::time::Duration;
/// use sse_io::{Emitter, Event, Heartbeat};
///
/// let event = Event::new("").with_name("heartbeat");
/// let heartbeat = Heartbeat::every(Duration::from_secs(15)).with_event(&event)?;
///
/// let emitter = Emitter::new(Vec::new());
/// let thread = emitter.spawn_heartbeats(heartbeat)?;
/// emitter.emit(&Event::new("busy"))?; // puts the next heartbeat off
/// emitter.close();
/// assert!(thread.join().is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "keep alive")]
pub struct Heartbeat {
    interval: Duration,
    beat: Beat,
}

/// What a heartbeat is.
#[derive(Clone, Debug)]
enum Beat {
    Comment,
    /// The wire form of this event.
    Event(Arc<[u8]>),
}

impl Heartbeat {
    /// A comment whenever nothing was written for this long. Less than a millisecond counts as one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::Heartbeat;
    ///
    /// const HEARTBEAT: Heartbeat = Heartbeat::every(Duration::from_secs(15));
    /// assert_eq!(HEARTBEAT.interval(), Duration::from_secs(15));
    /// assert_eq!(Heartbeat::every(Duration::ZERO).interval(), Duration::from_millis(1));
    /// ```
    pub const fn every(interval: Duration) -> Self {
        let interval = match interval.as_millis() {
            0 => SHORTEST,
            _ => interval,
        };
        Heartbeat {
            interval,
            beat: Beat::Comment,
        }
    }

    /// Sends this event in place of the comment. It is encoded here, once.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput): with an [`InvalidField`](crate::InvalidField)
    /// inside when a field cannot be sent, without when the event has an id. A heartbeat stands for
    /// nothing that a client could go on after.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::{Event, Heartbeat};
    ///
    /// let heartbeat = Heartbeat::every(Duration::from_secs(15));
    /// assert!(heartbeat.clone().with_event(&Event::new("still here")).is_ok());
    /// assert!(heartbeat.with_event(&Event::new("").with_id("1")).is_err());
    /// ```
    pub fn with_event(self, event: &Event<'_>) -> io::Result<Self> {
        if event.id.is_some() {
            let message = "a heartbeat carries no id";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut wire = Vec::new();
        event.encode(&mut wire)?;
        Ok(Heartbeat {
            interval: self.interval,
            beat: Beat::Event(wire.into()),
        })
    }

    /// How long a stream is idle before a heartbeat is sent.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::Heartbeat;
    ///
    /// let heartbeat = Heartbeat::every(Duration::from_secs(15));
    /// assert_eq!(heartbeat.interval(), Duration::from_secs(15));
    /// ```
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn encode(&self, frame: &mut FrameBuffer) {
        match &self.beat {
            Beat::Comment => frame.comment(""),
            Beat::Event(wire) => frame.extend(wire),
        }
    }
}

impl From<Duration> for Heartbeat {
    /// A comment at this [interval](Heartbeat::every).
    fn from(interval: Duration) -> Self {
        Heartbeat::every(interval)
    }
}

/// Sends heartbeats on this thread. The stream is given up before the first.
pub(super) fn serve<W: Write>(stream: Arc<Stream<W>>, heartbeat: Heartbeat) -> io::Result<()> {
    let pulse = Pulse::new(&stream, heartbeat);
    drop(stream);
    pulse.run()
}

/// Sends heartbeats on a thread of their own.
pub(super) fn spawn<W>(stream: &Arc<Stream<W>>, heartbeat: Heartbeat) -> io::Result<HeartbeatThread>
where
    W: Write + Send + 'static,
{
    let pulse = Pulse::new(stream, heartbeat);
    let control = Arc::clone(&pulse.control);
    let stopped = Arc::clone(&pulse.stopped);
    let thread = thread::Builder::new()
        .name("sse-heartbeat".into())
        .stack_size(STACK)
        .spawn(move || pulse.run())?;
    Ok(HeartbeatThread {
        control,
        stopped,
        thread: Some(thread),
    })
}

/// Stops the heartbeats of an [`Emitter`](crate::Emitter) when dropped; the stream itself goes on.
///
/// Dropping never blocks; [`join`](HeartbeatThread::join) waits for the thread to be gone.
#[derive(Debug)]
#[must_use = "dropping the guard stops the heartbeats"]
pub struct HeartbeatThread {
    control: Arc<Control>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl HeartbeatThread {
    /// Stops the heartbeats and waits until their thread has ended. A heartbeat that is stuck in a
    /// write is waited for.
    ///
    /// # Errors
    ///
    /// What a heartbeat failed with: the stream was closed by that.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::Emitter;
    ///
    /// let emitter = Emitter::new(Vec::new());
    /// let heartbeats = emitter.spawn_heartbeats(Duration::from_secs(15))?;
    /// heartbeats.join()?; // at once: it does not wait for the next one
    /// assert!(!emitter.is_closed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join(mut self) -> io::Result<()> {
        self.stop();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the inner writer panicked in a heartbeat")),
            None => Ok(()),
        }
    }

    fn stop(&self) {
        // Under the lock, so that a thread about to wait has seen it or will be woken.
        let state = self.control.lock();
        self.stopped.store(true, Ordering::Relaxed);
        drop(state);
        self.control.changed.notify_all();
    }
}

impl Drop for HeartbeatThread {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The work of a heartbeat. It holds the stream weakly, so as not to keep it open.
struct Pulse<W: Write> {
    stream: Weak<Stream<W>>,
    control: Arc<Control>,
    stopped: Arc<AtomicBool>,
    heartbeat: Heartbeat,
}

impl<W: Write> Pulse<W> {
    fn new(stream: &Arc<Stream<W>>, heartbeat: Heartbeat) -> Self {
        Pulse {
            stream: Arc::downgrade(stream),
            control: Arc::clone(&stream.control),
            stopped: Arc::default(),
            heartbeat,
        }
    }

    fn run(self) -> io::Result<()> {
        let every = self.heartbeat.interval();
        let mut frame = FrameBuffer::default();
        let mut state = self.control.lock();
        while !state.closed && !self.stopped.load(Ordering::Relaxed) {
            let idle = state.last_write.elapsed();
            if idle < every {
                let changed = &self.control.changed;
                state = ignore_poison(changed.wait_timeout(state, every - idle)).0;
                continue;
            }
            drop(state);
            let Some(stream) = self.stream.upgrade() else {
                return Ok(());
            };
            let last = FinishIfClosed(&stream);
            let result = stream.beat(&self.heartbeat, None, &mut frame);
            drop(last);
            // It may be the last handle by now, whose end takes the locks.
            drop(stream);
            result?;
            state = self.control.lock();
        }
        Ok(())
    }
}

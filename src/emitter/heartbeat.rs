//! Heartbeats: comments on an idle stream, from a thread that does not keep it open.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Control, FinishIfClosed, Stream};
use crate::sync::ignore_poison;
use crate::writer::Frame;

/// A heartbeat thread formats three bytes and writes them; the rest is for the inner writer.
const HEARTBEAT_STACK: usize = 256 << 10;

/// Sends heartbeats on this thread. The stream is given up before the first.
pub(super) fn serve<W: Write>(stream: Arc<Stream<W>>, every: Duration) -> io::Result<()> {
    check_interval(every)?;
    let pulse = Pulse::new(&stream, every);
    drop(stream);
    pulse.run()
}

/// Sends heartbeats on a thread of their own.
pub(super) fn spawn<W>(stream: &Arc<Stream<W>>, every: Duration) -> io::Result<Heartbeat>
where
    W: Write + Send + 'static,
{
    check_interval(every)?;
    let pulse = Pulse::new(stream, every);
    let control = Arc::clone(&pulse.control);
    let stopped = Arc::clone(&pulse.stopped);
    let thread = thread::Builder::new()
        .name("sse-heartbeat".into())
        .stack_size(HEARTBEAT_STACK)
        .spawn(move || pulse.run())?;
    Ok(Heartbeat {
        control,
        stopped,
        thread: Some(thread),
    })
}

/// Stops the heartbeats of an [`Emitter`](crate::Emitter) when dropped; the stream itself goes on.
///
/// Dropping never blocks; [`join`](Heartbeat::join) waits for the thread to be gone.
#[derive(Debug)]
#[must_use = "dropping the guard stops the heartbeats"]
pub struct Heartbeat {
    control: Arc<Control>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Heartbeat {
    /// Stops the heartbeats and waits until their thread has ended. A heartbeat that is stuck in a
    /// write is waited for.
    ///
    /// # Errors
    ///
    /// What a heartbeat failed with: the stream was closed by that.
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

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The work of a heartbeat. It holds the stream weakly, so as not to keep it open.
struct Pulse<W: Write> {
    stream: Weak<Stream<W>>,
    control: Arc<Control>,
    stopped: Arc<AtomicBool>,
    every: Duration,
}

impl<W: Write> Pulse<W> {
    fn new(stream: &Arc<Stream<W>>, every: Duration) -> Self {
        Pulse {
            stream: Arc::downgrade(stream),
            control: Arc::clone(&stream.control),
            stopped: Arc::default(),
            every,
        }
    }

    fn run(self) -> io::Result<()> {
        let mut frame = Frame::default();
        let mut state = self.control.lock();
        while !state.closed && !self.stopped.load(Ordering::Relaxed) {
            let idle = state.last_write.elapsed();
            if idle < self.every {
                let changed = &self.control.changed;
                state = ignore_poison(changed.wait_timeout(state, self.every - idle)).0;
                continue;
            }
            drop(state);
            let Some(stream) = self.stream.upgrade() else {
                return Ok(());
            };
            let last = FinishIfClosed(&stream);
            let result = stream.beat(self.every, &mut frame);
            drop(last);
            // It may be the last handle by now, whose end takes the locks.
            drop(stream);
            result?;
            state = self.control.lock();
        }
        Ok(())
    }
}

fn check_interval(every: Duration) -> io::Result<()> {
    if every.is_zero() {
        let message = "the heartbeat interval is zero";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

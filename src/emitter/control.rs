//! What is known of a stream without touching it: whether it is closed, who is to be told, and when it
//! was last written to. Its lock is held for a few instructions, and never over I/O.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::socket::Peer;
use crate::sync::{Signal, ignore_poison, wait_until};
use crate::writer::FrameBuffer;

/// How many frame buffers an emitter keeps for the threads that use it at once.
const SPARE_FRAMES: usize = 4;

/// What is known of a stream without touching it.
#[derive(Debug)]
pub(super) struct Control {
    state: Mutex<Status>,
    /// The stream was closed or has ended, or a heartbeat was stopped.
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct Status {
    pub(super) closed: bool,
    /// It was closed as one that is broken: it gets no proper end.
    pub(super) aborted: bool,
    /// The end was sent, or there is none to send any more.
    pub(super) ended: bool,
    /// When a write last ended.
    pub(super) last_write: Instant,
    /// Buffers not in use.
    spare: Vec<FrameBuffer>,
    /// What to raise when the stream is closed: threads that wait for something else as well.
    watchers: Vec<Arc<Signal>>,
    /// Whom a thread waits for in a read: it is to return when the stream has ended.
    peers: Vec<Arc<Peer>>,
}

impl Control {
    pub(super) fn new() -> Self {
        let state = Status {
            closed: false,
            aborted: false,
            ended: false,
            last_write: Instant::now(),
            spare: Vec::new(),
            watchers: Vec::new(),
            peers: Vec::new(),
        };
        Control {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Status> {
        ignore_poison(self.state.lock())
    }

    /// Waits until it is so, at most for `timeout`; returns whether it is.
    pub(super) fn wait_for(&self, timeout: Option<Duration>, is_so: fn(&Status) -> bool) -> bool {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        is_so(&wait_until(&self.changed, self.lock(), deadline, is_so))
    }

    pub(super) fn close(&self) {
        self.close_with(self.lock());
    }

    pub(super) fn abort(&self) {
        let mut state = self.lock();
        // One that was closed before has its end already, or is getting it.
        state.aborted |= !state.closed;
        self.close_with(state);
    }

    fn close_with(&self, mut state: MutexGuard<'_, Status>) {
        state.closed = true;
        // They are not needed again: a stream closes once.
        let watchers = std::mem::take(&mut state.watchers);
        drop(state);
        self.changed.notify_all();
        for signal in watchers {
            signal.raise();
        }
    }

    /// An empty frame buffer, while the stream is open.
    pub(super) fn open_frame(&self) -> io::Result<FrameBuffer> {
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        let mut frame = state.spare.pop().unwrap_or_default();
        drop(state);
        frame.clear();
        Ok(frame)
    }

    pub(super) fn put_back(&self, frame: FrameBuffer) {
        let frame = frame.recycle();
        let mut state = self.lock();
        if state.spare.len() < SPARE_FRAMES {
            state.spare.push(frame);
        }
    }

    /// Has a signal raised when the stream is closed from now on.
    pub(super) fn raise_at_close(&self, signal: &Arc<Signal>) -> RaiseAtClose<'_> {
        self.lock().watchers.push(Arc::clone(signal));
        RaiseAtClose {
            control: self,
            signal: Arc::clone(signal),
        }
    }

    /// Whether a thread waits for a peer.
    pub(super) fn is_watched(&self) -> bool {
        !self.lock().peers.is_empty()
    }

    /// Has this peer's wait ended when the stream has; false when it has ended already.
    pub(super) fn add_peer(&self, peer: &Arc<Peer>) -> bool {
        let mut state = self.lock();
        let open = !state.ended;
        if open {
            state.peers.push(Arc::clone(peer));
        }
        open
    }
}

/// Notes that the stream has ended, even if the inner writer panicked over it.
pub(super) struct MarkEnded<'a>(pub(super) &'a Control);

impl Drop for MarkEnded<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let peers = std::mem::take(&mut state.peers);
        drop(state);
        self.0.changed.notify_all();
        for peer in peers {
            peer.stop_waiting();
        }
    }
}

/// Has a signal raised when its stream is closed, until it is dropped.
#[derive(Debug)]
pub(crate) struct RaiseAtClose<'a> {
    control: &'a Control,
    signal: Arc<Signal>,
}

impl Drop for RaiseAtClose<'_> {
    fn drop(&mut self) {
        let mut state = self.control.lock();
        let mine = |signal: &Arc<Signal>| Arc::ptr_eq(signal, &self.signal);
        if let Some(at) = state.watchers.iter().position(mine) {
            state.watchers.swap_remove(at);
        }
    }
}

pub(super) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the event stream is closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_frame_buffers_are_kept() {
        let control = Control::new();
        let frames = [(); 2 * SPARE_FRAMES].map(|()| control.open_frame().unwrap());
        for (returned, frame) in (1..).zip(frames) {
            control.put_back(frame);
            assert_eq!(control.lock().spare.len(), SPARE_FRAMES.min(returned));
        }
    }

    #[test]
    fn a_signal_is_raised_at_the_end_only_while_its_guard_is_there() {
        let control = Control::new();
        let signals = [(); 3].map(|()| Arc::<Signal>::default());
        let [first, second, third] = signals.each_ref().map(|s| control.raise_at_close(s));
        drop(second);
        assert_eq!(control.lock().watchers.len(), 2);
        drop(first);
        control.close();
        assert_eq!(control.lock().watchers.len(), 0);
        drop(third);
        let now = Some(Instant::now());
        let raised = signals.map(|signal| signal.wait(now).raised);
        assert_eq!(raised, [false, false, true]);
    }
}

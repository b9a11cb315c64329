//! What a client shows to other threads, and how they end it.

use std::fmt;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::error::Error;
use crate::sync::{ignore_poison, wait_until};

pub(super) type Hook = Box<dyn FnOnce() + Send>;

/// Ends an [`EventSource`](super::EventSource) from any thread, and tells what it is doing.
///
/// All clones belong to the one client. Dropping them does nothing.
///
/// ```
/// use std::io;
/// use std::sync::mpsc;
/// use sse_io::EventSource;
/// use sse_io::client::{Ending, Response, State};
///
/// // A connection that says nothing, ever, until it is shut down.
/// let mut source = EventSource::new(|request| {
///     let (shut_down, wait) = mpsc::channel::<()>();
///     request.on_close(move || drop(shut_down));
///     let _ = wait.recv();
///     Err::<Response<io::Empty>, _>(io::ErrorKind::ConnectionAborted.into())
/// });
/// let closer = source.closer();
/// let thread = std::thread::spawn(move || source.next_event().map(|event| event.is_none()));
/// closer.close();
/// assert!(thread.join().unwrap()?);
/// assert!(matches!(closer.state(), State::Closed(Ending::Closer)));
/// # Ok::<(), sse_io::client::Error>(())
/// ```
#[derive(Clone)]
pub struct Closer {
    control: Arc<Control>,
}

impl Closer {
    pub(super) fn new(control: Arc<Control>) -> Self {
        Closer { control }
    }

    /// Ends the client for good: a wait for the next attempt ends at once, and what the connector
    /// registered with [`Request::on_close`](super::Request::on_close) runs on this thread, to end a
    /// request or a read that blocks. No event is given out by a call that begins after this one has
    /// returned.
    ///
    /// Blocks no longer than those hooks do, and only the first call does anything. A name look-up
    /// or a TCP connect that the HTTP library cannot be kept from finishing is waited for by
    /// `next_event`, not by this.
    ///
    /// A hook that panics keeps none of the others from running: the first panic goes on after them.
    pub fn close(&self) {
        let hooks = self.control.close(Ending::Closer).into_iter();
        // Nothing of the client's is left half done by one that unwinds: hooks run under no lock.
        let run = |hook: Hook| panic::catch_unwind(AssertUnwindSafe(hook)).err();
        let panics: Vec<_> = hooks.filter_map(run).collect();
        if let Some(first) = panics.into_iter().next() {
            panic::resume_unwind(first);
        }
    }

    /// What the client is doing. Does not block.
    pub fn state(&self) -> State {
        self.control.state()
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer")
            .field("state", &self.state())
            .finish()
    }
}

/// What an [`EventSource`](super::EventSource) is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// Nothing yet: the first `next_event` connects.
    Idle,
    /// It waits for the connector.
    #[non_exhaustive]
    Connecting {
        /// The number of the attempt, from 1, counted from the last healthy connection.
        attempt: u32,
        /// The last event ID is one that no header can carry, so that the server is not told it:
        /// events may come again or be missing.
        withholds_id: bool,
    },
    /// The stream is open.
    Open,
    /// It waits until it may try again.
    #[non_exhaustive]
    Waiting {
        /// What the last attempt or connection ended with.
        why: Error,
        /// How long it waits in all.
        delay: Duration,
    },
    /// It has ended for good.
    Closed(Ending),
}

/// What has ended an [`EventSource`](super::EventSource).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// [`Closer::close`], or the client was dropped.
    Closer,
    /// The server answered 204: it wants no more connections.
    NoContent,
    /// The stream has ended in finite mode, or the terminator came.
    Finished,
    /// The error that `next_event` returned.
    Failed(Error),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Idle => f.write_str("not connected yet"),
            State::Connecting {
                attempt,
                withholds_id,
            } => {
                write!(f, "connecting (attempt {attempt}")?;
                if *withholds_id {
                    f.write_str(", without the last event ID: no header can carry it")?;
                }
                f.write_str(")")
            }
            State::Open => f.write_str("open"),
            State::Waiting { why, delay } => {
                write!(f, "waiting for {delay:.1?}: {why:#}")
            }
            State::Closed(ending) => write!(f, "closed: {ending}"),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Closer => f.write_str("by this side"),
            Ending::NoContent => f.write_str("the server has no more"),
            Ending::Finished => f.write_str("the stream is complete"),
            Ending::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

/// What the client and its closers share.
pub(super) struct Control {
    /// Beside the lock so that looking at it costs an event next to nothing. Set under the lock.
    closed: AtomicBool,
    shared: Mutex<Shared>,
    /// The client was closed.
    changed: Condvar,
}

struct Shared {
    state: State,
    /// What ends the attempt or connection under way.
    hooks: Vec<Hook>,
}

impl Control {
    pub(super) fn new() -> Self {
        Control {
            closed: AtomicBool::new(false),
            shared: Mutex::new(Shared {
                state: State::Idle,
                hooks: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closes, unless that has happened, and gives out the hooks, to be run or dropped without the
    /// lock: they are the user's code.
    pub(super) fn close(&self, ending: Ending) -> Vec<Hook> {
        let mut shared = self.lock();
        if self.is_closed() {
            return Vec::new();
        }
        self.closed.store(true, Ordering::Release);
        let last = mem::replace(&mut shared.state, State::Closed(ending));
        let hooks = mem::take(&mut shared.hooks);
        drop(shared);
        self.changed.notify_all();
        // It may hold an error of the user's, as the hooks are the user's.
        drop(last);
        hooks
    }

    pub(super) fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Changes the state, unless it is closed; returns whether it did.
    pub(super) fn set_state(&self, state: State) -> bool {
        let mut shared = self.lock();
        let open = !self.is_closed();
        if open {
            let last = mem::replace(&mut shared.state, state);
            drop(shared);
            drop(last);
        }
        open
    }

    /// Keeps a hook for [`close`](Control::close), or gives it back when that has happened.
    pub(super) fn register(&self, hook: Hook) -> Option<Hook> {
        let mut shared = self.lock();
        if self.is_closed() {
            return Some(hook);
        }
        shared.hooks.push(hook);
        None
    }

    /// Drops the hooks: what they were to end has ended.
    pub(super) fn disarm(&self) {
        let hooks = mem::take(&mut self.lock().hooks);
        drop(hooks);
    }

    /// Waits until it is closed, at most for `timeout`.
    pub(super) fn wait_closed(&self, timeout: Duration) {
        let deadline = Instant::now().checked_add(timeout);
        let is_closed = |_: &Shared| self.is_closed();
        drop(wait_until(&self.changed, self.lock(), deadline, is_closed));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        ignore_poison(self.shared.lock())
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

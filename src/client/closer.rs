//! What a client shows to other threads, and how they end it.

use std::fmt;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU8, Ordering};
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
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let stream = &b"data: a\n\ndata: b\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)));
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// source.closer().close();
    /// assert_eq!(source.next_event()?, None); // not even what was read already
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    #[doc(alias = "stop")]
    pub fn close(&self) {
        run(self.control.close(Ending::Closer));
    }

    /// Has the client connect again at once, after its last event: the network has changed, or the
    /// machine was asleep. Ends the request, the connection or the wait that is under way as
    /// [`close`](Closer::close) does, hooks and all. It counts as no failure.
    ///
    /// Does nothing once the client is closed. Events that were read already and not asked for yet
    /// are dropped; a server that resumes after the last event ID sends them again.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let mut bodies = [&b"id: 1\ndata: a\n\ndata: never read\n\n"[..], b"data: b\n\n"].into_iter();
    /// let mut source = EventSource::new(|request| {
    ///     let body = bodies.next().unwrap();
    ///     Ok(Response::new(200, "text/event-stream", body))
    /// });
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// source.closer().reconnect();
    /// assert_eq!(source.next_event()?.unwrap().data, "b"); // asked for with `Last-Event-ID: 1`
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn reconnect(&self) {
        run(self.control.reconnect());
    }

    /// What the client is doing. Does not block.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{Response, State};
    ///
    /// let source = EventSource::new(|_| Ok(Response::new(204, "", &b""[..])));
    /// assert!(matches!(source.closer().state(), State::Idle));
    /// ```
    pub fn state(&self) -> State {
        self.control.state()
    }

    /// What has ended the client, once it has ended. Does not block.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{Ending, Response};
    ///
    /// let source = EventSource::new(|_| Ok(Response::new(204, "", &b""[..])));
    /// let closer = source.closer();
    /// assert!(closer.ending().is_none());
    /// closer.close();
    /// assert!(matches!(closer.ending(), Some(Ending::Closer)));
    /// ```
    pub fn ending(&self) -> Option<Ending> {
        match self.control.state() {
            State::Closed(ending) => Some(ending),
            _ => None,
        }
    }
}

/// Runs the hooks, all of them, and goes on with the first panic.
fn run(hooks: Vec<Hook>) {
    // Nothing of the client's is left half done by one that unwinds: hooks run under no lock.
    let run = |hook: Hook| panic::catch_unwind(AssertUnwindSafe(hook)).err();
    let panics: Vec<_> = hooks.into_iter().filter_map(run).collect();
    if let Some(first) = panics.into_iter().next() {
        panic::resume_unwind(first);
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer")
            .field("state", &self.state())
            .finish()
    }
}

/// What an [`EventSource`](super::EventSource) is doing. `Display` tells it in words.
///
/// ```
/// use std::sync::mpsc;
/// use sse_io::EventSource;
/// use sse_io::client::{Response, State};
///
/// let (tell, told) = mpsc::channel();
/// let mut source = EventSource::new(|_| Ok(Response::new(204, "", &b""[..])))
///     .on_state(move |state| match state {
///         State::Waiting { why, delay, .. } => eprintln!("{why}; again in {delay:?}"),
///         state => tell.send(state.to_string()).unwrap(),
///     });
/// assert_eq!(source.next_event()?, None);
/// let told: Vec<String> = told.try_iter().collect();
/// assert_eq!(told[0], "connecting (attempt 1)");
/// # assert_eq!(told.len(), 2);
/// # Ok::<(), sse_io::client::Error>(())
/// ```
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
///
/// ```
/// use sse_io::EventSource;
/// use sse_io::client::{Ending, Response};
///
/// let body = &b"data: hello\n\ndata: [DONE]\n\n"[..];
/// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", body)))
///     .with_terminator("[DONE]");
/// assert_eq!(source.by_ref().count(), 1);
/// assert!(matches!(source.ending(), Some(Ending::Terminated)));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// [`Closer::close`], or the client was dropped.
    Closer,
    /// The server answered 204: it wants no more connections.
    NoContent,
    /// The body has ended in finite mode.
    Finished,
    /// The terminator came.
    Terminated,
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
            Ending::Finished | Ending::Terminated => f.write_str("the stream is complete"),
            Ending::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

/// What the client and its closers share.
pub(super) struct Control {
    /// An `Order`. Beside the lock so that looking at it costs an event next to nothing. Set under
    /// the lock.
    order: AtomicU8,
    shared: Mutex<Shared>,
    /// There is an order.
    changed: Condvar,
}

/// What the thread that reads was told.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Order {
    GoOn,
    Reconnect,
    /// Never taken back.
    Close,
}

struct Shared {
    state: State,
    /// What ends the attempt or connection under way.
    hooks: Vec<Hook>,
}

impl Control {
    pub(super) fn new() -> Self {
        Control {
            order: AtomicU8::new(Order::GoOn as u8),
            shared: Mutex::new(Shared {
                state: State::Idle,
                hooks: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.has(Order::Close)
    }

    /// Whether the connection, attempt or wait under way is to end: closed, or to reconnect.
    pub(super) fn is_interrupted(&self) -> bool {
        !self.has(Order::GoOn)
    }

    fn has(&self, order: Order) -> bool {
        self.order.load(Ordering::Acquire) == order as u8
    }

    /// Closes, unless that has happened, and gives out the hooks, to be run or dropped without the
    /// lock: they are the user's code.
    pub(super) fn close(&self, ending: Ending) -> Vec<Hook> {
        let mut shared = self.lock();
        if self.is_closed() {
            return Vec::new();
        }
        self.order.store(Order::Close as u8, Ordering::Release);
        let last = mem::replace(&mut shared.state, State::Closed(ending));
        let hooks = mem::take(&mut shared.hooks);
        drop(shared);
        self.changed.notify_all();
        // It may hold an error of the user's, as the hooks are the user's.
        drop(last);
        hooks
    }

    /// Asks for another connection, unless it is closed, and gives out the hooks as `close` does.
    pub(super) fn reconnect(&self) -> Vec<Hook> {
        let mut shared = self.lock();
        if self.is_closed() {
            return Vec::new();
        }
        self.order.store(Order::Reconnect as u8, Ordering::Release);
        let hooks = mem::take(&mut shared.hooks);
        drop(shared);
        self.changed.notify_all();
        hooks
    }

    /// The order to reconnect is carried out: goes on, unless it is closed.
    pub(super) fn reconnects(&self) {
        let _shared = self.lock();
        if !self.is_closed() {
            self.order.store(Order::GoOn as u8, Ordering::Release);
        }
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

    /// Keeps a hook for [`close`](Control::close) and [`reconnect`](Control::reconnect), or gives it
    /// back when that has happened.
    pub(super) fn register(&self, hook: Hook) -> Option<Hook> {
        let mut shared = self.lock();
        if self.is_interrupted() {
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

    /// Waits until it is interrupted, at most for `timeout`.
    pub(super) fn wait_interrupted(&self, timeout: Duration) {
        let deadline = Instant::now().checked_add(timeout);
        let is_interrupted = |_: &Shared| self.is_interrupted();
        drop(wait_until(
            &self.changed,
            self.lock(),
            deadline,
            is_interrupted,
        ));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        ignore_poison(self.shared.lock())
    }
}

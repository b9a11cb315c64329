//! The subscription: a cursor into the log, with a thread that may wait for more.

mod reading;
mod start;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use self::reading::Gathered;
pub(super) use self::start::Start;

use self::reading::{Next, PATIENCE, Ready, Refill};
use super::error::RecvError;
use super::frame::Frame;
use super::interest::Interest;
use super::paging::Trail;
use super::received::Iter;
use super::serve::{Ending, LagPolicy};
use super::shared::{MemberId, Shared};
use super::subscribe::Resumption;
use crate::sync::{Lane, Signal, Token};

/// What to do when a fan-out's connection has ended.
pub(super) type EndHook = Box<dyn FnOnce(Ending) + Send>;

/// A user's filter, or what tells the last event.
pub(super) type Filter = Box<dyn FnMut(&Frame) -> bool + Send>;

/// A subscriber's side of a [`Hub`](crate::Hub): receives what is published, in order, each event
/// once.
///
/// It belongs to one thread at a time and can be sent to another. It is no handle of the hub: when
/// the last [`Hub`](crate::Hub) is dropped, it gets what is in the log, then its end. Dropping it
/// frees its place at once.
///
/// ```
/// use sse_io::{Event, Hub};
///
/// let hub = Hub::new();
/// let subscription = hub.subscribe().start()?;
/// let publisher = std::thread::spawn(move || {
///     for n in 0..3 {
///         hub.publish(&Event::new(n.to_string())).unwrap();
///     }
/// });
/// // The iteration ends with the hub.
/// let frames: Vec<_> = subscription.into_iter().collect::<Result<_, _>>()?;
/// assert_eq!(frames.len(), 3);
/// # publisher.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the subscription ends it"]
pub struct Subscription {
    shared: Arc<Shared>,
    member: MemberId,
    /// What its thread waits for.
    pub(super) signal: Arc<Signal>,
    interest: Interest,
    filter: Option<Filter>,
    /// Whether an event is the last one.
    last: Option<Filter>,
    /// The last one was passed on.
    is_over: bool,
    source: Source,
    /// The sequence of the next entry of the log to look at.
    cursor: u64,
    /// Read, but not passed on yet: one frame, or a page of the history, or what `serve` collects.
    ready: VecDeque<Ready>,
    /// The gap event.
    notice: Option<Frame>,
    /// The gap event comes next.
    pub(super) notice_due: bool,
    pub(super) lag: LagPolicy,
    resumption: Resumption,
    /// Where there is a history to ask.
    trail: Option<Box<Trail>>,
    /// The sequence of the newest event whose id the client has; 0 where that is unknown.
    told: u64,
    /// How many events were passed on and are not counted yet.
    delivered: u64,
    pub(super) end_hook: Option<EndHook>,
}

/// Where a subscription reads on.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// In the log, at the cursor.
    Log,
    /// In the history, after the last event passed on. Where the history does not know that event,
    /// the subscription has missed so many events at most, and goes on in the log.
    History { missed: u64 },
    /// In the log, as long as it brings nothing with an id: the client may have come further than
    /// the hub. Then in the history.
    HandOver,
}

impl Subscription {
    /// How the subscription began: whether the client is new, has missed something, and whether that
    /// is gone.
    ///
    /// ```
    /// use sse_io::hub::Resumption;
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let id = hub.publish(&Event::new("x"))?;
    /// let subscription = hub.subscribe().with_last_event_id(id.to_string()).start()?;
    /// assert!(matches!(subscription.resumption(), Resumption::CaughtUp));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resumption(&self) -> &Resumption {
        &self.resumption
    }

    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] at the end, [`RecvError::Lagged`] when events were missed (the next call
    /// goes on), [`RecvError::History`] when that failed.
    ///
    /// ```
    /// use sse_io::{Event, Hub, hub::RecvError};
    ///
    /// let hub = Hub::builder().with_max_events(2).build();
    /// let mut slow = hub.subscribe().start()?;
    /// for n in 1..=5 {
    ///     hub.publish(&Event::new(n.to_string()))?;
    /// }
    /// assert!(matches!(slow.recv(), Err(RecvError::Lagged { missed: 3, .. })));
    /// assert!(slow.recv()?.as_bytes().ends_with(b"data: 4\n\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv(&mut self) -> Result<Frame, RecvError> {
        let patience = Instant::now();
        loop {
            if let Some(frame) = self.recv_until(None, patience)? {
                return Ok(frame);
            }
        }
    }

    /// The next event if there is one already; never blocks, but for a [`History`](super::History).
    ///
    /// # Errors
    ///
    /// As [`recv`](Subscription::recv).
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().start()?;
    /// assert!(subscription.try_recv()?.is_none());
    /// hub.publish(&Event::new("x"))?;
    /// assert!(subscription.try_recv()?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_recv(&mut self) -> Result<Option<Frame>, RecvError> {
        let mut horizon = None;
        loop {
            match self.next_ready(|_| true) {
                Next::Frame(frame) => return Ok(Some(frame)),
                Next::Refused if self.is_past(&mut horizon) => return Ok(None),
                Next::Refused | Next::Full | Next::Nothing => {}
            }
            if self.ready.is_empty() {
                match self.refill(0, false)? {
                    Refill::CaughtUp => return Ok(None),
                    _ if self.ready.is_empty() && self.is_past(&mut horizon) => return Ok(None),
                    Refill::Some | Refill::Last => {}
                }
            }
        }
    }

    /// Waits for the next event, at most for `timeout`; `None` when there was none.
    ///
    /// # Errors
    ///
    /// As [`recv`](Subscription::recv).
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::Hub;
    ///
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().start()?;
    /// assert!(subscription.recv_timeout(Duration::from_millis(1))?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Frame>, RecvError> {
        let start = Instant::now();
        self.recv_until(start.checked_add(timeout), start + PATIENCE)
    }

    /// The next event, unless the deadline comes before. While there are events that the filter
    /// refuses, it goes on at least until `patience`.
    fn recv_until(
        &mut self,
        deadline: Option<Instant>,
        patience: Instant,
    ) -> Result<Option<Frame>, RecvError> {
        let is_late =
            |by: Instant| deadline.is_some_and(|deadline| deadline.max(by) <= Instant::now());
        loop {
            match self.next_ready(|_| true) {
                Next::Frame(frame) => return Ok(Some(frame)),
                Next::Refused if is_late(patience) => return Ok(None),
                Next::Refused | Next::Full | Next::Nothing => {}
            }
            if self.ready.is_empty() {
                match self.refill(0, true)? {
                    Refill::Some | Refill::Last => {}
                    Refill::CaughtUp => {
                        self.make_small();
                        if !self.wait(deadline) {
                            return Ok(None);
                        }
                    }
                }
            }
        }
    }

    /// Whether all is read that there was when this was asked for the first time. Never of a hub that
    /// was closed by then: no more comes, and its end is to be told.
    fn is_past(&self, horizon: &mut Option<u64>) -> bool {
        let next = || match self.shared.lock() {
            state if state.closed => u64::MAX,
            state => state.log.next(),
        };
        matches!(self.source, Source::Log) && self.cursor >= *horizon.get_or_insert_with(next)
    }

    /// Iterates over what is received; waits for each, and ends when the hub is closed. An error is an
    /// item, and the iteration goes on behind it.
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().start()?;
    /// hub.publish(&Event::new("x"))?;
    /// hub.close();
    /// assert_eq!(subscription.iter().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&mut self) -> Iter<'_> {
        Iter::new(self)
    }

    /// Sets what to do when the connection has ended that [`serve_in`](Subscription::serve_in) handed
    /// over: the function runs once, on a thread of the fan-out, under no lock. The socket is closed and
    /// the place at the hub free by then. It does not run where `serve_in` itself tells.
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use std::sync::mpsc;
    /// use sse_io::hub::{Ending, Fanout};
    /// use sse_io::{Emitter, Hub};
    ///
    /// let (hub, fanout) = (Hub::new(), Fanout::new()?);
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let client = TcpStream::connect(listener.local_addr()?)?;
    /// let emitter = Emitter::new(listener.accept()?.0);
    ///
    /// let (left, leaving) = mpsc::channel();
    /// let subscription = hub.subscribe().start()?.on_ended(move |ended| left.send(ended).unwrap());
    /// assert!(subscription.serve_in(&fanout, emitter, None).is_ok());
    /// drop(client);
    /// assert!(matches!(leaving.recv()?, Ending::Gone(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_ended(mut self, hook: impl FnOnce(Ending) + Send + 'static) -> Self {
        self.end_hook = Some(Box::new(hook));
        self
    }

    /// From now on a lane is told when there is something to read, and not this subscription's own
    /// signal. What there is already is to be read all the same.
    pub(super) fn board(&self, lane: &Arc<Lane>, token: Token) {
        self.shared.lock().roster.board(self.member, lane, token);
    }

    /// Counts it as one that has lagged. Returns how many events it misses at most.
    pub(super) fn give_up(&self) -> u64 {
        let mut state = self.shared.lock();
        state.lagged += 1;
        state.log.next().saturating_sub(self.cursor)
    }

    /// Waits to be woken, at most until the deadline; returns whether it was.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        let waited = self.signal.wait(deadline);
        if waited.task {
            self.shared.wake_next();
        }
        waited.raised
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.delivered += self.delivered;
        state.leave(self.member, &self.interest);
        let is_last = state.closed && state.roster.len() == 0;
        drop(state);
        if is_last {
            self.shared.left.notify_all();
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("resumption", &self.resumption)
            .finish_non_exhaustive()
    }
}

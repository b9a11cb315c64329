//! The subscription: a cursor into the log, with a thread that may wait for more.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{RecvError, SubscribeError};
use super::frame::Frame;
use super::paging::{Page, Past};
use super::received::Iter;
use super::roster::Interest;
use super::serve::LagPolicy;
use super::shared::{Read, STEP, Shared, Take};
use super::subscribe::{GapPolicy, Resume};
use crate::sync::Signal;

/// For how many frames a subscription that waits keeps room.
const KEPT: usize = 8;

/// A user's filter.
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
    /// What it waits for; the roster knows it by this.
    pub(super) signal: Arc<Signal>,
    interest: Interest,
    filter: Option<Filter>,
    /// The sequence of the next entry to look at.
    cursor: u64,
    /// It is in the roster's lists, or was taken out of them by who woke it.
    waits: bool,
    /// Read, but not passed on yet: one frame, or a page of the history, or what `serve` collects.
    ready: VecDeque<Frame>,
    /// The gap event.
    notice: Option<Frame>,
    /// The gap event comes next.
    pub(super) notice_due: bool,
    pub(super) lag: LagPolicy,
    resume: Resume,
    /// Where the hub has a history and the client has an event.
    past: Option<Box<Past>>,
}

/// What a subscription is started with.
pub(super) struct Start {
    pub(super) shared: Arc<Shared>,
    pub(super) interest: Interest,
    pub(super) filter: Option<Filter>,
    pub(super) last_event_id: String,
    pub(super) replay: usize,
    pub(super) gap: GapPolicy,
    pub(super) lag: LagPolicy,
    pub(super) notice: Option<Frame>,
}

/// What there is to pass on.
pub(super) enum Next {
    Frame(Frame),
    /// There is one, for which there is no room.
    Full,
    Nothing,
}

/// What reading on came to.
#[derive(Debug)]
pub(super) enum Refill {
    /// There may be frames; if not, there may be the next time.
    Some,
    /// Everything is read.
    CaughtUp,
}

impl Subscription {
    pub(super) fn start(start: Start) -> Result<Self, SubscribeError> {
        let shared = start.shared;
        let signal = Arc::<Signal>::default();
        let id = start.last_event_id;
        let now = shared.now();
        let mut state = shared.lock();
        if state.closed {
            return Err(SubscribeError::Closed);
        }
        if state.roster.len() >= shared.max_subscribers {
            return Err(SubscribeError::Full {
                limit: shared.max_subscribers,
            });
        }
        let expired = state.expire(now);
        let evicted = state.evicted();
        state
            .roster
            .join(&start.interest, Arc::clone(&signal), evicted);
        let next = state.log.next();
        let mut cursor = next;
        let mut resume = Resume::New;
        if !id.is_empty() {
            let known = shared.find(&state, &id);
            cursor = known.map_or(state.log.tail(), |sequence| sequence + 1);
            let missed = known.map(|_| state.catch_lag(&start.interest, &mut cursor));
            resume = match missed {
                Some(0) => Resume::CaughtUp,
                missed => Resume::Gap { missed },
            };
        }
        drop(state);
        drop(expired);

        // The history cannot be asked for what is for everyone alone.
        let is_asked = shared.history.is_some() && !start.interest.is_of_no_topic();
        let past = is_asked.then(|| Box::new(Past::of(&id)));
        // From here on, dropping it gives its place back.
        let mut this = Subscription {
            shared,
            signal,
            interest: start.interest,
            filter: start.filter,
            cursor,
            waits: false,
            ready: VecDeque::new(),
            notice: start.notice,
            notice_due: false,
            lag: start.lag,
            resume,
            past,
        };
        if let Resume::Gap { .. } = resume {
            this.enter_history().map_err(SubscribeError::History)?;
        }
        match this.resume {
            Resume::New => this.rewind(start.replay, next),
            Resume::CaughtUp => match this.count(next) {
                0 => {}
                replayed => this.resume = Resume::Resumed { replayed },
            },
            Resume::Gap { missed } => match start.gap {
                GapPolicy::Refuse => return Err(SubscribeError::Gap { missed }),
                GapPolicy::Live => {
                    this.cursor = next;
                    this.notice_due = true;
                }
                GapPolicy::Replay => this.notice_due = true,
            },
            _ => {}
        }
        Ok(this)
    }

    /// Has the history close a gap at the start, if it can.
    fn enter_history(&mut self) -> io::Result<()> {
        let (Some(history), Some(past)) = (&self.shared.history, &mut self.past) else {
            return Ok(());
        };
        if let Some(cursor) = past.look_ahead(&self.shared, &**history)? {
            self.cursor = cursor;
            self.resume = Resume::CaughtUp;
            return Ok(());
        }
        match past.page(&self.shared, &**history, &self.interest)? {
            Page::Unknown => {
                // The log may have rolled on meanwhile, which is the same gap: how much is missed is
                // not known.
                self.cursor = self.cursor.max(self.shared.lock().log.tail());
            }
            Page::Read(frames, cursor) => {
                self.resume = match frames.is_empty() {
                    true => Resume::CaughtUp,
                    false => Resume::History,
                };
                self.ready.extend(frames);
                match cursor {
                    Some(cursor) => self.cursor = cursor,
                    None => past.paging = Some(0),
                }
            }
        }
        Ok(())
    }

    /// Moves the cursor back by so many events of interest, from `next`.
    fn rewind(&mut self, events: usize, next: u64) {
        let mut left = events;
        while left > 0 {
            let state = self.shared.lock();
            let tail = state.log.tail();
            let from = match self.interest {
                Interest::Everything => self.cursor.saturating_sub(left as u64),
                Interest::Topics(_) => self.cursor.saturating_sub(STEP as u64),
            };
            let from = from.max(tail);
            if self.cursor <= tail {
                // What is older has gone by now.
                self.cursor = tail.min(next);
                return;
            }
            if let Interest::Everything = self.interest {
                self.cursor = from;
                return;
            }
            let span = usize::try_from(self.cursor - from).unwrap_or(usize::MAX);
            for entry in state.log.from(from).take(span).rev() {
                self.cursor = entry.sequence;
                left -= usize::from(self.interest.takes(entry));
                if left == 0 {
                    return;
                }
            }
        }
    }

    /// How many events of interest there are from the cursor up to `next`.
    fn count(&self, next: u64) -> usize {
        let mut cursor = self.cursor;
        let mut count = 0;
        if let Interest::Everything = self.interest {
            return usize::try_from(next.saturating_sub(cursor)).unwrap_or(usize::MAX);
        }
        while cursor < next {
            let state = self.shared.lock();
            cursor = cursor.max(state.log.tail());
            for entry in state.log.from(cursor).take(STEP) {
                if entry.sequence >= next {
                    return count;
                }
                cursor = entry.sequence + 1;
                count += usize::from(self.interest.takes(entry));
            }
        }
        count
    }

    /// How the subscription began: whether the client is new, has missed something, and whether that
    /// is gone.
    pub fn resume(&self) -> &Resume {
        &self.resume
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
        loop {
            if let Some(frame) = self.recv_until(None)? {
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
        loop {
            if let Next::Frame(frame) = self.next_ready(|_| true) {
                return Ok(Some(frame));
            }
            if let Refill::CaughtUp = self.refill(0, false)? {
                return Ok(None);
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
        self.recv_until(Instant::now().checked_add(timeout))
    }

    fn recv_until(&mut self, deadline: Option<Instant>) -> Result<Option<Frame>, RecvError> {
        loop {
            if let Next::Frame(frame) = self.next_ready(|_| true) {
                return Ok(Some(frame));
            }
            match self.refill(0, true)? {
                Refill::Some => {}
                Refill::CaughtUp if self.wait(deadline) => {}
                Refill::CaughtUp => return Ok(None),
            }
        }
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

    /// Waits to be woken, at most until the deadline; returns whether it was.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> bool {
        let waited = self.signal.wait(deadline);
        if waited.task {
            self.shared.wake_next();
        }
        waited.raised
    }

    /// Takes what is to be passed on next, the gap event included, if `fits` has room for it. Runs the
    /// filter, so no lock is held here.
    pub(super) fn next_ready(&mut self, fits: impl Fn(&Frame) -> bool) -> Next {
        if let (true, Some(notice)) = (self.notice_due, &self.notice) {
            self.notice_due = false;
            return Next::Frame(notice.clone());
        }
        while let Some(frame) = self.ready.front() {
            if !fits(frame) {
                return Next::Full;
            }
            let Some(frame) = self.ready.pop_front() else {
                break;
            };
            if let (Some(past), Some(id)) = (&mut self.past, frame.id()) {
                past.passed(id);
            }
            if self.filter.as_mut().is_none_or(|filter| filter(&frame)) {
                return Next::Frame(frame);
            }
        }
        Next::Nothing
    }

    /// Reads on: one frame, or as many as have room in so many bytes. With `wait`, a subscription that
    /// is caught up stands in the lists of those that wait from the moment that it is.
    pub(super) fn refill(&mut self, room: usize, wait: bool) -> Result<Refill, RecvError> {
        if self.past.as_ref().is_some_and(|past| past.paging.is_some()) {
            return self.turn_page();
        }
        let now = self.shared.now();
        let mut state = self.shared.lock();
        if self.waits {
            self.waits = false;
            let next = state.log.next();
            self.cursor = state.roster.settle(&self.signal, next);
        }
        let expired = state.expire(now);
        let mut left = room;
        let (ready, past) = (&mut self.ready, &mut self.past);
        let read = state.read(&self.interest, &mut self.cursor, |entry| {
            let length = entry.frame.as_bytes().len();
            if length > left && !ready.is_empty() {
                return Take::NotThis;
            }
            if past.as_mut().is_some_and(|past| !past.is_new(entry)) {
                return Take::More;
            }
            ready.push_back(entry.frame.clone());
            left = left.saturating_sub(length);
            match left {
                0 => Take::Enough,
                _ => Take::More,
            }
        });
        let result = match read {
            Read::More => Ok(Refill::Some),
            Read::CaughtUp if !self.ready.is_empty() => Ok(Refill::Some),
            Read::CaughtUp if state.closed => Err(RecvError::Closed),
            Read::CaughtUp => {
                if wait {
                    state.roster.wait(&self.signal, self.cursor);
                    self.waits = true;
                }
                Ok(Refill::CaughtUp)
            }
            Read::Lagged(missed) => {
                let past = self.past.as_mut();
                match past.is_some_and(|past| past.go_back(missed)) {
                    true => Ok(Refill::Some),
                    false => {
                        state.lagged += 1;
                        Err(RecvError::Lagged { missed })
                    }
                }
            }
        };
        drop(state);
        drop(expired);
        if self.waits && self.ready.capacity() > KEPT {
            // After a burst, or a page of the history: one that waits is to be small.
            self.ready = VecDeque::new();
        }
        result
    }

    /// Reads a page of the history.
    fn turn_page(&mut self) -> Result<Refill, RecvError> {
        let (Some(history), Some(past)) = (&self.shared.history, &mut self.past) else {
            return Ok(Refill::Some);
        };
        let page = past.page(&self.shared, &**history, &self.interest);
        match page.map_err(RecvError::History)? {
            Page::Read(frames, cursor) => {
                self.ready.extend(frames);
                self.cursor = cursor.unwrap_or(self.cursor);
                Ok(Refill::Some)
            }
            Page::Unknown => {
                let missed = past.paging.take().unwrap_or_default();
                self.shared.lock().lagged += 1;
                Err(RecvError::Lagged { missed })
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.lock().leave(&self.signal);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("resume", &self.resume)
            .finish_non_exhaustive()
    }
}

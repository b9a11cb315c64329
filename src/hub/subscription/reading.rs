//! How a subscription reads on: from the log or the history into what is ready, through the filter out
//! to who asked. Nothing here waits for an event; the history alone may block.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::{Source, Subscription};
use crate::hub::error::RecvError;
use crate::hub::frame::Frame;
use crate::hub::paging::Page;
use crate::hub::shared::{Entry, Position, Read, Take};
use crate::writer::FrameBuffer;

/// How many bytes of waiting frames go into one write.
const JOIN: usize = 16 << 10;

/// For how many frames a subscription that waits keeps room.
const KEPT_FRAMES: usize = 8;

/// How long a filter may refuse events before the time, the emitter and the next heartbeat are looked
/// at again: the hub may be busier than the filter is fast.
pub(super) const PATIENCE: Duration = Duration::from_millis(5);

/// Read, but not passed on yet.
#[derive(Debug)]
pub(super) struct Ready {
    frame: Frame,
    /// 0 for one from the history.
    sequence: u64,
}

impl Ready {
    pub(super) fn of(entry: &Entry) -> Self {
        Ready {
            frame: entry.frame.clone(),
            sequence: entry.sequence,
        }
    }
}

/// What there is to pass on.
pub(in crate::hub) enum Next {
    Frame(Frame),
    /// There is one, for which there is no room.
    Full,
    /// There was one, which the filter refused.
    Refused,
    Nothing,
}

/// What reading on came to.
#[derive(Debug)]
pub(in crate::hub) enum Refill {
    /// There may be frames; if not, there may be the next time.
    Some,
    /// There are frames. They are all that there is, and the subscription waits for more already.
    Last,
    /// Everything is read.
    CaughtUp,
}

/// What gathering came to.
#[derive(Debug)]
pub(in crate::hub) enum Gathered {
    /// There may be more.
    More,
    /// That was all, and the subscription waits: it is woken by the next event.
    CaughtUp,
}

impl Subscription {
    /// Appends what can go out at once to a buffer, as far as it fits into one write. Runs the filter,
    /// for a bounded time. Does not block, unless [`reads_history`](Subscription::reads_history).
    pub(in crate::hub) fn gather(
        &mut self,
        buffer: &mut FrameBuffer,
    ) -> Result<Gathered, RecvError> {
        let mut refused_since = None;
        let mut refilled = None;
        loop {
            let used = buffer.len();
            match self.next_ready(|frame| used == 0 || used + frame.as_bytes().len() <= JOIN) {
                Next::Frame(frame) => buffer.extend(frame.as_bytes()),
                Next::Full => return Ok(Gathered::More),
                Next::Refused => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= PATIENCE {
                        return Ok(Gathered::More);
                    }
                }
                Next::Nothing if self.is_over => return Err(RecvError::Closed),
                Next::Nothing if used >= JOIN => return Ok(Gathered::More),
                Next::Nothing => match refilled {
                    Some(Refill::Last | Refill::CaughtUp) => {
                        self.make_small();
                        return Ok(Gathered::CaughtUp);
                    }
                    // Who must not block looks before.
                    Some(Refill::Some) if self.reads_history() => return Ok(Gathered::More),
                    _ => refilled = Some(self.refill(JOIN - used, true)?),
                },
            }
        }
    }

    /// Takes what is to be passed on next, the gap event included, if `fits` has room for it. Runs the
    /// filter, so no lock is held here.
    pub(super) fn next_ready(&mut self, fits: impl Fn(&Frame) -> bool) -> Next {
        if let (true, Some(notice)) = (self.notice_due, &self.notice) {
            self.notice_due = false;
            return Next::Frame(notice.clone());
        }
        let Some(Ready { frame, sequence }) = self.ready.pop_front() else {
            return Next::Nothing;
        };
        if !fits(&frame) {
            self.ready.push_front(Ready { frame, sequence });
            return Next::Full;
        }
        if let (Some(trail), true) = (&mut self.trail, frame.moves_last_event_id()) {
            trail.last.clear();
            trail.last.push_str(frame.id().unwrap_or_default());
        }
        if !frame.is_event() {
            let part = self.shared.part(self.member, sequence);
            return frame.retry_at(part).map_or(Next::Refused, Next::Frame);
        }
        if !self.filter.as_mut().is_none_or(|filter| filter(&frame)) {
            return Next::Refused;
        }
        self.delivered += 1;
        if sequence > 0 && frame.moves_last_event_id() {
            self.told = sequence;
        }
        if self.last.as_mut().is_some_and(|is_last| is_last(&frame)) {
            self.is_over = true;
            self.ready.clear();
        }
        Next::Frame(frame)
    }

    /// Where the client's last event ID may be moved: the newest event that this subscription, which
    /// waits, has passed over, if that is newer than what the client has.
    pub(in crate::hub) fn position(&self) -> Option<Position> {
        if !matches!(self.source, Source::Log) || !self.ready.is_empty() {
            return None;
        }
        let state = self.shared.lock();
        if !state.roster.waits(self.member) {
            return None;
        }
        let position = self.shared.newest(&state)?;
        (position.sequence > self.told).then_some(position)
    }

    /// The client has this position.
    pub(in crate::hub) fn told(&mut self, position: &Position) {
        self.told = position.sequence;
    }

    /// Reads on: one frame, or as many as have room in so many bytes. With `wait`, a subscription that
    /// has read everything stands in the lists of those that wait from that moment on: also while it
    /// passes on what it has read, so that it need not take the lock once more to find nothing.
    pub(super) fn refill(&mut self, room: usize, wait: bool) -> Result<Refill, RecvError> {
        if self.is_over {
            return Err(RecvError::Closed);
        }
        if let Source::History { missed } = self.source {
            return match self.turn_page().map_err(RecvError::History)? {
                true => Ok(Refill::Some),
                false => {
                    self.shared.lock().lagged += 1;
                    Err(RecvError::Lagged { missed })
                }
            };
        }
        let now = self.shared.now();
        let mut state = self.shared.lock();
        state.delivered += std::mem::take(&mut self.delivered);
        let next = state.log.next();
        if let Some(cursor) = state.roster.settle(self.member, next) {
            self.cursor = cursor;
        }
        let expired = state.expire(now);
        let mut taker = Taker {
            ready: &mut self.ready,
            room,
            only_without_id: matches!(self.source, Source::HandOver),
            stopped: false,
        };
        let read = state.read(&self.interest, &mut self.cursor, |entry| taker.take(entry));
        let stopped = taker.stopped;
        let is_end = state.closed;
        let waits = matches!(read, Read::CaughtUp) && !is_end && wait;
        if waits {
            state.roster.wait(self.member);
        }
        drop(state);
        drop(expired);
        match read {
            _ if !self.ready.is_empty() && waits => Ok(Refill::Last),
            _ if !self.ready.is_empty() => Ok(Refill::Some),
            Read::More if stopped => {
                self.source = Source::History { missed: 0 };
                Ok(Refill::Some)
            }
            Read::More => Ok(Refill::Some),
            Read::CaughtUp if is_end => Err(RecvError::Closed),
            Read::CaughtUp => Ok(Refill::CaughtUp),
            Read::Lagged(missed) => self.lagged(missed),
        }
    }

    /// Gives back the room that a burst took, or a page of the history: one that waits is to be small.
    pub(super) fn make_small(&mut self) {
        if self.ready.capacity() > KEPT_FRAMES {
            self.ready = VecDeque::new();
        }
    }

    /// The cursor fell off the log: goes on in the history, if there is one and it is known where.
    fn lagged(&mut self, missed: u64) -> Result<Refill, RecvError> {
        let trail = self.trail.as_ref();
        if trail.is_some_and(|trail| !trail.last.is_empty()) {
            self.source = Source::History { missed };
            return Ok(Refill::Some);
        }
        self.shared.lock().lagged += 1;
        Err(RecvError::Lagged { missed })
    }

    /// Reads a page of the history. False when it does not know the event that was passed on last,
    /// and when there is no history to ask; the log is next then.
    pub(super) fn turn_page(&mut self) -> io::Result<bool> {
        let (Some(history), Some(trail)) = (&self.shared.history, &mut self.trail) else {
            self.source = Source::Log;
            return Ok(false);
        };
        let page = Page::next(&self.shared, &**history, &self.interest, trail);
        if trail.last.is_empty() {
            self.source = Source::Log;
        }
        match page? {
            Page::Unknown => {
                // Nor will it know it the next time.
                trail.last.clear();
                self.source = Source::Log;
                return Ok(false);
            }
            Page::Some(frames) => self.make_ready(frames),
            Page::Joined(frames, cursor) => {
                self.source = Source::Log;
                self.cursor = cursor;
                if frames.is_empty() {
                    return Ok(self.joins());
                }
                self.make_ready(frames);
            }
            Page::Nothing(cursor) => {
                self.cursor = cursor;
                self.source = Source::HandOver;
            }
        }
        Ok(true)
    }

    /// Whether the log still has what comes at the cursor, or the history may have it. What neither has
    /// are events without an id that were evicted: then the cursor is moved to what is left.
    fn joins(&mut self) -> bool {
        let state = self.shared.lock();
        let border = state.log.newest_id().map_or(0, |(_, sequence)| sequence);
        if border >= self.cursor {
            return true;
        }
        state.catch_lag(&self.interest, &mut self.cursor) == 0
    }

    fn make_ready(&mut self, frames: Vec<Frame>) {
        let ready = frames.into_iter().map(|frame| Ready { frame, sequence: 0 });
        self.ready.extend(ready);
    }

    /// Whether the next read asks the history, and may block.
    pub(in crate::hub) fn reads_history(&self) -> bool {
        self.ready.is_empty() && matches!(self.source, Source::History { .. })
    }
}

/// What takes entries of the log, under the lock.
struct Taker<'a> {
    ready: &'a mut VecDeque<Ready>,
    /// How many bytes there is room for.
    room: usize,
    /// An entry with an id is not to be taken.
    only_without_id: bool,
    /// There was one.
    stopped: bool,
}

impl Taker<'_> {
    fn take(&mut self, entry: &Entry) -> Take {
        if self.only_without_id && entry.id.is_some() {
            self.stopped = true;
            return Take::NotThis;
        }
        let length = entry.frame.as_bytes().len();
        if length > self.room && !self.ready.is_empty() {
            return Take::NotThis;
        }
        self.ready.push_back(Ready::of(entry));
        self.room = self.room.saturating_sub(length);
        match self.room {
            0 => Take::Enough,
            _ => Take::More,
        }
    }
}

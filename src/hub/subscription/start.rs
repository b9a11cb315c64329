//! How a subscription begins.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::{Filter, Ready, Source, Subscription};
use crate::hub::error::SubscribeError;
use crate::hub::frame::Frame;
use crate::hub::interest::Interest;
use crate::hub::paging::Trail;
use crate::hub::serve::LagPolicy;
use crate::hub::shared::{STEP, Shared, State};
use crate::hub::subscribe::{GapPolicy, Resumption};
use crate::sync::Signal;

/// What a subscription is started with.
pub(in crate::hub) struct Start {
    pub(in crate::hub) shared: Arc<Shared>,
    pub(in crate::hub) interest: Interest,
    pub(in crate::hub) filter: Option<Filter>,
    pub(in crate::hub) last: Option<Filter>,
    pub(in crate::hub) last_event_id: String,
    pub(in crate::hub) replay: usize,
    pub(in crate::hub) retained: bool,
    pub(in crate::hub) gap: GapPolicy,
    pub(in crate::hub) lag: LagPolicy,
    pub(in crate::hub) notice: Option<Frame>,
}

/// Where a client with this id goes on in the log, what that means, and the sequence of the event with
/// the id, 0 where that is unknown.
fn find_start(
    shared: &Shared,
    state: &State,
    interest: &Interest,
    id: &str,
) -> (u64, Resumption, u64) {
    if id.is_empty() {
        return (state.log.next(), Resumption::New, 0);
    }
    let Some(sequence) = shared.find(state, id) else {
        return (state.log.tail(), Resumption::Gap { missed: None }, 0);
    };
    let mut cursor = sequence + 1;
    let resumption = match state.catch_lag(interest, &mut cursor) {
        0 => Resumption::CaughtUp,
        missed => Resumption::Gap {
            missed: Some(missed),
        },
    };
    (cursor, resumption, sequence)
}

impl Subscription {
    pub(in crate::hub) fn start(start: Start) -> Result<Self, SubscribeError> {
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
        let waker = Arc::clone(&signal);
        let member = state.roster.join(&start.interest, waker, evicted);
        let next = state.log.next();
        let (cursor, resumption, told) = find_start(&shared, &state, &start.interest, &id);
        drop(state);
        drop(expired);

        // The history cannot be asked for what is for everyone alone.
        let is_asked = shared.history.is_some() && !start.interest.is_of_no_topic();
        // From here on, dropping it gives its place back.
        let mut this = Subscription {
            shared,
            member,
            signal,
            interest: start.interest,
            filter: start.filter,
            last: start.last,
            is_over: false,
            source: Source::Log,
            cursor,
            ready: VecDeque::new(),
            notice: start.notice,
            notice_due: false,
            lag: start.lag,
            resumption,
            trail: is_asked.then(|| Box::new(Trail::new(id))),
            told,
            delivered: 0,
            end_hook: None,
        };
        if let Resumption::Gap { .. } = resumption {
            this.enter_history().map_err(SubscribeError::History)?;
        }
        match this.resumption {
            Resumption::New => this.rewind(start.replay, next),
            Resumption::CaughtUp => match this.count(next) {
                0 => {}
                replayed => this.resumption = Resumption::Resumed { replayed },
            },
            Resumption::Gap { missed } => match start.gap {
                GapPolicy::Refuse => return Err(SubscribeError::Gap { missed }),
                GapPolicy::Live => {
                    this.cursor = next;
                    this.notice_due = true;
                }
                GapPolicy::Replay => this.notice_due = true,
            },
            _ => {}
        }
        let is_to_know = matches!(this.resumption, Resumption::New | Resumption::Gap { .. });
        if start.retained && is_to_know {
            this.enter_retained();
        }
        Ok(this)
    }

    /// Takes the newest event of each topic that comes before the cursor.
    fn enter_retained(&mut self) {
        let state = self.shared.lock();
        let retained = state.retained.before(self.cursor, &self.interest);
        self.ready.extend(retained.map(Ready::of));
    }

    /// Has the history close a gap at the start, if it can.
    fn enter_history(&mut self) -> io::Result<()> {
        if self.trail.is_none() {
            return Ok(());
        }
        self.source = Source::History { missed: 0 };
        if self.turn_page()? {
            self.resumption = match self.ready.is_empty() {
                true => Resumption::CaughtUp,
                false => Resumption::History,
            };
            return Ok(());
        }
        // The log may have rolled on meanwhile, which is the same gap.
        let state = self.shared.lock();
        if state.catch_lag(&self.interest, &mut self.cursor) > 0 {
            self.resumption = Resumption::Gap { missed: None };
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
}

//! What the handles and subscriptions of a hub share, and its one lock.
//!
//! Under the lock nothing of the user's runs and nothing is written; what falls out of the log is
//! dropped, and who waits is woken, when it is let go.

use std::array;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::builder::IdPolicy;
use super::frame::Frame;
use super::history::History;
use super::log::{Audience, Entry, Evicted, Key, Limits, Log};
use super::roster::{self, Interest, Roster};
use crate::sync::{Signal, ignore_poison};

/// How many digits the epoch and the sequence of an id have each.
const DIGITS: usize = 16;

/// How many entries are looked at before the lock is let go: a subscriber of a rare topic in a busy
/// log does not hold up those who publish.
pub(super) const STEP: usize = 256;

/// How many are woken under one lock. One alone would leave cores idle, and many would be so busy with
/// the first event of a burst that the publisher takes long to get to the second.
const WAKE: usize = 8;

/// How many times that number one subscription has to wake at most.
const MAX_WAVE: usize = 64;

pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) limits: Limits,
    pub(super) max_subscribers: usize,
    pub(super) ids: Ids,
    pub(super) history: Option<Box<dyn History>>,
    hasher: RandomState,
}

/// What assigned ids begin with, or that there are none.
#[derive(Debug)]
pub(super) enum Ids {
    /// An id of the right length: this hub's epoch and a sequence of zero.
    Assigned(String),
    Own,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) roster: Roster,
    pub(super) closed: bool,
    /// Those to be woken, and whether somebody is about it.
    woken: VecDeque<Arc<Signal>>,
    waking: bool,
    /// How many times [`WAKE`] are woken next.
    wave: usize,
    /// How often a cursor fell off the log.
    pub(super) lagged: u64,
}

/// What reading on from a cursor came to.
#[derive(Debug)]
pub(super) enum Read {
    /// There may be more.
    More,
    /// Everything is read.
    CaughtUp,
    /// So many at most were evicted before they were read.
    Lagged(u64),
}

impl Shared {
    pub(super) fn new(
        limits: Limits,
        max_subscribers: usize,
        policy: IdPolicy,
        history: Option<Box<dyn History>>,
    ) -> Self {
        let hasher = RandomState::new();
        let ids = match policy {
            IdPolicy::Own => Ids::Own,
            IdPolicy::Assigned => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                let epoch = hasher.hash_one(since.unwrap_or_default().as_nanos());
                Ids::Assigned(format!("{epoch:016x}-{:016x}", 0))
            }
        };
        let state = State {
            log: Log::new(limits),
            roster: Roster::default(),
            closed: false,
            woken: VecDeque::new(),
            waking: false,
            wave: 1,
            lagged: 0,
        };
        Shared {
            state: Mutex::new(state),
            limits,
            max_subscribers,
            ids,
            history,
            hasher,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        ignore_poison(self.state.lock())
    }

    pub(super) fn key(&self, text: &str) -> Key {
        self.hasher.hash_one(text)
    }

    /// The time, where there is a limit of age.
    pub(super) fn now(&self) -> Option<Instant> {
        self.limits.age.map(|_| Instant::now())
    }

    /// Appends a frame and wakes those it is for. Returns it as it was published.
    pub(super) fn append(&self, mut frame: Frame, audience: Audience) -> io::Result<Frame> {
        let id = match self.ids {
            Ids::Assigned(_) => None,
            Ids::Own => frame
                .id()
                .filter(|id| !id.is_empty())
                .map(|id| self.key(id)),
        };
        let at = self.now();
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        let sequence = state.log.next();
        if let Ids::Assigned(_) = self.ids {
            // Nobody else has it yet.
            if let Some(digits) = frame.id_mut() {
                write_hex(sequence, &mut digits[DIGITS + 1..]);
            }
        }
        let State { roster, woken, .. } = &mut *state;
        roster.wake(&audience, sequence, woken);
        let evicted = state.log.append(Entry {
            frame: frame.clone(),
            sequence,
            audience,
            id,
            at,
        });
        state.roster.note(&evicted);
        let begins = !state.waking && !state.woken.is_empty();
        if begins {
            state.waking = true;
            state.wave = 1;
        }
        drop(state);
        if begins {
            self.wake_next();
        }
        Ok(frame)
    }

    /// Wakes the next few, and has one of them wake those that follow, before it does anything
    /// else: twice as many each time, so that a busy machine does not make the last ones wait for
    /// long. So a publisher does not pay for thousands of wake-ups, and is not held up by those that
    /// are awake: what it publishes meanwhile they find in the log together, and send in one write.
    pub(super) fn wake_next(&self) {
        let mut passed_on = false;
        let mut left = 0;
        while left > 0 || !passed_on {
            let mut state = self.lock();
            if left == 0 {
                left = state.wave;
                state.wave = (2 * state.wave).min(MAX_WAVE);
            }
            let next: [_; WAKE] = array::from_fn(|_| state.woken.pop_front());
            if next[0].is_none() {
                // Who has the task now, if anybody, is the one to end it.
                state.waking &= passed_on;
                return;
            }
            drop(state);
            left -= 1;
            for signal in next.into_iter().flatten() {
                match passed_on {
                    true => signal.raise(),
                    // Who does not wait (it was dropped, its time was up) wakes nobody.
                    false => passed_on = signal.raise_with_task(),
                }
            }
        }
    }

    /// Ends publishing, and wakes everybody.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let next = state.log.next();
        let State { roster, woken, .. } = &mut *state;
        roster.wake(&Audience::Everyone, next, woken);
        let woken = std::mem::take(woken);
        drop(state);
        for signal in woken {
            signal.raise();
        }
    }

    /// The sequence of the event with this id: still in the log, or evicted but known all the same.
    pub(super) fn find(&self, state: &State, id: &str) -> Option<u64> {
        match &self.ids {
            Ids::Own => state.log.find(self.key(id), id).or_else(|| {
                // The newest one is known even when it grew too old.
                let (newest, sequence) = state.log.newest_id()?;
                (newest == id).then_some(sequence)
            }),
            Ids::Assigned(zero) => {
                let (epoch, digits) = id.as_bytes().split_at_checked(DIGITS + 1)?;
                let known = zero.as_bytes().get(..=DIGITS) == Some(epoch);
                let sequence = read_hex(digits).filter(|_| known)?;
                (sequence < state.log.next()).then_some(sequence)
            }
        }
    }
}

impl State {
    /// Evicts what is too old. The result is to be dropped after the lock.
    pub(super) fn expire(&mut self, now: Option<Instant>) -> Evicted {
        let evicted = self.log.expire(now);
        self.roster.note(&evicted);
        evicted
    }

    /// Takes a subscription out, and gives the room back that nobody needs any more.
    pub(super) fn leave(&mut self, signal: &Signal) {
        self.roster.leave(signal);
        let woken = &mut self.woken;
        let needed = self.roster.len().max(woken.len());
        roster::trim(woken.capacity(), needed, |to| woken.shrink_to(to));
    }

    /// The newest evicted sequence.
    pub(super) fn evicted(&self) -> u64 {
        self.log.tail() - 1
    }

    /// Moves a cursor that is off the log to its tail. Returns how many events it may have missed;
    /// none when all that was evicted was for others.
    pub(super) fn catch_lag(&self, interest: &Interest, cursor: &mut u64) -> u64 {
        let tail = self.log.tail();
        if *cursor >= tail {
            return 0;
        }
        let evicted = self.roster.evicted(interest, tail - 1);
        let missed = (evicted + 1).saturating_sub(*cursor);
        *cursor = tail;
        missed
    }

    /// Reads on from a cursor, a step at most, until `take` has enough.
    pub(super) fn read(
        &mut self,
        interest: &Interest,
        cursor: &mut u64,
        mut take: impl FnMut(&Entry) -> Take,
    ) -> Read {
        let missed = self.catch_lag(interest, cursor);
        if missed > 0 {
            return Read::Lagged(missed);
        }
        for entry in self.log.from(*cursor).take(STEP) {
            let taken = match interest.takes(entry) {
                true => take(entry),
                false => Take::More,
            };
            if let Take::NotThis = taken {
                return Read::More;
            }
            *cursor = entry.sequence + 1;
            if let Take::Enough = taken {
                return Read::More;
            }
        }
        match *cursor == self.log.next() {
            true => Read::CaughtUp,
            false => Read::More,
        }
    }
}

/// What the reader of an entry wants next.
#[derive(Debug)]
pub(super) enum Take {
    /// The next one.
    More,
    /// It has this one, and enough.
    Enough,
    /// It has no room for this one.
    NotThis,
}

/// Makes a hub's end the end for those who wait.
pub(super) struct Owner(pub(super) Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

pub(super) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the hub is closed")
}

fn write_hex(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value % 16) as usize];
        value /= 16;
    }
}

/// The value of digits as [`write_hex`] writes them, and of nothing else.
fn read_hex(digits: &[u8]) -> Option<u64> {
    if digits.len() != DIGITS {
        return None;
    }
    digits.iter().try_fold(0, |value, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

//! What the handles and subscriptions of a hub share: all of it first, then the rules of its one lock,
//! then the code.

mod log;
mod retained;
mod roster;
mod wake;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use self::log::Evicted;
use self::wake::Call;
use super::builder::IdPolicy;
use super::error::PublishError;
use super::frame::Frame;
use super::history::History;
use super::ids::Ids;
use super::interest::Interest;
use crate::sync::{Lane, Signal, Token, ignore_poison};

pub(super) use self::log::{Audience, Key, Limits};
pub(super) use self::roster::MemberId;

/// A hub.
pub(super) struct Shared {
    state: Mutex<State>,
    /// The last subscription has left a closed hub.
    pub(super) left: Condvar,
    pub(super) limits: Limits,
    pub(super) max_subscribers: usize,
    pub(super) max_topics: usize,
    pub(super) ids: Ids,
    pub(super) history: Option<Box<dyn History>>,
    /// Makes keys of topics and ids.
    hasher: RandomState,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) retained: Retained,
    pub(super) roster: Roster,
    wakes: Wakes,
    pub(super) closed: bool,
    /// How often a cursor fell off the log.
    pub(super) lagged: u64,
    /// How many events were passed on to subscribers.
    pub(super) delivered: u64,
}

/// The newest events, bounded by number, bytes and age.
#[derive(Debug)]
pub(super) struct Log {
    /// Their sequences have no hole, so that a sequence is an index.
    entries: VecDeque<Entry>,
    limits: Limits,
    /// The sequence of the next event; the first is 1.
    next: u64,
    /// What the entries hold.
    bytes: usize,
    /// The newest entry for each id that is an event's own.
    ids: log::KeyMap<u64>,
    /// The sequence of the newest event with an id of its own, evicted or not.
    newest: Option<u64>,
    /// Its id, once it is evicted.
    evicted_id: String,
}

/// One event of the log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) frame: Frame,
    pub(super) sequence: u64,
    pub(super) audience: Audience,
    /// The key of an id that is the event's own.
    pub(super) id: Option<Key>,
    /// When it was published; None where there is no limit of age.
    pub(super) at: Option<Instant>,
}

/// The newest event of each topic, also where the log has let it go.
#[derive(Debug, Default)]
pub(super) struct Retained {
    /// For how many topics.
    limit: usize,
    max_bytes: usize,
    /// By key, the sequence of the topic's newest event.
    topics: log::KeyMap<u64>,
    /// By sequence. Each is the newest of one of its topics.
    events: BTreeMap<u64, Entry>,
    /// What they hold.
    bytes: usize,
}

/// Who is subscribed, to what, and who of them waits.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// By id. No free place comes last.
    members: Vec<Option<Box<Member>>>,
    subscribed: usize,
    /// No place before this one is free.
    free_from: usize,
    /// The topics that somebody is subscribed to.
    topics: log::KeyMap<Topic>,
    /// The newest evicted sequence of those that were for everyone.
    evicted_for_everyone: u64,
    /// Who waits for everything.
    waiting: Vec<MemberId>,
    /// Who waits, and names topics.
    waiting_for_topics: Vec<MemberId>,
    /// The lanes that members are on, by [`roster::LaneId`].
    lanes: Vec<Option<Boarded>>,
}

/// A subscription.
#[derive(Debug)]
struct Member {
    names_topics: bool,
    waker: Waker,
    standing: Standing,
}

/// What is woken when there is something to read.
#[derive(Debug)]
enum Waker {
    /// A thread that waits for this subscription alone.
    Thread(Arc<Signal>),
    /// A thread that looks after many, which knows this one by its token.
    Lane(roster::LaneId, Token),
}

/// Whether a subscription waits.
#[derive(Clone, Copy, Debug)]
enum Standing {
    Reads,
    /// It has read everything, and stands in one of the two lists, here.
    Waits(usize),
    /// An event with this sequence woke it. What came before was not for it.
    Woken(u64),
}

/// A topic that somebody is subscribed to.
#[derive(Debug)]
struct Topic {
    members: BTreeSet<MemberId>,
    /// The newest sequence of it that was evicted, or might have been.
    evicted: u64,
}

/// A lane, for the members that are on it.
#[derive(Debug)]
struct Boarded {
    lane: Arc<Lane>,
    members: usize,
    /// Who of them the event at hand is for.
    due: Vec<Token>,
}

/// Who is to be woken when the lock is let go.
#[derive(Debug, Default)]
struct Wakes {
    threads: VecDeque<Arc<Signal>>,
    lanes: Vec<Arc<Lane>>,
    /// Somebody is about waking the threads.
    under_way: bool,
    /// How many times [`wake::BATCH`] are woken next.
    wave: usize,
}

// The rules of the lock:
//
// - Nothing of the user's runs under it (filters, histories, iterators, the drop of an event's bytes),
//   and nothing is written. What falls out of the log is dropped when the lock is let go, and who is to
//   be woken is woken then.
// - It is held for a bounded number of steps: `STEP` entries for who reads, one per member of a topic
//   for who publishes to it, one per topic for who subscribes and leaves.
// - A lane's own lock may be taken under it. No other.
// - A `MemberId` belongs to one subscription until that leaves. No list has it then.

/// How many entries are looked at before the lock is let go: a subscriber of a rare topic in a busy
/// log does not hold up those who publish.
pub(super) const STEP: usize = 256;

impl Shared {
    pub(super) fn new(
        limits: Limits,
        (max_subscribers, max_topics, retained): (usize, usize, usize),
        policy: IdPolicy,
        history: Option<Box<dyn History>>,
    ) -> Self {
        let hasher = RandomState::new();
        let ids = match policy {
            IdPolicy::Own => Ids::Own,
            IdPolicy::Assigned => Ids::assigned(&hasher),
        };
        let state = State {
            log: Log::new(limits),
            retained: Retained::new(retained, limits.bytes),
            roster: Roster::default(),
            wakes: Wakes::default(),
            closed: false,
            lagged: 0,
            delivered: 0,
        };
        Shared {
            state: Mutex::new(state),
            left: Condvar::new(),
            limits,
            max_subscribers,
            max_topics,
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

    /// A number for this subscription and the entry with this sequence: another one for each, spread
    /// evenly over the subscriptions.
    pub(super) fn part(&self, member: MemberId, sequence: u64) -> u64 {
        member.spread(self.hasher.hash_one(sequence))
    }

    /// The time, where there is a limit of age.
    pub(super) fn now(&self) -> Option<Instant> {
        self.limits.age.map(|_| Instant::now())
    }

    /// Appends a frame and wakes those it is for. Returns it as it was published.
    pub(super) fn append(
        &self,
        mut frame: Frame,
        audience: Audience,
    ) -> Result<Frame, PublishError> {
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
            return Err(PublishError::Closed);
        }
        let sequence = state.log.next();
        if let (Ids::Assigned(_), Some(id)) = (&self.ids, frame.id_mut()) {
            // Nobody else has it yet.
            Ids::assign(id, sequence);
        }
        let call = state.wake(&audience, sequence);
        let entry = Entry {
            frame: frame.clone(),
            sequence,
            audience,
            id,
            at,
        };
        let mut let_go = None;
        if state.retained.is_on() {
            let let_go = let_go.insert(Evicted::default());
            state.retained.keep(entry.clone(), let_go);
        }
        let evicted = state.log.append(entry);
        state.roster.note(&evicted);
        drop(state);
        self.wake(call);
        Ok(frame)
    }

    /// Ends publishing, and wakes everybody.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let next = state.log.next();
        let call = state.wake(&Audience::Everyone, next);
        drop(state);
        self.wake(call);
    }

    /// The newest event that a client can come back with.
    pub(super) fn newest(&self, state: &State) -> Option<Position> {
        match &self.ids {
            Ids::Own => {
                let (id, sequence) = state.log.newest_id()?;
                let id = id.to_owned();
                Some(Position { id, sequence })
            }
            Ids::Assigned(zero) => {
                let sequence = state.log.next() - 1;
                let id = Ids::of(zero, sequence);
                (sequence > 0).then_some(Position { id, sequence })
            }
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
                Ids::sequence(zero, id).filter(|&sequence| sequence < state.log.next())
            }
        }
    }
}

impl State {
    /// Takes those that an event with this sequence is for out of who waits; they go on there.
    #[inline]
    fn wake(&mut self, audience: &Audience, sequence: u64) -> Call {
        if self.roster.is_awake() {
            return Call::NOTHING;
        }
        self.roster.wake(audience, sequence, &mut self.wakes);
        self.wakes.begin()
    }

    /// Evicts what is too old. The result is to be dropped after the lock.
    pub(super) fn expire(&mut self, now: Option<Instant>) -> Evicted {
        let evicted = self.log.expire(now);
        self.roster.note(&evicted);
        evicted
    }

    /// Takes a subscription out, and gives the room back that nobody needs any more.
    pub(super) fn leave(&mut self, member: MemberId, interest: &Interest) {
        self.roster.leave(member, interest);
        self.wakes.trim(self.roster.len());
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

/// An event that a client can come back with.
#[derive(Debug)]
pub(super) struct Position {
    pub(super) id: String,
    pub(super) sequence: u64,
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

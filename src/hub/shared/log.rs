//! The log: the newest events, bounded by number, bytes and age. No lock, no clock, no I/O.

use std::collections::{HashMap, VecDeque, vec_deque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use super::{Entry, Log};

/// What the log may hold. Whatever is reached first evicts.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct Limits {
    pub(in crate::hub) events: usize,
    pub(in crate::hub) bytes: usize,
    pub(in crate::hub) age: Option<Duration>,
}

/// A hash under the hub's own random keys: of a topic, or of an id.
pub(in crate::hub) type Key = u64;

/// A map by such hashes, which need not be hashed again.
pub(in crate::hub) type KeyMap<V> = HashMap<Key, V, BuildHasherDefault<PassOn>>;

/// Takes a key for its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::hub) struct PassOn(u64);

impl Hasher for PassOn {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key is a number");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// Whom an event is for.
#[derive(Clone, Debug)]
pub(in crate::hub) enum Audience {
    Everyone,
    /// The usual case, without an allocation.
    Topic(Key),
    Topics(Box<[Key]>),
}

impl Audience {
    /// Its topics; none for everyone.
    pub(in crate::hub) fn topics(&self) -> &[Key] {
        match self {
            Audience::Everyone => &[],
            Audience::Topic(key) => std::slice::from_ref(key),
            Audience::Topics(keys) => keys,
        }
    }

    /// How many bytes it holds outside of itself.
    pub(in crate::hub) fn held(&self) -> usize {
        match self {
            Audience::Everyone | Audience::Topic(_) => 0,
            Audience::Topics(keys) => size_of_val(&**keys),
        }
    }
}

/// What fell out of the log, to be dropped when no lock is held. Mostly it is one entry.
#[derive(Debug, Default)]
pub(in crate::hub) struct Evicted {
    first: Option<Entry>,
    rest: Vec<Entry>,
}

impl Evicted {
    pub(super) fn push(&mut self, entry: Entry) {
        match self.first {
            None => self.first = Some(entry),
            Some(_) => self.rest.push(entry),
        }
    }

    pub(in crate::hub) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.first.iter().chain(&self.rest)
    }
}

/// How many bytes the room for an evicted id may have, whatever the id.
const KEPT: usize = 256;

impl Entry {
    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        self.frame.held() + self.audience.held()
    }
}

impl Log {
    pub(in crate::hub) fn new(limits: Limits) -> Self {
        Log {
            entries: VecDeque::new(),
            limits,
            next: 1,
            bytes: 0,
            ids: KeyMap::default(),
            newest: None,
            evicted_id: String::new(),
        }
    }

    /// The sequence of the next event.
    pub(in crate::hub) fn next(&self) -> u64 {
        self.next
    }

    /// The sequence of the oldest entry, or of the next one where there is none.
    pub(in crate::hub) fn tail(&self) -> u64 {
        self.next - self.entries.len() as u64
    }

    pub(in crate::hub) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(in crate::hub) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::hub) fn oldest_entry(&self) -> Option<&Entry> {
        self.entries.front()
    }

    pub(in crate::hub) fn newest_entry(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// The id and the sequence of the newest event with an id of its own, evicted or not.
    pub(in crate::hub) fn newest_id(&self) -> Option<(&str, u64)> {
        let sequence = self.newest?;
        let id = match sequence < self.tail() {
            true => &self.evicted_id,
            false => self.from(sequence).next()?.frame.id()?,
        };
        Some((id, sequence))
    }

    /// The entries from this sequence on, oldest first.
    pub(in crate::hub) fn from(&self, sequence: u64) -> vec_deque::Iter<'_, Entry> {
        let skipped = sequence.saturating_sub(self.tail());
        let start = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.entries.range(start.min(self.entries.len())..)
    }

    /// The sequence of the newest entry with this id.
    pub(in crate::hub) fn find(&self, key: Key, id: &str) -> Option<u64> {
        let sequence = *self.ids.get(&key)?;
        let entry = self.from(sequence).next()?;
        (entry.frame.id() == Some(id)).then_some(sequence)
    }

    /// Appends an entry, whose sequence is the next, and evicts what is too much now.
    pub(in crate::hub) fn append(&mut self, entry: Entry) -> Evicted {
        debug_assert_eq!(entry.sequence, self.next);
        let now = entry.at;
        self.next += 1;
        self.bytes += entry.held();
        if let Some(key) = entry.id {
            self.ids.insert(key, entry.sequence);
            self.newest = Some(entry.sequence);
        }
        self.entries.push_back(entry);
        let mut evicted = self.expire(now);
        while self.entries.len() > self.limits.events || self.bytes > self.limits.bytes {
            self.evict(&mut evicted);
        }
        evicted
    }

    /// Evicts what is too old.
    pub(in crate::hub) fn expire(&mut self, now: Option<Instant>) -> Evicted {
        let mut evicted = Evicted::default();
        let (Some(limit), Some(now)) = (self.limits.age, now) else {
            return evicted;
        };
        let is_old = |entry: &Entry| {
            let age = entry.at.map(|at| now.saturating_duration_since(at));
            age.is_some_and(|age| age > limit)
        };
        while self.entries.front().is_some_and(is_old) {
            self.evict(&mut evicted);
        }
        evicted
    }

    fn evict(&mut self, evicted: &mut Evicted) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        self.bytes -= entry.held();
        if let Some(key) = entry.id {
            if self.ids.get(&key) == Some(&entry.sequence) {
                self.ids.remove(&key);
            }
        }
        if self.newest == Some(entry.sequence) {
            self.evicted_id.clear();
            self.evicted_id.shrink_to(KEPT);
            self.evicted_id
                .push_str(entry.frame.id().unwrap_or_default());
        }
        evicted.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;
    use crate::event::Event;
    use crate::hub::frame::Frame;

    #[test]
    fn a_key_is_its_own_hash() {
        let hasher = BuildHasherDefault::<PassOn>::default();
        assert_eq!(hasher.hash_one(7_u64), 7);
    }

    fn log(age: Option<Duration>) -> Log {
        Log::new(Limits {
            events: 4,
            bytes: 1 << 20,
            age,
        })
    }

    fn append(log: &mut Log, id: &str, at: Option<Instant>) -> Vec<u64> {
        let event = Event::new("x").with_id(id);
        let frame = Frame::of(&event).unwrap();
        let evicted = log.append(Entry {
            frame,
            sequence: log.next(),
            audience: Audience::Everyone,
            id: id.parse().ok(),
            at,
        });
        evicted.iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn an_entry_is_evicted_once_it_is_older_than_the_limit() {
        let limit = Duration::from_secs(60);
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let mut log = log(Some(limit));
        assert_eq!(append(&mut log, "1", at(0)), []);
        assert_eq!(append(&mut log, "2", at(10)), []);
        assert_eq!(log.expire(at(60)).iter().count(), 0);
        assert_eq!(log.expire(at(61)).iter().count(), 1);
        assert_eq!((log.tail(), log.len()), (2, 1));
        assert_eq!(append(&mut log, "3", at(100)), [2]);
        assert_eq!(log.expire(None).iter().count(), 0);
        // A clock that another thread read before.
        assert_eq!(log.expire(at(0)).iter().count(), 0);
    }

    #[test]
    fn sequences_are_indices_whatever_was_evicted() {
        let mut log = log(None);
        for n in 1..=10 {
            append(&mut log, "0", None);
            let all: Vec<_> = log.from(0).map(|entry| entry.sequence).collect();
            assert_eq!(all, Vec::from_iter(log.tail()..=n));
            assert_eq!(log.from(n).count(), 1);
            assert_eq!(log.from(n + 1).count(), 0);
            assert_eq!(log.from(u64::MAX).count(), 0);
        }
        assert_eq!((log.tail(), log.next()), (7, 11));
    }

    #[test]
    fn an_id_is_found_while_its_entry_is_there() {
        let mut log = log(None);
        for id in ["1", "2", "1", "3"] {
            append(&mut log, id, None);
        }
        assert_eq!(log.find(1, "1"), Some(3));
        assert_eq!(log.find(2, "2"), Some(2));
        assert_eq!(log.find(2, "another of the same hash"), None);
        assert_eq!(log.find(4, "4"), None);
        append(&mut log, "4", None);
        append(&mut log, "5", None);
        assert_eq!((log.find(1, "1"), log.find(2, "2")), (Some(3), None));
        append(&mut log, "6", None);
        assert_eq!(log.find(1, "1"), None);
        assert_eq!(log.ids.len(), 4);
    }

    #[test]
    fn the_newest_id_is_known_whatever_was_evicted() {
        let limit = Duration::from_secs(60);
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let mut log = log(Some(limit));
        assert_eq!(log.newest_id(), None);
        append(&mut log, "1", at(0));
        append(&mut log, "2", at(10));
        assert_eq!(log.newest_id(), Some(("2", 2)));
        log.expire(at(65));
        assert_eq!((log.len(), log.newest_id()), (1, Some(("2", 2))));
        log.expire(at(100));
        assert_eq!((log.len(), log.newest_id()), (0, Some(("2", 2))));
        // Events without an id of their own change nothing.
        for _ in 0..5 {
            append(&mut log, "none", at(100));
            assert_eq!(log.newest_id(), Some(("2", 2)));
        }
        append(&mut log, "3", at(100));
        assert_eq!(log.newest_id(), Some(("3", 8)));
        for _ in 0..5 {
            append(&mut log, "none", at(100));
            assert_eq!(log.newest_id(), Some(("3", 8)));
        }
    }
}

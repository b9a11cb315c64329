//! Who is subscribed, who of them waits, and what they may have missed.
//!
//! A subscription that waits stands in a list of all that wait, and in one for each of its topics
//! (or in that of those who take every topic); it knows its position in each, so that it leaves them
//! in a step per topic, however many wait. Topics exist here as long as a subscription names them, and
//! no table has much more room than there are subscriptions.
//!
//! A subscription is known by its signal, whose number is where it stands here. That changes as others
//! leave, so the number is looked at under the hub's lock alone.

use std::collections::VecDeque;
use std::sync::Arc;

use super::log::{Audience, Entry, Evicted, Key, KeyMap};
use crate::sync::Signal;

/// For how many subscriptions there may be room although there are fewer.
const KEPT: usize = 8;

/// What a subscription takes.
#[derive(Debug)]
pub(super) enum Interest {
    Everything,
    /// These topics, in the order of their keys, and what is published to everyone.
    Topics(Box<[(Key, Box<str>)]>),
}

impl Interest {
    pub(super) fn in_topics(mut topics: Vec<(Key, Box<str>)>) -> Self {
        topics.sort_unstable();
        topics.dedup();
        Interest::Topics(topics.into())
    }

    pub(super) fn takes(&self, entry: &Entry) -> bool {
        let wanted = match (self, &entry.audience) {
            (Interest::Everything, _) | (_, Audience::Everyone) => return true,
            (Interest::Topics(wanted), _) => wanted,
        };
        entry.audience.topics().iter().any(|key| {
            let start = wanted.partition_point(|(wanted, _)| wanted < key);
            let mut same = wanted[start..]
                .iter()
                .take_while(|(wanted, _)| wanted == key);
            // The names have the last word: two might share a hash.
            same.any(|(_, name)| entry.frame.topics().any(|topic| *topic == **name))
        })
    }

    /// Whether it names topics, but none: it takes what is published to everyone.
    pub(super) fn is_of_no_topic(&self) -> bool {
        matches!(self, Interest::Topics(topics) if topics.is_empty())
    }

    /// Its topics; none where it takes everything.
    pub(super) fn topics(&self) -> &[(Key, Box<str>)] {
        match self {
            Interest::Everything => &[],
            Interest::Topics(topics) => topics,
        }
    }
}

/// Where those that wait stand.
#[derive(Clone, Copy, Debug)]
enum List {
    /// All of them.
    All,
    /// Those that take everything.
    Everything,
    Topic(Key),
}

/// A subscription's place in a list.
#[derive(Debug)]
struct Place {
    list: List,
    /// Its index there, while it waits.
    position: usize,
}

/// One that waits, as its list has it: the member, and which of its places that list is.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    member: usize,
    place: usize,
}

#[derive(Debug)]
struct Member {
    /// Its number is this one's index.
    signal: Arc<Signal>,
    waits: bool,
    /// What woke it, or where it began to wait.
    cursor: u64,
    places: Box<[Place]>,
}

/// A topic that somebody is subscribed to.
#[derive(Debug)]
struct Topic {
    subscriptions: usize,
    /// The newest sequence of it that was evicted, or might have been.
    evicted: u64,
    waiters: Vec<Waiter>,
}

/// The lists of those that wait.
#[derive(Debug, Default)]
struct Lists {
    all: Vec<Waiter>,
    everything: Vec<Waiter>,
    topics: KeyMap<Topic>,
}

impl Lists {
    fn get(&mut self, list: List) -> Option<&mut Vec<Waiter>> {
        match list {
            List::All => Some(&mut self.all),
            List::Everything => Some(&mut self.everything),
            List::Topic(key) => Some(&mut self.topics.get_mut(&key)?.waiters),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Roster {
    members: Vec<Member>,
    waiting: Lists,
    /// The newest evicted sequence of those that were for everyone.
    evicted_for_everyone: u64,
}

impl Roster {
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Adds a subscription. `evicted`: the newest evicted sequence.
    pub(super) fn join(&mut self, interest: &Interest, signal: Arc<Signal>, evicted: u64) {
        let mut places = vec![List::All];
        match interest {
            Interest::Everything => places.push(List::Everything),
            Interest::Topics(topics) => places.extend(topics.iter().map(|(k, _)| List::Topic(*k))),
        }
        for (key, _) in interest.topics() {
            let topic = self.waiting.topics.entry(*key).or_insert_with(|| Topic {
                subscriptions: 0,
                // Nobody took note so far: it may have been of this topic.
                evicted,
                waiters: Vec::new(),
            });
            topic.subscriptions += 1;
        }
        signal.set_number(self.members.len());
        self.members.push(Member {
            signal,
            waits: false,
            cursor: 0,
            places: places
                .into_iter()
                .map(|list| Place { list, position: 0 })
                .collect(),
        });
    }

    /// Takes a subscription out, and gives back the room that is far more than the others need.
    pub(super) fn leave(&mut self, signal: &Signal) {
        let index = signal.number();
        self.unlink(index);
        let member = self.members.swap_remove(index);
        self.move_in(index);
        for place in &member.places {
            let List::Topic(key) = place.list else {
                continue;
            };
            if let Some(topic) = self.waiting.topics.get_mut(&key) {
                topic.subscriptions -= 1;
                let left = topic.subscriptions;
                let waiters = &mut topic.waiters;
                trim(waiters.capacity(), left, |to| waiters.shrink_to(to));
                if left == 0 {
                    self.waiting.topics.remove(&key);
                }
            }
        }
        self.trim();
    }

    /// The last member was moved to this index, unless it has left itself.
    fn move_in(&mut self, index: usize) {
        let Some(moved) = self.members.get(index) else {
            return;
        };
        moved.signal.set_number(index);
        if !moved.waits {
            return;
        }
        for place in &moved.places {
            if let Some(list) = self.waiting.get(place.list) {
                list[place.position].member = index;
            }
        }
    }

    /// Gives room back. How many wait now is not what counts: all may wait again in a moment.
    fn trim(&mut self) {
        let left = self.members.len();
        let members = &mut self.members;
        trim(members.capacity(), left, |to| members.shrink_to(to));
        for list in [&mut self.waiting.all, &mut self.waiting.everything] {
            trim(list.capacity(), left, |to| list.shrink_to(to));
        }
        let topics = &mut self.waiting.topics;
        trim(topics.capacity(), topics.len(), |to| topics.shrink_to(to));
    }

    /// Takes note of what fell out of the log.
    pub(super) fn note(&mut self, evicted: &Evicted) {
        for entry in evicted.iter() {
            if let Audience::Everyone = entry.audience {
                self.evicted_for_everyone = entry.sequence;
            }
            for key in entry.audience.topics() {
                if let Some(topic) = self.waiting.topics.get_mut(key) {
                    topic.evicted = entry.sequence;
                }
            }
        }
    }

    /// The newest evicted sequence that such a subscription would have taken. `evicted`: the newest
    /// of all.
    pub(super) fn evicted(&self, interest: &Interest, evicted: u64) -> u64 {
        match interest {
            Interest::Everything => evicted,
            Interest::Topics(topics) => topics
                .iter()
                .filter_map(|(key, _)| self.waiting.topics.get(key))
                .map(|topic| topic.evicted)
                .fold(self.evicted_for_everyone, u64::max),
        }
    }

    /// A subscription that has read everything up to `cursor` begins to wait.
    pub(super) fn wait(&mut self, signal: &Signal, cursor: u64) {
        let index = signal.number();
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        member.waits = true;
        member.cursor = cursor;
        for (at, place) in member.places.iter_mut().enumerate() {
            let Some(list) = self.waiting.get(place.list) else {
                continue;
            };
            place.position = list.len();
            list.push(Waiter {
                member: index,
                place: at,
            });
        }
    }

    /// A subscription has done waiting: where it goes on. Nothing of its interest came before, so
    /// that is `next` unless it was woken.
    pub(super) fn settle(&mut self, signal: &Signal, next: u64) -> u64 {
        let index = signal.number();
        let waits = self.unlink(index);
        match self.members.get(index) {
            Some(member) if !waits => member.cursor,
            _ => next,
        }
    }

    /// Moves those out of the lists that an event with this sequence is for, to be woken when no
    /// lock is held. They go on at that event.
    pub(super) fn wake(
        &mut self,
        audience: &Audience,
        sequence: u64,
        woken: &mut VecDeque<Arc<Signal>>,
    ) {
        if self.waiting.all.is_empty() {
            return;
        }
        match audience {
            Audience::Everyone => {
                woken.reserve(self.waiting.all.len());
                while let Some(waiter) = self.waiting.all.last() {
                    let member = waiter.member;
                    self.take(member, sequence, woken);
                }
            }
            Audience::Topic(_) | Audience::Topics(_) => {
                while let Some(waiter) = self.waiting.everything.last() {
                    let member = waiter.member;
                    self.take(member, sequence, woken);
                }
                for key in audience.topics() {
                    while let Some(waiter) =
                        self.waiting.topics.get(key).and_then(|t| t.waiters.last())
                    {
                        let member = waiter.member;
                        self.take(member, sequence, woken);
                    }
                }
            }
        }
    }

    fn take(&mut self, index: usize, sequence: u64, woken: &mut VecDeque<Arc<Signal>>) {
        self.unlink(index);
        if let Some(member) = self.members.get_mut(index) {
            member.cursor = sequence;
            woken.push_back(Arc::clone(&member.signal));
        }
    }

    /// Takes a subscription out of the lists; returns whether it was in them.
    fn unlink(&mut self, index: usize) -> bool {
        let Some(member) = self.members.get_mut(index) else {
            return false;
        };
        if !member.waits {
            return false;
        }
        member.waits = false;
        let mut at = 0;
        while let Some(&Place { list, position }) = self.place(index, at) {
            at += 1;
            let Some(list) = self.waiting.get(list) else {
                continue;
            };
            list.swap_remove(position);
            // The last one stands here now, unless it was the last one itself.
            if let Some(&Waiter { member, place }) = list.get(position) {
                if let Some(moved) = self.members.get_mut(member) {
                    moved.places[place].position = position;
                }
            }
        }
        true
    }

    fn place(&self, member: usize, at: usize) -> Option<&Place> {
        self.members.get(member)?.places.get(at)
    }
}

/// Has a table with room for `capacity` shrink, if that is far more than the `needed`: to as much as
/// lets it grow a while, so that coming and going costs little.
pub(super) fn trim(capacity: usize, needed: usize, shrink_to: impl FnOnce(usize)) {
    let needed = needed.max(KEPT);
    if capacity / 4 > needed {
        shrink_to(2 * needed);
    }
}

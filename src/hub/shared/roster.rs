//! Who is subscribed, who of them waits, and what they may have missed.
//!
//! A topic has the ids of all who are subscribed to it, in a list that changes when one of them comes or
//! leaves. A subscription that waits stands in one more list, of all that do; so to wait and to be woken
//! is one step each, however many topics it has. The price: to publish to a topic is a step for each of
//! its subscribers, also for those that do not wait.
//!
//! Topics exist here as long as a subscription names them, and no table has much more room than there
//! are subscriptions.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::log::{Audience, Evicted};
use super::{Boarded, Interest, Member, Roster, Standing, Topic, Waker, Wakes};
use crate::sync::{Lane, Signal, Token};

/// For how many subscriptions there may be room although there are fewer.
const SPARE: usize = 8;

/// Where a subscription stands in the roster, for as long as it is subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::hub) struct MemberId(u32);

impl MemberId {
    /// Turns a number that all have in common into one for each. Those of the first members are
    /// spread evenly over all numbers, however many members there are: they are multiples of the golden
    /// section.
    pub(in crate::hub) fn spread(self, common: u64) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        common.wrapping_add(GOLDEN.wrapping_mul(u64::from(self.0)))
    }
}

/// Where a lane stands in the roster, while members are on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneId(u32);

const GONE: &str = "a member that has left is in no list";

impl Roster {
    pub(in crate::hub) fn len(&self) -> usize {
        self.subscribed
    }

    /// Adds a subscription whose thread waits for this signal. `evicted`: the newest evicted sequence.
    pub(in crate::hub) fn join(
        &mut self,
        interest: &Interest,
        signal: Arc<Signal>,
        evicted: u64,
    ) -> MemberId {
        let place = self.free_place();
        let id = MemberId(u32::try_from(place).expect("fewer threads than that"));
        self.members[place] = Some(Box::new(Member {
            names_topics: matches!(interest, Interest::Topics(_)),
            waker: Waker::Thread(signal),
            standing: Standing::Reads,
        }));
        self.subscribed += 1;
        for key in interest.keys() {
            let topic = self.topics.entry(key).or_insert_with(|| Topic {
                members: BTreeSet::new(),
                // Nobody took note so far: it may have been of this topic.
                evicted,
            });
            topic.members.insert(id);
        }
        id
    }

    /// The first place that is free, or a new one.
    fn free_place(&mut self) -> usize {
        let taken = self.members[self.free_from..]
            .iter()
            .take_while(|place| place.is_some())
            .count();
        let free = self.free_from + taken;
        if free == self.members.len() {
            self.members.push(None);
        }
        self.free_from = free + 1;
        free
    }

    /// Takes a subscription out, and gives back the room that is far more than the others need.
    pub(in crate::hub) fn leave(&mut self, id: MemberId, interest: &Interest) {
        self.settle(id, 0);
        self.leave_lane(id);
        for key in interest.keys() {
            if let Some(topic) = self.topics.get_mut(&key) {
                topic.members.remove(&id);
                if topic.members.is_empty() {
                    self.topics.remove(&key);
                }
            }
        }
        let place = id.0 as usize;
        self.members[place] = None;
        self.subscribed -= 1;
        self.free_from = self.free_from.min(place);
        while let Some(None) = self.members.last() {
            self.members.pop();
        }
        self.free_from = self.free_from.min(self.members.len());
        self.trim();
    }

    /// Gives room back. How many wait now is not what counts: all may wait again in a moment.
    fn trim(&mut self) {
        let places = self.members.len();
        let members = &mut self.members;
        trim(members.capacity(), places, |to| members.shrink_to(to));
        let left = self.subscribed;
        for list in [&mut self.waiting, &mut self.waiting_for_topics] {
            trim(list.capacity(), left, |to| list.shrink_to(to));
        }
        for boarded in self.lanes.iter_mut().flatten() {
            let (due, left) = (&mut boarded.due, boarded.members);
            trim(due.capacity(), left, |to| due.shrink_to(to));
        }
        let topics = &mut self.topics;
        trim(topics.capacity(), topics.len(), |to| topics.shrink_to(to));
    }

    /// From now on, the lane is told when there is something to read.
    pub(in crate::hub) fn board(&mut self, id: MemberId, lane: &Arc<Lane>, token: Token) {
        self.leave_lane(id);
        let known = |boarded: &Boarded| Arc::ptr_eq(&boarded.lane, lane);
        let mut places = self.lanes.iter();
        let place = places
            .position(|place| place.as_ref().is_some_and(known))
            .or_else(|| self.lanes.iter().position(Option::is_none))
            .unwrap_or(self.lanes.len());
        if place == self.lanes.len() {
            self.lanes.push(None);
        }
        let boarded = self.lanes[place].get_or_insert_with(|| Boarded {
            lane: Arc::clone(lane),
            members: 0,
            due: Vec::new(),
        });
        boarded.members += 1;
        let lane = LaneId(u32::try_from(place).expect("fewer threads than that"));
        self.member(id).waker = Waker::Lane(lane, token);
    }

    fn leave_lane(&mut self, id: MemberId) {
        let Waker::Lane(LaneId(place), _) = self.member(id).waker else {
            return;
        };
        let place = &mut self.lanes[place as usize];
        let boarded = place
            .as_mut()
            .expect("a lane stays while members are on it");
        boarded.members -= 1;
        if boarded.members == 0 {
            *place = None;
        }
    }

    fn member(&mut self, id: MemberId) -> &mut Member {
        self.members[id.0 as usize].as_mut().expect(GONE)
    }

    /// Takes note of what fell out of the log.
    pub(in crate::hub) fn note(&mut self, evicted: &Evicted) {
        for entry in evicted.iter() {
            if let Audience::Everyone = entry.audience {
                self.evicted_for_everyone = entry.sequence;
            }
            for key in entry.audience.topics() {
                if let Some(topic) = self.topics.get_mut(key) {
                    topic.evicted = entry.sequence;
                }
            }
        }
    }

    /// The newest evicted sequence that such a subscription would have taken. `evicted`: the newest
    /// of all.
    pub(in crate::hub) fn evicted(&self, interest: &Interest, evicted: u64) -> u64 {
        match interest {
            Interest::Everything => evicted,
            Interest::Topics(_) => interest
                .keys()
                .filter_map(|key| self.topics.get(&key))
                .map(|topic| topic.evicted)
                .fold(self.evicted_for_everyone, u64::max),
        }
    }

    /// A subscription that has read everything begins to wait.
    pub(in crate::hub) fn wait(&mut self, id: MemberId) {
        let member = self.members[id.0 as usize].as_mut().expect(GONE);
        let list = match member.names_topics {
            false => &mut self.waiting,
            true => &mut self.waiting_for_topics,
        };
        member.standing = Standing::Waits(list.len());
        list.push(id);
    }

    /// Whether a subscription waits: it has read everything that is for it.
    pub(in crate::hub) fn waits(&self, id: MemberId) -> bool {
        let member = self.members[id.0 as usize].as_ref().expect(GONE);
        matches!(member.standing, Standing::Waits(_))
    }

    /// A subscription reads on: from where, if it has waited. Nothing of its interest came before, so
    /// that is `next` unless it was woken.
    pub(in crate::hub) fn settle(&mut self, id: MemberId, next: u64) -> Option<u64> {
        let member = self.member(id);
        let names_topics = member.names_topics;
        match std::mem::replace(&mut member.standing, Standing::Reads) {
            Standing::Reads => None,
            Standing::Woken(sequence) => Some(sequence),
            Standing::Waits(position) => {
                self.unlist(names_topics, position);
                Some(next)
            }
        }
    }

    /// Takes who stands at this position out of its list. The last one stands there then.
    fn unlist(&mut self, names_topics: bool, position: usize) {
        let list = match names_topics {
            false => &mut self.waiting,
            true => &mut self.waiting_for_topics,
        };
        list.swap_remove(position);
        if let Some(&moved) = list.get(position) {
            self.member(moved).standing = Standing::Waits(position);
        }
    }

    /// Whether nobody waits.
    #[inline]
    pub(super) fn is_awake(&self) -> bool {
        self.waiting.is_empty() && self.waiting_for_topics.is_empty()
    }

    /// Takes those that an event with this sequence is for out of who waits. They go on at that event.
    pub(super) fn wake(&mut self, audience: &Audience, sequence: u64, wakes: &mut Wakes) {
        if !self.waiting.is_empty() {
            let all = std::mem::take(&mut self.waiting);
            self.waiting = self.wake_all(all, sequence, wakes);
        }
        if !self.waiting_for_topics.is_empty() {
            match audience {
                Audience::Everyone => {
                    let all = std::mem::take(&mut self.waiting_for_topics);
                    self.waiting_for_topics = self.wake_all(all, sequence, wakes);
                }
                _ => {
                    for &key in audience.topics() {
                        self.wake_topic(key, sequence, wakes);
                    }
                }
            }
        }
        for boarded in self.lanes.iter_mut().flatten() {
            if !boarded.due.is_empty() && boarded.lane.add(&mut boarded.due) {
                wakes.lane(&boarded.lane);
            }
        }
    }

    /// Wakes all of a list, and returns it, empty.
    fn wake_all(
        &mut self,
        mut list: Vec<MemberId>,
        sequence: u64,
        wakes: &mut Wakes,
    ) -> Vec<MemberId> {
        for id in list.drain(..) {
            let member = self.members[id.0 as usize].as_mut().expect(GONE);
            member.wake(sequence, &mut self.lanes, wakes);
        }
        list
    }

    fn wake_topic(&mut self, key: u64, sequence: u64, wakes: &mut Wakes) {
        let Some(topic) = self.topics.get(&key) else {
            return;
        };
        for id in &topic.members {
            let member = self.members[id.0 as usize].as_mut().expect(GONE);
            let Standing::Waits(position) = member.standing else {
                continue;
            };
            member.wake(sequence, &mut self.lanes, wakes);
            // As in `unlist`; the topic is borrowed here.
            self.waiting_for_topics.swap_remove(position);
            if let Some(moved) = self.waiting_for_topics.get(position) {
                let moved = self.members[moved.0 as usize].as_mut().expect(GONE);
                moved.standing = Standing::Waits(position);
            }
        }
    }
}

impl Member {
    /// Notes that it is to be woken, for the event with this sequence.
    fn wake(&mut self, sequence: u64, lanes: &mut [Option<Boarded>], wakes: &mut Wakes) {
        self.standing = Standing::Woken(sequence);
        match &self.waker {
            Waker::Thread(signal) => wakes.thread(signal),
            Waker::Lane(LaneId(place), token) => {
                let boarded = lanes[*place as usize].as_mut();
                let boarded = boarded.expect("a lane stays while members are on it");
                boarded.due.push(*token);
            }
        }
    }
}

/// Has a table with room for `capacity` shrink, if that is far more than the `needed`: to as much as
/// lets it grow a while, so that coming and going costs little.
pub(super) fn trim(capacity: usize, needed: usize, shrink_to: impl FnOnce(usize)) {
    let needed = needed.max(SPARE);
    if capacity / 4 > needed {
        shrink_to(2 * needed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn roster(topics: &[(u64, &str)]) -> (Roster, Interest, MemberId) {
        let topics = topics.iter().map(|(key, name)| (*key, (*name).into()));
        let interest = Interest::in_topics(topics.collect());
        let mut roster = Roster::default();
        let id = roster.join(&interest, Arc::default(), 0);
        (roster, interest, id)
    }

    fn due(lane: &Lane) -> Vec<Token> {
        let mut due = Vec::new();
        lane.wait(Some(Instant::now()), &mut due);
        due
    }

    #[test]
    fn a_member_on_a_lane_is_due_once_for_an_event_of_two_of_its_topics() {
        let (mut roster, interest, id) = roster(&[(1, "a"), (2, "b")]);
        let (lane, mut wakes) = (Arc::default(), Wakes::default());
        roster.board(id, &lane, Token(9));
        let both = Audience::Topics([1, 2].into());
        roster.wake(&both, 5, &mut wakes);
        assert_eq!(due(&lane), [], "it does not wait");
        roster.wait(id);
        roster.wake(&Audience::Topic(3), 6, &mut wakes);
        assert_eq!(due(&lane), [], "not its topic");
        roster.wake(&both, 7, &mut wakes);
        roster.wake(&both, 8, &mut wakes);
        assert_eq!(due(&lane), [Token(9)]);
        assert_eq!(roster.settle(id, 9), Some(7));
        roster.leave(id, &interest);
        assert!(roster.lanes.iter().all(Option::is_none));
        assert_eq!((roster.len(), roster.topics.len()), (0, 0));
    }

    #[test]
    fn room_is_given_back_where_there_is_more_than_four_times_what_is_needed() {
        let trimmed = |capacity, needed| {
            let mut to = None;
            trim(capacity, needed, |room| to = Some(room));
            to
        };
        assert_eq!(trimmed(403, 100), None);
        assert_eq!(trimmed(404, 100), Some(200));
        assert_eq!(trimmed(4 * SPARE + 3, 0), None);
        assert_eq!(trimmed(4 * SPARE + 4, 0), Some(2 * SPARE));
    }

    #[test]
    fn places_are_used_again_from_the_first_on() {
        let (mut roster, interest, first) = roster(&[(1, "a")]);
        let others: Vec<_> = (0..3)
            .map(|_| roster.join(&interest, Arc::default(), 0))
            .collect();
        roster.wait(first);
        roster.wait(others[1]);
        roster.leave(first, &interest);
        roster.leave(others[0], &interest);
        assert_eq!(roster.join(&interest, Arc::default(), 0), first);
        assert_eq!(roster.join(&interest, Arc::default(), 0), others[0]);
        assert_eq!(roster.join(&interest, Arc::default(), 0), MemberId(4));
        let mut wakes = Wakes::default();
        roster.wake(&Audience::Everyone, 1, &mut wakes);
        assert_eq!(wakes.threads.len(), 1, "who has left waits no more");
        assert_eq!(roster.settle(others[1], 2), Some(1));
        for id in [first, others[0], others[1], others[2], MemberId(4)] {
            roster.leave(id, &interest);
        }
        assert_eq!((roster.members.len(), roster.free_from), (0, 0));
    }
}

//! The target `hub`: publish, subscribe, resume, lag and close against a list of all events.
//!
//! The first two bytes of an input choose the size of the log and where ids come from. Each byte
//! after the first line is a step, and what a step needs comes from the bytes behind it: `p` to all,
//! `a`, `b` and `c` to topics, `s` subscribe, `n` with a replay, `r` resume, `g` get, `d` drop, `x`
//! close.

use sse_io::hub::{GapPolicy, IdPolicy, RecvError, Resumption, SubscribeError, Subscription};
use sse_io::{Event, Hub};

use crate::plan::Plan;

/// More subscriptions than this are not opened.
const SUBSCRIPTIONS: usize = 12;

struct Published {
    id: String,
    topics: Option<&'static [&'static str]>,
}

/// What a subscription takes: everything, or some topics.
#[derive(Clone, Copy)]
struct Interest(Option<&'static [&'static str]>);

const INTERESTS: [Interest; 5] = [
    Interest(None),
    Interest(Some(&["a"])),
    Interest(Some(&["b"])),
    Interest(Some(&["a", "b"])),
    Interest(Some(&["quiet"])),
];

impl Interest {
    fn takes(self, event: &Published) -> bool {
        match (self.0, event.topics) {
            (None, _) | (_, None) => true,
            (Some(wanted), Some(topics)) => topics.iter().any(|topic| wanted.contains(topic)),
        }
    }
}

struct Member {
    subscription: Subscription,
    interest: Interest,
    /// The first event that it has not come by.
    next: usize,
}

struct Model {
    hub: Hub,
    own_ids: bool,
    size: usize,
    events: Vec<Published>,
    members: Vec<Member>,
    closed: bool,
}

/// A hub, some subscriptions, and a list that says what each of them is to get.
pub fn hub(input: &[u8]) {
    let (mut plan, steps) = Plan::of(input);
    let size = [1, 2, 3, 5, 8, 40][usize::from(plan.option() % 6)];
    let own_ids = plan.option() % 2 == 1;
    let policy = match own_ids {
        true => IdPolicy::Own,
        false => IdPolicy::Assigned,
    };
    let builder = Hub::builder().with_max_events(size);
    let mut model = Model {
        hub: builder.with_id_policy(policy).build(),
        own_ids,
        size,
        events: Vec::new(),
        members: Vec::new(),
        closed: false,
    };
    let mut steps = steps.iter().copied();
    while let Some(step) = steps.next() {
        let mut argument = || usize::from(steps.next().unwrap_or(b'0').saturating_sub(b'0'));
        match step {
            b'p' => model.publish(None),
            b'a' => model.publish(Some(&["a"])),
            b'b' => model.publish(Some(&["b"])),
            b'c' => model.publish(Some(&["a", "b"])),
            b's' => model.subscribe(argument(), None),
            b'n' => model.subscribe(argument(), Some(argument() % 7)),
            b'r' => model.resume(argument(), argument(), argument()),
            b'g' => model.get(argument()),
            b'd' => model.leave(argument()),
            b'x' => {
                model.hub.close();
                model.closed = true;
            }
            _ => {}
        }
        model.counts();
    }
    // Everybody comes to the end, one way or the other.
    for member in 0..model.members.len() {
        while model.get_one(member) {}
    }
}

impl Model {
    /// The oldest event in the log.
    fn oldest(&self) -> usize {
        self.events.len().saturating_sub(self.size)
    }

    fn publish(&mut self, topics: Option<&'static [&'static str]>) {
        let own = self.own_ids.then(|| format!("id {}", self.events.len()));
        let mut event = Event::new(self.events.len().to_string());
        if let Some(id) = &own {
            event = event.with_id(id.clone());
        }
        let published = match topics {
            None => self.hub.publish(&event),
            Some(topics) => self.hub.publish_to(topics, &event),
        };
        assert_eq!(published.is_err(), self.closed);
        if let Ok(id) = published {
            let id = id.to_string();
            assert!(own.is_none_or(|own| own == id));
            assert!(
                self.events.iter().all(|event| event.id != id),
                "an id twice"
            );
            self.events.push(Published { id, topics });
        }
    }

    fn interest(number: usize) -> Interest {
        INTERESTS[number % INTERESTS.len()]
    }

    fn enter(&mut self, subscription: Subscription, interest: Interest, next: usize) {
        self.members.push(Member {
            subscription,
            interest,
            next,
        });
    }

    fn subscribe(&mut self, interest: usize, replay: Option<usize>) {
        if self.members.len() == SUBSCRIPTIONS {
            return;
        }
        let interest = Self::interest(interest);
        let mut subscribe = self.hub.subscribe();
        if let Some(topics) = interest.0 {
            subscribe = subscribe.with_topics(topics);
        }
        if let Some(replay) = replay {
            subscribe = subscribe.with_replay(replay);
        }
        let subscription = match subscribe.start() {
            Err(error) => {
                assert!(
                    self.closed && matches!(error, SubscribeError::Closed),
                    "{error}"
                );
                return;
            }
            Ok(subscription) => subscription,
        };
        assert!(!self.closed);
        let mut next = self.events.len();
        let mut left = replay.unwrap_or(0);
        for at in (self.oldest()..self.events.len()).rev() {
            if left > 0 && interest.takes(&self.events[at]) {
                left -= 1;
                next = at;
            }
        }
        self.enter(subscription, interest, next);
    }

    /// With an id of the log, an older one, or one that was made up.
    fn resume(&mut self, interest: usize, which: usize, how: usize) {
        if self.members.len() == SUBSCRIPTIONS {
            return;
        }
        let interest = Self::interest(interest);
        let known = self.events.get(which % self.events.len().max(1));
        let mut id = known.map_or_else(|| "0".to_owned(), |event| event.id.clone());
        match how / 3 % 6 {
            1 => _ = id.pop(),
            2 => id.push('0'),
            3 => id.insert(0, '+'),
            4 => id = id.to_ascii_uppercase(),
            5 => id = id.replace(['1', 'a'], "2"),
            _ => {}
        }
        let policy = [GapPolicy::Replay, GapPolicy::Live, GapPolicy::Refuse][how % 3];
        let mut subscribe = self.hub.subscribe().with_gap_policy(policy);
        if let Some(topics) = interest.0 {
            subscribe = subscribe.with_topics(topics);
        }
        let started = subscribe.with_last_event_id(id.clone()).start();
        let at = self.events.iter().position(|event| event.id == id);
        let gone = at.map(|at| self.between(at + 1, self.oldest(), interest));
        let (subscription, resumption) = match started {
            Err(SubscribeError::Closed) => return assert!(self.closed),
            Err(SubscribeError::Gap { missed, .. }) => {
                assert_eq!(policy, GapPolicy::Refuse);
                return self.is_gap(&id, at, gone, missed);
            }
            Err(error) => panic!("{error}"),
            Ok(subscription) => {
                let resumption = *subscription.resumption();
                (subscription, resumption)
            }
        };
        assert!(!self.closed);
        let next = match resumption {
            Resumption::New => {
                assert_eq!(id, "", "an id that is not taken for one");
                self.events.len()
            }
            Resumption::CaughtUp | Resumption::Resumed { .. } => {
                let at = at.unwrap_or_else(|| panic!("{id:?} is made up"));
                assert_eq!(gone, Some(0), "what is gone is a gap");
                let left = self.between(at + 1, self.events.len(), interest);
                match resumption {
                    Resumption::Resumed { replayed, .. } => assert_eq!(replayed, left),
                    _ => assert_eq!(left, 0),
                }
                at + 1
            }
            Resumption::Gap { missed, .. } => {
                assert_ne!(policy, GapPolicy::Refuse);
                self.is_gap(&id, at, gone, missed);
                match policy {
                    GapPolicy::Live => self.events.len(),
                    _ => self.oldest(),
                }
            }
            other => panic!("{other:?} without a history"),
        };
        self.enter(subscription, interest, next);
    }

    /// How many events of the interest there are from here to there.
    fn between(&self, from: usize, to: usize, interest: Interest) -> usize {
        let events = self.events.get(from..to).unwrap_or_default();
        events.iter().filter(|event| interest.takes(event)).count()
    }

    /// A gap is told for an id that is not in the log, and never too small.
    #[track_caller]
    fn is_gap(&self, id: &str, at: Option<usize>, gone: Option<usize>, missed: Option<u64>) {
        assert!(
            at.is_none_or(|at| at < self.oldest()),
            "{id:?} is in the log"
        );
        if let (Some(gone), Some(missed)) = (gone, missed) {
            assert!(gone as u64 <= missed, "{gone} are gone, {missed} told");
        }
    }

    fn get(&mut self, member: usize) {
        if !self.members.is_empty() {
            self.get_one(member % self.members.len());
        }
    }

    /// False at the end of what there is.
    fn get_one(&mut self, member: usize) -> bool {
        let oldest = self.oldest();
        let Member { interest, next, .. } = self.members[member];
        let gone = self.between(next, oldest, interest);
        let from = next.max(oldest);
        let taken = |at: &usize| interest.takes(&self.events[*at]);
        let expected = (from..self.events.len()).find(taken);
        let member = &mut self.members[member];
        match member.subscription.try_recv() {
            Ok(Some(frame)) => {
                assert_eq!(gone, 0, "a gap that is not told");
                let at = expected.expect("there is one more");
                let event = &self.events[at];
                assert_eq!(frame.id(), Some(&*event.id));
                let wire = format!("id: {}\ndata: {at}\n\n", event.id);
                assert_eq!(frame.as_bytes(), wire.as_bytes());
                let topics: Vec<&str> = frame.topics().collect();
                assert_eq!(topics, event.topics.unwrap_or_default());
                member.next = at + 1;
                true
            }
            Err(RecvError::Lagged { missed, .. }) => {
                assert!(gone > 0, "nothing of it was missed");
                assert!(gone as u64 <= missed, "{gone} are gone, {missed} told");
                member.next = oldest;
                true
            }
            Ok(None) => {
                assert!(!self.closed && gone == 0 && expected.is_none());
                false
            }
            Err(RecvError::Closed) => {
                assert!(self.closed && gone == 0 && expected.is_none());
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn leave(&mut self, member: usize) {
        if !self.members.is_empty() {
            let member = member % self.members.len();
            drop(self.members.swap_remove(member));
        }
    }

    fn counts(&self) {
        let stats = self.hub.stats();
        assert_eq!(stats.subscribers, self.members.len());
        assert_eq!(stats.published, self.events.len() as u64);
        assert_eq!(stats.events, self.events.len() - self.oldest());
        let newest = self.events.last().map(|event| &*event.id);
        assert_eq!(stats.newest.as_ref().map(|id| id.as_str()), newest);
    }
}

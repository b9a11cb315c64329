//! The target `hub`: publish, subscribe, resume, lag and close against a list of all events.
//!
//! The first three bytes of an input choose the size of the log in events, where ids come from, and
//! the size of the log in bytes. Each byte
//! after the first line is a step, and what a step needs comes from the bytes behind it: `p` to all,
//! `a`, `b` and `c` to topics, `s` subscribe, `n` with a replay, `t` with what is
//! retained, `r` resume, `g` get, `d` drop, `x`
//! close.

use sse_io::hub::{
    GapPolicy, IdPolicy, RecvError, Resumption, Subscribe, SubscribeError, Subscription,
};
use sse_io::{Event, Hub};

use crate::plan::Plan;

/// More subscriptions than this are not opened.
const SUBSCRIPTIONS: usize = 12;

struct Published {
    id: String,
    topics: Option<&'static [&'static str]>,
}

/// What a subscription takes: everything, or some topics; and what its filter lets pass.
#[derive(Clone, Copy)]
struct Interest {
    topics: Option<&'static [&'static str]>,
    even: bool,
}

const INTERESTS: [Interest; 7] = [
    Interest::new(None),
    Interest::new(Some(&["a"])),
    Interest::new(Some(&["b"])),
    Interest::new(Some(&["a", "b"])),
    Interest::new(Some(&["quiet"])),
    Interest::new(None).even(),
    Interest::new(Some(&["a"])).even(),
];

impl Interest {
    const fn new(topics: Option<&'static [&'static str]>) -> Self {
        let even = false;
        Interest { topics, even }
    }

    const fn even(mut self) -> Self {
        self.even = true;
        self
    }

    fn ask(self, mut subscribe: Subscribe) -> Subscribe {
        if let Some(topics) = self.topics {
            subscribe = subscribe.with_topics(topics);
        }
        if self.even {
            subscribe = subscribe.with_filter(|frame| {
                let number: usize = frame.event().data.parse().expect("its number");
                number % 2 == 0
            });
        }
        subscribe
    }

    fn passes(self, number: usize) -> bool {
        !self.even || number % 2 == 0
    }

    /// All but the filter, as that is what the hub counts.
    fn takes(self, event: &Published) -> bool {
        match (self.topics, event.topics) {
            (None, _) | (_, None) => true,
            (Some(wanted), Some(topics)) => topics.iter().any(|topic| wanted.contains(topic)),
        }
    }
}

struct Member {
    subscription: Subscription,
    interest: Interest,
    /// What it gets first.
    retained: Vec<usize>,
    /// The first event that it has not come by.
    next: usize,
}

struct Model {
    hub: Hub,
    own_ids: bool,
    size: usize,
    bytes: Option<usize>,
    events: Vec<Published>,
    /// The oldest event in the log.
    oldest: usize,
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
    let bytes = [None, Some(150), Some(400), Some(1_000)][usize::from(plan.option() % 4)];
    let mut builder = Hub::builder().with_max_events(size);
    builder = match bytes {
        None => builder.with_retained(10),
        Some(bytes) => builder.with_max_bytes(bytes),
    };
    let mut model = Model {
        hub: builder.with_id_policy(policy).build(),
        own_ids,
        size,
        bytes,
        events: Vec::new(),
        oldest: 0,
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
            b's' => model.subscribe(argument(), None, false),
            b'n' => model.subscribe(argument(), Some(argument() % 7), false),
            b't' => model.subscribe(argument(), None, true),
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
            self.evicted();
        }
    }

    /// How much of it goes by its size in bytes, the hub says.
    fn evicted(&mut self) {
        let stats = self.hub.stats();
        let oldest = self.events.len() - stats.events;
        let by_count = self.events.len().saturating_sub(self.size);
        match self.bytes {
            None => assert_eq!(oldest, by_count),
            Some(bytes) => {
                assert!(stats.bytes <= bytes && oldest >= by_count && oldest >= self.oldest);
                assert!(stats.events > 0, "the newest is there");
            }
        }
        self.oldest = oldest;
    }

    fn interest(number: usize) -> Interest {
        INTERESTS[number % INTERESTS.len()]
    }

    fn enter(&mut self, subscription: Subscription, interest: Interest, next: usize) {
        self.members.push(Member {
            subscription,
            interest,
            retained: Vec::new(),
            next,
        });
    }

    fn subscribe(&mut self, interest: usize, replay: Option<usize>, retained: bool) {
        if self.members.len() == SUBSCRIPTIONS {
            return;
        }
        let interest = Self::interest(interest);
        let mut subscribe = interest.ask(self.hub.subscribe());
        let retained = retained && self.bytes.is_none() && interest.topics.is_some();
        if retained {
            subscribe = subscribe.with_retained();
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
        for at in (self.oldest..self.events.len()).rev() {
            if left > 0 && interest.takes(&self.events[at]) {
                left -= 1;
                next = at;
            }
        }
        self.enter(subscription, interest, next);
        if let Some(member) = self.members.last_mut().filter(|_| retained) {
            let has = |topic, event: &Published| event.topics.is_some_and(|t| t.contains(topic));
            let newest = |topic| self.events.iter().rposition(|event| has(topic, event));
            let topics = interest.topics.unwrap_or_default();
            let mut first: Vec<usize> = topics.iter().filter_map(newest).collect();
            first.sort_unstable();
            first.dedup();
            first.retain(|&at| interest.passes(at));
            member.retained = first;
        }
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
        let subscribe = interest.ask(self.hub.subscribe().with_gap_policy(policy));
        let started = subscribe.with_last_event_id(id.clone()).start();
        let at = self.events.iter().position(|event| event.id == id);
        let gone = at.map(|at| self.between(at + 1, self.oldest, interest));
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
                    _ => self.oldest,
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
        assert!(at.is_none_or(|at| at < self.oldest), "{id:?} is in the log");
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
        let oldest = self.oldest;
        if !self.members[member].retained.is_empty() {
            let at = self.members[member].retained.remove(0);
            let frame = self.members[member].subscription.try_recv();
            let frame = frame.expect("no lag yet").expect("it is retained");
            assert_eq!(frame.id(), Some(&*self.events[at].id));
            return true;
        }
        let Member { interest, next, .. } = self.members[member];
        let gone = self.between(next, oldest, interest);
        let from = next.max(oldest);
        let taken = |at: &usize| interest.takes(&self.events[*at]) && interest.passes(*at);
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
                assert!(gone == 0 && expected.is_none());
                assert!(!self.closed, "the end is told at once");
                member.next = self.events.len();
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
        assert_eq!(stats.events, self.events.len() - self.oldest);
        let newest = self.events.last().map(|event| &*event.id);
        assert_eq!(stats.newest.as_ref().map(|id| id.as_str()), newest);
    }
}

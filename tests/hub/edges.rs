//! A hub at its edges: a model beside it, panics, endings at any moment, and sizes that just fit.

use crate::util;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use sse_io::hub::{
    Ending, GapPolicy, History, IdPolicy, LagPolicy, RecvError, Resumption, SubscribeError,
    Subscription,
};
use sse_io::{Emitter, Event, Heartbeat, Hub, ResponseHead};
use util::writers::{DEADLINE, Fault, Record};
use util::{Rng, repeats, within};

/// Long enough that no heartbeat comes by itself in a test.
const NEVER: Heartbeat = Heartbeat::every(Duration::from_secs(3600));

fn own() -> Hub {
    Hub::builder().with_id_policy(IdPolicy::Own).build()
}

fn numbered(id: usize) -> Event<'static> {
    Event::new("x").with_id(id.to_string())
}

/// The ids of what there is to receive now.
fn drain(subscription: &mut Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(frame) = subscription.try_recv().unwrap() {
        all.push(frame.id().unwrap().to_owned());
    }
    all
}

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

/// What was published: for everyone, or for some of the topics, as bits.
type Audience = Option<u32>;

/// A subscription and what it is to get.
struct Modelled {
    subscription: Subscription,
    /// None for everything.
    topics: Option<u32>,
    /// The next event to look at.
    cursor: usize,
    /// It began behind an id, when nobody may have kept account of its topics.
    resumed: bool,
}

impl Modelled {
    fn takes(&self, audience: Audience) -> bool {
        match (self.topics, audience) {
            (None, _) | (_, None) => true,
            (Some(topics), Some(audience)) => topics & audience != 0,
        }
    }

    fn wanted(&self, published: &[Audience], from: usize, to: usize) -> Vec<usize> {
        (from..to).filter(|at| self.takes(published[*at])).collect()
    }

    /// Reads once and compares with the model.
    fn step(&mut self, published: &[Audience], max_events: usize) {
        let tail = published.len().saturating_sub(max_events);
        let gone = self.wanted(published, self.cursor, tail);
        match self.subscription.try_recv() {
            Ok(Some(frame)) => {
                assert_eq!(gone, [0; 0], "missed, and nothing said");
                let wanted = self.wanted(published, self.cursor, published.len());
                let at = *wanted.first().expect("there is one for it");
                assert_eq!(frame.id(), Some(&*at.to_string()));
                self.cursor = at + 1;
            }
            Ok(None) => {
                assert_eq!(gone, [0; 0], "missed, and nothing said");
                assert_eq!(self.wanted(published, self.cursor, published.len()), [0; 0]);
                self.cursor = published.len();
            }
            Err(RecvError::Lagged { missed, .. }) => {
                let missed = usize::try_from(missed).unwrap();
                assert!(gone.len() <= missed, "{gone:?}, {missed} told");
                assert!(missed <= tail - self.cursor, "more than there were");
                assert!(!gone.is_empty() || self.resumed, "nothing is missing");
                self.cursor = tail;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Goes on from a random id, or live.
fn join(hub: &Hub, rng: &mut Rng, published: &[Audience], max_events: usize) -> Modelled {
    let topics = match rng.below(3) {
        0 => None,
        _ => Some(u32::try_from(1 + rng.below(15)).unwrap()),
    };
    let mut subscribe = hub.subscribe();
    if let Some(topics) = topics {
        let all = TOPICS.iter().enumerate();
        subscribe = subscribe.with_topics(all.filter(|(n, _)| topics >> n & 1 == 1).map(|t| t.1));
    }
    let tail = published.len().saturating_sub(max_events);
    let id = match published.len() - tail {
        0 => None,
        held => Some(tail + rng.below(held)).filter(|_| rng.below(2) == 0),
    };
    if let Some(id) = id {
        subscribe = subscribe.with_last_event_id(id.to_string());
    }
    let subscription = subscribe.start().unwrap();
    let resume = *subscription.resumption();
    let modelled = Modelled {
        subscription,
        topics,
        cursor: id.map_or(published.len(), |id| id + 1),
        resumed: id.is_some(),
    };
    let missed = modelled.wanted(published, modelled.cursor, published.len());
    match (id, missed.len()) {
        (None, _) => assert_eq!(resume, Resumption::New),
        (Some(_), 0) => assert_eq!(resume, Resumption::CaughtUp),
        (Some(_), count) => assert!(
            matches!(resume, Resumption::Resumed { replayed, .. } if replayed == count),
            "{resume:?}"
        ),
    }
    modelled
}

#[test]
fn random_subscriptions_do_as_a_model_does() {
    for seed in 0..repeats(60) as u64 {
        let mut rng = Rng(seed);
        let max_events = [1, 2, 7, 40][rng.below(4)];
        let builder = Hub::builder().with_max_events(max_events);
        let hub = builder.with_id_policy(IdPolicy::Own).build();
        let mut published = Vec::new();
        let mut all: Vec<Modelled> = Vec::new();
        for _ in 0..repeats(2_000) {
            match rng.below(16) {
                0 if all.len() < 12 => all.push(join(&hub, &mut rng, &published, max_events)),
                1 if !all.is_empty() => drop(all.swap_remove(rng.below(all.len()))),
                2..8 if !all.is_empty() => {
                    let one = rng.below(all.len());
                    all[one].step(&published, max_events);
                }
                8..11 if !all.is_empty() => {
                    // Read to the end, and waiting.
                    let one = rng.below(all.len());
                    let one = &mut all[one];
                    while one.cursor < published.len() {
                        one.step(&published, max_events);
                    }
                    assert!(
                        one.subscription
                            .recv_timeout(Duration::ZERO)
                            .unwrap()
                            .is_none()
                    );
                }
                _ => {
                    let event = numbered(published.len());
                    let audience = match rng.below(6) {
                        0 => None,
                        1 => Some(1 + rng.below(15)),
                        // Some topics are quiet.
                        _ => Some([1, 1, 1, 2, 2, 4][rng.below(6)]),
                    };
                    let audience = audience.map(|bits| u32::try_from(bits).unwrap());
                    match audience {
                        None => hub.publish(&event).unwrap(),
                        Some(bits) => {
                            let topics = TOPICS.iter().enumerate();
                            let topics = topics.filter(|(n, _)| bits >> n & 1 == 1).map(|t| t.1);
                            hub.publish_to(topics, &event).unwrap()
                        }
                    };
                    published.push(audience);
                }
            }
        }
        assert_eq!(hub.stats().subscribers, all.len());
    }
}

#[test]
fn a_filter_that_panics_takes_nothing_with_it_but_its_event() {
    let hub = own();
    let filter = |frame: &sse_io::hub::Frame| match frame.id() {
        Some("2") => panic!("the filter was told to panic"),
        _ => true,
    };
    let mut first = hub.subscribe().with_filter(filter).start().unwrap();
    let mut second = hub.subscribe().with_filter(filter).start().unwrap();
    for id in 1..=3 {
        hub.publish(&numbered(id)).unwrap();
    }
    assert_eq!(first.recv().unwrap().id(), Some("1"));
    assert!(catch_unwind(AssertUnwindSafe(|| first.recv())).is_err());
    assert_eq!(drain(&mut first), ["3"]);

    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let served = catch_unwind(AssertUnwindSafe(|| second.serve(&emitter, NEVER)));
    assert!(served.is_err());
    assert!(!emitter.is_closed());
    hub.close();
    assert!(matches!(second.serve(&emitter, NEVER), Ending::Closed));
    assert_eq!(hub.stats().subscribers, 2);
}

#[test]
fn a_close_at_any_moment_loses_nothing_that_was_published() {
    within(DEADLINE, || {
        for round in 0..repeats(500) {
            let hub = own();
            let barrier = Arc::new(Barrier::new(4));
            let readers: Vec<_> = [None, Some("t")]
                .into_iter()
                .map(|topic| {
                    let subscription = match topic {
                        None => hub.subscribe().start(),
                        Some(topic) => hub.subscribe().with_topics([topic]).start(),
                    };
                    let (mut subscription, barrier) = (subscription.unwrap(), barrier.clone());
                    thread::spawn(move || {
                        barrier.wait();
                        subscription.iter().map(Result::unwrap).count()
                    })
                })
                .collect();
            let publisher = {
                let (hub, barrier) = (hub.clone(), barrier.clone());
                thread::spawn(move || {
                    barrier.wait();
                    (0..50)
                        .take_while(|n| hub.publish_to(["t"], &numbered(*n)).is_ok())
                        .count()
                })
            };
            barrier.wait();
            for _ in 0..round % 40 {
                thread::yield_now();
            }
            hub.close();
            let published = publisher.join().unwrap();
            for reader in readers {
                assert_eq!(reader.join().unwrap(), published);
            }
        }
    });
}

#[test]
fn closing_the_emitter_at_any_moment_ends_it() {
    within(DEADLINE, || {
        for round in 0..repeats(500) {
            let hub = own();
            let mut subscription = hub.subscribe().start().unwrap();
            let record = Record::new();
            let emitter = Emitter::new(record.writer());
            let barrier = Arc::new(Barrier::new(2));
            let server = {
                let (emitter, barrier) = (emitter.clone(), barrier.clone());
                thread::spawn(move || {
                    barrier.wait();
                    subscription.serve(&emitter, NEVER)
                })
            };
            barrier.wait();
            if round % 2 == 0 {
                hub.publish(&numbered(round)).unwrap();
            }
            for _ in 0..round % 40 {
                thread::yield_now();
            }
            emitter.close();
            assert!(matches!(server.join().unwrap(), Ending::Closed));
            assert_eq!(hub.stats().subscribers, 0);
        }
    });
}

/// What is in a chunk of HTTP/1.1, which is one write.
fn body(chunk: &[u8]) -> Vec<u8> {
    let digits = chunk.iter().position(|byte| *byte == b'\r').unwrap();
    let size = std::str::from_utf8(&chunk[..digits]).unwrap();
    let size = usize::from_str_radix(size, 16).unwrap();
    assert_eq!(chunk.len(), digits + 2 + size + 2);
    assert!(chunk.ends_with(b"\r\n"));
    chunk[digits + 2..][..size].to_vec()
}

#[test]
fn frames_of_any_size_are_joined_up_to_16_kib() {
    const JOIN: usize = 16 << 10;
    let mut rng = Rng(7);
    for round in 0..40 {
        let hub = own();
        let mut subscription = hub.subscribe().with_topics(["t"]).start().unwrap();
        let mut expected = Vec::new();
        let mut length = 0;
        for id in 0..200 {
            // Such as to end at the border, just in front of it, or just behind it, at times.
            let left = JOIN - length % JOIN;
            let overhead = numbered(id).with_data("").wire().len() + 1;
            let size = match rng.below(4) {
                0 => (left + 1).saturating_sub(overhead + rng.below(3)),
                1 => rng.below(2 * JOIN),
                _ => rng.below(JOIN / 4),
            };
            let event = numbered(id).with_data("x".repeat(size));
            if rng.below(4) == 0 {
                hub.publish_to(["other"], &event).unwrap();
                continue;
            }
            hub.publish_to(["t"], &event).unwrap();
            let wire = event.wire();
            length = if length + wire.len() > JOIN {
                wire.len()
            } else {
                length + wire.len()
            };
            expected.push(wire);
        }
        hub.close();
        let record = Record::new();
        let writes = if round % 2 == 0 {
            let emitter = Emitter::new(record.writer());
            assert!(matches!(
                subscription.serve(&emitter, NEVER),
                Ending::Closed
            ));
            record.writes()
        } else {
            let emitter = ResponseHead::new().start(record.writer()).unwrap();
            assert!(matches!(
                subscription.serve(&emitter, NEVER),
                Ending::Closed
            ));
            let writes = record.writes();
            writes[1..].iter().map(|write| body(write)).collect()
        };
        assert_eq!(writes.concat(), expected.concat());
        let mut frames = expected.iter().peekable();
        for write in &writes {
            let mut size = frames.next().unwrap().len();
            while let Some(frame) = frames.next_if(|frame| size + frame.len() <= JOIN) {
                size += frame.len();
            }
            assert_eq!(write.len(), size, "as many as fit, and whole");
        }
    }
}

trait Wire {
    fn with_data(self, data: impl Into<String>) -> Self;
    fn wire(&self) -> Vec<u8>;
}

impl Wire for Event<'static> {
    fn with_data(mut self, data: impl Into<String>) -> Self {
        self.data = data.into().into();
        self
    }

    fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        self.encode(&mut wire).unwrap();
        wire
    }
}

#[test]
fn the_largest_numbers_are_taken() {
    let hub = Hub::builder()
        .with_max_events(usize::MAX)
        .with_max_bytes(usize::MAX)
        .with_max_age(Duration::MAX)
        .with_max_subscribers(usize::MAX)
        .build();
    let id = hub.publish(&Event::new("x")).unwrap();
    let epoch = &id.as_str()[..17];
    for digits in ["ffffffffffffffff", "7fffffffffffffff", "0000000000000002"] {
        let back = hub
            .subscribe()
            .with_last_event_id(format!("{epoch}{digits}"));
        let back = back.with_gap_policy(GapPolicy::Refuse).start();
        assert!(matches!(
            back,
            Err(SubscribeError::Gap { missed: None, .. })
        ));
    }
    let mut all = hub.subscribe().with_replay(usize::MAX).start().unwrap();
    assert!(all.recv_timeout(Duration::MAX).unwrap().is_some());
    hub.close();
    let emitter = Emitter::new(Vec::new());
    assert!(matches!(
        all.serve(&emitter, Heartbeat::every(Duration::MAX)),
        Ending::Closed
    ));
}

#[test]
fn a_topic_that_is_named_twice_counts_once() {
    let hub = own();
    let mut twice = hub
        .subscribe()
        .with_topics(["t", "t"])
        .with_topics(["t"])
        .start()
        .unwrap();
    for id in 0..3 {
        assert!(twice.recv_timeout(Duration::ZERO).unwrap().is_none());
        hub.publish_to(["t", "u", "t"], &numbered(id)).unwrap();
        assert_eq!(drain(&mut twice), [id.to_string()]);
    }
    drop(twice);
    assert_eq!(hub.stats().subscribers, 0);
}

#[test]
fn an_event_as_large_as_the_log_takes_its_place() {
    let hub = Hub::builder()
        .with_id_policy(IdPolicy::Own)
        .with_max_bytes(100)
        .build();
    let mut slow = hub.subscribe().start().unwrap();
    for id in 1..=3 {
        hub.publish(&numbered(id)).unwrap();
    }
    let frame = numbered(4).wire().len();
    let filler = "y".repeat(100 - frame + 1);
    let event = numbered(4).with_data(filler.clone());
    hub.publish(&event).unwrap();
    let larger = hub
        .publish(&numbered(5).with_data(filler + "y"))
        .unwrap_err();
    let larger = std::io::Error::from(larger);
    assert_eq!(larger.kind(), ErrorKind::InvalidInput);
    assert!(matches!(
        slow.try_recv(),
        Err(RecvError::Lagged { missed: 3, .. })
    ));
    assert_eq!(drain(&mut slow), ["4"]);
    assert_eq!((hub.stats().bytes, hub.stats().events), (100, 1));
}

#[test]
fn a_heartbeat_that_fails_ends_it_and_frees_its_place() {
    let hub = own();
    for call in 0..2 {
        let mut subscription = hub
            .subscribe()
            .with_lag_policy(LagPolicy::Skip)
            .start()
            .unwrap();
        // The write, then the flush.
        let fault = Fault::Call(call, ErrorKind::ConnectionReset);
        let emitter = Emitter::new(Record::new().writer().with_fault(fault));
        let ended = within(DEADLINE, move || {
            let ended = subscription.serve(&emitter, Heartbeat::every(Duration::from_nanos(1)));
            assert!(emitter.is_closed());
            ended
        });
        match ended {
            Ending::Gone(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            other => panic!("{other:?}"),
        }
        assert_eq!(hub.stats().subscribers, 0);
    }
}

#[test]
fn a_client_that_is_up_to_date_has_no_gap_when_its_event_grew_too_old() {
    for ids in [IdPolicy::Assigned, IdPolicy::Own] {
        let builder = Hub::builder().with_max_age(Duration::from_nanos(1));
        let hub = builder.with_id_policy(ids).build();
        let event = match ids {
            IdPolicy::Own => Event::new("x").with_id("1"),
            _ => Event::new("x"),
        };
        let id = hub.publish(&event).unwrap().to_string();
        while hub.stats().events > 0 {
            thread::yield_now();
        }
        // Nothing was published since: there is nothing that it could have missed.
        let back = hub.subscribe().with_last_event_id(id).start().unwrap();
        assert_eq!(*back.resumption(), Resumption::CaughtUp, "{ids:?}");
    }
}

/// Events that are stored: the topic of each, whose id is its index.
#[derive(Clone)]
struct Stored(Arc<Mutex<Vec<&'static str>>>);

impl History for Stored {
    fn after(
        &self,
        id: &str,
        topics: &[&str],
        max: usize,
    ) -> std::io::Result<Option<Vec<Event<'static>>>> {
        let stored = self.0.lock().unwrap();
        let Some(id) = id.parse().ok().filter(|id: &usize| *id < stored.len()) else {
            return Ok(None);
        };
        let behind =
            (id + 1..stored.len()).filter(|n| topics.is_empty() || topics.contains(&stored[*n]));
        Ok(Some(behind.map(numbered).take(max).collect()))
    }
}

#[test]
fn a_client_that_is_ahead_and_names_other_topics_now_gets_nothing_twice() {
    let stored = Stored(Arc::new(Mutex::new(vec!["a", "a", "a", "b"])));
    let hub = Hub::builder().with_history(stored.clone()).build();
    hub.publish_to(["a"], &numbered(0)).unwrap();
    // Elsewhere it got all four, for the topics a and b. Now it wants a only.
    let mut ahead = hub
        .subscribe()
        .with_topics(["a"])
        .with_last_event_id("3")
        .start()
        .unwrap();
    assert_eq!(*ahead.resumption(), Resumption::CaughtUp);
    assert_eq!(drain(&mut ahead), [""; 0]);
    stored.0.lock().unwrap().push("a");
    for (id, topic) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
        hub.publish_to([topic], &numbered(id)).unwrap();
    }
    assert_eq!(drain(&mut ahead), ["4"]);
}

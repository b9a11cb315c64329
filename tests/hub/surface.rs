//! Limits, retained values, typed errors, and what a hub tells its clients besides events.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, ErrorKind, Write};
use std::iter;
use std::thread;
use std::time::Duration;

use sse_io::hub::{
    Ending, GapPolicy, IdPolicy, PublishError, RecvError, Resumption, Subscribe, SubscribeError,
    Subscription,
};
use sse_io::{DataWriter, Emitter, Event, Hub};

use crate::util::within;
use crate::util::writers::DEADLINE;

fn drain(subscription: &mut Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(frame) = subscription.try_recv().unwrap() {
        all.push(frame.event().data.into_owned());
    }
    all
}

fn publish_to(hub: &Hub, topic: &str, text: &str) {
    hub.publish_to([topic], &Event::new(text.to_owned()))
        .unwrap();
}

#[test]
fn one_subscription_names_so_many_topics_and_no_more() {
    let hub = Hub::builder().with_max_topics(3).build();
    let fits = hub.subscribe().with_topics(["a", "b"]).with_topics(["c"]);
    let mut fits = fits.start().unwrap();
    publish_to(&hub, "c", "x");
    assert_eq!(drain(&mut fits), ["x"]);
    // A list without an end is not read to its end.
    let read = Cell::new(0);
    let endless = iter::repeat_with(|| {
        read.set(read.get() + 1);
        "topic"
    });
    let refused = hub.subscribe().with_topics(endless).start().unwrap_err();
    assert!(matches!(
        refused,
        SubscribeError::TooManyTopics { limit: 3, .. }
    ));
    assert!(read.get() <= 4, "{}", read.get());
    assert_eq!(
        refused.to_string(),
        "the subscription names more than 3 topics"
    );
    assert_eq!(io::Error::from(refused).kind(), ErrorKind::InvalidInput);

    let names = |n: usize| (0..n).map(|n| n.to_string());
    let hub = Hub::new();
    assert!(hub.subscribe().with_topics(names(1024)).start().is_ok());
    assert!(hub.subscribe().with_topics(names(1025)).start().is_err());
}

#[test]
fn the_keys_of_topics_count_as_bytes_of_the_log() {
    let event = Event::new("x").with_id("1");
    let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
    hub.publish(&event).unwrap();
    let wire = hub.stats().bytes;
    assert_eq!(wire, "id: 1\ndata: x\n\n".len());
    // Each name with its length; several with a key each as well.
    hub.publish_to(["abc"], &event).unwrap();
    assert_eq!(hub.stats().bytes, 2 * wire + 11);
    hub.publish_to(["abc", "d"], &event).unwrap();
    assert_eq!(hub.stats().bytes, 3 * wire + 11 + (11 + 9 + 2 * 8));
}

#[test]
fn the_keys_of_topics_count_for_an_event_that_is_too_large() {
    let hub = Hub::builder().with_max_bytes(1).build();
    let size = |topics: &[&str]| match hub.publish_to(topics, &Event::new("x")) {
        Err(PublishError::TooLarge { size, .. }) => size,
        other => panic!("{other:?}"),
    };
    // Each has a name, and a key where there are several.
    let (one, two, three) = (size(&["a"]), size(&["a", "b"]), size(&["a", "b", "c"]));
    assert_eq!(two - one, three - two + size_of::<u64>());
}

#[test]
fn to_publish_to_no_topic_is_an_error() {
    let hub = Hub::new();
    let mut subscription = hub.subscribe().start().unwrap();
    let nobody: Option<&str> = None;
    let errors = [
        hub.publish_to(nobody, &Event::new("x")),
        hub.publish_to(Vec::<String>::new(), &Event::new("x")),
        hub.publish_to_with(nobody, &Event::new("x"), |_| Ok(())),
    ];
    for error in errors.map(Result::unwrap_err) {
        assert!(matches!(error, PublishError::NoTopic));
        assert_eq!(error.to_string(), "the event was published to no topic");
        assert_eq!(io::Error::from(error).kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(hub.stats().published, 0);
    hub.publish_to(Some("a"), &Event::new("y")).unwrap();
    assert_eq!(drain(&mut subscription), ["y"]);
}

#[test]
fn publishing_fails_with_what_is_wrong() {
    let hub = Hub::builder().with_max_bytes(100).build();
    let large = hub.publish(&Event::new("x".repeat(100))).unwrap_err();
    assert!(matches!(
        large,
        PublishError::TooLarge {
            size: 146,
            limit: 100,
            ..
        }
    ));
    let carries = hub.publish(&Event::new("x").with_id("1")).unwrap_err();
    assert!(matches!(carries, PublishError::CarriesId));
    let field = hub.publish(&Event::new("x").with_name("\n")).unwrap_err();
    assert!(matches!(field, PublishError::InvalidField(_)));
    let failed = hub.publish_with(&Event::default(), |_| Err(ErrorKind::TimedOut.into()));
    let failed = failed.unwrap_err();
    assert!(matches!(&failed, PublishError::Data(error) if error.kind() == ErrorKind::TimedOut));
    assert_eq!(io::Error::from(failed).kind(), ErrorKind::TimedOut);
    assert!(std::error::Error::source(&field).is_some());
    hub.close();
    let closed = hub.publish(&Event::new("x")).unwrap_err();
    assert!(matches!(closed, PublishError::Closed));
    assert!(std::error::Error::source(&closed).is_none());
    assert_eq!(io::Error::from(closed).kind(), ErrorKind::BrokenPipe);
    assert!(hub.retry(Duration::ZERO..=Duration::ZERO).is_err());
}

#[test]
fn a_frame_gives_its_event_back() {
    let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
    let mut subscription = hub.subscribe().start().unwrap();
    let events = [
        Event::new(""),
        Event::new(" leading"),
        Event::new("two\nlines"),
        Event::new("\n\nlines: of\n\nnothing\n"),
        Event::new("x").with_name("").with_id(""),
        Event::new("x").with_name(" a:b ").with_id(" : "),
        Event::new("id: 7").with_retry(Duration::from_millis(1500)),
        Event::new("x").with_extension("topic", " t:").with_id("é"),
        Event::new("").with_retry(Duration::ZERO),
    ];
    for event in events {
        hub.publish_to(["t"], &event).unwrap();
        let frame = subscription.recv().unwrap();
        assert_eq!(frame.event(), event);
        assert!(frame.is_event(), "{frame:?}");
    }
}

#[test]
fn a_reconnection_time_reaches_everybody() {
    let hub = Hub::new();
    let mut choosy = hub.subscribe().with_filter(|_| false).start().unwrap();
    let mut topics = hub.subscribe().with_topics(["a"]).start().unwrap();
    let seen = hub.publish(&Event::new("x")).unwrap();
    let wait = Duration::from_millis(2500);
    hub.retry(wait..=wait).unwrap();
    let frame = choosy.try_recv().unwrap().unwrap();
    assert_eq!(frame.as_bytes(), b"retry: 2500\n\n");
    assert!(!frame.is_event());
    assert_eq!(frame.id(), None);
    assert_eq!(frame.event().retry, Some(Duration::from_millis(2500)));
    assert!(topics.try_recv().unwrap().unwrap().is_event());
    assert!(!topics.try_recv().unwrap().unwrap().is_event());
    for range in [wait..=Duration::MAX, Duration::MAX..=wait] {
        let error = hub.retry(range).unwrap_err();
        assert!(matches!(error, PublishError::InvalidField(_)));
    }
    // The client comes back as ever.
    let next = hub.publish(&Event::new("y")).unwrap();
    let mut back = hub.subscribe().with_last_event_id(seen.as_str());
    back = back.with_topics(["b"]);
    let mut back = back.start().unwrap();
    assert!(!back.recv().unwrap().is_event());
    assert_eq!(back.recv().unwrap().id(), Some(next.as_str()));
}

/// The milliseconds in a frame that is a reconnection time.
#[track_caller]
fn millis(subscription: &mut Subscription) -> u128 {
    let frame = subscription.try_recv().unwrap().unwrap();
    assert!(!frame.is_event());
    frame.event().retry.unwrap().as_millis()
}

#[test]
fn reconnection_times_are_spread_evenly_over_the_subscriptions() {
    let hub = Hub::new();
    let subscribe = |_| hub.subscribe().start().unwrap();
    let mut subscriptions: Vec<_> = (0..200).map(subscribe).collect();
    let mut both = Vec::new();
    for _ in 0..2 {
        let (least, most) = (Duration::from_millis(1_000), Duration::from_millis(10_999));
        hub.retry(least..=most).unwrap();
        let waits: Vec<_> = subscriptions.iter_mut().map(millis).collect();
        for tenth in 0..10 {
            let part = 1_000 * (tenth + 1)..1_000 * (tenth + 2_u128);
            let those = waits.iter().filter(|wait| part.contains(*wait)).count();
            assert!((15..=25).contains(&those), "{those} of 200 in {part:?}");
        }
        both.push(waits);
    }
    assert_ne!(both[0], both[1]);
}

#[test]
fn reconnection_times_differ_from_room_to_room() {
    let waits: HashSet<_> = (0..100)
        .map(|_| {
            let room = Hub::new();
            let mut subscription = room.subscribe().start().unwrap();
            room.retry(Duration::ZERO..=Duration::from_secs(3600))
                .unwrap();
            millis(&mut subscription)
        })
        .collect();
    assert!(waits.len() > 90, "{} of 100 differ", waits.len());
}

#[test]
fn reconnection_times_are_within_their_range() {
    let hub = Hub::new();
    let mut subscriptions = [(); 8].map(|()| hub.subscribe().start().unwrap());
    let longest = Duration::from_millis(u64::MAX);
    for (range, wanted) in [
        (Duration::ZERO..=Duration::ZERO, 0..=0),
        (Duration::ZERO..=Duration::from_millis(1), 0..=1),
        (Duration::from_micros(1)..=Duration::from_micros(1), 1..=1),
        (Duration::from_secs(2)..=Duration::from_secs(1), 2000..=2000),
        (Duration::ZERO..=longest, 0..=u128::from(u64::MAX)),
        (
            longest..=longest,
            u128::from(u64::MAX)..=u128::from(u64::MAX),
        ),
    ] {
        hub.retry(range).unwrap();
        for subscription in &mut subscriptions {
            let wait = millis(subscription);
            assert!(wanted.contains(&wait), "{wait} of {wanted:?}");
        }
    }
}

#[test]
fn closing_waits_for_those_that_are_there() {
    let hub = Hub::new();
    assert!(
        hub.clone().close_and_wait(Duration::ZERO),
        "nobody is there"
    );
    let hub = Hub::new();
    let subscriptions: Vec<_> = (0..3).map(|_| hub.subscribe().start().unwrap()).collect();
    hub.publish(&Event::new("the last")).unwrap();
    assert!(!hub.close_and_wait(Duration::from_millis(1)));
    assert!(hub.publish(&Event::new("late")).is_err());
    let receive = |mut one: Subscription| {
        assert!(one.recv().is_ok());
        assert!(matches!(one.recv(), Err(RecvError::Closed)));
    };
    let threads = subscriptions
        .into_iter()
        .map(|one| thread::spawn(move || receive(one)));
    let threads: Vec<_> = threads.collect();
    let waiting = hub.clone();
    assert!(within(DEADLINE, move || waiting.close_and_wait(Duration::MAX)));
    assert_eq!(hub.stats().subscribers, 0);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_last_to_leave_ends_the_wait() {
    // Whether it leaves before the wait begins is chance.
    for _ in 0..50 {
        let hub = Hub::new();
        let last = hub.subscribe().start().unwrap();
        let waiting = hub.clone();
        let waiter = thread::spawn(move || waiting.close_and_wait(Duration::MAX));
        while !hub.is_closed() {
            thread::yield_now();
        }
        thread::yield_now();
        drop(last);
        assert!(within(DEADLINE, move || waiter.join().unwrap()));
    }
}

#[test]
fn deliveries_are_counted() {
    let hub = Hub::new();
    let mut all = hub.subscribe().start().unwrap();
    let mut none = hub.subscribe().with_filter(|_| false).start().unwrap();
    for _ in 0..5 {
        hub.publish(&Event::new("x")).unwrap();
    }
    assert_eq!(drain(&mut all).len(), 5);
    assert_eq!(drain(&mut none).len(), 0);
    assert_eq!(hub.stats().delivered, 5);
    hub.publish(&Event::new("x")).unwrap();
    assert!(all.recv().is_ok());
    drop(all);
    assert_eq!(hub.stats().delivered, 6);
}

#[test]
fn an_iteration_that_has_ended_stays_so() {
    let hub = Hub::new();
    let mut subscription = hub.subscribe().start().unwrap();
    hub.publish(&Event::new("x")).unwrap();
    hub.close();
    let mut iter = subscription.iter();
    assert!(iter.next().is_some());
    assert!(iter.next().is_none());
    assert!(iter.next().is_none());
    fn fused<I: iter::FusedIterator>(_: I) {}
    fused(iter);
    fused(subscription.into_iter());
}

mod retained {
    use super::*;

    fn hub(topics: usize, events: usize) -> Hub {
        Hub::builder()
            .with_retained(topics)
            .with_max_events(events)
            .build()
    }

    #[test]
    fn a_new_client_gets_the_newest_event_of_each_of_its_topics_in_order() {
        let hub = hub(10, 1);
        for (topic, text) in [("a", "a1"), ("b", "b1"), ("c", "c1"), ("a", "a2")] {
            publish_to(&hub, topic, text);
        }
        hub.publish(&Event::new("for everyone")).unwrap();
        let subscribe = || hub.subscribe().with_retained();
        let mut some = subscribe().with_topics(["a", "b", "d"]).start().unwrap();
        assert_eq!(drain(&mut some), ["b1", "a2"]);
        assert_eq!(drain(&mut subscribe().start().unwrap()), ["b1", "c1", "a2"]);
        // Not for who does not ask, and not for who comes back.
        let mut plain = hub.subscribe().with_topics(["a"]).start().unwrap();
        assert_eq!(drain(&mut plain), [""; 0]);
        let newest = hub.stats().newest.unwrap().to_string();
        let mut back = subscribe().with_last_event_id(newest).start().unwrap();
        assert_eq!(drain(&mut back), [""; 0]);
        let mut gap = subscribe().with_last_event_id("?").start().unwrap();
        assert_eq!(drain(&mut gap), ["b1", "c1", "a2", "for everyone"]);
        publish_to(&hub, "a", "a3");
        assert_eq!(drain(&mut some), ["a3"]);
    }

    #[test]
    fn what_is_replayed_does_not_come_twice() {
        let hub = hub(10, 100);
        for (topic, text) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3")] {
            publish_to(&hub, topic, text);
        }
        let subscribe = hub.subscribe().with_retained().with_replay(2);
        assert_eq!(drain(&mut subscribe.start().unwrap()), ["b1", "a2", "a3"]);
    }

    #[test]
    fn the_oldest_are_forgotten_where_there_are_too_many() {
        let hub = hub(2, 1);
        for (topic, text) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("c", "c1")] {
            publish_to(&hub, topic, text);
        }
        let all = || drain(&mut hub.subscribe().with_retained().start().unwrap());
        assert_eq!(all(), ["a2", "c1"]);
        // One event may be the newest of several topics.
        hub.publish_to(["a", "c"], &Event::new("both")).unwrap();
        assert_eq!(all(), ["both"]);
        publish_to(&hub, "a", "a3");
        assert_eq!(all(), ["both", "a3"]);
        publish_to(&hub, "c", "c2");
        assert_eq!(all(), ["a3", "c2"]);
    }

    #[test]
    fn an_event_as_large_as_the_log_is_retained() {
        let fits = |bytes: &usize| {
            let hub = Hub::builder()
                .with_retained(1)
                .with_max_bytes(*bytes)
                .build();
            let published = hub.publish_to(["a"], &Event::new("a1"));
            published.is_ok().then_some(hub)
        };
        let hub = (1..1000).find_map(|bytes| fits(&bytes)).expect("it fits");
        let subscribe = hub.subscribe().with_retained();
        assert_eq!(drain(&mut subscribe.start().unwrap()), ["a1"]);
    }

    #[test]
    fn they_take_as_many_bytes_as_the_log_at_most() {
        let hub = Hub::builder()
            .with_retained(1000)
            .with_max_bytes(1000)
            .build();
        for n in 0..100 {
            publish_to(&hub, &n.to_string(), &"x".repeat(300));
        }
        let mut all = hub.subscribe().with_retained().start().unwrap();
        assert_eq!(drain(&mut all).len(), 2);
    }
}

/// Something of the user's whose end looks at its hub.
struct Curious(Hub);

impl Drop for Curious {
    fn drop(&mut self) {
        self.0.stats();
        drop(self.0.subscribe().start());
    }
}

impl AsRef<str> for Curious {
    fn as_ref(&self) -> &str {
        "topic"
    }
}

/// A filter that holds one.
fn filtered(hub: &Hub) -> Subscribe {
    let curious = Curious(hub.clone());
    hub.subscribe().with_filter(move |_| {
        let _held = &curious;
        true
    })
}

#[test]
fn a_filter_that_calls_its_hub_as_it_is_dropped_finds_no_lock_held() {
    within(DEADLINE, || {
        let builder = Hub::builder().with_max_subscribers(1).with_max_topics(1);
        let hub = builder.build();
        drop(filtered(&hub));
        let subscription = filtered(&hub).start().unwrap();
        let full = filtered(&hub).start();
        assert!(matches!(full, Err(SubscribeError::Full { .. })));
        drop(subscription);
        let topics = filtered(&hub).with_topics(["a", "b"]).start();
        assert!(matches!(topics, Err(SubscribeError::TooManyTopics { .. })));
        let refusing = filtered(&hub).with_gap_policy(GapPolicy::Refuse);
        let gap = refusing.with_last_event_id("made up").start();
        assert!(matches!(gap, Err(SubscribeError::Gap { .. })));
        assert_eq!(hub.stats().subscribers, 0);
        hub.close();
        let closed = filtered(&hub).start();
        assert!(matches!(closed, Err(SubscribeError::Closed)));
    });
}

#[test]
fn topics_closures_and_hooks_that_call_their_hub_as_they_are_dropped_find_no_lock_held() {
    within(DEADLINE, || {
        let hub = Hub::builder().with_retained(1).build();
        let curious = || Curious(hub.clone());
        let topics = || [curious(), curious()];
        let subscription = hub.subscribe().with_topics(topics()).start().unwrap();
        let hook = curious();
        drop(subscription.on_ended(move |_| drop(hook)));

        let event = Event::new("x");
        hub.publish_to(topics(), &event).unwrap();
        let held = curious();
        let data = |data: &mut DataWriter<'_>| {
            let _held = held;
            data.write_all(b"y")
        };
        hub.publish_to_with(topics(), &event, data).unwrap();
        hub.close();
        hub.publish_to(topics(), &event).unwrap_err();
    });
}

#[test]
fn a_replay_of_a_topic_begins_at_the_right_event() {
    let hub = Hub::new();
    for n in 0..100 {
        publish_to(&hub, if n % 3 == 0 { "a" } else { "b" }, &n.to_string());
    }
    for (events, expected) in [(1, 1), (3, 3), (34, 34), (500, 34)] {
        let subscribe = hub.subscribe().with_topics(["a"]).with_replay(events);
        let mut replay = subscribe.start().unwrap();
        let all = drain(&mut replay);
        assert_eq!(all.len(), expected);
        assert_eq!(all.last().unwrap(), "99");
        assert_eq!(*replay.resumption(), Resumption::New);
    }
}

#[test]
fn what_is_retained_for_another_topic_alone_does_not_come() {
    let hub = Hub::builder().with_retained(10).build();
    hub.publish_to(["a", "b"], &Event::new("old")).unwrap();
    hub.publish_to(["a"], &Event::new("new")).unwrap();
    let retained = |topics: &[&str]| {
        let subscribe = hub.subscribe().with_topics(topics).with_retained();
        drain(&mut subscribe.start().unwrap())
    };
    assert_eq!(retained(&["a"]), ["new"]);
    assert_eq!(retained(&["b"]), ["old"]);
    assert_eq!(retained(&["a", "b"]), ["old", "new"]);
}

#[test]
fn a_replay_of_a_rare_topic_reaches_back_over_many_other_events() {
    let hub = Hub::new();
    for (topic, times) in [("rare", 2), ("busy", 700), ("rare", 2)] {
        for n in 0..times {
            publish_to(&hub, topic, &n.to_string());
        }
    }
    let subscribe = hub.subscribe().with_topics(["rare"]).with_replay(3);
    assert_eq!(drain(&mut subscribe.start().unwrap()), ["1", "0", "1"]);
}

mod the_last_event {
    use super::*;

    /// Ends behind "end", and does not see "filtered".
    fn subscribe(hub: &Hub) -> Subscription {
        hub.subscribe()
            .with_filter(|frame| !frame.event().data.starts_with("filtered"))
            .with_last(|frame| frame.event().data.ends_with("end"))
            .start()
            .unwrap()
    }

    fn publish(hub: &Hub, all: &[&str]) {
        for text in all {
            hub.publish(&Event::new(*text)).unwrap();
        }
    }

    #[test]
    fn is_the_first_that_the_filter_lets_through() {
        let hub = Hub::new();
        let mut received = subscribe(&hub);
        let mut tried = subscribe(&hub);
        let mut timed = subscribe(&hub);
        let iterated = subscribe(&hub);
        publish(&hub, &["a", "filtered end", "b", "end", "c", "end"]);
        for wanted in ["a", "b", "end"] {
            assert_eq!(received.recv().unwrap().event().data, wanted);
            let frame = tried.try_recv().unwrap().unwrap();
            assert_eq!(frame.event().data, wanted);
            let frame = timed.recv_timeout(DEADLINE).unwrap().unwrap();
            assert_eq!(frame.event().data, wanted);
        }
        for _ in 0..2 {
            assert!(matches!(received.recv(), Err(RecvError::Closed)));
            assert!(matches!(tried.try_recv(), Err(RecvError::Closed)));
            let end = timed.recv_timeout(DEADLINE);
            assert!(matches!(end, Err(RecvError::Closed)));
        }
        assert_eq!(iterated.into_iter().count(), 3);
    }

    #[test]
    fn ends_what_serves() {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub);
        publish(&hub, &["a", "end", "b"]);
        let mut stream = Vec::new();
        let ended = subscription.serve(&Emitter::new(&mut stream), None);
        assert!(matches!(ended, Ending::Closed), "{ended:?}");
        assert!(stream.ends_with(b"data: end\n\n"));
        // As it comes, to a thread that waits.
        let mut subscription = subscribe(&hub);
        let (hub, publisher) = (hub.clone(), hub);
        let served = thread::spawn(move || {
            let mut stream = Vec::new();
            let ended = subscription.serve(&Emitter::new(&mut stream), None);
            drop(hub);
            (matches!(ended, Ending::Closed), stream)
        });
        publish(&publisher, &["a"]);
        publish(&publisher, &["end"]);
        publish(&publisher, &["b"]);
        let (closed, stream) = served.join().unwrap();
        assert!(closed);
        assert!(stream.ends_with(b"data: end\n\n"));
    }
}

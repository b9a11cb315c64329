//! What a hub holds and allocates: the log, little for a subscription, and nothing for what is over.

use std::collections::HashSet;
use std::iter;
use std::mem::size_of;
use std::time::Duration;

use sse_io::hub::{Ending, IdPolicy, LagPolicy, RecvError, Subscription};
use sse_io::{Emitter, Event, Heartbeat, Hub, ResponseHead};
use sse_io_memory::{Nowhere, allocations, calls, held, peak};

const SUBSCRIPTIONS: usize = 10_000;
const KIB: isize = 1 << 10;

/// What the log of these tests may hold.
const MAX_EVENTS: usize = 256;
const MAX_BYTES: usize = 32 << 10;

/// What comes on top for each event at most. A part of it is room: the log's queue may have it for
/// twice the events, and so may its table of ids.
const ON_TOP: usize = 300;

fn small() -> Hub {
    Hub::builder()
        .with_max_events(MAX_EVENTS)
        .with_max_bytes(MAX_BYTES)
        .build()
}

/// Brings a subscription into the state of one that waits, without a thread that does.
fn begin_to_wait(subscription: &mut Subscription) {
    let nothing = subscription.recv_timeout(Duration::ZERO).unwrap();
    assert!(nothing.is_none());
}

/// Reads all there is.
fn drain(subscription: &mut Subscription) -> usize {
    iter::from_fn(|| subscription.try_recv().unwrap()).count()
}

/// Subscriptions that wait: a quarter for everything, the others for one of a hundred topics, or two.
fn idle(hub: &Hub, many: usize) -> Vec<Subscription> {
    let mut all = Vec::with_capacity(many);
    for n in 0..many {
        let (one, another) = (
            format!("topic {}", n % 100),
            format!("topic {}", n / 7 % 100),
        );
        let subscribe = match n % 4 {
            0 => hub.subscribe(),
            1 => hub.subscribe().with_topics([one, another]),
            _ => hub.subscribe().with_topics([one]),
        };
        all.push(subscribe.start().unwrap());
    }
    all
}

#[test]
fn ten_thousand_idle_subscriptions_take_less_than_a_kib_each() {
    let hub = Hub::new();
    let (bytes, subscriptions) = held(|| {
        let mut all = idle(&hub, SUBSCRIPTIONS);
        all.iter_mut().for_each(begin_to_wait);
        all
    });
    let each = bytes / SUBSCRIPTIONS as isize;
    println!("{each} bytes for an idle subscription");
    assert!(each < KIB, "{each} bytes each");
    assert!(size_of::<Subscription>() < 512);
    // After a burst they are idle again.
    let (more, _) = held(|| {
        for n in 0..100 {
            hub.publish(&Event::new(format!("event {n}"))).unwrap();
        }
    });
    let (burst, subscriptions) = held(|| {
        let mut all = subscriptions;
        for subscription in &mut all {
            assert_eq!(drain(subscription), 100);
            begin_to_wait(subscription);
        }
        all
    });
    let each = (bytes + burst) / SUBSCRIPTIONS as isize;
    assert!(each < KIB, "{each} bytes each after a burst of {more}");
    drop(subscriptions);
}

#[test]
fn subscriptions_that_never_read_make_nothing_grow_but_the_log() {
    let hub = small();
    let mut subscriptions = idle(&hub, SUBSCRIPTIONS);
    // Half of them wait, and are not read when they are woken.
    subscriptions.iter_mut().step_by(2).for_each(begin_to_wait);
    let topics: Vec<String> = (0..150).map(|n| format!("topic {n}")).collect();
    let mut published = 0;
    let mut publish = |events: usize| {
        for _ in 0..events {
            published += 1;
            let event = Event::new("x".repeat(published * 7919 % 301));
            match published % 3 {
                0 => hub.publish(&event).map(drop).unwrap(),
                _ => {
                    let topic = &topics[published % topics.len()];
                    hub.publish_to([topic], &event).map(drop).unwrap();
                }
            }
        }
    };
    let (bytes, ()) = held(|| publish(100_000));
    // A thread keeps its scratch.
    let limit = MAX_BYTES + MAX_EVENTS * ON_TOP + 1024;
    println!("{bytes} bytes for a log of {limit} at most");
    assert!(bytes <= limit as isize, "{bytes} bytes, limit {limit}");
    let (most, (more, ())) = peak(|| held(|| publish(100_000)));
    assert!(more <= MAX_BYTES as isize, "{more} bytes more");
    assert!(most <= limit, "{most} bytes more at most");
    for subscription in &mut subscriptions {
        assert!(matches!(
            subscription.try_recv(),
            Err(RecvError::Lagged { .. })
        ));
    }
}

/// How often this allocates, at most, once warm.
#[track_caller]
fn assert_allocates(what: &str, times: usize, mut publish: impl FnMut()) {
    for _ in 0..EVENTS {
        publish();
    }
    let (calls, ()) = allocations(|| (0..EVENTS).for_each(|_| publish()));
    assert_eq!(calls, EVENTS * times, "{what}: {calls} for {EVENTS} events");
}

#[test]
fn publishing_allocates_once() {
    for ids in [IdPolicy::Assigned, IdPolicy::Own] {
        let builder = Hub::builder()
            .with_max_events(MAX_EVENTS)
            .with_id_policy(ids);
        let hub = builder.build();
        // They take some of it and never wait.
        let _subscriptions = idle(&hub, 100);
        let event = Event::new("some data\nof two lines").with_name("update");
        assert_allocates("publish", 1, || drop(hub.publish(&event).unwrap()));
        assert_allocates("publish_with", 1, || {
            let written = hub.publish_with(&event, |data| write!(data, "{} {:?}", 1.5, "text"));
            drop(written.unwrap());
        });
        assert_allocates("publish_to one topic", 1, || {
            drop(hub.publish_to(["topic 1"], &event).unwrap());
        });
        if ids == IdPolicy::Own {
            let ids: Vec<_> = (0..2 * EVENTS).map(|n| n.to_string()).collect();
            let mut ids = ids.iter();
            assert_allocates("publish with an id", 1, || {
                let id = ids.next().expect("enough").as_str();
                drop(hub.publish(&Event::new("x").with_id(id)).unwrap());
            });
        }
    }
}

#[test]
fn publishing_to_several_topics_allocates_once_more() {
    let hub = Hub::builder().with_max_events(MAX_EVENTS).build();
    let event = Event::new("x");
    let topics = ["one", "two", "three"];
    for some in [&topics[..2], &topics] {
        assert_allocates("publish_to several topics", 2, || {
            drop(hub.publish_to(some, &event).unwrap());
        });
    }
    let many: Vec<String> = (0..40).map(|n| format!("topic {n}")).collect();
    assert_allocates("publish_to many topics", 2, || {
        drop(hub.publish_to(&many, &event).unwrap());
    });
}

#[test]
fn a_publisher_that_wakes_many_allocates_no_more_than_for_the_list_of_them() {
    let hub = Hub::new();
    let mut subscriptions = idle(&hub, 1000);
    let mut publish_and_read = || {
        subscriptions.iter_mut().for_each(begin_to_wait);
        let (calls, _) = allocations(|| hub.publish(&Event::new("x")).unwrap());
        for subscription in &mut subscriptions {
            assert_eq!(drain(subscription), 1);
        }
        calls
    };
    for _ in 0..2000 {
        publish_and_read();
    }
    let calls = publish_and_read();
    assert!(calls <= 2, "{calls} allocations");
}

#[test]
fn serving_allocates_nothing_for_an_event_once_warm() {
    // It publishes as it is asked for the next event, on the thread that serves.
    for chunked in [false, true] {
        for topics in [false, true] {
            let (allocated, ended) = serve_warm(chunked, topics);
            assert!(matches!(ended, Ending::Closed), "{ended:?}");
            assert_eq!(allocated, Some(0), "chunked: {chunked}, topics: {topics}");
        }
    }
}

const WARM_UP: usize = 500;
const EVENTS: usize = 5000;

/// Serves events that are there before and joined, each of up to 2 KB; counts from the one that is
/// `WARM_UP` on.
fn serve_warm(chunked: bool, topics: bool) -> (Option<usize>, Ending) {
    let hub = Hub::builder()
        .with_max_events(WARM_UP + EVENTS)
        .with_max_bytes(1 << 30)
        .build();
    let (done, counts) = std::sync::mpsc::channel();
    let mut seen = 0;
    let mut before = 0;
    let mut subscribe = hub.subscribe().with_filter(move |_| {
        seen += 1;
        match seen {
            WARM_UP => before = calls(),
            _ if seen == WARM_UP + EVENTS => {
                // The receiver is there, and sending allocates after the count.
                let count = calls() - before;
                done.send(count).expect("the test listens");
            }
            _ => {}
        }
        true
    });
    if topics {
        subscribe = subscribe.with_topics(["a", "b"]);
    }
    let mut subscription = subscribe.start().unwrap();
    for n in 0..WARM_UP + EVENTS {
        let event = Event::new("x".repeat(n * 7919 % 2001));
        hub.publish_to(["a", "c"], &event).unwrap();
    }
    hub.close();
    let emitter = match chunked {
        true => ResponseHead::new().start(Nowhere).unwrap(),
        false => Emitter::new(Nowhere),
    };
    let ended = subscription.serve(&emitter, Heartbeat::every(Duration::from_secs(15)));
    (counts.try_recv().ok(), ended)
}

/// Subscribes, publishes, lags, leaves.
fn live_through(hub: &Hub, round: usize) {
    let mut all = idle(hub, 100);
    all.iter_mut().for_each(begin_to_wait);
    for n in 0..50 {
        let job = format!("job {round} {n}");
        let mut one_off = hub.subscribe().with_topics([&job]).start().unwrap();
        begin_to_wait(&mut one_off);
        hub.publish_to([&job, "topic 1"], &Event::new("done"))
            .unwrap();
        assert_eq!(drain(&mut one_off), 1);
    }
    hub.publish(&Event::new("for everyone")).unwrap();
    all.iter_mut()
        .step_by(3)
        .for_each(|one| drop(one.try_recv()));
    let last = hub
        .stats()
        .oldest
        .map(|id| id.to_string())
        .unwrap_or_default();
    drop(
        hub.subscribe()
            .with_last_event_id(last)
            .with_lag_policy(LagPolicy::Skip)
            .start()
            .unwrap(),
    );
}

#[test]
fn what_is_over_leaves_nothing_behind() {
    let hub = Hub::builder().with_max_events(16).build();
    for round in 1000..1200 {
        live_through(&hub, round);
    }
    let (more, ()) = held(|| (2000..4000).for_each(|round| live_through(&hub, round)));
    // Frames of another length.
    assert!(more.abs() <= KIB, "{more} bytes more");
    assert_eq!(hub.stats().subscribers, 0);
}

#[test]
fn a_hub_that_is_dropped_gives_everything_back() {
    let rounds = || {
        let hub = Hub::new();
        live_through(&hub, 1000);
        let waiting = idle(&hub, SUBSCRIPTIONS);
        drop(hub);
        // They hold the log still.
        drop(waiting);
    };
    // This thread's scratch stays.
    rounds();
    let (more, ()) = held(rounds);
    assert_eq!(more, 0, "{more} bytes more");
}

#[test]
fn a_room_is_small_while_its_log_is_empty() {
    let (bytes, hub) = held(Hub::new);
    println!("{bytes} bytes for a hub");
    assert!(bytes <= KIB, "{bytes} bytes");
    drop(hub);
}

/// Subscriptions that wait, each for a topic of its own and for one that all have.
fn with_topics_of_their_own(hub: &Hub, names: &HashSet<String>) -> Vec<Subscription> {
    let subscribe = |name: &String| hub.subscribe().with_topics([name, "all"]).start().unwrap();
    let mut all: Vec<_> = names.iter().map(subscribe).collect();
    all.iter_mut().for_each(begin_to_wait);
    all
}

#[test]
fn what_many_subscriptions_took_is_given_back_when_they_leave() {
    let hub = Hub::builder().with_max_events(16).build();
    live_through(&hub, 1000);
    let names: HashSet<String> = (0..SUBSCRIPTIONS).map(|n| format!("own {n}")).collect();
    let (more, ()) = held(|| drop(with_topics_of_their_own(&hub, &names)));
    println!("{more} bytes kept after {SUBSCRIPTIONS} subscriptions have left");
    assert!(more <= 16 * KIB, "{more} bytes kept");
    // Nor is there still room for all that an event had to wake.
    let (more, ()) = held(|| {
        let all = with_topics_of_their_own(&hub, &names);
        hub.publish(&Event::new("x")).unwrap();
        drop(all);
    });
    assert!(more <= 16 * KIB, "{more} bytes kept after an event");
}

#[test]
fn what_many_subscriptions_took_is_given_back_while_some_stay() {
    let hub = Hub::builder().with_max_events(16).build();
    live_through(&hub, 1000);
    let names: HashSet<String> = (0..SUBSCRIPTIONS).map(|n| format!("own {n}")).collect();
    let (bytes, mut some) = held(|| {
        let all = with_topics_of_their_own(&hub, &names);
        let mut number = 0;
        let mut some = Vec::with_capacity(SUBSCRIPTIONS / 100);
        some.extend(all.into_iter().filter(|_| {
            number += 1;
            number % 100 == 0
        }));
        some
    });
    let each = bytes / some.len() as isize;
    println!("{each} bytes for each of {} that stay", some.len());
    assert!(each < 2 * KIB, "{each} bytes each");
    // They are in the lists still.
    hub.publish_to(["all"], &Event::new("x")).unwrap();
    for subscription in &mut some {
        assert_eq!(drain(subscription), 1);
    }
}

#[test]
fn the_log_takes_little_on_top_of_each_event() {
    for ids in [IdPolicy::Assigned, IdPolicy::Own] {
        let (bytes, hub) = held(|| {
            let hub = Hub::builder().with_id_policy(ids).build();
            for n in 0..100_000 {
                let event = Event::new("some data");
                let event = match ids {
                    IdPolicy::Own => event.with_id(n.to_string()),
                    _ => event,
                };
                hub.publish_to(["topic"], &event).unwrap();
            }
            hub
        });
        let stats = hub.stats();
        let each = (bytes - stats.bytes as isize) / stats.events as isize;
        println!("{each} bytes on top of each event, ids {ids:?}");
        assert!(each <= ON_TOP as isize, "{each} bytes on top");
    }
}

#[test]
fn what_grew_too_old_is_let_go() {
    let builder = Hub::builder()
        .with_id_policy(IdPolicy::Own)
        .with_max_age(Duration::from_nanos(1));
    let hub = builder.build();
    hub.publish(&Event::new("x").with_id("1")).unwrap();
    let (more, ()) = held(|| {
        let giant = Event::new("x".repeat(1 << 20)).with_id("2");
        hub.publish(&giant).unwrap();
        while hub.stats().events > 0 {
            std::thread::yield_now();
        }
    });
    assert_eq!(hub.stats().bytes, 0);
    assert!(more <= 16 * KIB, "{more} bytes held");
}

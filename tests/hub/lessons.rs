//! What users of broadcast libraries suffer from, each as a test; and exactly-once under stress.

use crate::util;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use sse_io::hub::{Ending, Frame, IdPolicy, RecvError, Resumption, SubscribeError, Subscription};
use sse_io::{Emitter, Event, Heartbeat, Hub, Reader, ResponseHead};
use util::writers::{DEADLINE, Record, gated};
use util::{Rng, repeats, within};

/// Long enough that no heartbeat comes by itself in a test.
const NEVER: Heartbeat = Heartbeat::every(Duration::from_secs(3600));

fn subscribe(hub: &Hub) -> Subscription {
    hub.subscribe().start().unwrap()
}

fn after(hub: &Hub, id: &str) -> Subscription {
    hub.subscribe().with_last_event_id(id).start().unwrap()
}

fn event_of(frame: &Frame) -> Event<'static> {
    let mut reader = Reader::new(frame.as_bytes());
    reader.read_event().unwrap().unwrap().into_owned()
}

fn drain(subscription: &mut Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(frame) = subscription.try_recv().unwrap() {
        all.push(event_of(&frame).data.into_owned());
    }
    all
}

#[test]
fn a_stuck_client_stalls_no_publish_subscribe_count_or_close() {
    let hub = Hub::builder().with_max_events(repeats(1_000)).build();
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    gate.shut();
    let emitter = Emitter::new(writer);
    let mut stuck = subscribe(&hub);
    let served = thread::spawn(move || stuck.serve(&emitter, NEVER));
    hub.publish(&Event::new("stuck on this")).unwrap();
    gate.wait_blocked();
    let other = hub.clone();
    within(DEADLINE, move || {
        for n in 0..repeats(5_000) {
            other.publish(&Event::new(n.to_string())).unwrap();
        }
        let subscription = subscribe(&other);
        assert_eq!(other.stats().subscribers, 2);
        drop(subscription);
        assert_eq!(other.stats().subscribers, 1);
        other.close();
    });
    gate.open();
    let ended = within(DEADLINE, || served.join().unwrap());
    assert!(matches!(ended, Ending::Lagged { .. }), "{ended:?}");
}

#[test]
fn stuck_clients_keep_nobody_from_being_woken() {
    const EACH: usize = 40;
    let hub = Hub::new();
    let mut gates = Vec::new();
    let mut threads = Vec::new();
    let (seen, all_seen) = mpsc::channel();
    for _ in 0..EACH {
        let (writer, gate) = gated(Record::new().writer());
        gate.shut();
        let mut stuck = subscribe(&hub);
        let served = thread::spawn(move || drop(stuck.serve(&Emitter::new(writer), NEVER)));
        gates.push(gate);
        let mut other = subscribe(&hub);
        let seen = seen.clone();
        let reading =
            thread::spawn(move || other.iter().flatten().for_each(|_| seen.send(()).unwrap()));
        threads.extend([served, reading]);
    }
    let publisher = hub.clone();
    within(DEADLINE, move || {
        for _ in 0..20 {
            publisher.publish(&Event::new("x")).unwrap();
            (0..EACH).for_each(|_| all_seen.recv().unwrap());
        }
    });
    hub.close();
    gates.iter().for_each(|gate| gate.open());
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn all_that_wait_are_woken_whoever_comes_goes_or_gives_up() {
    const WAITING: usize = repeats(40);
    let hub = Hub::new();
    let (seen, all_seen) = mpsc::channel();
    let waiting = (0..WAITING).map(|_| {
        let mut subscription = subscribe(&hub);
        let seen = seen.clone();
        thread::spawn(move || {
            let frames = subscription.iter().flatten();
            frames.for_each(|_| seen.send(()).unwrap());
        })
    });
    let mut threads: Vec<_> = waiting.collect();
    for seed in 0..12 {
        let hub = hub.clone();
        threads.push(thread::spawn(move || {
            let mut rng = Rng(seed);
            // They are woken, or were about to be, when their time is up or they are dropped.
            while let Ok(mut subscription) = hub.subscribe().start() {
                for _ in 0..rng.below(20) {
                    let patience = Duration::from_micros(rng.below(200) as u64);
                    let _ = subscription.recv_timeout(patience);
                }
            }
        }));
    }
    let publisher = hub.clone();
    within(DEADLINE, move || {
        for n in 0..repeats(1_000) {
            publisher.publish(&Event::new(n.to_string())).unwrap();
            (0..WAITING).for_each(|_| all_seen.recv().unwrap());
        }
    });
    hub.close();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn an_event_is_formatted_once_for_all() {
    let hub = Hub::new();
    let mut subscriptions: Vec<_> = (0..100).map(|_| subscribe(&hub)).collect();
    let runs = AtomicUsize::new(0);
    hub.publish_with(&Event::default(), |data| {
        runs.fetch_add(1, Ordering::Relaxed);
        write!(data, "formatted")
    })
    .unwrap();
    let frames = subscriptions.iter_mut().map(|s| s.recv().unwrap());
    let places: Vec<_> = frames.map(|frame| frame.as_bytes().as_ptr()).collect();
    assert!(places.iter().all(|place| *place == places[0]));
    assert_eq!(runs.into_inner(), 1);
}

#[test]
fn names_ids_and_every_other_field_are_sent() {
    let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
    let mut subscription = subscribe(&hub);
    let event = Event::new("x")
        .with_name("n")
        .with_id("7")
        .with_retry(Duration::from_secs(3))
        .with_extension("a", "b");
    hub.publish(&event).unwrap();
    assert_eq!(event_of(&subscription.recv().unwrap()), event);
}

#[test]
fn empty_data_is_an_event() {
    let hub = Hub::new();
    let mut subscription = subscribe(&hub);
    hub.publish(&Event::new("")).unwrap();
    hub.publish(&Event::new("\n")).unwrap();
    hub.publish_with(&Event::default(), |_| Ok(())).unwrap();
    assert_eq!(drain(&mut subscription), ["", "\n", ""]);
}

#[test]
fn a_close_loses_nothing_and_writes_nothing_of_its_own() {
    let hub = Hub::new();
    let mut subscription = subscribe(&hub);
    let mut expected = Vec::new();
    for n in 0..500 {
        let id = hub.publish(&Event::new(n.to_string())).unwrap();
        let event = Event::new(n.to_string()).with_id(id.to_string());
        event.encode(&mut expected).unwrap();
    }
    hub.close();
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    assert!(matches!(
        subscription.serve(&emitter, NEVER),
        Ending::Closed
    ));
    drop(emitter);
    assert_eq!(record.bytes(), expected);
}

#[test]
fn a_client_that_is_up_to_date_gets_nothing_again() {
    let hub = Hub::new();
    let mut id = String::new();
    for n in 0..20 {
        id = hub.publish(&Event::new(n.to_string())).unwrap().to_string();
    }
    for _ in 0..3 {
        let mut back = after(&hub, &id);
        assert_eq!(*back.resumption(), Resumption::CaughtUp);
        assert!(back.try_recv().unwrap().is_none());
    }
    let mut back = after(&hub, &id);
    hub.publish(&Event::new("new")).unwrap();
    assert_eq!(drain(&mut back), ["new"]);
}

#[test]
fn an_id_that_is_too_old_gets_what_there_is_and_the_word_of_the_gap() {
    let hub = Hub::builder().with_max_events(3).build();
    let old = hub.publish(&Event::new("0")).unwrap();
    for n in 1..=5 {
        hub.publish(&Event::new(n.to_string())).unwrap();
    }
    let mut back = hub
        .subscribe()
        .with_last_event_id(old.as_str())
        .with_gap_event(Event::new("missed some"))
        .start()
        .unwrap();
    let gap = *back.resumption();
    assert!(
        matches!(
            gap,
            Resumption::Gap {
                missed: Some(2),
                ..
            }
        ),
        "{gap:?}"
    );
    assert_eq!(drain(&mut back), ["missed some", "3", "4", "5"]);
}

#[test]
fn ids_from_before_a_restart_match_no_event() {
    let ids: Vec<_> = (0..20)
        .map(|_| {
            let hub = Hub::new();
            hub.publish(&Event::new("x")).unwrap();
            hub.publish(&Event::new("x")).unwrap().to_string()
        })
        .collect();
    let hub = Hub::new();
    for _ in 0..10 {
        hub.publish(&Event::new("y")).unwrap();
    }
    for id in &ids {
        let back = after(&hub, id);
        assert!(matches!(
            back.resumption(),
            Resumption::Gap { missed: None, .. }
        ));
    }
}

#[test]
fn the_first_publish_after_subscribing_arrives() {
    // From the moment that `start` returns: it is the acknowledgement.
    for _ in 0..repeats(200) {
        let hub = Hub::new();
        let mut subscription = subscribe(&hub);
        let publisher = thread::spawn(move || hub.publish(&Event::new("first")).map(drop));
        let frame = within(DEADLINE, move || subscription.recv()).unwrap();
        assert_eq!(event_of(&frame).data, "first");
        publisher.join().unwrap().unwrap();
    }
}

#[test]
fn departed_clients_are_not_counted() {
    let hub = Hub::builder().with_max_subscribers(100).build();
    for round in 0..5 {
        let subscriptions: Vec<_> = (0..100).map(|_| subscribe(&hub)).collect();
        assert!(matches!(
            hub.subscribe().start(),
            Err(SubscribeError::Full { limit: 100, .. })
        ));
        assert_eq!(hub.stats().subscribers, 100, "round {round}");
        drop(subscriptions);
        assert_eq!(hub.stats().subscribers, 0);
    }
}

#[test]
fn a_full_hub_is_answered_with_503() -> io::Result<()> {
    let hub = Hub::builder().with_max_subscribers(0).build();
    let mut response = Vec::new();
    if let Err(SubscribeError::Full { .. }) = hub.subscribe().start() {
        let busy = ResponseHead::new().with_header("Retry-After", "5");
        busy.refuse(503, &mut response)?;
    }
    let response = String::from_utf8(response).unwrap();
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.contains("Retry-After: 5\r\n"));
    Ok(())
}

/// What was published, by sequence.
type Published = Mutex<HashMap<u64, String>>;

fn sequence(id: &str) -> u64 {
    u64::from_str_radix(&id[17..], 16).unwrap()
}

/// How much a subscriber of the stress has received, and how often it was told of a gap.
#[derive(Debug, Default)]
struct Told {
    received: usize,
    gaps: usize,
}

/// Joins with random ids, receives, leaves at random; at last stays until the event `total`. Checks
/// that each event is the next one, unless it was told otherwise.
fn visit(hub: &Hub, published: &Published, stop: &AtomicBool, total: u64, seed: u64) -> Told {
    let mut rng = Rng(seed);
    let mut told = Told::default();
    let mut last: Option<String> = None;
    loop {
        let stay = stop.load(Ordering::Relaxed);
        let known = last.clone().filter(|_| rng.below(8) > 0);
        let id = known.or_else(|| {
            let published = published.lock().unwrap();
            let newest = published.keys().max()?;
            let back = rng.below(2_000) as u64;
            published.get(&newest.saturating_sub(back)).cloned()
        });
        let mut subscription = after(hub, id.as_deref().unwrap_or_default());
        // The sequence that must come next; None while it cannot be known.
        let mut expected = match (subscription.resumption(), &id) {
            (Resumption::CaughtUp | Resumption::Resumed { .. }, Some(id)) => Some(sequence(id) + 1),
            (Resumption::Gap { missed, .. }, Some(id)) => {
                told.gaps += 1;
                Some(sequence(id) + 1 + missed.unwrap())
            }
            (Resumption::New, None) => None,
            other => panic!("{other:?}"),
        };
        let mut left = if stay { usize::MAX } else { rng.below(600) };
        while left > 0 && expected != Some(total + 1) {
            left -= 1;
            let frame = match subscription.recv() {
                Ok(frame) => frame,
                Err(RecvError::Lagged { missed, .. }) => {
                    told.gaps += 1;
                    expected = expected.map(|expected| expected + missed);
                    continue;
                }
                Err(other) => panic!("{other:?}"),
            };
            let id = frame.id().unwrap();
            let at = sequence(id);
            assert_eq!(at, expected.unwrap_or(at));
            assert_eq!(event_of(&frame).id.unwrap(), id);
            expected = Some(at + 1);
            told.received += 1;
            last = Some(id.to_owned());
        }
        if stay {
            return told;
        }
    }
}

fn stress(max_events: usize, each: usize) -> Vec<Told> {
    const PUBLISHERS: usize = 8;
    const SUBSCRIBERS: u64 = 200;
    let total = PUBLISHERS * each;
    let hub = Hub::builder().with_max_events(max_events).build();
    let published = Arc::new(Published::default());
    let stop = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = (0..SUBSCRIBERS)
        .map(|seed| {
            let (hub, published, stop) = (hub.clone(), Arc::clone(&published), Arc::clone(&stop));
            thread::spawn(move || visit(&hub, &published, &stop, total as u64, seed))
        })
        .collect();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (hub, published) = (hub.clone(), Arc::clone(&published));
            thread::spawn(move || {
                for n in 0..each {
                    let event = Event::new(format!("{publisher}.{n}"));
                    let id = hub.publish(&event).unwrap().to_string();
                    published.lock().unwrap().insert(sequence(&id), id);
                    if n % 16 == 0 {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    within(DEADLINE, move || {
        for publisher in publishers {
            publisher.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        let told = visitors.into_iter().map(|thread| thread.join().unwrap());
        let told: Vec<_> = told.collect();
        let stats = hub.stats();
        assert_eq!((stats.subscribers, stats.published), (0, total as u64));
        told
    })
}

#[test]
fn under_stress_every_event_comes_once_and_in_order() {
    let told = stress(50_000, 2_000);
    assert!(told.iter().all(|told| told.gaps == 0), "the log has all");
    assert!(told.iter().any(|told| told.received > 0));
}

#[test]
fn under_stress_what_a_small_log_loses_is_told_to_the_event() {
    let told = stress(64, 2_000);
    assert!(told.iter().any(|told| told.gaps > 0), "nobody was slow");
    assert!(told.iter().any(|told| told.received > 0));
}

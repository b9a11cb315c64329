//! Publish, subscribe, topics, resume, lag, close and drop.

use std::time::Duration;

use shuttle::thread::{self, JoinHandle};

use super::{LONG, check, check_all, once_in};
use crate::hub::{IdPolicy, RecvError, Subscription};
use crate::{Event, Hub};

/// What a subscription of the model takes: everything, one topic, or two of them.
#[derive(Clone, Copy, Debug)]
enum Takes {
    Everything,
    A,
    BAndA,
}

const KINDS: [Takes; 3] = [Takes::Everything, Takes::A, Takes::BAndA];

impl Takes {
    fn subscribe(self, hub: &Hub) -> Subscription {
        let subscribe = hub.subscribe();
        let subscribe = match self {
            Takes::Everything => subscribe,
            Takes::A => subscribe.with_topics(["a"]),
            Takes::BAndA => subscribe.with_topics(["b", "a"]),
        };
        subscribe.start().expect("the hub is open")
    }

    /// Whether it takes the event with this number of this publisher.
    fn takes(self, publisher: usize, number: usize) -> bool {
        !matches!((self, (publisher + number) % 3), (Takes::A, 2))
    }
}

fn publish(hub: &Hub, publisher: usize, number: usize) {
    let event = Event::new("x").with_id(format!("{publisher}-{number}"));
    let published = match (publisher + number) % 3 {
        0 => hub.publish(&event),
        1 => hub.publish_to(["a"], &event),
        _ => hub.publish_to(["b"], &event),
    };
    published.expect("the hub is open");
}

fn publishers(hub: &Hub, count: usize, events: usize) -> Vec<JoinHandle<()>> {
    let publisher = |publisher| {
        let hub = hub.clone();
        thread::spawn(move || (0..events).for_each(|number| publish(&hub, publisher, number)))
    };
    (0..count).map(publisher).collect()
}

fn joined<T>(threads: Vec<JoinHandle<T>>) -> Vec<T> {
    let join = |thread: JoinHandle<T>| thread.join().expect("no thread panics");
    threads.into_iter().map(join).collect()
}

/// The next event, whether it waits with a limit or without.
fn next(subscription: &mut Subscription, limited: bool) -> String {
    loop {
        let frame = match limited {
            true => subscription.recv_timeout(Duration::from_secs(1)),
            false => subscription.recv().map(Some),
        };
        if let Some(frame) = frame.expect("the hub is open") {
            return frame.id().expect("each event has one").to_owned();
        }
    }
}

/// What each publisher has sent must be there once and in order.
#[track_caller]
fn is_complete(got: &[String], takes: Takes, count: usize, events: usize) {
    for publisher in 0..count {
        let prefix = format!("{publisher}-");
        let mine: Vec<_> = got
            .iter()
            .filter(|id| id.starts_with(&prefix))
            .cloned()
            .collect();
        let numbers = (0..events).filter(|&number| takes.takes(publisher, number));
        let expected: Vec<_> = numbers.map(|number| format!("{prefix}{number}")).collect();
        assert_eq!(mine, expected, "{takes:?}");
    }
}

/// Nobody closes the hub: each subscription goes when it has all that it expects.
fn everything_arrives(
    timeouts: u32,
    wave: usize,
    subscriptions: usize,
    count: usize,
    events: usize,
) {
    check(timeouts, wave, move || {
        let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
        let receive = |number: usize| {
            let takes = KINDS[number % 3];
            let mut subscription = takes.subscribe(&hub);
            thread::spawn(move || {
                let all = (0..count).flat_map(|publisher| (0..events).map(move |n| (publisher, n)));
                let expected = all
                    .filter(|&(publisher, n)| takes.takes(publisher, n))
                    .count();
                let receive = |_| next(&mut subscription, timeouts > 0);
                let got: Vec<String> = (0..expected).map(receive).collect();
                assert!(
                    matches!(subscription.try_recv(), Ok(None)),
                    "more than was sent"
                );
                is_complete(&got, takes, count, events);
            })
        };
        let receivers = (0..subscriptions).map(receive).collect();
        joined(publishers(&hub, count, events));
        joined(receivers);
        assert_eq!(hub.stats().subscribers, 0);
    });
}

#[test]
fn two_subscriptions_get_everything() {
    everything_arrives(0, LONG, 2, 2, 3);
}

#[test]
fn waves_of_one_reach_everybody() {
    everything_arrives(0, 1, 5, 2, 2);
}

#[test]
fn waves_of_two_reach_everybody() {
    everything_arrives(0, 2, 6, 1, 3);
}

#[test]
fn waits_with_a_limit_miss_nothing() {
    everything_arrives(10, 2, 4, 2, 3);
}

/// Those that leave were told to wake others, and do.
#[test]
fn leaving_takes_no_wake_up_along() {
    for wave in [1, 2] {
        check(6, wave, || {
            let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
            let stay = |number: usize| {
                let takes = KINDS[number % 3];
                let mut subscription = takes.subscribe(&hub);
                thread::spawn(move || {
                    let expected = (0..3).filter(|&number| takes.takes(0, number)).count();
                    let receive = |_| next(&mut subscription, false);
                    let got: Vec<String> = (0..expected).map(receive).collect();
                    is_complete(&got, takes, 1, 3);
                })
            };
            let stayers = (0..3).map(stay).collect();
            let leave = |number: usize| {
                let mut subscription = KINDS[number % 3].subscribe(&hub);
                thread::spawn(move || {
                    // Maybe with an event, maybe without.
                    let _ = subscription.recv_timeout(Duration::from_secs(1));
                })
            };
            let leavers = (0..3).map(leave).collect();
            joined(publishers(&hub, 1, 3));
            joined(stayers);
            joined(leavers);
            assert_eq!(hub.stats().subscribers, 0);
        });
    }
}

/// Everything that was published before the end comes before it.
#[test]
fn close_comes_after_the_last_event() {
    check(2, 1, || {
        let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
        let receive = |number: usize| {
            let takes = KINDS[number];
            let mut subscription = takes.subscribe(&hub);
            thread::spawn(move || {
                let mut got = Vec::new();
                loop {
                    match subscription.recv() {
                        Ok(frame) => got.push(frame.id().expect("each has one").to_owned()),
                        Err(RecvError::Closed) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                is_complete(&got, takes, 1, 3);
                assert!(matches!(subscription.recv(), Err(RecvError::Closed)));
            })
        };
        let receivers = (0..3).map(receive).collect();
        joined(publishers(&hub, 1, 3));
        // The last handle closes as `close` does.
        if once_in(2) {
            hub.close();
            assert!(hub.publish(&Event::new("x")).is_err());
        }
        drop(hub);
        joined(receivers);
    });
}

/// What falls out of the log is told, and never more than was missed.
#[test]
fn lag_is_told_and_counted() {
    const EVENTS: usize = 6;
    check(0, 1, || {
        let hub = Hub::builder()
            .with_max_events(2)
            .with_id_policy(IdPolicy::Own)
            .build();
        let receive = |_| {
            let mut subscription = hub.subscribe().start().expect("the hub is open");
            thread::spawn(move || {
                let (mut at, mut gap) = (0, 0);
                while at < EVENTS {
                    match subscription.recv() {
                        Ok(frame) => {
                            let id = frame.id().and_then(|id| id[2..].parse().ok());
                            let number: usize = id.expect("each has a number");
                            assert!(at <= number && number <= at + gap, "{at} + {gap}, {number}");
                            assert!(gap == 0 || number > at, "a gap that is none");
                            (at, gap) = (number + 1, 0);
                        }
                        Err(RecvError::Lagged { missed }) => {
                            gap += usize::try_from(missed).expect("a few");
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        };
        let receivers = (0..2).map(receive).collect();
        joined(publishers(&hub, 1, EVENTS));
        joined(receivers);
    });
}

/// Going and coming back, with the last event ID, while others publish.
#[test]
fn resuming_misses_and_repeats_nothing() {
    const EVENTS: usize = 4;
    check(0, 1, || {
        let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
        publish(&hub, 0, 0);
        let hop = |number: usize| {
            let hub = hub.clone();
            thread::spawn(move || {
                let mut got = vec!["0-0".to_owned()];
                while got.len() < EVENTS {
                    let last = got.last().expect("there is one").clone();
                    let subscribe = hub.subscribe().with_last_event_id(last);
                    let mut subscription = subscribe.start().expect("the hub is open");
                    for _ in 0..=number {
                        if got.len() < EVENTS {
                            got.push(next(&mut subscription, false));
                        }
                    }
                }
                is_complete(&got, Takes::Everything, 1, EVENTS);
            })
        };
        let hoppers = (0..2).map(hop).collect();
        (1..EVENTS).for_each(|number| publish(&hub, 0, number));
        joined(hoppers);
    });
}

#[test]
fn small_publish_and_receive() {
    check_all(|| {
        let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
        let mut subscription = hub.subscribe().start().expect("the hub is open");
        let receiver = thread::spawn(move || next(&mut subscription, false));
        publish(&hub, 0, 0);
        assert_eq!(receiver.join().expect("no panic"), "0-0");
    });
}

#[test]
fn small_close() {
    check_all(|| {
        let hub = Hub::new();
        let mut subscription = hub.subscribe().start().expect("the hub is open");
        let receiver = thread::spawn(move || subscription.recv().is_err());
        drop(hub);
        assert!(receiver.join().expect("no panic"));
    });
}

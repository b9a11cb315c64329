//! A hub that is busier than a filter is fast: each event that the filter refuses brings another one.

use std::thread;
use std::time::Duration;

use sse_io::hub::{Frame, RecvError, Subscription};
use sse_io::{Emitter, Event, Hub};

use crate::serve::serve_heartbeats;
use crate::util::within;
use crate::util::writers::{DEADLINE, Record};

/// A subscription that never catches up: it publishes one event for each that it refuses.
fn never_done() -> (Hub, Subscription) {
    let hub = Hub::new();
    let inner = hub.clone();
    let publish = move || drop(inner.publish(&Event::new("another")));
    let refuse = move |_: &_| {
        publish();
        false
    };
    let subscription = hub.subscribe().with_filter(refuse).start().unwrap();
    hub.publish(&Event::new("the first")).unwrap();
    (hub, subscription)
}

#[test]
fn try_recv_returns() {
    let (hub, mut subscription) = never_done();
    within(DEADLINE, move || {
        assert!(subscription.try_recv().unwrap().is_none());
    });
    // It looked at what there was, and little further.
    assert!(hub.stats().published < 5);
}

#[test]
fn recv_timeout_keeps_its_time() {
    let (_hub, mut subscription) = never_done();
    within(DEADLINE, move || {
        let timeout = Duration::from_millis(1);
        assert!(subscription.recv_timeout(timeout).unwrap().is_none());
        assert!(subscription.recv_timeout(Duration::ZERO).unwrap().is_none());
    });
}

#[test]
fn recv_timeout_looks_past_what_is_refused_although_its_time_is_up() {
    // A thread that is held up for longer than its patience sees the third event too late.
    let sees = |_| {
        let hub = Hub::new();
        let choosy = |frame: &Frame| frame.as_bytes().ends_with(b"data: 3\n\n");
        let mut subscription = hub.subscribe().with_filter(choosy).start().unwrap();
        for n in 1..=3 {
            hub.publish(&Event::new(n.to_string())).unwrap();
        }
        subscription.recv_timeout(Duration::ZERO).unwrap().is_some()
    };
    assert!((0..100).any(sees));
}

#[test]
fn heartbeats_are_sent_and_a_close_is_heard() {
    let (_hub, subscription) = never_done();
    let text = serve_heartbeats(subscription);
    // No position with them: it is not known to have passed over anything for good.
    assert!(text.replace(":\n\n", "").is_empty());
}

#[test]
fn a_closed_hub_ends_it() {
    let (hub, mut subscription) = never_done();
    let thread = thread::spawn(move || subscription.recv());
    hub.close();
    let ended = within(DEADLINE, move || thread.join().unwrap());
    assert!(matches!(ended, Err(RecvError::Closed)));
}

#[test]
fn what_passes_is_sent_although_more_is_refused() {
    let hub = Hub::new();
    let inner = hub.clone();
    let mut number = 0;
    let choosy = move |_: &_| {
        number += 1;
        drop(inner.publish(&Event::new("another")));
        number % 10_000 == 1
    };
    let mut subscription = hub.subscribe().with_filter(choosy).start().unwrap();
    hub.publish(&Event::new("the first")).unwrap();
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let server = emitter.clone();
    let thread = thread::spawn(move || subscription.serve(&server, None));
    record.wait_until(|calls| calls.len() > 2);
    emitter.close();
    within(DEADLINE, move || thread.join().unwrap());
    assert!(record.text().contains("data: the first\n\n"));
}

#[test]
fn the_end_of_a_closed_hub_is_told_at_once_whatever_a_filter_refuses() {
    let hub = Hub::new();
    let mut subscription = hub.subscribe().with_filter(|_| false).start().unwrap();
    for n in 0..3 {
        hub.publish(&Event::new(n.to_string())).unwrap();
    }
    hub.close();
    assert!(matches!(subscription.try_recv(), Err(RecvError::Closed)));
}

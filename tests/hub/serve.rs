//! Serving connections from a hub: what is written, in how many pieces, and what ends it.

use crate::util;

use std::io::{ErrorKind, Write};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sse_io::hub::{Ending, IdPolicy, LagPolicy, Subscription};
use sse_io::{Emitter, Event, Heartbeat, Hub, Reader, ResponseHead};
use util::within;
use util::writers::{DEADLINE, Fault, Record, What, gated, writes};

/// Long enough that no heartbeat comes by itself in a test.
const NEVER: Heartbeat = Heartbeat::every(Duration::from_secs(3600));

fn own() -> Hub {
    Hub::builder().with_id_policy(IdPolicy::Own).build()
}

fn publish(hub: &Hub, id: &str) {
    hub.publish(&Event::new(id).with_id(id)).unwrap();
}

fn frame(id: &str) -> Vec<u8> {
    format!("id: {id}\ndata: {id}\n\n").into_bytes()
}

/// Serves on a thread of its own.
fn serve<W: Write + Send + 'static>(
    mut subscription: Subscription,
    emitter: &Emitter<W>,
    heartbeat: impl Into<Option<Heartbeat>>,
) -> JoinHandle<Ending> {
    let emitter = emitter.clone();
    let heartbeat = heartbeat.into();
    thread::spawn(move || subscription.serve(&emitter, heartbeat))
}

fn join(thread: JoinHandle<Ending>) -> Ending {
    within(DEADLINE, || thread.join().unwrap())
}

#[track_caller]
fn assert_closed(ended: Ending) {
    assert!(matches!(ended, Ending::Closed), "{ended:?}");
}

/// Serves until some heartbeats are sent, and then closes; returns all that was written.
pub(crate) fn serve_heartbeats(subscription: Subscription) -> String {
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let often = Heartbeat::every(Duration::from_millis(1));
    let thread = serve(subscription, &emitter, often);
    record.wait_until(|calls| calls.len() > 10);
    emitter.close();
    assert_closed(join(thread));
    record.text()
}

/// Waits until the thread has written this much.
fn wait_for(record: &Record, bytes: &[u8]) {
    record.wait_until(|calls| writes(calls).concat() == bytes);
}

#[test]
fn the_replay_and_what_is_live_come_in_order() {
    let hub = own();
    for id in ["1", "2", "3"] {
        publish(&hub, id);
    }
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let subscription = hub.subscribe().with_last_event_id("1").start().unwrap();
    let thread = serve(subscription, &emitter, NEVER);
    wait_for(&record, &[frame("2"), frame("3")].concat());
    publish(&hub, "4");
    wait_for(&record, &[frame("2"), frame("3"), frame("4")].concat());
    hub.close();
    assert_closed(join(thread));
    assert!(!emitter.is_closed());
}

#[test]
fn what_waits_is_joined_into_one_write_and_one_flush() {
    let hub = own();
    let mut subscription = hub.subscribe().start().unwrap();
    let mut expected = Vec::new();
    for n in 0..100 {
        publish(&hub, &n.to_string());
        expected.extend(frame(&n.to_string()));
    }
    hub.close();
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    assert_closed(subscription.serve(&emitter, NEVER));
    assert_eq!(record.whats(), [What::Write(expected), What::Flush]);
}

#[test]
fn a_joined_write_has_at_most_16_kib() {
    let hub = own();
    let mut subscription = hub.subscribe().start().unwrap();
    let huge = "x".repeat(40_000);
    for n in 0..1_000 {
        let text = if n == 500 { &huge } else { "some text in it" };
        let event = Event::new(text).with_id(n.to_string());
        hub.publish(&event).unwrap();
    }
    hub.close();
    let record = Record::new();
    assert_closed(subscription.serve(&Emitter::new(record.writer()), NEVER));
    let writes = record.writes();
    let large: Vec<_> = writes.iter().filter(|w| w.len() > 16 << 10).collect();
    assert_eq!(large.len(), 1);
    assert!(large[0].starts_with(b"id: 500\n") && large[0].len() < 40_100);
    assert!(writes.len() <= 6, "{}", writes.len());
    assert!(writes.iter().all(|write| write.ends_with(b"\n\n")));
    let bytes = record.bytes();
    let mut reader = Reader::new(&bytes[..]);
    for n in 0..1_000 {
        let event = reader.read_event().unwrap().unwrap();
        assert_eq!(event.id.unwrap(), n.to_string());
    }
    assert_eq!(reader.read_event().unwrap(), None);
}

#[test]
fn joined_frames_are_one_chunk() {
    let hub = own();
    let mut subscription = hub.subscribe().start().unwrap();
    publish(&hub, "1");
    publish(&hub, "2");
    hub.close();
    let record = Record::new();
    let emitter = ResponseHead::new().start(record.writer()).unwrap();
    assert_closed(subscription.serve(&emitter, NEVER));
    drop(emitter);
    let writes = record.writes();
    let both = [frame("1"), frame("2")].concat();
    let chunk = [format!("{:x}\r\n", both.len()).as_bytes(), &both, b"\r\n"].concat();
    assert_eq!(writes[1..], [chunk, b"0\r\n\r\n".to_vec()]);
}

#[test]
fn a_subscription_waits_for_its_topics_and_its_filter() {
    let hub = own();
    let subscription = hub
        .subscribe()
        .with_topics(["a"])
        .with_filter(|frame| frame.id() != Some("2"))
        .start()
        .unwrap();
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let thread = serve(subscription, &emitter, NEVER);
    for (topic, id) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4")] {
        let event = Event::new(id).with_id(id);
        hub.publish_to([topic], &event).unwrap();
    }
    hub.close();
    assert_closed(join(thread));
    assert_eq!(record.bytes(), [frame("1"), frame("4")].concat());
}

#[test]
fn heartbeats_come_when_nothing_is_written() {
    let hub = own();
    let subscription = hub.subscribe().start().unwrap();
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let thread = serve(
        subscription,
        &emitter,
        Heartbeat::every(Duration::from_millis(5)),
    );
    let heartbeat = What::Write(b":\n\n".to_vec());
    record.wait_until(|calls| calls.iter().filter(|call| call.what == heartbeat).count() >= 3);
    publish(&hub, "1");
    record.wait_until(|calls| calls.iter().any(|c| c.what == What::Write(frame("1"))));
    hub.close();
    assert_closed(join(thread));
    let times: Vec<_> = record
        .calls()
        .into_iter()
        .filter(|call| matches!(call.what, What::Write(_)))
        .map(|call| (call.what, call.at))
        .collect();
    for pair in times.windows(2) {
        if pair[1].0 == heartbeat {
            assert!(pair[1].1 - pair[0].1 >= Duration::from_millis(5));
        }
    }
}

#[test]
fn writes_of_other_handles_put_a_heartbeat_off() {
    let hub = own();
    let every = Duration::from_millis(40);
    let subscription = hub.subscribe().start().unwrap();
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let thread = serve(subscription, &emitter, Heartbeat::every(every));
    for _ in 0..10 {
        emitter.comment("busy").unwrap();
        // Not to wait for something: to be another writer for a while.
        assert!(!emitter.wait_closed(Some(Duration::from_millis(10))));
    }
    hub.close();
    assert_closed(join(thread));
    let calls: Vec<_> = record.calls();
    let writes: Vec<_> = calls
        .iter()
        .filter(|call| matches!(call.what, What::Write(_)))
        .collect();
    for pair in writes.windows(2) {
        if pair[1].what == What::Write(b":\n\n".to_vec()) {
            assert!(pair[1].at - pair[0].at >= every);
        }
    }
}

#[test]
fn none_is_no_heartbeat() {
    let hub = own();
    let subscription = hub.subscribe().start().unwrap();
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let thread = serve(subscription, &emitter, None);
    publish(&hub, "1");
    wait_for(&record, &frame("1"));
    hub.close();
    assert_closed(join(thread));
    assert_eq!(record.bytes(), frame("1"));
}

/// Serves until the first event is out, so that the thread is about to wait or waits.
fn waiting(
    hub: &Hub,
    emitter: &Emitter<impl Write + Send + 'static>,
    record: &Record,
) -> JoinHandle<Ending> {
    let subscription = hub.subscribe().with_topics(["t"]).start().unwrap();
    let thread = serve(subscription, emitter, NEVER);
    publish(hub, "1");
    wait_for(record, &frame("1"));
    thread
}

#[test]
fn closing_the_emitter_ends_it_at_once() {
    for _ in 0..50 {
        let hub = own();
        let record = Record::new();
        let emitter = Emitter::new(record.writer());
        let thread = waiting(&hub, &emitter, &record);
        emitter.close();
        assert_closed(join(thread));
        assert_eq!(hub.stats().subscribers, 0);
    }
}

#[test]
fn closing_the_hub_ends_it_at_once() {
    for _ in 0..50 {
        let hub = own();
        let record = Record::new();
        let emitter = Emitter::new(record.writer());
        let thread = waiting(&hub, &emitter, &record);
        drop(hub);
        assert_closed(join(thread));
    }
}

#[test]
fn an_emitter_that_is_closed_before_is_not_served() {
    let hub = own();
    let mut subscription = hub.subscribe().start().unwrap();
    publish(&hub, "1");
    let emitter = Emitter::new(Vec::new());
    emitter.close();
    assert_closed(subscription.serve(&emitter, NEVER));
    // Nothing is lost on another connection.
    let record = Record::new();
    hub.close();
    assert_closed(subscription.serve(&Emitter::new(record.writer()), NEVER));
    assert_eq!(record.bytes(), frame("1"));
}

#[test]
fn a_failed_write_of_another_handle_ends_it() {
    let hub = own();
    let subscription = hub.subscribe().start().unwrap();
    let record = Record::new();
    let fault = Fault::Call(0, ErrorKind::BrokenPipe);
    let emitter = Emitter::new(record.writer().with_fault(fault));
    let thread = serve(subscription, &emitter, NEVER);
    emitter.comment("x").unwrap_err();
    assert_closed(join(thread));
}

#[test]
fn several_subscriptions_may_be_served_on_one_emitter() {
    let (one, two) = (own(), own());
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let first = serve(one.subscribe().start().unwrap(), &emitter, NEVER);
    let second = serve(two.subscribe().start().unwrap(), &emitter, NEVER);
    publish(&one, "1");
    wait_for(&record, &frame("1"));
    publish(&two, "2");
    wait_for(&record, &[frame("1"), frame("2")].concat());
    one.close();
    assert_closed(join(first));
    publish(&two, "3");
    wait_for(&record, &[frame("1"), frame("2"), frame("3")].concat());
    emitter.close();
    assert_closed(join(second));
}

#[test]
fn a_client_that_is_gone_is_told_as_the_error_of_the_write() {
    for fault in [
        Fault::Call(0, ErrorKind::ConnectionReset),
        Fault::Call(1, ErrorKind::ConnectionReset),
        Fault::Bytes(5, ErrorKind::ConnectionReset),
    ] {
        let hub = own();
        let mut subscription = hub.subscribe().start().unwrap();
        publish(&hub, "1");
        publish(&hub, "2");
        let record = Record::new();
        let emitter = Emitter::new(record.writer().with_fault(fault));
        match subscription.serve(&emitter, NEVER) {
            Ending::Gone(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            other => panic!("{other:?}"),
        }
        assert!(emitter.is_closed());
        assert_eq!(record.drops(), 1);
    }
}

#[test]
fn a_heartbeat_notices_that_the_client_is_gone() {
    let hub = own();
    let mut subscription = hub.subscribe().start().unwrap();
    let fault = Fault::Call(0, ErrorKind::BrokenPipe);
    let emitter = Emitter::new(Record::new().writer().with_fault(fault));
    let ended = within(DEADLINE, move || {
        subscription.serve(&emitter, Heartbeat::every(Duration::from_millis(1)))
    });
    assert!(matches!(ended, Ending::Gone(_)), "{ended:?}");
}

/// A connection whose client does not read: it lags by five events while it is stuck.
fn stuck(policy: LagPolicy) -> (Ending, Vec<u8>) {
    let hub = Hub::builder()
        .with_id_policy(IdPolicy::Own)
        .with_max_events(2)
        .build();
    let subscription = hub
        .subscribe()
        .with_lag_policy(policy)
        .with_gap_event(Event::new("gap"))
        .start()
        .unwrap();
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    gate.shut();
    let emitter = Emitter::new(writer);
    let thread = serve(subscription, &emitter, NEVER);
    publish(&hub, "1");
    gate.wait_blocked();
    for n in 2..=8 {
        publish(&hub, &n.to_string());
    }
    hub.close();
    gate.open();
    let ended = join(thread);
    assert_eq!(hub.stats().lagged, 1);
    (ended, record.bytes())
}

#[test]
fn a_lag_ends_it() {
    let (ended, bytes) = stuck(LagPolicy::End);
    assert!(
        matches!(ended, Ending::Lagged { missed: 5, .. }),
        "{ended:?}"
    );
    assert_eq!(bytes, frame("1"));
}

#[test]
fn a_lag_may_be_skipped_with_a_gap_event() {
    let (ended, bytes) = stuck(LagPolicy::Skip);
    assert_closed(ended);
    let gap = b"data: gap\n\n".to_vec();
    assert_eq!(bytes, [frame("1"), gap, frame("7"), frame("8")].concat());
}

#[test]
fn each_lag_that_is_skipped_is_told() {
    let hub = Hub::builder()
        .with_id_policy(IdPolicy::Own)
        .with_max_events(2)
        .build();
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    let emitter = Emitter::new(writer);
    let subscription = hub
        .subscribe()
        .with_lag_policy(LagPolicy::Skip)
        .with_gap_event(Event::new("gap"))
        .start()
        .unwrap();
    let thread = serve(subscription, &emitter, NEVER);
    for first in [1, 11] {
        gate.shut();
        publish(&hub, &first.to_string());
        gate.wait_blocked();
        for n in first + 1..first + 6 {
            publish(&hub, &n.to_string());
        }
        gate.open();
        let newest = frame(&(first + 5).to_string());
        record.wait_until(|calls| writes(calls).concat().ends_with(&newest));
    }
    hub.close();
    assert_closed(thread.join().unwrap());
    let gap = || b"data: gap\n\n".to_vec();
    let frames = |n: u32| [frame(&n.to_string()), frame(&(n + 1).to_string())].concat();
    let expected = [frame("1"), gap(), frames(5), frame("11"), gap(), frames(15)];
    assert_eq!(record.bytes(), expected.concat());
}

#[test]
fn a_gap_at_the_start_is_told_first() {
    let hub = own();
    publish(&hub, "1");
    let mut subscription = hub
        .subscribe()
        .with_last_event_id("?")
        .with_gap_event(Event::new("gap"))
        .start()
        .unwrap();
    hub.close();
    let record = Record::new();
    assert_closed(subscription.serve(&Emitter::new(record.writer()), NEVER));
    assert_eq!(
        record.writes(),
        [[b"data: gap\n\n".to_vec(), frame("1")].concat()]
    );
}

#[test]
fn a_stuck_connection_holds_nobody_up() {
    let hub = own();
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    gate.shut();
    let emitter = Emitter::new(writer);
    let stuck = serve(hub.subscribe().start().unwrap(), &emitter, NEVER);
    let mut other = hub.subscribe().start().unwrap();
    publish(&hub, "1");
    gate.wait_blocked();
    let (done, result) = mpsc::channel();
    let publisher = hub.clone();
    thread::spawn(move || {
        for n in 2..=100 {
            publish(&publisher, &n.to_string());
        }
        let mut received = 0;
        while other.try_recv().unwrap().is_some() {
            received += 1;
        }
        drop(other);
        let subscription = publisher.subscribe().start().unwrap();
        let stats = publisher.stats();
        drop(subscription);
        publisher.close();
        done.send((received, stats.subscribers)).unwrap();
    });
    assert_eq!(result.recv_timeout(DEADLINE).unwrap(), (100, 2));
    gate.open();
    assert_closed(join(stuck));
    assert!(record.text().ends_with("data: 100\n\n"));
}

#[test]
fn one_of_a_hundred_that_stops_reading_stops_nobody() {
    let hub = own();
    let (stalled, others) = (Record::new(), [(); 99].map(|()| Record::new()));
    let (writer, gate) = gated(stalled.writer());
    gate.shut();
    let subscribe = || hub.subscribe().start().unwrap();
    let stuck = serve(subscribe(), &Emitter::new(writer), NEVER);
    let threads = others
        .each_ref()
        .map(|record| serve(subscribe(), &Emitter::new(record.writer()), NEVER));
    let mut all = Vec::new();
    for n in 1..=100 {
        publish(&hub, &n.to_string());
        all.extend(frame(&n.to_string()));
    }
    hub.close();
    for thread in threads {
        assert_closed(join(thread));
    }
    for record in &others {
        assert_eq!(record.bytes(), all);
    }
    assert_eq!(stalled.bytes(), []);
    gate.open();
    assert_closed(join(stuck));
    assert_eq!(stalled.bytes(), all);
}

//! A client's last event ID follows what its subscription passes over, with the heartbeats.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use sse_io::hub::{Ending, IdPolicy, Resumption, Subscribe};
use sse_io::{Emitter, Event, Heartbeat, Hub, Reader};

use crate::serve::serve_heartbeats;
use crate::util::writers::{Record, writes};

const OFTEN: Heartbeat = Heartbeat::every(Duration::from_millis(1));
const LOG: usize = 16;

/// Publishes to a topic, and returns the id.
fn publish(hub: &Hub, topic: &str, ids: IdPolicy, number: usize) -> String {
    let event = Event::new(format!("{topic} {number}"));
    let event = match ids {
        IdPolicy::Own => event.with_id(number.to_string()),
        _ => event,
    };
    hub.publish_to([topic], &event).unwrap().to_string()
}

/// Serves a client while steps are taken, each until the client has what it returns; returns the data
/// that the client got and its last event ID.
fn visit(subscribe: Subscribe, steps: &mut [&mut dyn FnMut() -> String]) -> (Vec<String>, String) {
    let record = Record::new();
    let mut subscription = subscribe.start().unwrap();
    let emitter = Emitter::new(record.writer());
    let server = emitter.clone();
    let thread = thread::spawn(move || subscription.serve(&server, OFTEN));
    for step in steps {
        let wanted = step();
        let wanted = wanted.as_bytes();
        record.wait_until(|calls| {
            let bytes = writes(calls).concat();
            bytes.windows(wanted.len()).any(|bytes| bytes == wanted)
        });
    }
    emitter.close();
    assert!(matches!(thread.join().unwrap(), Ending::Closed));
    let text = record.text();
    let mut reader = Reader::new(text.as_bytes());
    let mut data = Vec::new();
    while let Some(event) = reader.read_event().unwrap() {
        data.push(event.data.into_owned());
    }
    (data, reader.last_event_id().to_owned())
}

#[test]
fn a_client_of_a_quiet_topic_comes_back_without_a_gap() {
    for ids in [IdPolicy::Assigned, IdPolicy::Own] {
        let hub = Hub::builder()
            .with_id_policy(ids)
            .with_max_events(LOG)
            .build();
        let rare = || hub.subscribe().with_topics(["rare"]);
        let number = Cell::new(0);
        let fill = |topic: &str, times: usize| {
            let mut last = String::new();
            for _ in 0..times {
                number.set(number.get() + 1);
                last = publish(&hub, topic, ids, number.get());
            }
            format!("id: {last}\n")
        };
        let (mut busy, mut once) = (|| fill("busy", 50 * LOG), || fill("rare", 1));
        // A new client that gets nothing has a place to come back to.
        let (data, last) = visit(rare(), &mut [&mut busy]);
        assert!(data.is_empty(), "{ids:?}");

        let subscribe = rare().with_last_event_id(last);
        let (data, last) = visit(subscribe, &mut [&mut once, &mut busy]);
        assert_eq!(data, [format!("rare {}", 50 * LOG + 1)]);

        // While it is away, there is one for it.
        fill("rare", 1);
        let mut back = rare().with_last_event_id(&last).start().unwrap();
        assert!(
            matches!(back.resumption(), Resumption::Resumed { replayed: 1, .. }),
            "{ids:?}: {:?}",
            back.resumption()
        );
        let event = back.recv().unwrap();
        assert_eq!(event.event().data, format!("rare {}", 100 * LOG + 2));
        assert!(back.try_recv().unwrap().is_none());

        // Without it, it would have been a gap: only for everyone does the log tell.
        let all = hub.subscribe().with_last_event_id("0").start().unwrap();
        assert!(matches!(all.resumption(), Resumption::Gap { .. }));
    }
}

#[test]
fn a_filter_that_refuses_everything_moves_the_client_on() {
    let hub = Hub::builder().with_max_events(LOG).build();
    let choosy = || hub.subscribe().with_filter(|_| false);
    let mut fill = || {
        let mut last = String::new();
        for number in 0..10 {
            last = publish(&hub, "t", IdPolicy::Assigned, number);
        }
        format!("id: {last}\n")
    };
    let (data, last) = visit(choosy(), &mut [&mut fill]);
    assert!(data.is_empty());
    for number in 0..10 {
        publish(&hub, "t", IdPolicy::Assigned, number);
    }
    let back = choosy().with_last_event_id(last).start().unwrap();
    assert!(matches!(
        back.resumption(),
        Resumption::Resumed { replayed: 10, .. }
    ));
}

#[test]
fn a_client_that_has_the_newest_event_gets_plain_heartbeats() {
    let hub = Hub::new();
    let subscription = hub.subscribe().start().unwrap();
    let id = hub.publish(&Event::new("x")).unwrap();
    let text = serve_heartbeats(subscription);
    assert_eq!(text.matches("id:").count(), 1, "{text}");
    assert!(text.starts_with(&format!("id: {id}\ndata: x\n\n:\n\n:\n\n")));
}

#[test]
fn a_position_is_told_once_and_events_without_an_id_are_none() {
    let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
    let record = Record::new();
    let mut subscription = hub.subscribe().with_topics(["rare"]).start().unwrap();
    let emitter = Emitter::new(record.writer());
    let server = emitter.clone();
    let thread = thread::spawn(move || subscription.serve(&server, OFTEN));
    publish(&hub, "busy", IdPolicy::Own, 1);
    hub.publish_to(["rare"], &Event::new("has no id")).unwrap();
    // A few heartbeats after it was told.
    let heartbeats_behind = |text: &str| {
        let told = text.split_once("id: 1\n").map(|(_, behind)| behind);
        told.map_or(0, |behind| behind.matches(":\n\n").count())
    };
    record.wait_until(|calls| {
        let bytes = writes(calls).concat();
        heartbeats_behind(std::str::from_utf8(&bytes).unwrap()) > 3
    });
    emitter.close();
    assert!(matches!(thread.join().unwrap(), Ending::Closed));
    assert_eq!(record.text().matches("id: ").count(), 1);
}

//! The limits as the documentation gives them, by number.

use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

use sse_io::client::Response;
use sse_io::hub::Fanout;
use sse_io::{Event, EventSource, EventTooLarge, Hub, Item, Parser, Reader};

const MIB: usize = 1 << 20;

/// An event whose data has so many bytes, without a buffer of that size.
fn event(size: usize) -> impl Read {
    (&b"data:"[..])
        .chain(io::repeat(b'x').take(size as u64))
        .chain(&b"\n\n"[..])
}

#[test]
fn an_event_may_have_16_mib() {
    // The line break after the data counts.
    let mut reader = Reader::new(io::BufReader::with_capacity(MIB, event(16 * MIB - 1)));
    let read = reader.read_event().unwrap().expect("an event");
    assert_eq!(read.data.len(), 16 * MIB - 1);

    let mut reader = Reader::new(io::BufReader::with_capacity(MIB, event(16 * MIB)));
    let error = reader.read_event().unwrap_err();
    let inner = error.get_ref().unwrap().downcast_ref::<EventTooLarge>();
    assert_eq!(
        inner.unwrap().to_string(),
        "event exceeds the limit of 16777216 bytes"
    );
}

#[test]
fn a_parser_has_the_same_limit() {
    let line = "x".repeat(16 * MIB + 1);
    let stream = format!(":{line}\n");
    let mut parser = Parser::new();
    let mut input = stream.as_bytes();
    assert!(matches!(
        parser.parse_item(&mut input),
        Err(EventTooLarge { .. })
    ));
    let stream = format!(":{}\n", &line[1..]);
    let mut parser = Parser::new();
    let mut input = stream.as_bytes();
    let item = parser.parse_item(&mut input).unwrap();
    assert!(matches!(item, Some(Item::Comment(text)) if text.len() == 16 * MIB));
}

#[test]
fn a_hub_holds_1024_events_and_8_mib() {
    let hub = Hub::new();
    for _ in 0..1025 {
        hub.publish(&Event::new("x")).unwrap();
    }
    assert_eq!(hub.stats().events, 1024);

    let hub = Hub::new();
    hub.publish(&Event::new("x".repeat(7 * MIB))).unwrap();
    assert!(hub.publish(&Event::new("x".repeat(8 * MIB))).is_err());
}

#[test]
fn a_clients_event_may_have_16_mib() {
    let mut bodies = [16 * MIB - 1, 16 * MIB].into_iter();
    let mut source = EventSource::new(|_| {
        let body = event(bodies.next().expect("two connections"));
        let body = io::BufReader::with_capacity(MIB, body);
        Ok(Response::new(200, "text/event-stream", body))
    })
    .with_reconnection_limits(Duration::ZERO, Duration::ZERO);
    let read = source.next_event().unwrap().expect("an event");
    assert_eq!(read.data.len(), 16 * MIB - 1);
    let error = source.next_event().unwrap_err();
    let limit = error.source().expect("the limit");
    let limit = limit.downcast_ref::<EventTooLarge>().unwrap();
    assert_eq!(limit.limit(), 16 * MIB);
}

#[test]
fn a_fan_out_has_1024_clients_a_thread_and_1024_slow_ones_for_20_seconds() {
    assert_eq!(
        format!("{:?}", Fanout::builder()),
        "FanoutBuilder { threads: None, per_thread: 1024, max_slow: 1024, write_timeout: 20s }"
    );
}

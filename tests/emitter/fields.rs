//! What an emitter and a writer send beside events and comments: ids, reconnection times, and
//! heartbeats that are events.

use crate::util;

use std::io::ErrorKind;
use std::time::Duration;

use sse_io::{Emitter, Event, Heartbeat, InvalidField, Reader, ResponseHead, Writer};
use util::within;
use util::writers::{DEADLINE, Record, writes};

/// The events that the bytes hold, the last event ID behind them, and the reconnection time.
fn read(bytes: &[u8]) -> (Vec<Event<'static>>, String, Option<Duration>) {
    let mut reader = Reader::new(bytes);
    let events = reader.events().map(Result::unwrap);
    let events = events.collect();
    (events, reader.last_event_id().to_owned(), reader.retry())
}

#[test]
fn an_id_moves_the_last_event_id_and_dispatches_nothing() {
    let mut writer = Writer::new(Vec::new());
    writer.write_event(&Event::new("x").with_id("1")).unwrap();
    assert_eq!(writer.write_id("7").unwrap(), 7);
    let (events, last, _) = read(writer.get_ref());
    assert_eq!(events, [Event::new("x").with_id("1")]);
    assert_eq!(last, "7");
    writer.write_id("").unwrap();
    assert!(writer.get_ref().ends_with(b"\n\nid: 7\n\nid:\n\n"));
    assert_eq!(read(writer.get_ref()).1, "");
}

#[test]
fn an_id_goes_out_in_one_write_and_one_flush() {
    let record = Record::new();
    let emitter = ResponseHead::new().start(record.writer()).unwrap();
    assert_eq!(emitter.id("41").unwrap(), 8);
    assert_eq!(record.writes()[1..], [b"8\r\nid: 41\n\n\r\n"]);
    assert_eq!(record.flushes(), 2);
}

#[test]
fn an_id_that_would_break_out_of_its_line_is_refused_and_the_stream_goes_on() {
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    for (id, byte) in [("1\n2", b'\n'), ("1\r2", b'\r'), ("1\x002", 0)] {
        let error = emitter.id(id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let invalid = error.get_ref().unwrap().downcast_ref::<InvalidField>();
        let invalid = invalid.unwrap();
        assert_eq!((invalid.field(), invalid.byte()), ("id", Some(byte)));
    }
    emitter.id("2").unwrap();
    assert_eq!(record.text(), "id: 2\n\n");
    emitter.close();
    assert_eq!(emitter.id("3").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_reconnection_time_goes_out_alone() {
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    assert_eq!(emitter.retry(Duration::from_micros(1_500)).unwrap(), 10);
    let error = emitter.retry(Duration::MAX).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    emitter.retry(Duration::ZERO).unwrap();
    assert_eq!(record.text(), "retry: 2\n\nretry: 0\n\n");
    assert_eq!(record.flushes(), 2);
    let (events, _, retry) = read(&record.bytes());
    assert_eq!((events, retry), (Vec::new(), Some(Duration::ZERO)));
}

#[test]
fn a_heartbeat_is_an_event_on_request() {
    let record = Record::new();
    let emitter = ResponseHead::new().start(record.writer()).unwrap();
    let event = Event::new("a\nb").with_name("heartbeat");
    let heartbeat = Heartbeat::every(Duration::from_millis(1));
    let heartbeat = heartbeat.with_event(&event).unwrap();
    let thread = emitter.spawn_heartbeats(heartbeat).unwrap();
    record.wait_until(|calls| writes(calls).len() >= 3);
    within(DEADLINE, || thread.join()).unwrap();
    let chunk = b"22\r\nevent: heartbeat\ndata: a\ndata: b\n\n\r\n";
    for write in &record.writes()[1..] {
        assert_eq!(write, chunk);
    }
}

#[test]
fn serve_heartbeats_sends_events_on_request() {
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let other = emitter.clone();
    let heartbeat = Heartbeat::every(Duration::from_millis(1));
    let heartbeat = heartbeat.with_event(&Event::new("")).unwrap();
    let server = std::thread::spawn(move || emitter.serve_heartbeats(heartbeat));
    record.wait_until(|calls| writes(calls).len() >= 2);
    other.close();
    within(DEADLINE, || server.join().unwrap()).unwrap();
    assert!(record.text().starts_with("data:\n\ndata:\n\n"));
}

#[test]
fn a_heartbeat_that_cannot_be_sent_is_refused_when_it_is_made() {
    let heartbeat = Heartbeat::every(Duration::from_secs(1));
    let named = Event::new("").with_name("a\nb");
    let error = heartbeat.clone().with_event(&named).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "line feed at byte 1 of the event name");
    let error = heartbeat.with_event(&Event::new("").with_id("1"));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "a heartbeat carries no id");
}

#[test]
fn an_interval_of_less_than_a_millisecond_counts_as_one() {
    let shortest = Duration::from_millis(1);
    for interval in [Duration::ZERO, Duration::from_nanos(999_999)] {
        assert_eq!(Heartbeat::from(interval).interval(), shortest);
    }
    for interval in [shortest, Duration::MAX] {
        assert_eq!(Heartbeat::from(interval).interval(), interval);
    }
}

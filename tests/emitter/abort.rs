//! A stream that is aborted ends as broken: no last chunk, and the client's HTTP library fails.

use crate::util;

use std::io::{ErrorKind, Read};
use std::thread;
use std::time::Duration;

use sse_io::{Emitter, Event, ResponseHead};
use util::within;
use util::writers::{Record, What, gated};

const BROKEN: &[u8] = b"stream broken\r\n";

fn broken(record: &Record) -> usize {
    record.count(&What::Write(BROKEN.to_vec()))
}

fn last_chunks(record: &Record) -> usize {
    record.count(&What::Write(b"0\r\n\r\n".to_vec()))
}

#[test]
fn an_aborted_stream_is_closed_for_every_handle_and_has_no_last_chunk() {
    let record = Record::new();
    let emitter = ResponseHead::new().start(record.writer()).unwrap();
    let other = emitter.clone();
    emitter.emit(&Event::new("a")).unwrap();
    emitter.abort();
    assert!(other.is_closed());
    assert!(other.wait_ended(Some(Duration::ZERO)));
    let error = other.emit(&Event::new("b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    other.abort();
    other.close();
    drop((emitter, other));
    assert_eq!((broken(&record), last_chunks(&record)), (1, 0));
}

#[test]
fn aborting_a_closed_stream_does_nothing() {
    let record = Record::new();
    let emitter = ResponseHead::new().start(record.writer()).unwrap();
    emitter.close();
    emitter.abort();
    drop(emitter);
    assert_eq!((broken(&record), last_chunks(&record)), (0, 1));
}

#[test]
fn a_stream_without_chunks_gets_nothing_more() {
    let mut stream = Vec::new();
    let emitter = Emitter::new(&mut stream);
    emitter.emit(&Event::new("a")).unwrap();
    emitter.abort();
    drop(emitter);
    assert_eq!(stream, b"data: a\n\n");
}

#[test]
fn a_write_that_is_under_way_comes_first() {
    within(Duration::from_secs(60), || {
        let record = Record::new();
        let (writer, gate) = gated(record.writer());
        let emitter = ResponseHead::new().start(writer).unwrap();
        gate.shut();
        let producer = emitter.clone();
        let emitting = thread::spawn(move || producer.emit(&Event::new("a")));
        gate.wait_blocked();
        emitter.abort();
        assert_eq!(broken(&record), 0);
        gate.open();
        emitting.join().unwrap().unwrap();
        assert!(emitter.wait_ended(None));
        assert_eq!((broken(&record), last_chunks(&record)), (1, 0));
    });
}

/// The connection stays open in this server: the client has nothing but the bytes to go by.
#[test]
fn a_client_of_tiny_http_sees_that_the_response_is_not_complete() {
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", server.server_addr());
    thread::spawn(move || {
        for (number, request) in server.incoming_requests().enumerate() {
            let emitter = ResponseHead::new().start(request.into_writer()).unwrap();
            emitter.emit(&Event::new("a")).unwrap();
            if number == 0 {
                emitter.abort();
            }
        }
    });
    within(Duration::from_secs(60), move || {
        let agent = ureq::agent();
        let get = || {
            let mut body = agent.get(&url).call().unwrap().into_body().into_reader();
            let mut text = String::new();
            let result = body.read_to_string(&mut text);
            (result.is_ok(), text)
        };
        assert!(!get().0);
        assert_eq!(get(), (true, ":\n\ndata: a\n\n".into()));
    });
}

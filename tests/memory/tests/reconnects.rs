//! A client that connects again and again holds no more than after its first connections.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

use sse_io::EventSource;
use sse_io::client::{Connect, ConnectError, Request, Response, TRANSIENT_STATUSES};
use sse_io_memory::{held, peak};

/// Rounds through the outcomes of an attempt: 100,000 connections.
const ROUNDS: usize = 100_000 / OUTCOMES + 1;

/// After so many all buffers have grown.
const WARM_UP: usize = 100;

/// How many outcomes there are, and in how many of them there is an event.
const OUTCOMES: usize = 6;
const EVENTS: usize = 3;

/// A body that ends as it is told to.
struct Body(&'static [u8], Option<io::ErrorKind>);

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.0.is_empty(), self.1) {
            (true, Some(kind)) => Err(kind.into()),
            _ => self.0.read(buffer),
        }
    }
}

/// The outcomes of attempts, in turn, of which every one means another attempt.
fn connect(
    attempts: &mut usize,
    request: &Request<'_>,
) -> Result<Response<BufReader<Body>>, ConnectError> {
    // What a connector registers is to go with its connection.
    let held_by_hook = vec![0_u8; 1000];
    request.on_close(move || drop(held_by_hook));
    let stream = |text: &'static str, end| {
        let body = BufReader::with_capacity(64, Body(text.as_bytes(), end));
        Ok(Response::new(200, "text/event-stream", body))
    };
    *attempts += 1;
    match *attempts % OUTCOMES {
        0 => stream("id: 1\ndata: x\n\n", None),
        1 => stream(
            "id: 2\nretry: 7\ndata: a longer one\ndata: x\n\ndata: torn",
            None,
        ),
        2 => stream("data: x\n\ndata: tor", Some(io::ErrorKind::TimedOut)),
        3 => stream("", Some(io::ErrorKind::ConnectionReset)),
        4 => Err(io::ErrorKind::ConnectionRefused.into()),
        _ => {
            let body = BufReader::with_capacity(64, Body(b"busy", None));
            Ok(Response::new(503, "text/plain", body).with_retry_after(Duration::ZERO))
        }
    }
}

fn go_round(source: &mut EventSource<impl Connect<Body: BufRead>>, rounds: usize) {
    for _ in 0..rounds * EVENTS {
        assert!(source.next_event().unwrap().is_some());
    }
}

#[test]
fn memory_is_flat_over_a_hundred_thousand_connections() {
    let mut attempts = 0;
    let mut source = EventSource::new(|request| connect(&mut attempts, request))
        .with_reconnection_limits(Duration::ZERO, Duration::ZERO)
        .with_retried_statuses(TRANSIENT_STATUSES);
    go_round(&mut source, WARM_UP);
    let (first, ()) = peak(|| go_round(&mut source, 1));
    let (more, (most, ())) = held(|| peak(|| go_round(&mut source, ROUNDS)));
    assert_eq!(more, 0, "{more} bytes more are held");
    assert_eq!(most, first, "bytes above the start, at most");
    drop(source);
    assert!(attempts >= ROUNDS * OUTCOMES);
}

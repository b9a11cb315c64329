//! Bytes are asked for once and remembered by nobody but the parser: what a second look at the same
//! place would find does not matter.

use std::io::{self, BufRead, ErrorKind, Read};
use std::time::Duration;

use sse_io::client::Response;
use sse_io::{Event, EventSource, Item, Parser, Reader};

/// Fails each second time that it is asked for bytes, consumed or not: as one that looks at a flag or
/// at a deadline does.
struct Impatient {
    bytes: &'static [u8],
    kind: ErrorKind,
    asked: bool,
}

fn impatient(bytes: &'static [u8], kind: ErrorKind) -> Impatient {
    Impatient {
        bytes,
        kind,
        asked: false,
    }
}

impl Read for Impatient {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("a reader of events uses the buffer")
    }
}

impl BufRead for Impatient {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.asked = !self.asked;
        if self.asked {
            Ok(self.bytes)
        } else {
            Err(self.kind.into())
        }
    }

    fn consume(&mut self, count: usize) {
        self.bytes = &self.bytes[count..];
    }
}

#[test]
fn an_event_is_out_although_the_next_read_would_fail() {
    for kind in [ErrorKind::WouldBlock, ErrorKind::TimedOut, ErrorKind::Other] {
        let mut reader = Reader::new(impatient(b": hi\ndata: a\n\ndata: b\n\n", kind));
        assert_eq!(
            reader.read_item().unwrap(),
            Some(Item::Comment("hi".into()))
        );
        assert_eq!(reader.read_event().unwrap().unwrap().data, "a");
        assert_eq!(reader.read_event().unwrap().unwrap().data, "b");
        assert_eq!(reader.read_event().unwrap_err().kind(), kind);
        assert_eq!(reader.read_event().unwrap(), None);
    }
}

#[test]
fn interrupted_never_comes_out() {
    let mut reader = Reader::new(impatient(b"data: a\n\ndata: b\n\n", ErrorKind::Interrupted));
    assert_eq!(reader.read_event().unwrap().unwrap().data, "a");
    assert_eq!(reader.read_event().unwrap().unwrap().data, "b");
    assert_eq!(reader.read_event().unwrap(), None);
}

#[test]
fn get_mut_after_a_time_out_loses_no_event() {
    let mut reader = Reader::new(impatient(
        b"data: a\n\ndata: b\n\ndata: c",
        ErrorKind::TimedOut,
    ));
    let mut seen = Vec::new();
    for _ in 0..20 {
        match reader.read_event() {
            Ok(Some(event)) => seen.push(event.data.into_owned()),
            Ok(None) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
        reader.get_mut();
    }
    assert_eq!(seen, ["a", "b"]);
    assert!(reader.is_truncated());
}

#[test]
fn a_client_gives_out_every_event_whose_id_it_asks_with() {
    let mut asked = Vec::new();
    let bodies: [&[u8]; 2] = [
        b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n",
        b"id: 3\ndata: c\n\n",
    ];
    let mut source = EventSource::new(|request: &sse_io::client::Request<'_>| {
        asked.push(request.last_event_id().to_owned());
        let body = impatient(bodies[asked.len() - 1], ErrorKind::TimedOut);
        Ok(Response::new(200, "text/event-stream", body))
    })
    .with_reconnection_time(Duration::ZERO);
    for data in ["a", "b", "c"] {
        assert_eq!(source.next_event().unwrap().unwrap().data, data);
    }
    drop(source);
    assert_eq!(asked, ["", "2"]);
}

#[test]
fn what_is_overwritten_after_a_reset_never_comes() {
    let mut buffer = *b"data: old1\n\ndata: old2\n\ndata: old3\n\n";
    for ends in [Parser::reset as fn(&mut Parser), drain] {
        let mut parser = Parser::new();
        buffer.copy_from_slice(b"data: old1\n\ndata: old2\n\ndata: old3\n\n");
        let mut input = &buffer[..];
        assert_eq!(parser.parse(&mut input), Ok(Some(Event::new("old1"))));
        ends(&mut parser);
        // The same address and the same length.
        buffer.copy_from_slice(b"data: new1\n\ndata: new2\n\ndata: new3\n\n");
        let mut input = &buffer[..];
        for data in ["new1", "new2", "new3"] {
            assert_eq!(parser.parse(&mut input), Ok(Some(Event::new(data))));
        }
        assert_eq!(parser.parse(&mut input), Ok(None));
    }
}

fn drain(parser: &mut Parser) {
    assert_eq!(parser.finish(), Some(Event::new("old2")));
    assert_eq!(parser.finish(), Some(Event::new("old3")));
    assert_eq!(parser.finish(), None);
}

#[test]
fn limit_and_trailing_switch_hold_on_the_second_connection() {
    let bodies: [&[u8]; 2] = [b"data: a\n\n", b"data: far too long\n\ndata: b"];
    let mut connections = 0;
    let mut source = EventSource::new(|_: &sse_io::client::Request<'_>| {
        connections += 1;
        let body = bodies.get(connections - 1).copied().unwrap_or_default();
        Ok(Response::new(200, "text/event-stream", body))
    })
    .with_reconnection_time(Duration::ZERO)
    .with_max_event_size(8)
    .with_trailing_event(true);
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    let error = source.next_event().unwrap_err();
    assert_eq!(error.kind(), sse_io::client::ErrorKind::EventTooLarge);
    assert_eq!(source.next_event().unwrap().unwrap().data, "b");
}

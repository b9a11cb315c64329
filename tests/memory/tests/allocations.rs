//! Once warm, nothing is allocated for an event, whichever way it goes.

use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc;
use std::time::Duration;

use sse_io::client::{Listeners, Response};
use sse_io::{Emitter, Event, EventSource, Item, Parser, Reader, ResponseHead, Writer};
use sse_io_memory::{Nowhere, allocations, calls};

const EVENTS: usize = 2500;

/// Enough for the buffer of a reader to have torn a block at each of its bytes.
const WARM_UP: usize = 1500;

/// Blocks of each kind that a stream may have, but for extensions.
const BLOCKS: [&str; 12] = [
    "data: one line\n\n",
    "data: first\ndata: second\ndata: third\n\n",
    "data:\n\n",
    "data\ndata\n\n",
    "id: 17\nevent: update\nretry: 2500\ndata: all of it\n\n",
    "event: a\ndata: x\n\n",
    "id: 18\n\ndata: after an id of its own\n\n",
    "id\ndata: reset\n\n",
    ": a comment\n\ndata: x\n\n",
    "data: x\n: inside\ndata: y\n\n",
    "event: other\ndata: é€\u{1F980}\nid: 19\n\n",
    "retry: 3000\n\ndata: \n\n",
];

fn streams() -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    for line_break in ["\n", "\r\n", "\r"] {
        for block in BLOCKS {
            streams.push(block.repeat(EVENTS).replace('\n', line_break).into_bytes());
        }
        let all = BLOCKS.concat().repeat(EVENTS / 5);
        streams.push(all.replace('\n', line_break).into_bytes());
    }
    streams
}

#[track_caller]
fn assert_none_once_warm(what: &str, mut next: impl FnMut() -> bool) {
    for _ in 0..WARM_UP {
        assert!(next(), "{what}: a warm-up has items");
    }
    let (calls, items) = allocations(|| {
        let mut items = 0;
        while next() {
            items += 1;
        }
        items
    });
    assert!(items >= EVENTS - WARM_UP, "{what}: {items} items");
    assert_eq!(calls, 0, "{what}: {calls} allocations for {items} items");
}

fn what(stream: &[u8]) -> String {
    String::from_utf8_lossy(&stream[..stream.len().min(60)]).into_owned()
}

fn inners(stream: &[u8]) -> Vec<Box<dyn BufRead + '_>> {
    let mut inners: Vec<Box<dyn BufRead + '_>> = vec![Box::new(stream)];
    for capacity in [1, 3, 16, 61, 97] {
        inners.push(Box::new(BufReader::with_capacity(capacity, stream)));
    }
    inners
}

#[test]
fn read_event_allocates_nothing() {
    for stream in streams() {
        for inner in inners(&stream) {
            let mut reader = Reader::new(inner);
            assert_none_once_warm(&what(&stream), || reader.read_event().unwrap().is_some());
        }
    }
}

#[test]
fn read_item_allocates_nothing() {
    for stream in streams() {
        for inner in inners(&stream) {
            let mut reader = Reader::new(inner);
            assert_none_once_warm(&what(&stream), || reader.read_item().unwrap().is_some());
        }
    }
}

#[test]
fn comments_allocate_nothing() {
    let stream = ":\n\n: ping\n\n: a longer sign of life, é\n\n".repeat(EVENTS);
    for inner in inners(stream.as_bytes()) {
        let mut reader = Reader::new(inner);
        assert_none_once_warm("comments", || match reader.read_item().unwrap() {
            Some(Item::Comment(_)) => true,
            Some(other) => panic!("{other:?}"),
            None => false,
        });
    }
}

#[test]
fn a_parser_allocates_nothing() {
    for stream in streams() {
        for size in [1, 3, 16, 61, 97, usize::MAX] {
            for comments in [true, false] {
                let mut parser = Parser::new();
                let mut chunks = stream.chunks(size);
                let mut chunk: &[u8] = &[];
                assert_none_once_warm(&what(&stream), || {
                    loop {
                        let found = if comments {
                            parser.parse_item(&mut chunk).unwrap().is_some()
                        } else {
                            parser.parse(&mut chunk).unwrap().is_some()
                        };
                        if found {
                            return true;
                        }
                        match chunks.next() {
                            Some(next) => chunk = next,
                            None => return false,
                        }
                    }
                });
            }
        }
    }
}

/// How many events there are.
fn count(stream: &[u8]) -> usize {
    Reader::new(stream).into_iter().count()
}

#[test]
fn a_client_allocates_nothing_while_it_is_connected() {
    for stream in streams() {
        let events = count(&stream);
        for inner in inners(&stream) {
            let mut left = events;
            let mut inner = Some(inner);
            let mut source = EventSource::new(|_| {
                let body = inner.take().expect("one connection");
                Ok(Response::new(200, "text/event-stream", body))
            });
            // Not to the end, which is a lost connection.
            assert_none_once_warm(&what(&stream), || {
                let more = left > 0 && source.next_event().unwrap().is_some();
                left = left.saturating_sub(1);
                more
            });
        }
    }
}

#[test]
fn listeners_allocate_nothing() {
    let stream = BLOCKS.concat().repeat(EVENTS / 5).into_bytes();
    let events = count(&stream);
    let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", &stream[..])))
        .with_finite(true);
    let listeners = Listeners::new();
    listeners.on("update", |event, id| {
        assert!(!event.data.is_empty() && id == "17");
    });
    let (done, counts) = mpsc::channel();
    let mut seen = 0;
    let mut before = 0;
    listeners.on_any(move |_, _| {
        seen += 1;
        match seen {
            WARM_UP => before = calls(),
            _ if seen == events => done.send(calls() - before).expect("the test listens"),
            _ => {}
        }
    });
    source.run(&listeners).unwrap();
    assert_eq!(counts.recv(), Ok(0));
}

#[track_caller]
fn assert_no_allocation(what: &str, mut write: impl FnMut()) {
    for _ in 0..3 {
        write();
    }
    let (calls, ()) = allocations(|| {
        for _ in 0..EVENTS {
            write();
        }
    });
    assert_eq!(calls, 0, "{what}: {calls} allocations for {EVENTS} frames");
}

fn events() -> [Event<'static>; 5] {
    [
        Event::new("x"),
        Event::new("a\r\nb\rc\nd"),
        Event::new("x".repeat(60_000)),
        Event::new("x\n".repeat(5_000)),
        Event::new("x")
            .with_name("update")
            .with_id("17")
            .with_retry(Duration::from_secs(5))
            .with_extension("k", "v"),
    ]
}

#[test]
fn a_writer_allocates_nothing() {
    let mut writer = Writer::new(Nowhere);
    for event in &events() {
        assert_no_allocation("write_event", || {
            writer.write_event(event).unwrap();
        });
        assert_no_allocation("write_event_with", || {
            writer
                .write_event_with(event, |data| {
                    data.write_all(b"raw\r")?;
                    write!(data, "\n{} {:?}", 1.5, "text")
                })
                .unwrap();
        });
    }
    assert_no_allocation("write_comment", || {
        writer.write_comment("a\nb").unwrap();
    });
    let retry = Duration::from_millis(1_500);
    assert_no_allocation("write_retry", || {
        writer.write_retry(retry).unwrap();
    });
}

#[test]
fn an_emitter_allocates_nothing() {
    for chunked in [false, true] {
        let emitter = if chunked {
            ResponseHead::new().start(Nowhere).unwrap()
        } else {
            Emitter::new(Nowhere)
        };
        for event in &events() {
            assert_no_allocation("emit", || {
                emitter.emit(event).unwrap();
            });
            assert_no_allocation("emit_with", || {
                emitter
                    .emit_with(event, |data| {
                        data.write_all(b"raw\r")?;
                        write!(data, "\n{} {:?}", 1.5, "text")
                    })
                    .unwrap();
            });
        }
        assert_no_allocation("comment", || {
            emitter.comment("a\nb").unwrap();
        });
        assert_no_allocation("emit in emit_with", || {
            emitter
                .emit_with(&Event::default(), |_| emitter.comment("c").map(drop))
                .unwrap();
        });
    }
}

#[test]
fn encode_allocates_nothing_in_a_buffer_with_room() {
    let mut out = Vec::new();
    for event in &events() {
        assert_no_allocation("encode", || {
            out.clear();
            event.encode(&mut out).unwrap();
        });
    }
}

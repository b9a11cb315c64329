//! An event is out at the very byte that ends it: nobody waits for a byte that is not needed.

use crate::util;

use std::io::{BufReader, ErrorKind};

use sse_io::{Item, Parser, Reader};
use util::readers::{Act, Scripted, chunks, show};

/// Streams, and after how many bytes each of their events is complete.
const EVENTS: &[(&[u8], &[usize])] = &[
    (b"data: a\n\n", &[9]),
    (b"data: a\r\r", &[9]),
    (b"data: a\r\n\r\n", &[10]),
    (b"data: a\n\r\n", &[9]),
    (b"data: a\r\n\n", &[10]),
    (
        b"data: a\r\n\r\ndata: b\r\n\r\ndata: c\r\n\r\n",
        &[10, 21, 32],
    ),
    (b"data: a\r\rdata: b\r\rdata: c\r\r", &[9, 18, 27]),
    (b"data: a\n\ndata: b\n\ndata: c\n\n", &[9, 18, 27]),
    (b"data\n\n", &[6]),
    (b"data\r\r", &[6]),
    (b"data:\r\n\r\n", &[8]),
    (b"\xef\xbb\xbfdata\r\rdata\r\r", &[9, 15]),
    (b"data: a\ndata: b\n\nid: 1\n\ndata: c\n\n", &[17, 33]),
    (
        b"event: n\rid: 1\rdata: a\rretry: 5\rx: y\r\rdata: b\r\r",
        &[38, 47],
    ),
    (b"data: \xe2\x82\r\rdata: \xf0\x9f\n\n", &[10, 20]),
    (b": c\n\ndata: a\n\n: d\r\n\r\ndata: b\r\n\r\n", &[14, 31]),
];

/// Streams, and after how many bytes each of their comments is complete.
const COMMENTS: &[(&[u8], &[usize])] = &[
    (b": a\n", &[4]),
    (b": a\r", &[4]),
    (b": a\r\n", &[4]),
    (b":\n:\r:\r\n\r\n:\n", &[2, 4, 6, 11]),
    (b"\xef\xbb\xbf: a\n\n: b\n\n", &[7, 12]),
    (b"event: n\n: a\nx: y\n: b\r", &[13, 22]),
    (b": \xe2\x82\r: \xf0\x9f\n", &[5, 10]),
];

/// The stream up to `end`, in chunks; the reader panics when it is asked for more.
fn prompt(stream: &[u8], end: usize, chunk: usize) -> Scripted {
    Scripted::strict(chunks(&stream[..end], chunk))
}

#[test]
fn parser_gives_an_event_at_the_byte_that_ends_it() {
    for (stream, ends) in EVENTS {
        let mut parser = Parser::new();
        let mut seen = Vec::new();
        for at in 0..stream.len() {
            let mut byte = &stream[at..=at];
            if parser.parse(&mut byte).unwrap().is_some() {
                seen.push(at + 1);
            }
            assert!(byte.is_empty());
        }
        assert_eq!(seen, *ends, "{}", show(stream));
    }
}

#[test]
fn parser_gives_a_comment_at_the_byte_that_ends_it() {
    for (stream, ends) in COMMENTS {
        let mut parser = Parser::new();
        let mut seen = Vec::new();
        for at in 0..stream.len() {
            let item = parser.parse_item(&mut &stream[at..=at]).unwrap();
            if matches!(item, Some(Item::Comment(_))) {
                seen.push(at + 1);
            }
        }
        assert_eq!(seen, *ends, "{}", show(stream));
    }
}

#[test]
fn reader_gives_an_event_without_another_read() {
    for (stream, ends) in EVENTS {
        for chunk in [1, 2, 3, 7, usize::MAX] {
            for (count, &end) in (1..).zip(*ends) {
                let way = format!("{} up to {end} by {chunk}", show(stream));
                let mut reader = Reader::new(prompt(stream, end, chunk));
                for _ in 0..count {
                    assert!(reader.read_event().unwrap().is_some(), "{way}");
                }
                assert_eq!(reader.into_inner().position(), end, "{way}");

                let mut reader = Reader::new(prompt(stream, end, chunk));
                let mut seen = 0;
                while seen < count {
                    if let Some(Item::Event { .. }) = reader.read_item().unwrap() {
                        seen += 1;
                    }
                }
                assert_eq!(reader.into_inner().position(), end, "items: {way}");
            }
        }
    }
}

#[test]
fn reader_gives_a_comment_without_another_read() {
    for (stream, ends) in COMMENTS {
        for chunk in [1, 2, 3, 7, usize::MAX] {
            for (count, &end) in (1..).zip(*ends) {
                let way = format!("{} up to {end} by {chunk}", show(stream));
                let mut reader = Reader::new(prompt(stream, end, chunk));
                for _ in 0..count {
                    let item = reader.read_item().unwrap();
                    assert!(matches!(item, Some(Item::Comment(_))), "{way}: {item:?}");
                }
                assert_eq!(reader.into_inner().position(), end, "{way}");
            }
        }
    }
}

#[test]
fn buffered_reader_gives_an_event_without_another_read() {
    for (stream, ends) in EVENTS {
        for capacity in [1, 4, 8192] {
            for chunk in [1, 5] {
                for (count, &end) in (1..).zip(*ends) {
                    let source = prompt(stream, end, chunk);
                    let mut reader = Reader::new(BufReader::with_capacity(capacity, source));
                    for seen in 1..=count {
                        assert!(
                            reader.read_event().unwrap().is_some(),
                            "{} up to {end}: event {seen}",
                            show(stream)
                        );
                    }
                    assert_eq!(reader.get_ref().get_ref().position(), end);
                }
            }
        }
    }
}

#[test]
fn retry_and_id_are_known_at_their_event() {
    let stream = b"id: 1\rretry: 5\rdata: a\r\r";
    for chunk in [1, 3, 100] {
        let mut reader = Reader::new(prompt(stream, stream.len(), chunk));
        let event = reader.read_event().unwrap().unwrap();
        assert_eq!(event.id.as_deref(), Some("1"));
        assert_eq!(reader.last_event_id(), "1");
        assert_eq!(reader.retry().map(|retry| retry.as_millis()), Some(5));
    }
}

#[test]
fn retry_takes_effect_at_the_end_of_its_line() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = format!("retry: 75{end}");
        let mut parser = Parser::new();
        for (at, byte) in stream.bytes().enumerate() {
            assert_eq!(parser.parse(&mut &[byte][..]), Ok(None));
            assert_eq!(parser.retry().is_some(), at >= 9, "{stream:?} at {at}");
        }
        assert_eq!(parser.retry().map(|retry| retry.as_millis()), Some(75));
    }
}

#[test]
fn id_takes_effect_at_its_blank_line() {
    for (stream, blank) in [
        ("id: 75\n\n", 7),
        ("id: 75\r\r", 7),
        ("id: 75\r\n\r\n", 8),
        ("id: 75\ndata: a\n\n", 15),
        ("id: 7\nid: 75\nevent: n\n\n", 22),
    ] {
        let mut parser = Parser::new().with_last_event_id("0");
        for (at, byte) in stream.bytes().enumerate() {
            parser.parse(&mut &[byte][..]).unwrap();
            let id = if at >= blank { "75" } else { "0" };
            assert_eq!(parser.last_event_id(), id, "{stream:?} at {at}");
        }
        assert_eq!(parser.last_event_id(), "75", "{stream:?}");
    }
}

#[test]
fn errors_around_an_event_lose_nothing() {
    for (stream, ends) in EVENTS {
        for kind in [ErrorKind::WouldBlock, ErrorKind::TimedOut] {
            let mut acts = Vec::new();
            for at in 0..stream.len() {
                acts.push(Act::Fail(kind));
                acts.push(Act::Give(vec![stream[at]]));
                acts.push(Act::Fail(kind));
            }
            let mut reader = Reader::new(Scripted::strict(acts));
            let mut seen = Vec::new();
            let mut failed = 0;
            while seen.len() < ends.len() {
                let event = match reader.read_event() {
                    Ok(event) => event.map(|event| event.into_owned()),
                    Err(error) => {
                        assert_eq!(error.kind(), kind);
                        failed += 1;
                        continue;
                    }
                };
                seen.push((event.is_some(), reader.get_mut().position()));
                // Two for each byte so far, but the one behind this event's last.
                let (_, position) = seen[seen.len() - 1];
                assert_eq!(failed, 2 * position - 1, "{}", show(stream));
            }
            let expected: Vec<_> = ends.iter().map(|&end| (true, end)).collect();
            assert_eq!(seen, expected, "{} {kind:?}", show(stream));
        }
    }
}

#[test]
fn would_block_right_after_an_event_comes_after_it() {
    for end in ["\n\n", "\r\r", "\r\n\r\n", "\n\r", "\n\r\n"] {
        for next in ["data: b\n\n", "\ndata: b\n\n"] {
            let script = [
                Act::Give(format!("data: a{end}").into_bytes()),
                Act::Fail(ErrorKind::WouldBlock),
                Act::Fail(ErrorKind::TimedOut),
                Act::Fail(ErrorKind::Interrupted),
                Act::Give(next.as_bytes().to_vec()),
                Act::Fail(ErrorKind::WouldBlock),
            ];
            let mut reader = Reader::new(Scripted::strict(script));
            assert_eq!(reader.read_event().unwrap().unwrap().data, "a");
            for kind in [ErrorKind::WouldBlock, ErrorKind::TimedOut] {
                assert_eq!(reader.read_event().unwrap_err().kind(), kind, "{end:?}");
            }
            assert_eq!(reader.read_event().unwrap().unwrap().data, "b", "{end:?}");
            assert_eq!(
                reader.read_event().unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
        }
    }
}

#[test]
fn an_event_too_large_is_told_without_another_read() {
    // The limit is passed at the ninth byte of the value; the line goes on for long.
    let stream = b"data: 123456789 and more\n\n";
    for chunk in [1, 15] {
        let mut reader = Reader::new(prompt(stream, 15, chunk)).with_max_event_size(8);
        let error = reader.read_event().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(reader.into_inner().position() <= 15);
    }
}

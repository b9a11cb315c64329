//! A large input is taken in pieces of many events: what is seen must be the same as when the bytes
//! come one by one, whatever stands among them and however the caller mixes its calls.

use crate::util;

use std::io::{BufRead, BufReader, Read};

use sse_io::{Event, Item, Parser, Reader};
use util::Rng;
use util::readers::{Seen, What, parse_all, read_all, show};

/// Blocks as most streams have them.
const PLAIN: &[&str] = &[
    "data: x#",
    "data:x#",
    "data#",
    "data: {\"delta\":\"é\"}#",
    "data: 流式#",
    "event: tick#data: x#",
    "id: 7#data: x#",
    "id:8#event:tock#data: y#",
    "data: z#id: 9#event: last#",
    ": a comment inside#data: x#",
    "data: x#: a comment behind#",
    "id:#data: resets the id#",
    "id: #data: so does this#",
];

/// Blocks and beginnings that most have not, or that mean something to what comes behind them.
const ODD: &[&str] = &[
    "data: a#data: b#",
    "data#data#",
    "retry: 5#data: x#",
    "retry: 6#",
    "x: y#data: x#",
    "event: only a name#",
    "id: only an id#",
    "event#data: x#",
    "event:#data: x#",
    "event: #data: x#",
    "id#data: x#",
    "event: a#event: b#data: x#",
    "id: a#id: b#data: x#",
    "id: a\0b#data: x#",
    "data: a\0b#",
    "data: \u{1}\t\u{b}\u{c}#",
    ": a comment#",
    ": one##: two###: three#",
    ":#",
    "##",
    "",
    "\u{feff}data: no mark here#",
    "DATA: x#",
    "data : x#",
    "event:tick#data:  two spaces#",
];

/// Values that are malformed, or cut off.
const MALFORMED: &[&[u8]] = &[b"data: \xff\n", b"data: \xe6\xb5\n", b"id: \xc0\ndata: x\n"];

/// Mostly plain blocks, in runs, with anything else in between.
fn stream(rng: &mut Rng, length: usize) -> Vec<u8> {
    const BREAKS: [&str; 4] = ["\n", "\r\n", "\r", "\n"];
    let mut stream = Vec::new();
    let mut end = "\n";
    while stream.len() < length {
        if rng.below(40) == 0 {
            end = BREAKS[rng.below(BREAKS.len())];
        }
        let block = match rng.below(12) {
            0 => ODD[rng.below(ODD.len())],
            _ => PLAIN[rng.below(PLAIN.len())],
        };
        stream.extend_from_slice(block.replace('#', end).as_bytes());
        match rng.below(600) {
            0 => stream.extend_from_slice(MALFORMED[rng.below(MALFORMED.len())]),
            1 => stream.extend_from_slice(&b"data: long ".repeat(rng.below(800))),
            2 => stream.extend_from_slice(&b": long ".repeat(rng.below(800))),
            3 => continue,
            _ => {}
        }
        stream.extend_from_slice(end.as_bytes());
    }
    stream
}

/// All items of a stream fed byte by byte: every block is put together from pieces.
fn one_by_one(stream: &[u8]) -> Vec<Seen> {
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    parse_all(&mut Parser::new(), &bytes, true).seen
}

fn events(items: &[Seen]) -> Vec<(Event<'static>, String)> {
    let event = |seen: &Seen| match &seen.what {
        What::Event(event) => Some((event.clone(), seen.last_event_id.clone())),
        _ => None,
    };
    items.iter().filter_map(event).collect()
}

#[test]
fn whatever_stands_among_short_events_means_the_same() {
    let mut rng = Rng(1);
    for round in 0..40 {
        let stream = stream(&mut rng, 40_000);
        for comments in [false, true] {
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            let expected = parse_all(&mut Parser::new(), &bytes, comments);
            assert!(expected.seen.len() > 500);
            let same = |way: &str, seen| assert!(seen == expected, "{way}, round {round}");
            let size = 500 + rng.below(16_000);
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            same("parser", parse_all(&mut Parser::new(), &pieces, comments));
            let buffered = BufReader::with_capacity(size, &stream[..]);
            same("buffered", read_all(&mut Reader::new(buffered), comments));
            same("whole", read_all(&mut Reader::new(&stream[..]), comments));
        }
    }
}

#[test]
fn calls_for_events_and_for_items_can_be_mixed() {
    let mut rng = Rng(2);
    for _ in 0..20 {
        let stream = stream(&mut rng, 40_000);
        let expected = one_by_one(&stream);
        let often = 1 + rng.below(30);
        let mut left = expected.iter();
        let mut reader = Reader::new(&stream[..]);
        loop {
            // Calls for events pass over the comments.
            let (seen, expected) = if rng.below(often) == 0 {
                let what = match reader.read_item().unwrap() {
                    Some(Item::Event { event, .. }) => Some(What::Event(event.into_owned())),
                    Some(Item::Comment(text)) => Some(What::Comment(text.into_owned())),
                    Some(other) => panic!("{other:?}"),
                    None => None,
                };
                (what, left.next())
            } else {
                let event = reader.read_event().unwrap();
                let what = event.map(|event| What::Event(event.into_owned()));
                let is_event = |seen: &&Seen| matches!(seen.what, What::Event(_));
                (what, left.find(is_event))
            };
            assert_eq!(seen.as_ref(), expected.map(|seen| &seen.what));
            let Some(expected) = expected else {
                break;
            };
            assert_eq!(reader.last_event_id(), expected.last_event_id);
        }
    }
}

#[test]
fn bytes_that_move_after_some_events_mean_the_same() {
    let mut rng = Rng(3);
    for _ in 0..10 {
        let stream = stream(&mut rng, 40_000);
        let expected = events(&one_by_one(&stream));
        let often = 1 + rng.below(100);
        let mut parser = Parser::new();
        let mut seen = Vec::new();
        let mut left = stream.clone();
        let mut more = true;
        while more {
            let mut input = &left[..];
            let count = 1 + rng.below(often);
            for _ in 0..count {
                let Some(event) = parser.parse(&mut input).unwrap() else {
                    more = false;
                    break;
                };
                let event = event.into_owned();
                seen.push((event, parser.last_event_id().to_owned()));
            }
            left = input.to_vec();
        }
        assert!(seen == expected, "{}", show(&stream));
    }
}

#[test]
fn the_inner_reader_stands_after_the_last_event_at_any_time() {
    let mut rng = Rng(4);
    let stream = stream(&mut rng, 40_000);
    let expected = events(&one_by_one(&stream));
    let mut ends = Vec::new();
    let mut parser = Parser::new();
    for (at, mut byte) in stream.chunks(1).enumerate() {
        if parser.parse(&mut byte).unwrap().is_some() {
            ends.push(at + 1);
        }
    }
    assert_eq!(ends.len(), expected.len());
    for (count, &end) in ends.iter().enumerate().step_by(3) {
        let read = || {
            let mut reader = Reader::new(&stream[..]);
            assert_eq!(reader.events().take(count + 1).count(), count + 1);
            assert_eq!(reader.last_event_id(), expected[count].1);
            reader
        };
        let mut rest = Vec::new();
        read().into_inner().read_to_end(&mut rest).unwrap();
        assert!(rest == stream[end..], "after event {count}");

        // What is taken out is no part of the stream, what is left is.
        if let Some(later) = ends.get(count + 5) {
            let mut reader = read();
            reader.get_mut().consume(later - end);
            let event = reader.read_event().unwrap();
            let expected = expected.get(count + 6).map(|(event, _)| event);
            assert_eq!(event.as_ref(), expected, "after event {count} and five");
        }
    }
}

#[test]
fn what_is_set_or_ended_between_two_events_takes_effect() {
    let stream = "id: 1\ndata: 12345678\n\n".repeat(400);
    let mut input = stream.as_bytes();
    let mut parser = Parser::new();
    for _ in 0..10 {
        parser.parse(&mut input).unwrap().unwrap();
    }
    let mut parser = parser.with_last_event_id("set");
    assert_eq!(parser.last_event_id(), "set");
    parser.parse(&mut input).unwrap().unwrap();
    assert_eq!(parser.last_event_id(), "1");

    let mut parser = parser.with_max_event_size(4);
    assert!(parser.parse(&mut input).is_err());

    let mut parser = parser.with_max_event_size(100);
    for _ in 0..10 {
        parser.parse(&mut input).unwrap().unwrap();
    }
    parser.reset();
    assert_eq!(parser.last_event_id(), "1");
    let mut other = &b"\xef\xbb\xbfdata: new stream\n\n"[..];
    let event = parser.parse(&mut other).unwrap().unwrap();
    assert_eq!(event, Event::new("new stream"));
    assert_eq!(parser.last_event_id(), "1");
    assert_eq!(parser.finish(), None);
}

#[test]
fn an_event_over_a_small_limit_is_refused_among_short_ones() {
    let stream = "data: 1234\n\ndata: 12345678901\n\n".repeat(200);
    let mut reader = Reader::new(stream.as_bytes()).with_max_event_size(10);
    for _ in 0..200 {
        assert_eq!(reader.read_event().unwrap().unwrap().data, "1234");
        reader.read_event().unwrap_err();
    }
    assert_eq!(reader.read_event().unwrap(), None);
}

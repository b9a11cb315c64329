//! What an event may cost: below, at and above the limit, whatever it is made of.

use crate::util;

use std::io::{BufReader, ErrorKind};
use std::time::Duration;

use sse_io::{Event, EventTooLarge, Item, Parser, Reader};
use util::readers::{
    Endless, Scripted, Transcript, What, chunks, feedings, parse_all, read_all, show, too_large,
};

/// What the stream reads as under the limit, by every way of feeding the same.
#[track_caller]
fn read(stream: &[u8], limit: usize, comments: bool) -> Transcript {
    let whole = Scripted::new(chunks(stream, stream.len().max(1)));
    let mut reader = Reader::new(whole).with_max_event_size(limit);
    let expected = read_all(&mut reader, comments);
    for size in [1, 2, 5, 6, 7, 64, stream.len().max(1)] {
        let way = format!("{} limit {limit} by {size}", show(stream));
        let mut reader =
            Reader::new(Scripted::new(chunks(stream, size))).with_max_event_size(limit);
        assert_eq!(read_all(&mut reader, comments), expected, "reader: {way}");
        let mut parser = Parser::new().with_max_event_size(limit);
        let pieces: Vec<&[u8]> = stream.chunks(size).collect();
        assert_eq!(
            parse_all(&mut parser, &pieces, comments),
            expected,
            "parser: {way}"
        );
        let buffered = BufReader::with_capacity(size, stream);
        let mut reader = Reader::new(buffered).with_max_event_size(limit);
        assert_eq!(read_all(&mut reader, comments), expected, "buffer: {way}");
    }
    expected
}

/// The same in short: the data of events, `-` for one too large.
#[track_caller]
fn outline(stream: &[u8], limit: usize) -> Vec<String> {
    let name = |what| match what {
        What::Event(event) => event.data.into_owned(),
        What::Comment(text) => format!(":{text}"),
        What::TooLarge { limit: told } => {
            assert_eq!(told, limit);
            "-".to_owned()
        }
    };
    read(stream, limit, false)
        .what()
        .into_iter()
        .map(name)
        .collect()
}

/// A block between two others costs exactly this much: it comes whole at that limit and above, and
/// is refused below, alone.
#[track_caller]
fn costs(block: &str, cost: usize) {
    let stream = format!("data\n\n{block}\n\ndata:\n\nid: 1\n\n");
    let alone = read(format!("{block}\n\n").as_bytes(), 1 << 20, false).what();
    let [event @ What::Event(_)] = &alone[..] else {
        panic!("{block:?} is not one event: {alone:?}");
    };
    let empty = What::Event(Event::new(""));
    for limit in [cost, cost + 1, cost + 70, usize::MAX] {
        let seen = read(stream.as_bytes(), limit, false);
        let expected = [empty.clone(), event.clone(), empty.clone()];
        assert_eq!(seen.what(), expected, "{block:?} limit {limit}");
        assert_eq!(seen.last_event_id, "1", "{block:?} limit {limit}");
    }
    for limit in 1..cost {
        let seen = read(stream.as_bytes(), limit, false);
        let expected = [empty.clone(), What::TooLarge { limit }, empty.clone()];
        assert_eq!(seen.what(), expected, "{block:?} limit {limit}");
        assert_eq!(seen.last_event_id, "1", "{block:?} limit {limit}");
    }
}

#[test]
fn data_line_costs_its_value_and_one() {
    costs("data: 1234567", 8);
    costs("data:1234567", 8);
    costs("data:  123456", 8);
}

#[test]
fn many_data_lines_cost_one_each() {
    costs("data: 123\ndata: 45\ndata: 6", 9);
}

#[test]
fn data_lines_of_one_byte_cost_two_each() {
    costs(&["data:a"; 20].join("\n"), 40);
}

#[test]
fn empty_data_lines_cost_one_each() {
    costs(&["data:"; 20].join("\n"), 20);
    costs(&["data: "; 20].join("\r\n"), 20);
}

#[test]
fn bare_data_lines_cost_one_each() {
    costs(&["data"; 20].join("\n"), 20);
    costs("data\ndata: 123\ndata", 6);
}

#[test]
fn name_costs_its_value() {
    costs("event: 1234567\ndata", 8);
    costs("data: 12\nevent:1234567", 10);
}

#[test]
fn every_name_of_a_block_counts() {
    costs("event: 123\nevent: 4567\nevent\ndata: a", 9);
}

#[test]
fn id_costs_its_value() {
    costs("id: 1234567\ndata", 8);
    costs("data: 12\nid:1234567", 10);
}

#[test]
fn retry_costs_its_digits() {
    costs("retry: 12345\ndata", 6);
    costs("data: 12\nretry: 0012345", 10);
}

#[test]
fn retry_that_is_ignored_costs_too() {
    costs("retry: never\ndata", 6);
}

#[test]
fn extension_costs_its_name_its_value_and_64() {
    costs("name: value\ndata", 74);
    costs("name:value\ndata", 74);
    costs("data: 12\nname", 71);
    costs("x: y\nx: y\ndata", 133);
}

#[test]
fn all_fields_cost_together() {
    costs(
        "event: abc\nid: 12\nretry: 5\nx: yz\ndata: a\ndata\ndata: bcd",
        3 + 2 + 1 + 67 + 2 + 1 + 4,
    );
}

#[test]
fn characters_cost_their_bytes() {
    costs("data: é€😀", 10);
}

#[test]
fn malformed_bytes_cost_what_replaces_them() {
    let stream = b"data: \xff\xff\xff\xff\n\n";
    assert_eq!(outline(stream, 13), ["\u{fffd}\u{fffd}\u{fffd}\u{fffd}"]);
    assert_eq!(outline(stream, 12), ["-"]);
}

#[test]
fn comments_cost_an_event_nothing() {
    costs(
        ": a very long comment\ndata: 123\n: another very long comment",
        4,
    );
}

#[test]
fn line_ends_and_blank_lines_cost_nothing() {
    let stream =
        "\r\n".repeat(100) + "data: 123\r\n\r\n" + &"\r\n".repeat(100) + "data: 456\r\n\r\n";
    assert_eq!(outline(stream.as_bytes(), 4), ["123", "456"]);
}

#[test]
fn cost_is_of_one_event() {
    let stream = "id: 1\nevent: n\ndata: 123\n\n".repeat(50);
    assert_eq!(outline(stream.as_bytes(), 6), ["123"; 50]);
}

#[test]
fn cost_of_a_block_without_data_ends_with_it() {
    assert_eq!(
        outline(b"event: 12345\n\nevent: 67890\n\ndata: 1234\n\n", 5),
        ["1234"]
    );
}

#[test]
fn block_without_data_is_too_large_as_well() {
    for line in ["event: 123456", "id: 123456", "retry: 123456", "x"] {
        let stream = format!("{line}\n\ndata: a\n\n");
        assert_eq!(outline(stream.as_bytes(), 5), ["-", "a"], "{line}");
    }
}

#[test]
fn limit_of_zero_lets_no_event_pass_and_ids_only_empty() {
    let seen = read(b"data\n\ndata:\n\ndata: a\n\nid:\n\n: c\n\n", 0, false);
    assert_eq!(
        seen.what(),
        [
            What::TooLarge { limit: 0 },
            What::TooLarge { limit: 0 },
            What::TooLarge { limit: 0 }
        ]
    );
}

#[test]
fn one_event_is_refused_once() {
    let stream = "data: 123456789\ndata: 123456789\nevent: 123456789\nx: y\nid: 1\ndata\n: c\n\n\
                  data: ok\n\n";
    assert_eq!(outline(stream.as_bytes(), 8), ["-", "ok"]);
}

#[test]
fn each_event_too_large_is_refused() {
    let stream = "data: 123456789\n\n".repeat(3) + "data: ok\n\n" + &"x\n\n".repeat(2);
    assert_eq!(
        outline(stream.as_bytes(), 8),
        ["-", "-", "-", "ok", "-", "-"]
    );
}

#[test]
fn event_after_one_too_large_is_intact() {
    let stream = b"event: lost\nretry: 5\nx: y\ndata: 0123456789\ndata: more\nevent: lost too\n\n\
        event: n\nid: 2\nx: z\ndata: a\ndata: b\n\ndata: c\n\n";
    for limit in [72, 73, 81] {
        assert_eq!(
            read(stream, limit, false).what(),
            [
                What::TooLarge { limit },
                Event::new("a\nb")
                    .with_name("n")
                    .with_id("2")
                    .with_extension("x", "z")
                    .into(),
                Event::new("c").into(),
            ]
        );
    }
}

#[test]
fn event_too_large_at_the_end_of_the_stream_is_refused_once() {
    for stream in [
        "data: 123456789",
        "data: 123456789\n",
        "data: 123456789\n\n",
    ] {
        assert_eq!(outline(stream.as_bytes(), 8), ["-"], "{stream:?}");
    }
}

#[test]
fn event_too_large_has_no_trailing_event() {
    for size in [1, 7, 64] {
        for stream in [
            "data: 123456789",
            "data: 123456789\ndata: b",
            "data: 123456789\n",
        ] {
            let mut reader = Reader::new(Scripted::new(chunks(stream.as_bytes(), size)))
                .with_max_event_size(8)
                .with_trailing_event(true);
            let limit = 8;
            let seen = read_all(&mut reader, false);
            assert_eq!(seen.what(), [What::TooLarge { limit }], "{stream:?} {size}");
        }
    }
}

#[test]
fn id_of_an_event_too_large_takes_effect_at_its_blank_line() {
    for (stream, blank) in [
        ("id: 7\ndata: 0123456789\n\n", 23),
        ("data: 0123456789\nid: 7\n\n", 23),
        ("data: 0123456789\r\nid: 7\r\n\r\n", 25),
        ("id: 6\ndata: 0123456789\nid: 7\ndata: 0123456789\n\n", 46),
        ("data: 012345\nid: 7\ndata: 0123\n\n", 30),
        ("x: y\nid: 7\n\n", 11),
        ("id: 7\nx: y\n\n", 11),
    ] {
        let mut parser = Parser::new().with_max_event_size(8).with_last_event_id("0");
        let mut errors = 0;
        for (at, byte) in stream.bytes().enumerate() {
            let byte = [byte];
            let mut input = &byte[..];
            loop {
                match parser.parse(&mut input) {
                    Err(error) if error.limit() == 8 => errors += 1,
                    Ok(None) => break,
                    other => panic!("{stream:?}: {other:?}"),
                }
            }
            let id = if at >= blank { "7" } else { "0" };
            assert_eq!(parser.last_event_id(), id, "{stream:?} at {at}");
        }
        assert_eq!(errors, 1, "{stream:?}");
        assert_eq!(parser.last_event_id(), "7", "{stream:?}");

        for (way, acts) in feedings(format!("{stream}data: ok\n\n").as_bytes()) {
            let mut reader = Reader::new(Scripted::new(acts))
                .with_max_event_size(8)
                .with_last_event_id("0");
            let seen = read_all(&mut reader, false);
            let ids: Vec<_> = seen.seen.iter().map(|s| &*s.last_event_id).collect();
            assert_eq!(ids, ["0", "7"], "{stream:?} {way}");
            assert_eq!(seen.seen[1].what, Event::new("ok").into());
        }
    }
}

#[test]
fn id_of_an_unfinished_event_too_large_is_not_committed() {
    let seen = read(b"id: 1\n\nid: 2\ndata: 0123456789\n", 8, false);
    assert_eq!(seen.what(), [What::TooLarge { limit: 8 }]);
    assert_eq!(seen.last_event_id, "1");
}

#[test]
fn id_with_nul_of_an_event_too_large_is_ignored() {
    let seen = read(b"id: 1\n\ndata: 0123456789\nid: 2\0\n\n", 8, false);
    assert_eq!(seen.last_event_id, "1");
}

#[test]
fn retry_of_an_event_too_large_takes_effect() {
    for stream in [
        "retry: 5\ndata: 0123456789\n\ndata: ok\n\n",
        "data: 0123456789\nretry: 5\n\ndata: ok\n\n",
        "data: 0123456\nretry: 5\n\ndata: ok\n\n",
    ] {
        let seen = read(stream.as_bytes(), 8, false);
        assert_eq!(
            seen.what(),
            [What::TooLarge { limit: 8 }, Event::new("ok").into()]
        );
        assert_eq!(seen.retry, Some(Duration::from_millis(5)), "{stream:?}");
    }
}

#[test]
fn retry_longer_than_the_limit_means_the_same_in_any_chunks() {
    // `read` compares the ways of feeding.
    for zeros in [1, 4, 8, 9, 10, 14, 15, 16, 17, 60, 200] {
        let stream = format!("retry: {}5\n\ndata: ok\n\n", "0".repeat(zeros));
        let seen = read(stream.as_bytes(), 8, false);
        assert_eq!(seen.what().last(), Some(&Event::new("ok").into()));
    }
}

#[test]
fn id_longer_than_the_limit_means_the_same_in_any_chunks() {
    for length in [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 60] {
        for space in ["", " "] {
            let id = "x".repeat(length);
            let stream = format!("id: 1\n\nid:{space}{id}\n\ndata: ok\n\n");
            let seen = read(stream.as_bytes(), 8, false);
            let expected = if length > 8 { "1" } else { &id };
            assert_eq!(seen.last_event_id, expected, "{stream:?}");
        }
    }
}

#[test]
fn error_names_the_limit() {
    let mut reader = Reader::new(&b"data: 0123456789\n\n"[..]).with_max_event_size(8);
    let error = reader.read_event().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "event exceeds the limit of 8 bytes");
    assert_eq!(EventTooLarge::of(&error).map(EventTooLarge::limit), Some(8));

    let mut parser = Parser::new().with_max_event_size(8);
    let error = parser.parse(&mut &b"data: 0123456789\n\n"[..]).unwrap_err();
    assert_eq!(error.limit(), 8);
    assert_eq!(error.to_string(), "event exceeds the limit of 8 bytes");
}

#[test]
fn default_limit_is_16_mib() {
    const LIMIT: usize = 16 << 20;
    let stream = |length| {
        let mut stream = b"data: ".to_vec();
        stream.resize(6 + length, b'x');
        stream.extend(b"\n\ndata: ok\n\n");
        stream
    };
    let fits = stream(LIMIT - 1);
    let mut reader = Reader::new(&fits[..]);
    assert_eq!(reader.read_event().unwrap().unwrap().data.len(), LIMIT - 1);
    assert_eq!(reader.read_event().unwrap().unwrap().data, "ok");

    let large = stream(LIMIT);
    let mut reader = Reader::new(BufReader::new(&large[..]));
    let error = reader.read_event().unwrap_err();
    assert_eq!(
        error.to_string(),
        "event exceeds the limit of 16777216 bytes"
    );
    assert_eq!(reader.read_event().unwrap().unwrap().data, "ok");
}

#[test]
fn comment_over_the_limit_is_passed_over_by_read_event() {
    for length in [8, 9, 10, 100, 10_000] {
        let stream = format!("data: a\n: {}\n\ndata: b\n\n", "x".repeat(length));
        assert_eq!(outline(stream.as_bytes(), 8), ["a", "b"], "{length}");
    }
}

#[test]
fn comment_is_held_to_the_limit_by_read_item() {
    for space in ["", " "] {
        for length in [1, 7, 8, 9, 10, 11, 100] {
            let text = "x".repeat(length);
            let stream = format!("data: a\n:{space}{text}\ndata: b\n\n: c\n");
            let comment = if length > 8 {
                What::TooLarge { limit: 8 }
            } else {
                What::Comment(text)
            };
            assert_eq!(
                read(stream.as_bytes(), 8, true).what(),
                [
                    comment,
                    Event::new("a\nb").into(),
                    What::Comment("c".to_owned())
                ],
                "{stream:?}"
            );
        }
    }
}

#[test]
fn comments_of_an_event_too_large_are_given_out() {
    let stream = b": a\ndata: 0123456789\n: b\n: 0123456789\n\n: c\n";
    let limit = 8;
    assert_eq!(
        read(stream, limit, true).what(),
        [
            What::Comment("a".to_owned()),
            What::TooLarge { limit },
            What::Comment("b".to_owned()),
            What::TooLarge { limit },
            What::Comment("c".to_owned()),
        ]
    );
}

#[test]
fn line_without_end_is_given_up_soon() {
    for head in [
        "data: ",
        "data:",
        "id: ",
        "event: ",
        "retry: ",
        "x: ",
        "",
        "dat",
        "data",
        "idle",
        "\u{feff}",
        "data: a\ndata: ",
        "event: n\nid: 1\nx: ",
        "id: a\0",
    ] {
        for chunk in [1, 7, 64, 1000] {
            let endless = Endless::new(head.as_bytes(), b'7', chunk, 300 + 2 * chunk);
            let mut reader = Reader::new(endless).with_max_event_size(200);
            let error = reader.read_event().unwrap_err();
            assert_eq!(too_large(&error), Some(200), "{head:?} {chunk}");
        }
    }
}

#[test]
fn comment_without_end_is_given_up_soon_by_read_item() {
    for head in [":", ": ", "data: a\n: ", "\u{feff}:"] {
        for chunk in [1, 7, 64, 1000] {
            let endless = Endless::new(head.as_bytes(), b'7', chunk, 300 + 2 * chunk);
            let mut reader = Reader::new(endless).with_max_event_size(200);
            let error = reader.read_item().unwrap_err();
            assert_eq!(too_large(&error), Some(200), "{head:?} {chunk}");
        }
    }
}

#[test]
fn lines_without_end_are_given_up_soon() {
    for line in [
        "data\n",
        "data:\n",
        "data: a\n",
        "x\n",
        "event: n\n",
        "id: 1\r",
        "retry: 5\r\n",
    ] {
        let stream = line.repeat(400);
        for size in [1, 7, 64] {
            // An error within the script, or a panic at its end.
            let mut reader = Reader::new(Scripted::strict(chunks(stream.as_bytes(), size)))
                .with_max_event_size(200);
            let error = reader.read_event().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{line:?} {size}");
        }
    }
}

/// A long line in the middle of an event, then the rest of it and one more event.
fn around(line: &str) -> String {
    let long = "x".repeat(1_000_000);
    format!("id: 1\ndata: a\n{line}{long}\ndata: b\n\nid: 2\ndata: c\n\n")
}

#[test]
fn long_comment_is_no_error_under_read_event() {
    let stream = around(": ");
    for size in [1, 7, 64, 8192] {
        let buffered = BufReader::with_capacity(size, stream.as_bytes());
        let mut reader = Reader::new(buffered).with_max_event_size(64);
        assert_eq!(
            read_all(&mut reader, false).what(),
            [
                Event::new("a\nb").with_id("1").into(),
                Event::new("c").with_id("2").into()
            ]
        );
    }
}

#[test]
fn long_comment_is_an_error_under_read_item_and_its_event_comes() {
    let stream = around(": ");
    for size in [1, 7, 64, 8192] {
        let buffered = BufReader::with_capacity(size, stream.as_bytes());
        let mut reader = Reader::new(buffered).with_max_event_size(64);
        assert_eq!(
            read_all(&mut reader, true).what(),
            [
                What::TooLarge { limit: 64 },
                Event::new("a\nb").with_id("1").into(),
                Event::new("c").with_id("2").into()
            ]
        );
    }
}

#[test]
fn long_unknown_line_is_an_error_and_the_next_event_comes() {
    for line in ["", "x: ", "data ", "event:", "data: ", "id: ", "retry: "] {
        let stream = around(line);
        for size in [1, 7, 64, 8192] {
            let buffered = BufReader::with_capacity(size, stream.as_bytes());
            let mut reader = Reader::new(buffered).with_max_event_size(64);
            let seen = read_all(&mut reader, size == 7);
            assert_eq!(
                seen.what(),
                [
                    What::TooLarge { limit: 64 },
                    Event::new("c").with_id("2").into()
                ],
                "{line:?} {size}"
            );
            assert_eq!(seen.seen[0].last_event_id, "", "{line:?} {size}");
        }
    }
}

#[test]
fn comment_given_up_by_read_item_can_be_passed_over_by_read_event() {
    let stream = b": 0123456789\ndata: a\n\n";
    for size in [1, 7, 64] {
        let mut reader = Reader::new(Scripted::new(chunks(stream, size))).with_max_event_size(8);
        assert_eq!(
            reader.read_item().unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(reader.read_event().unwrap().unwrap().data, "a");
        assert!(matches!(reader.read_item(), Ok(None::<Item<'_>>)));
    }
}

#[test]
fn first_event_of_a_text_may_be_too_large() {
    let mut text = "data: ".to_owned();
    text.extend(std::iter::repeat_n('x', 16 << 20));
    text.push_str("\n\n");
    let error = text.parse::<Event<'_>>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the first event in the text is too large"
    );
}

#[test]
fn trailing_event_over_the_limit_is_an_error_and_then_the_end() {
    let mut reader = Reader::new(&b"event:1234"[..])
        .with_max_event_size(3)
        .with_trailing_event(true);
    let error = reader.read_event().unwrap_err();
    assert_eq!(error.to_string(), "event exceeds the limit of 3 bytes");
    assert_eq!(reader.read_event().unwrap(), None);
    assert_eq!(reader.read_event().unwrap(), None);
}

#[test]
fn raising_the_limit_does_not_bring_back_what_is_being_skipped() {
    let mut parser = Parser::new().with_max_event_size(3);
    assert!(parser.parse(&mut &b"data: abcdefgh\n"[..]).is_err());
    let mut parser = parser.with_max_event_size(usize::MAX);
    let mut rest = &b"data: rest\ndata: x\n\ndata: next\n\n"[..];
    assert_eq!(parser.parse(&mut rest).unwrap().unwrap().data, "next");
}

//! What is sent is what is read: every event is refused as a whole or comes back as it was.

use crate::util;

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, BufReader, ErrorKind, Write};
use std::str::FromStr;
use std::time::Duration;

use quickcheck::{Arbitrary, Gen, QuickCheck, Testable};
use sse_io::{
    Emitter, Event, Extensions, InvalidField, Item, ParseEventError, Reader, ResponseHead, Writer,
};
use util::writers::Record;

/// The longest reconnection time that can be sent.
const LONGEST: Duration = Duration::from_millis(u64::MAX);

fn check(cases: u64, property: impl Testable) {
    QuickCheck::new()
        .tests(cases)
        .max_tests(cases)
        .quickcheck(property);
}

/// A text that is likely to hold what the format is made of.
#[derive(Clone, Debug)]
struct Text(String);

/// A text that is mostly good for a name or an id.
#[derive(Clone, Debug)]
struct Line(String);

const PLAIN: [&str; 14] = [
    ":",
    " ",
    "\t",
    "a",
    "data",
    "event",
    "id",
    "retry",
    "\u{feff}",
    "é",
    "€",
    "\u{1F980}",
    "\u{85}\u{2028}",
    "\u{1}\u{7f}",
];
const HAZARDS: [&str; 6] = ["\r", "\n", "\r\n", "\0", "\n\n", "\r\r"];

fn text(g: &mut Gen, hazard_in: usize) -> String {
    let length = *g.choose(&[0, 0, 1, 1, 2, 3, 4, 6, 9, 20]).unwrap();
    let mut text = String::new();
    for _ in 0..length {
        if usize::arbitrary(g) % hazard_in == 0 {
            text.push_str(g.choose(&HAZARDS).unwrap());
        } else if bool::arbitrary(g) {
            text.push_str(g.choose(&PLAIN).unwrap());
        } else {
            text.push(char::arbitrary(g));
        }
    }
    text
}

impl Arbitrary for Text {
    fn arbitrary(g: &mut Gen) -> Self {
        Text(text(g, 3))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().map(Text))
    }
}

impl Arbitrary for Line {
    fn arbitrary(g: &mut Gen) -> Self {
        Line(text(g, 30))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().map(Line))
    }
}

/// Any event, most of which can be sent.
#[derive(Clone, Debug)]
struct AnyEvent(Event<'static>);

impl Arbitrary for AnyEvent {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut event = Event::new(Text::arbitrary(g).0);
        if bool::arbitrary(g) {
            event = event.with_name(Line::arbitrary(g).0);
        }
        if bool::arbitrary(g) {
            event = event.with_id(Line::arbitrary(g).0);
        }
        if bool::arbitrary(g) {
            let seconds = *g
                .choose(&[0, 0, 1, 3, 1 << 40, LONGEST.as_secs(), u64::MAX])
                .unwrap();
            let nanos = *g
                .choose(&[
                    0,
                    1,
                    999_999,
                    1_000_000,
                    1_000_001,
                    615_000_000,
                    999_999_999,
                ])
                .unwrap();
            event = event.with_retry(Duration::new(seconds, nanos));
        }
        if u8::arbitrary(g) % 4 == 0 {
            for _ in 0..u8::arbitrary(g) % 3 + 1 {
                let name = match u8::arbitrary(g) % 4 {
                    0 => Line::arbitrary(g).0,
                    _ => (*g.choose(&["x", "Data", "data ", " id", "é", "\0"]).unwrap()).into(),
                };
                event = event.with_extension(name, Line::arbitrary(g).0);
            }
        }
        AnyEvent(event)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let event = self.0.clone();
        let mut less = Vec::new();
        for part in 0..4 {
            let mut one = event.clone();
            match part {
                0 => one.name = None,
                1 => one.id = None,
                2 => one.retry = None,
                _ => one.extensions.clear(),
            }
            if one != event {
                less.push(one);
            }
        }
        let data = event.data.clone().into_owned();
        let shorter = data.shrink().map(move |data| Event {
            data: data.into(),
            ..event.clone()
        });
        Box::new(less.into_iter().chain(shorter).map(AnyEvent))
    }
}

/// Whether the format can carry it, told the long way round.
fn sendable(event: &Event<'_>) -> bool {
    let line = |text: &str| !text.contains(['\r', '\n']);
    event.name.as_deref().is_none_or(line)
        && event
            .id
            .as_deref()
            .is_none_or(|id| line(id) && !id.contains('\0'))
        && event.retry.is_none_or(|retry| retry <= LONGEST)
        && event.extensions.iter().all(|(name, value)| {
            line(name)
                && line(value)
                && !name.is_empty()
                && !name.contains(':')
                && !name.starts_with('\u{feff}')
                && !["event", "data", "id", "retry"].contains(&name)
        })
}

fn with_lf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// How an event reads at the other end.
fn received(event: &Event<'_>) -> Event<'static> {
    let event = event.clone().into_owned();
    Event {
        name: event.name.filter(|name| !name.is_empty()),
        retry: event.retry.map(|retry| {
            let millis = retry.as_nanos().div_ceil(1_000_000);
            Duration::from_millis(u64::try_from(millis).unwrap())
        }),
        data: with_lf(&event.data).into(),
        ..event
    }
}

/// All that is in a stream, read whole and in small pieces.
fn read(wire: &[u8]) -> Vec<Event<'static>> {
    let whole: Vec<_> = Reader::new(wire).events().map(Result::unwrap).collect();
    for capacity in [1, 7] {
        let mut reader = Reader::new(BufReader::with_capacity(capacity, wire));
        let torn: Vec<_> = reader.events().map(Result::unwrap).collect();
        assert_eq!(torn, whole);
        assert!(!reader.is_truncated());
    }
    whole
}

/// The two outcomes there may be.
#[track_caller]
fn assert_refused_or_same(event: &Event<'_>, sent: io::Result<usize>, wire: &[u8]) {
    match sent {
        Ok(length) => {
            assert!(sendable(event), "{event:?}");
            assert_eq!(length, wire.len());
            assert_eq!(read(wire), [received(event)]);
        }
        Err(error) => {
            assert!(!sendable(event), "{event:?}");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.get_ref().unwrap().is::<InvalidField>());
            assert!(wire.is_empty());
        }
    }
}

/// The text in pieces that end anywhere, in the middle of a character or of a CRLF too.
fn pieces<'t>(text: &'t str, cuts: &[u8]) -> Vec<&'t [u8]> {
    let mut rest = text.as_bytes();
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, more) = rest.split_at(usize::from(*cut) % (rest.len() + 1));
        pieces.push(piece);
        rest = more;
    }
    pieces.push(rest);
    pieces
}

#[test]
fn encode_is_refused_or_reads_back() {
    fn property(event: AnyEvent) {
        let mut out = Vec::new();
        let sent = event.0.encode(&mut out).map_err(io::Error::from);
        assert_refused_or_same(&event.0, sent, &out);
    }
    check(30_000, property as fn(AnyEvent));
}

#[test]
fn encode_appends_and_leaves_what_was_there() {
    fn property(event: AnyEvent, before: Vec<u8>) {
        let mut alone = Vec::new();
        let mut out = before.clone();
        let result = event.0.encode(&mut alone);
        assert_eq!(event.0.encode(&mut out), result);
        assert_eq!(out, [before, alone].concat());
    }
    check(5_000, property as fn(AnyEvent, Vec<u8>));
}

#[test]
fn write_event_is_refused_or_reads_back() {
    fn property(event: AnyEvent) {
        let mut writer = Writer::new(Vec::new());
        let sent = writer.write_event(&event.0);
        assert_refused_or_same(&event.0, sent, &writer.into_inner());
    }
    check(20_000, property as fn(AnyEvent));
}

#[test]
fn write_event_with_in_any_pieces_reads_back() {
    fn property(event: AnyEvent, more: Text, cuts: Vec<u8>) {
        let mut writer = Writer::new(Vec::new());
        let sent = writer.write_event_with(&event.0, |data| {
            for piece in pieces(&more.0, &cuts) {
                data.write_all(piece)?;
            }
            Ok(())
        });
        let whole = Event {
            data: format!("{}{}", event.0.data, more.0).into(),
            ..event.0
        };
        assert_refused_or_same(&whole, sent, &writer.into_inner());
    }
    check(30_000, property as fn(AnyEvent, Text, Vec<u8>));
}

#[test]
fn a_text_cut_at_every_point_reads_the_same() {
    fn property(text: Text) {
        let bytes = text.0.as_bytes();
        let mut whole = Vec::new();
        Event::new(&*text.0).encode(&mut whole).unwrap();
        for at in 0..=bytes.len() {
            let mut writer = Writer::new(Vec::new());
            writer
                .write_event_with(&Event::default(), |data| {
                    data.write_all(&bytes[..at])?;
                    data.write_all(&bytes[at..])
                })
                .unwrap();
            assert_eq!(*writer.get_ref(), whole);
        }
        let mut writer = Writer::new(Vec::new());
        writer
            .write_event_with(&Event::default(), |data| {
                bytes.chunks(1).try_for_each(|byte| data.write_all(byte))
            })
            .unwrap();
        assert_eq!(writer.into_inner(), whole);
    }
    check(3_000, property as fn(Text));
}

#[test]
fn emit_is_refused_or_reads_back() {
    fn property(event: AnyEvent) {
        let mut wire = Vec::new();
        let sent = Emitter::new(&mut wire).emit(&event.0);
        assert_refused_or_same(&event.0, sent, &wire);
    }
    check(10_000, property as fn(AnyEvent));
}

#[test]
fn emit_with_is_refused_or_reads_back() {
    fn property(event: AnyEvent, more: Text, cuts: Vec<u8>) {
        let mut wire = Vec::new();
        let sent = Emitter::new(&mut wire).emit_with(&event.0, |data| {
            pieces(&more.0, &cuts)
                .into_iter()
                .try_for_each(|piece| data.write_all(piece))
        });
        let whole = Event {
            data: format!("{}{}", event.0.data, more.0).into(),
            ..event.0
        };
        assert_refused_or_same(&whole, sent, &wire);
    }
    check(10_000, property as fn(AnyEvent, Text, Vec<u8>));
}

#[test]
fn a_comment_reads_back_line_by_line_and_is_never_an_event() {
    fn property(text: Text) {
        let mut by_writer = Writer::new(Vec::new());
        let length = by_writer.write_comment(&text.0).unwrap();
        let wire = by_writer.into_inner();
        assert_eq!(length, wire.len());

        let mut by_emitter = Vec::new();
        assert_eq!(
            Emitter::new(&mut by_emitter).comment(&text.0).unwrap(),
            length
        );
        assert_eq!(by_emitter, wire);

        let mut reader = Reader::new(&wire[..]);
        for line in with_lf(&text.0).split('\n') {
            assert_eq!(
                reader.read_item().unwrap(),
                Some(Item::Comment(line.into()))
            );
        }
        assert_eq!(reader.read_item().unwrap(), None);
        assert_eq!(read(&wire), []);
    }
    check(20_000, property as fn(Text));
}

#[test]
fn a_stream_of_many_frames_reads_back_in_order() {
    fn property(events: Vec<AnyEvent>, comment: Text) {
        let mut writer = Writer::new(Vec::new());
        let mut wanted = Vec::new();
        let mut last_event_id = String::new();
        for AnyEvent(event) in &events {
            writer.write_comment(&comment.0).unwrap();
            if writer.write_event(event).is_ok() {
                wanted.push(received(event));
                if let Some(id) = &event.id {
                    last_event_id = id.to_string();
                }
            }
        }
        let wire = writer.into_inner();
        assert_eq!(read(&wire), wanted);
        let mut reader = Reader::new(&wire[..]);
        assert_eq!(reader.events().count(), wanted.len());
        assert_eq!(reader.last_event_id(), last_event_id);
    }
    check(1_000, property as fn(Vec<AnyEvent>, Text));
}

#[test]
fn a_retry_of_its_own_reads_back_rounded_up() {
    fn property(seconds: u32, nanos: u32) {
        let retry = Duration::new(seconds.into(), nanos % 1_000_000_000);
        let mut writer = Writer::new(Vec::new());
        writer.write_retry(retry).unwrap();
        let wire = writer.into_inner();
        let mut reader = Reader::new(&wire[..]);
        assert_eq!(reader.read_event().unwrap(), None);
        let read = reader.retry().unwrap();
        assert!(read >= retry && read < retry + Duration::from_millis(1));
        assert_eq!(read.subsec_nanos() % 1_000_000, 0);
    }
    check(5_000, property as fn(u32, u32));
}

/// What cannot be sent: the event, the field, the byte and where, and how the refusal reads.
type Refusal = (
    Event<'static>,
    &'static str,
    Option<(u8, usize)>,
    &'static str,
);

fn refusals() -> Vec<Refusal> {
    let event = || Event::new("x");
    let extension = |name: &'static str, value: &'static str| event().with_extension(name, value);
    vec![
        (
            event().with_name("a\rdata: evil"),
            "event name",
            Some((b'\r', 1)),
            "carriage return at byte 1 of the event name",
        ),
        (
            event().with_name("\n"),
            "event name",
            Some((b'\n', 0)),
            "line feed at byte 0 of the event name",
        ),
        (
            event().with_name("é\r\n\r\n"),
            "event name",
            Some((b'\r', 2)),
            "carriage return at byte 2 of the event name",
        ),
        (
            event().with_id("7\n"),
            "id",
            Some((b'\n', 1)),
            "line feed at byte 1 of the id",
        ),
        (
            event().with_id("\r\ndata: evil"),
            "id",
            Some((b'\r', 0)),
            "carriage return at byte 0 of the id",
        ),
        (
            event().with_id("12\0"),
            "id",
            Some((0, 2)),
            "null at byte 2 of the id",
        ),
        (
            extension("a\nb", "v"),
            "extension name",
            Some((b'\n', 1)),
            "line feed at byte 1 of the extension name",
        ),
        (
            extension("a\r", "v"),
            "extension name",
            Some((b'\r', 1)),
            "carriage return at byte 1 of the extension name",
        ),
        (
            extension("a: b", "v"),
            "extension name",
            Some((b':', 1)),
            "colon at byte 1 of the extension name",
        ),
        (
            extension(":", "v"),
            "extension name",
            Some((b':', 0)),
            "colon at byte 0 of the extension name",
        ),
        (
            extension("", "v"),
            "extension name",
            None,
            "the extension name is empty",
        ),
        (
            extension("data", "v"),
            "extension name",
            None,
            "the extension name is a field of the standard",
        ),
        (
            extension("event", "v"),
            "extension name",
            None,
            "the extension name is a field of the standard",
        ),
        (
            extension("id", "v"),
            "extension name",
            None,
            "the extension name is a field of the standard",
        ),
        (
            extension("retry", "v"),
            "extension name",
            None,
            "the extension name is a field of the standard",
        ),
        (
            extension("\u{feff}data", "v"),
            "extension name",
            None,
            "the extension name starts with a byte order mark",
        ),
        (
            extension("\u{feff}", "v"),
            "extension name",
            None,
            "the extension name starts with a byte order mark",
        ),
        (
            extension("x", "v\n"),
            "extension value",
            Some((b'\n', 1)),
            "line feed at byte 1 of the extension value",
        ),
        (
            extension("x", "v\r\nw"),
            "extension value",
            Some((b'\r', 1)),
            "carriage return at byte 1 of the extension value",
        ),
        (
            extension("x", "fine").with_extension("y", "\r"),
            "extension value",
            Some((b'\r', 0)),
            "carriage return at byte 0 of the extension value",
        ),
        (
            event().with_retry(LONGEST + Duration::from_nanos(1)),
            "retry",
            None,
            "the retry exceeds 18446744073709551615 milliseconds",
        ),
        (
            event().with_retry(Duration::MAX),
            "retry",
            None,
            "the retry exceeds 18446744073709551615 milliseconds",
        ),
    ]
}

#[track_caller]
fn assert_refusal(error: &InvalidField, (event, field, byte, message): &Refusal) {
    assert_eq!(error.field(), *field, "{event:?}");
    assert_eq!(error.byte(), byte.map(|(byte, _)| byte), "{event:?}");
    assert_eq!(error.position(), byte.map(|(_, at)| at), "{event:?}");
    assert_eq!(error.to_string(), *message, "{event:?}");
    assert!(error.source().is_none());
}

#[track_caller]
fn assert_io_refusal(result: io::Result<usize>, refusal: &Refusal) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), refusal.3);
    let payload = error.get_ref().unwrap().downcast_ref();
    assert_refusal(payload.expect("an InvalidField"), refusal);
}

#[test]
fn what_cannot_be_sent_is_refused_with_nothing_written() {
    for refusal in &refusals() {
        let event = &refusal.0;

        let mut out = b"kept".to_vec();
        let error = event.encode(&mut out).unwrap_err();
        assert_refusal(&error, refusal);
        assert_eq!(out, b"kept");

        let record = Record::new();
        let mut writer = Writer::new(record.writer());
        assert_io_refusal(writer.write_event(event), refusal);
        assert_io_refusal(writer.write_event_with(event, |_| Ok(())), refusal);
        let emitter = Emitter::new(writer.get_mut());
        assert_io_refusal(emitter.emit(event), refusal);
        assert_io_refusal(emitter.emit_with(event, |_| Ok(())), refusal);
        assert!(!emitter.is_closed());
        drop(emitter);
        assert_eq!(record.bytes(), b"");

        let record = Record::new();
        let emitter = ResponseHead::new().start(record.writer()).unwrap();
        let head = record.whats();
        assert_io_refusal(emitter.emit(event), refusal);
        assert_io_refusal(emitter.emit_with(event, |_| Ok(())), refusal);
        assert_eq!(record.whats(), head);
    }
}

#[test]
fn what_is_no_hazard_is_sent_as_it_is() {
    let event = Event::new("a\0:\u{feff}")
        .with_name("\u{feff}:a\0 b: c ")
        .with_id(" :\u{feff}\u{85}")
        .with_retry(LONGEST)
        .with_extension("Data", "\0: ")
        .with_extension("data ", "")
        .with_extension(" id", " x")
        .with_extension("\0", ":")
        .with_extension("a\u{feff}", "\u{2028}");
    let mut wire = Vec::new();
    event.encode(&mut wire).unwrap();
    assert_eq!(read(&wire), [event]);
}

#[test]
fn comments_and_data_cannot_start_a_field_of_their_own() {
    for line_break in ["\r", "\n", "\r\n", "\n\n", "\r\r", "\r\n\r\n"] {
        let text = format!("a{line_break}event: evil{line_break}id: 6{line_break}data: 6");
        let mut writer = Writer::new(Vec::new());
        writer.write_comment(&text).unwrap();
        writer.write_event(&Event::new(&text)).unwrap();
        let wire = writer.into_inner();
        assert_eq!(read(&wire), [Event::new(with_lf(&text))]);
        let mut reader = Reader::new(&wire[..]);
        while reader.read_event().unwrap().is_some() {}
        assert_eq!(reader.last_event_id(), "");
    }
}

#[test]
fn the_wire_form_is_exact() {
    let millis = Duration::from_millis;
    let rows = [
        (Event::default(), "data:\n\n"),
        (Event::new("x"), "data: x\n\n"),
        (Event::new(" x"), "data:  x\n\n"),
        (Event::new(":x"), "data: :x\n\n"),
        (Event::new("\tx"), "data: \tx\n\n"),
        (Event::new("a\nb"), "data: a\ndata: b\n\n"),
        (Event::new("a\rb"), "data: a\ndata: b\n\n"),
        (Event::new("a\r\nb"), "data: a\ndata: b\n\n"),
        (Event::new("a\n\rb"), "data: a\ndata:\ndata: b\n\n"),
        (Event::new("a\n\nb"), "data: a\ndata:\ndata: b\n\n"),
        (Event::new("a\n"), "data: a\ndata:\n\n"),
        (Event::new("a\r"), "data: a\ndata:\n\n"),
        (Event::new("a\r\n"), "data: a\ndata:\n\n"),
        (Event::new("\n"), "data:\ndata:\n\n"),
        (Event::new("\r\n\r\n"), "data:\ndata:\ndata:\n\n"),
        (Event::new("\na"), "data:\ndata: a\n\n"),
        (Event::new("").with_name("n"), "event: n\ndata:\n\n"),
        (Event::new("x").with_name(""), "event:\ndata: x\n\n"),
        (Event::new("x").with_name(" n"), "event:  n\ndata: x\n\n"),
        (Event::new("x").with_id("1"), "id: 1\ndata: x\n\n"),
        (Event::new("x").with_id(""), "id:\ndata: x\n\n"),
        (
            Event::new("x").with_retry(millis(0)),
            "retry: 0\ndata: x\n\n",
        ),
        (
            Event::new("x").with_retry(Duration::from_nanos(1)),
            "retry: 1\ndata: x\n\n",
        ),
        (
            Event::new("x").with_retry(Duration::from_nanos(1_000_001)),
            "retry: 2\ndata: x\n\n",
        ),
        (
            Event::new("x").with_retry(millis(1_203_004_050)),
            "retry: 1203004050\ndata: x\n\n",
        ),
        (
            Event::new("x").with_retry(LONGEST),
            "retry: 18446744073709551615\ndata: x\n\n",
        ),
        (Event::new("x").with_extension("k", ""), "k:\ndata: x\n\n"),
        (
            Event::new("x\ny")
                .with_extension("b", "2")
                .with_extension("a", " 1")
                .with_extension("b", "3")
                .with_retry(millis(10))
                .with_id("7")
                .with_name("n"),
            "event: n\nid: 7\nretry: 10\nb: 2\na:  1\nb: 3\ndata: x\ndata: y\n\n",
        ),
    ];
    for (event, wire) in rows {
        let mut out = Vec::new();
        assert_eq!(event.encode(&mut out), Ok(wire.len()), "{event:?}");
        assert_eq!(String::from_utf8(out).unwrap(), wire);
    }
}

#[test]
fn the_wire_form_of_a_comment_is_exact() {
    let rows = [
        ("", ":\n\n"),
        ("x", ": x\n\n"),
        (" x", ":  x\n\n"),
        (":", ": :\n\n"),
        ("a\nb\rc\r\nd", ": a\n: b\n: c\n: d\n\n"),
        ("a\n", ": a\n:\n\n"),
        ("\n\n", ":\n:\n:\n\n"),
    ];
    for (text, wire) in rows {
        let mut writer = Writer::new(Vec::new());
        assert_eq!(writer.write_comment(text).unwrap(), wire.len());
        assert_eq!(String::from_utf8(writer.into_inner()).unwrap(), wire);
    }
}

#[test]
fn the_first_complete_event_of_a_text_is_parsed() {
    let rows = [
        ("data: x\n\n", Event::new("x")),
        ("\u{feff}data: x\r\r", Event::new("x")),
        (
            ": c\n\nid: 9\n\nevent: e\n\ndata: x\n\ndata: y\n\n",
            Event::new("x"),
        ),
        ("data: x\r\n\r\ndata: y", Event::new("x")),
        (
            "event: n\nid\ndata\n\n",
            Event::new("").with_name("n").with_id(""),
        ),
        (
            "x: 1\ndata: x\n\n",
            Event::new("x").with_extension("x", "1"),
        ),
    ];
    for (text, event) in rows {
        assert_eq!(Event::from_str(text), Ok(event), "{text:?}");
    }
}

#[test]
fn a_text_without_a_complete_event_is_an_error() {
    for text in [
        "",
        "\n\n",
        "data: x",
        "data: x\n",
        ": c\n\n",
        "id: 7\n\n",
        "x",
    ] {
        let error: ParseEventError = text.parse::<Event<'_>>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "no complete event in the text",
            "{text:?}"
        );
        assert!(error.source().is_none());
    }
}

#[test]
fn a_text_with_too_large_an_event_is_an_error_with_a_source() {
    let text = format!("data: {}\n\n", "x".repeat(16 << 20));
    let error = text.parse::<Event<'_>>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the first event in the text is too large"
    );
    let source = error.source().unwrap();
    assert_eq!(
        source.to_string(),
        "event exceeds the limit of 16777216 bytes"
    );
    assert!(source.is::<sse_io::EventTooLarge>());
}

#[test]
fn into_owned_is_the_same_event_without_a_borrow() {
    let owned = {
        let text = String::from("name id data key value");
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap();
        let event = Event::default()
            .with_name(word())
            .with_id(word())
            .with_retry(Duration::from_millis(7));
        let event = Event {
            data: word().into(),
            ..event
        }
        .with_extension(word(), word());
        let owned = event.clone().into_owned();
        assert_eq!(owned, event);
        owned
    };
    assert!(matches!(owned.name, Some(Cow::Owned(_))));
    assert!(matches!(owned.data, Cow::Owned(_)));
    assert_eq!(
        owned,
        Event::new("data")
            .with_name("name")
            .with_id("id")
            .with_retry(Duration::from_millis(7))
            .with_extension("key", "value")
    );
}

#[test]
fn the_event_type_is_the_name_or_message() {
    assert_eq!(Event::default().event_type(), "message");
    assert_eq!(Event::new("x").with_name("").event_type(), "message");
    assert_eq!(Event::new("x").with_name("tick").event_type(), "tick");
    assert_eq!(Event::new("x").with_name(" ").event_type(), " ");
}

#[test]
fn setters_replace_and_extensions_add_up() {
    let event = Event::new("x")
        .with_name("a")
        .with_name("b")
        .with_id("1")
        .with_id("2")
        .with_retry(Duration::from_secs(1))
        .with_retry(Duration::from_secs(2))
        .with_extension("k", "1")
        .with_extension("k", "2");
    assert_eq!(event.name.as_deref(), Some("b"));
    assert_eq!(event.id.as_deref(), Some("2"));
    assert_eq!(event.retry, Some(Duration::from_secs(2)));
    assert_eq!(event.extensions.len(), 2);
}

#[test]
fn extensions_are_a_list_in_order() {
    let fields = [("b", "1"), ("a", ""), ("b", "2")];
    let mut extensions: Extensions = fields.into_iter().collect();
    assert!(extensions.iter().eq(fields));
    assert_eq!((extensions.len(), extensions.is_empty()), (3, false));
    assert_eq!(
        (extensions.get("b"), extensions.get("a")),
        (Some("1"), Some(""))
    );
    assert_eq!(
        format!("{extensions:?}"),
        r#"[("b", "1"), ("a", ""), ("b", "2")]"#
    );
    // The same text, parted elsewhere.
    let others = [[("b1", "")], [("b", "1")]].map(|fields| fields.into_iter().collect());
    let [one, other]: [Extensions; 2] = others;
    assert_ne!(one, other);
    extensions.clear();
    assert_eq!((extensions.len(), extensions.is_empty()), (0, true));
    assert_eq!(extensions, Extensions::default());
    assert_eq!(extensions.iter().next(), None);
}

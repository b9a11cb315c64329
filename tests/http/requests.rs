//! What a handler asks of a request: the last event ID, and whether an event stream is acceptable.

use crate::util;

use std::borrow::Cow;

use sse_io::http::{accepts_event_stream, last_event_id};
use util::Rng;

const NO_HEADER: Option<&str> = None;

fn from_header(value: &[u8]) -> Option<String> {
    last_event_id(Some(value), "/events").map(Cow::into_owned)
}

fn from_target(target: &str) -> Option<String> {
    last_event_id(NO_HEADER, target).map(Cow::into_owned)
}

#[test]
fn the_header_is_taken_as_it_is() {
    for id in [
        "7",
        "a b",
        " a",
        "%41+",
        "é",
        "日本",
        "\u{1f}\t\u{7f}",
        "\u{feff}",
    ] {
        assert_eq!(from_header(id.as_bytes()).as_deref(), Some(id));
    }
}

#[test]
fn the_header_may_come_as_text_bytes_or_a_type_of_its_own() {
    #[derive(Debug)]
    struct HeaderValue(Vec<u8>);
    impl AsRef<[u8]> for HeaderValue {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let value = HeaderValue("é".into());
    assert_eq!(last_event_id(Some(&value), "/").as_deref(), Some("é"));
    assert_eq!(last_event_id(Some("é"), "/").as_deref(), Some("é"));
    assert_eq!(
        last_event_id(Some("é".as_bytes()), "/").as_deref(),
        Some("é")
    );
    let latin1: Vec<u8> = "Ã©".chars().map(|c| c as u8).collect();
    assert_eq!(last_event_id(Some(&latin1), "/").as_deref(), Some("é"));
}

#[test]
fn an_id_that_no_event_can_have_is_none() {
    for id in [
        &b""[..],
        b"a\rb",
        b"a\nb",
        b"a\r\ndata: evil",
        b"\0",
        b"a\0b",
        b"\xff",
        b"\xe9t\xe9",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xc0\x80",
    ] {
        assert_eq!(from_header(id), None, "{:?}", id.escape_ascii().to_string());
        let encoded: String = id.iter().map(|b| format!("%{b:02x}")).collect();
        assert_eq!(from_target(&format!("/?lastEventId={encoded}")), None);
    }
}

#[test]
fn an_id_has_at_most_4_kib() {
    let long = "é".repeat(2048);
    assert_eq!(from_header(long.as_bytes()), Some(long.clone()));
    assert_eq!(from_header(format!("{long}x").as_bytes()), None);
    // The limit is for what is decoded.
    let encoded = "%C3%A9".repeat(2048);
    assert_eq!(from_target(&format!("/?lastEventId={encoded}")), Some(long));
    assert_eq!(from_target(&format!("/?lastEventId={encoded}x")), None);
}

#[test]
fn the_parameter_is_decoded() {
    for (target, id) in [
        ("/events?lastEventId=7", "7"),
        ("/events?topic=news&lastEventId=7&x", "7"),
        ("http://example.org/events?lastEventId=7", "7"),
        ("?lastEventId=7", "7"),
        ("/?lastEventId=a+b%20c%2B%2b", "a b c++"),
        ("/?lastEventId=%E6%97%A5%e6%9c%ac", "日本"),
        ("/?lastEventId=日本", "日本"),
        ("/?last%45vent%49d=7", "7"),
        ("/?lastEventId=a=b?c/d", "a=b?c/d"),
        // What is no escape stays.
        ("/?lastEventId=100%", "100%"),
        ("/?lastEventId=%4", "%4"),
        ("/?lastEventId=%zz%4z%z4%%41", "%zz%4z%z4%A"),
        ("/?lastEventId=%1g%g1%1G", "%1g%g1%1G"),
        ("/?lastEventId=%+1", "% 1"),
        ("/?lastEventId=%2541", "%41"),
        // The first one counts.
        ("/?lastEventId=1&lastEventId=2", "1"),
    ] {
        assert_eq!(from_target(target).as_deref(), Some(id), "{target}");
    }
}

#[test]
fn a_target_without_the_parameter_has_no_id() {
    for target in [
        "",
        "*",
        "/events",
        "/lastEventId=7",
        "/events?",
        "/events?lastEventId",
        "/events?lastEventId=",
        "/events?lastEventId=&lastEventId=2",
        "/events?lasteventid=7",
        "/events?xlastEventId=7&lastEventIdx=7",
        "/events?x=lastEventId=7",
    ] {
        assert_eq!(from_target(target), None, "{target}");
    }
}

#[test]
fn a_header_decides_before_the_parameter_unless_it_is_empty() {
    let target = "/events?lastEventId=2";
    assert_eq!(last_event_id(Some("1"), target).as_deref(), Some("1"));
    assert_eq!(last_event_id(Some("a\nb"), target), None);
    assert_eq!(last_event_id(Some(""), target).as_deref(), Some("2"));
}

#[test]
fn nothing_is_copied_that_needs_no_decoding() {
    let borrowed = |id| matches!(id, Some(Cow::Borrowed(_)));
    assert!(borrowed(last_event_id(Some("a+b%20"), "/")));
    assert!(borrowed(last_event_id(NO_HEADER, "/?x=%20&lastEventId=7")));
}

/// Whatever comes, what is taken can be the id of an event.
#[test]
fn no_request_gives_an_id_that_cannot_be_sent() {
    let mut random = Rng(3);
    let alphabet = [
        "%", "+", "0", "d", "A", "a", "%0", "%0d", "%0A", "%00", "é", "&", "=",
    ];
    for _ in 0..20_000 {
        let text: String = (0..random.below(12))
            .map(|_| alphabet[random.below(alphabet.len())])
            .collect();
        if let Some(id) = from_target(&format!("/?lastEventId={text}")) {
            let event = sse_io::Event::new("").with_id(id);
            event
                .encode(&mut Vec::new())
                .expect("an id that can be sent");
        }
    }
}

#[test]
fn an_event_stream_is_accepted_where_a_range_has_it() {
    for accept in [
        None,
        Some(""),
        Some("  "),
        Some("text/event-stream"),
        Some("TEXT/Event-Stream"),
        Some("text/*"),
        Some("Text/*"),
        Some("*/*"),
        Some(" */* ; q=0.1 "),
        Some("text/event-stream;charset=utf-8"),
        Some("text/event-stream ; q=1.0"),
        Some("text/html,application/xml;q=0.9,*/*;q=0.8"),
        Some("application/json, text/event-stream"),
        Some("text/event-stream;q=0.001"),
        Some(",,text/event-stream,"),
        // What is no weight excludes nothing.
        Some("text/event-stream;q=none"),
        Some("text/event-stream;q"),
        Some("text/event-stream;quality=0"),
        // The more a range says, the more it weighs.
        Some("*/*;q=0, text/*"),
        Some("text/event-stream, text/*;q=0, */*;q=0"),
    ] {
        assert!(accepts_event_stream(accept), "{accept:?}");
    }
}

#[test]
fn an_event_stream_is_not_accepted_otherwise() {
    for accept in [
        "application/json",
        "text/html, application/json",
        "text/event-streams",
        "text/event",
        "event-stream",
        "*",
        "*/event-stream",
        "nonsense",
        ",",
        "text/event-stream;q=0",
        "text/event-stream;Q=0.000",
        "text/event-stream; charset=utf-8; q=0",
        "*/*;q=0",
        "text/*, text/event-stream;q=0",
        "text/event-stream;q=0, */*",
        "text/*;q=0, */*",
    ] {
        assert!(!accepts_event_stream(Some(accept)), "{accept:?}");
    }
}

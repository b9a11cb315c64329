//! The target `head`: response heads, and every header and request target that the crate reads.
//!
//! The first line of an input chooses; the rest is the text, for a head as `name|value` pairs.

use std::io::ErrorKind;

use sse_io::ResponseHead;
use sse_io::http::{accepts_event_stream, is_event_stream, last_event_id, retry_after};

use crate::plan::Plan;

/// A head that is sent, or headers that are read.
pub fn head(input: &[u8]) {
    let (mut plan, bytes) = Plan::of(input);
    let text = String::from_utf8_lossy(bytes);
    match plan.option() % 4 {
        0 => sends(&mut plan, &text),
        1 => reads_last_event_id(bytes, &text),
        2 => reads_types(bytes, &text),
        _ => reads_accept(&text),
    }
}

/// What is sent is a head with these headers and no others, or nothing.
fn sends(plan: &mut Plan<'_>, text: &str) {
    let (version, way) = (plan.option() % 3, plan.option());
    let version = [(1, 1), (1, 0), (2, 0)][usize::from(version)];
    let mut head = ResponseHead::for_version(version.0, version.1);
    let pairs: Vec<(&str, &str)> = text
        .split("||")
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('|').unwrap_or((pair, "")))
        .collect();
    for (name, value) in &pairs {
        head = head.with_header(*name, *value);
    }
    // The last of the same name counts.
    let mut kept: Vec<(&str, &str)> = Vec::new();
    for &(name, value) in &pairs {
        kept.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        kept.push((name, value));
    }
    let mut sent = Vec::new();
    let result = match way % 3 {
        0 => head.respond_to_head(&mut sent),
        1 => head.refuse(100 + 3 * u16::from(way), &mut sent),
        _ => head.start(&mut sent).map(drop),
    };
    let status = 100 + 3 * u16::from(way);
    let good_status = way % 3 != 1 || (200..600).contains(&status);
    let closes = version >= (1, 1)
        || kept.iter().all(|(name, value)| {
            !name.eq_ignore_ascii_case("connection")
                || value
                    .split(',')
                    .any(|option| option.trim().eq_ignore_ascii_case("close"))
        });
    let good = good_status && closes && kept.iter().all(|(name, value)| can_be_sent(name, value));
    match result {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(sent.is_empty(), "half a head");
            assert!(!good, "{kept:?}: {error}");
        }
        Ok(()) => {
            assert!(good, "{kept:?}");
            is_a_head(&sent, &kept, way % 3 == 2);
        }
    }
}

/// RFC 9110, 5.1 and 5.5.
fn can_be_sent(name: &str, value: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let framing = ["content-length", "transfer-encoding"];
    !name.is_empty()
        && name.bytes().all(token)
        && !framing.iter().any(|other| other.eq_ignore_ascii_case(name))
        && !value.contains(['\r', '\n', '\0'])
}

#[track_caller]
fn is_a_head(sent: &[u8], headers: &[(&str, &str)], has_body: bool) {
    let text = std::str::from_utf8(sent).expect("it was text");
    let (head, body) = text.split_once("\r\n\r\n").expect("it ends");
    assert_eq!(body.is_empty(), !has_body);
    let mut lines = head.split("\r\n");
    let status = lines.next().expect("there is a first line");
    assert!(status.starts_with("HTTP/1.1 "), "{status:?}");
    let mut own = 0;
    let mut names: Vec<String> = Vec::new();
    for line in lines {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        let (name, value) = line.split_once(": ").expect("a header");
        own += usize::from(headers.contains(&(name, value)));
        names.push(name.to_ascii_lowercase());
    }
    assert_eq!(own, headers.len(), "{head:?}");
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a header twice: {head:?}");
}

/// The query by the crate that browsers' engines are measured against.
fn reads_last_event_id(bytes: &[u8], text: &str) {
    let takes = |id: &[u8]| {
        let good = !id.is_empty() && id.len() <= 4096 && !id.iter().any(|b| b"\r\n\0".contains(b));
        std::str::from_utf8(id)
            .ok()
            .filter(|_| good)
            .map(str::to_owned)
    };
    let header = last_event_id(Some(bytes), "/");
    assert_eq!(header.as_deref(), takes(bytes).as_deref());

    let query = text.split_once('?').map_or("", |(_, query)| query);
    let found = query
        .split('&')
        .map(|pair| form_urlencoded::parse(pair.as_bytes()).next())
        .find(|pair| pair.as_ref().is_some_and(|(name, _)| name == "lastEventId"));
    let got = last_event_id(None::<&str>, text);
    match found.flatten() {
        None => assert_eq!(got, None),
        // That crate replaces what is not UTF-8; here such an id is none.
        Some((_, value)) if value.contains('\u{fffd}') => {
            assert!(got.is_none() || got.as_deref() == Some(&value));
        }
        Some((_, value)) => assert_eq!(got.as_deref(), takes(value.as_bytes()).as_deref()),
    }
    if !bytes.is_empty() {
        assert_eq!(last_event_id(Some(bytes), "/?lastEventId=9"), header);
    }
}

fn reads_types(bytes: &[u8], text: &str) {
    let named = is_event_stream(bytes);
    let lower = text.to_ascii_lowercase();
    if named {
        assert!(lower.contains("text/event-stream"));
    }
    // Without a comma there is one value, and its parameters mean nothing.
    if !bytes.contains(&b',') {
        let essence = lower.split(';').next().unwrap_or_default();
        let blank = |char: char| char.is_ascii_whitespace();
        assert_eq!(named, essence.trim_matches(blank) == "text/event-stream");
    }
    let seconds = retry_after(bytes).map(|wait| wait.as_secs());
    let digits = text.trim_matches(|char: char| char.is_ascii_whitespace());
    let number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    assert_eq!(seconds, number.then(|| digits.parse().unwrap_or(u64::MAX)));
}

fn reads_accept(text: &str) {
    let accepted = accepts_event_stream(Some(text));
    // A range that decides it is added; what it says holds whatever else is there.
    if !text.to_ascii_lowercase().contains("text/event-stream") {
        let more = |range: &str| accepts_event_stream(Some(&format!("{text},{range}")));
        assert!(more("TEXT/event-stream"));
        assert!(!more("text/event-stream;q=0"));
        assert!(!more("text/event-stream ; Q=0.000"));
        assert!(more("text/event-stream;q=0.001"));
    }
    if accepted && !text.trim().is_empty() {
        assert!(text.contains("*/*") || text.to_ascii_lowercase().contains("text/"));
    }
}

//! The generators give what they say.

use sse_io_bench::streams::{self, Stream};

fn stream(name: &str) -> Stream {
    streams::named(name, 64 << 10).unwrap()
}

fn mean_length(name: &str) -> usize {
    let stream = stream(name);
    stream.bytes.len() / stream.sent.len()
}

#[test]
fn a_stream_is_as_long_as_asked_for_and_ends_with_a_block() {
    for stream in streams::all(64 << 10) {
        assert!(stream.bytes.len() >= 64 << 10, "{}", stream.name);
        assert_eq!(
            stream.ends.last(),
            Some(&stream.bytes.len()),
            "{}",
            stream.name
        );
        assert!(stream.ends.is_sorted(), "{}", stream.name);
        assert!(
            std::str::from_utf8(&stream.bytes).is_ok(),
            "{}",
            stream.name
        );
    }
}

#[test]
fn a_stream_is_the_same_every_time() {
    for name in streams::names() {
        assert_eq!(stream(name).bytes, stream(name).bytes, "{name}");
    }
}

#[test]
fn what_a_reader_has_to_come_to_is_what_was_sent() {
    for stream in streams::all(16 << 10) {
        let data: usize = stream.sent.iter().map(|sent| sent.data.len()).sum();
        assert_eq!(
            stream.tally().events,
            stream.sent.len() as u64,
            "{}",
            stream.name
        );
        assert_eq!(stream.tally().data, data as u64, "{}", stream.name);
    }
}

#[test]
fn events_have_the_lengths_that_they_stand_for() {
    assert!((235..255).contains(&mean_length("openai")));
    assert!((110..130).contains(&mean_length("anthropic")));
    assert!((58..66).contains(&mean_length("id-event")));
    assert_eq!(mean_length("tiny"), 9);
    assert_eq!(mean_length("long-lines"), (64 << 10) + 1);
    assert_eq!(mean_length("1mib-line"), (1 << 20) + "data: \n\n".len());
}

#[test]
fn three_in_a_hundred_tokens_are_not_ascii() {
    let stream = streams::named("openai", 1 << 20).unwrap();
    let other = stream.sent.iter().filter(|sent| !sent.data.is_ascii());
    let share = other.count() as f64 / stream.sent.len() as f64;
    assert!((0.02..0.04).contains(&share), "{share}");
}

#[test]
fn crlf_and_lf_carry_the_same_events() {
    let (lf, crlf) = (stream("openai"), stream("openai-crlf"));
    let ends = crlf.bytes.windows(2).filter(|pair| pair == b"\r\n").count();
    let feeds = crlf.bytes.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(ends, feeds);
    assert!(!lf.bytes.contains(&b'\r'));
    assert_eq!(lf.bytes.len() / 1000, crlf.bytes.len() / 1000);
}

#[test]
fn nineteen_comments_come_before_each_event() {
    let stream = stream("heartbeats");
    let lines = stream.bytes.split(|&byte| byte == b'\n');
    let comments = lines.filter(|line| line.starts_with(b":")).count();
    assert_eq!(comments / stream.sent.len(), 19);
}

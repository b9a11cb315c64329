//! Linear time: how many bytes are looked at and copied.

use super::*;

/// Feeds a stream in chunks and gives how many bytes were scanned and copied.
fn work(stream: &[u8], chunk: usize, comments: bool) -> (usize, usize) {
    let mut parser = Parser::new().with_max_event_size(2 * stream.len());
    let mut found = 0;
    count::take();
    for mut rest in stream.chunks(chunk) {
        loop {
            match parser.step(&mut rest, comments) {
                Step::NeedMore => break,
                Step::Event | Step::Comment => found += 1,
                Step::TooLarge => panic!("the limit is above the event"),
            }
        }
    }
    assert!(found > 0, "the stream holds something");
    count::take()
}

#[test]
fn scanning_and_copying_grow_in_proportion_to_the_event() {
    const MIB: usize = 1 << 20;
    // Name, beginning, what is repeated, whether comments are kept.
    let rows: [(&str, &str, &str, bool); 9] = [
        ("one line", "data: ", "x", false),
        ("one-byte lines", "", "data: x\n", false),
        ("empty data lines", "", "data\r\n", false),
        ("one name", "event: ", "x", false),
        ("one id", "id: ", "x", false),
        ("one extension", "x: ", "x", false),
        ("one comment, passed over", ": ", "x", false),
        ("one comment, kept", ": ", "x", true),
        ("short comments, kept", "", ":\n", true),
    ];
    for (name, beginning, repeated, comments) in rows {
        for chunk in [1, 7, 64, 1460, 64 << 10] {
            let [(scanned, copied), (scanned_twice, copied_twice)] = [MIB, 2 * MIB].map(|size| {
                let body = repeated.repeat(size / repeated.len());
                let stream = format!("{beginning}{body}\ndata: end\n\n");
                work(stream.as_bytes(), chunk, comments)
            });
            let told = format!("{name} in pieces of {chunk}");
            assert!(scanned <= 9 * MIB / 4, "{told}: {scanned} scanned");
            assert!(copied <= 9 * MIB / 4, "{told}: {copied} copied");
            let doubled = |once: usize, twice: usize| twice.abs_diff(2 * once) <= MIB / 16;
            assert!(
                doubled(scanned, scanned_twice),
                "{told}: {scanned}, then {scanned_twice}"
            );
            assert!(
                doubled(copied, copied_twice),
                "{told}: {copied}, then {copied_twice}"
            );
        }
    }
}

#[test]
fn every_byte_is_scanned_once_and_copied_once_or_twice() {
    // In tenths. The end of a line of several pieces is looked for before it is marked.
    let rows = [
        (11, "data: x\n\n".repeat(10_000)),
        (11, "id: 1\ndata: x\n\n".repeat(10_000)),
        (11, "event: a\r\ndata: a\r\ndata: b\r\n\r\n".repeat(10_000)),
        (13, format!("data: {}\n\n", "x".repeat(5_000)).repeat(200)),
        (
            11,
            format!("{}\n", format!("data: {}\n", "x".repeat(1_000)).repeat(64)).repeat(20),
        ),
    ];
    for (scans, stream) in rows {
        for comments in [false, true] {
            for chunk in [100, 1460, 16 << 10, 64 << 10] {
                let (scanned, copied) = work(stream.as_bytes(), chunk, comments);
                let told = format!("{:?} in pieces of {chunk}", &stream[..20]);
                assert!(scanned <= scans * stream.len() / 10, "{told}: {scanned}");
                assert!(copied <= 21 * stream.len() / 10, "{told}: {copied}");
            }
        }
    }
}

#[test]
fn malformed_bytes_are_decoded_in_linear_time() {
    let mut parser = Parser::new();
    let stream = [&b"id: "[..], &vec![0xff; 1 << 18], b"\ndata: x\n\n"].concat();
    count::take();
    let event = parser.parse(&mut &stream[..]).unwrap().unwrap();
    assert_eq!(event.id.unwrap().len(), 3 << 18);
    let (scanned, copied) = count::take();
    assert!(scanned <= 7 << 18, "{scanned}");
    assert!(copied <= 7 << 18, "{copied}");
}

#[test]
fn malformed_bytes_in_short_inputs_are_decoded_in_linear_time() {
    let stream = b"data: a\xff\n\n: \xff\n".repeat(1_000);
    for size in [100, 1_000] {
        let mut parser = Parser::new();
        let mut events = 0;
        count::take();
        for mut input in stream.chunks(size) {
            while parser.step(&mut input, false) == Step::Event {
                events += 1;
            }
        }
        assert_eq!(events, 1_000);
        let (scanned, copied) = count::take();
        assert!(scanned <= 2 * stream.len(), "{scanned}");
        assert!(copied <= 3 * stream.len(), "{copied}");
    }
}

#[test]
fn calls_for_events_and_for_items_in_turns_cost_no_more() {
    let stream = "id: 1\ndata: x\n\n".repeat(1_000);
    let mut parser = Parser::new();
    let mut rest = stream.as_bytes();
    let mut events = 0;
    count::take();
    while parser.step(&mut rest, events % 2 == 0) == Step::Event {
        events += 1;
    }
    assert_eq!(events, 1_000);
    let (scanned, copied) = count::take();
    assert!(scanned <= 11 * stream.len() / 10, "{scanned}");
    assert!(copied <= 11 * stream.len() / 10, "{copied}");
}

/// How much a parser has room for after these inputs.
fn kept_after<'a>(inputs: impl Iterator<Item = &'a [u8]>, comments: bool) -> usize {
    let mut parser = Parser::new();
    for mut input in inputs {
        while parser.step(&mut input, comments) != Step::NeedMore {}
    }
    parser.window.capacity() + parser.interpreter.capacity()
}

#[test]
fn what_a_giant_has_left_in_any_buffer_is_given_back() {
    let giant = "x".repeat(1 << 20);
    for lines in [
        format!("id: {giant}\ndata: x\n\n"),
        format!("id: {giant}\n\n"),
        format!("event: {giant}\ndata: x\n\n"),
        format!("data: {giant}\n\n"),
        format!("{giant}: x\ndata: x\n\n"),
        format!(": {giant}\n\n"),
    ] {
        // An id is in its buffer until the next one is.
        for after in ["id: 1\ndata: x\n\n", "id: 1\ndata: x\n\n:\n\n"] {
            for size in [1_000, 1 << 14] {
                let after = [after.as_bytes(); 3];
                let kept = kept_after(lines.as_bytes().chunks(size).chain(after), true);
                assert!(kept <= 4 * buffer::KEEP, "{}: {kept}", &lines[..8]);
            }
        }
    }
}

#[test]
fn a_heartbeat_gives_back_what_a_giant_has_left() {
    let giant = format!("data: {}\n\n", "x".repeat(1 << 20));
    let inputs = giant.as_bytes().chunks(1_000).chain([&b": ping\n\n"[..]]);
    let kept = kept_after(inputs, false);
    assert!(kept <= 4 * buffer::KEEP, "{kept}");
}

//! A second interpreter, as plain as the standard's text, that reader and parser must agree with.

mod util;

use std::io::{BufReader, ErrorKind};
use std::time::Duration;

use quickcheck::{Arbitrary, Gen, QuickCheck, Testable};
use sse_io::{Event, Parser, Reader};
use util::Rng;
use util::readers::{Act, PASSING, Scripted, Transcript, What, parse_all, pieces, read_all, show};

/// How many streams each property is tried on.
const CASES: u64 = 20_000;

/// The same streams every time.
const SEED: u64 = 0x5353_4521;

/// Reads a whole stream by the letter of the standard, 9.2.5 and 9.2.6, and counts what it costs.
fn interpret(stream: &[u8], limit: usize, comments: bool) -> Transcript {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char == '\r' && chars.peek() == Some(&'\n') {
            chars.next();
        }
        if char == '\r' || char == '\n' {
            lines.push(std::mem::take(&mut line));
        } else {
            line.push(char);
        }
    }

    let mut transcript = Transcript::default();
    let mut id_buffer = String::new();
    let mut last_event_id = String::new();
    let mut retry = None;
    let mut event = Event::default();
    let mut data = String::new();
    let mut cost = 0;
    for line in lines {
        if line.is_empty() {
            last_event_id.clone_from(&id_buffer);
            if !data.is_empty() && cost <= limit {
                data.pop();
                event.data = data.into();
                transcript.push(event.into(), &last_event_id, retry);
            }
            event = Event::default();
            data = String::new();
            cost = 0;
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        if line.starts_with(':') {
            if comments && value.len() > limit {
                transcript.push(What::TooLarge { limit }, &last_event_id, retry);
            } else if comments {
                transcript.push(What::Comment(value), &last_event_id, retry);
            }
            continue;
        }
        let fitted = cost <= limit;
        cost += value.len();
        match name {
            "event" => event.name = (!value.is_empty()).then(|| value.into()),
            "data" => {
                cost += 1;
                data += &value;
                data += "\n";
            }
            "id" => {
                if !value.contains('\0') && value.len() <= limit {
                    id_buffer.clone_from(&value);
                    event.id = Some(value.into());
                }
            }
            "retry" => {
                if !value.is_empty() && value.chars().all(|char| char.is_ascii_digit()) {
                    let millis = value.parse().unwrap_or(u64::MAX);
                    retry = Some(Duration::from_millis(millis));
                    event.retry = retry;
                }
            }
            _ => {
                cost += name.len() + 64;
                event
                    .extensions
                    .push((name.to_owned().into(), value.into()));
            }
        }
        if fitted && cost > limit {
            transcript.push(What::TooLarge { limit }, &last_event_id, retry);
        }
    }
    transcript.last_event_id = last_event_id;
    transcript.retry = retry;
    transcript
}

/// Whole lines and blocks, so that random streams hold events.
const LINES: &[&[u8]] = &[
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\r\r",
    b"\r\n\r\n",
    b"data: a\n",
    b"data:b\r",
    b"data\n",
    b"data:\r\n",
    b"data: 12345678\n\n",
    b"data: c\r\n\r\n",
    b"data: d\r\r",
    b"event: n\n",
    b"event: message\r\n",
    b"event\n",
    b"id: 1\n",
    b"id: 234\r",
    b"id\n",
    b"id: \0\n",
    b"retry: 7\n",
    b"retry: 0015\r\n",
    b"retry: +7\n",
    b"x: y\n",
    b": c\n",
    b":\r",
];

/// What lines are made of, whole or not.
const PIECES: &[&[u8]] = &[
    b"data",
    b"event",
    b"id",
    b"retry",
    b":",
    b": ",
    b" ",
    b"data:",
    b"data: ",
    b"event: ",
    b"id: ",
    b"retry: ",
    b"0",
    b"7",
    b"1500",
    b"+",
    b"18446744073709551616",
    b"\0",
    b"\t",
    b"\x0b",
    b"x",
    b"abc",
    b"Data",
    b"dat",
    b"a",
    b"\xef\xbb\xbf",
    b"\xef",
    b"\xbb",
    b"\xbf",
    b"\xc3\xa9",
    b"\xe2\x82\xac",
    b"\xf0\x9f\x98\x80",
    b"\xf0\x9f",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xff",
    b"\x80",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"0123456789012345678901234567890123456789012345678901234567890123456789",
];

#[derive(Clone, Debug)]
struct Piece(&'static [u8]);

impl Arbitrary for Piece {
    fn arbitrary(g: &mut Gen) -> Self {
        let choice = if u8::arbitrary(g) < 160 {
            LINES
        } else {
            PIECES
        };
        Piece(g.choose(choice).expect("there are pieces"))
    }
}

/// A random stream; it shrinks by pieces.
#[derive(Clone)]
struct Stream(Vec<Piece>);

impl Stream {
    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|piece| piece.0).copied().collect()
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&show(&self.bytes()))
    }
}

impl Arbitrary for Stream {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut stream = Stream(Arbitrary::arbitrary(g));
        if u8::arbitrary(g) < 32 {
            stream.0.insert(0, Piece(b"\xef\xbb\xbf"));
        }
        stream
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().map(Stream))
    }
}

/// Small sizes of chunks, repeated over the stream.
#[derive(Clone, Debug)]
struct Sizes(Vec<u8>);

impl Arbitrary for Sizes {
    fn arbitrary(g: &mut Gen) -> Self {
        let count = 1 + u8::arbitrary(g) % 5;
        let widest = *g.choose(&[1, 2, 4, 9, 80]).expect("there are widths");
        Sizes((0..count).map(|_| 1 + u8::arbitrary(g) % widest).collect())
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().filter(|sizes| !sizes.is_empty()).map(Sizes))
    }
}

/// The chunks, with passing errors in between.
fn with_errors(chunks: &[&[u8]], sizes: &Sizes) -> Vec<Act> {
    let mut kinds = sizes.0.iter().cycle();
    let mut acts = Vec::new();
    for chunk in chunks {
        let kind: Option<&ErrorKind> = kinds
            .next()
            .and_then(|&size| PASSING.get(usize::from(size) % 5));
        acts.extend(kind.map(|&kind| Act::Fail(kind)));
        acts.push(Act::Give(chunk.to_vec()));
    }
    acts
}

fn holds(cases: u64, property: impl Testable) {
    QuickCheck::new()
        .rng(Gen::from_size_and_seed(60, SEED))
        .tests(cases)
        .max_tests(cases)
        .quickcheck(property);
}

/// Everything that reads, fed in these chunks.
fn agree(stream: &[u8], sizes: &Sizes, limit: usize, comments: bool, expected: &Transcript) {
    let same = |way: &str, seen: Transcript| {
        assert_eq!(&seen, expected, "{way}, limit {limit}, {}", show(stream));
    };
    let chunks = pieces(stream, &sizes.0);
    let mut parser = Parser::new().with_max_event_size(limit);
    same("parser", parse_all(&mut parser, &chunks, comments));

    let inner = Scripted::new(with_errors(&chunks, sizes));
    let mut reader = Reader::new(inner).with_max_event_size(limit);
    same("reader", read_all(&mut reader, comments));

    let capacity = sizes.0.iter().map(|&size| usize::from(size)).sum();
    let inner = BufReader::with_capacity(capacity, stream);
    let mut reader = Reader::new(inner).with_max_event_size(limit);
    same("buffered reader", read_all(&mut reader, comments));

    let mut reader = Reader::new(stream).with_max_event_size(limit);
    same("whole", read_all(&mut reader, comments));
}

/// Whether a reconnection time is longer than the limit: whether it counts is not settled here.
fn has_long_retry(stream: &[u8], limit: usize) -> bool {
    stream
        .split(|&byte| byte == b'\n' || byte == b'\r')
        .any(|line| line.len() > limit && line.windows(5).any(|bytes| bytes == b"retry"))
}

#[test]
fn reader_and_parser_agree_with_the_standard_on_events() {
    fn property(stream: Stream, sizes: Sizes) {
        let bytes = stream.bytes();
        let expected = interpret(&bytes, usize::MAX, false);
        agree(&bytes, &sizes, 1 << 20, false, &expected);
    }
    holds(CASES, property as fn(Stream, Sizes));
}

#[test]
fn reader_and_parser_agree_with_the_standard_on_comments() {
    fn property(stream: Stream, sizes: Sizes) {
        let bytes = stream.bytes();
        let expected = interpret(&bytes, usize::MAX, true);
        agree(&bytes, &sizes, 1 << 20, true, &expected);
    }
    holds(CASES, property as fn(Stream, Sizes));
}

#[test]
fn reader_and_parser_agree_on_bytes_without_a_pattern() {
    fn property(stream: Vec<u8>, sizes: Sizes) {
        // Six bits leave the breaks, the colon and the space frequent enough.
        let bytes: Vec<u8> = stream.iter().map(|byte| byte % 64).collect();
        for bytes in [&stream, &bytes] {
            let expected = interpret(bytes, usize::MAX, true);
            agree(bytes, &sizes, 1 << 20, true, &expected);
        }
    }
    holds(CASES / 4, property as fn(Vec<u8>, Sizes));
}

#[test]
fn small_limits_give_the_same_results_for_every_chunking() {
    fn property(stream: Stream, sizes: Sizes, limit: u8, comments: bool) {
        let bytes = stream.bytes();
        let limit = usize::from(limit) % 140;
        let mut reader = Reader::new(&bytes[..]).with_max_event_size(limit);
        let expected = read_all(&mut reader, comments);
        agree(&bytes, &sizes, limit, comments, &expected);
    }
    holds(CASES, property as fn(Stream, Sizes, u8, bool));
}

#[test]
fn small_limits_count_what_they_say() {
    fn property(mut stream: Stream, limit: u8, comments: bool) {
        // Malformed bytes are counted as they come, but the interpreter sees them replaced.
        stream
            .0
            .retain(|piece| std::str::from_utf8(piece.0).is_ok());
        // A line that never ends may be too large as well, but to the standard it is no line.
        stream.0.push(Piece(b"\n"));
        let bytes = stream.bytes();
        let limit = usize::from(limit) % 140;
        let mut expected = interpret(&bytes, limit, comments);
        let mut reader = Reader::new(&bytes[..]).with_max_event_size(limit);
        let mut seen = read_all(&mut reader, comments);
        if has_long_retry(&bytes, limit) {
            expected = expected.without_retry();
            seen = seen.without_retry();
        }
        assert_eq!(seen, expected, "limit {limit}, {}", show(&bytes));
    }
    holds(2 * CASES, property as fn(Stream, u8, bool));
}

#[test]
fn random_streams_hold_what_is_worth_reading() {
    let mut g = Gen::from_size_and_seed(60, SEED);
    let mut counts = [0; 6];
    for _ in 0..500 {
        let bytes = Stream::arbitrary(&mut g).bytes();
        let seen = interpret(&bytes, 40, true);
        for (count, found) in counts.iter_mut().zip([
            seen.what()
                .iter()
                .filter(|w| matches!(w, What::Event(_)))
                .count(),
            seen.what()
                .iter()
                .filter(|w| matches!(w, What::Comment(_)))
                .count(),
            seen.what()
                .iter()
                .filter(|w| matches!(w, What::TooLarge { .. }))
                .count(),
            usize::from(!seen.last_event_id.is_empty()),
            usize::from(seen.retry.is_some()),
            usize::from(bytes.starts_with(b"\xef\xbb\xbf")),
        ]) {
            *count += found;
        }
    }
    assert!(counts.iter().all(|&count| count >= 20), "{counts:?}");
}

/// Events as services send them, by the thousand: short and long values, many characters of
/// several bytes, now and then a malformed one.
fn long_stream(rng: &mut Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 8] = [
        b"token ",
        "流式".as_bytes(),
        "é".as_bytes(),
        "🎉".as_bytes(),
        b"0123456789",
        b"{\"delta\":\"x\"}",
        b" ",
        b"",
    ];
    const BREAKS: [&[u8]; 3] = [b"\n", b"\r\n", b"\r"];
    let mut stream = Vec::new();
    while stream.len() < 200_000 {
        let end = BREAKS[rng.below(BREAKS.len())];
        let mut line = |name: &[u8], pieces: usize, rng: &mut Rng| {
            stream.extend_from_slice(name);
            for _ in 0..pieces {
                stream.extend_from_slice(PIECES[rng.below(PIECES.len())]);
            }
            if rng.below(60) == 0 {
                stream.extend_from_slice(&[0xe6, 0xb5][..rng.below(3)]);
            }
            stream.extend_from_slice(end);
        };
        if rng.below(3) == 0 {
            line(b"id: ", 3, rng);
        }
        if rng.below(3) == 0 {
            line(b"event: ", 2, rng);
        }
        for _ in 0..1 + rng.below(10) / 9 {
            let pieces = [1, 5, 20, 200][rng.below(4)];
            line(b"data: ", rng.below(pieces), rng);
        }
        line(b"", 0, rng);
    }
    stream
}

#[test]
fn long_streams_mean_the_same_in_buffers_of_any_size() {
    let mut rng = Rng(SEED);
    for _ in 0..3 {
        let stream = long_stream(&mut rng);
        let expected = interpret(&stream, usize::MAX, false);
        assert!(expected.what().len() > 500);
        let whole = read_all(&mut Reader::new(&stream[..]), false);
        assert_eq!(whole, expected);
        for size in [100, 1460, 4 << 10, 16 << 10, 64 << 10] {
            let buffered = BufReader::with_capacity(size, &stream[..]);
            let seen = read_all(&mut Reader::new(buffered), false);
            assert_eq!(seen, expected, "a buffer of {size}");
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            let seen = parse_all(&mut Parser::new(), &pieces, false);
            assert_eq!(seen, expected, "pieces of {size}");
        }
    }
}

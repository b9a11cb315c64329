//! A second interpreter, as plain as the standard's text, that reader and parser must agree with.

use crate::util;

use std::io::{BufReader, ErrorKind};

use quickcheck::{Arbitrary, Gen, QuickCheck, Testable};
use sse_io::{Parser, Reader};
use util::Rng;
use util::readers::{Act, PASSING, Scripted, Transcript, What, parse_all, pieces, read_all, show};
use util::reference::{Reference, interpret, interpret_with};
use util::streams::{LINES, PIECES};

/// How many streams each property is tried on.
const CASES: u64 = 20_000;

/// The same streams every time.
const SEED: u64 = 0x5353_4521;

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
        let mut reference = Reference::new(limit);
        let mut expected = interpret_with(&mut reference, &bytes, comments);
        let mut reader = Reader::new(&bytes[..]).with_max_event_size(limit);
        let mut seen = read_all(&mut reader, comments);
        if reference.is_retry_unsettled() {
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

//! What a reader holds at most is its limit and a constant, and a giant's memory is given back.

use std::io::{self, BufReader, Read};

use sse_io::{Emitter, Event, EventTooLarge, Parser, Reader, ResponseHead, Writer};
use sse_io_memory::{Nowhere, held, peak};

const MIB: usize = 1 << 20;

/// What may be held beside the limit.
const CONSTANT: usize = 256 << 10;

/// A text over and over, up to a length, after a start and before an end, in reads of one size.
struct Endless {
    start: &'static [u8],
    text: &'static [u8],
    length: usize,
    end: &'static [u8],
    at: usize,
}

fn endless(start: &'static str, text: &'static str, length: usize, end: &'static str) -> Endless {
    Endless {
        start: start.as_bytes(),
        text: text.as_bytes(),
        length: length / text.len() * text.len(),
        end: end.as_bytes(),
        at: 0,
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let room = &mut buffer[filled..];
            let in_text = self.at.wrapping_sub(self.start.len());
            let source = if self.at < self.start.len() {
                &self.start[self.at..]
            } else if in_text < self.length {
                let source = &self.text[in_text % self.text.len()..];
                &source[..source.len().min(self.length - in_text)]
            } else {
                &self.end[(in_text - self.length).min(self.end.len())..]
            };
            let taken = source.len().min(room.len());
            if taken == 0 {
                break;
            }
            room[..taken].copy_from_slice(&source[..taken]);
            filled += taken;
            self.at += taken;
        }
        Ok(filled)
    }
}

/// A stream that stays open while nothing comes.
struct Silence;

impl Read for Silence {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Reads a stream to its end; gives the lengths of its events, and how many were too large.
fn read_all(reader: &mut Reader<BufReader<Endless>>, items: bool) -> (Vec<usize>, usize) {
    // Room in advance: this is not to be counted.
    let mut lengths = Vec::with_capacity(64);
    let mut too_large = 0;
    loop {
        let result = if items {
            reader.read_item().map(|item| {
                item.map(|item| match item {
                    sse_io::Item::Event { event, .. } => event.data.len(),
                    _ => 0,
                })
            })
        } else {
            reader
                .read_event()
                .map(|event| event.map(|event| event.data.len()))
        };
        match result {
            Ok(Some(length)) => lengths.push(length),
            Ok(None) => return (lengths, too_large),
            Err(error) => {
                assert!(error.get_ref().unwrap().is::<EventTooLarge>());
                too_large += 1;
            }
        }
    }
}

#[track_caller]
fn assert_peak(
    stream: impl Fn() -> Endless,
    limit: usize,
    items: bool,
    chunk: usize,
) -> (Vec<usize>, usize) {
    let (peak, found) = peak(|| {
        let inner = BufReader::with_capacity(chunk, stream());
        let mut reader = Reader::new(inner).with_max_event_size(limit);
        read_all(&mut reader, items)
    });
    let allowed = limit + CONSTANT + chunk;
    assert!(
        peak <= allowed,
        "chunks of {chunk}: {peak} bytes held, {allowed} allowed"
    );
    found
}

#[test]
fn an_event_of_one_long_line_fits_the_limit() {
    for size in [4 * MIB, 8 * MIB - 1] {
        for chunk in [1, 13, 1024, 64 << 10] {
            if chunk == 1 && size > 4 * MIB {
                continue;
            }
            let stream = || endless("data: ", "x", size, "\n\n");
            let found = assert_peak(stream, 8 * MIB, false, chunk);
            assert_eq!(found, (vec![size], 0));
        }
    }
}

#[test]
fn an_event_of_short_lines_fits_the_limit() {
    for (line, value) in [("data: x\n", 1), ("data:\n", 0), ("data\r\n", 0)] {
        for chunk in [1, 13, 1024, 64 << 10] {
            let lines = if chunk == 1 { MIB } else { 2 * MIB };
            let stream = || endless("", line, lines * line.len(), "\n");
            let found = assert_peak(stream, 8 * MIB, false, chunk);
            assert_eq!(found, (vec![lines * (value + 1) - 1], 0));
        }
    }
}

#[test]
fn what_exceeds_the_limit_is_not_kept() {
    let shapes: [(&str, &str, &str); 7] = [
        ("data: ", "x", "\n\ndata: y\n\n"),
        ("", "data: x\n", "\ndata: y\n\n"),
        ("", "data:\n", "\ndata: y\n\n"),
        ("", "data\r", "\rdata: y\n\n"),
        ("event: ", "x", "\n\ndata: y\n\n"),
        ("id: ", "x", "\n\ndata: y\n\n"),
        ("", "x", "\n\ndata: y\n\n"),
    ];
    for (start, text, end) in shapes {
        for (chunk, length) in [
            (1, 2 * MIB),
            (13, 2 * MIB),
            (1024, 4 * MIB),
            (64 << 10, 8 * MIB),
        ] {
            let stream = || endless(start, text, length, end);
            let (events, too_large) = assert_peak(stream, MIB / 4, false, chunk);
            assert_eq!(events, [1], "{start:?} {text:?} in chunks of {chunk}");
            assert_eq!(too_large, 1, "{start:?} {text:?} in chunks of {chunk}");
        }
    }
}

#[test]
fn an_endless_line_costs_no_more_than_the_limit() {
    let stream = || endless("data: ", "x", 64 * MIB, "\n\ndata: y\n\n");
    assert_eq!(assert_peak(stream, MIB, false, 64 << 10), (vec![1], 1));
}

#[test]
fn many_extensions_cost_no_more_than_the_limit_while_they_are_put_together() {
    for (chunk, length) in [(13, 4 * MIB), (64 << 10, 8 * MIB)] {
        let stream = || endless("", "k\n", length, "\ndata: y\n\n");
        assert_eq!(assert_peak(stream, MIB, false, chunk), (vec![1], 1));
    }
}

#[test]
fn an_endless_comment_is_not_kept() {
    for (chunk, length) in [(1, 3 * MIB / 2), (1024, 8 * MIB), (64 << 10, 64 * MIB)] {
        let stream = || endless(": ", "x", length, "\n\ndata: y\n\n");
        // The limit is small: it does not matter where comments are passed over.
        assert_eq!(assert_peak(stream, 16, false, chunk), (vec![1], 0));
        assert_eq!(assert_peak(stream, MIB, true, chunk), (vec![1], 1));
    }
}

#[test]
fn a_reader_gives_a_giants_memory_back() {
    let giants = [
        ("data: ", "x", "\n\n"),
        ("", "data: x\n", "\n"),
        ("event: ", "x", "\ndata: y\n\n"),
        ("", "data:\n", "\n"),
        ("", "k: v\n", "data: y\n\n"),
    ];
    let after = [
        "data: x\n\n",
        ":\n\n",
        ": ping\n\n",
        "\n",
        "data: x\r\ndata: y\r\n\r\n",
    ];
    let mut kept = Vec::new();
    for (start, text, end) in giants {
        for rest in after {
            for chunk in [16, 4096] {
                let giant = endless(start, text, 4 * MIB, end);
                let small = endless("", rest, 100 * rest.len(), "");
                let (held, _reader) = held(|| {
                    let inner = BufReader::with_capacity(chunk, giant.chain(small).chain(Silence));
                    let mut reader = Reader::new(inner).with_max_event_size(80 * MIB);
                    while reader.read_event().is_ok_and(|event| event.is_some()) {}
                    reader
                });
                let allowed = isize::try_from(CONSTANT + chunk).unwrap();
                if held > allowed {
                    kept.push((start, text, rest, chunk, held));
                }
            }
        }
    }
    assert!(kept.is_empty(), "{kept:#?}");
}

#[test]
fn a_line_that_is_too_large_at_its_very_end_is_given_back() {
    // It fits the limit until its end tells an extension, which costs 64 more.
    for start in ["x: ", "event: ", "id: "] {
        let giant = endless(start, "x", MIB - 40, "\n\n");
        let small = endless("", "data: x\n\n", 9_000, "");
        let (held, _reader) = held(|| {
            let inner = BufReader::with_capacity(1460, giant.chain(small).chain(Silence));
            let mut reader = Reader::new(inner).with_max_event_size(MIB);
            let mut events = 0;
            loop {
                match reader.read_event() {
                    Ok(Some(_)) => events += 1,
                    Ok(None) => break,
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                    Err(_) => break,
                }
            }
            assert_eq!(events, 1_000);
            reader
        });
        // The id itself is in use.
        let id = if start == "id: " { MIB } else { 0 };
        assert!(
            held <= isize::try_from(CONSTANT + id).unwrap(),
            "{start}: {held}"
        );
    }
}

#[test]
fn malformed_data_costs_four_times_its_size_at_most() {
    let malformed = [b"data: ".to_vec(), vec![0xff; MIB], b"\n\n".to_vec()].concat();
    let (peak, length) = peak(|| {
        let mut reader = Reader::new(BufReader::with_capacity(4096, &malformed[..]));
        reader.read_event().unwrap().unwrap().data.len()
    });
    assert_eq!(length, 3 * MIB);
    assert!(peak <= 5 * MIB + CONSTANT, "{peak}");
}

#[test]
fn a_parser_gives_a_giants_memory_back_while_the_stream_goes_on() {
    let (held, _parser) = held(|| {
        let mut parser = Parser::new();
        let line = [b'x'; 4096];
        assert!(parser.parse(&mut &b"data: "[..]).unwrap().is_none());
        for _ in 0..1024 {
            assert!(parser.parse(&mut &line[..]).unwrap().is_none());
        }
        let event = parser.parse(&mut &b"\n\n"[..]).unwrap().unwrap();
        assert_eq!(event.data.len(), 4 * MIB);
        for _ in 0..4 {
            assert!(parser.parse(&mut &b":\n\n"[..]).unwrap().is_none());
        }
        parser
    });
    assert!(held <= 256 << 10, "{held} bytes held");
}

#[test]
fn a_writer_gives_a_giants_memory_back() {
    let giant = Event::new("x".repeat(4 * MIB));
    let (held, _writer) = held(|| {
        let mut writer = Writer::new(Nowhere);
        writer.write_event(&giant).unwrap();
        for _ in 0..3 {
            writer.write_event(&Event::new("small")).unwrap();
        }
        writer
    });
    assert!(held <= 256 << 10, "{held} bytes held");
}

#[test]
fn a_writer_gives_a_giants_memory_back_with_heartbeats() {
    let giant = Event::new("x\n".repeat(2 * MIB));
    let (held, _writer) = held(|| {
        let mut writer = Writer::new(Nowhere);
        writer.write_event(&giant).unwrap();
        for _ in 0..3 {
            writer.write_comment("").unwrap();
        }
        writer
    });
    assert!(held <= 256 << 10, "{held} bytes held");
}

#[test]
fn an_emitter_gives_a_giants_memory_back() {
    let giant = Event::new("x".repeat(4 * MIB));
    let (held, _emitter) = held(|| {
        let emitter = ResponseHead::new().start(Nowhere).unwrap();
        emitter.emit(&giant).unwrap();
        for _ in 0..3 {
            emitter.comment("").unwrap();
        }
        emitter
    });
    assert!(held <= 256 << 10, "{held} bytes held");
}

#[test]
fn an_emitter_gives_the_memory_of_giants_sent_at_once_back() {
    let giant = Event::new("x".repeat(4 * MIB));
    let (held, _emitter) = held(|| {
        let emitter = Emitter::new(Nowhere);
        // As two threads would: each frame is built while the other one is.
        emitter
            .emit_with(&giant, |_| emitter.emit(&giant).map(drop))
            .unwrap();
        for _ in 0..100 {
            emitter.emit(&Event::new("small")).unwrap();
        }
        emitter
    });
    assert!(held <= 512 << 10, "{held} bytes held");
}

#[test]
fn a_refused_giant_is_given_back_as_well() {
    let giant = "x".repeat(4 * MIB);
    let (held, _writer) = held(|| {
        let mut writer = Writer::new(Nowhere);
        writer
            .write_event_with(&Event::new(&giant), |_| Err(io::ErrorKind::Other.into()))
            .unwrap_err();
        for _ in 0..3 {
            writer.write_comment("").unwrap();
        }
        writer
    });
    assert!(held <= 256 << 10, "{held} bytes held");
}

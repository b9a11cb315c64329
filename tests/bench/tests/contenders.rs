//! Everyone is right, or known to be wrong.

use sse_io_bench::measure::{Contender, check};
use sse_io_bench::reading::{self, Inputs};
use sse_io_bench::sink::Tally;
use sse_io_bench::{streams, writing};

/// Contenders that are wrong, with the stream and the reason.
const KNOWN_WRONG: [(&str, &str, &str); 1] = [(
    "async-sse 5.1.0",
    "long-lines",
    "it writes data lines without a space after the colon, so one that starts with a space loses it",
)];

#[track_caller]
fn assert_right(contenders: Vec<Contender<'_>>, stream: &str, known_wrong: &[(&str, &str, &str)]) {
    for mut contender in contenders {
        let result = check(&mut contender);
        let known = known_wrong
            .iter()
            .any(|(name, of, _)| (*name, *of) == (contender.name, stream));
        assert_eq!(
            result.is_err(),
            known,
            "{contender:?} of {stream}: {result:?}"
        );
    }
}

#[test]
fn every_reader_is_right() {
    for stream in streams::all(24 << 10) {
        let contenders = reading::contenders(&Inputs::new(&stream));
        assert_right(contenders, stream.name, &[]);
    }
}

#[test]
fn every_reader_is_right_whatever_the_chunks() {
    for stream in streams::all(8 << 10)
        .iter()
        .filter(|stream| stream.bytes.len() < 100 << 10)
    {
        for size in [1, 2, 3, 5, 7, 16, 61, 64, 128, 255, 1460, 4096] {
            // Small pieces of long lines take some of them minutes.
            if stream.bytes.len() / size > 10_000 {
                continue;
            }
            let contenders = reading::contenders_for_pieces(&Inputs::new(stream), size);
            assert_right(contenders, stream.name, &[]);
        }
    }
}

#[test]
fn every_writer_is_right() {
    // Long enough for lines that start with a space.
    for stream in streams::all(512 << 10)
        .iter()
        .filter(|stream| writing::takes(stream))
    {
        assert_right(writing::contenders(stream), stream.name, &KNOWN_WRONG);
    }
}

#[test]
fn values_are_written_right() {
    let stream = streams::named("openai", 24 << 10).unwrap();
    let (values, measured) = writing::measure_values(&stream, 1);
    assert_eq!(values, stream.sent.len() - "[DONE]".lines().count());
    for one in measured {
        assert_eq!(one.wrong, None, "{}, {}", one.name, one.setup);
    }
}

#[test]
fn a_wrong_answer_is_noticed() {
    let stream = streams::named("openai", 8 << 10).unwrap();
    let inputs = Inputs::new(&stream);
    let mut contender = reading::contenders(&inputs).swap_remove(0);
    contender.timed = Box::new(Tally::default);
    assert!(check(&mut contender).is_err());
    contender.timed = Box::new(|| panic!());
    assert_eq!(check(&mut contender), Err("panics".into()));
}

#[test]
fn an_event_is_one_write() {
    let stream = streams::named("id-event", 8 << 10).unwrap();
    let calls: Vec<_> = writing::write_calls(&stream.sent[..50]);
    assert_eq!(calls[0], ("Writer::write_event", 1.0));
    assert_eq!(calls[1], ("Emitter::emit", 1.0));
    assert_eq!(calls[3], ("naive write!", 10.0));
}

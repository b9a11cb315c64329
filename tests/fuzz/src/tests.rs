//! The corpora and a bounded run of random inputs, on stable Rust and without libFuzzer.

use std::panic;
use std::path::Path;

use crate::util::{Rng, streams};
use crate::{TARGETS, Target, inputs};

/// How many random inputs each target gets.
const CASES: usize = 20_000;

const SEED: u64 = 0x5353_4521;

fn target(name: &str) -> Target {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.expect("the target is in the list").1
}

/// Runs the target and names the input when it fails.
#[track_caller]
fn run(target: Target, name: &str, input: &[u8]) {
    if let Err(panic) = panic::catch_unwind(|| target(input)) {
        eprintln!("{name}: b\"{}\"", input.escape_ascii());
        panic::resume_unwind(panic);
    }
}

fn replay(name: &str) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let inputs = inputs(&corpus).expect("the corpus is in the repository");
    assert!(inputs.len() >= 10, "{} inputs for {name}", inputs.len());
    for (path, input) in inputs {
        run(target(name), &path.display().to_string(), &input);
    }
}

/// A plan of a few characters, then a stream.
fn planned(rng: &mut Rng) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..rng.below(12) {
        // Not a line break, which ends the plan.
        let byte = [b'0', b'a', b' '][rng.below(3)] + u8::try_from(rng.below(16)).expect("small");
        input.push(if rng.below(2) == 0 { byte } else { 128 + byte });
    }
    input.push(b'\n');
    let pieces = rng.below(60);
    input.extend(streams::random(rng, pieces));
    if rng.below(8) == 0 && !input.is_empty() {
        let at = rng.below(input.len());
        input[at] = rng.next().to_le_bytes()[0];
    }
    input
}

/// A plan, then pieces of text from a list.
fn texts(rng: &mut Rng, pieces: &[&str]) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..8 {
        input.push(b'0' + u8::try_from(rng.below(64)).expect("small"));
    }
    input.push(b'\n');
    for _ in 0..rng.below(16).min(pieces.len()) {
        input.extend_from_slice(pieces[rng.below(pieces.len())].as_bytes());
    }
    input
}

fn random(name: &str, input: impl Fn(&mut Rng) -> Vec<u8>) {
    let mut rng = Rng(SEED);
    for case in 0..CASES {
        let input = input(&mut rng);
        run(target(name), &format!("{name}, case {case}"), &input);
    }
}

#[test]
fn parser_holds_on_its_corpus() {
    replay("parser");
}

#[test]
fn parser_holds_on_random_streams() {
    random("parser", planned);
}

#[test]
fn reader_holds_on_its_corpus() {
    replay("reader");
}

#[test]
fn reader_holds_on_random_streams() {
    random("reader", planned);
}

#[test]
fn round_trip_holds_on_its_corpus() {
    replay("round_trip");
}

#[test]
fn round_trip_holds_on_random_events() {
    const PIECES: [&str; 26] = [
        "|",
        "|",
        "|",
        "|",
        "|||||",
        "=",
        ":",
        " ",
        "\n",
        "\r",
        "\r\n",
        "\0",
        "a",
        "data",
        "event",
        "id",
        "retry",
        "7",
        "1500000",
        "18446744073709551615000000",
        "\u{feff}",
        "é",
        "€",
        "🎉",
        "\u{2028}",
        "x",
    ];
    random("round_trip", |rng| texts(rng, &PIECES));
}

#[test]
fn head_holds_on_its_corpus() {
    replay("head");
}

#[test]
fn head_holds_on_random_texts() {
    const PIECES: [&str; 34] = [
        "|",
        "||",
        "|",
        "Vary",
        "Connection",
        "close",
        "keep-alive",
        ", ",
        "\r\n",
        "\0",
        "é",
        "X-A",
        "x-a",
        "Content-Length",
        "Retry-After",
        "7",
        " ",
        "?",
        "lastEventId=",
        "&",
        "%41",
        "%1g",
        "%",
        "+",
        "%0D",
        "%e9",
        "=",
        "text/event-stream",
        "Text/Event-Stream",
        ";",
        "q=0",
        "\"",
        "*/*",
        "text/*",
    ];
    random("head", |rng| texts(rng, &PIECES));
}

#[test]
fn hub_holds_on_its_corpus() {
    replay("hub");
}

#[test]
fn hub_holds_on_random_steps() {
    const STEPS: [&str; 27] = [
        "p", "p", "a", "b", "c", "s0", "s1", "s3", "s4", "n02", "n13", "r000", "r191", "r0:8",
        "r123", "r4?1", "s5", "s6", "t1", "t3", "r500", "g0", "g1", "g2", "g3", "d1", "x",
    ];
    random("hub", |rng| {
        let mut input = texts(rng, &STEPS);
        for _ in 0..rng.below(60) {
            // Few closes, so that something happens.
            input.extend_from_slice(STEPS[rng.below(STEPS.len() - 1)].as_bytes());
        }
        input
    });
}

#[test]
fn client_holds_on_its_corpus() {
    replay("client");
}

#[test]
fn client_holds_on_random_answers() {
    const PIECES: [&str; 40] = [
        "~o",
        "~o",
        "~o",
        "~o",
        "~e",
        "~e",
        "~x",
        "~q",
        "~n",
        "~5",
        "~5",
        "~4",
        "~h",
        "~z",
        "~r",
        "~r",
        "~f",
        "~c",
        "~k",
        "\n",
        "\n\n",
        "\n\n",
        "\r\n",
        "\r",
        "data: a\n\n",
        "data: b\r\n\r\n",
        "data",
        ":c\n",
        ": ",
        "id: 1\n",
        "id: 22\n",
        "id\n",
        "id: \t\u{1}\n",
        "event: e\n",
        "retry: 70\n",
        "retry: 5000\n",
        "data: [DONE]\n\n",
        "\u{feff}",
        "data: far too long for it\n",
        "x",
    ];
    random("client", |rng| {
        let mut input = texts(rng, &[]);
        // The steps, with an order now and then.
        for step in &mut input[4..8] {
            if rng.below(16) == 0 {
                *step = b"`p"[rng.below(2)];
            }
        }
        input.extend_from_slice(b"o");
        for _ in 0..rng.below(60) {
            input.extend_from_slice(PIECES[rng.below(PIECES.len())].as_bytes());
        }
        input
    });
}

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

fn random(name: &str) {
    let mut rng = Rng(SEED);
    for case in 0..CASES {
        let input = planned(&mut rng);
        run(target(name), &format!("{name}, case {case}"), &input);
    }
}

#[test]
fn parser_holds_on_its_corpus() {
    replay("parser");
}

#[test]
fn parser_holds_on_random_streams() {
    random("parser");
}

#[test]
fn reader_holds_on_its_corpus() {
    replay("reader");
}

#[test]
fn reader_holds_on_random_streams() {
    random("reader");
}

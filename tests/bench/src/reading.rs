//! Reading: streams into events, by everyone who takes part.

mod floors;
mod ours;
mod peers;

use std::rc::Rc;

use bytes::Bytes;

pub use floors::LIMIT;
pub use ours::PARSER;

use crate::measure::{Contender, Measured, Role, measure};
use crate::sink::{Digest, Sink, Tally};
use crate::streams::Stream;

/// The set-up in which each chunk is one event, as it comes off a live connection.
pub const EVENT_AT_A_TIME: &str = "one event a chunk";
/// The buffer that [`std::io::BufReader`] is given.
pub const BUFFER: usize = 16 << 10;
/// The contender that goals are about.
pub const DEFAULT: (&str, &str) = ("Reader, lending", "BufReader, 16 KiB");
/// The same with events that the caller keeps.
pub const OWNED: (&str, &str) = ("Reader, owned", DEFAULT.1);
/// The client over the same buffer, without a terminator and with one: what it costs to reconnect
/// and to look for the end.
pub const CLIENTS: [(&str, &str); 2] = [
    ("EventSource, lending", DEFAULT.1),
    ("EventSource, to a terminator", DEFAULT.1),
];
/// An event that no stream has.
const TERMINATOR: &str = "[END]";
/// The contender that the ratios of the tables are to.
pub const REFERENCE: (&str, &str) = ("sse-core 0.2.3", "16 KiB chunks");

/// A stream that lies ready in memory, in pieces.
pub type Pieces = Rc<[Bytes]>;

/// A stream in all the shapes that contenders take.
#[derive(Debug)]
pub struct Inputs<'s> {
    stream: &'s Stream,
    whole: Bytes,
    /// The same bytes in the same place, and the terminator behind them.
    terminated: Bytes,
}

impl<'s> Inputs<'s> {
    /// Copies the stream once: all contenders share it, so that it is as near to each of them.
    pub fn new(stream: &'s Stream) -> Self {
        let terminator = format!("data: {TERMINATOR}\n\n");
        let terminated = Bytes::from([&stream.bytes[..], terminator.as_bytes()].concat());
        Inputs {
            stream,
            whole: terminated.slice(..stream.bytes.len()),
            terminated,
        }
    }

    /// The stream in pieces of this size.
    pub fn pieces(&self, size: usize) -> Pieces {
        let starts = (0..self.whole.len()).step_by(size);
        let piece = |start| self.whole.slice(start..self.whole.len().min(start + size));
        starts.map(piece).collect()
    }

    /// The stream in one piece for each event and each comment.
    fn events(&self) -> Pieces {
        let starts = std::iter::once(&0).chain(&self.stream.ends);
        let piece = |(&start, &end)| self.whole.slice(start..end);
        starts.zip(&self.stream.ends).map(piece).collect()
    }

    /// A contender out of what drives it, which is given twice: for the timed pass and for the check.
    fn contender<I: Clone + 's>(
        &self,
        role: Role,
        (name, setup): (&'static str, &'static str),
        input: I,
        timed: fn(&I, &mut Tally),
        checked: fn(&I, &mut Digest),
    ) -> Contender<'s> {
        let stream = self.stream;
        let again = input.clone();
        Contender {
            role,
            name,
            setup,
            timed: Box::new(move || run(&input, timed)),
            check: Box::new(move |tally| {
                let (got, wanted) = (tally, stream.tally());
                if (got.events, got.data) != (wanted.events, wanted.data) {
                    return Err(format!("{got:?}, not {wanted:?}"));
                }
                run(&again, checked).compare(&stream.expected)
            }),
        }
    }
}

fn run<I, S: Sink>(input: &I, drive: fn(&I, &mut S)) -> S {
    let mut sink = S::default();
    drive(input, &mut sink);
    sink
}

/// Everyone, in every set-up of the reading tables.
pub fn contenders<'s>(inputs: &Inputs<'s>) -> Vec<Contender<'s>> {
    let mut contenders = ours::contenders(inputs);
    contenders.extend(peers::contenders(inputs));
    contenders.extend(floors::contenders(inputs));
    contenders
}

/// Measures everyone on one stream.
pub fn measure_stream(stream: &Stream, rounds: usize) -> Vec<Measured> {
    measure(contenders(&Inputs::new(stream)), rounds)
}

/// Everyone who can be fed with pieces of one size: our push parser, our reader with a buffer of that
/// size, and the peers that take chunks.
pub fn contenders_for_pieces<'s>(inputs: &Inputs<'s>, size: usize) -> Vec<Contender<'s>> {
    let mut contenders = ours::for_pieces(inputs, size);
    contenders.extend(peers::fed_with(inputs, "chunks", &inputs.pieces(size)));
    contenders
}

/// Whether a contender is ever the best but for ours. The others take minutes over small pieces of
/// long lines.
pub fn is_fast(contender: &Contender<'_>) -> bool {
    !contender.name.starts_with("eventsource-stream") && !contender.name.starts_with("sse-parse")
}

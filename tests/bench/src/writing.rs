//! Writing: events into bytes, by everyone who takes part.

mod calls;
mod json;
mod ours;
mod peers;

use std::cell::RefCell;

use sse_io::{Event, Parser};

pub use calls::write_calls;
pub use json::{REFERENCE as VALUES_REFERENCE, measure_values};

use crate::measure::{Contender, Measured, Role, measure};
use crate::sink::{Digest, Sink, Tally};
use crate::streams::{Sent, Stream};

/// The contender that goals are about.
pub const DEFAULT: (&str, &str) = ("Event::encode", "into a Vec");
/// The contender that the ratios of the tables are to.
pub const REFERENCE: (&str, &str) = ("naive write!", "into a Vec");
/// The floor that goals are about.
pub const LIMIT: &str = "floor: memcpy of each event";

/// The streams that make sense here: line ends are the encoder's, and comments are not measured.
pub fn takes(stream: &Stream) -> bool {
    !matches!(stream.name, "openai-crlf" | "heartbeats")
}

/// Measures everyone on the events of one stream.
pub fn measure_stream(stream: &Stream, rounds: usize) -> Vec<Measured> {
    measure(contenders(stream), rounds)
}

/// Everyone.
pub fn contenders(stream: &Stream) -> Vec<Contender<'_>> {
    let mut contenders = ours::contenders(stream);
    contenders.extend(peers::contenders(stream));
    contenders.push(floor(stream));
    contenders
}

/// An event of the stream as ours, borrowed.
fn event(sent: &Sent) -> Event<'_> {
    let mut event = Event::new(&*sent.data);
    if let Some(name) = &sent.name {
        event = event.with_name(&**name);
    }
    if let Some(id) = &sent.id {
        event = event.with_id(&**id);
    }
    event
}

/// A contender that encodes the whole stream into a buffer, which it finds empty and keeps.
fn contender<'s>(
    role: Role,
    (name, setup): (&'static str, &'static str),
    stream: &'s Stream,
    encode: impl Fn(&'s [Sent], &mut Vec<u8>) + 's,
) -> Contender<'s> {
    let encode = std::rc::Rc::new(encode);
    let again = encode.clone();
    let buffer = RefCell::new(Vec::with_capacity(stream.bytes.len() * 2));
    Contender {
        role,
        name,
        setup,
        timed: Box::new(move || {
            let out = &mut *buffer.borrow_mut();
            out.clear();
            encode(&stream.sent, out);
            Tally {
                data: std::hint::black_box(&*out).len() as u64,
                ..Tally::default()
            }
        }),
        check: Box::new(move |_| {
            let mut out = Vec::new();
            again(&stream.sent, &mut out);
            read_back(&out).compare(&stream.expected)
        }),
    }
}

/// What a reader makes of what was written.
fn read_back(mut wire: &[u8]) -> Digest {
    let mut parser = Parser::new();
    let mut digest = Digest::default();
    while let Ok(Some(event)) = parser.parse(&mut wire) {
        digest.take("", "", event.data.as_bytes());
    }
    digest
}

/// The bytes that have to be there in the end, copied by the event.
fn floor(stream: &Stream) -> Contender<'_> {
    let mut contender = contender(Role::Floor, (LIMIT, "into a Vec"), stream, |_, out| {
        let mut start = 0;
        for &end in &stream.ends {
            out.extend_from_slice(&stream.bytes[start..end]);
            start = end;
        }
    });
    contender.check = Box::new(|_| Ok(()));
    contender
}

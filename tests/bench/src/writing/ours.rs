//! This crate, writing.

use std::cell::RefCell;
use std::io;

use sse_io::{Emitter, Writer};

use super::{DEFAULT, contender, event};
use crate::measure::{Contender, Role};
use crate::sink::Tally;
use crate::streams::Stream;

pub(super) fn contenders(stream: &Stream) -> Vec<Contender<'_>> {
    let emitter = Emitter::new(io::sink());
    let mut emit = contender(
        Role::Ours,
        ("Emitter::emit", "into a sink"),
        stream,
        |sent, out| {
            let emitter = Emitter::new(out);
            for sent in sent {
                emitter.emit(&event(sent)).unwrap();
            }
        },
    );
    emit.timed = Box::new(move || count(stream, |sent| emitter.emit(sent)));

    let writer = RefCell::new(Writer::new(io::sink()));
    let mut write = contender(
        Role::Ours,
        ("Writer::write_event", "into a sink"),
        stream,
        write_into,
    );
    write.timed = Box::new(move || count(stream, |sent| writer.borrow_mut().write_event(sent)));

    // A writer owns the Vec that it writes into.
    let writer = RefCell::new(Writer::new(Vec::with_capacity(stream.bytes.len() * 2)));
    let mut write_to_vec = contender(
        Role::Ours,
        ("Writer::write_event", "into a Vec"),
        stream,
        write_into,
    );
    write_to_vec.timed = Box::new(move || {
        let mut writer = writer.borrow_mut();
        writer.get_mut().clear();
        let tally = count(stream, |sent| writer.write_event(sent));
        std::hint::black_box(writer.get_ref());
        tally
    });

    let encode = contender(Role::Ours, DEFAULT, stream, |sent, out| {
        for sent in sent {
            event(sent).encode(out).unwrap();
        }
    });
    vec![encode, write_to_vec, write, emit]
}

fn write_into(sent: &[crate::streams::Sent], out: &mut Vec<u8>) {
    let mut writer = Writer::new(out);
    for sent in sent {
        writer.write_event(&event(sent)).unwrap();
    }
}

/// Sends all events one by one.
fn count(stream: &Stream, mut send: impl FnMut(&sse_io::Event<'_>) -> io::Result<usize>) -> Tally {
    let mut tally = Tally::default();
    for sent in &stream.sent {
        tally.data += send(&event(sent)).unwrap() as u64;
    }
    tally
}

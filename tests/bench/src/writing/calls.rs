//! How often an unbuffered stream, such as a raw socket, is written to.

use std::io::{self, Write};

use sse_io::{Emitter, ResponseHead, Writer};

use super::{event, peers};
use crate::streams::Sent;

/// Write calls per event, by way of writing. Each call is a system call on a raw socket.
pub fn write_calls(events: &[Sent]) -> Vec<(&'static str, f64)> {
    let per_event = |write: &dyn Fn(&mut Calls)| {
        let mut calls = Calls::default();
        write(&mut calls);
        calls.0 as f64 / events.len() as f64
    };
    vec![
        (
            "Writer::write_event",
            per_event(&|calls| {
                let mut writer = Writer::new(calls);
                for sent in events {
                    writer.write_event(&event(sent)).unwrap();
                }
            }),
        ),
        (
            "Emitter::emit",
            per_event(&|calls| {
                let emitter = Emitter::new(calls);
                for sent in events {
                    emitter.emit(&event(sent)).unwrap();
                }
            }),
        ),
        (
            "Emitter::emit, chunked, with the response's head and its end",
            per_event(&|calls| {
                let emitter = ResponseHead::new().start(calls).unwrap();
                for sent in events {
                    emitter.emit(&event(sent)).unwrap();
                }
            }),
        ),
        (
            "naive write!",
            per_event(&|calls| {
                for sent in events {
                    peers::naive(calls, sent).unwrap();
                }
            }),
        ),
    ]
}

/// Takes everything and counts the calls.
#[derive(Default)]
struct Calls(u64);

impl Write for Calls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Writing values that serialise themselves.

use std::sync::Arc;

use axum::response::sse;
use serde_json::Value;
use sse_io::{Event, Writer};

use super::{contender, peers, read_back};
use crate::measure::{Contender, Measured, Role, measure};
use crate::sink::{Digest, Sink};
use crate::streams::{Sent, Stream};

/// The contender that the ratios of the table are to.
pub const REFERENCE: (&str, &str) = ("naive write!", "value by its Display");

/// Measures everyone on those events of the stream that are JSON.
pub fn measure_values(stream: &Stream, rounds: usize) -> (usize, Vec<Measured>) {
    let values = values(stream);
    (values.len(), measure(contenders(stream, values), rounds))
}

fn values(stream: &Stream) -> Arc<[Value]> {
    let parse = |sent: &Sent| serde_json::from_str(&sent.data).ok();
    stream.sent.iter().filter_map(parse).collect()
}

fn contenders(stream: &Stream, values: Arc<[Value]>) -> Vec<Contender<'_>> {
    let one = |role, name, encode: fn(&Arc<[Value]>, &mut Vec<u8>)| {
        let (shared, checked) = (values.clone(), values.clone());
        let mut contender = contender(role, name, stream, move |_, out| encode(&shared, out));
        contender.check = Box::new(move |_| {
            let mut out = Vec::new();
            encode(&checked, &mut out);
            let mut expected = Digest::default();
            for value in checked.iter() {
                expected.take("", "", value.to_string().as_bytes());
            }
            read_back(&out).compare(&expected)
        });
        contender
    };
    vec![
        one(
            Role::Ours,
            ("Writer::write_event_with", "serde_json::to_writer"),
            |values, out| {
                let mut writer = Writer::new(out);
                for value in values.iter() {
                    let write =
                        |data: &mut sse_io::DataWriter<'_>| Ok(serde_json::to_writer(data, value)?);
                    writer.write_event_with(&Event::new(""), write).unwrap();
                }
            },
        ),
        one(
            Role::Ours,
            ("Event::encode", "serde_json::to_string"),
            |values, out| {
                for value in values.iter() {
                    let text = serde_json::to_string(value).unwrap();
                    Event::new(text).encode(out).unwrap();
                }
            },
        ),
        one(Role::Peer, REFERENCE, |values, out| {
            use std::io::Write;
            for value in values.iter() {
                write!(out, "data: {value}\n\n").unwrap();
            }
        }),
        one(
            Role::Peer,
            ("axum 0.8.9 Event", "json_data"),
            |values, out| {
                let (count, values) = (values.len(), values.clone());
                let event = move |at: usize| sse::Event::default().json_data(&values[at]).unwrap();
                peers::axum_frames((0..count).map(event), out);
            },
        ),
        one(
            Role::Peer,
            ("sse-stream 0.3.0", "serde_json::to_string"),
            |values, out| {
                for value in values.iter() {
                    let text = serde_json::to_string(value).unwrap();
                    let event = sse_stream::Sse::default().data(text);
                    out.extend_from_slice(&event.encode().unwrap());
                }
            },
        ),
    ]
}

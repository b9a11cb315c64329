//! This crate, reading.

use std::io::{BufRead, BufReader};

use bytes::Bytes;
use sse_io::client::{Connect, ConnectError, Request, Response};
use sse_io::{Event, EventSource, Parser, Reader};

use super::{BUFFER, CLIENTS, DEFAULT, EVENT_AT_A_TIME, Inputs, OWNED, Pieces, TERMINATOR};
use crate::measure::{Contender, Role};
use crate::sink::Sink;

/// The name of the push parser, which is fed with chunks.
pub const PARSER: &str = "Parser, lending";

pub(super) fn contenders<'s>(inputs: &Inputs<'s>) -> Vec<Contender<'s>> {
    let buffered = || (inputs.whole.clone(), BUFFER);
    let slice = || inputs.whole.clone();
    let ours = Role::Ours;
    let mut contenders = vec![
        inputs.contender(ours, DEFAULT, buffered(), lend_buffered, lend_buffered),
        inputs.contender(ours, OWNED, buffered(), own_buffered, own_buffered),
        inputs.contender(ours, (DEFAULT.0, "&[u8]"), slice(), lend_slice, lend_slice),
        inputs.contender(ours, (OWNED.0, "&[u8]"), slice(), own_slice, own_slice),
        inputs.contender(ours, CLIENTS[0], slice(), follow, follow),
        inputs.contender(
            ours,
            CLIENTS[1],
            inputs.terminated.clone(),
            follow_to_terminator,
            follow_to_terminator,
        ),
    ];
    for (setup, chunks) in [
        ("128 B chunks", inputs.pieces(128)),
        ("1460 B chunks", inputs.pieces(1460)),
        ("4 KiB chunks", inputs.pieces(4 << 10)),
        ("16 KiB chunks", inputs.pieces(16 << 10)),
        (EVENT_AT_A_TIME, inputs.events()),
    ] {
        contenders.push(inputs.contender(ours, (PARSER, setup), chunks, parse, parse));
    }
    contenders
}

pub(super) fn for_pieces<'s>(inputs: &Inputs<'s>, size: usize) -> Vec<Contender<'s>> {
    let (name, chunks) = ((PARSER, "chunks"), inputs.pieces(size));
    let parser = inputs.contender(Role::Ours, name, chunks, parse, parse);
    let (name, buffered) = ((DEFAULT.0, "BufReader"), (inputs.whole.clone(), size));
    let reader = inputs.contender(Role::Ours, name, buffered, lend_buffered, lend_buffered);
    vec![parser, reader]
}

#[inline]
fn take<S: Sink>(event: &Event<'_>, sink: &mut S) {
    sink.take(
        event.name.as_deref().unwrap_or_default(),
        event.id.as_deref().unwrap_or_default(),
        event.data.as_bytes(),
    );
}

fn lend<S: Sink>(mut reader: Reader<impl BufRead>, sink: &mut S) {
    while let Some(event) = reader.read_event().unwrap() {
        take(&event, sink);
    }
}

fn own<S: Sink>(reader: Reader<impl BufRead>, sink: &mut S) {
    for event in reader {
        take(&event.unwrap(), sink);
    }
}

fn lend_buffered<S: Sink>((bytes, size): &(Bytes, usize), sink: &mut S) {
    lend(
        Reader::new(BufReader::with_capacity(*size, &bytes[..])),
        sink,
    );
}

fn own_buffered<S: Sink>((bytes, size): &(Bytes, usize), sink: &mut S) {
    own(
        Reader::new(BufReader::with_capacity(*size, &bytes[..])),
        sink,
    );
}

fn lend_slice<S: Sink>(bytes: &Bytes, sink: &mut S) {
    lend(Reader::new(&bytes[..]), sink);
}

fn own_slice<S: Sink>(bytes: &Bytes, sink: &mut S) {
    own(Reader::new(&bytes[..]), sink);
}

fn follow<S: Sink>(bytes: &Bytes, sink: &mut S) {
    follow_on(client(bytes).with_finite(true), sink);
}

fn follow_to_terminator<S: Sink>(bytes: &Bytes, sink: &mut S) {
    follow_on(client(bytes).with_terminator(TERMINATOR), sink);
}

/// A client of a server that is there at once.
fn client(bytes: &[u8]) -> EventSource<impl Connect> {
    EventSource::new(move |_: &Request<'_>| -> Result<_, ConnectError> {
        let body = BufReader::with_capacity(BUFFER, bytes);
        Ok(Response::new(200, "text/event-stream", body))
    })
}

fn follow_on<S: Sink>(mut source: EventSource<impl Connect>, sink: &mut S) {
    while let Some(event) = source.next_event().unwrap() {
        take(&event, sink);
    }
}

fn parse<S: Sink>(chunks: &Pieces, sink: &mut S) {
    let mut parser = Parser::new();
    for chunk in chunks.iter() {
        let mut rest = &chunk[..];
        while let Some(event) = parser.parse(&mut rest).unwrap() {
            take(&event, sink);
        }
    }
}

//! The other crates, reading, and the loop that people write themselves.
//!
//! The asynchronous ones are polled over chunks that lie ready in memory: the reference count of a
//! [`Bytes`] is all that a chunk costs them, while a blocking reader pays for the copy into its
//! buffer.

use std::io::{self, BufRead, BufReader};
use std::num::NonZero;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;

use super::{BUFFER, EVENT_AT_A_TIME, Inputs, Pieces};
use crate::measure::{Contender, Role};
use crate::sink::Sink;

/// Above the longest event of all streams.
const LIMIT: usize = 64 << 20;

/// Drives a peer over chunks.
type Drive<S> = fn(&Pieces, &mut S);

pub(super) fn contenders<'s>(inputs: &Inputs<'s>) -> Vec<Contender<'s>> {
    let mut contenders = Vec::new();
    for (setup, chunks) in [
        ("16 KiB chunks", inputs.pieces(16 << 10)),
        ("64 KiB chunks", inputs.pieces(64 << 10)),
        (EVENT_AT_A_TIME, inputs.events()),
    ] {
        contenders.extend(fed_with(inputs, setup, &chunks));
    }
    let mut add = |name, timed: fn(&Bytes, &mut _), checked: fn(&Bytes, &mut _)| {
        let whole = inputs.whole.clone();
        contenders.push(inputs.contender(Role::Peer, name, whole, timed, checked));
    };
    add(
        ("sse-codec 0.3.3", "AsyncRead, 8 KiB"),
        sse_codec,
        sse_codec,
    );
    add(
        ("async-sse 5.1.0", "AsyncBufRead, 16 KiB"),
        async_sse,
        async_sse,
    );
    add(("naive BufRead::lines", "BufReader, 16 KiB"), naive, naive);
    contenders
}

/// Those that take chunks.
pub(super) fn fed_with<'s>(
    inputs: &Inputs<'s>,
    setup: &'static str,
    chunks: &Pieces,
) -> Vec<Contender<'s>> {
    let peer = |name, timed: Drive<_>, checked: Drive<_>| {
        inputs.contender(Role::Peer, (name, setup), chunks.clone(), timed, checked)
    };
    vec![
        peer("sse-core 0.2.3", sse_core, sse_core),
        peer("sse-stream 0.3.0", sse_stream, sse_stream),
        peer("sseer 0.3.1", sseer, sseer),
        peer("sse-parse 0.1.0", sse_parse, sse_parse),
        peer(
            "eventsource-stream 0.2.3",
            eventsource_stream,
            eventsource_stream,
        ),
    ]
}

fn sse_core<S: Sink>(chunks: &Pieces, sink: &mut S) {
    let limit = NonZero::new(LIMIT).unwrap();
    let mut decoder = sse_core::SseDecoder::with_limit(limit);
    for chunk in chunks.iter() {
        let mut rest = &chunk[..];
        while let Some(event) = decoder.next(&mut rest) {
            if let sse_core::SseEvent::Message(event) = event.unwrap() {
                let id = event.last_event_id.as_deref().unwrap_or_default();
                sink.take(&event.event, id, event.data.as_bytes());
            }
        }
    }
}

fn sse_stream<S: Sink>(chunks: &Pieces, sink: &mut S) {
    let mut events = sse_stream::SseByteStream::new(Chunks(chunks.iter()));
    while let Some(event) = next(&mut events) {
        let event = event.unwrap();
        // Blocks of comments alone come as events without data.
        if let Some(data) = &event.data {
            let name = event.event.as_deref().unwrap_or_default();
            sink.take(
                name,
                event.id.as_deref().unwrap_or_default(),
                data.as_bytes(),
            );
        }
    }
}

fn sseer<S: Sink>(chunks: &Pieces, sink: &mut S) {
    let mut events = pin!(sseer::EventStream::new(Chunks(chunks.iter())));
    while let Some(event) = next(&mut events) {
        let event = event.unwrap();
        sink.take(&event.event, &event.id, event.data.as_bytes());
    }
}

fn sse_parse<S: Sink>(chunks: &Pieces, sink: &mut S) {
    let mut parser = sse_parse::SseParser::new().max_buffer(LIMIT);
    for chunk in chunks.iter() {
        parser.feed(chunk);
        while let Some(event) = parser.next_event() {
            sink.take(&event.event, &event.id, event.data.as_bytes());
        }
    }
}

fn eventsource_stream<S: Sink>(chunks: &Pieces, sink: &mut S) {
    let mut events = pin!(eventsource_stream::EventStream::new(Chunks(chunks.iter())));
    while let Some(event) = next(&mut events) {
        let event = event.unwrap();
        sink.take(&event.event, &event.id, event.data.as_bytes());
    }
}

fn sse_codec<S: Sink>(bytes: &Bytes, sink: &mut S) {
    let mut events = pin!(sse_codec::decode_stream(&bytes[..]));
    while let Some(event) = next(&mut events) {
        if let sse_codec::Event::Message { id, event, data } = event.unwrap() {
            sink.take(&event, id.as_deref().unwrap_or_default(), data.as_bytes());
        }
    }
}

fn async_sse<S: Sink>(bytes: &Bytes, sink: &mut S) {
    let buffered = futures_util::io::BufReader::with_capacity(BUFFER, &bytes[..]);
    let mut events = async_sse::decode(buffered);
    while let Some(event) = next(&mut events) {
        if let async_sse::Event::Message(event) = event.unwrap() {
            let id = event.id().as_deref().unwrap_or_default();
            sink.take(event.name(), id, event.data());
        }
    }
}

/// What is written around an HTTP client where no crate is used.
fn naive<S: Sink>(bytes: &Bytes, sink: &mut S) {
    let (mut name, mut id) = (String::new(), String::new());
    let mut data: Vec<String> = Vec::new();
    for line in BufReader::with_capacity(BUFFER, &bytes[..]).lines() {
        let line = line.unwrap();
        if line.is_empty() {
            if !data.is_empty() {
                sink.take(&name, &id, data.join("\n").as_bytes());
            }
            name.clear();
            data.clear();
        } else if let Some(value) = line.strip_prefix("data: ") {
            data.push(value.to_owned());
        } else if let Some(value) = line.strip_prefix("event: ") {
            name = value.to_owned();
        } else if let Some(value) = line.strip_prefix("id: ") {
            id = value.to_owned();
        }
    }
}

/// A stream that is always ready.
struct Chunks<'c>(std::slice::Iter<'c, Bytes>);

impl Stream for Chunks<'_> {
    type Item = io::Result<Bytes>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().cloned().map(Ok))
    }
}

/// The next item of a stream whose input is always ready.
#[inline]
fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(item) = Pin::new(&mut *stream).poll_next(&mut context) {
            return item;
        }
    }
}

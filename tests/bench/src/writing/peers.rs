//! The other crates, writing, and the `write!` that people write themselves.
//!
//! Each gets its event as cheaply as its interface allows: borrowed where it borrows.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use axum::response::sse;
use axum::response::{IntoResponse, Sse};
use futures_codec::{BytesMut, Encoder};
use futures_util::io::AsyncReadExt;
use http_body::Body;

use super::{REFERENCE, contender};
use crate::measure::{Contender, Role};
use crate::streams::{Sent, Stream};

pub(super) fn contenders(stream: &Stream) -> Vec<Contender<'_>> {
    let peer =
        |name, encode: fn(&[Sent], &mut Vec<u8>)| contender(Role::Peer, name, stream, encode);
    vec![
        peer(REFERENCE, |sent, out| {
            for sent in sent {
                naive(out, sent).unwrap();
            }
        }),
        contender(
            Role::Peer,
            ("axum 0.8.9 Event", "into body frames"),
            stream,
            {
                // Bodies are 'static, so the events are shared with it.
                let shared: std::sync::Arc<[Sent]> = stream.sent.clone().into();
                move |_, out| axum(shared.clone(), out)
            },
        ),
        peer(("sse-stream 0.3.0", "into a Vec of its own"), sse_stream),
        peer(("sse-codec 0.3.3", "into a BytesMut"), sse_codec),
        peer(("async-sse 5.1.0", "through its channel"), async_sse),
    ]
}

/// What is written where no crate is used.
pub(super) fn naive(out: &mut impl Write, sent: &Sent) -> io::Result<()> {
    if let Some(name) = &sent.name {
        writeln!(out, "event: {name}")?;
    }
    if let Some(id) = &sent.id {
        writeln!(out, "id: {id}")?;
    }
    for line in sent.data.lines() {
        writeln!(out, "data: {line}")?;
    }
    writeln!(out)
}

/// An event of axum's, as handlers build it.
pub(super) fn axum_event(sent: &Sent) -> sse::Event {
    let mut event = sse::Event::default();
    if let Some(name) = &sent.name {
        event = event.event(name);
    }
    if let Some(id) = &sent.id {
        event = event.id(id);
    }
    event
}

fn axum(sent: std::sync::Arc<[Sent]>, out: &mut Vec<u8>) {
    let events = (0..sent.len()).map(move |at| axum_event(&sent[at]).data(&sent[at].data));
    axum_frames(events, out);
}

/// What hyper gets of events, frame by frame.
pub(super) fn axum_frames(
    events: impl Iterator<Item = sse::Event> + Send + 'static,
    out: &mut Vec<u8>,
) {
    let events = futures_util::stream::iter(events.map(Ok::<_, Infallible>));
    let mut body = pin!(Sse::new(events).into_response().into_body());
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
        if let Some(data) = frame.unwrap().data_ref() {
            out.extend_from_slice(data);
        }
    }
}

fn sse_stream(sent: &[Sent], out: &mut Vec<u8>) {
    for sent in sent {
        let mut event = sse_stream::Sse::default().data(&*sent.data);
        if let Some(name) = &sent.name {
            event = event.event(&**name);
        }
        if let Some(id) = &sent.id {
            event = event.id(&**id);
        }
        out.extend_from_slice(&event.encode().unwrap());
    }
}

fn sse_codec(sent: &[Sent], out: &mut Vec<u8>) {
    let mut codec = sse_codec::SSECodec::default();
    let mut buffer = BytesMut::with_capacity(64 << 10);
    for sent in sent {
        let name = sent.name.as_deref().unwrap_or("message");
        let event = sse_codec::Event::message(name, &sent.data, sent.id.as_deref());
        codec.encode(event, &mut buffer).unwrap();
        out.extend_from_slice(&buffer);
        buffer.clear();
    }
}

fn async_sse(sent: &[Sent], out: &mut Vec<u8>) {
    let (sender, mut encoder) = async_sse::encode();
    let send = async move {
        for sent in sent {
            let name = sent.name.as_deref();
            sender
                .send(name, &sent.data, sent.id.as_deref())
                .await
                .unwrap();
        }
    };
    let receive = async {
        let mut piece = [0; 16 << 10];
        loop {
            match encoder.read(&mut piece).await.unwrap() {
                0 => break,
                length => out.extend_from_slice(&piece[..length]),
            }
        }
    };
    block_on(pin!(futures_util::future::join(send, receive)));
}

/// Polls what never waits for anything outside of itself.
fn block_on<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

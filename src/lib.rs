//! Server-Sent Events for blocking Rust: over `std::io`, with no dependencies, in safe Rust alone.
//!
//! For programs without an async runtime: a server on `tiny_http`, rouille or a bare
//! [`TcpListener`](std::net::TcpListener) that streams events to browsers, a command-line tool that
//! reads a language model's reply through ureq, a device, a build system. One thread per connection,
//! and the format exactly as the [HTML standard, section 9.2][standard] has it.
//!
//! # Serving
//!
//! A handler that has the connection in its hands (anything that is [`Write`](std::io::Write)) starts
//! a stream with a [`ResponseHead`] and sends [`Event`]s through the [`Emitter`] that this gives:
//!
//! ```
//! use std::time::Duration;
//! use sse_io::{Event, ResponseHead};
//!
//! fn handler(connection: std::net::TcpStream) -> std::io::Result<()> {
//!     let emitter = ResponseHead::new().start(connection)?;
//!     let _heartbeat = emitter.spawn_heartbeats(Duration::from_secs(15))?;
//!     for tick in 1.. {
//!         // Fails once the client is gone, and so ends the handler.
//!         emitter.emit(&Event::new(format!("tick {tick}")).with_id(tick.to_string()))?;
//!         if emitter.wait_closed(Some(Duration::from_secs(1))) {
//!             break;
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Reading
//!
//! A [`Reader`] takes any [`BufRead`](std::io::BufRead), such as a
//! [`BufReader`](std::io::BufReader) around a response's body, and lends its events one by one:
//!
//! ```
//! use sse_io::Reader;
//!
//! # let body = &b"event: greeting\ndata: hello\n\n"[..];
//! let mut reader = Reader::new(body);
//! while let Some(event) = reader.read_event()? {
//!     println!("{}: {}", event.event_type(), event.data);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Coming back
//!
//! An [`EventSource`] reads a stream over as many connections as it takes: it waits, connects again
//! and asks for what follows the last event. It makes no requests of its own; a closure makes each
//! one, with the HTTP library of your choice, and gives back what came:
//!
//! ```
//! use sse_io::EventSource;
//! use sse_io::client::{Error, Response};
//!
//! # let mut answers = [(200, &b"retry: 0\nid: 1\ndata: a\n\n"[..]), (200, b"id: 2\ndata: b\n\n"), (204, b"")].into_iter();
//! # let mut get = |url: &str, headers: Vec<(&str, &[u8])>| -> std::io::Result<_> {
//! #     assert_eq!((url, headers.len() > 3), ("https://example.org/events", answers.len() < 3));
//! #     Ok(answers.next().unwrap())
//! # };
//! # let mut seen = String::new();
//! let mut source = EventSource::new(|request| {
//!     // `Accept`, `Cache-Control`, and `Last-Event-ID` once there is one.
//!     let (status, body) = get("https://example.org/events", request.headers().collect())?;
//!     Ok(Response::new(status, "text/event-stream", body))
//! });
//! while let Some(event) = source.next_event()? {
//!     println!("{}: {}", event.event_type(), event.data);
//! #     seen += &event.data;
//! }
//! # assert_eq!(seen, "ab");
//! # Ok::<(), Error>(())
//! ```
//!
//! The stream ends for good when the server answers 204, with an error when it answers anything that
//! is no event stream, and when a [`Closer`](client::Closer) says so. The [`client`] module has the
//! connector for ureq and the rules; the repository's `agent` example is a whole program.
//!
//! # Broadcasting
//!
//! A [`Hub`] sends one publisher's events to any number of connections, each served by the thread of
//! its own handler, and has a client that comes back go on where it was:
//!
//! ```
//! use std::time::Duration;
//! use sse_io::{Event, Heartbeat, Hub, ResponseHead};
//!
//! fn handler(hub: &Hub, connection: std::net::TcpStream, last_event_id: &str) -> std::io::Result<()> {
//!     let mut subscription = hub
//!         .subscribe()
//!         .with_topics(["weather"])
//!         .with_last_event_id(last_event_id)
//!         .start()?;
//!     let emitter = ResponseHead::new().start(connection)?;
//!     subscription.serve(&emitter, Heartbeat::every(Duration::from_secs(15)));
//!     Ok(())
//! }
//!
//! let hub = Hub::new();
//! hub.publish_to(["weather"], &Event::new("rain"))?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Each event is encoded once, into a log that all subscriptions share; what that means for memory, slow
//! clients, gaps and several processes is in the [`hub`] module.
//!
//! # Embedding
//!
//! Whatever gives a handler the raw connection will do. The repository has a complete program for
//! each row but the last, tested end to end: the first two with bare sockets, ureq and curl, `tiny_http`
//! with Chromium and behind nginx too, rouille with bare sockets and ureq.
//!
//! | server | how | live | the end is seen | a client that does not read |
//! |---|---|---|---|---|
//! | bare `TcpListener` | [`ResponseHead::start`] on the `TcpStream` | yes | last chunk, then close | the socket's write time-out |
//! | `tiny_http` | [`ResponseHead::start`] on `request.into_writer()` | yes | last chunk, connection reused | write time-out by `http::tune_listener` |
//! | rouille, `Upgrade` | status 103, then [`ResponseHead::start`] on the socket, in a thread of its own | yes | last chunk, connection reused | its thread waits until the client goes |
//! | any that pulls a [`Read`](std::io::Read) | [`body::channel`], padded where it holds bytes back | HTTP/1.1 | yes | [`BodyWriter::with_timeout`](body::BodyWriter::with_timeout) |
//!
//! `tiny_http`, and rouille, which is built on it: answer every request on a thread of its own, or the
//! second request on a stream's connection holds up everybody. They give a silent client no time-out
//! and stop accepting for good when the process runs out of file descriptors, two for each
//! connection: put a proxy in front that limits both. Of connections that come at once some may wait
//! until another one ends; the `server` example has the line against that. Header values are ASCII to
//! them: keep ids to ASCII.
//!
//! Set no-delay (`http::tune_listener` where the socket is out of reach). On a reused
//! connection, which is every connection of a browser, the stream opened after 44 ms when head and
//! first block were two writes, and after 0.06 ms in the one write that they are; the first event came
//! after 44 ms without no-delay and after 0.05 ms with it (medians over loopback, by the load tool in
//! `tests/load`).
//!
//! # Behind a proxy
//!
//! A proxy that collects a response, compresses it or gives up on silence breaks a stream. Send
//! heartbeats every 15 seconds, and set:
//!
//! | proxy | what to set | why |
//! |---|---|---|
//! | nginx | `proxy_http_version 1.1; proxy_set_header Connection "";` | with its default, HTTP/1.0, a stream that breaks looks like one that ends. `X-Accel-Buffering: no`, which every head carries, turns buffering off; `proxy_read_timeout` is 60 s of silence |
//! | Apache | `flushpackets=on` on the `ProxyPass`, `ProxyTimeout` above the heartbeat, `SetEnv no-gzip 1` | it sends on when its buffer is full, else |
//! | Caddy | nothing | `reverse_proxy` sends event streams on at once |
//! | `HAProxy` | `option http-no-delay`; `timeout server` and `timeout client` above the heartbeat | it has the kernel collect small writes, else |
//!
//! What is said of nginx was measured with `tiny_http` (nginx 1.22, with gzip on as well, which stays
//! live); of the others it is what their documentation says. The 103 of the rouille row does not pass
//! an nginx that speaks HTTP/1.1 to it: leave nginx at HTTP/1.0 there.
//!
//! # The types, and how they fit
//!
//! | type | what it is | sits on |
//! |---|---|---|
//! | [`Event`] | plain data, in both directions | |
//! | [`Writer`] | frames into any `Write`, one write each | the encoder |
//! | [`Emitter`] | a live stream shared by threads: flushes, sends heartbeats, ends properly | [`Writer`] |
//! | [`ResponseHead`] | the HTTP response that starts a stream, or refuses it | [`Emitter`] |
//! | [`body::channel`] | a stream as a response's body, for servers that pull it | |
//! | [`Parser`] | bytes in, events out; no I/O | |
//! | [`Reader`] | events out of any `BufRead` | [`Parser`] |
//! | [`EventSource`] | events over many connections, each made by your HTTP library | [`Reader`] |
//! | [`Hub`] | one publisher, many subscribers: topics, replay, gaps | the encoder; [`Emitter`] to serve |
//!
//! Each is of use by itself: a [`Writer`] into a file, a [`Parser`] behind a C callback.
//!
//! # Threads and blocking
//!
//! Nothing here polls and nothing sleeps. Reading blocks as long as the inner reader does, writing as
//! long as the inner writer does; time-outs are the socket's, and none of them loses a byte. The
//! only threads that the crate ever starts are those of [`Emitter::spawn_heartbeats`],
//! [`Emitter::watch`] and [`EventSource::spawn`]. A peer that
//! stops reading blocks its own stream alone, and a write time-out, as
//! `http::tune_listener` sets, ends it. An [`EventSource`] connects, reads and waits
//! on the thread that asks it for events; its [`Closer`](client::Closer) ends all three from another
//! one, as far as the HTTP library can be interrupted.
//!
//! # Limits
//!
//! Whatever a peer sends, memory is bounded. An event that costs more than 16 MiB to keep is skipped
//! and reported as [`EventTooLarge`] ([`Parser::with_max_event_size`] says what counts, and sets
//! another limit), comments are kept only where they are asked for, and memory blown up by one giant is
//! given back. Time is linear in the bytes, however they are cut into pieces. A client waits for at
//! least 100 ms and at most 5 min between attempts, whatever the server asks for
//! ([`with_reconnection_limits`](EventSource::with_reconnection_limits)); it sends no last event ID
//! of more than 4 KiB. A [`Hub`] holds 1,024 events and 8 MiB at most, for all its subscribers
//! together, unless its [`Builder`](hub::Builder) says otherwise.
//!
//! # Errors
//!
//! [`Reader`], [`Writer`] and [`Emitter`] speak [`io::Error`](std::io::Error), with these kinds of
//! their own; the payload is reached by `get_ref`. The end of a stream is no error but `None`.
//!
//! | kind | payload | when |
//! |---|---|---|
//! | `InvalidInput` | [`InvalidField`] | a field would break out of its line; nothing is written |
//! | `InvalidData` | [`EventTooLarge`] | an event exceeds the limit; the next call goes on behind it |
//! | `InvalidData` | [`Utf8Error`](std::str::Utf8Error) | streamed data is not UTF-8; nothing is written |
//! | `BrokenPipe` | | the stream was closed, or an earlier write failed |
//!
//! [`EventSource`] has an [`Error`](client::Error) of its own: what has ended the stream for good, by
//! [`kind`](client::Error::kind), and beside that only an event too large. A lost connection is no
//! error. Into `io::Error` it goes with the kind of its cause.
//!
//! # Security
//!
//! The format has no escape mechanism, so a line break in a name or an id would inject fields and
//! events. Every byte that leaves goes through one encoder that refuses such a field as a whole, and
//! splits data and comments at every CR, LF and CRLF. Malformed UTF-8 from the wire becomes U+FFFD,
//! as the standard says. No input makes the crate panic.
//!
//! # What it does not do
//!
//! No HTTP requests and no TLS: those are your HTTP library's. No async. No escaping of what you put
//! into a page.
//!
//! # Rust version
//!
//! 1.85 or newer; raising it is a breaking change.
//!
//! [standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html

pub mod body;
mod buffer;
pub mod client;
mod emitter;
mod encode;
mod event;
pub mod http;
pub mod hub;
mod parser;
mod reader;
mod scan;
mod sync;
mod writer;

pub use client::EventSource;
pub use emitter::{Emitter, Heartbeat, HeartbeatThread};
pub use encode::InvalidField;
pub use event::{Event, ParseEventError};
pub use http::ResponseHead;
pub use hub::Hub;
pub use parser::{EventTooLarge, Item, Parser};
pub use reader::{Events, IntoEvents, Reader};
pub use writer::{DataWriter, Writer};

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

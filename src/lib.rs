//! Server-Sent Events for blocking Rust, on the standard library alone.
//!
//! For programs without an async runtime: a server on `tiny_http`, rouille or a bare
//! [`TcpListener`](std::net::TcpListener) that streams to browsers, a command-line tool that reads a
//! language model's reply through ureq, a device, a build system. The format is exactly that of the
//! [HTML standard, section 9.2][standard]. No dependencies, safe Rust alone.
//!
//! **Serve.** Anything that is [`Write`](std::io::Write) becomes a live stream:
//!
//! ```
//! use std::time::Duration;
//! use sse_io::{Event, ResponseHead};
//!
//! fn handler(connection: std::net::TcpStream) -> std::io::Result<()> {
//!     let emitter = ResponseHead::new().start(connection)?;
//!     let _heartbeats = emitter.spawn_heartbeats(Duration::from_secs(15))?;
//!     for tick in 1.. {
//!         // Fails once the client is gone, which ends the handler.
//!         emitter.emit(&Event::new(format!("tick {tick}")).with_id(tick.to_string()))?;
//!         emitter.wait_closed(Some(Duration::from_secs(1)));
//!     }
//!     Ok(())
//! }
//! ```
//!
//! **Read.** Anything that is [`BufRead`](std::io::BufRead) gives events;
//! [`EventSource`] reconnects as well, and goes on where it was:
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
//! **Broadcast.** One publisher, any number of connections, and replay for those that come back:
//!
//! ```
//! use std::time::Duration;
//! use sse_io::{Event, Heartbeat, Hub, ResponseHead};
//!
//! fn handler(hub: &Hub, connection: std::net::TcpStream, last_event_id: &str) -> std::io::Result<()> {
//!     let mut subscription = hub.subscribe().with_last_event_id(last_event_id).start()?;
//!     let emitter = ResponseHead::new().start(connection)?;
//!     subscription.serve(&emitter, Heartbeat::every(Duration::from_secs(15)));
//!     Ok(())
//! }
//!
//! let hub = Hub::new();
//! hub.publish(&Event::new("rain"))?;
//! # Ok::<(), std::io::Error>(())
//! ```
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
//! Read on in the [guide](_guide): [serving](_guide::serving), [reading](_guide::reading), [a
//! client](_guide::client), [broadcasting](_guide::broadcast), [proxies](_guide::proxies),
//! [limits](_guide::limits), [errors](_guide::errors), [security](_guide::security),
//! [migrating](_guide::migrating), and [internals](_guide::internals) for those who change the crate.
//!
//! It makes no HTTP requests and speaks no TLS: those are your HTTP library's. Rust 1.85 or newer.
//!
//! [standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html

pub mod _guide;
pub mod body;
mod buffer;
pub mod client;
mod digits;
mod emitter;
mod encode;
mod event;
mod from_text;
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
pub use event::{Event, Extensions};
pub use from_text::ParseEventError;
pub use http::ResponseHead;
pub use hub::Hub;
pub use parser::{EventTooLarge, Item, Parser};
pub use reader::{Events, IntoEvents, Reader};
pub use writer::{DataWriter, Writer};

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! The client: an event stream that comes back when its connection is lost.
//!
//! [`EventSource`] owns the rules of the [HTML standard, section 9.2][standard]: which response is a
//! stream and which ends it for good, where to go on after a loss, how long to wait before that. The
//! caller brings HTTP and TLS as a closure that makes one request, or anything else that is
//! [`Connect`]:
//!
//! ```
//! use std::io::BufReader;
//! use std::time::Duration;
//!
//! use sse_io::EventSource;
//! use sse_io::client::{ConnectError, Request, Response};
//! use ureq::Error::{self, ConnectProxyFailed, HostNotFound, Io, Timeout};
//! use ureq::{Agent, BodyReader};
//!
//! type Body = BufReader<BodyReader<'static>>;
//!
//! fn connect(url: &str, request: &Request<'_>) -> Result<Response<Body>, ConnectError> {
//!     let config = Agent::config_builder()
//!         .http_status_as_error(false) // the status is for EventSource to judge
//!         .timeout_connect(Some(Duration::from_secs(10)))
//!         .timeout_per_read(Some(Duration::from_secs(45))); // three heartbeats of silence
//!     let agent = config.build().new_agent(); // one per attempt: its shutdown is for good
//!     let call = request.headers().fold(agent.get(url), |call, (name, v)| call.header(name, v));
//!     request.on_close(move || agent.shutdown());
//!     let passes = |e: &Error| matches!(e, Io(_) | Timeout(_) | HostNotFound | ConnectProxyFailed(_));
//!     let result = call.call().map_err(|e| ConnectError::retry_if(passes(&e), e.into_io()));
//!     let (head, body) = result?.map(|body| BufReader::new(body.into_reader())).into_parts();
//!     Ok(Response::from_head(head.status, |name| head.headers.get(name), body))
//! }
//!
//! let mut source = EventSource::new(|request| connect("http://127.0.0.1:1/events", request))
//!     .with_reconnection_time(Duration::from_millis(100))
//!     .with_max_attempts(1);
//! let error = source.next_event().unwrap_err();
//! assert_eq!(error.to_string(), "gave up after 1 failed attempt");
//! ```
//!
//! # What happens when
//!
//! | what came | what follows |
//! |---|---|
//! | 200 and `text/event-stream` | the stream is open |
//! | no connection, a read error or time-out, the end of the body | a wait, then another attempt with `Last-Event-ID` |
//! | 204 | the end: the server's way to say "no more" |
//! | any other status, any other media type, a compressed body | the end with an error; [`with_retried_statuses`](EventSource::with_retried_statuses) has some statuses tried again |
//! | a bad URL, a redirect in circles ([`ConnectError::fatal`] from the connector) | the end with an error |
//! | [`Closer::close`] from any thread | the end |
//!
//! Redirects are the HTTP library's; each attempt starts again at the first URL.
//!
//! The error of a refusal has what the server said: [`Error::status`] and [`Error::body`]. Its body is
//! read up to 8 KiB, within the time-outs of the connection and no longer than 5 s after the head,
//! the last read aside.
//!
//! # Who is told what
//!
//! [`EventSource::on_state`] is told of the connection: connecting, open, waiting (and why), closed (and
//! why). [`Listeners`] are told of what the stream holds: events by type, comments, events that were too
//! large. What ends the stream for good is returned, once, by the call that reads.
//!
//! # The wait
//!
//! With *r* the reconnection time (3 s until the server's `retry` or the caller says otherwise, never
//! below 100 ms or above 5 min) and *n* the failures in a row, the wait is
//! *r* + random(0, min(*r* × 2ⁿ, max − *r*)): at least what the server asked for, longer with
//! every failure, and spread, so that ten thousand clients do not come back in the same second. The
//! random part is never less than a third of what the server asked for (a quarter of the whole): where
//! `retry` or `Retry-After` asks for the longest wait there is, the wait is up to a third longer,
//! 5 min to 6 min 40 s by default.
//!
//! A connection that gave an event or lasted for 5 s was no failure: *n* is 0 after it. One that was
//! accepted and dropped at once was.
//!
//! # Silence
//!
//! A peer that is gone without a word looks like one that has nothing to say. Set a read time-out of
//! two or three of the server's heartbeats on the connection: what it fails with counts as a lost
//! connection, and comments count as life.
//!
//! # Headers of your own, a body, a new token
//!
//! The connector makes the request anew at each attempt, so what it sends can be new each time. A
//! `POST` takes its body there (with ureq: `agent.post(url)` in place of `get`, `call.send(body)` in
//! place of `call.call()`). Here a token that has run out is replaced, and the request made again:
//!
//! ```
//! # use std::time::Duration;
//! use sse_io::EventSource;
//! use sse_io::client::{Request, Response};
//!
//! # fn new_token(attempt: u32) -> std::io::Result<String> { Ok(format!("token {attempt}")) }
//! # fn post(_: &str, token: &str, _: impl Iterator<Item = (&'static str, &'static [u8])>, _: &str) -> std::io::Result<(u16, &'static [u8])> {
//! #     Ok(if token == "token 1" { (401, b"expired") } else { (200, b"data: hello\n\ndata: [DONE]\n\n") })
//! # }
//! # let ms = Duration::from_millis(1);
//! let mut source = EventSource::new(|request: &Request<'_>| {
//!     let token = new_token(request.attempt())?; // fails: it is tried again
//! #   let own = std::iter::empty();
//!     let (status, body) = post("/v1/chat", &token, own, r#"{"stream": true}"#)?;
//!     Ok(Response::new(status, "text/event-stream", body))
//! })
//! .with_retried_statuses([401]) // until the attempts are used up
//! .with_max_attempts(3)
//! .with_terminator("[DONE]");
//! # source = source.with_reconnection_limits(ms, ms);
//! assert_eq!(source.next_event()?.unwrap().data, "hello");
//! assert_eq!(source.next_event()?, None);
//! # Ok::<(), sse_io::client::Error>(())
//! ```
//!
//! HTTP libraries take `Authorization` and `Cookie` off when a redirect leads to another host, but not
//! headers with a key that they do not know: follow no redirects where you send one.
//!
//! # Where to keep a client
//!
//! A closure has no name. In a struct it is a box, [`BoxConnect`]:
//!
//! ```
//! use sse_io::EventSource;
//! use sse_io::client::{BoxConnect, Response};
//!
//! struct Prices {
//!     source: EventSource<BoxConnect>,
//! }
//!
//! impl Prices {
//!     fn new(url: String) -> Prices {
//!         let connect: BoxConnect = Box::new(move |_| {
//! #           let _ = &url;
//!             let response = Response::new(200, "text/event-stream", &b"data: 7\n\n"[..]);
//!             Ok(response.map_body(|body| Box::new(body) as _))
//!         });
//!         let source = EventSource::new(connect);
//!         Prices { source }
//!     }
//! }
//!
//! let mut prices = Prices::new("https://example.org/prices".into());
//! assert_eq!(prices.source.next_event()?.unwrap().data, "7");
//! # Ok::<(), sse_io::client::Error>(())
//! ```
//!
//! A client is `Send` when its connector is, so a thread can own it:
//!
//! ```
//! use sse_io::EventSource;
//! use sse_io::client::Response;
//!
//! let mut source =
//!     EventSource::new(|_| Ok(Response::new(200, "text/event-stream", &b"data: 7\n\n"[..])));
//! let closer = source.closer();
//! let reading = std::thread::spawn(move || {
//!     while let Some(event) = source.next_event()? {
//!         assert_eq!(event.data, "7");
//!         closer.close(); // from here, or from any other thread
//!     }
//!     Ok::<(), sse_io::client::Error>(())
//! });
//! reading.join().unwrap()?;
//! # Ok::<(), sse_io::client::Error>(())
//! ```
//!
//! And [`EventSource::spawn`] puts it behind a channel, to wait for an event for no longer than some
//! time.
//!
//! A closure that is bound to a variable first has to name its parameter's type, because Rust infers
//! one lifetime for it and not any:
//!
//! ```compile_fail
//! # use sse_io::EventSource;
//! # use sse_io::client::{ConnectError, Request, Response};
//! let connect = |_| Ok(Response::new(200, "text/event-stream", &b""[..]));
//! let source = EventSource::new(connect);
//! ```
//!
//! ```
//! # use sse_io::EventSource;
//! # use sse_io::client::{Request, Response};
//! let connect = |_: &Request<'_>| Ok(Response::new(200, "text/event-stream", &b""[..]));
//! let source = EventSource::new(connect);
//! ```
//!
//! Coming from another client: the names of four of them are in [the guide](crate::_guide::migrating).
//!
//! [standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html

mod backoff;
mod body;
mod clock;
mod closer;
mod connect;
mod error;
mod listeners;
mod settings;
mod source;
mod spawn;
#[cfg(test)]
mod tests;

pub use backoff::TRANSIENT_STATUSES;
pub use closer::{Closer, Ending, State};
pub use connect::{BoxConnect, Connect, ConnectError, Request, Response};
pub use error::{Error, ErrorKind};
pub use listeners::{Listener, Listeners};
pub use source::EventSource;
pub use spawn::{Incoming, Items};

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
//! | any other status, any other media type | the end with an error; [`with_retried_statuses`](EventSource::with_retried_statuses) has some statuses tried again |
//! | a bad URL, a redirect in circles ([`ConnectError::fatal`] from the connector) | the end with an error |
//! | [`Closer::close`] from any thread | the end |
//!
//! Redirects are the HTTP library's; each attempt starts again at the first URL.
//!
//! # The wait
//!
//! With *r* the reconnection time (3 s until the server's `retry` or the caller says otherwise, never
//! below 100 ms or above 5 min) and *n* the failures in a row, the wait is
//! *r* + random(0, min(*r* × 2ⁿ, max − *r*)): at least what the server asked for, longer with
//! every failure, and spread, so that ten thousand clients do not come back in the same second.
//! A connection that gave an event or lasted for 5 s was no failure: *n* is 0 after it. One that was
//! accepted and dropped at once was.
//!
//! # Silence
//!
//! A peer that is gone without a word looks like one that has nothing to say. Set a read time-out of
//! two or three of the server's heartbeats on the connection: what it fails with counts as a lost
//! connection, and comments count as life.
//!
//! [standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html

mod backoff;
mod clock;
mod closer;
mod connect;
mod error;
mod listeners;
mod source;
#[cfg(test)]
mod tests;

pub use backoff::TRANSIENT_STATUSES;
pub use closer::{Closer, Ending, State};
pub use connect::{Connect, ConnectError, Request, Response};
pub use error::{Error, ErrorKind};
pub use listeners::{Listener, Listeners};
pub use source::EventSource;

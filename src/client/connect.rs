//! The seam to HTTP: what a connector is asked for, and what it answers.

use std::fmt;
use std::io::{self, BufRead};
use std::sync::Arc;
use std::time::Duration;

use super::closer::Control;
use super::error::{Error, ErrorKind};
use crate::http;

/// The longest last event ID that is sent, in bytes: about what a header can hold anywhere.
const MAX_ID: usize = 4 << 10;

/// Makes one HTTP request for an [`EventSource`](super::EventSource), and gives its response back.
///
/// Closures are connectors: [`EventSource::new`](super::EventSource::new) takes them. Implement it
/// for a type that has a state to show;
/// [`EventSource::with_connect`](super::EventSource::with_connect) takes that.
pub trait Connect {
    /// The response's body. A `BufReader` of 8 to 16 KiB around what the HTTP library gives will do.
    type Body: BufRead;

    /// Makes the request and waits for the head of the response. Name look-up, TCP connect, TLS,
    /// redirects and time-outs are the connector's. It should
    ///
    /// - send [`Request::headers`] with a GET, or with what else the server asks for;
    /// - register what ends a blocked read with [`Request::on_close`], as soon as there is something
    ///   to end;
    /// - give every response back, whatever its status;
    /// - ask for no compression, which holds events back, and set no limit on the body's size or on
    ///   the time it takes as a whole, only on silence.
    ///
    /// # Errors
    ///
    /// Anything that kept the response from coming: it will be tried again. Only
    /// [`InvalidInput`](io::ErrorKind::InvalidInput), for a bad URL or header, ends the stream for
    /// good.
    fn connect(&mut self, request: &Request<'_>) -> io::Result<Response<Self::Body>>;
}

impl<F, B> Connect for F
where
    F: FnMut(&Request<'_>) -> io::Result<Response<B>>,
    B: BufRead,
{
    type Body = B;

    fn connect(&mut self, request: &Request<'_>) -> io::Result<Response<B>> {
        self(request)
    }
}

/// What an [`EventSource`](super::EventSource) asks its connector for.
pub struct Request<'a> {
    last_event_id: &'a str,
    attempt: u32,
    control: &'a Arc<Control>,
}

impl<'a> Request<'a> {
    pub(super) fn new(last_event_id: &'a str, attempt: u32, control: &'a Arc<Control>) -> Self {
        Request {
            last_event_id,
            attempt,
            control,
        }
    }

    /// The headers to send, name and value: `Accept`, `Cache-Control`, and `Last-Event-ID` when
    /// there is one that a header can carry.
    ///
    /// Values are bytes: a last event ID goes out as UTF-8, not as Latin-1 and not percent-encoded
    /// (HTML standard, 9.2.3). ureq takes them as they are.
    ///
    /// An id with a control character other than TAB, or of more than 4 KiB, is not sent, and
    /// [`State::Connecting`](super::State::Connecting) says so.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> + use<'a> {
        let sent = !self.last_event_id.is_empty() && !withholds(self.last_event_id);
        let id = sent.then_some(("Last-Event-ID", self.last_event_id.as_bytes()));
        [
            ("Accept", &b"text/event-stream"[..]),
            ("Cache-Control", b"no-cache"),
        ]
        .into_iter()
        .chain(id)
    }

    /// The last event ID, whether a header can carry it or not; empty when there is none.
    pub fn last_event_id(&self) -> &'a str {
        self.last_event_id
    }

    /// The number of this attempt, from 1, counted from the last connection that was healthy.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Registers what ends this attempt and its body when the client is closed from another thread:
    /// `TcpStream::shutdown`, `ureq::Agent::shutdown`. May be called several times. It runs on the
    /// thread that calls [`Closer::close`](super::Closer::close), or here and at once when that has
    /// happened already; it is dropped when the connection is done with.
    pub fn on_close(&self, hook: impl FnOnce() + Send + 'static) {
        if let Some(hook) = self.control.register(Box::new(hook)) {
            hook();
        }
    }
}

/// Whether this is an id that a header cannot carry.
pub(super) fn withholds(id: &str) -> bool {
    let cannot_be_sent = |b: u8| b.is_ascii_control() && b != b'\t';
    id.len() > MAX_ID || id.bytes().any(cannot_be_sent)
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("last_event_id", &self.last_event_id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// What a connector got back: as much of a response's head as the rules need, and its body.
#[derive(Debug)]
#[must_use = "the response is what a connector returns"]
pub struct Response<B> {
    status: u16,
    /// None when it is an event stream, else what it is instead.
    other_type: Option<String>,
    retry_after: Option<Duration>,
    body: B,
}

impl<B: BufRead> Response<B> {
    /// A response with this status, `Content-Type` header and body, which is not looked at yet.
    ///
    /// The content type is anything that gives bytes (`&str`, `&[u8]`, an `http::HeaderValue`), and
    /// empty when the header is missing.
    pub fn new(status: u16, content_type: impl AsRef<[u8]>, body: B) -> Self {
        let content_type = content_type.as_ref();
        // Parameters are ignored, in whatever encoding they are.
        let essence = content_type.split(|byte| *byte == b';').next();
        let is_stream = essence
            .and_then(|essence| std::str::from_utf8(essence).ok())
            .is_some_and(http::is_event_stream);
        let shown = &content_type[..content_type.len().min(100)];
        Response {
            status,
            other_type: (!is_stream).then(|| String::from_utf8_lossy(shown).into_owned()),
            retry_after: None,
            body,
        }
    }

    /// How long the server wants to be left alone: its `Retry-After` header in seconds, as
    /// [`http::retry_after`](crate::http::retry_after) reads it. Counts for the statuses that are
    /// tried again. Default: none.
    pub fn with_retry_after(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.retry_after = delay.into();
        self
    }

    pub(super) fn into_body(self) -> B {
        self.body
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Why this is no event stream, if it is none.
    pub(super) fn refusal(&self) -> Option<Error> {
        if self.status != 200 {
            return Some(ErrorKind::Status(self.status).into());
        }
        let other = self.other_type.as_ref()?;
        Some(Error::media_type(other.clone()))
    }
}

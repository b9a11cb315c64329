//! The seam to HTTP: what a connector is asked for, and what it answers.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, BufRead};
use std::sync::Arc;
use std::time::Duration;

use super::closer::Control;
use super::error::{Error, ErrorKind};
use crate::http::{self, MAX_LAST_EVENT_ID};

/// Makes one HTTP request for an [`EventSource`](super::EventSource) and returns its response.
///
/// Every closure with the right signature is a connector, and
/// [`EventSource::new`](super::EventSource::new) takes it. Implement the trait for a type that has
/// state of its own or needs a name;
/// [`EventSource::with_connect`](super::EventSource::with_connect) takes that.
///
/// ```
/// use sse_io::EventSource;
/// use sse_io::client::{Connect, ConnectError, Request, Response};
///
/// /// Plays a recorded stream.
/// struct Recorded(&'static [u8]);
///
/// impl Connect for Recorded {
///     type Body = &'static [u8];
///
///     fn connect(&mut self, _: &Request<'_>) -> Result<Response<Self::Body>, ConnectError> {
///         Ok(Response::new(200, "text/event-stream", self.0))
///     }
/// }
///
/// let mut source = EventSource::with_connect(Recorded(b"data: a\n\n"));
/// assert_eq!(source.next_event()?.unwrap().data, "a");
/// # Ok::<(), sse_io::client::Error>(())
/// ```
pub trait Connect {
    /// The response's body, such as a `BufReader` around what the HTTP library returns.
    type Body: BufRead;

    /// Makes the request and waits for the head of the response. Name look-up, TCP connect, TLS,
    /// redirects and time-outs are the connector's job. It should
    ///
    /// - send [`Request::headers`], with a GET or whatever the server expects;
    /// - pass what ends a blocked read to [`Request::on_close`], as soon as there is something
    ///   to end;
    /// - return every response, whatever its status;
    /// - set no limit on the body's size or on the time it takes as a whole, only on silence.
    ///
    /// # Errors
    ///
    /// A [`ConnectError`] when there is no response. An [`io::Error`] turns into one that is tried
    /// again; [`ConnectError::fatal`] ends the stream.
    fn connect(&mut self, request: &Request<'_>) -> Result<Response<Self::Body>, ConnectError>;
}

impl<F, B> Connect for F
where
    F: FnMut(&Request<'_>) -> Result<Response<B>, ConnectError>,
    B: BufRead,
{
    type Body = B;

    fn connect(&mut self, request: &Request<'_>) -> Result<Response<B>, ConnectError> {
        self(request)
    }
}

/// A connector whose type can be written down, for a client in a struct: see the
/// [module's documentation](super#where-to-keep-a-client). The body is a box as well, unless another
/// one is named.
pub type BoxConnect<B = Box<dyn BufRead + Send>> =
    Box<dyn FnMut(&Request<'_>) -> Result<Response<B>, ConnectError> + Send>;

/// Why a connector has no response, and whether another attempt could do better.
///
/// `?` turns an [`io::Error`] or an [`io::ErrorKind`] into one that is tried again, whatever its
/// kind.
///
/// ```
/// use std::io;
/// use sse_io::client::ConnectError;
///
/// let bad_luck = ConnectError::from(io::Error::from(io::ErrorKind::InvalidInput));
/// assert!(!bad_luck.is_fatal());
/// assert!(ConnectError::fatal("the URL has no host").is_fatal());
/// ```
#[derive(Debug)]
pub struct ConnectError {
    error: io::Error,
    fatal: bool,
}

impl ConnectError {
    /// A failure that another attempt may not meet: no connection, a time-out, an unknown host.
    ///
    /// ```
    /// # use sse_io::client::ConnectError;
    /// assert!(!ConnectError::retry("the token server is down").is_fatal());
    /// ```
    pub fn retry(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        ConnectError::retry_if(true, error)
    }

    /// A failure that every attempt would meet: a bad URL or header, a redirect in circles. It ends
    /// the stream.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{ConnectError, ErrorKind, Response};
    ///
    /// let mut source = EventSource::new(|_| {
    ///     Err::<Response<&[u8]>, _>(ConnectError::fatal("the URL has no host"))
    /// });
    /// let error = source.next_event().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Connect);
    /// assert_eq!(format!("{error:#}"), "cannot connect: the URL has no host");
    /// ```
    pub fn fatal(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        ConnectError::retry_if(false, error)
    }

    /// [`retry`](ConnectError::retry) if `transient`, otherwise [`fatal`](ConnectError::fatal): for
    /// an HTTP library's error, sorted by a `matches!`.
    ///
    /// ```
    /// # use sse_io::client::ConnectError;
    /// let sort = |error: &'static str| ConnectError::retry_if(error.contains("time-out"), error);
    /// assert!(!sort("time-out").is_fatal());
    /// assert!(sort("no such scheme").is_fatal());
    /// ```
    pub fn retry_if(transient: bool, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let error = match error.into().downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        };
        ConnectError {
            error,
            fatal: !transient,
        }
    }

    /// Whether it ends the stream.
    ///
    /// ```
    /// use std::io;
    /// use sse_io::client::ConnectError;
    ///
    /// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    /// assert!(!ConnectError::from(refused).is_fatal());
    /// assert!(ConnectError::fatal(io::Error::other("no such scheme")).is_fatal());
    /// ```
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    pub(super) fn into_io(self) -> io::Error {
        self.error
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        ConnectError::retry(error)
    }
}

impl From<io::ErrorKind> for ConnectError {
    fn from(kind: io::ErrorKind) -> Self {
        io::Error::from(kind).into()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
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

    /// The headers to send, name and value: `Accept`, `Accept-Encoding: identity` (compression
    /// would hold events back), `Cache-Control`, and `Last-Event-ID` when there is one that a header
    /// can carry.
    ///
    /// Values are bytes: a last event ID goes out as UTF-8, not as Latin-1 and not percent-encoded
    /// (HTML standard, 9.2.3). ureq takes them as they are.
    ///
    /// An id with a control character other than TAB, or of more than 4 KiB, is not sent, and
    /// [`State::Connecting`](super::State::Connecting) says so.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let stream = &b"data: a\n\n"[..];
    /// let mut source = EventSource::new(|request| {
    ///     let sent: Vec<_> = request.headers().collect();
    ///     assert_eq!(sent[0], ("Accept", &b"text/event-stream"[..]));
    ///     assert_eq!(sent.last(), Some(&("Last-Event-ID", &b"41"[..])));
    ///     Ok(Response::new(200, "text/event-stream", stream))
    /// })
    /// .with_last_event_id("41");
    /// assert!(source.next_event()?.is_some());
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> + use<'a> {
        let sent = !self.last_event_id.is_empty() && !withholds(self.last_event_id);
        let id = sent.then_some(("Last-Event-ID", self.last_event_id.as_bytes()));
        [
            ("Accept", &b"text/event-stream"[..]),
            ("Accept-Encoding", b"identity"),
            ("Cache-Control", b"no-cache"),
        ]
        .into_iter()
        .chain(id)
    }

    /// The last event ID, whether a header can carry it or not; empty when there is none.
    ///
    /// ```
    /// # use sse_io::{EventSource, client::Response};
    /// let stream = &b"data: a\n\n"[..];
    /// let mut source = EventSource::new(|request| {
    ///     assert_eq!(request.last_event_id(), "41");
    ///     Ok(Response::new(200, "text/event-stream", stream))
    /// })
    /// .with_last_event_id("41");
    /// assert!(source.next_event()?.is_some());
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn last_event_id(&self) -> &'a str {
        self.last_event_id
    }

    /// The number of this attempt, from 1, counted from the last connection that was healthy.
    ///
    /// ```
    /// # use std::{io, time::Duration};
    /// # use sse_io::{EventSource, client::Response};
    /// let stream = &b"data: a\n\n"[..];
    /// let mut source = EventSource::new(|request| match request.attempt() {
    ///     1 => Err(io::ErrorKind::ConnectionRefused.into()),
    ///     _ => Ok(Response::new(200, "text/event-stream", stream)),
    /// })
    /// .with_reconnection_limits(Duration::ZERO, Duration::ZERO);
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Registers what ends this attempt and its body when the client is closed from another thread:
    /// `TcpStream::shutdown`, `ureq::Agent::shutdown`. May be called several times. It runs on the
    /// thread that calls [`Closer::close`](super::Closer::close), or here and at once when that has
    /// happened already; it is dropped when the connection is done with.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let (shut_down, was_shut_down) = mpsc::channel();
    /// let stream = &b"data: a\n\ndata: b\n\n"[..];
    /// let mut source = EventSource::new(move |request| {
    ///     let shut_down = shut_down.clone(); // of a socket, for one
    ///     request.on_close(move || shut_down.send(()).unwrap());
    ///     Ok(Response::new(200, "text/event-stream", stream))
    /// });
    /// assert!(source.next_event()?.is_some());
    /// source.closer().close();
    /// assert!(was_shut_down.try_recv().is_ok());
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn on_close(&self, hook: impl FnOnce() + Send + 'static) {
        if let Some(hook) = self.control.register(Box::new(hook)) {
            hook();
        }
    }
}

/// Whether this is an id that a header cannot carry.
pub(super) fn withholds(id: &str) -> bool {
    let cannot_be_sent = |b: u8| b.is_ascii_control() && b != b'\t';
    id.len() > MAX_LAST_EVENT_ID || id.bytes().any(cannot_be_sent)
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
    /// None for an event stream, otherwise what it is instead.
    other_type: Option<String>,
    /// What the body is encoded with, unless that is nothing.
    encoding: Option<String>,
    retry_after: Option<Duration>,
    body: B,
}

impl<B> Response<B> {
    /// A response with this status, `Content-Type` header and body. The body is not read yet.
    ///
    /// The content type is anything that gives bytes (`&str`, `&[u8]`, an `http::HeaderValue`), and
    /// empty when the header is missing. [`from_head`](Response::from_head) takes the other headers
    /// that matter as well.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let body = &b"data: a\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", body)));
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn new(status: u16, content_type: impl AsRef<[u8]>, body: B) -> Self {
        let content_type = content_type.as_ref();
        Response {
            status,
            other_type: (!http::is_event_stream(content_type)).then(|| start_of(content_type)),
            encoding: None,
            retry_after: None,
            body,
        }
    }

    /// A response with this status and body, whose headers the closure looks up by name. It is asked
    /// for `Content-Type`, `Retry-After` and `Content-Encoding`.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{ErrorKind, Response};
    ///
    /// let headers = [("content-type", "text/event-stream"), ("content-encoding", "gzip")];
    /// let header = |name: &str| {
    ///     let found = headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
    ///     found.map(|(_, value)| *value)
    /// };
    /// let mut source = EventSource::new(|_| Ok(Response::from_head(200_u16, header, &b""[..])));
    /// let error = source.next_event().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::ContentEncoding);
    /// ```
    pub fn from_head<V: AsRef<[u8]>>(
        status: impl Into<u16>,
        header: impl Fn(&'static str) -> Option<V>,
        body: B,
    ) -> Self {
        let content_type = header("Content-Type");
        let content_type = content_type.as_ref().map_or(&b""[..], AsRef::as_ref);
        let encoding = header("Content-Encoding");
        let encoding = encoding.as_ref().map_or(&b""[..], AsRef::as_ref);
        let is_plain = |coding: &[u8]| {
            let coding = coding.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        };
        let is_encoded = !encoding.split(|byte| *byte == b',').all(is_plain);
        Response {
            encoding: is_encoded.then(|| start_of(encoding)),
            ..Response::new(status.into(), content_type, body)
        }
        .with_retry_after(header("Retry-After").and_then(http::retry_after))
    }

    /// Sets how long the server wants to be left alone: its `Retry-After` header, as
    /// [`http::retry_after`](crate::http::retry_after) reads it. Counts for the statuses that are
    /// tried again. Default: none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::EventSource;
    /// use sse_io::client::{Response, State};
    ///
    /// const ASKED: Duration = Duration::from_secs(30);
    /// let source = EventSource::new(|_| Ok(Response::new(503, "", &b""[..]).with_retry_after(ASKED)))
    ///     .with_retried_statuses([503]);
    /// let closer = source.closer();
    /// let mut source = source.on_state(move |state| {
    ///     if let State::Waiting { delay, .. } = state {
    ///         assert!(*delay >= ASKED);
    ///         closer.close();
    ///     }
    /// });
    /// assert_eq!(source.next_event()?, None);
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn with_retry_after(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.retry_after = delay.into();
        self
    }

    /// The same response with another body, made of this one: buffered, boxed, decoded.
    ///
    /// ```
    /// use std::io::BufReader;
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let unbuffered: &[u8] = b"data: a\n\n";
    /// let mut source = EventSource::new(|_| {
    ///     Ok(Response::new(200, "text/event-stream", unbuffered).map_body(BufReader::new))
    /// });
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn map_body<T>(self, map: impl FnOnce(B) -> T) -> Response<T> {
        Response {
            status: self.status,
            other_type: self.other_type,
            encoding: self.encoding,
            retry_after: self.retry_after,
            body: map(self.body),
        }
    }

    pub(super) fn into_body(self) -> B {
        self.body
    }

    /// Whether the body is what the server said, and not a compressed form of that.
    pub(super) fn is_readable(&self) -> bool {
        self.encoding.is_none()
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
            return Some(Error::of_kind(ErrorKind::Status(self.status)));
        }
        if let Some(encoding) = &self.encoding {
            return Some(Error::encoding(encoding.clone()));
        }
        let other = self.other_type.as_ref()?;
        Some(Error::media_type(other.clone()))
    }
}

/// The start of a header's value, to be shown.
fn start_of(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[..value.len().min(100)]).into_owned()
}

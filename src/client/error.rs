//! What ends a stream for good, and what does not.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::parser::EventTooLarge;

/// What went wrong with an event stream. Cheap to clone.
///
/// Into [`io::Error`] it goes as a whole: its kind is that of the cause where there is one
/// ([`InvalidData`](io::ErrorKind::InvalidData) for an event too large, another media type or a
/// compressed body,
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for the end of a stream,
/// [`Other`](io::ErrorKind::Other) for a status), and this error is reached by `get_ref`.
///
/// `{}` says what went wrong, `{:#}` what caused it as well, and so does `{:?}`, which is what
/// `fn main() -> Result<(), Error>` prints:
///
/// ```
/// use sse_io::EventSource;
/// use sse_io::client::{ConnectError, Response};
///
/// let mut source = EventSource::new(|_| {
///     Err::<Response<&[u8]>, _>(ConnectError::fatal("the URL has no host"))
/// });
/// let error = source.next_event().unwrap_err();
/// assert_eq!(error.to_string(), "cannot connect");
/// assert_eq!(format!("{error:#}"), "cannot connect: the URL has no host");
/// assert_eq!(format!("{error:?}"), "cannot connect: the URL has no host");
/// ```
#[derive(Clone)]
pub struct Error {
    repr: Arc<Repr>,
}

struct Repr {
    kind: ErrorKind,
    /// More to say: the media type that came, how many attempts there were.
    detail: String,
    /// How the body of a refused response begins.
    body: Option<String>,
    source: Option<Source>,
}

enum Source {
    Io(io::Error),
    Client(Error),
}

/// What kind of failure an [`Error`] is.
///
/// ```
/// use sse_io::EventSource;
/// use sse_io::client::{ErrorKind, Response};
///
/// let page = &b"<title>Sign in</title>"[..];
/// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/html", page)));
/// let error = source.next_event().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::MediaType);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The connector failed. Final when its error was [fatal](super::ConnectError::fatal).
    Connect,
    /// The response had a status other than 200 and 204. Final unless it is one to be tried again.
    Status(u16),
    /// The response was no `text/event-stream`. Final.
    MediaType,
    /// The response's body is compressed, although the request asked for it as it is. Final.
    ContentEncoding,
    /// The connection was lost, or a stream with a terminator ended before it. Final in finite mode
    /// alone, when events were lost that cannot be asked for again.
    Disconnected,
    /// The body came to its end: the server, or a proxy, has closed the stream. Never final: why
    /// the client [waits](super::State::Waiting), or the source of
    /// [`RetriesExhausted`](ErrorKind::RetriesExhausted).
    Ended,
    /// An event exceeded the limit and was skipped. Never final: the stream goes on behind it.
    EventTooLarge,
    /// As many attempts, or as long an outage, as the caller allows; the source is the last failure.
    /// Final.
    RetriesExhausted,
}

impl Error {
    /// What kind of failure it is.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{ErrorKind, Response};
    ///
    /// let mut source = EventSource::new(|_| Ok(Response::new(404, "text/html", &b"not here"[..])));
    /// let error = source.next_event().unwrap_err();
    /// assert!(matches!(error.kind(), ErrorKind::Status(404)));
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.repr.kind
    }

    /// The status that the server refused with, of this error or of the one that caused it.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let said = &br#"{"error": "Incorrect API key"}"#[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(401, "application/json", said)));
    /// let error = source.next_event().unwrap_err();
    /// assert_eq!(error.status(), Some(401));
    /// ```
    pub fn status(&self) -> Option<u16> {
        self.find(|repr| match repr.kind {
            ErrorKind::Status(status) => Some(status),
            _ => None,
        })
    }

    /// How the body of the refused response begins, up to 8 KiB of it, of this error or of the one
    /// that caused it. Malformed UTF-8 is replaced. It is what the server sent: escape it before it
    /// reaches a terminal or a page, as `Display` does.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let said = &b"Incorrect\x1b API key"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(401, "text/plain", said)));
    /// let error = source.next_event().unwrap_err();
    /// assert_eq!(error.body(), Some("Incorrect\x1b API key"));
    /// let text = "the server answered with status 401: Incorrect\\u{1b} API key";
    /// assert_eq!(error.to_string(), text);
    /// ```
    pub fn body(&self) -> Option<&str> {
        self.find(|repr| repr.body.as_deref())
    }

    /// What there is to find in this error, or in the one that caused it.
    fn find<'a, T>(&'a self, what: impl Fn(&'a Repr) -> Option<T>) -> Option<T> {
        let cause = match &self.repr.source {
            Some(Source::Client(cause)) => what(&cause.repr),
            _ => None,
        };
        what(&self.repr).or(cause)
    }

    fn new(kind: ErrorKind, detail: String, source: Option<Source>) -> Self {
        Error {
            repr: Arc::new(Repr {
                kind,
                detail,
                body: None,
                source,
            }),
        }
    }

    pub(super) fn of_kind(kind: ErrorKind) -> Self {
        Error::new(kind, String::new(), None)
    }

    /// The same with the body of the response that was refused. Of an error that is not shared yet.
    pub(super) fn with_body(mut self, body: &[u8]) -> Self {
        if let (Some(repr), false) = (Arc::get_mut(&mut self.repr), body.is_empty()) {
            repr.body = Some(String::from_utf8_lossy(body).into_owned());
        }
        self
    }

    pub(super) fn from_io(kind: ErrorKind, source: io::Error) -> Self {
        Error::new(kind, String::new(), Some(Source::Io(source)))
    }

    pub(super) fn media_type(other: String) -> Self {
        Error::new(ErrorKind::MediaType, other, None)
    }

    pub(super) fn encoding(encoding: String) -> Self {
        Error::new(ErrorKind::ContentEncoding, encoding, None)
    }

    pub(super) fn exhausted(attempts: u32, last: Error) -> Self {
        let detail = match attempts {
            0 => "the connection was lost".into(),
            1 => "1 failed attempt".into(),
            _ => format!("{attempts} failed attempts"),
        };
        let source = Some(Source::Client(last));
        Error::new(ErrorKind::RetriesExhausted, detail, source)
    }

    fn io_kind(&self) -> io::ErrorKind {
        match (&self.repr.source, self.repr.kind) {
            (Some(Source::Io(source)), _) => source.kind(),
            (Some(Source::Client(source)), _) => source.io_kind(),
            (
                None,
                ErrorKind::MediaType | ErrorKind::ContentEncoding | ErrorKind::EventTooLarge,
            ) => io::ErrorKind::InvalidData,
            (None, ErrorKind::Disconnected | ErrorKind::Ended) => io::ErrorKind::UnexpectedEof,
            (None, _) => io::ErrorKind::Other,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(error.io_kind(), error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_alone(f)?;
        let mut cause = self.source().filter(|_| f.alternate());
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#}")
    }
}

impl Error {
    /// What went wrong, without what caused it.
    fn fmt_alone(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repr {
            kind,
            detail,
            body,
            source,
        } = &*self.repr;
        match kind {
            ErrorKind::Connect => f.write_str("cannot connect"),
            ErrorKind::Status(status) => write!(f, "the server answered with status {status}"),
            ErrorKind::MediaType if detail.is_empty() => {
                f.write_str("the response has no content type")
            }
            ErrorKind::MediaType => {
                write!(
                    f,
                    "the response is of type {detail:?}, not text/event-stream"
                )
            }
            ErrorKind::ContentEncoding => write!(
                f,
                "the response is encoded with {detail:?}, which was not asked for"
            ),
            ErrorKind::Disconnected if source.is_some() => f.write_str("the connection was lost"),
            ErrorKind::Disconnected => f.write_str("the stream ended before its terminator"),
            ErrorKind::Ended => f.write_str("the stream has ended"),
            ErrorKind::EventTooLarge => f.write_str("an event was skipped"),
            ErrorKind::RetriesExhausted => write!(f, "gave up after {detail}"),
        }?;
        match body {
            Some(body) => write!(f, ": {}", Excerpt(body)),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.repr.source.as_ref()? {
            // Of an error that only wraps another one, the other one is the source.
            Source::Io(error) => Some(match error.get_ref() {
                Some(inner) if inner.is::<EventTooLarge>() => inner,
                _ => error,
            }),
            Source::Client(error) => Some(error),
        }
    }
}

/// The start of what a stranger sent, on one line and without what could steer a terminal.
struct Excerpt<'a>(&'a str);

impl Excerpt<'_> {
    /// So many characters are shown.
    const LENGTH: usize = 300;
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = Self::LENGTH;
        let mut space = "";
        for word in self.0.split_whitespace() {
            f.write_str(std::mem::replace(&mut space, " "))?;
            for c in word.chars() {
                if left == 0 {
                    return f.write_str("…");
                }
                left -= 1;
                match c.is_control() || is_direction(c) {
                    true => write!(f, "{}", c.escape_default())?,
                    false => write!(f, "{c}")?,
                }
            }
        }
        Ok(())
    }
}

/// Whether the character changes the direction of the text around it.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

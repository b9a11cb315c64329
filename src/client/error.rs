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
    source: Option<Source>,
}

enum Source {
    Io(io::Error),
    Client(Error),
}

/// What kind of failure an [`Error`] is.
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
    /// The connection was lost, or the stream has ended. Final in finite mode alone, when events
    /// were lost that cannot be asked for again.
    Disconnected,
    /// An event exceeded the limit and was skipped. Never final: the stream goes on behind it.
    EventTooLarge,
    /// As many attempts, or as long an outage, as the caller allows; the source is the last failure.
    /// Final.
    RetriesExhausted,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.repr.kind
    }

    fn new(kind: ErrorKind, detail: String, source: Option<Source>) -> Self {
        Error {
            repr: Arc::new(Repr {
                kind,
                detail,
                source,
            }),
        }
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
            (None, ErrorKind::Disconnected) => io::ErrorKind::UnexpectedEof,
            (None, _) => io::ErrorKind::Other,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error::new(kind, String::new(), None)
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
            ErrorKind::Disconnected => f.write_str("the stream has ended"),
            ErrorKind::EventTooLarge => f.write_str("an event was skipped"),
            ErrorKind::RetriesExhausted => write!(f, "gave up after {detail}"),
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

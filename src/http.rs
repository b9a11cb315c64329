//! The HTTP side of serving: what to ask of a request, the response head, its framing, refusals, and
//! socket options.
//!
//! An HTTP library that hands out the raw connection is all that a server needs beside this: read
//! the request with it, check it with a [`Guard`], look into it with [`accepts_event_stream`] and
//! [`last_event_id`], then [`ResponseHead::start`] the stream.

use std::io::{self, Write};
use std::time::Duration;

use crate::digits::whole_number;
use crate::emitter::Emitter;
use crate::writer::{FrameBuffer, Framing, flush};

mod guard;
mod request;

pub use guard::{Guard, Refusal};
pub(crate) use request::MAX_LAST_EVENT_ID;
pub use request::{accepts_event_stream, last_event_id};

/// The headers of every event stream, for servers that write the response head themselves.
///
/// `X-Accel-Buffering` is for nginx, which holds a response back otherwise.
///
/// ```
/// let mut head = String::from("HTTP/1.1 200 OK\r\n");
/// for (name, value) in sse_io::http::HEADERS {
///     head += &format!("{name}: {value}\r\n");
/// }
/// assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"));
/// ```
pub const HEADERS: &[(&str, &str)] = &[
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-cache"),
    ("X-Accel-Buffering", "no"),
];

/// The head of an event stream's HTTP/1.x response, and how its body is framed.
///
/// The status is 200 and the headers are those of [`HEADERS`], unless replaced. For HTTP/1.1 the
/// body is chunked, so that the client sees the end of the stream on a connection that stays open;
/// below that it ends with the connection.
///
/// ```
/// use sse_io::{Event, ResponseHead};
///
/// let mut connection = Vec::new(); // a TcpStream, or what the HTTP library hands out
/// let emitter = ResponseHead::new()
///     .with_cors("*")
///     .start(&mut connection)?;
/// emitter.emit(&Event::new("hello"))?;
/// drop(emitter);
/// let response = String::from_utf8(connection)?;
/// assert!(response.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"));
/// assert!(response.ends_with("\r\n\r\n3\r\n:\n\n\r\nd\r\ndata: hello\n\n\r\n0\r\n\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a head does nothing until a stream is started with it"]
pub struct ResponseHead {
    headers: Vec<(String, String)>,
    framing: Framing,
    retry: Option<Duration>,
}

impl ResponseHead {
    /// The head for a client that speaks HTTP/1.1.
    ///
    /// ```
    /// # use sse_io::ResponseHead;
    /// let mut connection = Vec::new();
    /// ResponseHead::new().respond_to_head(&mut connection)?;
    /// assert!(connection.windows(26).any(|w| w == b"Transfer-Encoding: chunked"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> Self {
        ResponseHead::for_version(1, 1)
    }

    /// The head for a client that speaks this version of HTTP, by the request line: below 1.1 the
    /// body is not chunked and the connection closes (nginx talks HTTP/1.0 to its upstreams by
    /// default).
    ///
    /// That the connection closes is the HTTP library's to see to, by the `Connection: close` in the
    /// head or because the writer owns the socket. `tiny_http` keeps it open all the same for the rare
    /// HTTP/1.0 request that asks for `Connection: keep-alive`: refuse such a request.
    ///
    /// ```
    /// # use sse_io::ResponseHead;
    /// let mut connection = Vec::new();
    /// ResponseHead::for_version(1, 0).start(&mut connection)?;
    /// let response = String::from_utf8_lossy(&connection);
    /// assert!(response.contains("Connection: close\r\n") && !response.contains("chunked"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn for_version(major: u8, minor: u8) -> Self {
        let framing = if (major, minor) < (1, 1) {
            Framing::Plain
        } else {
            Framing::Chunked
        };
        ResponseHead {
            headers: Vec::new(),
            framing,
            retry: None,
        }
    }

    /// Sets a header; it replaces one of the same name. Default: those of [`HEADERS`].
    ///
    /// What cannot be sent is refused when the head is: anything but a token as the name; CR, LF or
    /// NUL in the value; `Content-Length` and `Transfer-Encoding`, which would contradict the
    /// framing, and below HTTP/1.1 a `Connection` without `close`.
    ///
    /// ```
    /// # use sse_io::ResponseHead;
    /// let mut connection = Vec::new();
    /// ResponseHead::new().with_header("Server", "example").start(&mut connection)?;
    /// assert!(String::from_utf8_lossy(&connection).contains("Server: example\r\n"));
    ///
    /// let forged = ResponseHead::new().with_header("Server", "x\r\nSet-Cookie: y");
    /// assert!(forged.start(&mut Vec::new()).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        self.headers.push((name, value.into()));
        self
    }

    /// Lets pages of this origin (`https://example.org`) read the stream, or those of any with `*`:
    /// sets `Access-Control-Allow-Origin`, and adds `Origin` to `Vary` unless it is `*`, since a cache
    /// must not hand one origin's response to another.
    ///
    /// To allow several origins, pass the request's `Origin` header on if it is one of them. For a
    /// page that sends cookies (`withCredentials`) the origin must be named and the header
    /// `Access-Control-Allow-Credentials: true` be set too. `EventSource` never asks beforehand, but
    /// code that sets `Last-Event-ID` itself in a `fetch` does, with an `OPTIONS` request. Its answer:
    ///
    /// ```
    /// use sse_io::ResponseHead;
    ///
    /// let mut connection = Vec::new();
    /// ResponseHead::new()
    ///     .with_cors("https://example.org")
    ///     .with_header("Access-Control-Allow-Headers", "Last-Event-ID")
    ///     .refuse(204, &mut connection)?;
    /// assert_eq!(
    ///     String::from_utf8(connection)?,
    ///     "HTTP/1.1 204 No Content\r\nCache-Control: no-cache\r\n\
    ///      Access-Control-Allow-Origin: https://example.org\r\nVary: Origin\r\n\
    ///      Access-Control-Allow-Headers: Last-Event-ID\r\n\r\n"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_cors(self, origin: impl Into<String>) -> Self {
        let origin = origin.into();
        let vary = match self.get("Vary") {
            _ if origin == "*" => None,
            None => Some("Origin".to_owned()),
            Some(fields) if lists(fields, "Origin") || lists(fields, "*") => None,
            Some(fields) => Some(format!("{fields}, Origin")),
        };
        let head = self.with_header("Access-Control-Allow-Origin", origin);
        match vary {
            Some(vary) => head.with_header("Vary", vary),
            None => head,
        }
    }

    /// Sends this reconnection time to the client first of all. Default: none, which browsers take
    /// as a few seconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sse_io::ResponseHead;
    /// let mut connection = Vec::new();
    /// ResponseHead::new().with_retry(Duration::from_secs(2)).start(&mut connection)?;
    /// assert!(String::from_utf8_lossy(&connection).contains("\r\nretry: 2000\n\n"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sends the head and starts the stream.
    ///
    /// The head leaves at once and in one write, together with the first block (the reconnection
    /// time, else an empty comment), so that the client knows the stream to be open before there is
    /// an event. Blocks as the stream does.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when a header or the reconnection time cannot be
    /// sent: nothing is written. Otherwise what the stream fails with. The stream is dropped in
    /// both cases.
    ///
    /// ```
    /// use sse_io::{Event, ResponseHead};
    ///
    /// let mut connection = Vec::new();
    /// let emitter = ResponseHead::for_version(1, 0).start(&mut connection)?;
    /// emitter.emit(&Event::new("hello"))?;
    /// drop(emitter);
    /// assert!(connection.ends_with(b"\r\n\r\n:\n\ndata: hello\n\n"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start<W: Write>(self, mut stream: W) -> io::Result<Emitter<W>> {
        let mut first = FrameBuffer::default();
        first.clear();
        match self.retry {
            Some(retry) => first.retry(retry)?,
            None => first.comment(""),
        }
        let mut head = self.ok()?;
        head.extend_from_slice(first.wire(self.framing));
        stream.write_all(&head)?;
        flush(&mut stream)?;
        Ok(Emitter::with_framing(stream, self.framing))
    }

    /// Answers a `HEAD` request: the head that a `GET` would get, in one write, and no stream.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when a header cannot be sent: nothing is
    /// written. Otherwise what the stream fails with.
    ///
    /// ```
    /// use sse_io::ResponseHead;
    ///
    /// let mut connection = Vec::new();
    /// ResponseHead::for_version(1, 0).respond_to_head(&mut connection)?;
    /// assert_eq!(
    ///     String::from_utf8(connection)?,
    ///     "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
    ///      X-Accel-Buffering: no\r\nConnection: close\r\n\r\n"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn respond_to_head<W: Write>(self, mut stream: W) -> io::Result<()> {
        stream.write_all(&self.ok()?)?;
        flush(&mut stream)
    }

    /// Answers with a status and no body instead of a stream, in one write. The headers that were
    /// set are sent, for CORS and `Retry-After`; those of [`HEADERS`] are not, but for
    /// `Cache-Control`.
    ///
    /// 204 tells a client to stop reconnecting (HTML standard, 9.2.3). So does every status but 200,
    /// for clients that go by the standard; some are set to come back after 503 and the like.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when the status is not between 200 and 599, or a
    /// header cannot be sent: nothing is written. Otherwise what the stream fails with.
    ///
    /// ```
    /// use sse_io::ResponseHead;
    ///
    /// let mut connection = Vec::new();
    /// ResponseHead::new().with_header("Retry-After", "5").refuse(503, &mut connection)?;
    /// assert_eq!(
    ///     String::from_utf8(connection)?,
    ///     "HTTP/1.1 503 Service Unavailable\r\nCache-Control: no-cache\r\n\
    ///      Content-Length: 0\r\nRetry-After: 5\r\n\r\n"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn refuse<W: Write>(self, status: u16, mut stream: W) -> io::Result<()> {
        if !(200..600).contains(&status) {
            return Err(invalid(format!(
                "{status} is not the status of a final response"
            )));
        }
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
        if self.get("Cache-Control").is_none() {
            push_header("Cache-Control", "no-cache", &mut head)?;
        }
        if status != 204 && status != 304 {
            push_header("Content-Length", "0", &mut head)?;
        }
        self.end(&mut head)?;
        stream.write_all(&head)?;
        flush(&mut stream)
    }

    /// The value of a header that was set.
    fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The head of a stream.
    fn ok(&self) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(512);
        head.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        for (name, value) in HEADERS {
            if self.get(name).is_none() {
                push_header(name, value, &mut head)?;
            }
        }
        if self.framing == Framing::Chunked {
            push_header("Transfer-Encoding", "chunked", &mut head)?;
        }
        self.end(&mut head)?;
        Ok(head)
    }

    /// Appends the headers that were set and the blank line.
    fn end(&self, head: &mut Vec<u8>) -> io::Result<()> {
        for (name, value) in &self.headers {
            if ["Content-Length", "Transfer-Encoding"]
                .iter()
                .any(|n| n.eq_ignore_ascii_case(name))
            {
                return Err(invalid(format!(
                    "the header {name} is not the user's to set"
                )));
            }
            push_header(name, value, head)?;
        }
        if self.framing == Framing::Plain {
            match self.get("Connection") {
                None => push_header("Connection", "close", head)?,
                Some(options) if lists(options, "close") => {}
                Some(_) => {
                    let message = "a body that is not chunked ends with the connection: close it";
                    return Err(invalid(message.into()));
                }
            }
        }
        head.extend_from_slice(b"\r\n");
        Ok(())
    }
}

impl Default for ResponseHead {
    fn default() -> Self {
        ResponseHead::new()
    }
}

/// Whether a `Content-Type` header names an event stream: `text/event-stream` in any case, with or
/// without parameters (HTML standard, 9.2.3). A `charset` changes nothing, the stream is UTF-8. A
/// header that was sent twice and joined by a comma must name it both times.
///
/// ```
/// use sse_io::http::is_event_stream;
///
/// assert!(is_event_stream("Text/Event-Stream; charset=utf-8"));
/// assert!(is_event_stream("text/event-stream, text/event-stream"));
/// assert!(!is_event_stream("text/event-streams"));
/// assert!(!is_event_stream("text/event-stream, text/html"));
/// ```
pub fn is_event_stream(content_type: impl AsRef<[u8]>) -> bool {
    let mut quoted = false;
    // A comma in a quoted parameter joins nothing.
    let joined = content_type.as_ref().split(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    joined.into_iter().all(|value| {
        let essence = value.split(|byte| *byte == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        essence.eq_ignore_ascii_case(b"text/event-stream")
    })
}

/// The wait that a `Retry-After` header asks for, when it does so in whole seconds (RFC 9110,
/// 10.2.3). A date, and anything else, is `None`.
///
/// ```
/// # use std::time::Duration;
/// use sse_io::http::retry_after;
///
/// assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
/// assert_eq!(retry_after("Fri, 31 Dec 1999 23:59:59 GMT"), None);
/// ```
pub fn retry_after(value: impl AsRef<[u8]>) -> Option<Duration> {
    whole_number(value.as_ref().trim_ascii()).map(Duration::from_secs)
}

/// Sets options on the sockets that a listener will accept, by setting them on the listener, whose
/// accepted sockets inherit them on Linux: for servers that never let go of the socket, like
/// `tiny_http` (`Server::from_listener`).
///
/// `nodelay` sends small frames at once (`TCP_NODELAY`). A write that blocks for longer than
/// `write_timeout` fails, mostly with [`WouldBlock`](io::ErrorKind::WouldBlock), and ends its
/// stream: without one, a client that stops reading holds its thread for as long as it likes.
/// There is no read time-out here on purpose: `accept` would fail with it and end such a server.
///
/// # Errors
///
/// What the system answers; a `write_timeout` of zero is [`InvalidInput`](io::ErrorKind::InvalidInput).
///
/// ```
/// use std::net::TcpListener;
/// use std::time::Duration;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// sse_io::http::tune_listener(&listener, true, Some(Duration::from_secs(20)))?;
///
/// let client = std::net::TcpStream::connect(listener.local_addr()?)?;
/// let (accepted, _) = listener.accept()?;
/// # #[cfg(target_os = "linux")]
/// assert!(accepted.nodelay()?);
/// # drop(client);
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(unix)]
pub fn tune_listener(
    listener: &std::net::TcpListener,
    nodelay: bool,
    write_timeout: Option<Duration>,
) -> io::Result<()> {
    // The options are those of any TCP socket; only std's types know listeners from streams.
    let socket = std::os::fd::OwnedFd::from(listener.try_clone()?);
    let socket = std::net::TcpStream::from(socket);
    socket.set_nodelay(nodelay)?;
    socket.set_write_timeout(write_timeout)
}

/// Appends one header line, or refuses it.
fn push_header(name: &str, value: &str, head: &mut Vec<u8>) -> io::Result<()> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(invalid(format!("{name:?} is not a header name")));
    }
    if let Some(at) = value.bytes().position(|b| matches!(b, b'\r' | b'\n' | 0)) {
        return Err(invalid(format!(
            "line break or null at byte {at} of the header {name}"
        )));
    }
    for part in [name, ": ", value, "\r\n"] {
        head.extend_from_slice(part.as_bytes());
    }
    Ok(())
}

/// Whether a comma-separated list has this name.
fn lists(names: &str, name: &str) -> bool {
    names
        .split(',')
        .any(|other| other.trim().eq_ignore_ascii_case(name))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The reason phrase of the statuses that servers refuse with; others go without.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

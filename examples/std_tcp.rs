//! `cargo run --example std_tcp [-- [--host NAME]... [ADDRESS]]`
//!
//! A live event stream with nothing but std, `http://127.0.0.1:8083/events`: a listener, and a thread for
//! each connection. Port 0 picks a free port.
//!
//! Each connection carries one request and is closed after it: an event stream is long, and what
//! comes before it is not worth a pool. The arguments are read in `site/start.rs`.

#[path = "site/start.rs"]
mod start;

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::http::{self, Guard};
use sse_io::{Event, ResponseHead};

/// The longest request head that is read. Browsers and proxies stay below 8 KiB.
const MAX_HEAD: usize = 16 << 10;

/// How long what a client still sends is read, and thrown away, after it was answered.
const DRAIN: Duration = Duration::from_secs(1);

/// How many connections over the limit are still told that there is no room for them.
const SPARE: usize = 32;

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections there are at most. Each holds a thread and a socket.
    pub connections: usize,
    /// How long a client may take to send the head of its request.
    pub read_timeout: Duration,
    /// How long it may leave a full connection unread.
    pub write_timeout: Duration,
}

const USAGE: &str = "\
A live event stream with nothing but std.

Usage: cargo run --example std_tcp [-- [--host NAME]... [ADDRESS]]

  ADDRESS      where to listen; port 0 is any free one. Default: 127.0.0.1:8083
  --host NAME  a name that clients reach this server by, beside localhost and IP addresses
  --help       this text

  http://127.0.0.1:8083/events  the stream; Last-Event-ID or ?lastEventId=N goes on after N

It reads no environment variables.";

fn main() -> ExitCode {
    start::main(USAGE, "127.0.0.1:8083", |listener, guard| {
        let address = listener.local_addr()?;
        start::log(&format!("try: curl -N http://{address}/events"));
        let limits = Limits {
            connections: 400,
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
        };
        serve(&listener, limits, move |request, connection| {
            answer(&guard, request, connection)
        });
        Ok(())
    })
}

// The application.

/// Answers one request.
///
/// # Errors
///
/// What the connection fails with.
pub fn answer(guard: &Guard, request: &Request, connection: &TcpStream) -> io::Result<()> {
    if let Err(refusal) = guard.check(&request.method, request.headers()) {
        return request.head().refuse(refusal.status(), connection);
    }
    let path = request.target.split('?').next().unwrap_or_default();
    if path != "/events" {
        return request.head().refuse(404, connection);
    }
    // The pages of any site may read these events.
    let head = request.head().with_cors("*");
    let acceptable = http::accepts_event_stream(request.list("Accept").as_deref());
    match request.method.as_str() {
        "GET" | "HEAD" if !acceptable => head.refuse(406, connection),
        "GET" => ticks(request, head, connection),
        "HEAD" => head.respond_to_head(connection),
        method => head
            .with_header("Allow", "GET, HEAD, OPTIONS")
            .with_header("Access-Control-Allow-Headers", "Last-Event-ID")
            .refuse(if method == "OPTIONS" { 204 } else { 405 }, connection),
    }
}

/// One tick a second, for as long as the client stays.
fn ticks(request: &Request, head: ResponseHead, connection: &TcpStream) -> io::Result<()> {
    // The ids count up from 1; a client that comes back goes on after the last one it has.
    let last: u64 = http::last_event_id(request.header("Last-Event-ID"), &request.target)
        .and_then(|id| id.parse().ok())
        .unwrap_or(0);
    let emitter = head
        .with_retry(Duration::from_secs(2))
        .start(connection.try_clone()?)?;
    // From here on the stream is closed as soon as the client has gone.
    emitter.watch(Duration::from_secs(15))?;
    for tick in last.saturating_add(1)..=u64::MAX {
        let event = Event::new("").with_name("tick").with_id(tick.to_string());
        // Fails when the client has gone, or does not read for as long as a write may take.
        emitter.emit_with(&event, |data| write!(data, "tick {tick}"))?;
        if emitter.wait_closed(Some(Duration::from_secs(1))) {
            break;
        }
    }
    Ok(())
}

// The server, as far as event streams need one.

/// Accepts connections for ever and calls `answer` for the request of each, on a thread of its own.
pub fn serve<F>(listener: &TcpListener, limits: Limits, answer: F)
where
    F: Fn(&Request, &TcpStream) -> io::Result<()> + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let taken = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming() {
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                // The client has gone already, or this process is out of file descriptors, which
                // the end of other connections mends.
                eprintln!("cannot accept a connection: {error}");
                thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        let place = Place::take(&taken);
        if place.before >= limits.connections + SPARE {
            continue;
        }
        let answer = Arc::clone(&answer);
        let handler = thread::Builder::new().spawn(move || {
            // An error here is a client that has gone or does not read: nobody is left to tell.
            let _ = converse(&connection, &place, limits, &*answer);
        });
        if let Err(error) = handler {
            eprintln!("no thread for a connection: {error}");
        }
    }
}

/// Reads the request, has it answered, and ends the connection.
fn converse(
    connection: &TcpStream,
    place: &Place,
    limits: Limits,
    answer: &dyn Fn(&Request, &TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    // Events are small and must not wait for the acknowledgement of the one before.
    connection.set_nodelay(true)?;
    connection.set_write_timeout(Some(limits.write_timeout))?;
    match Request::read(connection, Instant::now() + limits.read_timeout) {
        Ok(request) if place.before >= limits.connections => request
            .head()
            .with_header("Retry-After", "5")
            .refuse(503, connection)?,
        Ok(request) => answer(&request, connection)?,
        Err(Unread::Refused(status)) => {
            ResponseHead::for_version(1, 0).refuse(status, connection)?;
        }
        Err(Unread::Failed(error)) => return Err(error),
    }
    hang_up(connection, Instant::now() + DRAIN)
}

/// Ends the connection so that the client gets all that was sent. A socket that is closed with
/// unread bytes in it (the body of a request, a second request) resets the connection, and the
/// client may lose the end of the response: so they are read first, within reason.
fn hang_up(connection: &TcpStream, deadline: Instant) -> io::Result<()> {
    const ENOUGH: usize = 4 << 20;
    connection.shutdown(Shutdown::Write)?;
    let mut piece = [0; 4096];
    let mut count = 0;
    while count < ENOUGH {
        match read_until(connection, &mut piece, deadline)? {
            0 => break,
            more => count += more,
        }
    }
    Ok(())
}

/// Reads once, before the deadline.
fn read_until(mut connection: &TcpStream, buf: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        connection.set_read_timeout(Some(left))?;
        match connection.read(buf) {
            // On Unix a read that timed out would have blocked; the deadline tells.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            result => return result,
        }
    }
}

/// The head of a request.
#[derive(Debug)]
pub struct Request {
    /// As it was sent: methods know upper from lower case.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// HTTP/1.0 or HTTP/1.1.
    minor: u8,
    headers: Vec<(String, Vec<u8>)>,
}

/// Why there is no request.
#[derive(Debug)]
enum Unread {
    /// To be answered with this status.
    Refused(u16),
    /// The connection has failed, or the client has left without a word.
    Failed(io::Error),
}

impl Request {
    /// The head of a response to this client.
    pub fn head(&self) -> ResponseHead {
        ResponseHead::for_version(1, self.minor).with_header("Connection", "close")
    }

    /// All headers, by name and value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of the first header of this name: bytes, as they are on the wire.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// The values of all headers of this name, which are one list (RFC 9110, 5.3).
    pub fn list(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| String::from_utf8_lossy(value))
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn read(connection: &TcpStream, deadline: Instant) -> Result<Request, Unread> {
        let mut head = Vec::new();
        let mut piece = [0; 4096];
        // Where the head starts, and where the line does that is not complete yet.
        let (mut start, mut line) = (0, 0);
        loop {
            let count = match read_until(connection, &mut piece, deadline) {
                Ok(0) => return Err(Unread::Failed(ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                Err(e) if e.kind() == ErrorKind::TimedOut => return Err(Unread::Refused(408)),
                Err(e) => return Err(Unread::Failed(e)),
            };
            let seen = head.len();
            head.extend_from_slice(&piece[..count]);
            for at in seen..head.len().min(MAX_HEAD) {
                if head[at] != b'\n' {
                    continue;
                }
                match &head[line..at] {
                    // Some clients end the body of the request before with a line too many (RFC
                    // 9112, 2.2).
                    b"\r" if line == start => start = at + 1,
                    b"\r" => {
                        return Request::parse(&head[start..line - 2]).map_err(Unread::Refused);
                    }
                    [.., b'\r'] => {}
                    // A bare LF ends no line here. Who sends one sends no other end, and would wait
                    // for an answer.
                    _ => return Err(Unread::Refused(400)),
                }
                line = at + 1;
            }
            if head.len() >= MAX_HEAD {
                return Err(Unread::Refused(431));
            }
        }
    }

    /// Understands a head (RFC 9112, 3 and 5), or says with which status to refuse it.
    fn parse(head: &[u8]) -> Result<Request, u16> {
        let mut lines = head
            .split(|b| *b == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.next().and_then(|line| std::str::from_utf8(line).ok());
        let parts: Vec<&str> = first.ok_or(400u16)?.split(' ').collect();
        let [method, target, version] = parts[..] else {
            return Err(400);
        };
        if !is_token(method.as_bytes()) || target.is_empty() {
            return Err(400);
        }
        let minor = match version {
            "HTTP/1.0" => 0,
            "HTTP/1.1" => 1,
            _ if version.starts_with("HTTP/") => return Err(505),
            _ => return Err(400),
        };
        let mut headers = Vec::new();
        for line in lines {
            let colon = line.iter().position(|b| *b == b':').ok_or(400u16)?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if !is_token(name) || value.iter().any(|b| matches!(b, b'\r' | 0)) {
                return Err(400);
            }
            headers.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
        }
        let request = Request {
            method: method.to_owned(),
            target: path_and_query(target),
            minor,
            headers,
        };
        let hosts = request
            .headers()
            .filter(|(name, _)| name.eq_ignore_ascii_case("Host"));
        match hosts.count() {
            1 => Ok(request),
            0 if minor == 0 => Ok(request),
            _ => Err(400),
        }
    }
}

/// What a target asks of this server. A client that takes it for a proxy puts scheme and host before
/// that (RFC 9112, 3.2.2).
fn path_and_query(target: &str) -> String {
    let is_http = |scheme: &str| ["http", "https"].contains(&&*scheme.to_ascii_lowercase());
    match target.split_once("://") {
        Some((scheme, rest)) if is_http(scheme) => {
            let path = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
            let root = if path.starts_with('/') { "" } else { "/" };
            format!("{root}{path}")
        }
        _ => target.to_owned(),
    }
}

/// Whether this is the name of a method or a header (RFC 9110, 5.6.2).
fn is_token(name: &[u8]) -> bool {
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !name.is_empty() && name.iter().all(token)
}

/// A place for a connection, given back when dropped.
struct Place {
    taken: Arc<AtomicUsize>,
    /// How many were taken before this one.
    before: usize,
}

impl Place {
    fn take(taken: &Arc<AtomicUsize>) -> Place {
        Place {
            taken: Arc::clone(taken),
            before: taken.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

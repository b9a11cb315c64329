//! `cargo run --release --example fanout [-- [--host NAME]... [ADDRESS]]`
//!
//! Ten thousand connections with nothing but std: `http://127.0.0.1:8087/` says how many threads, how
//! much memory and how many deliveries a second they take. Each connection is an open file: `ulimit -n`.
//!
//! There are seven threads, however many clients come: one accepts, one reads requests and answers them,
//! one publishes, and four are the fan-out's. The arguments are read in `site/start.rs`.

#[path = "site/start.rs"]
mod start;

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::http::{self, Guard};
use sse_io::hub::{Fanout, SubscribeError};
use sse_io::{Event, Heartbeat, Hub, ResponseHead};

const USAGE: &str = "\
Serves ten thousand event streams on a few threads, with nothing but std.

Usage: cargo run --release --example fanout [-- [--host NAME]... [ADDRESS]]

  ADDRESS      where to listen; port 0 is any free one. Default: 127.0.0.1:8087
  --host NAME  a name that clients reach this server by, beside localhost and IP addresses
  --help       this text

  http://127.0.0.1:8087/        a page that shows what the server takes
  http://127.0.0.1:8087/events  the stream; Last-Event-ID or ?lastEventId=ID goes on after ID

It reads no environment variables. Each connection is an open file: see `ulimit -n`.";

const PAGE: &str = include_str!("fanout/page.html");
const STYLE: &str = include_str!("fanout/page.css");
const SCRIPT: &str = include_str!("fanout/page.js");

/// What the page may load: what this server has, and nothing else.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; script-src 'self'; \
                      style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How many streams there are at most.
const MAX_STREAMS: usize = 20_000;

/// How many clients there are at most that have yet to send their request.
const MAX_WAITING: usize = 1_000;

/// How long a client may take to send the head of its request.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest head that is read. Browsers and proxies stay below 8 KiB.
const MAX_HEAD: usize = 16 << 10;

/// How often clients are asked for the rest of their requests.
const LOOK: Duration = Duration::from_millis(5);

const HEARTBEAT: Heartbeat = Heartbeat::every(Duration::from_secs(15));

fn main() -> ExitCode {
    start::main(USAGE, "127.0.0.1:8087", |listener, guard| {
        Ok(serve(&listener, guard, Duration::from_secs(1))?)
    })
}

/// Serves for ever, and publishes what that takes this often.
///
/// # Errors
///
/// What the system answers when it has no threads to give.
pub fn serve(listener: &TcpListener, guard: Guard, every: Duration) -> io::Result<()> {
    let site = Site {
        // What a client that comes back may have missed; it fits into any socket's buffer.
        hub: Hub::builder()
            .with_max_events(32)
            .with_max_subscribers(MAX_STREAMS)
            .build(),
        fanout: Fanout::builder().with_threads(2).build()?,
        guard,
    };
    let publisher = (site.hub.clone(), site.fanout.clone());
    thread::Builder::new().spawn(move || publish(&publisher.0, &publisher.1, every))?;
    let (arrivals, arrived) = mpsc::sync_channel(MAX_WAITING);
    thread::Builder::new().spawn(move || receive(&site, &arrived))?;
    accept(listener, &arrivals);
    Ok(())
}

fn accept(listener: &TcpListener, arrivals: &SyncSender<TcpStream>) {
    for connection in listener.incoming() {
        match connection.map(|connection| arrivals.try_send(connection)) {
            // One that is too many is closed.
            Ok(Ok(()) | Err(TrySendError::Full(_))) => {}
            Ok(Err(TrySendError::Disconnected(_))) => return,
            Err(error) => {
                // The client has gone already, or there are no file descriptors left, which the end
                // of other connections mends.
                eprintln!("cannot accept a connection: {error}");
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

// The application.

struct Site {
    hub: Hub,
    fanout: Fanout,
    guard: Guard,
}

/// Publishes what the server takes, for ever.
fn publish(hub: &Hub, fanout: &Fanout, every: Duration) {
    let mut deliveries = 0;
    let mut last = Instant::now();
    loop {
        thread::sleep(every);
        let streams = fanout.stats().connections;
        let rate = f64::from(deliveries) / last.elapsed().as_secs_f64();
        (deliveries, last) = (u32::try_from(streams).unwrap_or(u32::MAX), Instant::now());
        let (threads, kilobytes) = usage().unwrap_or_default();
        // Numbers need no escaping.
        let published = hub.publish_with(&Event::default(), |data| {
            write!(
                data,
                r#"{{"streams":{streams},"threads":{threads},"kilobytes":{kilobytes},"rate":{rate:.0}}}"#
            )
        });
        if published.is_err() {
            return;
        }
    }
}

/// How many threads this process has, and how much memory, in KiB. Linux tells.
fn usage() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((field("Threads:")?, field("VmRSS:")?))
}

impl Site {
    /// Answers a request. The connection blocks, but not for long: what is sent here fits into the
    /// buffer of any socket.
    fn answer(&self, request: &Request, connection: TcpStream) -> io::Result<()> {
        if let Err(refusal) = self.guard.check(&request.method, request.headers()) {
            return request.head().refuse(refusal.status(), connection);
        }
        let path = request.target.split('?').next().unwrap_or_default();
        match (request.method.as_str(), path) {
            ("GET", "/") => file(&connection, "text/html", PAGE),
            ("GET", "/page.css") => file(&connection, "text/css", STYLE),
            ("GET", "/page.js") => file(&connection, "text/javascript", SCRIPT),
            ("GET", "/events") => self.stream(request, connection),
            ("HEAD", "/events") => request.head().respond_to_head(connection),
            (_, "/" | "/page.css" | "/page.js" | "/events") => request
                .head()
                .with_header("Allow", "GET, HEAD")
                .refuse(405, connection),
            _ => request.head().refuse(404, connection),
        }
    }

    fn stream(&self, request: &Request, connection: TcpStream) -> io::Result<()> {
        if !http::accepts_event_stream(request.header("Accept")) {
            return request.head().refuse(406, connection);
        }
        let header = request.header("Last-Event-ID").map(str::as_bytes);
        let id = http::last_event_id(header, &request.target).unwrap_or_default();
        // A new client has something to show at once.
        let subscribe = self.hub.subscribe().with_replay(1);
        let subscription = match subscribe.with_last_event_id(id).start() {
            Ok(subscription) => subscription,
            Err(SubscribeError::Full { .. }) => {
                let head = request.head().with_header("Retry-After", "10");
                return head.refuse(503, connection);
            }
            Err(error) => return Err(error.into()),
        };
        let emitter = request.head().start(connection)?;
        // How it ends is the client's affair: it comes back.
        let _ = subscription.serve_in(&self.fanout, emitter, HEARTBEAT);
        Ok(())
    }
}

/// Sends a page, or a file that the page loads.
fn file(mut connection: &TcpStream, media_type: &str, text: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}; charset=utf-8\r\nContent-Length: {}\r\n\
         Content-Security-Policy: {POLICY}\r\nX-Content-Type-Options: nosniff\r\n\
         Connection: close\r\n\r\n",
        text.len()
    );
    connection.write_all((head + text).as_bytes())?;
    connection.shutdown(Shutdown::Write)
}

// The server, as far as event streams need one.

/// A client that has yet to send its request.
struct Visitor {
    connection: TcpStream,
    head: Vec<u8>,
    since: Instant,
}

/// Reads the requests of all clients, and answers each that is complete. No client is waited for, so one
/// that sends nothing costs its socket and nothing else.
fn receive(site: &Site, arrived: &Receiver<TcpStream>) {
    let mut visitors: Vec<Visitor> = Vec::new();
    loop {
        let newcomer = match visitors.is_empty() {
            true => arrived.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => arrived.recv_timeout(LOOK),
        };
        match newcomer {
            Ok(connection) => visitors.extend(Visitor::new(connection).ok()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        visitors.extend(arrived.try_iter().filter_map(|c| Visitor::new(c).ok()));
        // Those that came first go first.
        let too_many = visitors.len().saturating_sub(MAX_WAITING);
        visitors.drain(..too_many);
        let mut waiting = Vec::with_capacity(visitors.len());
        for mut visitor in visitors {
            match visitor.read() {
                Progress::More => waiting.push(visitor),
                Progress::Done(request) => {
                    // An error is a client that has gone: nobody is left to tell.
                    let _ = visitor.answered(|connection| match request {
                        Ok(request) => site.answer(&request, connection),
                        Err(status) => ResponseHead::for_version(1, 0).refuse(status, connection),
                    });
                }
                Progress::Gone => {}
            }
        }
        visitors = waiting;
    }
}

enum Progress {
    More,
    /// The request, or the status that refuses it.
    Done(Result<Request, u16>),
    Gone,
}

impl Visitor {
    fn new(connection: TcpStream) -> io::Result<Self> {
        // Events are small and must not wait for the acknowledgement of the one before.
        connection.set_nodelay(true)?;
        connection.set_nonblocking(true)?;
        Ok(Visitor {
            connection,
            head: Vec::new(),
            since: Instant::now(),
        })
    }

    fn read(&mut self) -> Progress {
        let mut piece = [0; 4096];
        loop {
            match self.connection.read(&mut piece) {
                Ok(0) => return Progress::Gone,
                Ok(count) => self.head.extend_from_slice(&piece[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock if self.since.elapsed() < READ_TIMEOUT => {
                        return Progress::More;
                    }
                    ErrorKind::WouldBlock => return Progress::Done(Err(408)),
                    _ => return Progress::Gone,
                },
            }
            let start = piece.len() + 3;
            let from = self.head.len().saturating_sub(start);
            if let Some(end) = self.head[from..].windows(4).position(|w| w == b"\r\n\r\n") {
                return Progress::Done(Request::parse(&self.head[..from + end]));
            }
            if self.head.len() > MAX_HEAD {
                return Progress::Done(Err(431));
            }
        }
    }

    fn answered(self, answer: impl FnOnce(TcpStream) -> io::Result<()>) -> io::Result<()> {
        self.connection.set_nonblocking(false)?;
        self.connection.set_write_timeout(Some(LOOK))?;
        answer(self.connection)
    }
}

/// The head of a request.
struct Request {
    method: String,
    /// Path and query.
    target: String,
    minor: u8,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Understands a head (RFC 9112, 3 and 5), or says with which status to refuse it.
    fn parse(head: &[u8]) -> Result<Request, u16> {
        let head = std::str::from_utf8(head).map_err(|_| 400u16)?;
        let mut lines = head.split("\r\n");
        let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, version] = first[..] else {
            return Err(400);
        };
        let minor = match version {
            "HTTP/1.0" => 0,
            "HTTP/1.1" => 1,
            _ if version.starts_with("HTTP/") => return Err(505),
            _ => return Err(400),
        };
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let plain = !name.is_empty() && !name.contains([' ', '\t', '\n']);
            let value = value.trim_matches([' ', '\t']);
            (plain && !value.contains(['\r', '\n', '\0'])).then(|| (name.into(), value.into()))
        };
        let headers: Option<Vec<(String, String)>> = lines.map(header).collect();
        Ok(Request {
            method: method.into(),
            target: target.into(),
            minor,
            headers: headers.ok_or(400u16)?,
        })
    }

    /// The head of a response to this client.
    fn head(&self) -> ResponseHead {
        ResponseHead::for_version(1, self.minor).with_header("Connection", "close")
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }
}

//! Event streams on rouille, in the two ways that there are.
//!
//! | | `/events`: [`Upgrade`] | `/events-padded`: a padded body |
//! |---|---|---|
//! | an event costs | its own bytes | 8 KiB |
//! | a stream costs | 2 threads | 3 threads and a pipe |
//! | live for | every client | HTTP/1.1 only |
//! | its end is seen by | HTTP/1.1, and who said `Connection: close` | every client |
//! | behind nginx, as it is | live | not live, 504 in the end |
//! | behind nginx with `proxy_http_version 1.1` | no: see [`App::answer`] | live |
//!
//! Prefer the first. What both have in common:
//!
//! - rouille opens the listener itself, so that its sockets have no write time-out: a client that
//!   stops reading holds its place and its threads until it goes. Hence the limit on streams.
//! - They have Nagle's algorithm on, too: on a connection that is used again the stream begins 40 ms
//!   late.
//! - `tiny_http`, below rouille, may leave some of many connections that come at the same instant
//!   without a thread until another one ends. Whoever awaits such a burst serves from a bare
//!   `TcpListener`.

mod clock;

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rouille::{ReadWrite, Request, Response, ResponseBody, Upgrade};
use sse_io::http::{self, Guard};
use sse_io::{Emitter, Event, ResponseHead, body};

pub use clock::Clock;
use clock::Ticks;

/// A padded stream ends after so many ticks; the client comes back for the rest. For a client that
/// gets no chunks, one of HTTP/1.0, rouille collects the whole of it in memory.
pub const PADDED_TICKS: usize = 600;

/// The pages of any site may read these events.
const CORS: (&str, &str) = ("Access-Control-Allow-Origin", "*");

/// Answers requests.
#[derive(Debug)]
pub struct App {
    clock: Arc<Clock>,
    places: Arc<Places>,
}

impl App {
    /// Streams the ticks of the clock to no more than `max_streams` clients at a time.
    pub fn new(clock: Arc<Clock>, max_streams: usize) -> App {
        let places = Places {
            taken: AtomicUsize::new(0),
            limit: max_streams,
        };
        App {
            clock,
            places: Arc::new(places),
        }
    }

    /// The handler for [`rouille::Server::new`].
    ///
    /// The response to `/events` is preceded by an interim one, 103, unless the client asks for the
    /// connection to be closed, as nginx does by default. `proxy_http_version 1.1` together with
    /// `proxy_set_header Connection ""` makes nginx take that for the response, up to 1.22 at least.
    pub fn answer(&self, request: &Request) -> Response {
        if let Err(refusal) = Guard::new().check(request.method(), request.headers()) {
            return refuse(refusal.status());
        }
        let serve = match request.url().as_str() {
            "/events" => live,
            "/events-padded" => padded,
            _ => return Response::empty_404(),
        };
        let acceptable = http::accepts_event_stream(request.header("Accept"));
        match request.method() {
            "GET" | "HEAD" if !acceptable => refuse(406),
            "GET" => self.stream(request, serve),
            "HEAD" => Response {
                status_code: 200,
                headers: headers(),
                // Of no known length, as the stream is: none is sent, and no body either.
                data: ResponseBody::from_reader(io::empty()),
                upgrade: None,
            },
            method => refuse(if method == "OPTIONS" { 204 } else { 405 })
                .with_additional_header("Allow", "GET, HEAD, OPTIONS")
                .with_additional_header("Access-Control-Allow-Headers", "Last-Event-ID"),
        }
    }

    fn stream(&self, request: &Request, serve: Serve) -> Response {
        let Some(place) = Place::take(&self.places) else {
            return refuse(503).with_additional_header("Retry-After", "5");
        };
        let last = http::last_event_id(request.header("Last-Event-ID"), request.raw_url());
        let ticks = Ticks::after(last.and_then(|id| id.parse().ok()), &self.clock);
        serve(request, ticks, place)
    }
}

/// One of the two ways.
type Serve = fn(&Request, Ticks, Place) -> Response;

/// A status instead of a stream.
fn refuse(status: u16) -> Response {
    let (name, value) = CORS;
    Response {
        status_code: status,
        headers: vec![
            ("Cache-Control".into(), "no-cache".into()),
            (name.into(), value.into()),
        ],
        data: ResponseBody::empty(),
        upgrade: None,
    }
}

/// The stream on the client's socket, which rouille hands out for protocols like WebSocket.
///
/// It sends a head first, one that can neither say `chunked` nor give a length. As the head of the
/// response it would leave no way to see the end, for rouille keeps the connection open for another
/// request. So it goes out as an interim response, 103, which clients of HTTP/1.1 pass over (RFC
/// 9110, 15.2), and the stream begins with a head of its own, chunked: curl, ureq and Chromium then
/// see the end, and go on to use the connection.
///
/// Where the client asks for the connection to be closed, that is the end. So does nginx, which talks
/// HTTP/1.0 and knows no interim responses. (rouille does not tell the version of a request.)
fn live(request: &Request, ticks: Ticks, place: Place) -> Response {
    let connection = request.header("Connection").unwrap_or_default();
    let closes = connection.to_ascii_lowercase().contains("close");
    let socket_user = Live {
        stream: Some((ticks, place)),
        chunked: !closes,
    };
    Response {
        status_code: if closes { 200 } else { 103 },
        headers: if closes { headers() } else { Vec::new() },
        data: ResponseBody::empty(),
        upgrade: Some(Box::new(socket_user)),
    }
}

/// What takes the socket over once the head is out.
struct Live {
    stream: Option<(Ticks, Place)>,
    chunked: bool,
}

impl Upgrade for Live {
    /// Moves the socket to a thread of its own: this one is rouille's, and may be one of few.
    fn build(&mut self, socket: Box<dyn ReadWrite + Send>) {
        let Some((ticks, place)) = self.stream.take() else {
            return;
        };
        let chunked = self.chunked;
        spawn(place, move || {
            let emitter = if chunked {
                ResponseHead::new().with_cors(CORS.1).start(socket)?
            } else {
                Emitter::new(socket)
            };
            send(ticks, &emitter)
        });
    }
}

/// The stream as a response's body, filled on a thread of its own.
///
/// rouille sends what it reads from a body in chunks of 8 KiB, when those are full. The padding fills
/// them, so that each event leaves at once.
fn padded(_: &Request, ticks: Ticks, place: Place) -> Response {
    let (writer, body) = body::channel(16 << 10);
    spawn(place, move || {
        send(ticks.take(PADDED_TICKS), &Emitter::new(writer))
    });
    Response {
        status_code: 200,
        headers: headers(),
        data: ResponseBody::from_reader(body.with_padding(8192)),
        upgrade: None,
    }
}

/// Sends each tick with its number as the id, until there are no more or the client is gone. That is
/// noticed by the second write after it.
fn send<W: Write>(ticks: impl Iterator<Item = u64>, emitter: &Emitter<W>) -> io::Result<()> {
    // Brings the head out where it waits for the first bytes of the body.
    emitter.comment("")?;
    for tick in ticks {
        let event = Event::new(format!("tick {tick}"));
        emitter.emit(&event.with_name("tick").with_id(tick.to_string()))?;
    }
    Ok(())
}

fn spawn(place: Place, stream: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let thread = thread::Builder::new().name("events".into());
    let spawned = thread.spawn(move || {
        let _place = place;
        if let Err(error) = stream() {
            eprintln!("a stream has ended: {error}");
        }
    });
    if let Err(error) = spawned {
        // The stream was dropped with the closure, which is its end.
        eprintln!("no thread for a stream: {error}");
    }
}

fn headers() -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    let header = |&(name, value): &(&'static str, &'static str)| (name.into(), value.into());
    http::HEADERS.iter().chain([&CORS]).map(header).collect()
}

/// The places for streams.
#[derive(Debug)]
struct Places {
    taken: AtomicUsize,
    limit: usize,
}

/// A place for one stream, given back when dropped.
struct Place(Arc<Places>);

impl Place {
    fn take(places: &Arc<Places>) -> Option<Place> {
        let place = Place(Arc::clone(places));
        let before = places.taken.fetch_add(1, Ordering::Relaxed);
        (before < places.limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

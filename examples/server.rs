//! cargo run --example server [-- [--host NAME]... [ADDRESS]]
//!
//! A live event stream on `tiny_http`, `http://127.0.0.1:8080/events`, and a page that shows it,
//! `http://127.0.0.1:8080/`. Port 0 picks a free port. What else a server needs is in `site/mod.rs`.
//!
//! Not for the open internet by itself: `tiny_http` limits neither the connections nor the time that
//! a request takes, and a few hundred clients that connect and say nothing end it for everybody (see
//! `MAX_STREAMS`). Put a proxy in front that limits both, or start from the example `std_tcp`, which
//! does so itself.

#[path = "site/mod.rs"]
mod site;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sse_io::http::{self, Guard};
use sse_io::{Event, ResponseHead};
use tiny_http::{Method, Request, Server};

use site::start::log;

const USAGE: &str = "\
A live event stream, and a page that shows it.

Usage: cargo run --example server [-- [--host NAME]... [ADDRESS]]

  ADDRESS      where to listen; port 0 is any free one. Default: 127.0.0.1:8080
  --host NAME  a name that clients reach this server by, beside localhost and IP addresses
  --help       this text

  http://127.0.0.1:8080/        the page
  http://127.0.0.1:8080/events  the stream; Last-Event-ID or ?lastEventId=N goes on after N

It reads no environment variables.";

const PAGE: &str = include_str!("server/page.html");
const STYLE: &str = include_str!("server/page.css");
const SCRIPT: &str = include_str!("server/page.js");

/// How many streams there are at most. Each holds a thread and a connection, for which `tiny_http`
/// 0.12 opens two file descriptors; where there are none left (many systems give a process 1024), its
/// accept thread panics or ends, and no client is accepted any more.
///
/// This counts streams and not connections, because a connection is not seen here before its request
/// is complete. `tiny_http` has no time limit for that: a client that says nothing holds a thread and
/// two descriptors for as long as it likes, and one that announces a body and does not send it holds
/// its handler as well, in `into_writer`. Only a proxy in front can limit those.
const MAX_STREAMS: usize = 400;

fn main() -> ExitCode {
    site::main(USAGE, "127.0.0.1:8080", |server, guard| {
        serve(server, guard, MAX_STREAMS);
        Ok(())
    })
}

/// Answers requests until the server is unblocked, with no more than so many streams at a time.
pub fn serve(server: &Server, guard: Guard, max_streams: usize) {
    let streams = Arc::new(Places {
        taken: AtomicUsize::new(0),
        limit: max_streams,
    });
    site::serve(server, guard, move |request| answer(request, &streams));
}

fn answer(request: Request, streams: &Arc<Places>) -> io::Result<()> {
    let path = request.url().split('?').next().unwrap_or_default();
    let head = site::head(&request);
    match (path, request.method()) {
        ("/events", _) => events(request, head, streams),
        ("/", Method::Get | Method::Head) => site::file(request, "text/html", PAGE),
        ("/page.css", Method::Get | Method::Head) => site::file(request, "text/css", STYLE),
        ("/page.js", Method::Get | Method::Head) => site::file(request, "text/javascript", SCRIPT),
        ("/" | "/page.css" | "/page.js", _) => site::allow(request, head, "GET, HEAD, OPTIONS"),
        _ => head.refuse(404, request.into_writer()),
    }
}

/// What there is to say about the stream, for every method.
fn events(request: Request, head: ResponseHead, places: &Arc<Places>) -> io::Result<()> {
    // The pages of any site may read these events.
    let head = head.with_cors("*");
    match request.method() {
        Method::Get | Method::Head if !site::accepts_events(&request) => {
            head.refuse(406, request.into_writer())
        }
        Method::Get => stream(request, head, places),
        Method::Head => head.respond_to_head(request.into_writer()),
        _ => {
            let head = head.with_header("Access-Control-Allow-Headers", "Last-Event-ID");
            site::allow(request, head, "GET, HEAD, OPTIONS")
        }
    }
}

/// One tick a second, for as long as the client stays.
fn stream(request: Request, head: ResponseHead, places: &Arc<Places>) -> io::Result<()> {
    let Some(_place) = Place::take(places) else {
        return head
            .with_header("Retry-After", "5")
            .refuse(503, request.into_writer());
    };
    let peer = request
        .remote_addr()
        .map(ToString::to_string)
        .unwrap_or_default();
    // The ids count up from 1; a client that comes back goes on after the last one it has.
    let last: u64 = http::last_event_id(site::header(&request, "Last-Event-ID"), request.url())
        .and_then(|id| id.parse().ok())
        .unwrap_or(0);
    let emitter = head
        .with_retry(Duration::from_secs(2))
        .start(request.into_writer())?;
    log(&format!("{peer} connected, starting after {last}"));
    for tick in last.saturating_add(1)..=u64::MAX {
        let event = Event::new("").with_name("tick").with_id(tick.to_string());
        let sent = emitter.emit_with(&event, |data| write!(data, "tick {tick}"));
        // A client that went away is noticed by the second write after that.
        if sent.is_err() || emitter.wait_closed(Some(Duration::from_secs(1))) {
            break;
        }
    }
    log(&format!("{peer} gone"));
    Ok(())
}

/// The places for streams.
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

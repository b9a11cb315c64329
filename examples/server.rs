//! cargo run --example server [-- ADDRESS]
//!
//! A live event stream on `tiny_http`, and a page that shows it. Port 0 picks a free port.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sse_io::{Event, ResponseHead, http};
use tiny_http::{HTTPVersion, Header, Method, Request, Response, Server};

const PAGE: &str = include_str!("server.html");

/// How many streams there are at most. Each holds a thread and a socket, and a server that runs out
/// of sockets cannot accept connections any more.
const MAX_STREAMS: usize = 400;

/// How long a client may leave a full connection unread before its thread is taken back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8080".into());
    let listener =
        TcpListener::bind(&address).map_err(|e| format!("cannot listen on {address}: {e}"))?;
    println!("listening on http://{}/", listener.local_addr()?);
    println!(
        "open it in a browser, or: curl -N http://{}/events",
        listener.local_addr()?
    );
    #[cfg(unix)]
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
    serve(&Server::from_listener(listener, None)?, MAX_STREAMS);
    Ok(())
}

/// Answers requests until the server is unblocked, with no more than so many streams at a time.
pub fn serve(server: &Server, max_streams: usize) {
    let streams = Arc::new(Places {
        taken: AtomicUsize::new(0),
        limit: max_streams,
    });
    for request in server.incoming_requests() {
        let streams = Arc::clone(&streams);
        // Every request on a thread of its own: a second request on the connection of a stream must
        // wait for its end, and would hold up everybody else here.
        let handler = thread::Builder::new().spawn(move || {
            if let Err(error) = answer(request, &streams) {
                eprintln!("{error}");
            }
        });
        if let Err(error) = handler {
            // The request was dropped with the closure: tiny_http has answered it with 500.
            eprintln!("no thread for a request: {error}");
        }
    }
}

fn answer(request: Request, streams: &Arc<Places>) -> io::Result<()> {
    let path = request
        .url()
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    match (request.method(), path.as_str()) {
        (Method::Get, "/events") => stream(request, streams),
        (Method::Get | Method::Head, "/") => {
            let html = "text/html; charset=utf-8";
            request.respond(Response::from_string(PAGE).with_header(header("Content-Type", html)))
        }
        (_, "/" | "/events") => {
            request.respond(Response::empty(405).with_header(header("Allow", "GET")))
        }
        _ => request.respond(Response::from_string("not found\n").with_status_code(404)),
    }
}

/// One tick a second, for as long as the client stays.
fn stream(request: Request, places: &Arc<Places>) -> io::Result<()> {
    let peer = request
        .remote_addr()
        .map(ToString::to_string)
        .unwrap_or_default();
    let HTTPVersion(major, minor) = *request.http_version();
    let head = ResponseHead::for_version(major, minor);
    let Some(_place) = Place::take(places) else {
        return head
            .with_header("Retry-After", "5")
            .refuse(503, request.into_writer());
    };
    // The ids count up from 1; a client that comes back goes on after the last one it has.
    let last: u64 = last_event_id(&request)
        .and_then(|id| id.parse().ok())
        .unwrap_or(0);
    let emitter = head
        .with_retry(Duration::from_secs(2))
        .start(request.into_writer())?;
    log(&format!("{peer} connected, starting after {last}"));
    for tick in last.saturating_add(1).. {
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

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn last_event_id(request: &Request) -> Option<&str> {
    let header = request
        .headers()
        .iter()
        .find(|header| header.field.equiv("Last-Event-ID"))?;
    Some(header.value.as_str())
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("a valid header")
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

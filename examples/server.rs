//! cargo run --example server [-- ADDRESS]
//!
//! A live event stream on `tiny_http`, and a page that shows it. Port 0 picks a free port.
//!
//! Not for the open internet by itself: `tiny_http` limits neither the connections nor the time that
//! a request takes, and a few hundred clients that connect and say nothing end it for everybody (see
//! `MAX_STREAMS`). Put a proxy in front that limits both, or start from the example `std_tcp`, which
//! does so itself.

use std::error::Error;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use sse_io::{Event, ResponseHead, http};
use tiny_http::{HTTPVersion, Header, Method, Request, Response, Server};

const PAGE: &str = include_str!("server.html");

/// How many streams there are at most. Each holds a thread and a connection, for which `tiny_http`
/// 0.12 opens two file descriptors; where there are none left (many systems give a process 1024), its
/// accept thread panics or ends, and no client is accepted any more.
///
/// This counts streams and not connections, because a connection is not seen here before its request
/// is complete. `tiny_http` has no time limit for that: a client that says nothing holds a thread and
/// two descriptors for as long as it likes, and one that announces a body and does not send it holds
/// its handler as well, in `into_writer`. Only a proxy in front can limit those.
const MAX_STREAMS: usize = 400;

/// How long a client may leave a full connection unread before its thread is taken back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a request may be held up by a queue of new connections that is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let address = std::env::args().nth(1);
    match run(address.as_deref().unwrap_or("127.0.0.1:8080")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(address: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener =
        TcpListener::bind(address).map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    log(&format!("listening on {url}"));
    log(&format!("open it in a browser, or: curl -N {url}events"));
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
    let address = server.server_addr().to_ip();
    for request in server.incoming_requests() {
        let streams = Arc::clone(&streams);
        // Every request on a thread of its own: a second request on the connection of a stream must
        // wait for its end, and would hold up everybody else here.
        let handler = thread::Builder::new().spawn(move || {
            // Of connections that come at once, tiny_http 0.12 may leave some in the queue of its
            // workers until another worker is done, which takes as long as a stream. This connection
            // is done at once, and its worker looks into the queue.
            let _ = address.map(|a| TcpStream::connect_timeout(&a, CONNECT_TIMEOUT));
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
    let path = request.url().split('?').next().unwrap_or_default();
    match (path, request.method()) {
        ("/events", _) => events(request, streams),
        ("/", Method::Get | Method::Head) => {
            let html = Header::from_bytes("Content-Type", "text/html; charset=utf-8");
            let html = html.expect("a valid header");
            request.respond(Response::from_string(PAGE).with_header(html))
        }
        ("/", _) => head(&request)
            .with_header("Allow", "GET, HEAD")
            .refuse(405, request.into_writer()),
        _ => head(&request).refuse(404, request.into_writer()),
    }
}

/// What there is to say about the stream, for every method.
fn events(request: Request, places: &Arc<Places>) -> io::Result<()> {
    // The pages of any site may read these events.
    let head = head(&request).with_cors("*");
    let acceptable = http::accepts_event_stream(list(&request, "Accept").as_deref());
    match request.method() {
        Method::Get | Method::Head if !acceptable => head.refuse(406, request.into_writer()),
        Method::Get => stream(request, head, places),
        Method::Head => head.respond_to_head(request.into_writer()),
        method => {
            let status = if *method == Method::Options { 204 } else { 405 };
            head.with_header("Allow", "GET, HEAD, OPTIONS")
                .with_header("Access-Control-Allow-Headers", "Last-Event-ID")
                .refuse(status, request.into_writer())
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
    let last: u64 = http::last_event_id(header(&request, "Last-Event-ID"), request.url())
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

/// The head of a response, in the version of HTTP that the client speaks.
fn head(request: &Request) -> ResponseHead {
    let HTTPVersion(major, minor) = *request.http_version();
    ResponseHead::for_version(major, minor)
}

fn header<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    let header = request.headers().iter().find(|h| h.field.equiv(name))?;
    Some(header.value.as_str())
}

/// The values of all headers of this name, which are one list (RFC 9110, 5.3).
fn list(request: &Request, name: &'static str) -> Option<String> {
    let headers = request.headers().iter().filter(|h| h.field.equiv(name));
    let values: Vec<&str> = headers.map(|h| h.value.as_str()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
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

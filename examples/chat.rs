//! cargo run --example chat [-- ADDRESS]
//!
//! A chat on `tiny_http`, with a hub for each room, and its page: who is here, what was said before,
//! and nothing lost when a connection is. Port 0 picks a free port. Without a browser:
//!
//! ```sh
//! curl -N 'http://127.0.0.1:8081/rooms/lobby/events?name=Bob'
//! curl -d 'name=Ada&text=Hello' http://127.0.0.1:8081/rooms/lobby/messages
//! ```
//!
//! Names are taken on trust, and a room's past is in memory. What the example `server` says of
//! `tiny_http` on the open internet holds here as well.

#[path = "chat/rooms.rs"]
mod rooms;

use std::error::Error;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sse_io::{Heartbeat, ResponseHead, http};
use tiny_http::{HTTPVersion, Header, Method, Request, Response, Server};

pub use rooms::{Limits, Rooms};

const PAGE: &str = include_str!("chat.html");

/// The page has all it needs, and nothing that somebody wrote can make it fetch or run more.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; \
                      script-src 'unsafe-inline'; style-src 'unsafe-inline'";

/// What a client may choose, in characters, and the bytes of the form that it posts.
const MAX_ROOM: usize = 40;
const MAX_NAME: usize = 30;
const MAX_TEXT: usize = 2000;
const MAX_BODY: usize = 32 << 10;

/// How soon a page comes back. Who has left is noticed by the second heartbeat after that.
const RETRY: Duration = Duration::from_secs(1);
const HEARTBEAT: Heartbeat = Heartbeat::every(Duration::from_secs(5));

const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8081");
    let listener =
        TcpListener::bind(address).map_err(|e| format!("cannot listen on {address}: {e}"))?;
    println!("listening on http://{}/", listener.local_addr()?);
    #[cfg(unix)]
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
    let limits = Limits {
        rooms: 100,
        members_of_a_room: 50,
        members: 400,
        idle: Duration::from_secs(600),
    };
    serve(&Server::from_listener(listener, None)?, limits);
    Ok(())
}

/// Answers requests until the server is unblocked.
pub fn serve(server: &Server, limits: Limits) {
    let rooms = Rooms::new(limits);
    let address = server.server_addr().to_ip();
    for request in server.incoming_requests() {
        let rooms = Arc::clone(&rooms);
        let handler = thread::Builder::new().spawn(move || {
            // Has tiny_http look for connections that it left waiting: see the example `server`.
            let _ = address.map(|a| TcpStream::connect_timeout(&a, CONNECT_TIMEOUT));
            if let Err(error) = answer(request, &rooms) {
                eprintln!("{error}");
            }
        });
        if let Err(error) = handler {
            eprintln!("no thread for a request: {error}");
        }
    }
}

fn answer(request: Request, rooms: &Arc<Rooms>) -> io::Result<()> {
    let HTTPVersion(major, minor) = *request.http_version();
    let head = ResponseHead::for_version(major, minor);
    let target = request.url().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (room, what) = match path.strip_prefix("/rooms/") {
        Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
        None if path == "/" => {
            return head
                .with_header("Location", "/rooms/lobby")
                .refuse(302, request.into_writer());
        }
        None => return head.refuse(404, request.into_writer()),
    };
    let Some(room) = decode(room).and_then(|room| line(&room, MAX_ROOM)) else {
        return head.refuse(404, request.into_writer());
    };
    match (what, request.method()) {
        ("", Method::Get | Method::Head) => {
            let header = |name: &str, value| Header::from_bytes(name, value).expect("a header");
            let page = Response::from_string(PAGE)
                .with_header(header("Content-Type", "text/html; charset=utf-8"))
                .with_header(header("Content-Security-Policy", POLICY));
            request.respond(page)
        }
        ("events", Method::Get | Method::Head) => {
            let accept = request.headers().iter().filter(|h| h.field.equiv("Accept"));
            let accept: Vec<&str> = accept.map(|h| h.value.as_str()).collect();
            if !http::accepts_event_stream(Some(&accept.join(", "))) {
                return head.refuse(406, request.into_writer());
            }
            match request.method() {
                Method::Head => head.respond_to_head(request.into_writer()),
                _ => stream(request, head, rooms, &room, query),
            }
        }
        ("messages", Method::Post) => take(request, head, rooms, &room),
        ("" | "events" | "messages", method) => {
            let status = if *method == Method::Options { 204 } else { 405 };
            let allow = match what {
                "messages" => "POST, OPTIONS",
                _ => "GET, HEAD, OPTIONS",
            };
            head.with_header("Allow", allow)
                .refuse(status, request.into_writer())
        }
        _ => head.refuse(404, request.into_writer()),
    }
}

/// What happens in a room, for as long as the client stays.
fn stream(
    request: Request,
    head: ResponseHead,
    rooms: &Arc<Rooms>,
    room: &str,
    query: &str,
) -> io::Result<()> {
    let name = parameter("name", query).unwrap_or_else(|| "guest".to_owned());
    let Some(name) = line(&name, MAX_NAME) else {
        return head.refuse(400, request.into_writer());
    };
    let headers = request.headers().iter();
    let header = headers.clone().find(|h| h.field.equiv("Last-Event-ID"));
    let last = http::last_event_id(header.map(|h| h.value.as_str()), request.url());
    let Some(mut member) = rooms.enter(room, name, last.as_deref().unwrap_or_default()) else {
        return head
            .with_header("Retry-After", "5")
            .refuse(503, request.into_writer());
    };
    let emitter = head.with_retry(RETRY).start(request.into_writer())?;
    // However it ends: a client that is still there comes back by itself, with its last event ID.
    let _ = member.subscription.serve(&emitter, HEARTBEAT);
    Ok(())
}

/// Takes a message, a form with `name` and `text`, and answers with 204.
fn take(
    mut request: Request,
    head: ResponseHead,
    rooms: &Arc<Rooms>,
    room: &str,
) -> io::Result<()> {
    let form = "application/x-www-form-urlencoded";
    let mut headers = request.headers().iter();
    let media_type = headers.find(|h| h.field.equiv("Content-Type"));
    let media_type = media_type.and_then(|h| h.value.as_str().split(';').next());
    if !media_type.is_some_and(|m| m.trim().eq_ignore_ascii_case(form)) {
        return head.refuse(415, request.into_writer());
    }
    let mut body = Vec::new();
    let length = request.body_length();
    if length <= Some(MAX_BODY) {
        let most = MAX_BODY as u64 + 1;
        request.as_reader().take(most).read_to_end(&mut body)?;
    }
    if length.unwrap_or(body.len()) > MAX_BODY {
        return head.refuse(413, request.into_writer());
    }
    let form = String::from_utf8(body).unwrap_or_default();
    let name = parameter("name", &form).and_then(|name| line(&name, MAX_NAME));
    let said = parameter("text", &form).and_then(|said| text(&said, MAX_TEXT));
    let (Some(name), Some(said)) = (name, said) else {
        return head.refuse(400, request.into_writer());
    };
    match rooms.say(room, &name, &said)? {
        true => head.refuse(204, request.into_writer()),
        false => head
            .with_header("Retry-After", "5")
            .refuse(503, request.into_writer()),
    }
}

/// The text of a client, if it has one to so many characters and no control characters but line feeds.
fn text(text: &str, max: usize) -> Option<String> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    let fits = (1..=max).contains(&text.chars().count());
    let plain = !text.chars().any(|c| c.is_control() && c != '\n');
    (fits && plain).then(|| text.to_owned())
}

/// The same without line feeds.
fn line(line: &str, max: usize) -> Option<String> {
    text(line, max).filter(|line| !line.contains('\n'))
}

/// A field of a form, or of a query.
fn parameter(name: &str, form: &str) -> Option<String> {
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    decode(&value.replace('+', " "))
}

/// Undoes percent-encoding; None if it is none, or not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut decoded = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let digits = digits
            .bytes()
            .all(|b| b.is_ascii_hexdigit())
            .then_some(digits)?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        decoded.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(decoded).ok()
}

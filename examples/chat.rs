//! cargo run --example chat [-- [--host NAME]... [ADDRESS]]
//!
//! A chat on `tiny_http`, with a hub for each room, and its page, `http://127.0.0.1:8081/`: who is here,
//! what was said before, and nothing lost when a connection is. Port 0 picks a free port. Without a browser:
//!
//! ```sh
//! curl -N 'http://127.0.0.1:8081/rooms/lobby/events?name=Bob'
//! curl -d 'name=Ada&text=Hello' http://127.0.0.1:8081/rooms/lobby/messages
//! ```
//!
//! Names are taken on trust, and a room's past is in memory. What the example `server` says of
//! `tiny_http` on the open internet holds here as well. What else a server needs is in `site/mod.rs`.

#[path = "chat/rooms.rs"]
mod rooms;
#[path = "site/mod.rs"]
mod site;

use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sse_io::http::{self, Guard};
use sse_io::{Heartbeat, ResponseHead};
use tiny_http::{Method, Request, Server};

pub use rooms::{Limits, Rooms};

const USAGE: &str = "\
A chat with rooms: who is here, what was said before, and nothing lost when a connection is.

Usage: cargo run --example chat [-- [--host NAME]... [ADDRESS]]

  ADDRESS      where to listen; port 0 is any free one. Default: 127.0.0.1:8081
  --host NAME  a name that clients reach this server by, beside localhost and IP addresses
  --help       this text

  http://127.0.0.1:8081/rooms/ROOM                   the page of a room
  http://127.0.0.1:8081/rooms/ROOM/events?name=NAME  its stream; opening it opens the room
  http://127.0.0.1:8081/rooms/ROOM/messages          takes a POST with name=NAME&text=TEXT

It reads no environment variables.";

const PAGE: &str = include_str!("chat/page.html");
const STYLE: &str = include_str!("chat/page.css");
const SCRIPT: &str = include_str!("chat/page.js");

/// What a client may choose, in characters, and the bytes of the form that it posts.
const MAX_ROOM: usize = 40;
const MAX_NAME: usize = 30;
const MAX_TEXT: usize = 2000;
const MAX_BODY: usize = 32 << 10;

/// How soon a page comes back. Who has left without a word is noticed by the second heartbeat after that.
const RETRY: Duration = Duration::from_secs(1);
const HEARTBEAT: Heartbeat = Heartbeat::every(Duration::from_secs(5));

/// How long a page that was closed is still there: as long as a reload may take.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let limits = Limits {
        rooms: 100,
        members_of_a_room: 50,
        members: 400,
        idle: Duration::from_secs(600),
    };
    site::main(USAGE, "127.0.0.1:8081", move |server, guard| {
        serve(server, guard, limits);
        Ok(())
    })
}

/// Answers requests until the server is unblocked.
pub fn serve(server: &Server, guard: Guard, limits: Limits) {
    let rooms = Rooms::new(limits);
    let changes = guard.clone();
    site::serve(server, guard, move |request| {
        answer(request, &changes, &rooms)
    });
}

fn answer(request: Request, guard: &Guard, rooms: &Arc<Rooms>) -> io::Result<()> {
    let head = site::head(&request);
    let target = request.url().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let is_read = matches!(request.method(), Method::Get | Method::Head);
    let (room, what) = match path.strip_prefix("/rooms/") {
        Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
        None => {
            return match path {
                "/" => head
                    .with_header("Location", "/rooms/lobby")
                    .refuse(302, request.into_writer()),
                "/page.css" if is_read => site::file(request, "text/css", STYLE),
                "/page.js" if is_read => site::file(request, "text/javascript", SCRIPT),
                "/page.css" | "/page.js" => site::allow(request, head, "GET, HEAD, OPTIONS"),
                _ => head.refuse(404, request.into_writer()),
            };
        }
    };
    let Some(room) = decode(room).and_then(|room| line(&room, MAX_ROOM)) else {
        return head.refuse(404, request.into_writer());
    };
    match (what, request.method()) {
        ("", _) if is_read => site::file(request, "text/html", PAGE),
        ("events", _) if is_read && !site::accepts_events(&request) => {
            head.refuse(406, request.into_writer())
        }
        ("events", Method::Head) => head.respond_to_head(request.into_writer()),
        ("events", Method::Get) => match guard.check_change(site::headers(&request)) {
            Ok(()) => stream(request, head, rooms, &room, query),
            // To come in is something that others see: no other site may do it for its visitors.
            Err(refusal) => head.refuse(refusal.status(), request.into_writer()),
        },
        ("messages", Method::Post) => take(request, head, rooms, &room),
        ("leave", Method::Post) => leave(request, head, rooms, &room),
        ("" | "events", _) => site::allow(request, head, "GET, HEAD, OPTIONS"),
        ("messages" | "leave", _) => site::allow(request, head, "POST, OPTIONS"),
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
    let page = parameter("page", query).unwrap_or_default();
    let (Some(name), true) = (line(&name, MAX_NAME), page.len() <= MAX_NAME) else {
        return head.refuse(400, request.into_writer());
    };
    let last = http::last_event_id(site::header(&request, "Last-Event-ID"), request.url());
    let last = last.as_deref().unwrap_or_default();
    let Some(mut member) = rooms.enter(room, name, page, last) else {
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
fn take(mut request: Request, head: ResponseHead, rooms: &Rooms, room: &str) -> io::Result<()> {
    let form = match form(&mut request)? {
        Ok(form) => form,
        Err(status) => return head.refuse(status, request.into_writer()),
    };
    let name = parameter("name", &form).and_then(|name| line(&name, MAX_NAME));
    let said = parameter("text", &form).and_then(|said| text(&said, MAX_TEXT));
    let (Some(name), Some(said)) = (name, said) else {
        return head.refuse(400, request.into_writer());
    };
    match rooms.say(room, &name, &said)? {
        true => head.refuse(204, request.into_writer()),
        // Nobody would hear it.
        false => head.refuse(404, request.into_writer()),
    }
}

/// Takes a form with the `page` that was closed, and answers with 204.
fn leave(mut request: Request, head: ResponseHead, rooms: &Rooms, room: &str) -> io::Result<()> {
    let form = match form(&mut request)? {
        Ok(form) => form,
        Err(status) => return head.refuse(status, request.into_writer()),
    };
    head.refuse(204, request.into_writer())?;
    let page = parameter("page", &form).unwrap_or_default();
    // A page that is loaded again is back by then, and nobody has left.
    if let Some(connection) = rooms.leaving(room, &page) {
        thread::sleep(GRACE);
        rooms.left(room, connection);
    }
    Ok(())
}

/// The form that a request brings, or the status to refuse it with.
fn form(request: &mut Request) -> io::Result<Result<String, u16>> {
    let media_type = site::header(request, "Content-Type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(Err(415));
    }
    let mut body = Vec::new();
    let length = request.body_length();
    if length <= Some(MAX_BODY) {
        let most = MAX_BODY as u64 + 1;
        request.as_reader().take(most).read_to_end(&mut body)?;
    }
    if length.unwrap_or(body.len()) > MAX_BODY {
        return Ok(Err(413));
    }
    Ok(String::from_utf8(body).map_err(|_| 400))
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

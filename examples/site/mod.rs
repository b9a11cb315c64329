//! What the examples on `tiny_http` share: a thread for each request, what every request has to pass before
//! it is answered, and the files of a page. How they start is in `start.rs`.

pub(crate) mod start;

use std::error::Error;
use std::io;
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sse_io::ResponseHead;
use sse_io::http::{self, Guard, Refusal};
use tiny_http::{HTTPVersion, Header, Request, Response, Server};

/// A page loads what this server has, and nothing else. Nothing that somebody wrote can run in it or
/// fetch anything, and no other site can put it into a frame. For that, its script and its style are
/// files of their own.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; script-src 'self'; \
                      style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// How long a client may leave a full connection unread before its thread is taken back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a request may be held up by a queue of new connections that is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs a program on `tiny_http`, with the arguments that all of them take.
pub(crate) fn main<F>(usage: &str, address: &str, start: F) -> ExitCode
where
    F: FnOnce(&Server, Guard) -> Result<(), Box<dyn Error + Send + Sync>>,
{
    start::main(usage, address, |listener, guard| {
        #[cfg(unix)]
        http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
        start(&Server::from_listener(listener, None)?, guard)
    })
}

/// Answers each request on a thread of its own, until the server is unblocked: a second request on the
/// connection of a stream must wait for its end, and would hold up everybody else here. What the guard
/// refuses is not answered by `answer`.
pub(crate) fn serve<F>(server: &Server, guard: Guard, answer: F)
where
    F: Fn(Request) -> io::Result<()> + Send + Sync + 'static,
{
    let (guard, answer) = (Arc::new(guard), Arc::new(answer));
    let address = server.server_addr().to_ip();
    for request in server.incoming_requests() {
        let (guard, answer) = (Arc::clone(&guard), Arc::clone(&answer));
        let handler = thread::Builder::new().spawn(move || {
            // Of connections that come at once, tiny_http 0.12 may leave some in the queue of its
            // workers until another worker is done, which takes as long as a stream. This connection
            // is done at once, and its worker looks into the queue.
            let _ = address.map(|a| TcpStream::connect_timeout(&a, CONNECT_TIMEOUT));
            let checked = guard.check(request.method().as_str(), headers(&request));
            let answered = match checked {
                Ok(()) => answer(request),
                Err(refusal) => refuse(request, refusal),
            };
            if let Err(error) = answered {
                eprintln!("{error}");
            }
        });
        if let Err(error) = handler {
            // The request was dropped with the closure: tiny_http has answered it with 500.
            eprintln!("no thread for a request: {error}");
        }
    }
}

/// Says why, to who opens a page by a name that this server was not told.
fn refuse(request: Request, refusal: Refusal) -> io::Result<()> {
    let hint = match refusal {
        Refusal::UnknownHost => ": start it with `--host` and that name",
        _ => "",
    };
    let text = Response::from_string(format!("{refusal}{hint}\n"));
    request.respond(text.with_status_code(refusal.status()))
}

/// Answers with a page, or with a file that the page loads.
pub(crate) fn file(request: Request, media_type: &str, text: &str) -> io::Result<()> {
    let header = |name: &str, value: &str| Header::from_bytes(name, value).expect("a valid header");
    let file = Response::from_string(text)
        .with_header(header(
            "Content-Type",
            &format!("{media_type}; charset=utf-8"),
        ))
        .with_header(header("Content-Security-Policy", POLICY))
        .with_header(header("X-Content-Type-Options", "nosniff"));
    request.respond(file)
}

/// Answers a method that is not taken, and `OPTIONS`, with those that are.
pub(crate) fn allow(request: Request, head: ResponseHead, methods: &str) -> io::Result<()> {
    let asked = request.method().as_str() == "OPTIONS";
    head.with_header("Allow", methods)
        .refuse(if asked { 204 } else { 405 }, request.into_writer())
}

/// The head of a response, in the version of HTTP that the client speaks.
pub(crate) fn head(request: &Request) -> ResponseHead {
    let HTTPVersion(major, minor) = *request.http_version();
    ResponseHead::for_version(major, minor)
}

/// All headers, by name and value.
pub(crate) fn headers(request: &Request) -> impl Iterator<Item = (&str, &str)> {
    let headers = request.headers().iter();
    headers.map(|header| (header.field.as_str().as_str(), header.value.as_str()))
}

/// The value of the first header of this name.
pub(crate) fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut found = headers(request).filter(|(other, _)| other.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value)
}

/// Whether the client takes an event stream. All headers of one name are one list (RFC 9110, 5.3).
pub(crate) fn accepts_events(request: &Request) -> bool {
    let accept = headers(request).filter(|(name, _)| name.eq_ignore_ascii_case("Accept"));
    let accept: Vec<&str> = accept.map(|(_, value)| value).collect();
    http::accepts_event_stream(Some(&accept.join(", ")))
}

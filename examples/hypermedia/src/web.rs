//! The HTTP side: pages, streams, and what the pages post.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sse_io::http::{self, Guard};
use sse_io::{Heartbeat, ResponseHead};
use tiny_http::{HTTPVersion, Header, Method, Request, Response, Server};

use crate::board::{Boards, Change, Outcome};
use crate::page::{self, Dialect};

/// What is served beside the pages, with its type.
const ASSETS: &[(&str, &str, &str)] = &[
    (
        "htmx.min.js",
        "text/javascript",
        include_str!("../assets/htmx.min.js"),
    ),
    (
        "sse.min.js",
        "text/javascript",
        include_str!("../assets/sse.min.js"),
    ),
    (
        "datastar.js",
        "text/javascript",
        include_str!("../assets/datastar.js"),
    ),
    ("page.css", "text/css", include_str!("../assets/page.css")),
];

const MAX_ROOM: usize = 40;
const MAX_TEXT: usize = 200;
const MAX_BODY: u64 = 8 << 10;

const RETRY: Duration = Duration::from_secs(1);
const HEARTBEAT: Heartbeat = Heartbeat::every(Duration::from_secs(15));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the job takes for each of its steps.
const STEP: Duration = Duration::from_millis(200);
const PERCENT: u8 = 5;

/// What answers requests.
#[derive(Debug)]
pub(crate) struct Web {
    pub(crate) boards: Boards,
    pub(crate) guard: Guard,
}

impl Web {
    /// Answers each request on a thread of its own.
    pub(crate) fn serve(self: &Arc<Self>, server: &Server) {
        let address = server.server_addr().to_ip();
        for request in server.incoming_requests() {
            let this = Arc::clone(self);
            let handler = thread::Builder::new().spawn(move || {
                // Has tiny_http look for connections that it left waiting: see `examples/site/mod.rs`.
                let _ = address.map(|a| TcpStream::connect_timeout(&a, CONNECT_TIMEOUT));
                if let Err(error) = this.answer(request) {
                    eprintln!("{error}");
                }
            });
            if let Err(error) = handler {
                eprintln!("no thread for a request: {error}");
            }
        }
    }

    fn answer(self: &Arc<Self>, request: Request) -> io::Result<()> {
        let head = head(&request);
        let headers = request.headers().iter();
        let headers = headers.map(|h| (h.field.as_str().as_str(), h.value.as_str()));
        if let Err(refusal) = self.guard.check(request.method().as_str(), headers) {
            let text = Response::from_string(format!("{refusal}\n"));
            return request.respond(text.with_status_code(refusal.status()));
        }
        let path = request
            .url()
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let is_read = matches!(request.method(), Method::Get | Method::Head);
        match (&parts[..], is_read) {
            ([""], true) => head
                .with_header("Location", "/htmx/lobby")
                .refuse(302, request.into_writer()),
            (["assets", name], true) => asset(request, head, name),
            ([dialect, room, rest @ ..], _) => {
                let dialect = Dialect::ALL
                    .into_iter()
                    .find(|known| known.name() == *dialect);
                let (Some(dialect), true) = (dialect, is_room(room)) else {
                    return head.refuse(404, request.into_writer());
                };
                match (rest, is_read) {
                    ([], true) => self.page(request, dialect, room),
                    (["events"], true) => self.stream(request, head, dialect, room),
                    ([], _) | (["events"], _) => head
                        .with_header("Allow", "GET, HEAD")
                        .refuse(405, request.into_writer()),
                    (_, true) => head
                        .with_header("Allow", "POST")
                        .refuse(405, request.into_writer()),
                    (what, false) => self.take(request, head, dialect, room, what),
                }
            }
            _ => head.refuse(404, request.into_writer()),
        }
    }

    fn page(&self, request: Request, dialect: Dialect, room: &str) -> io::Result<()> {
        // Datastar compiles the expressions in its attributes, which a policy calls `eval`.
        let scripts = match dialect {
            Dialect::Htmx => "'self'",
            Dialect::Datastar => "'self' 'unsafe-eval'",
        };
        let policy = format!(
            "default-src 'none'; connect-src 'self'; img-src data:; style-src 'self'; \
             script-src {scripts}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        let page = self.boards.page(room, dialect);
        respond(request, "text/html; charset=utf-8", &policy, &page)
    }

    fn stream(
        &self,
        request: Request,
        head: ResponseHead,
        dialect: Dialect,
        room: &str,
    ) -> io::Result<()> {
        let last = http::last_event_id(header(&request, "Last-Event-ID"), request.url());
        let last = last.unwrap_or_default().into_owned();
        let subscribed = self.boards.subscribe(room, dialect, &last);
        let Ok((mut subscription, first)) = subscribed else {
            return head
                .with_header("Retry-After", "5")
                .refuse(503, request.into_writer());
        };
        if *request.method() == Method::Head {
            return head.respond_to_head(request.into_writer());
        }
        let emitter = head.with_retry(RETRY).start(request.into_writer())?;
        for event in &first {
            emitter.emit(event)?;
        }
        // However it ends, the page comes back with its last event ID. Datastar takes an end for the
        // end, and only a broken stream for a lost one.
        let _ = subscription.serve(&emitter, HEARTBEAT);
        emitter.abort();
        Ok(())
    }

    /// What a page posts: `items`, `items/ID/toggle`, `items/ID/remove`, `job`, `notices`.
    fn take(
        self: &Arc<Self>,
        mut request: Request,
        head: ResponseHead,
        dialect: Dialect,
        room: &str,
        what: &[&str],
    ) -> io::Result<()> {
        let change = match what {
            ["items"] => text(&mut request)?.map(Change::Add),
            ["notices"] => text(&mut request)?.map(Change::Notice),
            ["items", id, "toggle"] => id.parse().ok().map(Change::Toggle),
            ["items", id, "remove"] => id.parse().ok().map(Change::Remove),
            ["job"] => Some(Change::Job(0)),
            _ => return head.refuse(404, request.into_writer()),
        };
        let Some(change) = change else {
            return head.refuse(400, request.into_writer());
        };
        if self.boards.change(room, &change)? == Outcome::Refused {
            return head.refuse(409, request.into_writer());
        }
        if matches!(change, Change::Job(_)) {
            self.work(room.to_owned(), 0)?;
        }
        match (dialect, what) {
            // An empty form in place of the one that was sent.
            (Dialect::Htmx, [what @ ("items" | "notices")]) => {
                let form = page::form(dialect, room, what);
                respond(
                    request,
                    "text/html; charset=utf-8",
                    "default-src 'none'",
                    &form,
                )
            }
            (Dialect::Htmx, _) => head.refuse(204, request.into_writer()),
            // Datastar takes an event stream for an answer; what changed comes by the other one.
            (Dialect::Datastar, _) => head.start(request.into_writer()).map(drop),
        }
    }

    /// Does a room's job, on a thread of its own, from so many percent on.
    pub(crate) fn work(self: &Arc<Self>, room: String, from: u8) -> io::Result<()> {
        let this = Arc::clone(self);
        let work = move || -> io::Result<()> {
            for percent in (from..100).step_by(usize::from(PERCENT)) {
                thread::sleep(STEP);
                this.boards.change(&room, &Change::Job(percent + PERCENT))?;
            }
            let notice = Change::Notice("The job is done.".to_owned());
            this.boards.change(&room, &notice).map(drop)
        };
        let thread = thread::Builder::new().name("job".to_owned());
        thread.spawn(move || {
            if let Err(error) = work() {
                eprintln!("a job has failed: {error}");
            }
        })?;
        Ok(())
    }
}

fn asset(request: Request, head: ResponseHead, name: &str) -> io::Result<()> {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, media_type, text)) => respond(request, media_type, "default-src 'none'", text),
        None => head.refuse(404, request.into_writer()),
    }
}

fn respond(request: Request, media_type: &str, policy: &str, text: &str) -> io::Result<()> {
    let header = |name: &str, value: &str| Header::from_bytes(name, value).expect("a valid header");
    let response = Response::from_string(text)
        .with_header(header("Content-Type", media_type))
        .with_header(header("Cache-Control", "no-cache"))
        .with_header(header("X-Content-Type-Options", "nosniff"))
        .with_header(header("Content-Security-Policy", policy));
    request.respond(response)
}

/// The parameter `text`, of the query or of a form; None if it is not one line of one to 200 characters.
fn text(request: &mut Request) -> io::Result<Option<String>> {
    let mut body = Vec::new();
    request.as_reader().take(MAX_BODY).read_to_end(&mut body)?;
    let query = request.url().split_once('?').map_or("", |(_, query)| query);
    let mut pairs = form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(&body));
    let text = pairs.find_map(|(name, value)| (name == "text").then_some(value));
    let text = text.map(|text| text.trim().to_owned());
    Ok(text.filter(|text| {
        (1..=MAX_TEXT).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    }))
}

/// Rooms have names that are the same in a URL, in HTML and in an expression.
fn is_room(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_ROOM).contains(&name.len()) && name.bytes().all(allowed)
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

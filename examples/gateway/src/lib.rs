//! A gateway for language models, on blocking threads: `tiny_http` in front, ureq behind.
//!
//! A request goes to the upstream as it came, and the answer comes back as it is: an event stream
//! event by event, anything else (an error, with its status and `Retry-After`) as a whole.

pub mod board;
pub mod provider;

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use sse_io::http::{self, Guard};
use sse_io::{Emitter, Event, Heartbeat, Item, Reader, ResponseHead};
use tiny_http::{HTTPVersion, Header, Method, Request, Response, Server, StatusCode};
use ureq::http::response::Parts;
use ureq::{Agent, BodyReader};

use crate::board::{Board, End};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; script-src 'self'; \
                      style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The largest request that is taken, and the largest answer that is no stream.
const MAX_BODY: u64 = 16 << 20;

/// The largest event that is relayed.
const MAX_EVENT: usize = 4 << 20;

/// How long the upstream may take for a new connection, and how long it may be silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(300);

/// How long it may take to connect to this very program.
const STIR_TIMEOUT: Duration = Duration::from_secs(1);

/// How many connections to the upstream wait for the next request.
const MAX_IDLE: usize = 64;

/// Headers that concern one connection and not the message, or that are this program's to set. The
/// browser's own say nothing to the upstream.
const NOT_PASSED_ON: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "date",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "referer",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-accel-buffering",
];

/// What answers requests. Shared by the threads of all of them.
#[derive(Debug)]
pub struct Gateway {
    /// What the paths of requests are appended to: `https://api.openai.com`.
    pub upstream: String,
    /// Which requests are answered at all.
    pub guard: Guard,
    /// The longest silence towards a client. One that went away is noticed by the second heartbeat.
    pub heartbeat: Duration,
    /// How many streams there are at most.
    pub max_streams: usize,
    /// The numbers.
    pub board: Board,
    /// How many streams there are.
    streams: AtomicUsize,
    /// Agents that no request uses, each with a connection to the upstream.
    idle: Mutex<Vec<Agent>>,
}

/// What the upstream has answered.
#[derive(Debug)]
pub enum Answer {
    /// An event stream.
    Stream(Upstream),
    /// Anything else, such as an error: its body.
    Whole(Vec<u8>),
}

/// A stream that the upstream has begun to send.
pub struct Upstream {
    /// Of this stream alone: to shut it down cancels the request.
    agent: Agent,
    body: BufReader<BodyReader<'static>>,
    /// Whether the body says how long it is: that of HTTP/1.0 ends with its connection.
    framed: bool,
}

impl Gateway {
    /// A gateway to this upstream, with nothing to do yet.
    pub fn new(upstream: &str, guard: Guard) -> Self {
        Gateway {
            upstream: upstream.trim_end_matches('/').to_owned(),
            guard,
            heartbeat: Duration::from_millis(600),
            max_streams: 400,
            board: Board::new(),
            streams: AtomicUsize::new(0),
            idle: Mutex::default(),
        }
    }

    /// Answers each request on a thread of its own, until the server is unblocked.
    pub fn serve(self: &Arc<Self>, server: &Server) {
        // Stirs the queue of tiny_http's workers once for each request, as the example `server` explains,
        // but not on the way of the first token.
        let (stir, requests) = mpsc::channel::<()>();
        if let Some(address) = server.server_addr().to_ip() {
            let connect = move |()| drop(TcpStream::connect_timeout(&address, STIR_TIMEOUT));
            thread::spawn(move || requests.into_iter().for_each(connect));
        }
        for request in server.incoming_requests() {
            let this = Arc::clone(self);
            let _ = stir.send(());
            let handler = thread::Builder::new().spawn(move || {
                if let Err(error) = this.answer(request) {
                    eprintln!("gateway: {error}");
                }
            });
            if let Err(error) = handler {
                eprintln!("gateway: no thread for a request: {error}");
            }
        }
    }

    fn answer(&self, request: Request) -> io::Result<()> {
        let headers = request.headers().iter();
        let headers = headers.map(|h| (h.field.as_str().as_str(), h.value.as_str()));
        if let Err(refusal) = self.guard.check(request.method().as_str(), headers) {
            return refuse(request, refusal.status(), &refusal.to_string());
        }
        let path = request.url().split('?').next().unwrap_or_default();
        match (path, request.method()) {
            ("/v1/chat/completions" | "/v1/messages", Method::Post) => self.complete(request),
            ("/events", Method::Get) => self.show(request),
            ("/", Method::Get) => page(request, PAGE, "text/html; charset=utf-8"),
            ("/page.js", Method::Get) => page(request, SCRIPT, "text/javascript; charset=utf-8"),
            ("/page.css", Method::Get) => page(request, STYLE, "text/css; charset=utf-8"),
            ("/v1/chat/completions" | "/v1/messages", _) => refuse(request, 405, "use POST"),
            ("/events" | "/" | "/page.js" | "/page.css", _) => refuse(request, 405, "use GET"),
            _ => refuse(
                request,
                404,
                "there is /v1/chat/completions and /v1/messages",
            ),
        }
    }

    /// Passes a request on, and its answer back.
    fn complete(&self, mut request: Request) -> io::Result<()> {
        let asked = Instant::now();
        let Some(_place) = Place::take(&self.streams, self.max_streams) else {
            self.board.other();
            let response = error(503, "all places of this gateway are taken");
            return request.respond(response.with_header(header("Retry-After", "1")));
        };
        let mut body = Vec::new();
        request
            .as_reader()
            .take(MAX_BODY + 1)
            .read_to_end(&mut body)?;
        if body.len() as u64 > MAX_BODY {
            self.board.other();
            return refuse(
                request,
                413,
                &format!("a request may have {MAX_BODY} bytes"),
            );
        }
        let headers = request.headers().iter();
        let headers = headers.map(|h| (h.field.as_str().as_str(), h.value.as_str()));
        let (head, answer) = match self.ask(request.url(), headers, &body) {
            Ok(answer) => answer,
            Err(error) => {
                self.board.other();
                return refuse(
                    request,
                    502,
                    &format!("the upstream has no answer: {error}"),
                );
            }
        };
        let headers = head.headers.iter().filter_map(|(name, value)| {
            let passed_on = is_passed_on(name.as_str());
            Some((name.as_str(), value.to_str().ok()?)).filter(|_| passed_on)
        });
        match answer {
            Answer::Stream(upstream) => {
                let HTTPVersion(major, minor) = *request.http_version();
                let start = ResponseHead::for_version(major, minor);
                let start =
                    headers.fold(start, |start, (name, value)| start.with_header(name, value));
                let emitter = start.start(request.into_writer())?;
                self.stream(&emitter, upstream, asked, |emitter| {
                    // It fails when the client is gone, which closes the emitter.
                    let _ = emitter.serve_heartbeats(self.heartbeat);
                })
            }
            Answer::Whole(body) => {
                self.board.other();
                let status = StatusCode(head.status.as_u16());
                let headers =
                    headers.filter_map(|(name, value)| Header::from_bytes(name, value).ok());
                let length = Some(body.len());
                request.respond(Response::new(
                    status,
                    headers.collect(),
                    &body[..],
                    length,
                    None,
                ))
            }
        }
    }

    /// Asks the upstream, and waits for the head of its answer, or for all of it if it is no stream.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it breaks off.
    pub fn ask<'h>(
        &self,
        target: &str,
        headers: impl Iterator<Item = (&'h str, &'h str)>,
        body: &[u8],
    ) -> Result<(Parts, Answer), ureq::Error> {
        let agent = self.agent();
        let mut call = agent.post(format!("{}{target}", self.upstream));
        for (name, value) in headers.filter(|(name, _)| is_passed_on(name)) {
            call = call.header(name, value);
        }
        let (head, mut body) = call.send(body)?.into_parts();
        let media_type = head
            .headers
            .get("Content-Type")
            .and_then(|v| v.to_str().ok());
        if head.status != 200 || !media_type.is_some_and(http::is_event_stream) {
            let body = body.with_config().limit(MAX_BODY).read_to_vec()?;
            self.put_back(agent);
            return Ok((head, Answer::Whole(body)));
        }
        let framed = ["Content-Length", "Transfer-Encoding"]
            .iter()
            .any(|name| head.headers.contains_key(*name));
        let body = BufReader::with_capacity(16 << 10, body.into_reader());
        Ok((
            head,
            Answer::Stream(Upstream {
                agent,
                body,
                framed,
            }),
        ))
    }

    /// Relays a stream that was asked for at this time. `mind` runs on a second thread and returns when
    /// the emitter is closed: it sends heartbeats, or [watches](Emitter::watch) the client. If that is
    /// before the reply is complete, the upstream request is cancelled.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn stream<W: Write + Send>(
        &self,
        emitter: &Emitter<W>,
        upstream: Upstream,
        asked: Instant,
        mind: impl FnOnce(Emitter<W>) + Send,
    ) -> io::Result<()> {
        let Upstream {
            agent,
            body,
            framed,
        } = upstream;
        let mut meter = self.board.stream(asked);
        // Some services leave out the blank line behind the last event. Where the body is known to be
        // whole, that event is.
        let mut reader = Reader::new(body)
            .with_trailing_event(framed)
            .with_max_event_size(MAX_EVENT);
        let over = AtomicBool::new(false);
        let relayed = thread::scope(|scope| {
            let (minded, cancelled, over) = (emitter.clone(), agent.clone(), &over);
            let minder = thread::Builder::new().stack_size(256 << 10);
            minder.spawn_scoped(scope, move || {
                mind(minded);
                if !over.load(Ordering::Acquire) {
                    // Ends the read that the relay waits in.
                    cancelled.shutdown();
                }
            })?;
            let relayed = relay(&mut reader, emitter, |event| meter.count(event));
            meter.end = match relayed {
                _ if emitter.is_closed() => End::Cancelled,
                Ok(Last::Told) => End::Complete,
                Ok(Last::Body) if framed && !reader.is_truncated() => End::Complete,
                _ => End::Broken,
            };
            over.store(true, Ordering::Release);
            match meter.end {
                End::Complete => emitter.close(),
                End::Broken | End::Cancelled => emitter.abort(),
            }
            Ok(())
        });
        // The connection is of use again once its answer is read to the end.
        if meter.end == End::Complete && matches!(reader.read_item(), Ok(None)) {
            self.put_back(agent);
        }
        relayed
    }

    /// The numbers, as they change.
    fn show(&self, request: Request) -> io::Result<()> {
        let HTTPVersion(major, minor) = *request.http_version();
        let head = ResponseHead::for_version(major, minor).with_retry(Duration::from_secs(1));
        let Some(_place) = Place::take(&self.streams, self.max_streams) else {
            return head.refuse(503, request.into_writer());
        };
        // Only the newest numbers are of interest, also to a page that comes back.
        let subscription = self.board.hub.subscribe().with_replay(1).start();
        let mut subscription = subscription.map_err(io::Error::other)?;
        let emitter = head.start(request.into_writer())?;
        subscription.serve(&emitter, Heartbeat::every(Duration::from_secs(15)));
        Ok(())
    }

    /// An agent for one request, with a connection to the upstream if there is an idle one.
    fn agent(&self) -> Agent {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_else(|| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .accept_encoding("identity")
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_recv_response(Some(SILENCE))
                .timeout_per_read(Some(SILENCE));
            Agent::new_with_config(config.build())
        })
    }

    fn put_back(&self, agent: Agent) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(agent);
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut upstream = f.debug_struct("Upstream");
        upstream
            .field("framed", &self.framed)
            .finish_non_exhaustive()
    }
}

/// What a stream ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The event by which the service says that this is all.
    Told,
    /// The end of the body.
    Body,
}

/// Sends on each event and comment as soon as it is whole, and shows the events to `seen`. Nothing is
/// allocated for them once the buffers have grown.
///
/// # Errors
///
/// What reading or writing fails with. If it is writing, the emitter is closed.
pub fn relay<R: BufRead, W: Write>(
    reader: &mut Reader<R>,
    emitter: &Emitter<W>,
    mut seen: impl FnMut(&Event<'_>),
) -> io::Result<Last> {
    while let Some(item) = reader.read_item()? {
        match item {
            Item::Event { event, .. } => {
                emitter.emit(&event)?;
                seen(&event);
                if event.data == "[DONE]" || event.event_type() == "message_stop" {
                    return Ok(Last::Told);
                }
            }
            Item::Comment(text) => {
                emitter.comment(&text)?;
            }
            _ => {}
        }
    }
    Ok(Last::Body)
}

fn is_passed_on(name: &str) -> bool {
    !NOT_PASSED_ON
        .iter()
        .any(|other| name.eq_ignore_ascii_case(other))
}

fn page(request: Request, text: &str, media_type: &str) -> io::Result<()> {
    let response = Response::from_string(text)
        .with_header(header("Content-Type", media_type))
        .with_header(header("Content-Security-Policy", POLICY))
        .with_header(header("X-Content-Type-Options", "nosniff"));
    request.respond(response)
}

/// An error of the gateway's own, in a form that clients of both services understand.
fn error(status: u16, message: &str) -> Response<io::Cursor<Vec<u8>>> {
    let error = json!({"type": "gateway_error", "message": format!("gateway: {message}")});
    let body = json!({"type": "error", "error": error}).to_string();
    Response::from_string(body)
        .with_status_code(status)
        .with_header(header("Content-Type", "application/json"))
}

fn refuse(request: Request, status: u16, message: &str) -> io::Result<()> {
    request.respond(error(status, message))
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("a valid header")
}

/// A place for one stream, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(taken: &'a AtomicUsize, limit: usize) -> Option<Self> {
        let place = Place(taken);
        (taken.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

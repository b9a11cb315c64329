//! The HTTP side: a stream of events, and a place to post them.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sse_io::http::{self, Guard};
use sse_io::hub::SubscribeError;
use sse_io::{Event, Heartbeat, ResponseHead};
use tiny_http::{HTTPVersion, Header, Method, Request, Response, Server};

use crate::entry::{MAX_BYTES, Post};
use crate::feed::Feed;
use crate::store::Store;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the page may load: what this server has, and nothing else. No other site can put it into a frame.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; script-src 'self'; \
                      style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What a client is asked to wait that came when Redis was down or there was no room, in seconds.
const RETRY_AFTER: &str = "1";

/// How long a client waits before it comes back.
const RETRY: Duration = Duration::from_millis(500);

/// The longest key of a post, in bytes.
const MAX_KEY: usize = 128;

/// How long a request may be held up by a queue of new connections that is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What answers requests.
#[derive(Clone, Debug)]
pub struct Web {
    /// Where posts go.
    pub store: Store,
    /// Where events come from.
    pub feed: Arc<Feed>,
    /// Which requests are answered.
    pub guard: Arc<Guard>,
    /// How long a stream may be silent.
    pub heartbeat: Duration,
}

impl Web {
    /// Answers each request on a thread of its own, until the server is unblocked.
    pub fn serve(&self, server: &Server) {
        let address = server.server_addr().to_ip();
        for request in server.incoming_requests() {
            let this = self.clone();
            let handler = thread::Builder::new().spawn(move || {
                // Stirs the queue of tiny_http's workers, as `examples/site/mod.rs` explains.
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

    fn answer(&self, request: Request) -> io::Result<()> {
        let headers = request.headers().iter();
        let headers = headers.map(|h| (h.field.as_str().as_str(), h.value.as_str()));
        if let Err(refusal) = self.guard.check(request.method().as_str(), headers) {
            return say(request, refusal.status(), &refusal.to_string());
        }
        let path = request.url().split('?').next().unwrap_or_default();
        match (path, request.method()) {
            ("/", Method::Get | Method::Head) => file(request, "text/html", PAGE),
            ("/page.css", Method::Get | Method::Head) => file(request, "text/css", STYLE),
            ("/page.js", Method::Get | Method::Head) => file(request, "text/javascript", SCRIPT),
            ("/status", Method::Get) => {
                let status = format!(r#"{{"redis":{}}}"#, self.feed.has_redis());
                say(request, 200, &status)
            }
            ("/events", Method::Get) => self.stream(request),
            ("/publish", Method::Post) => self.publish(request),
            ("/" | "/page.css" | "/page.js" | "/events" | "/status", _) => {
                refuse_method(request, "GET")
            }
            ("/publish", _) => refuse_method(request, "POST"),
            _ => head(&request).refuse(404, request.into_writer()),
        }
    }

    /// `GET /events?topics=a,b`: everything without topics. Goes on after the last event ID.
    fn stream(&self, request: Request) -> io::Result<()> {
        let topics: Vec<String> = parameters(&request, "topics")
            .iter()
            .flat_map(|list| list.split(','))
            .filter(|topic| !topic.is_empty())
            .map(str::to_owned)
            .collect();
        let last = http::last_event_id(header(&request, "Last-Event-ID"), request.url());
        let last = last.unwrap_or_default().into_owned();
        let head = head(&request);
        let subscribed = match self.feed.hub() {
            None => Err(SubscribeError::Closed),
            Some(hub) => {
                let subscribe = hub
                    .subscribe()
                    .with_last_event_id(last)
                    .with_gap_event(Event::new("").with_name("gap"));
                match topics.is_empty() {
                    true => subscribe.start(),
                    false => subscribe.with_topics(topics).start(),
                }
            }
        };
        let mut subscription = match subscribed {
            Ok(subscription) => subscription,
            Err(error @ SubscribeError::TooManyTopics { .. }) => {
                return say(request, 400, &error.to_string());
            }
            // Full, or Redis is needed and down, or was and the hub is not filled yet.
            Err(error) => {
                head.with_header("Retry-After", RETRY_AFTER)
                    .refuse(503, request.into_writer())?;
                return Err(error.into());
            }
        };
        let emitter = head.with_retry(RETRY).start(request.into_writer())?;
        // However it ends, the client comes back with its last event ID, here or elsewhere.
        let _ = subscription.serve(&emitter, Heartbeat::every(self.heartbeat));
        Ok(())
    }

    /// `POST /publish?topic=a&topic=b&name=n`: the body is the data, the id is the answer. With an
    /// `Idempotency-Key`, it may be sent again until it is answered.
    fn publish(&self, mut request: Request) -> io::Result<()> {
        let post = Post {
            topics: parameters(&request, "topic"),
            name: parameters(&request, "name").pop(),
            data: match body(&mut request)? {
                Ok(data) => data,
                Err(status) => return say(request, status, "the body is too large, or not UTF-8"),
            },
        };
        if let Err(problem) = post.check() {
            return say(request, 400, &problem);
        }
        let key = header(&request, "Idempotency-Key").filter(|key| !key.is_empty());
        let key = key.map(str::to_owned);
        if key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
            return say(request, 400, "the key is too long");
        }
        match self.store.add(&post, key.as_deref()) {
            Ok(id) => say(request, 200, &id.to_string()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                say(request, 422, &error.to_string())
            }
            Err(error) => {
                head(&request)
                    .with_header("Retry-After", RETRY_AFTER)
                    .refuse(503, request.into_writer())?;
                let redis = self.store.address();
                let message = format!("Redis at {redis} did not take a post: {error}");
                Err(io::Error::new(error.kind(), message))
            }
        }
    }
}

/// The body of a post, or with which status it is refused.
fn body(request: &mut Request) -> io::Result<Result<String, u16>> {
    let mut body = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    request.as_reader().take(limit).read_to_end(&mut body)?;
    if body.len() > MAX_BYTES {
        return Ok(Err(413));
    }
    Ok(String::from_utf8(body).map_err(|_| 400))
}

/// Answers with the page, or with a file that it loads.
fn file(request: Request, media_type: &str, text: &str) -> io::Result<()> {
    let header = |name: &str, value: &str| Header::from_bytes(name, value).expect("a header");
    let file = Response::from_string(text)
        .with_header(header(
            "Content-Type",
            &format!("{media_type}; charset=utf-8"),
        ))
        .with_header(header("Content-Security-Policy", POLICY))
        .with_header(header("X-Content-Type-Options", "nosniff"));
    request.respond(file)
}

fn say(request: Request, status: u16, text: &str) -> io::Result<()> {
    let text = Response::from_string(format!("{text}\n"));
    request.respond(text.with_status_code(status))
}

fn refuse_method(request: Request, allowed: &str) -> io::Result<()> {
    head(&request)
        .with_header("Allow", allowed)
        .refuse(405, request.into_writer())
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

/// The values of all parameters of this name in the query.
fn parameters(request: &Request, name: &str) -> Vec<String> {
    let query = request.url().split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .collect()
}

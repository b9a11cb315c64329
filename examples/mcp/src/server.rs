//! The server: what comes over HTTP, and how it is answered.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sse_io::http::{self, Guard};
use sse_io::{Emitter, Event, ResponseHead};
use tiny_http::{HTTPVersion, Header, Method, Request, Response};

use crate::app::{Call, Service};
use crate::message::{self, CAPABILITIES, Failure, SERVER_INFO, STATELESS, VERSION, WITH_SESSIONS};
use crate::session::{self, Session, Sessions};

/// The largest message that is taken.
const MAX_BODY: u64 = 4 << 20;

/// When a client whose stream has ended comes back for the rest.
const RETRY: Duration = Duration::from_millis(500);

/// For how many milliseconds a list or a resource may be kept.
const TTL: u64 = 5000;

/// Answers requests. Shared by the threads of all of them.
pub struct Server<S> {
    service: S,
    guard: Guard,
    heartbeat: Duration,
    sessions: Sessions,
    /// One more handle for each request, stream and tool under way.
    places: Arc<()>,
    max_places: usize,
}

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = f.debug_struct("Server");
        server
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

impl<S: Service> Server<S> {
    /// A server of this service.
    pub fn new(service: S, guard: Guard) -> Self {
        Server {
            service,
            guard,
            heartbeat: Duration::from_secs(15),
            sessions: Sessions::default(),
            places: Arc::new(()),
            max_places: 512,
        }
    }

    /// Answers each request on a thread of its own, until the server is unblocked.
    pub fn serve(self: &Arc<Self>, server: &tiny_http::Server) {
        let address = server.server_addr().to_ip();
        for request in server.incoming_requests() {
            let this = Arc::clone(self);
            let handler = thread::Builder::new().spawn(move || {
                // Stirs the queue of tiny_http's workers, as the example `server` explains.
                let _ = address.map(|a| TcpStream::connect_timeout(&a, Duration::from_secs(1)));
                // An error here is a client that has gone: nobody is left to tell.
                let _ = this.answer(request);
            });
            if let Err(error) = handler {
                eprintln!("mcp: no thread for a request: {error}");
            }
        }
    }

    fn answer(self: &Arc<Self>, request: Request) -> io::Result<()> {
        let headers = request.headers().iter();
        let headers = headers.map(|h| (h.field.as_str().as_str(), h.value.as_str()));
        // A page of another site must not even read: there may be no user to ask.
        if let Err(refusal) = self.guard.check_change(headers) {
            let failure = Failure::new(Failure::INVALID_REQUEST, refusal.to_string());
            return refuse(request, refusal.status(), &Value::Null, failure);
        }
        let path = request.url().split('?').next().unwrap_or_default();
        let place = Arc::clone(&self.places);
        match (path, request.method()) {
            ("/mcp", _) if Arc::strong_count(&place) > self.max_places => head(&request)
                .with_header("Retry-After", "1")
                .refuse(503, request.into_writer()),
            ("/mcp", Method::Post) => self.post(request, place),
            ("/mcp", Method::Get) => self.get(request),
            ("/mcp", Method::Delete) => {
                let ended =
                    header(&request, "Mcp-Session-Id").is_some_and(|id| self.sessions.end(id));
                head(&request).refuse(if ended { 204 } else { 404 }, request.into_writer())
            }
            ("/mcp", _) => {
                let head = head(&request).with_header("Allow", "GET, POST, DELETE");
                head.refuse(405, request.into_writer())
            }
            _ => head(&request).refuse(404, request.into_writer()),
        }
    }

    /// Takes a message.
    fn post(self: &Arc<Self>, mut request: Request, place: Arc<()>) -> io::Result<()> {
        let mut body = Vec::new();
        request
            .as_reader()
            .take(MAX_BODY + 1)
            .read_to_end(&mut body)?;
        let invalid = |message: &str| Failure::new(Failure::INVALID_REQUEST, message);
        if body.len() as u64 > MAX_BODY {
            return refuse(
                request,
                413,
                &Value::Null,
                invalid("the message is too large"),
            );
        }
        let message: Value = match serde_json::from_slice(&body) {
            Ok(message) => message,
            Err(error) => {
                let failure = Failure::new(-32700, format!("the message is no JSON: {error}"));
                return refuse(request, 400, &Value::Null, failure);
            }
        };
        let (id, params) = (&message["id"], &message["params"]);
        let Some(method) = message["method"].as_str() else {
            // This server asks for nothing, so that there is nothing to respond to.
            let failure = invalid("the message is no request and no notification");
            return refuse(request, 400, &Value::Null, failure);
        };
        let version = header(&request, "MCP-Protocol-Version");
        let is_stateless = version == Some(STATELESS) || params["_meta"][VERSION].is_string();
        if is_stateless || method == "server/discover" {
            return match check(&request, method, params) {
                Err(failure) => refuse(request, failure.status(), id, failure),
                Ok(()) if id.is_null() => head(&request).refuse(202, request.into_writer()),
                Ok(()) => self.answer_alone(request, id, method, params),
            };
        }
        if version.is_some_and(|version| !WITH_SESSIONS.contains(&version)) {
            let failure = invalid("this server does not speak that MCP-Protocol-Version");
            return refuse(request, 400, id, failure);
        }
        if method == "initialize" {
            return self.begin(request, id, params);
        }
        let session = match self.session(&request) {
            Ok(session) => session,
            Err((status, failure)) => return refuse(request, status, id, failure),
        };
        match method {
            "notifications/cancelled" => session.cancel(&params["requestId"]),
            "ping" => return respond(request, 200, &message::response(id, Ok(json!({})))),
            "tools/call" if !id.is_null() && wants_stream(&request) => {
                return self.stream(request, place, session, message);
            }
            _ => {}
        }
        if id.is_null() {
            return head(&request).refuse(202, request.into_writer());
        }
        let meta = &params["_meta"];
        let call = Call {
            notify: &|_| {},
            is_cancelled: &|| false,
            hang_up: &|| {},
            meta,
        };
        let response = message::response(id, self.result(method, params, &call));
        respond(request, 200, &response)
    }

    /// Begins a session.
    fn begin(&self, request: Request, id: &Value, params: &Value) -> io::Result<()> {
        let asked = params["protocolVersion"].as_str().unwrap_or_default();
        let version = WITH_SESSIONS.iter().find(|known| **known == asked);
        let version = *version.unwrap_or(&WITH_SESSIONS[0]);
        let Some(session) = self.sessions.begin(version) else {
            let failure = Failure::new(Failure::INVALID_REQUEST, "there are too many sessions");
            return refuse(request, 503, id, failure);
        };
        let result = json!({
            "protocolVersion": version,
            "capabilities": self.service.capabilities(),
            "serverInfo": self.service.info(),
        });
        let session = Header::from_bytes("Mcp-Session-Id", session).expect("digits");
        request.respond(body(&message::response(id, Ok(result))).with_header(session))
    }

    /// Answers with a stream that can be resumed: what the tool tells, and its result. The tool goes on
    /// when the client is gone, as it may come back.
    fn stream(
        self: &Arc<Self>,
        request: Request,
        place: Arc<()>,
        session: Arc<Session>,
        message: Value,
    ) -> io::Result<()> {
        let (stream, subscription) = session.stream().map_err(io::Error::other)?;
        if session.version.as_str() >= message::WITH_FIRST_EVENT {
            session.send(stream, "", false);
        }
        let emitter = head(&request)
            .with_retry(RETRY)
            .start(request.into_writer())?;
        let (this, minded) = (Arc::clone(self), emitter.clone());
        thread::Builder::new().spawn(move || {
            let _place = place;
            let (id, params) = (&message["id"], &message["params"]);
            let flag = session.begin_call(id);
            let call = Call {
                notify: &|message| session.send(stream, &message.to_string(), false),
                is_cancelled: &|| flag.is_raised() || session.is_over(),
                hang_up: &|| minded.close(),
                meta: &params["_meta"],
            };
            let response = message::response(id, this.result("tools/call", params, &call));
            session.send(stream, &response.to_string(), true);
        })?;
        session::serve(subscription, &emitter, self.heartbeat)
    }

    /// Answers a request that stands for itself: with JSON, or with a stream once there is something to
    /// tell before the result. Who hangs up has cancelled it.
    fn answer_alone(
        &self,
        request: Request,
        id: &Value,
        method: &str,
        params: &Value,
    ) -> io::Result<()> {
        let may_stream = wants_stream(&request);
        let waiting = RefCell::new(Some(request));
        let stream: RefCell<Option<Emitter>> = RefCell::default();
        let notify = |message: &Value| {
            let request = waiting.borrow_mut().take_if(|_| may_stream);
            if let Some(request) = request {
                let started = head(&request).start(request.into_writer());
                stream.replace(started.ok());
                if let Some(emitter) = &*stream.borrow() {
                    // They end with the stream.
                    std::mem::forget(emitter.spawn_heartbeats(self.heartbeat));
                }
            }
            if let Some(emitter) = &*stream.borrow() {
                // A client that is gone shows in `is_cancelled`.
                let _ = emitter.emit(&Event::new(message.to_string()));
            }
        };
        let is_cancelled = || stream.borrow().as_ref().is_some_and(Emitter::is_closed);
        let call = Call {
            notify: &notify,
            is_cancelled: &is_cancelled,
            hang_up: &|| {},
            meta: &params["_meta"],
        };
        let result = match method {
            "server/discover" => Ok(json!({
                "supportedVersions": [STATELESS],
                "capabilities": self.service.capabilities(),
            })),
            _ => self.result(method, params, &call),
        };
        let status = result.as_ref().map_or_else(Failure::status, |_| 200);
        let response = message::response(id, result.map(|result| self.complete(method, result)));
        match (waiting.take(), stream.take()) {
            (Some(request), _) => respond(request, status, &response),
            (None, Some(emitter)) => emitter.emit(&Event::new(response.to_string())).map(drop),
            (None, None) => Ok(()),
        }
    }

    /// What the newest revision wants of a result beside what it is.
    fn complete(&self, method: &str, mut result: Value) -> Value {
        result["resultType"] = "complete".into();
        result["_meta"][SERVER_INFO] = self.service.info();
        if method.ends_with("/list") || ["resources/read", "server/discover"].contains(&method) {
            result["ttlMs"] = TTL.into();
            result["cacheScope"] = "private".into();
        }
        result
    }

    /// What the service answers; a panic is an answer too.
    fn result(&self, method: &str, params: &Value, call: &Call<'_>) -> Result<Value, Failure> {
        let answer = AssertUnwindSafe(|| self.service.answer(method, params, call));
        catch_unwind(answer).unwrap_or_else(|_| Err(Failure::new(-32603, "the server has failed")))
    }

    /// The stream for what belongs to no request, or the rest of one that broke.
    fn get(&self, request: Request) -> io::Result<()> {
        if !wants_stream(&request) || header(&request, "MCP-Protocol-Version") == Some(STATELESS) {
            let head = head(&request).with_header("Allow", "POST");
            return head.refuse(405, request.into_writer());
        }
        let session = match self.session(&request) {
            Ok(session) => session,
            Err((status, failure)) => return refuse(request, status, &Value::Null, failure),
        };
        let last = http::last_event_id(header(&request, "Last-Event-ID"), request.url());
        let last = last.unwrap_or_default().into_owned();
        let subscription = match session.resume(&last) {
            Ok(Some(subscription)) => subscription,
            // It has seen all of it, or the session has just ended.
            Ok(None) | Err(_) => return head(&request).refuse(204, request.into_writer()),
        };
        let emitter = head(&request)
            .with_retry(RETRY)
            .start(request.into_writer())?;
        if last.is_empty() {
            session.listen(&emitter);
        }
        session::serve(subscription, &emitter, self.heartbeat)
    }

    fn session(&self, request: &Request) -> Result<Arc<Session>, (u16, Failure)> {
        let refused =
            |status, message: &str| (status, Failure::new(Failure::INVALID_REQUEST, message));
        let id = header(request, "Mcp-Session-Id");
        let id = id.ok_or_else(|| refused(400, "the header Mcp-Session-Id is missing"))?;
        let session = self.sessions.get(id);
        session.ok_or_else(|| refused(404, "there is no such session (any more)"))
    }
}

/// What the newest revision asks of each request, and of its headers.
fn check(request: &Request, method: &str, params: &Value) -> Result<(), Failure> {
    let meta = &params["_meta"];
    let (Some(version), true) = (meta[VERSION].as_str(), meta[CAPABILITIES].is_object()) else {
        let message = format!("_meta is to have {VERSION} and {CAPABILITIES}");
        return Err(Failure::new(Failure::INVALID_PARAMS, message));
    };
    for (name, expected) in [
        ("MCP-Protocol-Version", Some(version)),
        ("Mcp-Method", Some(method)),
        ("Mcp-Name", message::name_of(method, params)),
    ] {
        if expected.is_some() && header(request, name).map(str::trim) != expected {
            let message = format!("the header {name} is not what the message says");
            return Err(Failure::new(Failure::HEADER_MISMATCH, message));
        }
    }
    if version != STATELESS {
        let message = format!("this server does not speak {version}");
        let failure = Failure::new(Failure::UNSUPPORTED_VERSION, message);
        return Err(failure.with_data(json!({"supported": [STATELESS], "requested": version})));
    }
    Ok(())
}

/// Whether the client takes a stream, and says so: JSON is for those who do not.
fn wants_stream(request: &Request) -> bool {
    let accept = request.headers().iter().filter(|h| h.field.equiv("Accept"));
    let accept: Vec<&str> = accept.map(|h| h.value.as_str()).collect();
    !accept.is_empty() && http::accepts_event_stream(Some(&accept.join(", ")))
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

fn body(message: &Value) -> Response<io::Cursor<Vec<u8>>> {
    let json = Header::from_bytes("Content-Type", "application/json").expect("a valid header");
    Response::from_string(message.to_string()).with_header(json)
}

fn respond(request: Request, status: u16, message: &Value) -> io::Result<()> {
    request.respond(body(message).with_status_code(status))
}

fn refuse(request: Request, status: u16, id: &Value, failure: Failure) -> io::Result<()> {
    respond(request, status, &message::response(id, Err(failure)))
}

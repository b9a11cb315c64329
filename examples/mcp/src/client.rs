//! A client for servers of every revision, on `EventSource`: a response that is JSON is read as a stream
//! of one event, and one that breaks off is asked for again where the server can resume it.

use std::cell::RefCell;
use std::error::Error;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::time::Duration;

use serde_json::{Value, json};
use sse_io::client::{ConnectError, Request, Response};
use sse_io::{Event, EventSource};
use ureq::Error::{ConnectProxyFailed, HostNotFound, Io, Timeout};
use ureq::http::response::Parts;
use ureq::{Agent, Body};

use crate::message::{self, CAPABILITIES, CLIENT_INFO, Failure, STATELESS, VERSION, WITH_SESSIONS};

/// The largest response that is not a stream.
const MAX_BODY: u64 = 16 << 20;

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a stream that broke is asked for again, without anything coming.
const MAX_ATTEMPTS: u32 = 5;

/// What went wrong; a [`Failure`] if the server has said it.
pub type ClientError = Box<dyn Error + Send + Sync>;

/// A server, as a client sees it.
#[derive(Debug)]
pub struct Client {
    url: String,
    version: &'static str,
    session: Option<String>,
    requests: u64,
}

impl Client {
    /// Finds out which revision the server speaks, and begins a session if it takes one.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, or speaks no revision that this client knows.
    pub fn connect(url: &str) -> Result<Client, ClientError> {
        let mut client = Client {
            url: url.to_owned(),
            version: STATELESS,
            session: None,
            requests: 0,
        };
        let discovered = client.request("server/discover", json!({}), |_, _| {});
        let lists_it = |versions: &Value| {
            let versions = versions.as_array();
            versions.is_some_and(|versions| versions.iter().any(|v| v == STATELESS))
        };
        let is_stateless = match &discovered {
            Ok(result) => lists_it(&result["supportedVersions"]),
            Err(error) => {
                let failure = error.downcast_ref::<Failure>();
                failure.is_some_and(|failure| lists_it(&failure.data["supported"]))
            }
        };
        if is_stateless {
            return Ok(client);
        }
        client.version = WITH_SESSIONS[0];
        let params = json!({
            "protocolVersion": client.version,
            "capabilities": {},
            "clientInfo": info(),
        });
        let result = client.request("initialize", params, |_, _| {})?;
        let version = WITH_SESSIONS
            .iter()
            .find(|known| result["protocolVersion"] == **known);
        client.version = version.ok_or_else(|| {
            format!(
                "the server speaks revision {} of the protocol",
                result["protocolVersion"]
            )
        })?;
        client.post(&message::notification(
            "notifications/initialized",
            &json!({}),
        ))?;
        Ok(client)
    }

    /// The revision that both speak.
    pub fn version(&self) -> &str {
        self.version
    }

    /// Asks for something and waits for the result. What comes before it goes to `heard`, as method and
    /// parameters.
    ///
    /// # Errors
    ///
    /// A [`Failure`] when the server has answered with one; else what has kept the answer from coming.
    pub fn request(
        &mut self,
        method: &str,
        mut params: Value,
        mut heard: impl FnMut(&str, &Value),
    ) -> Result<Value, ClientError> {
        if self.version == STATELESS {
            let meta = &mut params["_meta"];
            meta[VERSION] = STATELESS.into();
            meta[CAPABILITIES] = json!({});
            meta[CLIENT_INFO] = info();
        }
        self.requests += 1;
        let id = self.requests;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let session = RefCell::new(None);
        let mut is_asked = false;
        let mut source = EventSource::new(|request| {
            let resumes = !request.last_event_id().is_empty();
            if is_asked && !resumes {
                let message = "the response broke off, and the server cannot resume it";
                return Err(ConnectError::fatal(message));
            }
            let (head, body) = self.exchange(request, (!resumes).then_some(&message))?;
            is_asked = true;
            if let Some(id) = head
                .headers
                .get("Mcp-Session-Id")
                .and_then(|id| id.to_str().ok())
            {
                session.replace(Some(id.to_owned()));
            }
            read(&head, body)
        })
        .with_reconnection_time(Duration::from_millis(500))
        // The protocol wants the server's time to be kept.
        .with_jitter(false)
        .with_max_attempts(MAX_ATTEMPTS);
        let response = loop {
            let event = source.next_event()?;
            let event = event.ok_or("the server has nothing more to say, and no response")?;
            // The first one of a stream may be only for its id.
            if event.data.is_empty() {
                continue;
            }
            let message: Value = serde_json::from_str(&event.data)?;
            match message["method"].as_str() {
                Some(method) if message["id"].is_null() => heard(method, &message["params"]),
                Some(method) => {
                    // This client can do nothing for a server but answer a ping.
                    let answer = match method {
                        "ping" => Ok(json!({})),
                        _ => Err(Failure::no_method(method)),
                    };
                    self.post(&message::response(&message["id"], answer))?;
                }
                None if message["id"] == id => break message,
                // An error without an id is about this request too: there is no other one.
                None if message["id"].is_null() && !message["error"].is_null() => break message,
                None => {}
            }
        };
        drop(source);
        if self.session.is_none() {
            self.session = session.into_inner();
        }
        let error = &response["error"];
        if error.is_null() {
            return Ok(response["result"].clone());
        }
        let message = error["message"]
            .as_str()
            .unwrap_or("an error without a message");
        let failure = Failure::new(error["code"].as_i64().unwrap_or_default(), message);
        Err(failure.with_data(error["data"].clone()).into())
    }

    /// One attempt: posts the message, or without one asks for what followed the last event.
    fn exchange(
        &self,
        request: &Request<'_>,
        message: Option<&Value>,
    ) -> Result<(Parts, Body), ConnectError> {
        let agent = agent();
        let shut_down = agent.clone();
        request.on_close(move || shut_down.shutdown());
        let result = match message {
            Some(message) => self.send(&agent, message),
            None => {
                let headers = request
                    .headers()
                    .map(|(name, value)| (name, value.to_vec()));
                let headers = headers.chain(self.headers(None));
                let call =
                    headers.fold(agent.get(&self.url), |call, (name, v)| call.header(name, v));
                call.call()
            }
        };
        let result = result.map_err(|error| {
            let passes = matches!(
                error,
                Io(_) | Timeout(_) | HostNotFound | ConnectProxyFailed(_)
            );
            ConnectError::retry_if(passes, error.into_io())
        });
        Ok(result?.into_parts())
    }

    /// Sends a message that wants no response.
    fn post(&self, message: &Value) -> Result<(), ClientError> {
        let response = self.send(&agent(), message)?;
        match response.status().as_u16() {
            200..300 => Ok(()),
            status => {
                Err(format!("the server answered a notification with status {status}").into())
            }
        }
    }

    fn send(
        &self,
        agent: &Agent,
        message: &Value,
    ) -> Result<ureq::http::Response<Body>, ureq::Error> {
        let call = agent
            .post(&self.url)
            .header("Accept", "application/json, text/event-stream")
            .header("Content-Type", "application/json");
        let headers = self.headers(Some(message));
        let call = headers.fold(call, |call, (name, value)| call.header(name, value));
        call.send(message.to_string())
    }

    /// What the revision wants in the headers.
    fn headers(&self, message: Option<&Value>) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
        let method = message.and_then(|message| message["method"].as_str());
        let stands_alone = method.filter(|_| self.version == STATELESS);
        let name = message.zip(stands_alone);
        let name = name.and_then(|(message, method)| message::name_of(method, &message["params"]));
        // A client that has not begun a session does not know yet which one they speak.
        let version = Some(self.version).filter(|_| method != Some("initialize"));
        [
            ("MCP-Protocol-Version", version),
            ("Mcp-Session-Id", self.session.as_deref()),
            ("Mcp-Method", stands_alone),
            ("Mcp-Name", name),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.as_bytes().to_vec())))
        .collect::<Vec<_>>()
        .into_iter()
    }
}

/// The response as an event stream: a message in JSON, an error among them, is one event.
fn read(head: &Parts, mut body: Body) -> Result<Response<Box<dyn BufRead>>, ConnectError> {
    let media_type = head
        .headers
        .get("Content-Type")
        .and_then(|v| v.to_str().ok());
    let is_json = media_type.is_some_and(|media_type| media_type.starts_with("application/json"));
    if !is_json {
        let body: Box<dyn BufRead> = Box::new(BufReader::new(body.into_reader()));
        return Ok(Response::from_head(
            head.status,
            |name| head.headers.get(name),
            body,
        ));
    }
    let mut json = String::new();
    body.as_reader().take(MAX_BODY).read_to_string(&mut json)?;
    let mut wire = Vec::new();
    Event::new(json)
        .encode(&mut wire)
        .map_err(ConnectError::fatal)?;
    Ok(Response::new(
        200,
        "text/event-stream",
        Box::new(Cursor::new(wire)),
    ))
}

/// One for each attempt: to shut it down ends a blocked read, and the agent.
fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .accept_encoding("identity")
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_read(Some(SILENCE));
    config.build().new_agent()
}

fn info() -> Value {
    json!({"name": "sse-io-mcp", "version": env!("CARGO_PKG_VERSION")})
}

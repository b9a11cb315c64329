//! Reading a language model's reply that comes as an event stream, in OpenAI's shape and in
//! Anthropic's, and a server to try it on.

pub mod canned;

use std::fmt;
use std::io::{self, BufReader, Write};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sse_io::client::{
    BoxConnect, Closer, ConnectError, Ending, Error, ErrorKind, Request, Response,
};
use sse_io::{Event, EventSource};
use ureq::Error::{ConnectProxyFailed, HostNotFound, Io, Timeout};
use ureq::{Agent, BodyReader};

/// Whose requests and events these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `…/v1/chat/completions`, as many gateways speak it.
    OpenAi,
    /// `…/v1/messages`.
    Anthropic,
}

impl Api {
    /// The one that a URL looks like.
    pub fn of(url: &str) -> Api {
        match url.trim_end_matches('/').ends_with("/messages") {
            true => Api::Anthropic,
            false => Api::OpenAi,
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub api: Api,
    pub url: String,
    pub key: Option<String>,
    pub model: String,
    pub prompt: String,
}

impl Question {
    fn body(&self) -> String {
        let mut body = json!({
            "model": self.model,
            "stream": true,
            "messages": [{ "role": "user", "content": self.prompt }],
        });
        if self.api == Api::Anthropic {
            body["max_tokens"] = 1024.into();
        }
        body.to_string()
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![("Content-Type", "application/json".to_owned())];
        match (self.api, &self.key) {
            (Api::OpenAi, Some(key)) => headers.push(("Authorization", format!("Bearer {key}"))),
            (Api::Anthropic, Some(key)) => headers.push(("x-api-key", key.clone())),
            (_, None) => {}
        }
        if self.api == Api::Anthropic {
            headers.push(("anthropic-version", "2023-06-01".to_owned()));
        }
        headers
    }
}

/// Why there is no (more) reply.
#[derive(Debug)]
pub enum Failure {
    /// There is no stream, or it broke: with what the server says, where it says something.
    Stream(Error),
    /// The model's service reported an error in the stream.
    Service(String),
    /// An event is not the JSON that it should be.
    Json(serde_json::Error),
    /// The tokens could not be printed.
    Output(io::Error),
    /// The stream ended before the reply did.
    Cut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Stream(error) => write!(f, "{}", printable(&format!("{error:#}"))),
            Failure::Service(message) => {
                write!(f, "the service reports: {}", printable(message))
            }
            Failure::Json(error) => write!(f, "an event is not what it should be: {error}"),
            Failure::Output(error) => write!(f, "cannot print: {error}"),
            Failure::Cut => f.write_str("the stream ended before the reply did"),
        }
    }
}

impl std::error::Error for Failure {}

/// A reply that is still to come.
#[derive(Debug)]
pub struct Reply {
    source: EventSource<BoxConnect<Body>>,
    api: Api,
}

impl Reply {
    /// A reply to this question, which is not asked yet.
    pub fn to(question: Question) -> Reply {
        let api = question.api;
        let connect: BoxConnect<Body> = Box::new(move |request| connect(&question, request));
        // Nothing is asked twice: each time is paid for.
        let source = EventSource::new(connect)
            .with_initial_retry(false)
            .with_max_attempts(1);
        let source = match api {
            // Some gateways leave out the blank line after `[DONE]`.
            Api::OpenAi => source.with_terminator("[DONE]").with_trailing_event(true),
            Api::Anthropic => source.with_finite(true),
        };
        Reply { source, api }
    }

    /// What cuts it short from another thread.
    pub fn closer(&self) -> Closer {
        self.source.closer()
    }

    /// Asks, and prints each token to `out` the moment it arrives. Returns their number, also when
    /// the reply was cut short by its [`closer`](Reply::closer).
    pub fn print(&mut self, out: &mut impl Write) -> Result<usize, Failure> {
        let mut tokens = 0;
        loop {
            let event = match self.source.next_event() {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Disconnected => return Err(Failure::Cut),
                Err(error) => return Err(Failure::Stream(error)),
            };
            let part = match self.api {
                Api::OpenAi => Part::of_chunk(&event),
                Api::Anthropic => Part::of_message(&event),
            };
            match part.map_err(Failure::Json)? {
                Part::Token(token) => {
                    let text = printable(&token);
                    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                    printed.map_err(Failure::Output)?;
                    tokens += 1;
                }
                Part::Nothing => {}
                Part::End => return Ok(tokens),
                Part::Failed(message) => return Err(Failure::Service(message)),
            }
        }
        match self.source.ending() {
            Some(Ending::Terminated | Ending::Closer) => Ok(tokens),
            _ => Err(Failure::Cut),
        }
    }
}

/// What one event adds to the reply.
enum Part {
    Token(String),
    Nothing,
    End,
    Failed(String),
}

#[derive(Deserialize)]
struct Fault {
    message: String,
}

// OpenAI: every event is of one type.

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

// Anthropic: the event's name says what its data is.

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Message {
    ContentBlockDelta {
        delta: Text,
    },
    #[serde(rename = "message_stop")]
    Stop,
    Error {
        error: Fault,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Text {
    text: Option<String>,
}

/// The event as a variant of an enum with `#[serde(tag = "type")]`, which the event's name chooses.
fn typed<T: DeserializeOwned>(event: &Event<'_>) -> serde_json::Result<T> {
    let mut fields: Map<String, Value> = serde_json::from_str(&event.data)?;
    fields.insert("type".into(), event.event_type().into());
    serde_json::from_value(fields.into())
}

impl Part {
    fn of_chunk(event: &Event<'_>) -> serde_json::Result<Part> {
        let Chunk { choices, error } = serde_json::from_str(&event.data)?;
        let token = choices.into_iter().find_map(|choice| choice.delta.content);
        Ok(match (error, token) {
            (Some(fault), _) => Part::Failed(fault.message),
            (None, Some(token)) => Part::Token(token),
            (None, None) => Part::Nothing,
        })
    }

    fn of_message(event: &Event<'_>) -> serde_json::Result<Part> {
        Ok(match typed(event)? {
            Message::ContentBlockDelta { delta } => delta.text.map_or(Part::Nothing, Part::Token),
            Message::Stop => Part::End,
            Message::Error { error } => Part::Failed(error.message),
            Message::Other => Part::Nothing,
        })
    }
}

type Body = BufReader<BodyReader<'static>>;

/// Makes the request, and waits for the head of the response.
fn connect(question: &Question, request: &Request<'_>) -> Result<Response<Body>, ConnectError> {
    let config = Agent::config_builder()
        .http_status_as_error(false) // the status is for EventSource to judge
        .max_redirects(0) // ureq would not keep the key from another host
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_read(Some(Duration::from_secs(60))); // models think before they speak
    let agent = config.build().new_agent(); // one per attempt: its shutdown is for good
    let mut call = agent.post(&question.url);
    for (name, value) in request.headers() {
        call = call.header(name, value);
    }
    for (name, value) in question.headers() {
        call = call.header(name, value);
    }
    request.on_close(move || agent.shutdown());
    let passes =
        |e: &ureq::Error| matches!(e, Io(_) | Timeout(_) | HostNotFound | ConnectProxyFailed(_));
    let result = call.send(question.body());
    let result = result.map_err(|e| ConnectError::retry_if(passes(&e), e.into_io()));
    let response = result?.map(|body| BufReader::new(body.into_reader()));
    let (head, body) = response.into_parts();
    let header = |name| head.headers.get(name);
    Ok(Response::from_head(head.status, header, body))
}

/// The text without the control characters that a stranger could steer the terminal with.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c.is_control() && !matches!(c, '\n' | '\t') {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

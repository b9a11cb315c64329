//! Reading a chat completion that comes as an event stream, and serving one to try it on.

pub mod canned;

use std::fmt;
use std::io::{self, BufReader, Write};
use std::time::Duration;

use serde_json::{Value, json};
use sse_io::{Reader, http};
use ureq::Agent;

/// A server that says nothing for this long has hung.
const SILENCE: Duration = Duration::from_secs(60);

/// Why there is no (more) reply.
#[derive(Debug)]
pub enum Failure {
    /// The request failed, or its stream broke.
    Http(ureq::Error),
    /// The server answered something else than an event stream: status, content type, what it said.
    Refused(u16, String, String),
    /// The model's service reported an error in the stream.
    Service(String),
    /// An event is not the JSON that it should be.
    Json(serde_json::Error),
    /// The stream could not be read, or the tokens not be printed.
    Io(io::Error),
    /// The stream ended before `[DONE]`: the reply is not whole.
    Cut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Http(error) => write!(f, "{error}"),
            Failure::Refused(status, content_type, body) => {
                write!(f, "the server answered {status}, {content_type}: {body}")
            }
            Failure::Service(message) => write!(f, "the service reports: {message}"),
            Failure::Json(error) => write!(f, "an event is not a completion chunk: {error}"),
            Failure::Io(error) => write!(f, "{error}"),
            Failure::Cut => f.write_str("the stream ended before the reply did"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        Failure::Http(error)
    }
}

/// Asks for a completion and prints each token to `out` the moment it arrives. Returns their number.
pub fn complete(
    url: &str,
    key: Option<&str>,
    model: &str,
    prompt: &str,
    out: &mut impl Write,
) -> Result<usize, Failure> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .accept_encoding("identity")
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_read(Some(SILENCE))
        .build();
    let mut request = Agent::new_with_config(config)
        .post(url)
        .header("Accept", "text/event-stream")
        .header("Content-Type", "application/json");
    if let Some(key) = key {
        request = request.header("Authorization", format!("Bearer {key}"));
    }
    let body = json!({
        "model": model,
        "stream": true,
        "messages": [{ "role": "user", "content": prompt }],
    });
    let mut response = request.send(body.to_string())?;
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get("Content-Type")
        .and_then(|v| v.to_str().ok());
    let content_type = content_type.unwrap_or("no content type").to_owned();
    if status != 200 || !http::is_event_stream(&content_type) {
        let body = response.body_mut().read_to_string().unwrap_or_default();
        return Err(Failure::Refused(
            status,
            content_type,
            body.chars().take(500).collect(),
        ));
    }
    let mut reader = Reader::new(BufReader::new(response.into_body().into_reader()))
        // Some gateways leave out the blank line behind `[DONE]`.
        .with_trailing_event(true);
    let mut tokens = 0;
    while let Some(event) = reader.read_event()? {
        if event.data == "[DONE]" {
            return Ok(tokens);
        }
        let chunk: Value = serde_json::from_str(&event.data).map_err(Failure::Json)?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            let message = error.get("message").and_then(Value::as_str);
            return Err(Failure::Service(
                message.map_or(error.to_string(), str::to_owned),
            ));
        }
        if let Some(token) = chunk["choices"][0]["delta"]["content"].as_str() {
            out.write_all(printable(token).as_bytes())?;
            out.flush()?;
            tokens += 1;
        }
    }
    Err(Failure::Cut)
}

/// The text without the control characters that a model could steer the terminal with.
fn printable(token: &str) -> String {
    let harmless = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    token.chars().filter(harmless).collect()
}

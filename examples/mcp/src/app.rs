//! What the server can do: a tool that reports its progress, a prompt and a resource.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::message::{self, Failure};

/// What a server offers. Called on a thread of each request's own.
pub trait Service: Send + Sync + 'static {
    /// Name and version.
    fn info(&self) -> Value;

    /// What it can do, as `initialize` and `server/discover` tell it.
    fn capabilities(&self) -> Value;

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// What the client is told in place of a result.
    fn answer(&self, method: &str, params: &Value, call: &Call<'_>) -> Result<Value, Failure>;
}

/// A request under way, as a service sees it.
pub struct Call<'a> {
    /// Sends a message to the client, before the result.
    pub notify: &'a dyn Fn(&Value),
    /// Whether the client is gone for good, so that nobody wants the result.
    pub is_cancelled: &'a dyn Fn() -> bool,
    /// Ends the connection, for a client that is to come back for the rest.
    pub hang_up: &'a dyn Fn(),
    /// What the client has sent beside the parameters.
    pub meta: &'a Value,
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("meta", self.meta)
            .finish_non_exhaustive()
    }
}

impl Call<'_> {
    /// Tells how far it is, if the client wants to know.
    pub fn progress(&self, progress: u64, total: u64) {
        let token = &self.meta["progressToken"];
        if !token.is_null() {
            let params = json!({"progressToken": token, "progress": progress, "total": total});
            (self.notify)(&message::notification("notifications/progress", &params));
        }
    }
}

/// The service of this program.
#[derive(Clone, Debug)]
pub struct Demo {
    started: Instant,
}

impl Demo {
    /// The longest count.
    const MAX: u64 = 1000;

    /// A service that starts now.
    pub fn new() -> Self {
        Demo {
            started: Instant::now(),
        }
    }

    /// Counts, and tells each number.
    fn count(arguments: &Value, call: &Call<'_>) -> Result<Value, Failure> {
        let number = |name: &str, default: u64, max: u64| match &arguments[name] {
            Value::Null => Ok(default),
            value => value.as_u64().filter(|n| *n <= max).ok_or_else(|| {
                let message = format!("{name} is to be a number from 0 to {max}");
                Failure::new(Failure::INVALID_PARAMS, message)
            }),
        };
        let (to, pace) = (
            number("to", 10, Demo::MAX)?,
            number("milliseconds", 100, 60_000)?,
        );
        for n in 1..=to {
            std::thread::sleep(Duration::from_millis(pace));
            if (call.is_cancelled)() {
                return Ok(text(&format!("stopped at {n}")));
            }
            call.progress(n, to);
        }
        Ok(text(&format!("counted to {to}")))
    }
}

impl Default for Demo {
    fn default() -> Self {
        Demo::new()
    }
}

impl Service for Demo {
    fn info(&self) -> Value {
        json!({"name": "sse-io-mcp", "version": env!("CARGO_PKG_VERSION")})
    }

    fn capabilities(&self) -> Value {
        json!({"tools": {}, "prompts": {}, "resources": {}})
    }

    fn answer(&self, method: &str, params: &Value, call: &Call<'_>) -> Result<Value, Failure> {
        let unknown = |what: &str, name: &Value| {
            let failure = Failure::new(
                Failure::INVALID_PARAMS,
                format!("there is no {what} {name}"),
            );
            failure.with_data(json!({"uri": name}))
        };
        Ok(match method {
            "tools/list" => json!({"tools": [{
                "name": "count",
                "description": "Counts to a number, and reports its progress",
                "inputSchema": {"type": "object", "properties": {
                    "to": {"type": "integer", "minimum": 0, "maximum": Demo::MAX},
                    "milliseconds": {"type": "integer", "description": "between two numbers"},
                }},
            }]}),
            "tools/call" if params["name"] == "count" => Demo::count(&params["arguments"], call)?,
            "tools/call" => return Err(unknown("tool", &params["name"])),
            "prompts/list" => json!({"prompts": [{
                "name": "explain",
                "description": "Asks for an explanation",
                "arguments": [{"name": "subject", "required": true}],
            }]}),
            "prompts/get" if params["name"] == "explain" => {
                let subject = params["arguments"]["subject"].as_str();
                let subject = subject.ok_or(Failure::new(
                    Failure::INVALID_PARAMS,
                    "a subject is missing",
                ))?;
                let question = format!("Explain {subject} in three sentences.");
                json!({"messages": [{"role": "user", "content": {"type": "text", "text": question}}]})
            }
            "prompts/get" => return Err(unknown("prompt", &params["name"])),
            "resources/list" => json!({"resources": [{
                "uri": "status://uptime", "name": "uptime", "mimeType": "text/plain",
                "description": "How long the server has been running",
            }]}),
            "resources/templates/list" => json!({"resourceTemplates": []}),
            "resources/read" if params["uri"] == "status://uptime" => {
                let text = format!("{} s", self.started.elapsed().as_secs());
                json!({"contents": [{"uri": "status://uptime", "mimeType": "text/plain", "text": text}]})
            }
            "resources/read" => return Err(unknown("resource", &params["uri"])),
            _ => return Err(Failure::no_method(method)),
        })
    }
}

/// The result of a tool that says this.
pub fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

//! JSON-RPC as this protocol has it, and its revisions.

use std::fmt;

use serde_json::{Value, json};

/// The revision without sessions.
pub const STATELESS: &str = "2026-07-28";

/// The revisions with sessions, the newest first.
pub const WITH_SESSIONS: &[&str] = &["2025-11-25", "2025-06-18", "2025-03-26"];

/// The newest of those that ask a server to send an event without data first, to resume after.
pub const WITH_FIRST_EVENT: &str = "2025-11-25";

/// Where a request of the newest revision says what the client is.
pub const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// What the client can do.
pub const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The client's name.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// The server's name, in a result.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Why there is no result: an error of JSON-RPC.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What kind of error it is.
    pub code: i64,
    /// A sentence for people.
    pub message: String,
    /// What programs may want to know; null if there is nothing.
    pub data: Value,
}

impl Failure {
    /// The request is none, or this session or server does not take it.
    pub const INVALID_REQUEST: i64 = -32600;
    /// There is no such method.
    pub const NO_METHOD: i64 = -32601;
    /// The parameters are wrong: there is no such tool, for one.
    pub const INVALID_PARAMS: i64 = -32602;
    /// A header contradicts the message.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The client lacks what this takes.
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// The server does not speak this revision.
    pub const UNSUPPORTED_VERSION: i64 = -32022;

    /// An error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        let message = message.into();
        Failure {
            code,
            message,
            data: Value::Null,
        }
    }

    /// There is no such method.
    pub fn no_method(method: &str) -> Self {
        Failure::new(Failure::NO_METHOD, format!("there is no method {method}"))
    }

    /// Says what programs may want to know.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Failure { data, ..self }
    }

    /// The status of an answer that is only this, by the newest revision.
    pub fn status(&self) -> u16 {
        match self.code {
            Failure::NO_METHOD => 404,
            _ => 400,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (error {})", self.message, self.code)
    }
}

impl std::error::Error for Failure {}

/// The response to the request of this id.
pub fn response(id: &Value, result: Result<Value, Failure>) -> Value {
    match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(Failure {
            code,
            message,
            data: Value::Null,
        }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
        Err(Failure {
            code,
            message,
            data,
        }) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}})
        }
    }
}

/// A message that wants no response.
pub fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// What the header `Mcp-Name` of such a request holds.
pub fn name_of<'a>(method: &str, params: &'a Value) -> Option<&'a str> {
    match method {
        "tools/call" | "prompts/get" => params["name"].as_str(),
        "resources/read" => params["uri"].as_str(),
        _ => None,
    }
}

//! A provider of made-up tokens: the streams of two services' APIs, without a model.
//!
//! What goes wrong is asked for in the model's name, after a comma: see [`Script`].

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sse_io::{Emitter, Event, ResponseHead};

/// The largest request that is read.
const MAX_BODY: u64 = 8 << 20;

/// What the connections have seen.
#[derive(Debug, Default)]
struct Seen {
    connections: AtomicU64,
    open: AtomicU64,
    cancelled: AtomicU64,
}

/// What a reply is like: `made-up,tokens=20,pace=50,cut=3` for a model's name.
#[derive(Debug)]
struct Script {
    /// How many tokens there are.
    tokens: u64,
    /// Milliseconds between two of them.
    pace: u64,
    /// Milliseconds before the first.
    think: u64,
    /// A ping behind every so many tokens: an event or a comment, as the service has it.
    ping: u64,
    /// The status of an answer that is no stream.
    status: u64,
    /// Behind so many tokens comes an error, and the end.
    error: u64,
    /// Behind so many tokens the connection breaks.
    cut: u64,
}

/// Which service's API it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    OpenAi,
    Anthropic,
}

/// Serves on a free port of the loopback address, for as long as the program runs.
pub fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let seen = Arc::new(Seen::default());
    let accept = move || {
        for connection in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            let converse = move || {
                seen.connections.fetch_add(1, Ordering::Relaxed);
                // An error is a client that has gone.
                let _ = converse(&connection, &seen);
            };
            if let Err(error) = thread::Builder::new().spawn(converse) {
                eprintln!("no thread for a connection to the provider: {error}");
            }
        }
    };
    thread::Builder::new()
        .name("provider".into())
        .spawn(accept)?;
    Ok(address)
}

/// Answers the requests of one connection, one after the other.
fn converse(connection: &TcpStream, seen: &Seen) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection);
    while let Some((target, body)) = read_request(&mut reader)? {
        let shape = match target.as_str() {
            "/v1/chat/completions" => Shape::OpenAi,
            "/v1/messages" => Shape::Anthropic,
            _ => {
                let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
                let (connections, open) = (count(&seen.connections), count(&seen.open));
                let cancelled = count(&seen.cancelled);
                let state =
                    json!({"connections": connections, "open": open, "cancelled": cancelled});
                send(connection, "200 OK", "", &state)?;
                continue;
            }
        };
        let script = Script::of(&body);
        if script.status > 0 {
            let status = format!("{} Refused On Request", script.status);
            let headers = "Retry-After: 7\r\nX-Request-Id: made-up-1\r\n";
            send(
                connection,
                &status,
                headers,
                &shape.error("overloaded, as requested"),
            )?;
        } else if body["stream"] == true {
            seen.open.fetch_add(1, Ordering::Relaxed);
            let end = shape.stream(connection, &script);
            seen.open.fetch_sub(1, Ordering::Relaxed);
            if end.is_err() {
                seen.cancelled.fetch_add(1, Ordering::Relaxed);
            }
            if !end? {
                return Ok(());
            }
        } else {
            send(connection, "200 OK", "", &shape.whole(&script))?;
        }
    }
    Ok(())
}

/// The target and the body of the next request; `None` when the client has no more.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<(String, Value)>> {
    let mut line = String::new();
    if reader.by_ref().take(8 << 10).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.by_ref().take(8 << 10).read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("Content-Length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    if length > MAX_BODY {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(Some((
        target,
        serde_json::from_slice(&body).unwrap_or_default(),
    )))
}

fn send(mut connection: &TcpStream, status: &str, headers: &str, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    connection.write_all(response.as_bytes())
}

impl Script {
    fn of(request: &Value) -> Script {
        let model = request["model"].as_str().unwrap_or_default();
        let number = |name: &str, default: u64| {
            let mut settings = model.split(',').filter_map(|part| part.split_once('='));
            let setting = settings.find(|(key, _)| *key == name);
            setting.map_or(default, |(_, value)| value.parse().unwrap_or(default))
        };
        Script {
            tokens: number("tokens", 20),
            pace: number("pace", 20),
            think: number("think", 0),
            ping: number("ping", 0),
            status: number("status", 0),
            error: number("error", u64::MAX),
            cut: number("cut", u64::MAX),
        }
    }
}

impl Shape {
    /// Streams a reply; false when the connection is to be closed. Fails when the client has gone.
    fn stream(self, connection: &TcpStream, script: &Script) -> io::Result<bool> {
        let emitter = ResponseHead::new()
            .with_header("X-Request-Id", "made-up-1")
            .start(connection)?;
        self.begin(&emitter)?;
        wait(connection, script.think)?;
        for token in 0..script.tokens {
            if token == script.cut {
                connection.shutdown(std::net::Shutdown::Both)?;
                return Ok(false);
            }
            if token == script.error {
                let event = Event::new(self.error("broken, as requested").to_string());
                emitter.emit(&match self {
                    Shape::OpenAi => event,
                    Shape::Anthropic => event.with_name("error"),
                })?;
                return Ok(true);
            }
            if token > 0 {
                wait(connection, script.pace)?;
            }
            self.token(&emitter, token)?;
            if script.ping > 0 && (token + 1) % script.ping == 0 {
                match self {
                    Shape::OpenAi => emitter.comment("PROCESSING")?,
                    Shape::Anthropic => named(&emitter, &json!({"type": "ping"}))?,
                };
            }
        }
        self.end(&emitter, script.tokens)?;
        Ok(true)
    }

    fn begin(self, emitter: &Emitter<&TcpStream>) -> io::Result<()> {
        match self {
            Shape::OpenAi => chunk(emitter, &json!({"role": "assistant", "content": ""}), None),
            Shape::Anthropic => {
                let message = json!({
                    "id": "msg_made_up", "type": "message", "role": "assistant", "model": "made-up",
                    "content": [], "stop_reason": null, "stop_sequence": null,
                    "usage": {"input_tokens": 1, "output_tokens": 1},
                });
                named(
                    emitter,
                    &json!({"type": "message_start", "message": message}),
                )?;
                let block = json!({"type": "text", "text": ""});
                let start =
                    json!({"type": "content_block_start", "index": 0, "content_block": block});
                named(emitter, &start).map(drop)
            }
        }
    }

    fn token(self, emitter: &Emitter<&TcpStream>, number: u64) -> io::Result<()> {
        let text = word(number);
        match self {
            Shape::OpenAi => chunk(emitter, &json!({"content": text}), None),
            Shape::Anthropic => {
                let delta = json!({"type": "text_delta", "text": text});
                let delta = json!({"type": "content_block_delta", "index": 0, "delta": delta});
                named(emitter, &delta).map(drop)
            }
        }
    }

    fn end(self, emitter: &Emitter<&TcpStream>, tokens: u64) -> io::Result<()> {
        match self {
            Shape::OpenAi => {
                chunk(emitter, &json!({}), Some("stop"))?;
                emitter.emit(&Event::new("[DONE]")).map(drop)
            }
            Shape::Anthropic => {
                named(emitter, &json!({"type": "content_block_stop", "index": 0}))?;
                let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
                let usage = json!({"output_tokens": tokens});
                named(
                    emitter,
                    &json!({"type": "message_delta", "delta": delta, "usage": usage}),
                )?;
                named(emitter, &json!({"type": "message_stop"})).map(drop)
            }
        }
    }

    /// The answer to a request that asks for no stream.
    fn whole(self, script: &Script) -> Value {
        let text: String = (0..script.tokens).map(word).collect();
        match self {
            Shape::OpenAi => json!({
                "id": "chatcmpl-made-up", "object": "chat.completion", "created": 0, "model": "made-up",
                "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
                    "message": {"role": "assistant", "content": text, "refusal": null}}],
            }),
            Shape::Anthropic => json!({
                "id": "msg_made_up", "type": "message", "role": "assistant", "model": "made-up",
                "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
                "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": script.tokens},
            }),
        }
    }

    fn error(self, message: &str) -> Value {
        let error = json!({"type": "overloaded_error", "message": message, "code": "made_up"});
        match self {
            Shape::OpenAi => json!({ "error": error }),
            Shape::Anthropic => json!({"type": "error", "error": error}),
        }
    }
}

fn word(number: u64) -> String {
    format!("token {number}, naïvely 🎉 ")
}

/// One chunk of a chat completion.
fn chunk(emitter: &Emitter<&TcpStream>, delta: &Value, finish: Option<&str>) -> io::Result<()> {
    let chunk = json!({
        "id": "chatcmpl-made-up", "object": "chat.completion.chunk", "created": 0, "model": "made-up",
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}],
    });
    // The JSON goes straight into the frame, and the frame out in one write.
    emitter.emit_with(&Event::new(""), |data| {
        Ok(serde_json::to_writer(data, &chunk)?)
    })?;
    Ok(())
}

/// An event that is named for its type.
fn named(emitter: &Emitter<&TcpStream>, data: &Value) -> io::Result<usize> {
    let name = data["type"].as_str().unwrap_or_default();
    let event = Event::new("").with_name(name);
    emitter.emit_with(&event, |out| Ok(serde_json::to_writer(out, data)?))
}

/// Waits so many milliseconds, or fails as soon as the client has gone.
fn wait(connection: &TcpStream, milliseconds: u64) -> io::Result<()> {
    if milliseconds == 0 {
        return Ok(());
    }
    connection.set_read_timeout(Some(Duration::from_millis(milliseconds)))?;
    let result = connection.peek(&mut [0]);
    connection.set_read_timeout(None)?;
    match result {
        Ok(0) => Err(ErrorKind::BrokenPipe.into()),
        // It sends its next request early, which does not shorten this answer by much.
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

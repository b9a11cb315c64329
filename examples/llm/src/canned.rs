//! A server with one reply: the shape of a chat completion, without the model.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sse_io::{Emitter, Event, ResponseHead};

use crate::Api;

const REPLY: &str = "Server-Sent Events are lines of text over HTTP: a field, a colon, a value, \
                     and a blank line at the end of each event. That is all — naïve, and enough. 🎉";

/// Serves the reply to every request on a free port of the loopback address, a word every `pace`, in
/// the shape that the path asks for.
pub fn serve(pace: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || answer(connection, pace));
        }
    });
    Ok(address)
}

/// The words of the reply, each with the space in front of it: what a client prints in the end.
pub fn tokens() -> impl Iterator<Item = &'static str> {
    let ends = REPLY
        .match_indices(' ')
        .map(|(at, _)| at)
        .chain([REPLY.len()]);
    ends.scan(0, |start, end| {
        Some(&REPLY[std::mem::replace(start, end)..end])
    })
}

fn answer(connection: TcpStream, pace: Duration) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let line = read_request(&connection)?;
    let path = line.split(' ').nth(1).unwrap_or_default();
    let emitter = ResponseHead::new()
        .with_header("Connection", "close")
        .start(connection)?;
    match Api::of(path) {
        Api::OpenAi => like_openai(&emitter, pace),
        Api::Anthropic => like_anthropic(&emitter, pace),
    }
}

fn like_openai(emitter: &Emitter<TcpStream>, pace: Duration) -> io::Result<()> {
    for token in tokens() {
        let chunk = json!({
            "id": "chatcmpl-canned",
            "object": "chat.completion.chunk",
            "choices": [{ "index": 0, "delta": { "content": token }, "finish_reason": null }],
        });
        send(emitter, &Event::new(""), &chunk)?;
        emitter.wait_closed(Some(pace));
    }
    emitter.emit(&Event::new("[DONE]"))?;
    Ok(())
}

fn like_anthropic(emitter: &Emitter<TcpStream>, pace: Duration) -> io::Result<()> {
    let named = |name| Event::new("").with_name(name);
    let start = json!({ "type": "message_start", "message": { "role": "assistant" } });
    send(emitter, &named("message_start"), &start)?;
    send(emitter, &named("ping"), &json!({ "type": "ping" }))?;
    for token in tokens() {
        let delta = json!({
            "type": "content_block_delta",
            "index": 0,
            "delta": { "type": "text_delta", "text": token },
        });
        send(emitter, &named("content_block_delta"), &delta)?;
        emitter.wait_closed(Some(pace));
    }
    let stop = json!({ "type": "message_stop" });
    send(emitter, &named("message_stop"), &stop)
}

/// The JSON goes straight into the frame, and the frame out in one write.
fn send(emitter: &Emitter<TcpStream>, event: &Event<'_>, data: &Value) -> io::Result<()> {
    emitter.emit_with(event, |frame| Ok(serde_json::to_writer(frame, data)?))?;
    Ok(())
}

/// Reads the request's head and body, to be polite, and returns its first line.
fn read_request(connection: &TcpStream) -> io::Result<String> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(connection.take(64 << 10));
    let mut length = 0;
    let mut first = String::new();
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("Content-Length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(first)
}

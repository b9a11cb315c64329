//! A server with one reply: the shape of a chat completion, without the model.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::json;
use sse_io::{Event, ResponseHead};

const REPLY: &str = "Server-Sent Events are lines of text over HTTP: a field, a colon, a value, \
                     and a blank line at the end of each event. That is all — naïve, and enough. 🎉";

/// Serves the reply to every request on a free port of the loopback address, a word every `pace`.
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
    read_request(&connection)?;
    let emitter = ResponseHead::new()
        .with_header("Connection", "close")
        .start(connection)?;
    for token in tokens() {
        let chunk = json!({
            "id": "chatcmpl-canned",
            "object": "chat.completion.chunk",
            "choices": [{ "index": 0, "delta": { "content": token }, "finish_reason": null }],
        });
        // The JSON goes straight into the frame, and the frame out in one write.
        emitter.emit_with(&Event::new(""), |data| {
            Ok(serde_json::to_writer(data, &chunk)?)
        })?;
        emitter.wait_closed(Some(pace));
    }
    emitter.emit(&Event::new("[DONE]"))?;
    Ok(())
}

/// Reads the request's head and body, to be polite; the answer is the same for all.
fn read_request(connection: &TcpStream) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(connection.take(64 << 10));
    let mut length = 0;
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
    Ok(())
}

//! cargo run --example tail -- [--comments] URL
//!
//! Prints every event of a stream as it arrives. Exit code 0 at the end of the stream, 1 when there
//! is no stream to read, 2 when the arguments are not understood.

use std::io::{self, BufReader, Write};
use std::process::ExitCode;

use sse_io::{Event, Item, Reader, http};
use ureq::Agent;

const USAGE: &str = "usage: tail [--comments] URL";

fn main() -> ExitCode {
    match run(std::env::args().skip(1), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            eprintln!("{message}");
            ExitCode::from(code)
        }
    }
}

/// Does what the arguments say.
///
/// # Errors
///
/// The exit code, and what to tell the user.
pub fn run(
    arguments: impl Iterator<Item = String>,
    out: &mut impl Write,
) -> Result<(), (u8, String)> {
    let mut comments = false;
    let mut urls = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--comments" => comments = true,
            option if option.starts_with('-') => return Err((2, USAGE.into())),
            _ => urls.push(argument),
        }
    }
    let [url] = urls.as_slice() else {
        return Err((2, USAGE.into()));
    };
    match tail(url, comments, out) {
        Ok(()) => Ok(()),
        // Whoever read our output has had enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Failure::Output(error)) => Err((1, format!("tail: cannot print: {error}"))),
        Err(Failure::Stream(message)) => Err((1, format!("tail: {url}: {message}"))),
    }
}

/// What went wrong.
enum Failure {
    /// There was no stream to read, or it broke.
    Stream(String),
    /// The events could not be printed.
    Output(io::Error),
}

/// Prints the stream at `url` to `out` until it ends.
fn tail(url: &str, comments: bool, out: &mut impl Write) -> Result<(), Failure> {
    let stream = |message: String| Failure::Stream(message);
    let config = Agent::config_builder()
        // The status is ours to judge, and compression would hold events back.
        .http_status_as_error(false)
        .accept_encoding("identity")
        .build();
    let response = Agent::new_with_config(config)
        .get(url)
        .header("Accept", "text/event-stream")
        .header("Cache-Control", "no-cache")
        .call()
        .map_err(|error| stream(error.to_string()))?;
    if response.status() != 200 {
        return Err(stream(format!("the server answered {}", response.status())));
    }
    let content_type = response
        .headers()
        .get("Content-Type")
        .and_then(|value| value.to_str().ok());
    match content_type {
        Some(content_type) if http::is_event_stream(content_type) => {}
        Some(other) => return Err(stream(format!("this is {other}, not text/event-stream"))),
        None => return Err(stream("the response has no content type".into())),
    }
    let mut reader = Reader::new(BufReader::new(response.into_body().into_reader()));
    loop {
        match reader.read_item() {
            Ok(Some(Item::Event { event, .. })) => print(&event, out).map_err(Failure::Output)?,
            Ok(Some(Item::Comment(text))) if comments => {
                writeln!(out, ": {}\n", printable(&text)).map_err(Failure::Output)?;
            }
            Ok(Some(_)) => continue,
            Ok(None) => break,
            Err(error) => return Err(stream(error.to_string())),
        }
        out.flush().map_err(Failure::Output)?;
    }
    match reader.is_truncated() {
        true => Err(stream("the stream ended in the middle of an event".into())),
        false => Ok(()),
    }
}

fn print(event: &Event<'_>, out: &mut impl Write) -> io::Result<()> {
    if let Some(name) = &event.name {
        writeln!(out, "event: {}", printable(name))?;
    }
    if let Some(id) = &event.id {
        writeln!(out, "id: {}", printable(id))?;
    }
    for line in event.data.split('\n') {
        writeln!(out, "data: {}", printable(line))?;
    }
    writeln!(out)
}

/// The text without the control characters that a stranger could steer the terminal with.
fn printable(text: &str) -> String {
    let escape = |c: char| c.is_control() && c != '\t';
    text.chars()
        .map(|c| {
            if escape(c) {
                c.escape_default().to_string()
            } else {
                c.into()
            }
        })
        .collect()
}

//! cargo run --example tail -- [--follow] [--last-event-id ID] URL
//!
//! Prints every event of a stream as it arrives. Exit code 0 at the end of the stream, 1 when there
//! is no stream to read, 2 when the arguments are not understood.
//!
//! With `--follow` a lost connection is made again, and the stream goes on after the last event; it
//! has ended when the server answers 204. `--retry-statuses` follows over the likes of 503 as well.
//! Without, `--comments` prints the comments too.

use std::error::Error as StdError;
use std::io::{self, BufReader, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use sse_io::client::{
    ConnectError, Ending, ErrorKind, Request, Response, State, TRANSIENT_STATUSES,
};
use sse_io::{Event, EventSource, Item, Reader, http};
use ureq::Error::{self, ConnectProxyFailed, HostNotFound, Io, Timeout};
use ureq::{Agent, BodyReader};

const USAGE: &str = "\
usage: tail [--last-event-id ID] [--comments] URL
       tail [--last-event-id ID] --follow [--retry-statuses] URL";

fn main() -> ExitCode {
    let watched = io::stderr().is_terminal();
    let tell = move |line: &str| {
        if watched {
            eprintln!("tail: {line}");
        }
    };
    match run(std::env::args().skip(1), &mut io::stdout().lock(), tell) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            eprintln!("{message}");
            ExitCode::from(code)
        }
    }
}

/// What the arguments say.
#[derive(Default)]
struct Options {
    url: String,
    last_event_id: String,
    comments: bool,
    follow: bool,
    retry_statuses: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
        let mut options = Options::default();
        let mut urls = Vec::new();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--comments" => options.comments = true,
                "--follow" => options.follow = true,
                "--retry-statuses" => options.retry_statuses = true,
                "--last-event-id" => options.last_event_id = arguments.next()?,
                option if option.starts_with('-') => return None,
                _ => urls.push(argument),
            }
        }
        options.url = urls.pop().filter(|_| urls.is_empty())?;
        // A client that follows is given events alone.
        let excluded = match options.follow {
            true => options.comments,
            false => options.retry_statuses,
        };
        (!excluded).then_some(options)
    }
}

/// Does what the arguments say; `tell` hears what becomes of the connection that is followed.
///
/// # Errors
///
/// The exit code, and what to tell the user.
pub fn run(
    arguments: impl Iterator<Item = String>,
    out: &mut impl Write,
    tell: impl FnMut(&str) + Send + 'static,
) -> Result<(), (u8, String)> {
    let Some(options) = Options::parse(arguments) else {
        return Err((2, USAGE.into()));
    };
    let result = match options.follow {
        true => follow(&options, out, tell),
        false => tail(&options, out),
    };
    match result {
        Ok(()) => Ok(()),
        // Whoever read our output has had enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Failure::Output(error)) => Err((1, format!("tail: cannot print: {error}"))),
        Err(Failure::Stream(message)) => {
            let message = format!("tail: {}: {message}", options.url);
            Err((1, printable(&message)))
        }
    }
}

/// What went wrong.
enum Failure {
    /// There was no stream to read, or it broke.
    Stream(String),
    /// The events could not be printed.
    Output(io::Error),
}

/// Prints the stream to `out`, over as many connections as it takes, until the server has no more.
fn follow(
    options: &Options,
    out: &mut impl Write,
    mut tell: impl FnMut(&str) + Send + 'static,
) -> Result<(), Failure> {
    let retried = match options.retry_statuses {
        true => TRANSIENT_STATUSES,
        false => &[],
    };
    let mut source = EventSource::new(|request| connect(&options.url, request))
        .with_last_event_id(&options.last_event_id)
        .with_retried_statuses(retried)
        .on_state(move |state| match state {
            State::Waiting { why, delay, .. } => {
                let why = printable(&chain(why));
                tell(&format!("{why}; next attempt in {delay:.1?}"));
            }
            // The message at the end will say why.
            State::Closed(Ending::Failed(_)) => {}
            state => tell(&state.to_string()),
        });
    loop {
        match source.next_event() {
            Ok(Some(event)) => print(&event, out).map_err(Failure::Output)?,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::EventTooLarge => {
                eprintln!("tail: {}", chain(&error));
            }
            Err(error) => return Err(Failure::Stream(chain(&error))),
        }
        out.flush().map_err(Failure::Output)?;
    }
}

type Body = BufReader<BodyReader<'static>>;

/// One attempt: makes the request, and waits for the head of the response.
#[rustfmt::skip] // line by line as in the README
fn connect(url: &str, request: &Request<'_>) -> Result<Response<Body>, ConnectError> {
    let config = Agent::config_builder()
        .http_status_as_error(false) // the status is for EventSource to judge
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_read(Some(Duration::from_secs(45))); // three heartbeats of silence
    let agent = config.build().new_agent(); // one per attempt: its shutdown is for good
    let call = request.headers().fold(agent.get(url), |call, (name, v)| call.header(name, v));
    request.on_close(move || agent.shutdown());
    let passes = |e: &Error| matches!(e, Io(_) | Timeout(_) | HostNotFound | ConnectProxyFailed(_));
    let result = call.call().map_err(|e| ConnectError::retry_if(passes(&e), e.into_io()));
    let (head, body) = result?.map(|body| BufReader::new(body.into_reader())).into_parts();
    Ok(Response::from_head(head.status, |name| head.headers.get(name), body))
}

/// Prints the stream to `out` until its connection ends.
fn tail(options: &Options, out: &mut impl Write) -> Result<(), Failure> {
    let stream = |message: String| Failure::Stream(message);
    let config = Agent::config_builder()
        // The status is ours to judge, and compression would hold events back.
        .http_status_as_error(false)
        .accept_encoding("identity")
        .build();
    let mut call = Agent::new_with_config(config)
        .get(&options.url)
        .header("Accept", "text/event-stream")
        .header("Cache-Control", "no-cache");
    if !options.last_event_id.is_empty() {
        call = call.header("Last-Event-ID", &options.last_event_id);
    }
    let response = call.call().map_err(|error| stream(error.to_string()))?;
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
            Ok(Some(Item::Comment(text))) if options.comments => {
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

/// The error and what caused it.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
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

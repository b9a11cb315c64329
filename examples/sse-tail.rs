//! cargo run --example sse-tail -- [OPTIONS] URL, or cargo install sse-io --example sse-tail
//!
//! Prints every event of a stream as it arrives, and on standard error what becomes of the
//! connection. Exit code 0 at the end of the stream, 1 when there is no stream to read, 2 when the
//! arguments are not understood. No environment variable is looked at but those of the proxy.

use std::io::{self, BufReader, Write};
use std::process::ExitCode;
use std::time::Duration;

use sse_io::client::{
    ConnectError, Ending, ErrorKind, Request, Response, State, TRANSIENT_STATUSES,
};
use sse_io::{Event, EventSource, Item};
use ureq::Error::{self, ConnectProxyFailed, HostNotFound, Io, Timeout};
use ureq::{Agent, BodyReader, RequestBuilder};

const USAGE: &str = "\
usage: sse-tail [OPTIONS] URL

  --follow              connect again when the connection is lost, and go on after the last event,
                        until the server answers 204
  --retry-statuses      with --follow: over 503 and the like as well
  --last-event-id ID    begin after this event
  --comments            print the comments too
  -H, --header 'N: V'   send this header; redirects are not followed then
  --data BODY           make it a POST with this body (JSON, unless -H 'Content-Type: …' says other)
  -q, --quiet           say nothing of the connection
  --help                print this

It reads no environment variables but those of the proxy (HTTP_PROXY and the like).";

fn main() -> ExitCode {
    let tell = |line: &str| eprintln!("sse-tail: {line}");
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
    headers: Vec<(String, String)>,
    data: Option<String>,
    last_event_id: String,
    comments: bool,
    follow: bool,
    retry_statuses: bool,
    quiet: bool,
    help: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let missing = |option: &str| format!("{option} needs a value");
        let mut options = Options::default();
        let mut urls = Vec::new();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => {
                    return Ok(Options {
                        help: true,
                        ..options
                    });
                }
                "--comments" => options.comments = true,
                "--follow" => options.follow = true,
                "--retry-statuses" => options.retry_statuses = true,
                "-q" | "--quiet" => options.quiet = true,
                "--last-event-id" => {
                    options.last_event_id = arguments.next().ok_or(missing(&argument))?;
                }
                "--data" => options.data = Some(arguments.next().ok_or(missing(&argument))?),
                "-H" | "--header" => {
                    let header = arguments.next().ok_or(missing(&argument))?;
                    let (name, value) = header
                        .split_once(':')
                        .ok_or_else(|| format!("{header:?} is no header of the form 'N: V'"))?;
                    let header = (name.trim().to_owned(), value.trim().to_owned());
                    options.headers.push(header);
                }
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}"));
                }
                _ => urls.push(argument),
            }
        }
        options.url = urls.pop().ok_or("there is no URL")?;
        if !urls.is_empty() {
            return Err("there is more than one URL".to_owned());
        }
        match options.retry_statuses && !options.follow {
            true => Err("--retry-statuses is for --follow alone".to_owned()),
            false => Ok(options),
        }
    }
}

/// Does what the arguments say; `tell` hears what becomes of the connection.
///
/// # Errors
///
/// The exit code, and what to tell the user.
pub fn run(
    arguments: impl Iterator<Item = String>,
    out: &mut impl Write,
    tell: impl FnMut(&str) + Send + 'static,
) -> Result<(), (u8, String)> {
    let options = Options::parse(arguments)
        .map_err(|problem| (2, format!("sse-tail: {}\n\n{USAGE}", printable(&problem))))?;
    let result = match options.help {
        true => writeln!(out, "{USAGE}").map_err(Failure::Output),
        false => tail(&options, out, tell),
    };
    match result {
        Ok(()) => Ok(()),
        // Whoever read our output has had enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Failure::Output(error)) => Err((1, format!("sse-tail: cannot print: {error}"))),
        Err(Failure::Stream(message)) => {
            let message = format!("sse-tail: {}: {message}", options.url);
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

/// Prints the stream to `out` until it ends, over as many connections as are wanted.
fn tail(
    options: &Options,
    out: &mut impl Write,
    mut tell: impl FnMut(&str) + Send + 'static,
) -> Result<(), Failure> {
    let quiet = options.quiet;
    let mut source = EventSource::new(|request| connect(options, request))
        .with_last_event_id(&options.last_event_id)
        .on_state(move |state| match state {
            _ if quiet => {}
            State::Waiting { why, delay, .. } => {
                let why = printable(&format!("{why:#}"));
                tell(&format!("{why}; next attempt in {delay:.1?}"));
            }
            // The message at the end will say why.
            State::Closed(Ending::Failed(_)) => {}
            state => tell(&state.to_string()),
        });
    if options.retry_statuses {
        source = source.with_retried_statuses(TRANSIENT_STATUSES);
    }
    if !options.follow {
        let once = source.with_finite(true).with_initial_retry(false);
        source = once.with_max_attempts(0);
    }
    loop {
        match source.next_item() {
            Ok(Some(Item::Event { event, .. })) => print(&event, out).map_err(Failure::Output)?,
            Ok(Some(Item::Comment(text))) if options.comments => {
                writeln!(out, ": {}\n", printable(&text)).map_err(Failure::Output)?;
            }
            Ok(Some(_)) => continue,
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::EventTooLarge => {
                eprintln!("sse-tail: {error:#}");
            }
            Err(error) => return Err(Failure::Stream(format!("{error:#}"))),
        }
        out.flush().map_err(Failure::Output)?;
    }
    match source.is_truncated() && !options.follow {
        true => Err(Failure::Stream(
            "the stream ended in the middle of an event".into(),
        )),
        false => Ok(()),
    }
}

type Body = BufReader<BodyReader<'static>>;

/// One attempt: makes the request, and waits for the head of the response.
fn connect(options: &Options, request: &Request<'_>) -> Result<Response<Body>, ConnectError> {
    let config = Agent::config_builder()
        .http_status_as_error(false) // the status is for EventSource to judge
        // ureq does not know which header is a secret, and would send it wherever it is led.
        .max_redirects(if options.headers.is_empty() { 10 } else { 0 })
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_read(Some(Duration::from_secs(45))); // three heartbeats of silence
    let agent = config.build().new_agent(); // one per attempt: its shutdown is for good
    let (get, post) = (agent.get(&options.url), agent.post(&options.url));
    request.on_close(move || agent.shutdown());
    let result = match &options.data {
        None => with_headers(get, options, request).call(),
        Some(data) => with_headers(post, options, request).send(data),
    };
    let passes = |e: &Error| matches!(e, Io(_) | Timeout(_) | HostNotFound | ConnectProxyFailed(_));
    let result = result.map_err(|e| ConnectError::retry_if(passes(&e), e.into_io()));
    let response = result?.map(|body| BufReader::new(body.into_reader()));
    let (head, body) = response.into_parts();
    let header = |name| head.headers.get(name);
    Ok(Response::from_head(head.status, header, body))
}

/// The request with the headers that it needs, and with those that the user wants.
fn with_headers<T>(
    call: RequestBuilder<T>,
    options: &Options,
    request: &Request<'_>,
) -> RequestBuilder<T> {
    let is_type = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
    let json = options.data.is_some() && !options.headers.iter().any(is_type);
    let content_type = json.then_some(("Content-Type", "application/json"));
    let own = options.headers.iter();
    let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
    let call = request
        .headers()
        .fold(call, |call, (name, value)| call.header(name, value));
    own.chain(content_type)
        .fold(call, |call, (name, value)| call.header(name, value))
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
    let mut shown = String::new();
    for c in text.chars() {
        match c.is_control() && c != '\t' {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

//! cargo run --example agent -- URL [STATE-FILE]
//!
//! A device agent: it takes its commands from an event stream, for as long as there is power. It
//! outlasts the server being killed and restarted, and with a STATE-FILE its own restart as well: it
//! goes on after the last command that it has carried out. What becomes of the connection is told on
//! standard error. No environment variable is looked at but those of the proxy.

use std::error::Error as StdError;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use sse_io::EventSource;
use sse_io::client::{
    ConnectError, Ending, Listeners, Request, Response, State, TRANSIENT_STATUSES,
};
use ureq::Error::{self, ConnectProxyFailed, HostNotFound, Io, Timeout};
use ureq::{Agent, BodyReader};

const USAGE: &str = "\
usage: agent URL [STATE-FILE]

Carries out the commands that the event stream at URL holds, and goes on after the last one in
STATE-FILE when it is started again. Ends at the command `stop`, or when the server answers 204.

It reads no environment variables but those of the proxy (HTTP_PROXY and the like).";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let problem = match arguments[..] {
        ["--help" | "-h"] => {
            let _ = writeln!(io::stdout(), "{USAGE}");
            return ExitCode::SUCCESS;
        }
        [] => "there is no URL".to_owned(),
        [option, ..] if option.starts_with('-') => format!("there is no option {option}"),
        [url] => return end(url, run(url, None, &commands())),
        [url, file] => return end(url, run(url, Some(file.into()), &commands())),
        _ => "there are more arguments than a URL and a file".to_owned(),
    };
    eprintln!("agent: {problem}\n\n{USAGE}");
    ExitCode::from(2)
}

/// Tells how it went.
fn end(url: &str, result: Result<(), Box<dyn StdError>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {}", printable(&format!("{url}: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// What this device can do.
fn commands() -> Listeners {
    let commands = Listeners::new();
    // What the example `server` sends.
    commands.on("tick", |event, id| log(&format!("{id}: {:?}", event.data)));
    commands.on("restart", |_, id| log(&format!("{id}: would restart")));
    commands
}

/// Carries out commands until the server sends the command `stop`, or answers 204.
///
/// # Errors
///
/// The server's final refusal, or what the state file fails with.
pub fn run(
    url: &str,
    state_file: Option<PathBuf>,
    commands: &Listeners,
) -> Result<(), Box<dyn StdError>> {
    let last_event_id = match &state_file {
        Some(path) => load(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?,
        None => String::new(),
    };
    let mut source = EventSource::new(|request| connect(url, request))
        .with_last_event_id(last_event_id)
        .with_retried_statuses(TRANSIENT_STATUSES)
        .on_state(|state| match state {
            State::Waiting { why, delay, .. } => {
                let why = printable(&format!("{why:#}"));
                eprintln!("agent: {why}; next attempt in {delay:.1?}");
            }
            // `main` tells why.
            State::Closed(Ending::Failed(_)) => {}
            state => eprintln!("agent: {state}"),
        });

    // After the commands, so that one which was cut short is carried out again.
    let (not_saved, failures) = mpsc::channel();
    if let Some(path) = state_file {
        let closer = source.closer();
        let mut saved = source.last_event_id().to_owned();
        commands.on_any(move |_, id| {
            if saved == id {
                return;
            }
            if let Err(error) = save(&path, id) {
                // Going on would mean to carry out everything again one day.
                let _ = not_saved.send(format!("cannot write {}: {error}", path.display()));
                closer.close();
            }
            id.clone_into(&mut saved);
        });
    }
    // The very last: no handler is called after it, and it must not come again.
    let closer = source.closer();
    commands.on("stop", move |_, _| closer.close());

    commands.on_error(|error| eprintln!("agent: {error:#}"));
    source.run(commands)?;
    match failures.try_recv() {
        Ok(message) => Err(message.into()),
        Err(_) => Ok(()),
    }
}

type Body = BufReader<BodyReader<'static>>;

/// One attempt: makes the request, and waits for the head of the response.
#[rustfmt::skip] // line by line as in the documentation
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

/// The last event ID of an earlier run; empty when there was none.
fn load(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        result => result,
    }
}

/// Replaces the file as a whole: whatever happens, it holds the old ID or the new one.
fn save(path: &Path, last_event_id: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(last_event_id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
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

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{}", printable(line));
}

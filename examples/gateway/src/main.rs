//! cargo run --manifest-path examples/gateway/Cargo.toml [-- ADDRESS] [--upstream URL] [--host NAME]
//!
//! A gateway for language models. Point a client of OpenAI's or Anthropic's API at it (its base URL is
//! http://127.0.0.1:8084/v1 or http://127.0.0.1:8084), and look at http://127.0.0.1:8084/.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use gateway::{Gateway, provider};
use sse_io::http::{self, Guard};
use tiny_http::Server;

const HELP: &str = "\
Relays the streams of a language model: POST /v1/chat/completions and POST /v1/messages.

usage: gateway [ADDRESS] [--upstream URL] [--host NAME]...

  ADDRESS         where to listen; default 127.0.0.1:8084, and port 0 picks a free port
  --upstream URL  the service to relay, such as https://api.openai.com; without it, a provider of
                  made-up tokens inside this program
  --host NAME     a name that clients know this server by; IP addresses and localhost need none
  --help          this text

  http://127.0.0.1:8084/                     what it relays, in numbers that are live
  http://127.0.0.1:8084/v1/chat/completions  takes what OpenAI's does
  http://127.0.0.1:8084/v1/messages          takes what Anthropic's does

It reads no environment variables but those of the proxy (HTTP_PROXY and the like), for the upstream.";

/// How long a client may leave a full connection unread before its thread is taken back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut address, mut upstream, mut guard) = (None, None, Guard::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or(format!("{argument} needs a value; see --help"))
        };
        match argument.as_str() {
            "--help" => {
                log(HELP);
                return Ok(());
            }
            "--upstream" => upstream = Some(value()?),
            "--host" => guard = guard.with_host(value()?),
            _ if address.is_none() && !argument.starts_with('-') => address = Some(argument),
            _ => return Err(format!("{argument} is not understood; see --help").into()),
        }
    }
    let address = address.as_deref().unwrap_or("127.0.0.1:8084");
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another program does already. Give another address after \
             `--`, or 127.0.0.1:0 for any free port"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    })?;
    log(&format!("listening on http://{}/", listener.local_addr()?));
    let upstream = match upstream {
        Some(url) => url,
        None => {
            let url = format!("http://{}", provider::serve()?);
            log(&format!("no --upstream given: made-up tokens from {url}"));
            url
        }
    };
    #[cfg(unix)]
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
    let server = Server::from_listener(listener, None)?;
    Arc::new(Gateway::new(&upstream, guard)).serve(&server);
    Ok(())
}

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

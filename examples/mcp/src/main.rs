//! cargo run --manifest-path examples/mcp/Cargo.toml [-- ADDRESS] [--host NAME]
//!
//! A server of the Model Context Protocol at http://127.0.0.1:8085/mcp, and a client for any:
//! `list URL` and `call TOOL ARGUMENTS URL`.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use mcp::app::Demo;
use mcp::client::Client;
use mcp::server::Server;
use serde_json::{Value, json};
use sse_io::http::{self, Guard};

const HELP: &str = "\
A server and a client of the Model Context Protocol over Streamable HTTP.

usage: mcp [ADDRESS] [--host NAME]...
       mcp list URL
       mcp call TOOL ARGUMENTS URL

  ADDRESS      where to listen; default 127.0.0.1:8085, and port 0 picks a free port
  --host NAME  a name that clients know this server by; IP addresses and localhost need none
  URL          a server, such as http://127.0.0.1:8085/mcp
  ARGUMENTS    of the tool, as JSON: '{\"to\": 5}'
  --help       this text

It reads no environment variables but those of the proxy (HTTP_PROXY and the like), for the client.";

/// How long a client may leave a full connection unread before its thread is taken back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["--help"] => {
            log(HELP);
            Ok(())
        }
        ["list", url] => list(url),
        ["call", tool, arguments, url] => call(tool, arguments, url),
        _ => serve(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[&str]) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut address, mut guard) = (None, Guard::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "--host" => {
                let name = arguments.next().ok_or("--host needs a value; see --help")?;
                guard = guard.with_host(*name);
            }
            _ if address.is_none() && !argument.starts_with('-') => address = Some(*argument),
            _ => return Err(format!("{argument} is not understood; see --help").into()),
        }
    }
    let address = address.unwrap_or("127.0.0.1:8085");
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another program does already. Give another address after \
             `--`, or 127.0.0.1:0 for any free port"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    })?;
    log(&format!(
        "listening on http://{}/mcp",
        listener.local_addr()?
    ));
    #[cfg(unix)]
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
    let server = tiny_http::Server::from_listener(listener, None)?;
    Arc::new(Server::new(Demo::new(), guard)).serve(&server);
    Ok(())
}

fn list(url: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut client = Client::connect(url)?;
    let result = client.request("tools/list", json!({}), |_, _| {})?;
    log(&format!("the server speaks revision {}", client.version()));
    for tool in result["tools"].as_array().into_iter().flatten() {
        log(&format!(
            "{}: {}",
            printable(&tool["name"]),
            printable(&tool["description"])
        ));
    }
    Ok(())
}

fn call(tool: &str, arguments: &str, url: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Value =
        serde_json::from_str(arguments).map_err(|e| format!("ARGUMENTS are no JSON: {e}"))?;
    let mut client = Client::connect(url)?;
    let params =
        json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "progress"}});
    let result = client.request("tools/call", params, |method, params| {
        if method == "notifications/progress" {
            eprintln!("{} of {}", params["progress"], params["total"]);
        }
    })?;
    for content in result["content"].as_array().into_iter().flatten() {
        log(&printable(&content["text"]));
    }
    Ok(())
}

/// The text without the control characters that a server could steer the terminal with.
fn printable(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .collect()
}

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

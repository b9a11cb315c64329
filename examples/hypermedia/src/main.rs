//! cargo run --manifest-path examples/hypermedia/Cargo.toml [-- OPTIONS [ADDRESS]]
//!
//! Pages that the server pushes, without a line of JavaScript of our own: a list that several people
//! edit at once, a job's progress and notices, once with htmx, `http://127.0.0.1:8086/htmx/lobby`, and
//! once with Datastar, `http://127.0.0.1:8086/datastar/lobby`. Both show the same.

mod board;
mod page;
mod web;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sse_io::http::{self, Guard};
use tiny_http::Server;

use board::Boards;
use web::Web;

const USAGE: &str = "\
Pages that the server pushes, with htmx and with Datastar.

Usage: hypermedia [--journal FILE] [--host NAME]... [ADDRESS]

  ADDRESS         where to listen; port 0 is any free one. Default: 127.0.0.1:8086
  --journal FILE  keeps what happens, so that nothing is lost with the process. Default: nothing is kept
  --host NAME     a name that clients reach this server by, beside localhost and IP addresses
  --help          this text

  http://127.0.0.1:8086/htmx/ROOM      the page of a room, with htmx
  http://127.0.0.1:8086/datastar/ROOM  the same with Datastar

It reads no environment variables.";

/// How long a client may leave a full connection unread before its thread is taken back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut address = "127.0.0.1:8086".to_owned();
    let mut journal = None;
    let mut guard = Guard::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--help" | "-h" => {
                log(USAGE);
                return Ok(());
            }
            "--journal" => {
                let file = arguments.next().ok_or("--journal needs a file")?;
                journal = Some(PathBuf::from(file));
            }
            "--host" => guard = guard.with_host(arguments.next().ok_or("--host needs a name")?),
            option if option.starts_with('-') => {
                return Err(format!("there is no option {option}\n\n{USAGE}").into());
            }
            _ => address = argument,
        }
    }
    let boards = Boards::open(journal.as_deref()).map_err(|error| match &journal {
        Some(path) => format!("cannot use the journal {}: {error}", path.display()),
        None => error.to_string(),
    })?;
    let listener = TcpListener::bind(&address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another program does already. Give another address after \
             `--`, or 127.0.0.1:0 for any free port"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    })?;
    let url = format!("http://{}/", listener.local_addr()?);
    log(&format!(
        "listening on {url}\nopen in two windows: {url}htmx/lobby {url}datastar/lobby"
    ));
    #[cfg(unix)]
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
    let web = Arc::new(Web { boards, guard });
    for (room, percent) in web.boards.interrupted() {
        web.work(room, percent)?;
    }
    web.serve(&Server::from_listener(listener, None)?);
    Ok(())
}

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

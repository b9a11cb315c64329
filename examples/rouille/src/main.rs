//! cargo run --manifest-path examples/rouille/Cargo.toml [-- ADDRESS]
//!
//! An event stream on rouille, a tick a second: live at `http://127.0.0.1:8090/events`, through a body at
//! `http://127.0.0.1:8090/events-padded`. Port 0 picks a free port.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rouille::Server;
use rouille_events::{App, Clock};

const USAGE: &str = "\
An event stream on rouille, a tick a second.

Usage: rouille-events [ADDRESS]

  ADDRESS  where to listen; port 0 is any free one. Default: 127.0.0.1:8090
  --help   this text

  http://127.0.0.1:8090/events         live
  http://127.0.0.1:8090/events-padded  through a response's body

It reads no environment variables.";

/// How many streams there are at most: each holds threads and a socket.
const MAX_STREAMS: usize = 400;

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
    let address = std::env::args().nth(1);
    let address = match address.as_deref().unwrap_or("127.0.0.1:8090") {
        "--help" | "-h" => {
            log(USAGE);
            return Ok(());
        }
        option if option.starts_with('-') => {
            return Err(format!("there is no option {option}\n\n{USAGE}").into());
        }
        address => address,
    };
    let clock = Arc::new(Clock::default());
    let app = App::new(Arc::clone(&clock), MAX_STREAMS);
    let server = Server::new(address, move |request| app.answer(request)).map_err(|error| {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(ErrorKind::AddrInUse) => format!(
                "cannot listen on {address}: another program does already. Give another address \
                 after `--`, or 127.0.0.1:0 for any free port"
            ),
            _ => format!("cannot listen on {address}: {error}"),
        }
    })?;
    let address = server.server_addr();
    log(&format!("listening on http://{address}/"));
    log(&format!("curl -N http://{address}/events"));
    log(&format!("curl -N http://{address}/events-padded"));
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1));
            clock.advance();
        }
    });
    server.run();
    Ok(())
}

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

//! cargo run --manifest-path examples/nginx/Cargo.toml [-- ADDRESS]
//!
//! A live event stream on `tiny_http` behind nginx, `http://127.0.0.1:8089/events`, with the settings that matter side by side. Needs
//! nginx (Debian's package `nginx`). Port 0 picks a free port. Ctrl-C stops both.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use nginx::{LOCATIONS, Nginx};
use sse_io::{Emitter, Event};

const USAGE: &str = "\
A live event stream behind nginx, with the settings that matter side by side.

Usage: nginx [ADDRESS]

  ADDRESS  an IP address and where nginx listens there; port 0 is any free one. Default: 127.0.0.1:8089
  --help   this text

It says which locations there are when it has started. It needs nginx on the PATH or in /usr/sbin, and
reads no other environment variables.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = match address.as_deref().unwrap_or("127.0.0.1:8089") {
        "--help" | "-h" => {
            log(USAGE);
            return Ok(());
        }
        option if option.starts_with('-') => {
            return Err(format!("there is no option {option}\n\n{USAGE}").into());
        }
        address => address
            .parse()
            .map_err(|_| format!("{address} is no IP address with a port"))?,
    };
    let mut nginx = Nginx::start(address, nginx::serve(tick)?)?;
    ctrlc::set_handler(nginx.stopper())?;
    let address = nginx.address();
    log(&format!("listening on http://{address}/"));
    for (path, what) in LOCATIONS {
        log(&format!("{what}: curl -N http://{address}{path}"));
    }
    let status = nginx.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("nginx ended: {status}").into())
    }
}

/// One tick a second after the last one that the client has, for as long as it stays.
fn tick(emitter: &Emitter, last: u64) -> io::Result<()> {
    for tick in last.saturating_add(1)..=u64::MAX {
        emitter.emit(&Event::new(format!("tick {tick}")).with_id(tick.to_string()))?;
        if emitter.wait_closed(Some(Duration::from_secs(1))) {
            break;
        }
    }
    Ok(())
}

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

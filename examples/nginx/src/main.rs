//! cargo run --manifest-path examples/nginx/Cargo.toml [-- ADDRESS]
//!
//! A live event stream on `tiny_http` behind nginx, with the settings that matter side by side. Needs
//! nginx (Debian's package `nginx`). Port 0 picks a free port. Ctrl-C stops both.

use std::error::Error;
use std::io;
use std::time::Duration;

use nginx::{LOCATIONS, Nginx};
use sse_io::{Emitter, Event};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8080");
    let address = address.parse().map_err(|e| format!("{address}: {e}"))?;
    let mut nginx = Nginx::start(address, nginx::serve(tick)?)?;
    ctrlc::set_handler(nginx.stopper())?;
    println!("listening on http://{}/", nginx.address());
    for (path, what) in LOCATIONS {
        println!("curl -N http://{}{path}  # {what}", nginx.address());
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

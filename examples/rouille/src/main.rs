//! cargo run --manifest-path examples/rouille/Cargo.toml [-- ADDRESS]
//!
//! An event stream on rouille, a tick a second: live at /events, through a body at /events-padded.
//! Port 0 picks a free port.

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rouille::Server;
use rouille_events::{App, Clock};

/// How many streams there are at most: each holds threads and a socket.
const MAX_STREAMS: usize = 400;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8080".into());
    let clock = Arc::new(Clock::default());
    let app = App::new(Arc::clone(&clock), MAX_STREAMS);
    let server = Server::new(&address, move |request| app.answer(request))
        .map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let address = server.server_addr();
    println!("listening on http://{address}/");
    println!("curl -N http://{address}/events");
    println!("curl -N http://{address}/events-padded");
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1));
            clock.advance();
        }
    });
    server.run();
    Ok(())
}

//! A client outlasts its server: a real process that is killed, stopped and started again while it
//! streams. Nothing is lost, nothing doubled, the order kept.
#![cfg(unix)]

#[doc(hidden)]
#[path = "../util/outages.rs"]
pub mod outages;
#[doc(hidden)]
#[path = "../util/over_ureq.rs"]
pub mod over_ureq;
#[doc(hidden)]
#[expect(dead_code, reason = "`main` is for who runs it")]
#[path = "../../examples/std_tcp.rs"]
pub mod std_tcp;

use std::process::Command;

/// Tells this program to be the server, and where.
const SERVE_AT: &str = "SSE_IO_SERVE_AT";

/// This program once more, with nothing to do but to be the server.
fn this_as_a_server(address: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "be_the_server", "--nocapture"])
        .env(SERVE_AT, address);
    command
}

/// No test unless it is started as the server.
#[test]
fn be_the_server() {
    if let Ok(address) = std::env::var(SERVE_AT) {
        outages::serve(&address).expect("a server");
    }
}

#[test]
fn nothing_is_lost_or_doubled_over_kills_stops_and_restarts() {
    let report = outages::survive(3, this_as_a_server, |_, _, _| {}).unwrap();
    assert!(report.losses >= 5, "{report}");
}

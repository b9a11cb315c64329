//! Serving: one publisher, many connections, this crate's hub beside axum and tokio's broadcast
//! channel, and beside servers in Go.
//!
//! Each server is a process of its own, so that its CPU time is told from that of its clients, which
//! are here, all on one thread. Publishing is a closed loop: the next burst goes out when every client
//! has the last one. The servers take turns; one that waits costs nothing.

mod axum;
mod clients;
mod contest;
mod fanout;
mod hub;
mod server;
mod waiting;

pub use contest::{Load, Outcome, Programs, Round, Running, contest, stalled};
pub use server::{Kind, be_server};
pub use waiting::{Waiting, wait};

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a process has open for other purposes.
const SPARE_FILES: u64 = 64;

/// The time since 1970, which all processes of a machine agree on. It has 19 digits until 2286.
fn nanoseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}

/// Has the limit on open files suffice for so many connections.
fn raise_file_limit(connections: usize) -> Result<(), String> {
    let wanted = connections as u64 + SPARE_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        ..limit
    };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| format!("{wanted} open files are not to be had: {error}"))
}

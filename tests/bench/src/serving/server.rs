//! A server process: what it is told, and what it publishes.

use std::fmt::Write as _;
use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use super::{axum, fanout, hub, nanoseconds, raise_file_limit};
use crate::statistics::median;

/// What serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This crate's hub, a thread per connection.
    Hub,
    /// This crate's hub, and a fan-out.
    Fanout,
    /// The same, where every connection is subscribed to one topic, and all is published to that.
    Topic,
    /// axum on tokio, with its broadcast channel.
    Axum,
    /// Go's net/http, with a channel for each connection.
    GoChannels,
    /// go-sse, with its broker.
    GoJoe,
    /// Go's net/http, and one goroutine that writes to all connections.
    GoOneGoroutine,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [
        Kind::Hub,
        Kind::Fanout,
        Kind::Topic,
        Kind::Axum,
        Kind::GoChannels,
        Kind::GoJoe,
        Kind::GoOneGoroutine,
    ];

    /// Whether it is a program in Go.
    pub fn is_go(self) -> bool {
        matches!(self, Kind::GoChannels | Kind::GoJoe | Kind::GoOneGoroutine)
    }

    /// Whether it is this crate's.
    pub fn is_ours(self) -> bool {
        matches!(self, Kind::Hub | Kind::Fanout | Kind::Topic)
    }

    /// What the command line calls it.
    pub fn option(self) -> &'static str {
        match self {
            Kind::Hub => "hub",
            Kind::Fanout => "fanout",
            Kind::Topic => "topic",
            Kind::Axum => "axum",
            Kind::GoChannels => "go-channels",
            Kind::GoJoe => "go-joe",
            Kind::GoOneGoroutine => "go-one-goroutine",
        }
    }

    /// What the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Hub => "Hub and Subscription::serve",
            Kind::Fanout => "Hub and Fanout",
            Kind::Topic => "Hub and Fanout, one topic",
            Kind::Axum => "axum 0.8.9 and tokio broadcast",
            Kind::GoChannels => "Go: net/http, a channel each",
            Kind::GoJoe => "Go: go-sse 0.11.0, Joe",
            Kind::GoOneGoroutine => "Go: one goroutine writes to all",
        }
    }
}

/// What can be published to. Each event has this text as its data and a number as its id.
pub(super) trait Publish {
    fn publish(&mut self, data: &str) -> io::Result<()>;
}

/// How many events the hub and the channel hold.
pub(super) const CAPACITY: usize = 1024;

/// Serves until the standard input ends.
///
/// The program in Go does the same. Prints its address. A line with a number has it publish so many events, back to back; the line
/// `cost` has it print the nanoseconds of CPU time that the process has taken, and those that a call
/// to publish took by the clock, the median since the line before.
pub fn be_server(name: &str, connections: usize) -> Result<(), String> {
    raise_file_limit(connections)?;
    let started = match Kind::ALL.into_iter().find(|kind| kind.option() == name) {
        Some(Kind::Hub) => hub::start(),
        Some(Kind::Fanout) => fanout::start(None),
        Some(Kind::Topic) => fanout::start(Some("topic")),
        Some(Kind::Axum) => axum::start(),
        _ => return Err(format!("no server {name}")),
    };
    let (address, publisher) = started.map_err(|error| error.to_string())?;
    obey(address, publisher).map_err(|error| error.to_string())
}

fn obey(address: SocketAddr, mut publisher: Box<dyn Publish>) -> io::Result<()> {
    println!("{address}");
    let mut calls = Vec::new();
    let mut data = String::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "cost" {
            let cpu = clock_gettime(ClockId::ProcessCPUTime);
            let cpu = cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64;
            println!("{cpu} {}", median(&calls));
            calls.clear();
            continue;
        }
        for _ in 0..line.parse().unwrap_or(0) {
            write_data(&mut data);
            let before = Instant::now();
            publisher.publish(&data)?;
            calls.push(before.elapsed().as_nanos() as f64);
        }
    }
    Ok(())
}

/// What stands before the time in the data of an event. The clients look for it.
pub(super) const MARK: &[u8] = b"\"t\":";
/// How many digits come after it.
pub(super) const DIGITS: usize = 19;

/// About as long as a chat completion chunk. The time comes last, so that who has it has it all.
fn write_data(data: &mut String) {
    data.clear();
    let time = nanoseconds();
    let _ = write!(
        data,
        "{{\"id\":\"chatcmpl-BvT5nQx0aZ3kLw8RyUe2PdMf\",\"object\":\"chat.completion.chunk\",\
         \"model\":\"gpt-4o-2024-08-06\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" the\"}},\
         \"finish_reason\":null}}],\"t\":{time:019}}}"
    );
}

//! cargo run --manifest-path examples/redis/Cargo.toml -- --redis redis://127.0.0.1:6379 --listen 127.0.0.1:8080
//!
//! One of several processes that serve the same events, joined by a Redis Stream. Needs a Redis
//! (Debian's package `redis-server`); start as many of these as you like, each with its own
//! `--listen`. Port 0 picks a free port. What fails how, and sizes: `cargo doc --open`, in this crate.

use std::error::Error;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use redis_events::{Feed, Follower, Store, Web};
use sse_io::http;
use tiny_http::Server;

const USAGE: &str = "\
options, each with a value:
  --redis URL         redis://127.0.0.1:6379
  --listen ADDRESS    127.0.0.1:8080
  --stream NAME       events
  --max-len N         100000  entries in the stream, about
  --log N             1024    events in the log of this process
  --max-streams N     400     at a time
  --heartbeat MS      15000   of silence";

/// How long a client may leave a full connection unread before its thread is taken back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redis-events: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let options = Options::from_args(std::env::args().skip(1))?;
    let address = &*options.listen;
    let listener =
        TcpListener::bind(address).map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    #[cfg(unix)]
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
    let server = Server::from_listener(listener, None)?;

    let store = Store::new(&options.redis, &options.stream, options.max_len)?;
    let feed = Arc::new(Feed::new(options.max_streams));
    Follower::new(store.clone(), Arc::clone(&feed), options.log).spawn()?;
    let _ = writeln!(
        io::stdout(),
        "listening on {url}\ncurl -N {url}events?topics=a,b\ncurl -d hello {url}publish?topic=a"
    );
    let web = Web {
        store,
        feed,
        heartbeat: options.heartbeat,
    };
    web.serve(&server);
    Ok(())
}

struct Options {
    redis: String,
    listen: String,
    stream: String,
    max_len: usize,
    log: usize,
    max_streams: usize,
    heartbeat: Duration,
}

impl Options {
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            redis: "redis://127.0.0.1:6379".into(),
            listen: "127.0.0.1:8080".into(),
            stream: "events".into(),
            max_len: 100_000,
            log: 1024,
            max_streams: 400,
            heartbeat: Duration::from_secs(15),
        };
        while let Some(option) = args.next() {
            let mut value = || {
                args.next()
                    .ok_or(format!("{option} needs a value\n{USAGE}"))
            };
            match &*option {
                "--redis" => options.redis = value()?,
                "--listen" => options.listen = value()?,
                "--stream" => options.stream = value()?,
                "--max-len" => options.max_len = number(&value()?)?,
                "--log" => options.log = number(&value()?)?,
                "--max-streams" => options.max_streams = number(&value()?)?,
                "--heartbeat" => options.heartbeat = Duration::from_millis(number(&value()?)?),
                _ => return Err(format!("{option}: no such option\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no number\n{USAGE}"))
}

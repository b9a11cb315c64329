//! cargo run --manifest-path examples/redis/Cargo.toml -- --redis redis://127.0.0.1:6379 --listen 127.0.0.1:8088
//!
//! One of several processes that serve the same events, joined by a Redis Stream. Needs a Redis
//! (Debian's package `redis-server`); start as many of these as you like, each with its own
//! `--listen`. Port 0 picks a free port. What fails how, and sizes: `cargo doc --open`, in this crate.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use redis_events::{Feed, Follower, Store, Web};
use sse_io::http::{self, Guard};
use tiny_http::Server;

const USAGE: &str = "\
Event streams from several processes, joined by a Redis Stream.

Usage: redis-events [OPTION VALUE]...

  --redis URL         where Redis is. Default: redis://127.0.0.1:6379
  --listen ADDRESS    port 0 is any free one. Default: 127.0.0.1:8088
  --host NAME         a name that clients reach this server by, beside localhost and IP addresses
  --stream NAME       the stream in Redis. Default: events
  --max-len N         entries in the stream, about. Default: 100000
  --log N             events in the log of this process. Default: 1024
  --max-streams N     streams at a time. Default: 400
  --heartbeat MS      of silence. Default: 15000
  --help              this text

  http://127.0.0.1:8088/                   the page
  http://127.0.0.1:8088/events?topics=a,b  the stream
  http://127.0.0.1:8088/publish?topic=a    takes a POST, whose body is the data
  http://127.0.0.1:8088/status             whether Redis is there, as JSON

It reads no environment variables.";

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
    let Some(options) = Options::from_args(std::env::args().skip(1))? else {
        log(USAGE);
        return Ok(());
    };
    let address = &*options.listen;
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another program does already. Give another address with \
             --listen, or 127.0.0.1:0 for any free port"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    })?;
    let url = format!("http://{}/", listener.local_addr()?);
    #[cfg(unix)]
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
    let server = Server::from_listener(listener, None)?;

    let store = Store::new(&options.redis, &options.stream, options.max_len)?;
    let feed = Arc::new(Feed::new(options.max_streams));
    Follower::new(store.clone(), Arc::clone(&feed), options.log).spawn()?;
    log(&format!(
        "listening on {url}\ncurl -N '{url}events?topics=a,b'\ncurl -d hello '{url}publish?topic=a'"
    ));
    let web = Web {
        store,
        feed,
        guard: Arc::new(options.guard),
        heartbeat: options.heartbeat,
    };
    web.serve(&server);
    Ok(())
}

struct Options {
    redis: String,
    listen: String,
    guard: Guard,
    stream: String,
    max_len: usize,
    log: usize,
    max_streams: usize,
    heartbeat: Duration,
}

impl Options {
    /// None if the help is asked for.
    fn from_args(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Options {
            redis: "redis://127.0.0.1:6379".into(),
            listen: "127.0.0.1:8088".into(),
            guard: Guard::new(),
            stream: "events".into(),
            max_len: 100_000,
            log: 1024,
            max_streams: 400,
            heartbeat: Duration::from_secs(15),
        };
        while let Some(option) = args.next() {
            let mut value = || {
                args.next()
                    .ok_or(format!("{option} needs a value\n\n{USAGE}"))
            };
            match &*option {
                "--redis" => options.redis = value()?,
                "--help" | "-h" => return Ok(None),
                "--host" => options.guard = options.guard.with_host(value()?),
                "--listen" => options.listen = value()?,
                "--stream" => options.stream = value()?,
                "--max-len" => options.max_len = number(&value()?)?,
                "--log" => options.log = number(&value()?)?,
                "--max-streams" => options.max_streams = number(&value()?)?,
                "--heartbeat" => options.heartbeat = Duration::from_millis(number(&value()?)?),
                _ => return Err(format!("there is no option {option}\n\n{USAGE}")),
            }
        }
        Ok(Some(options))
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no number\n\n{USAGE}"))
}

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

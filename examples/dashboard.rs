//! cargo run --example dashboard [-- [--host NAME]... [ADDRESS]]
//!
//! What this machine is doing, live, on `tiny_http`, `http://127.0.0.1:8082/`: each series is a topic of one hub, whose log is
//! the charts' past. A page that opens is filled from it, and one that was disconnected goes on where
//! it was, in all series, by one last event ID. Port 0 picks a free port. Without a browser:
//!
//! ```sh
//! curl -N 'http://127.0.0.1:8082/events?topics=cpu,memory'
//! ```
//!
//! CPU, memory and context switches come from Linux's `/proc`; elsewhere their charts say that there
//! is nothing. What the example `server` says of `tiny_http` on the open internet holds here as well.
//! What else a server needs is in `site/mod.rs`.

#[path = "site/mod.rs"]
mod site;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sse_io::http::{self, Guard};
use sse_io::hub::{Resumption, SubscribeError};
use sse_io::{Event, Heartbeat, Hub, ResponseHead};
use tiny_http::{Method, Request, Server};

const USAGE: &str = "\
What this machine is doing, as live charts: each series is a topic of one hub.

Usage: cargo run --example dashboard [-- [--host NAME]... [ADDRESS]]

  ADDRESS      where to listen; port 0 is any free one. Default: 127.0.0.1:8082
  --host NAME  a name that clients reach this server by, beside localhost and IP addresses
  --help       this text

  http://127.0.0.1:8082/                           the page
  http://127.0.0.1:8082/events?topics=cpu,memory   the stream; also: switches, events

It reads no environment variables.";

const PAGE: &str = include_str!("dashboard/page.html");
const STYLE: &str = include_str!("dashboard/page.css");
const SCRIPT: &str = include_str!("dashboard/page.js");

/// The series, each of which is a topic and an event type.
pub const TOPICS: [&str; 4] = ["cpu", "memory", "switches", "events"];

/// How often each series has a new value, and how many are kept.
const EVERY: Duration = Duration::from_secs(1);
const KEPT: usize = 300;

/// Each stream has a thread and two file descriptors (see the example `server`).
const MAX_STREAMS: usize = 400;

const RETRY: Duration = Duration::from_secs(1);
const HEARTBEAT: Heartbeat = Heartbeat::every(Duration::from_secs(15));

fn main() -> ExitCode {
    site::main(USAGE, "127.0.0.1:8082", |server, guard| {
        let dashboard = Arc::new(Dashboard::new(KEPT * TOPICS.len(), MAX_STREAMS));
        let sampled = Arc::clone(&dashboard);
        thread::Builder::new()
            .name("sampler".to_owned())
            .spawn(move || sample(&sampled, EVERY))?;
        serve(server, guard, &dashboard);
        Ok(())
    })
}

/// The hub, and how many events its subscribers were sent.
#[derive(Debug)]
pub struct Dashboard {
    hub: Hub,
    sent: Arc<AtomicU64>,
}

impl Dashboard {
    /// With a log of so many events, and places for so many streams.
    pub fn new(events: usize, streams: usize) -> Self {
        Dashboard {
            hub: Hub::builder()
                .with_max_events(events)
                .with_max_subscribers(streams)
                .build(),
            sent: Arc::default(),
        }
    }

    /// Publishes a value, if there is one, and what it is a part of, if that is known.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` when the hub is closed.
    pub fn publish(&self, topic: &str, value: Option<f64>, of: Option<f64>) -> io::Result<()> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        let at = at.unwrap_or_default().as_millis();
        let number = |n: Option<f64>| n.map_or("null".to_owned(), |n| format!("{n:.1}"));
        let event = Event::new(format!(
            r#"{{"at":{at},"value":{},"of":{}}}"#,
            number(value),
            number(of)
        ));
        self.hub.publish_to([topic], &event.with_name(topic))?;
        Ok(())
    }
}

/// Publishes what the machine does, from time to time, until the hub is closed.
pub fn sample(dashboard: &Dashboard, every: Duration) {
    let look = || Counters::read(dashboard.sent.load(Ordering::Relaxed));
    let mut before = look();
    loop {
        thread::sleep(every);
        let now = look();
        for (topic, value, of) in now.since(&before) {
            if dashboard.publish(topic, value, of).is_err() {
                return;
            }
        }
        before = now;
    }
}

/// What counts up since the machine or this program was started; and its memory.
#[derive(Debug)]
pub struct Counters {
    at: Instant,
    /// How much time all processors were busy, and how much they had.
    cpu: Option<(u64, u64)>,
    switches: Option<u64>,
    /// How much memory is taken, and how much there is, in bytes.
    memory: Option<(u64, u64)>,
    sent: u64,
}

impl Counters {
    fn read(sent: u64) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Counters::parse(&read("/proc/stat"), &read("/proc/meminfo"), sent)
    }

    /// From the texts of Linux (`man 5 proc`).
    pub fn parse(stat: &str, memory: &str, sent: u64) -> Self {
        let field = |text: &str, name: &str| -> Option<Vec<u64>> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let numbers = line.split_whitespace().map_while(|n| n.parse().ok());
            Some(numbers.collect())
        };
        let cpu = field(stat, "cpu ").and_then(|times| {
            // User, nice, system, idle, waiting, and three more; what follows is in the first two.
            let all: u64 = times.get(..8)?.iter().sum();
            Some((all - times[3] - times[4], all))
        });
        let switches = field(stat, "ctxt ").and_then(|counts| counts.first().copied());
        let kib = |name| field(memory, name)?.first().map(|kib| kib * 1024);
        let memory = kib("MemTotal:")
            .zip(kib("MemAvailable:"))
            .map(|(all, free)| (all.saturating_sub(free), all));
        Counters {
            at: Instant::now(),
            cpu,
            switches,
            memory,
            sent,
        }
    }

    /// For each topic the value, and what it is a part of.
    pub fn since(&self, before: &Counters) -> [(&'static str, Option<f64>, Option<f64>); 4] {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds.max(0.001);
        let cpu = self.cpu.zip(before.cpu).map(|((busy, all), then)| {
            // The kernel's counts may go back a little.
            let all = all.saturating_sub(then.1).max(1) as f64;
            (busy.saturating_sub(then.0) as f64 / all * 100.0).min(100.0)
        });
        let switches = self.switches.zip(before.switches);
        let taken = self.memory.map(|(taken, _)| taken as f64);
        let all = self.memory.map(|(_, all)| all as f64);
        let [c, m, s, e] = TOPICS;
        [
            (c, cpu, Some(100.0)),
            (m, taken, all),
            (s, switches.map(|(now, then)| rate(now, then)), None),
            (e, Some(rate(self.sent, before.sent)), None),
        ]
    }
}

/// Answers requests until the server is unblocked.
pub fn serve(server: &Server, guard: Guard, dashboard: &Arc<Dashboard>) {
    let dashboard = Arc::clone(dashboard);
    site::serve(server, guard, move |request| answer(request, &dashboard));
}

fn answer(request: Request, dashboard: &Dashboard) -> io::Result<()> {
    let head = site::head(&request);
    let path = request.url().split('?').next().unwrap_or_default();
    match (path, request.method()) {
        ("/", Method::Get | Method::Head) => site::file(request, "text/html", PAGE),
        ("/page.css", Method::Get | Method::Head) => site::file(request, "text/css", STYLE),
        ("/page.js", Method::Get | Method::Head) => site::file(request, "text/javascript", SCRIPT),
        ("/events", Method::Get | Method::Head) if !site::accepts_events(&request) => {
            head.refuse(406, request.into_writer())
        }
        ("/events", Method::Head) => head.respond_to_head(request.into_writer()),
        ("/events", Method::Get) => stream(request, head, dashboard),
        ("/" | "/page.css" | "/page.js" | "/events", _) => {
            site::allow(request, head, "GET, HEAD, OPTIONS")
        }
        _ => head.refuse(404, request.into_writer()),
    }
}

/// The series that the query names, or all of them: what the log has, then what comes.
fn stream(request: Request, head: ResponseHead, dashboard: &Dashboard) -> io::Result<()> {
    let topics = match topics(request.url()) {
        Some(topics) => topics,
        None => return head.refuse(400, request.into_writer()),
    };
    let last = http::last_event_id(site::header(&request, "Last-Event-ID"), request.url());
    let sent = Arc::clone(&dashboard.sent);
    let subscribed = dashboard
        .hub
        .subscribe()
        .with_topics(topics)
        .with_last_event_id(last.unwrap_or_default())
        .with_replay(usize::MAX)
        // Lets everything pass, and counts it.
        .with_filter(move |_| {
            sent.fetch_add(1, Ordering::Relaxed);
            true
        })
        .start();
    let mut subscription = match subscribed {
        Ok(subscription) => subscription,
        Err(SubscribeError::Full { .. }) => {
            return head
                .with_header("Retry-After", "5")
                .refuse(503, request.into_writer());
        }
        Err(error) => return Err(error.into()),
    };
    let emitter = head.with_retry(RETRY).start(request.into_writer())?;
    if let Resumption::Gap { missed, .. } = subscription.resumption() {
        let missed = missed.map_or("null".to_owned(), |missed| missed.to_string());
        emitter.emit(&Event::new(missed).with_name("gap"))?;
    }
    // However it ends: a client that is still there comes back by itself, with its last event ID.
    let _ = subscription.serve(&emitter, HEARTBEAT);
    Ok(())
}

/// `?topics=cpu,memory`; None if there is no such topic, or more than there are.
fn topics(target: &str) -> Option<Vec<&'static str>> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let Some(names) = query.split('&').find_map(|p| p.strip_prefix("topics=")) else {
        return Some(TOPICS.to_vec());
    };
    // Some clients encode the comma.
    let names = names.replace("%2C", ",");
    let known = |name| TOPICS.into_iter().find(|topic| *topic == name);
    if names.split(',').count() > TOPICS.len() {
        return None;
    }
    names.split(',').map(known).collect()
}

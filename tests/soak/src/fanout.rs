//! A fan-out whose clients stall, reset and come back, half of them behind a proxy.
//!
//! The events are numbered, so that each client sees what is missing, and whether it was told.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::hub::{Fanout, IdPolicy};
use sse_io::{Event, Heartbeat, Hub, Reader, ResponseHead};

use crate::Result;
use crate::numbered::{Progress, Tally, length, pause, stall};
use crate::rng::Rng;

const CLIENTS: u64 = 64;

/// Nothing takes this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// What the log holds: a client that stalls for longer has lagged.
const LOG: usize = 256;

struct Shared {
    hub: Hub,
    fanout: Fanout,
    published: AtomicU64,
    stop: AtomicBool,
}

/// Goes on for so long.
pub(crate) fn run(time: Duration) -> Result<Tally> {
    let shared = Arc::new(Shared {
        hub: Hub::builder()
            .with_id_policy(IdPolicy::Own)
            .with_max_events(LOG)
            .build(),
        fanout: Fanout::new()?,
        published: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|seed| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || stay(&shared, Rng(seed)))
        })
        .collect();
    let result = publish(&shared, Instant::now() + time);
    shared.stop.store(true, Ordering::Relaxed);
    shared.hub.close();
    let mut tally = Tally::default();
    for client in clients {
        tally += client.join().map_err(|_| "a client has panicked")??;
    }
    tally.published = shared.published.load(Ordering::Relaxed);
    let deadline = Instant::now() + DEADLINE;
    while shared.fanout.stats().connections > 0 {
        if Instant::now() > deadline {
            return Err(format!("{:?}", shared.fanout).into());
        }
        thread::yield_now();
    }
    result.map(|()| tally)
}

fn publish(shared: &Shared, until: Instant) -> Result<()> {
    let mut rng = Rng(u64::MAX);
    while Instant::now() < until {
        for _ in 0..rng.below(32) {
            let number = shared.published.fetch_add(1, Ordering::Relaxed) + 1;
            let event = Event::new("x".repeat(length(&mut rng))).with_id(number.to_string());
            shared.hub.publish(&event)?;
        }
        pause(&mut rng);
    }
    Ok(())
}

/// Comes and goes until the hub is closed.
fn stay(shared: &Shared, mut rng: Rng) -> Result<Tally> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut progress = Progress::default();
    while !shared.stop.load(Ordering::Relaxed) {
        visit(shared, &listener, &mut rng, &mut progress)?;
    }
    Ok(progress.tally)
}

/// One connection, which the client drops at some point, or the server.
fn visit(
    shared: &Shared,
    listener: &TcpListener,
    rng: &mut Rng,
    progress: &mut Progress,
) -> Result<()> {
    let (client, proxy) = match rng.below(2) {
        0 => (TcpStream::connect(listener.local_addr()?)?, None),
        _ => behind_a_proxy(listener)?,
    };
    client.set_read_timeout(Some(DEADLINE))?;
    let (server, _) = listener.accept()?;
    let subscribe = shared
        .hub
        .subscribe()
        .with_last_event_id(progress.come_back())
        .with_gap_event(Event::new("").with_name("gap"));
    match subscribe.start() {
        Ok(subscription) => {
            let emitter = ResponseHead::for_version(1, 0).start(server)?;
            let heartbeat = Heartbeat::every(Duration::from_secs(1));
            // How it ends is for the client to see.
            let _ = subscription.serve_in(&shared.fanout, emitter, heartbeat);
            // A client that resets its connection sees no error of its own.
            read(shared, &client, rng, progress)?;
        }
        // The hub is closed. The proxy waits for this end.
        Err(_) => drop(server),
    }
    drop(client);
    match proxy.map(thread::JoinHandle::join) {
        Some(Err(_)) => Err("the proxy has panicked".into()),
        _ => Ok(()),
    }
}

type Proxied = (TcpStream, Option<thread::JoinHandle<()>>);

/// A connection to the listener, relayed by a thread until either side ends it.
fn behind_a_proxy(listener: &TcpListener) -> Result<Proxied> {
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(proxy.local_addr()?)?;
    let (mut near, _) = proxy.accept()?;
    let mut far = TcpStream::connect(listener.local_addr()?)?;
    let relay = thread::Builder::new().spawn(move || {
        // Which side has ended it does not matter.
        let _ = io::copy(&mut far, &mut near);
    })?;
    Ok((client, Some(relay)))
}

fn read(shared: &Shared, client: &TcpStream, rng: &mut Rng, progress: &mut Progress) -> Result<()> {
    let mut connection = BufReader::new(client);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if connection.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
    let mut reader = Reader::new(connection);
    for _ in 0..1 + rng.below(2_000) {
        if rng.below(512) == 0 {
            stall(&shared.published, rng.below(8 * LOG), &shared.stop);
        }
        let Some(event) = reader.read_event()? else {
            break;
        };
        if event.event_type() == "gap" {
            progress.gap();
            continue;
        }
        let number = event.id.as_deref().and_then(|id| id.parse().ok());
        progress.event(number.ok_or("an event without its number")?);
    }
    Ok(())
}

/// How many descriptors the process has.
pub(crate) fn descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

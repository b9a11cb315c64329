//! Everything at once: the hub under its publishers and subscribers, a fan-out whose clients stall and
//! reset, two hubs whose store has a full disk, and a client over the outages of its server. One table
//! at the end.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::hub::{self, resident_bytes, threads, wait_for_threads};
use crate::outages::{self, Report};
use crate::{Result, client, disk, duration, fanout};

/// How much the process may grow after its first minute, or the first quarter of a shorter run.
const GROWTH: u64 = 64 << 20;

struct Usage {
    threads: usize,
    descriptors: usize,
    memory: u64,
}

impl Usage {
    fn now() -> Result<Usage> {
        Ok(Usage {
            threads: threads()?,
            descriptors: fanout::descriptors()?,
            memory: resident_bytes()?,
        })
    }
}

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let time = duration(arguments)?;
    let start = Usage::now()?;
    let outages = Mutex::new((0, Vec::new()));
    let (hub, fanout, (disk, full), warm) = thread::scope(|scope| {
        let hub = scope.spawn(|| hub::rounds(time));
        let fanout = scope.spawn(|| fanout::run(time));
        let disk = scope.spawn(|| disk::run(time));
        let client = scope.spawn(|| survive(time, &outages));
        // Until each kind of hub was there, the process grows.
        thread::sleep((time / 4).min(Duration::from_secs(60)));
        let warm = resident_bytes();
        client.join().map_err(|_| "the client has panicked")??;
        let fanout = fanout.join().map_err(|_| "the fan-out has panicked")??;
        let disk = disk
            .join()
            .map_err(|_| "the hubs with a store have panicked")??;
        let hub = hub.join().map_err(|_| "the hub has panicked")??;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((hub, fanout, disk, warm?))
    })?;
    wait_for_threads(start.threads)?;
    let end = Usage::now()?;
    let (rounds, reports) = outages.into_inner().map_err(|_| "a panic")?;
    let read: u64 = reports.iter().map(|report: &Report| report.events).sum();
    let losses: u64 = reports.iter().map(|report| report.losses).sum();

    let row = |what: &str, values: &[&dyn std::fmt::Display]| {
        let values: Vec<_> = values.iter().map(|value| format!("{value:>12}")).collect();
        println!("{what:<20} {}", values.join(" "));
    };
    println!("{time:?}");
    row("", &[&"hub", &"fan-out", &"history", &"client"]);
    row(
        "published",
        &[&hub.published, &fanout.published, &disk.published, &read],
    );
    row(
        "delivered",
        &[&hub.received, &fanout.delivered, &disk.delivered, &read],
    );
    row(
        "gaps told",
        &[&(hub.gaps + hub.lags), &fanout.told, &disk.told, &0],
    );
    // In the others, one ends the soak.
    row("gaps untold", &[&0, &fanout.untold, &disk.untold, &0]);
    row("disk full", &[&"", &"", &full]);
    row("outages survived", &[&"", &"", &"", &rounds]);
    row("connections lost", &[&"", &"", &"", &losses]);
    println!();
    row("the process", &[&"start", &"warm", &"end"]);
    row("threads", &[&start.threads, &"", &end.threads]);
    row("descriptors", &[&start.descriptors, &"", &end.descriptors]);
    let kib = [start.memory >> 10, warm >> 10, end.memory >> 10];
    row("KiB resident", &[&kib[0], &kib[1], &kib[2]]);
    match () {
        () if fanout.untold + disk.untold > 0 => Err("gaps that were not told".into()),
        () if end.descriptors > start.descriptors => Err("descriptors are left open".into()),
        () if end.memory > warm + GROWTH => Err("memory grew".into()),
        () => Ok(()),
    }
}

/// A server after the other, with three outages each, until the time is over.
fn survive(time: Duration, outages: &Mutex<(usize, Vec<Report>)>) -> Result<()> {
    const ROUNDS: usize = 3;
    let over = Instant::now() + time;
    while Instant::now() < over {
        let report = outages::survive(ROUNDS, client::this_as_a_server, |_, _, _| {})?;
        let mut outages = outages.lock().map_err(|_| "a panic")?;
        outages.0 += ROUNDS;
        outages.1.push(report);
    }
    Ok(())
}

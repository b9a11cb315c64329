//! Two hubs in front of one store whose disk is small, and full again and again. Clients hop between
//! the hubs, and are away for longer than the logs remember, and at times than the store does.
//!
//! An event that the disk has no room for is not published: a client that sees an event can come back
//! after it. As to the rest, the events are numbered, so that each client sees what is missing.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::hub::{History, IdPolicy, RecvError, Resumption};
use sse_io::{Event, Hub, Reader};
use tempfile::TempDir;

use crate::Result;
use crate::numbered::{Progress, Tally, length, pause, stall};
use crate::rng::Rng;

const CLIENTS: u64 = 16;

/// What the logs hold: far less than the store.
const LOG: usize = 64;

/// How many bytes the disk has, and each of the store's files about.
const DISK: u64 = 1 << 20;
const SEGMENT: u64 = 64 << 10;

/// A file system of its own where this process may mount one, otherwise a folder in which the store
/// itself stops at the same size.
struct Disk {
    folder: TempDir,
    mounted: bool,
}

impl Disk {
    fn new() -> io::Result<Disk> {
        let folder = tempfile::tempdir()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={DISK}"), "sse-io-soak"]);
        // Its complaint is not the soak's.
        let result = mount.arg(folder.path()).output();
        let mounted = result.is_ok_and(|output| output.status.success());
        Ok(Disk { folder, mounted })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg(self.folder.path()).status();
        }
    }
}

/// The events as event streams in files.
struct Store {
    state: Mutex<Segments>,
    /// There is a new event, or it is over.
    changed: Condvar,
    /// Let go of after the files.
    disk: Disk,
}

#[derive(Default)]
struct Segments {
    /// Oldest first.
    files: VecDeque<Segment>,
    /// The number of the newest event.
    newest: u64,
    over: bool,
}

struct Segment {
    /// The number of its first event.
    first: u64,
    path: PathBuf,
    file: File,
    length: u64,
}

impl Segment {
    fn create(folder: &Path, first: u64) -> io::Result<Segment> {
        let path = folder.join(first.to_string());
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        Ok(Segment {
            first,
            path,
            file,
            length: 0,
        })
    }

    /// Writes the event whole, or leaves the file as it was.
    fn append(&mut self, wire: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(wire) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += wire.len() as u64;
        Ok(())
    }
}

impl Store {
    fn new() -> io::Result<Store> {
        Ok(Store {
            state: Mutex::default(),
            changed: Condvar::new(),
            disk: Disk::new()?,
        })
    }

    /// Fails with [`StorageFull`](ErrorKind::StorageFull) when there is no room.
    fn append(&self, filler: usize) -> io::Result<u64> {
        let mut state = self.state.lock().expect("no panic");
        let number = state.newest + 1;
        let mut wire = Vec::new();
        let event = Event::new("x".repeat(filler)).with_id(number.to_string());
        event.encode(&mut wire).map_err(io::Error::other)?;
        let used: u64 = state.files.iter().map(|segment| segment.length).sum();
        if !self.disk.mounted && used + wire.len() as u64 > DISK {
            return Err(ErrorKind::StorageFull.into());
        }
        let last = state.files.back();
        if last.is_none_or(|segment| segment.length >= SEGMENT) {
            let segment = Segment::create(self.disk.folder.path(), number)?;
            state.files.push_back(segment);
        }
        let last = state.files.back_mut().expect("there is one");
        last.append(&wire)?;
        state.newest = number;
        drop(state);
        self.changed.notify_all();
        Ok(number)
    }

    /// Deletes the older half, but not the newest event: the disk may stay full for a moment, while a
    /// process that is being started still has the files open.
    fn free(&self) -> io::Result<()> {
        let mut state = self.state.lock().expect("no panic");
        let newest = state.newest;
        let behind = |segment: &Segment| segment.first <= newest;
        let newest = state.files.partition_point(behind) - 1;
        let half = newest.min(state.files.len() / 2);
        state
            .files
            .drain(..half)
            .try_for_each(|segment| fs::remove_file(segment.path))
    }

    /// Waits for an event behind this one; false when it is over and there is none.
    fn wait_behind(&self, number: u64) -> bool {
        let waits = |state: &mut Segments| state.newest <= number && !state.over;
        let state = self.state.lock().expect("no panic");
        let state = self.changed.wait_while(state, waits).expect("no panic");
        state.newest > number
    }

    fn end(&self) {
        self.state.lock().expect("no panic").over = true;
        self.changed.notify_all();
    }
}

/// The store as the hubs have it.
struct Behind(Arc<Store>);

impl History for Behind {
    fn after(&self, id: &str, _: &[&str], max: usize) -> io::Result<Option<Vec<Event<'static>>>> {
        self.0.after(id.parse().map_err(io::Error::other)?, max)
    }
}

impl Store {
    /// What follows this event, as [`History::after`] has it.
    fn after(&self, number: u64, max: usize) -> io::Result<Option<Vec<Event<'static>>>> {
        let state = self.state.lock().expect("no panic");
        if state
            .files
            .front()
            .is_none_or(|oldest| number < oldest.first)
        {
            return Ok(None);
        }
        let from = state
            .files
            .partition_point(|segment| segment.first <= number + 1);
        let mut events = Vec::new();
        for segment in state.files.iter().skip(from - 1) {
            let mut reader = Reader::new(BufReader::new(File::open(&segment.path)?));
            while let Some(event) = reader.read_event()? {
                if events.len() == max {
                    return Ok(Some(events));
                }
                if self::number(&event)? > number {
                    events.push(event.into_owned());
                }
            }
        }
        Ok(Some(events))
    }
}

fn number(event: &Event<'_>) -> io::Result<u64> {
    let id = event.id.as_deref().unwrap_or_default();
    id.parse().map_err(io::Error::other)
}

/// For each hub, how far it has come.
struct Shared {
    store: Arc<Store>,
    hubs: [(Hub, AtomicU64); 2],
    stop: AtomicBool,
}

/// Goes on for so long. Returns how often the disk was full, too.
pub(crate) fn run(time: Duration) -> Result<(Tally, u64)> {
    let store = Arc::new(Store::new()?);
    let hub = || {
        let builder = Hub::builder().with_id_policy(IdPolicy::Own);
        let builder = builder.with_max_events(LOG);
        let hub = builder.with_history(Behind(Arc::clone(&store))).build();
        (hub, AtomicU64::new(0))
    };
    let shared = Shared {
        hubs: [hub(), hub()],
        store,
        stop: AtomicBool::new(false),
    };
    let until = Instant::now() + time;
    // The hubs know where they are in the store before the first client comes.
    shared.store.append(0)?;
    thread::scope(|scope| {
        let followers = [0, 1].map(|hub| {
            let shared = &shared;
            scope.spawn(move || follow(shared, hub))
        });
        wait_for_hubs(&shared, 1);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|seed| {
                let shared = &shared;
                scope.spawn(move || stay(shared, Rng(seed)))
            })
            .collect();
        let published = publish(&shared, until);
        shared.stop.store(true, Ordering::Relaxed);
        shared.store.end();
        for follower in followers {
            follower.join().map_err(|_| "a follower has panicked")??;
        }
        let (published, full) = published?;
        let mut tally = Tally {
            published,
            ..Tally::default()
        };
        for client in clients {
            tally += client.join().map_err(|_| "a client has panicked")??;
        }
        Ok((tally, full))
    })
}

/// Publishes what the store has, and closes the hub at the end.
fn follow(shared: &Shared, hub: usize) -> Result<()> {
    let (hub, done) = &shared.hubs[hub];
    // Closed in any case, so that nobody waits for it.
    let result = (|| {
        let mut last = 0;
        while shared.store.wait_behind(last) {
            let events = match last {
                0 => vec![Event::new("").with_id("1")],
                last => {
                    let events = shared.store.after(last, 256)?;
                    events.ok_or("the store has lost what was not published yet")?
                }
            };
            for event in events {
                last = number(&event)?;
                hub.publish(&event)?;
                done.store(last, Ordering::Release);
            }
        }
        Ok(())
    })();
    hub.close();
    result
}

/// Waits until both hubs have published this event.
fn wait_for_hubs(shared: &Shared, number: u64) {
    let is_behind =
        |(hub, done): &(Hub, AtomicU64)| done.load(Ordering::Acquire) < number && !hub.is_closed();
    while shared.hubs.iter().any(is_behind) {
        thread::yield_now();
    }
}

/// Publishes until then. When the disk is full, nobody does anything about it for a while. Returns how
/// many events that were, and how often it was full.
fn publish(shared: &Shared, until: Instant) -> Result<(u64, u64)> {
    let mut rng = Rng(u64::MAX);
    let (mut published, mut full) = (0, 0);
    let mut patience = None;
    while Instant::now() < until {
        for _ in 0..rng.below(32) {
            match shared.store.append(length(&mut rng)) {
                Ok(number) => (published, patience) = (number, None),
                Err(error) if error.kind() == ErrorKind::StorageFull => match &mut patience {
                    None => {
                        full += 1;
                        patience = Some(rng.below(100));
                    }
                    Some(0) => {
                        // What is not published yet is not to be lost.
                        wait_for_hubs(shared, published);
                        shared.store.free()?;
                    }
                    Some(left) => *left -= 1,
                },
                Err(error) => return Err(error.into()),
            }
        }
        pause(&mut rng);
    }
    match full {
        0 => Err("the disk was never full".into()),
        _ => Ok((published, full)),
    }
}

/// Hops between the hubs until they are closed.
fn stay(shared: &Shared, mut rng: Rng) -> Result<Tally> {
    let mut progress = Progress::default();
    let stall = |events| stall(&shared.hubs[0].1, events, &shared.stop);
    while !shared.stop.load(Ordering::Relaxed) {
        visit(shared, &mut rng, &mut progress, stall)?;
        if rng.below(4) == 0 {
            // Away for longer than the logs remember, or the store does.
            let events = [8 * LOG, 8_000][rng.below(2)];
            stall(rng.below(events));
        }
    }
    Ok(progress.tally)
}

/// One subscription, which ends at some point.
fn visit(
    shared: &Shared,
    rng: &mut Rng,
    progress: &mut Progress,
    stall: impl Fn(usize),
) -> Result<()> {
    let (hub, _) = &shared.hubs[rng.below(2)];
    let id = progress.come_back();
    // The hub may be closed by now.
    let Ok(mut subscription) = hub.subscribe().with_last_event_id(id).start() else {
        return Ok(());
    };
    if matches!(subscription.resumption(), Resumption::Gap { .. }) {
        progress.gap();
    }
    for _ in 0..1 + rng.below(2_000) {
        if rng.below(512) == 0 {
            stall(rng.below(8 * LOG));
        }
        let frame = match subscription.recv() {
            Ok(frame) => frame,
            Err(RecvError::Lagged { .. }) => {
                progress.gap();
                continue;
            }
            Err(RecvError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        progress.event(number(&frame.event())?);
    }
    Ok(())
}

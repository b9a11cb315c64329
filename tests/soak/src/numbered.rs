//! What the soaks with numbered events share: each client sees what is missing, and whether it was told.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::rng::Rng;

/// What it came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) told: u64,
    pub(crate) untold: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.told += other.told;
        self.untold += other.untold;
    }
}

/// How far a client has come, over all its visits.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    last: Option<u64>,
    /// A gap was told, and no event came since.
    told: bool,
    pub(crate) tally: Tally,
}

impl Progress {
    /// Another visit, from this last event ID on. What the one before was told last is over.
    pub(crate) fn come_back(&mut self) -> String {
        self.told = false;
        self.last.map_or_else(String::new, |last| last.to_string())
    }

    /// A gap is told. It says that something is missing, or may be.
    pub(crate) fn gap(&mut self) {
        self.told = true;
        self.tally.told += 1;
    }

    /// The event with this number comes. Nothing comes twice.
    pub(crate) fn event(&mut self, number: u64) {
        let is_next = self.last.is_none_or(|last| number == last + 1);
        let is_later = self.last.is_none_or(|last| number > last);
        if !is_later || !(is_next || self.told) {
            self.tally.untold += 1;
        }
        self.told = false;
        self.tally.delivered += 1;
        self.last = Some(number);
    }
}

/// How long the data of the next event is: now and then it is large.
pub(crate) fn length(rng: &mut Rng) -> usize {
    match rng.below(64) {
        0 => rng.below(20_000),
        _ => rng.below(100),
    }
}

/// Between two bursts of events. Paces the load; nothing waits for this.
pub(crate) fn pause(rng: &mut Rng) {
    thread::sleep(Duration::from_micros(rng.below(4_000) as u64));
}

/// Does nothing until so many more events are published, or it is over.
pub(crate) fn stall(published: &AtomicU64, events: usize, stop: &AtomicBool) {
    let until = published.load(Ordering::Relaxed) + events as u64;
    while published.load(Ordering::Relaxed) < until && !stop.load(Ordering::Relaxed) {
        // Paces the load; nothing waits for this.
        thread::sleep(Duration::from_millis(1));
    }
}

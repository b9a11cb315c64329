//! Waking those that an event is for.
//!
//! A fan-out's threads are few: who publishes calls each of them once, whatever it has to do.
//!
//! Threads that wait for one subscription each may be thousands, and to wake one takes microseconds.
//! A publisher that woke them all would pay for that itself, and worse: on a machine with fewer cores
//! than threads, the first that are awake push the publisher aside, write one event each, and wait
//! again, so that a burst costs as many rounds of wake-ups as it has events. So the publisher wakes a
//! few, and one of those goes on before it does anything else, in waves: a wave wakes some more, and its
//! last task is to pass the task on. The publisher gets to its next event meanwhile, and those that are
//! woken later find several events in the log, and send them in one write. The waves double up to a limit,
//! so that on a busy machine, where each hand-over waits for its turn, the last ones do not wait for
//! long.

use std::array;
use std::sync::Arc;

use super::roster::trim;
use super::{Shared, Wakes};
use crate::sync::{Lane, Signal};

/// How many are woken under one lock. One alone would leave cores idle, and many would be so busy with
/// the first event of a burst that the publisher takes long to get to the second.
pub(super) const BATCH: usize = 8;

/// How many times that number one subscription has to wake at most.
const MAX_WAVE: usize = 64;

/// What the thread that held the lock is to do now that it holds it no more.
#[must_use = "somebody waits to be woken"]
pub(super) struct Call {
    /// There are lanes to call.
    lanes: bool,
    /// It begins to wake the threads, as nobody else is about it.
    begins: bool,
}

impl Call {
    pub(super) const NOTHING: Call = Call {
        lanes: false,
        begins: false,
    };
}

impl Wakes {
    pub(super) fn thread(&mut self, signal: &Arc<Signal>) {
        self.threads.push_back(Arc::clone(signal));
    }

    pub(super) fn lane(&mut self, lane: &Arc<Lane>) {
        self.lanes.push(Arc::clone(lane));
    }

    /// What is to be done about those that were noted, as soon as the lock is let go.
    pub(super) fn begin(&mut self) -> Call {
        let begins = !self.under_way && !self.threads.is_empty();
        if begins {
            self.under_way = true;
            self.wave = 1;
        }
        Call {
            lanes: !self.lanes.is_empty(),
            begins,
        }
    }

    fn next_lanes(&mut self) -> [Option<Arc<Lane>>; BATCH] {
        array::from_fn(|_| self.lanes.pop())
    }

    fn next_threads(&mut self) -> [Option<Arc<Signal>>; BATCH] {
        array::from_fn(|_| self.threads.pop_front())
    }

    /// Gives room back, where there are so many members.
    pub(super) fn trim(&mut self, members: usize) {
        let threads = &mut self.threads;
        let needed = members.max(threads.len());
        trim(threads.capacity(), needed, |to| threads.shrink_to(to));
    }
}

impl Shared {
    /// Wakes those that an event was for. No lock is held here.
    #[inline]
    pub(super) fn wake(&self, call: Call) {
        if call.lanes {
            self.call_lanes();
        }
        if call.begins {
            self.wake_next();
        }
    }

    fn call_lanes(&self) {
        loop {
            let next = self.lock().wakes.next_lanes();
            let is_last = next[BATCH - 1].is_none();
            next.into_iter().flatten().for_each(|lane| lane.call());
            if is_last {
                return;
            }
        }
    }

    /// Wakes the next wave, and has one of those woken wake the wave that follows, before it does
    /// anything else.
    pub(in crate::hub) fn wake_next(&self) {
        let mut passed_on = false;
        let mut left = 0;
        while left > 0 || !passed_on {
            let mut state = self.lock();
            let wakes = &mut state.wakes;
            if left == 0 {
                left = wakes.wave;
                wakes.wave = (2 * wakes.wave).min(MAX_WAVE);
            }
            let next = wakes.next_threads();
            if next[0].is_none() {
                // Who has the task now, if anybody, is the one to end it.
                wakes.under_way &= passed_on;
                return;
            }
            drop(state);
            left -= 1;
            for signal in next.into_iter().flatten() {
                match passed_on {
                    true => signal.raise(),
                    // Who does not wait (it was dropped, its time was up) wakes nobody.
                    false => passed_on = signal.raise_with_task(),
                }
            }
        }
    }
}

//! What there is to tell: the ticks of a clock that all streams share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How many ticks a client that comes back is told at most. Its number is whatever it sent.
const REPLAY: u64 = 100;

/// Counts ticks, from 1.
#[derive(Debug, Default)]
pub struct Clock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    now: u64,
    stopped: bool,
}

impl Clock {
    /// The next tick.
    pub fn advance(&self) {
        self.lock().now += 1;
        self.changed.notify_all();
    }

    /// Ends all streams, once they have told the ticks so far.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ticks for one client, each as soon as it comes.
pub(crate) struct Ticks {
    clock: Arc<Clock>,
    last: u64,
}

impl Ticks {
    /// Those after the last one that the client has. Without one, or with one of an earlier clock
    /// that came further, those from now on.
    pub(crate) fn after(last: Option<u64>, clock: &Arc<Clock>) -> Ticks {
        let now = clock.lock().now;
        let last = last.filter(|&last| last <= now).unwrap_or(now);
        Ticks {
            clock: Arc::clone(clock),
            last: last.max(now.saturating_sub(REPLAY)),
        }
    }
}

impl Iterator for Ticks {
    type Item = u64;

    /// Waits for the next tick; none comes after the clock has stopped.
    fn next(&mut self) -> Option<u64> {
        let mut state = self.clock.lock();
        while state.now <= self.last {
            if state.stopped {
                return None;
            }
            state = self
                .clock
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.last += 1;
        Some(self.last)
    }
}

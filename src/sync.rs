//! Locks that ignore poison (what they guard stays consistent when a user's code panics), and a
//! flag to wait for.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// The guard, whether or not another thread panicked while it held the lock.
pub(crate) fn ignore_poison<G>(result: Result<G, PoisonError<G>>) -> G {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// A flag that one thread waits for and any other raises. What it stands for is to be looked at
/// after each wait: it may have been raised for something that is over.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Ends the wait that is under way, else the next one.
    pub(crate) fn raise(&self) {
        *ignore_poison(self.raised.lock()) = true;
        self.changed.notify_one();
    }

    /// Waits until it is raised, and lowers it. False when the deadline passed before.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut raised = ignore_poison(self.raised.lock());
        while !*raised {
            raised = match deadline {
                None => ignore_poison(self.changed.wait(raised)),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    ignore_poison(self.changed.wait_timeout(raised, left)).0
                }
            };
        }
        *raised = false;
        true
    }
}

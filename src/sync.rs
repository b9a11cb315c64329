//! Locks and waits that ignore poison (what is guarded stays consistent when a user's code panics), and
//! a flag to wait for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The guard, whether or not another thread panicked while it held the lock.
pub(crate) fn ignore_poison<G>(result: Result<G, PoisonError<G>>) -> G {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// Waits until what is guarded `is_so`, at most until the deadline; `None` waits without a limit. Does
/// not wait where it is so already.
pub(crate) fn wait_until<'a, T>(
    changed: &Condvar,
    mut guard: MutexGuard<'a, T>,
    deadline: Option<Instant>,
    is_so: impl Fn(&T) -> bool,
) -> MutexGuard<'a, T> {
    while !is_so(&guard) {
        guard = match deadline {
            None => ignore_poison(changed.wait(guard)),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                ignore_poison(changed.wait_timeout(guard, left)).0
            }
        };
    }
    guard
}

/// A flag that one thread waits for and any other raises. What it stands for is to be looked at
/// after each wait: it may have been raised for something that is over.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    flags: Mutex<Flags>,
    changed: Condvar,
    /// For its owner: where a list has it.
    number: AtomicUsize,
}

#[derive(Debug, Default)]
struct Flags {
    raised: bool,
    /// A thread waits.
    awaited: bool,
    /// That thread was given a task.
    task: bool,
}

/// What a wait has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited {
    /// The signal was raised before the deadline.
    pub(crate) raised: bool,
    /// The task came with it.
    pub(crate) task: bool,
}

impl Signal {
    /// Ends the wait that is under way, else the next one.
    pub(crate) fn raise(&self) {
        ignore_poison(self.flags.lock()).raised = true;
        self.changed.notify_one();
    }

    /// Raises it, and has the thread that waits do the task as soon as it has done waiting. False
    /// when none waits: then the task is still the caller's.
    pub(crate) fn raise_with_task(&self) -> bool {
        let mut flags = ignore_poison(self.flags.lock());
        flags.raised = true;
        flags.task = flags.awaited;
        let given = flags.task;
        drop(flags);
        self.changed.notify_one();
        given
    }

    /// The number that it was given last; 0 before.
    pub(crate) fn number(&self) -> usize {
        self.number.load(Ordering::Relaxed)
    }

    /// Gives it a number. Whoever reads it is to hold the same lock.
    pub(crate) fn set_number(&self, number: usize) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// Waits until it is raised, at most until the deadline, and lowers it.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Waited {
        let mut flags = ignore_poison(self.flags.lock());
        flags.awaited = true;
        flags = wait_until(&self.changed, flags, deadline, |flags| flags.raised);
        let Flags { raised, task, .. } = std::mem::take(&mut *flags);
        Waited { raised, task }
    }
}

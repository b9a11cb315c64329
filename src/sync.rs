//! Locks and waits that ignore poison (what is guarded stays consistent when a user's code panics), and
//! the two ways to wake a thread: a flag, where it does one thing, and a list of what is due, where it
//! looks after many.

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
    /// Ends the wait that is under way; if there is none, the next one.
    pub(crate) fn raise(&self) {
        let mut flags = ignore_poison(self.flags.lock());
        let is_first = !std::mem::replace(&mut flags.raised, true);
        if flags.awaited && is_first {
            drop(flags);
            self.changed.notify_one();
        }
    }

    /// Raises it, and has the thread that waits do the task as soon as it has done waiting. False
    /// when none waits: then the task is still the caller's.
    pub(crate) fn raise_with_task(&self) -> bool {
        let mut flags = ignore_poison(self.flags.lock());
        let is_first = !std::mem::replace(&mut flags.raised, true);
        flags.task = flags.awaited;
        if !flags.awaited {
            return false;
        }
        drop(flags);
        if is_first {
            self.changed.notify_one();
        }
        true
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

/// What one thread that looks after many things is told of: which of them are due. However many become
/// due together, the thread is woken once.
///
/// Its lock is held for a few instructions, and no other lock is taken under it, so a lane may be
/// added to under any lock.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    state: Mutex<LaneState>,
    changed: Condvar,
}

/// How a lane's owner names one of the things it looks after. It comes back as it was given, possibly
/// more than once, and possibly when that thing is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) u64);

#[derive(Debug, Default)]
struct LaneState {
    /// In the order in which they became due.
    due: Vec<Token>,
    /// The thread is to stop waiting even if nothing is due.
    nudged: bool,
    /// The thread waits, and was not called since.
    awaited: bool,
}

impl Lane {
    /// Moves these to the end of what is due. True when the thread is to be [called](Lane::call),
    /// which can be done when the caller holds no lock any more; nobody else will.
    #[must_use = "the thread may be waiting to be called"]
    pub(crate) fn add(&self, due: &mut Vec<Token>) -> bool {
        let mut state = ignore_poison(self.state.lock());
        state.due.append(due);
        std::mem::take(&mut state.awaited)
    }

    /// Has the thread look at what is due.
    pub(crate) fn call(&self) {
        self.changed.notify_one();
    }
}

// For the owner of a lane.
impl Lane {
    /// One more is due. The owner itself notes that, so nobody is called.
    pub(crate) fn push(&self, token: Token) {
        ignore_poison(self.state.lock()).due.push(token);
    }

    /// Ends the wait that is under way, or the next one, although nothing is due.
    pub(crate) fn nudge(&self) {
        ignore_poison(self.state.lock()).nudged = true;
        self.changed.notify_one();
    }

    /// Waits until something is due or the lane is nudged, at most until the deadline, and appends what
    /// is due. Returns whether the lane was nudged.
    pub(crate) fn wait(&self, deadline: Option<Instant>, due: &mut Vec<Token>) -> bool {
        let mut state = ignore_poison(self.state.lock());
        state.awaited = true;
        state = wait_until(&self.changed, state, deadline, |state| {
            state.nudged || !state.due.is_empty()
        });
        state.awaited = false;
        match due.is_empty() {
            true => std::mem::swap(due, &mut state.due),
            false => due.append(&mut state.due),
        }
        std::mem::take(&mut state.nudged)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn a_lane_is_called_once_for_all_that_became_due_together() {
        let lane = Arc::new(Lane::default());
        let mut due = vec![Token(1), Token(2)];
        assert!(!lane.add(&mut due), "nobody waits");
        assert!(due.is_empty());
        assert!(!lane.wait(None, &mut due), "nobody nudged it");
        assert_eq!(due, [Token(1), Token(2)]);

        let waiting = Arc::clone(&lane);
        let thread = thread::spawn(move || {
            let mut due = Vec::new();
            waiting.wait(None, &mut due);
            due
        });
        // It waits from some moment on, and is called by the first alone.
        while !ignore_poison(lane.state.lock()).awaited {
            thread::yield_now();
        }
        let (mut first, mut second) = (vec![Token(3)], vec![Token(4)]);
        assert!(lane.add(&mut first));
        assert!(!lane.add(&mut second));
        lane.call();
        let mut due = thread.join().unwrap();
        if due.len() == 1 {
            // It woke by itself between the two.
            lane.wait(None, &mut due);
        }
        assert_eq!(due, [Token(3), Token(4)]);
    }

    #[test]
    fn a_lane_is_waited_for_until_the_deadline_or_a_nudge() {
        let lane = Lane::default();
        let mut due = Vec::new();
        assert!(!lane.wait(Some(Instant::now()), &mut due));
        lane.nudge();
        assert!(lane.wait(None, &mut due));
        assert!(!lane.wait(Some(Instant::now()), &mut due));
        lane.push(Token(7));
        assert!(!lane.wait(None, &mut due));
        assert_eq!(due, [Token(7)]);
    }
}

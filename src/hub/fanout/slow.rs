//! The slow lane: connections that would block, and the threads that block for them.
//!
//! A thread of its own for each would be the simple way, and a thousand clients that stop reading
//! would be a thousand threads. So there are a few threads, and a queue. A thread waits for one
//! connection's peer, though not for long: one that takes nothing meanwhile has stalled. It is put
//! aside and tried once in a while, without waiting, so that it holds up nobody; as soon as it takes
//! something, it is in the queue again. One that has caught up goes back to the thread it came from.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::connection::{Connection, Turn};
use super::{Pool, guard, hung_up};
use crate::hub::serve::Ending;
use crate::sync::ignore_poison;
use crate::writer::FrameBuffer;

/// How long a thread waits for one connection while others may be in the queue.
const MOMENT: Duration = Duration::from_millis(50);

/// How often one that has stalled is tried.
const TRY_EVERY: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct SlowLane {
    queues: Mutex<Queues>,
    changed: Condvar,
}

#[derive(Default)]
struct Queues {
    /// Those that a thread is to wait for.
    queue: VecDeque<Slow>,
    /// Those that have taken nothing for a while, and when to try them: the first comes first.
    stalled: VecDeque<(Instant, Slow)>,
    /// How many are on the lane, those that threads are about included.
    connections: usize,
}

/// A connection on the lane.
struct Slow {
    connection: Connection,
    /// Since when it has taken nothing.
    since: Instant,
}

/// What a thread is to do next.
enum Task {
    Wait(Slow),
    Try(Slow),
}

/// What has come of a connection.
enum Fate {
    /// It has more to send, and takes it.
    Queue,
    /// It takes nothing.
    Stalled,
    CaughtUp,
    Ended(Ending),
}

impl SlowLane {
    /// Takes a connection in, or gives it back where there are so many already.
    pub(super) fn push(&self, connection: Connection, most: usize) -> Option<Connection> {
        let mut queues = ignore_poison(self.queues.lock());
        if queues.connections >= most {
            return Some(connection);
        }
        queues.connections += 1;
        queues.queue.push_back(Slow {
            connection,
            since: Instant::now(),
        });
        drop(queues);
        self.changed.notify_one();
        None
    }

    pub(super) fn len(&self) -> usize {
        ignore_poison(self.queues.lock()).connections
    }

    /// Has the threads look whether the fan-out is over.
    pub(super) fn nudge(&self) {
        // Under the lock, so that a thread about to wait has looked before or will be woken.
        drop(ignore_poison(self.queues.lock()));
        self.changed.notify_all();
    }

    /// The work of one of its threads.
    pub(super) fn run(&self, pool: &Pool) {
        let mut buffer = FrameBuffer::default();
        while let Some(task) = self.next(pool) {
            let (mut slow, fate) = match task {
                Task::Wait(mut slow) => {
                    let fate = guard(|| slow.wait(&mut buffer));
                    (slow, fate)
                }
                Task::Try(mut slow) => {
                    let fate = guard(|| slow.try_again(&mut buffer));
                    (slow, fate)
                }
            };
            let is_late = slow.since.elapsed() >= pool.write_timeout;
            let mut queues = ignore_poison(self.queues.lock());
            match fate.unwrap_or(Fate::Ended(Ending::Panicked)) {
                Fate::Queue => {
                    slow.since = Instant::now();
                    queues.queue.push_back(slow);
                    // This thread has a task itself; another may have none.
                    drop(queues);
                    self.changed.notify_one();
                }
                Fate::Stalled if !is_late => {
                    queues.stalled.push_back((Instant::now() + TRY_EVERY, slow));
                    // Whoever waits without a limit has a time to wait for now.
                    drop(queues);
                    self.changed.notify_one();
                }
                fate => {
                    queues.connections -= 1;
                    drop(queues);
                    match fate {
                        Fate::CaughtUp => pool.take_back(slow.connection),
                        Fate::Ended(ended) => pool.close(slow.connection, ended),
                        _ => pool.close(slow.connection, Ending::Gone(timed_out())),
                    }
                }
            }
            buffer = buffer.recycle();
        }
    }

    /// Waits for a task; None when the fan-out is over.
    fn next(&self, pool: &Pool) -> Option<Task> {
        let mut queues = ignore_poison(self.queues.lock());
        loop {
            if pool.is_over() {
                return None;
            }
            if let Some(slow) = queues.queue.pop_front() {
                return Some(Task::Wait(slow));
            }
            let due = queues.stalled.front().map(|(at, _)| *at);
            queues = match due.map(|at| at.saturating_duration_since(Instant::now())) {
                None => ignore_poison(self.changed.wait(queues)),
                Some(Duration::ZERO) => {
                    let (_, slow) = queues.stalled.pop_front()?;
                    return Some(Task::Try(slow));
                }
                Some(left) => ignore_poison(self.changed.wait_timeout(queues, left)).0,
            };
        }
    }
}

impl Slow {
    /// Sends what it takes, waiting for its peer for a moment.
    fn wait(&mut self, buffer: &mut FrameBuffer) -> Fate {
        let start = Instant::now();
        let connection = &mut self.connection;
        if let Err(error) = connection.set_blocking(MOMENT) {
            return Fate::Ended(Ending::Gone(error));
        }
        let fate = loop {
            match connection.turn(buffer, true) {
                Turn::Waits => break Fate::CaughtUp,
                Turn::More if start.elapsed() < MOMENT => {}
                Turn::More => break Fate::Queue,
                Turn::Blocks if connection.last_write() >= start => break Fate::Queue,
                Turn::Blocks => break Fate::Stalled,
                Turn::Ended(ended) => return Fate::Ended(ended),
            }
        };
        match connection.set_nonblocking() {
            Ok(()) => fate,
            Err(error) => Fate::Ended(Ending::Gone(error)),
        }
    }

    /// Looks whether it takes something by now, without waiting.
    fn try_again(&mut self, buffer: &mut FrameBuffer) -> Fate {
        let start = Instant::now();
        let connection = &mut self.connection;
        if connection.has_hung_up() {
            return Fate::Ended(Ending::Gone(hung_up()));
        }
        match connection.turn(buffer, false) {
            Turn::Waits => Fate::CaughtUp,
            Turn::Ended(ended) => Fate::Ended(ended),
            Turn::More | Turn::Blocks if connection.last_write() >= start => Fate::Queue,
            Turn::More | Turn::Blocks => Fate::Stalled,
        }
    }
}

fn timed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the client took nothing for too long",
    )
}

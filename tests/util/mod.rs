//! What the tests share: readers and writers with a script, a seeded generator, a deadline.
//!
//! Each binary has it as a small library: `pub`, so that it need not use all of it.

pub mod readers;
pub mod reference;
pub mod rng;
pub mod script_server;
pub mod streams;
pub mod writers;

pub use rng::Rng;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How often to repeat what is repeated for its chances: so often, or far less under Miri, which is
/// hundreds of times slower.
pub const fn repeats(natively: usize) -> usize {
    if cfg!(miri) {
        natively.div_ceil(50)
    } else {
        natively
    }
}

/// Runs the closure on a thread of its own and returns its result; panics when it is not done
/// within `limit`, so that a hang is a failure and not a hang.
#[track_caller]
pub fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let worker = thread::spawn(move || {
        // The receiver is gone when the deadline has passed.
        let _ = done.send(work());
    });
    match result.recv_timeout(limit) {
        Ok(value) => {
            worker.join().expect("the worker has sent its result");
            value
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the worker ends by sending or by a panic"),
        },
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not done within {limit:?}"),
    }
}

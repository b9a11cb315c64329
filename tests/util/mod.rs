//! What the tests share: readers and writers with a script, a seeded generator, a deadline.
#![allow(dead_code, unreachable_pub)] // each test file uses its own part of it

pub mod connectors;
pub mod readers;
pub mod script_server;
pub mod writers;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

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

/// A small generator with a seed (splitmix64), for inputs that are random and the same every time.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }
}

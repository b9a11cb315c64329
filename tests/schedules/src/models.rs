//! What the threads of the crate promise, each as a small program that shuttle runs under many
//! schedules.
//!
//! A model ends by counting what has arrived, and it is the count that lets the others go: a hub that
//! is closed, or an emitter that is, would wake whoever was forgotten.

mod body;
mod client;
mod emitter;
mod fanout;
mod history;
mod hub;
mod serve;
mod watch;

use std::env;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

use crate::shim;

/// How many schedules, unless `SCHEDULES` says otherwise.
const SCHEDULES: usize = 1_500;

/// A wave of wake-ups that is longer than the models have threads.
const LONG: usize = 64;

fn setting(name: &str) -> Option<usize> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value} is not a number")),
    )
}

fn run(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    Runner::new(scheduler, config).run(model);
}

/// Runs the model under random schedules, or with `DEPTH` under those of probabilistic concurrency
/// testing. So many of its waits may run out of time.
#[track_caller]
fn check(timeouts: u32, max_wave: usize, model: impl Fn() + Send + Sync + 'static) {
    let count = setting("SCHEDULES").unwrap_or(SCHEDULES);
    let model = move || {
        shim::begin(timeouts, max_wave);
        model();
    };
    match setting("DEPTH") {
        Some(depth) => run(PctScheduler::new(depth, count), model),
        None => run(RandomScheduler::new(count), model),
    }
}

/// Runs the model under every schedule there is, or under the first of them where `EXHAUSTIVE` is
/// not set. Nothing in it may be left to chance.
#[track_caller]
fn check_all(model: impl Fn() + Send + Sync + 'static) {
    let most = match setting("EXHAUSTIVE") {
        Some(_) => None,
        None => Some(setting("SCHEDULES").unwrap_or(SCHEDULES)),
    };
    run(DfsScheduler::new(most, false), move || {
        shim::begin(0, LONG);
        model();
    });
}

/// True once in so many times.
fn once_in(count: u32) -> bool {
    use shuttle::rand::Rng;
    shuttle::rand::thread_rng().gen_range(0..count) == 0
}

//! The method: contenders that take turns, the thread's CPU time, and a check of what each gives.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::time::{ClockId, clock_gettime};

use crate::allocations;
use crate::sink::Tally;
use crate::statistics::{least, median, ratio};

/// Whether a contender is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// This crate.
    Ours,
    /// Another one, or the loop that people write themselves.
    Peer,
    /// In another language, and so in a process of its own and not in turns with the others.
    Foreign,
    /// No parser or encoder at all but the least that one has to do.
    Floor,
}

/// Something to measure.
pub struct Contender<'a> {
    /// Whether it is ours.
    pub role: Role,
    /// Its name and version.
    pub name: &'static str,
    /// How it is given its input, or takes its output.
    pub setup: &'static str,
    /// One pass over the whole stream.
    pub timed: Box<dyn FnMut() -> Tally + 'a>,
    /// Says what is wrong with what a timed pass came to, and takes a closer look in a pass of its
    /// own.
    pub check: Box<dyn FnMut(Tally) -> Result<(), String> + 'a>,
}

impl std::fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.name, self.setup)
    }
}

/// What became of a contender.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Whether it is ours.
    pub role: Role,
    /// Its name and version.
    pub name: String,
    /// How it is given its input, or takes its output.
    pub setup: String,
    /// The seconds that one pass took, for each round.
    pub seconds: Vec<f64>,
    /// Allocations of one pass.
    pub allocations: u64,
    /// What is wrong with what it gave. It is not ranked then.
    pub wrong: Option<String>,
}

impl Measured {
    /// The median over the rounds, in seconds.
    pub fn median(&self) -> f64 {
        median(&self.seconds)
    }

    /// The best round, in seconds.
    pub fn best(&self) -> f64 {
        least(&self.seconds)
    }

    /// How many times as fast as the other. By the round, for those that took turns.
    pub fn times_as_fast_as(&self, other: &Measured) -> f64 {
        if self.role == Role::Foreign || other.role == Role::Foreign {
            other.median() / self.median()
        } else {
            ratio(&other.seconds, &self.seconds)
        }
    }
}

/// Each measurement lasts at least this long, in seconds: short passes are repeated.
const LEAST: f64 = 0.004;
/// A contender whose pass takes longer than this is in the first rounds only.
const SLOW: f64 = 0.1;
const ROUNDS_OF_THE_SLOW: usize = 3;

/// Checks all contenders, then measures them in turns.
pub fn measure(mut contenders: Vec<Contender<'_>>, rounds: usize) -> Vec<Measured> {
    let mut passes = Vec::new();
    let mut measured = Vec::new();
    for contender in &mut contenders {
        let wrong = check(contender).err();
        let (mut seconds, mut allocations) = (LEAST, 0);
        if wrong.is_none() {
            let started = thread_time();
            (_, allocations) = allocations::during(|| black_box((contender.timed)()));
            seconds = thread_time() - started;
        }
        passes.push(Passes {
            repeats: (LEAST / seconds.max(1e-9)).ceil().clamp(1.0, 4000.0) as u32,
            rounds: match (&wrong, seconds > SLOW) {
                (Some(_), _) => 0,
                (None, true) => rounds.min(ROUNDS_OF_THE_SLOW),
                (None, false) => rounds,
            },
        });
        measured.push(Measured {
            role: contender.role,
            name: contender.name.to_owned(),
            setup: contender.setup.to_owned(),
            seconds: Vec::new(),
            allocations,
            wrong,
        });
    }
    for round in 0..rounds {
        for index in order(contenders.len(), round) {
            let Passes { repeats, rounds } = passes[index];
            if round >= rounds {
                continue;
            }
            let started = thread_time();
            for _ in 0..repeats {
                black_box((contenders[index].timed)());
            }
            let took = thread_time() - started;
            measured[index].seconds.push(took / f64::from(repeats));
        }
    }
    measured
}

struct Passes {
    /// How many make one measurement.
    repeats: u32,
    /// In how many rounds.
    rounds: usize,
}

/// What is wrong with what a contender gives, if anything is.
pub fn check(contender: &mut Contender<'_>) -> Result<(), String> {
    let both = || {
        let tally = (contender.timed)();
        (contender.check)(tally)
    };
    catch_unwind(AssertUnwindSafe(both)).unwrap_or_else(|_| Err("panics".into()))
}

/// The order of a round: rotated, and every other time backwards, so that nobody always comes after
/// the same one.
fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    if count > 0 {
        order.rotate_left(round * 7 % count);
    }
    order
}

/// The CPU time of this thread, in seconds: what else the machine does is not in it.
pub fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

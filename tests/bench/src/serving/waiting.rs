//! A crowd that waits on one hub: what it costs to publish to all of it, and to one of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use sse_io::{Event, Hub};

use crate::statistics::median;

/// Medians over the rounds, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The call that publishes to everyone.
    pub to_all: f64,
    /// Until everyone has it.
    pub all_have_it: f64,
    /// The call that publishes to a topic with one subscriber.
    pub to_one: f64,
    /// Until that one has it.
    pub one_has_it: f64,
}

/// Enough for a loop that receives.
const STACK: usize = 64 << 10;

/// Has so many subscribers, each with a topic of its own and a thread that waits, and publishes to all
/// and to one in turns.
pub fn wait(subscribers: usize, rounds: usize) -> io::Result<Waiting> {
    let hub = Hub::new();
    let received = Arc::new(AtomicUsize::new(0));
    let main = thread::current();
    let mut threads = Vec::with_capacity(subscribers);
    for number in 0..subscribers {
        let subscribe = hub.subscribe().with_topics([number.to_string()]);
        let mut subscription = subscribe.start().map_err(io::Error::other)?;
        let (received, main) = (received.clone(), main.clone());
        threads.push(Builder::new().stack_size(STACK).spawn(move || {
            while subscription.recv().is_ok() {
                if received.fetch_sub(1, Ordering::AcqRel) == 1 {
                    main.unpark();
                }
            }
        })?);
    }
    let publish = |expected: usize, publish: &dyn Fn() -> io::Result<()>| {
        received.store(expected, Ordering::Release);
        // Until the crowd is asleep again.
        thread::sleep(Duration::from_millis(20));
        let started = Instant::now();
        publish()?;
        let called = started.elapsed();
        while received.load(Ordering::Acquire) > 0 {
            thread::park_timeout(Duration::from_secs(1));
        }
        io::Result::Ok((called.as_secs_f64(), started.elapsed().as_secs_f64()))
    };
    let event = Event::new("x");
    let somebody = [(subscribers / 2).to_string()];
    let (mut all, mut one) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        all.push(publish(subscribers, &|| {
            hub.publish(&event).map(drop).map_err(Into::into)
        })?);
        one.push(publish(1, &|| {
            hub.publish_to(&somebody, &event)
                .map(drop)
                .map_err(Into::into)
        })?);
    }
    hub.close();
    for thread in threads {
        let _ = thread.join();
    }
    let calls = |times: &[(f64, f64)]| median(&times.iter().map(|time| time.0).collect::<Vec<_>>());
    let ends = |times: &[(f64, f64)]| median(&times.iter().map(|time| time.1).collect::<Vec<_>>());
    Ok(Waiting {
        to_all: calls(&all),
        all_have_it: ends(&all),
        to_one: calls(&one),
        one_has_it: ends(&one),
    })
}

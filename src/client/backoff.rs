//! When to try again: the reconnection time, how it grows with failures, and when to give up.

use std::time::{Duration, Instant};

use super::clock::Random;

/// The statuses that mostly pass: for
/// [`with_retried_statuses`](super::EventSource::with_retried_statuses).
///
/// ```
/// use sse_io::client::TRANSIENT_STATUSES;
///
/// assert!(TRANSIENT_STATUSES.contains(&503) && !TRANSIENT_STATUSES.contains(&404));
/// ```
pub const TRANSIENT_STATUSES: &[u16] = &[408, 425, 429, 500, 502, 503, 504];

#[derive(Clone, Debug)]
pub(super) struct Backoff {
    /// The reconnection time, as the caller or the server set it last.
    pub(super) reconnection_time: Duration,
    pub(super) min: Duration,
    pub(super) max: Duration,
    pub(super) jitter: bool,
    pub(super) max_attempts: Option<u32>,
    pub(super) max_elapsed: Option<Duration>,
    /// A connection that lasted this long was no failure.
    pub(super) healthy_after: Duration,
    /// Nor was one that gave an event.
    pub(super) healthy_on_event: bool,
    failures: u32,
    /// When the outage began: the first attempt, or the loss of the last healthy connection.
    since: Option<Instant>,
}

/// What to do about a loss.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait(Duration),
    GiveUp,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Backoff {
            reconnection_time: Duration::from_secs(3),
            min: Duration::from_millis(100),
            max: Duration::from_secs(5 * 60),
            jitter: true,
            max_attempts: None,
            max_elapsed: None,
            healthy_after: Duration::from_secs(5),
            healthy_on_event: true,
            failures: 0,
            since: None,
        }
    }

    /// The number of the attempt that begins now, counted from the last healthy connection.
    pub(super) fn begin_attempt(&mut self, now: Instant) -> u32 {
        self.since.get_or_insert(now);
        self.failures.saturating_add(1)
    }

    /// Attempts that failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The connection is gone that was opened at `opened` and `gave_event`.
    pub(super) fn lost(
        &mut self,
        opened: Instant,
        gave_event: bool,
        now: Instant,
        random: &mut Random,
    ) -> Next {
        let lasted = now.saturating_duration_since(opened) >= self.healthy_after;
        let was_healthy = lasted || (gave_event && self.healthy_on_event);
        if !was_healthy {
            return self.failed(None, now, random);
        }
        self.failures = 0;
        self.since = Some(now);
        self.next(None, now, random)
    }

    /// The attempt has come to nothing; the server may have said how long to stay away.
    pub(super) fn failed(
        &mut self,
        retry_after: Option<Duration>,
        now: Instant,
        random: &mut Random,
    ) -> Next {
        self.failures = self.failures.saturating_add(1);
        self.next(retry_after, now, random)
    }

    fn next(&self, retry_after: Option<Duration>, now: Instant, random: &mut Random) -> Next {
        if self.max_attempts.is_some_and(|max| self.failures >= max) {
            return Next::GiveUp;
        }
        let delay = self.delay(retry_after, random);
        let elapsed = now.saturating_duration_since(self.since.unwrap_or(now));
        if self
            .max_elapsed
            .is_some_and(|max| elapsed.saturating_add(delay) > max)
        {
            return Next::GiveUp;
        }
        Next::Wait(delay)
    }

    /// The reconnection time that an asked-for one comes to.
    pub(super) fn clamped(&self, time: Duration) -> Duration {
        time.clamp(self.min, self.max.max(self.min))
    }

    fn delay(&self, retry_after: Option<Duration>, random: &mut Random) -> Duration {
        let max = self.max.max(self.min);
        let time = self.clamped(self.reconnection_time);
        let grown = time.saturating_mul(2_u32.saturating_pow(self.failures));
        let least = retry_after.map_or(time, |asked| time.max(asked.min(max)));
        if !self.jitter {
            return least.max(grown.min(max));
        }
        // Where the least wait leaves no room below the maximum, the spread goes above it: without
        // one, all that were told the same wait would come back in the same instant.
        let spread = grown.min(max - least).max(least / 3);
        least.saturating_add(random.up_to(spread))
    }
}

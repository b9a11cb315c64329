//! The client in virtual time: waits are noted and take none.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::clock::{Clock, Random};
use super::closer::Control;
use super::*;

/// A clock that only waits move, and the test.
#[derive(Clone, Debug)]
struct VirtualClock(Arc<Mutex<Timeline>>);

#[derive(Debug)]
struct Timeline {
    now: Instant,
    waits: Vec<Duration>,
}

impl VirtualClock {
    fn new() -> Self {
        let now = Instant::now();
        let waits = Vec::new();
        VirtualClock(Arc::new(Mutex::new(Timeline { now, waits })))
    }

    fn lock(&self) -> MutexGuard<'_, Timeline> {
        self.0.lock().unwrap()
    }

    fn pass(&self, time: Duration) {
        self.lock().now += time;
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.lock().now
    }

    fn wait(&self, delay: Duration, _: &Control) {
        let mut timeline = self.lock();
        timeline.now += delay;
        timeline.waits.push(delay);
    }
}

/// What one attempt comes to.
#[derive(Clone, Copy)]
enum Attempt {
    Refused,
    Status(u16, Option<Duration>),
    /// A body, how long it lasts, and whether it fails in the end.
    Stream(&'static str, Duration, bool),
}
use Attempt::{Refused, Status, Stream};

const NOTHING: Attempt = Stream("", Duration::ZERO, false);
const SECOND: Duration = Duration::from_secs(1);

/// A body that lasts for a while.
struct Body {
    text: io::Cursor<&'static str>,
    lasts: Duration,
    fails: bool,
    clock: VirtualClock,
}

impl io::Read for Body {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("a reader uses fill_buf")
    }
}

impl io::BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.text.get_ref().len() as u64 == self.text.position() {
            self.clock.pass(std::mem::take(&mut self.lasts));
            if self.fails {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        self.text.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.text.consume(length);
    }
}

type Connector = Box<dyn FnMut(&Request<'_>) -> Result<Response<Body>, ConnectError>>;

/// A client whose attempts follow the script, then find a 204.
fn client(script: impl IntoIterator<Item = Attempt>) -> (EventSource<Connector>, VirtualClock) {
    let script: Vec<Attempt> = script.into_iter().collect();
    let mut script = script.into_iter();
    let clock = VirtualClock::new();
    let time = clock.clone();
    let connect: Connector = Box::new(move |_| {
        let body = |text, lasts, fails| Body {
            text: io::Cursor::new(text),
            lasts,
            fails,
            clock: time.clone(),
        };
        let nothing = body("", Duration::ZERO, false);
        match script.next().unwrap_or(Status(204, None)) {
            Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Status(status, after) => Ok(Response::new(status, "", nothing).with_retry_after(after)),
            Stream(text, lasts, fails) => Ok(Response::new(
                200,
                "text/event-stream",
                body(text, lasts, fails),
            )),
        }
    });
    let mut source = EventSource::with_connect(connect);
    source.clock = Box::new(clock.clone());
    source.random = Random::seeded(4);
    (source, clock)
}

/// The waits of the whole script, without jitter.
fn waits(script: impl IntoIterator<Item = Attempt>) -> Vec<Duration> {
    waits_of(script, |source| source)
}

fn waits_of(
    script: impl IntoIterator<Item = Attempt>,
    set: impl FnOnce(EventSource<Connector>) -> EventSource<Connector>,
) -> Vec<Duration> {
    let (source, clock) = client(script);
    let source = set(source.with_jitter(false));
    source.for_each(drop);
    clock.lock().waits.clone()
}

fn seconds(numbers: &[u64]) -> Vec<Duration> {
    numbers.iter().map(|n| Duration::from_secs(*n)).collect()
}

#[test]
fn a_lost_connection_waits_for_the_reconnection_time() {
    let lost = Stream("data: x\n\n", Duration::ZERO, false);
    assert_eq!(waits([lost]), seconds(&[3]));
}

#[test]
fn each_failure_in_a_row_doubles_the_wait_up_to_the_maximum() {
    let expected = seconds(&[6, 12, 24, 48, 96, 192, 300, 300]);
    assert_eq!(waits([Refused; 8]), expected);
}

#[test]
fn the_wait_does_not_overflow_after_any_number_of_failures() {
    assert_eq!(
        waits([Refused; 5_000]).last(),
        Some(&Duration::from_secs(300))
    );
}

#[test]
fn accepted_and_dropped_at_once_is_a_failure() {
    assert_eq!(waits([NOTHING; 3]), seconds(&[6, 12, 24]));
    let comment = Stream(": hello\n\nid: 1\n\n", SECOND, true);
    assert_eq!(waits([comment; 3]), seconds(&[6, 12, 24]));
}

#[test]
fn a_server_that_is_polled_is_no_failure() {
    let polled = Stream("data: x\n\n", Duration::ZERO, false);
    assert_eq!(waits([polled; 4]), seconds(&[3, 3, 3, 3]));
}

#[test]
fn five_seconds_are_healthy_without_an_event() {
    let almost = Stream("", Duration::from_millis(4_999), true);
    let silent = Stream("", 5 * SECOND, true);
    let script = [Refused, Refused, silent, almost, silent];
    assert_eq!(waits(script), seconds(&[6, 12, 3, 6, 3]));
}

#[test]
fn what_is_healthy_can_be_set() {
    let event = Stream("data: x\n\n", SECOND, false);
    let set = |source: EventSource<_>| source.with_healthy_after(2 * SECOND, false);
    let lasting = Stream("data: x\n\n", 2 * SECOND, false);
    assert_eq!(waits_of([event, event, lasting], set), seconds(&[6, 12, 3]));
}

#[test]
fn the_servers_retry_holds_over_connections_and_failures() {
    let asks = Stream("retry: 1000\n\ndata: x\n\n", Duration::ZERO, false);
    let plain = Stream("data: y\n\n", Duration::ZERO, false);
    let script = [asks, Refused, Refused, plain, NOTHING];
    assert_eq!(waits(script), seconds(&[1, 2, 4, 1, 2]));
}

#[test]
fn a_retry_in_an_unfinished_block_counts() {
    let asks = Stream("data: x\n\nretry: 1000\ndata: lost", Duration::ZERO, false);
    assert_eq!(waits([asks]), seconds(&[1]));
}

#[test]
fn a_retry_out_of_bounds_is_clamped() {
    let hot = Stream("retry: 0\n\ndata: x\n\n", Duration::ZERO, false);
    assert_eq!(waits([hot]), [Duration::from_millis(100)]);
    let never = Stream(
        "retry: 99999999999999999999\n\ndata: x\n\n",
        Duration::ZERO,
        false,
    );
    assert_eq!(waits([never, Refused]), seconds(&[300, 300]));
}

#[test]
fn the_limits_can_be_set() {
    let set = |source: EventSource<_>| {
        source
            .with_reconnection_time(SECOND)
            .with_reconnection_limits(2 * SECOND, 7 * SECOND)
    };
    assert_eq!(waits_of([Refused; 3], set), seconds(&[4, 7, 7]));
    let reversed = |source: EventSource<_>| source.with_reconnection_limits(4 * SECOND, 2 * SECOND);
    assert_eq!(waits_of([Refused; 2], reversed), seconds(&[4, 4]));
}

#[test]
fn the_reconnection_time_that_holds_is_shown() {
    let (mut source, _) = client([Stream("retry: 1\ndata: x\n\n", Duration::ZERO, false)]);
    assert_eq!(source.reconnection_time(), 3 * SECOND);
    assert!(source.next_event().unwrap().is_some());
    assert_eq!(source.reconnection_time(), Duration::from_millis(100));
    assert!(source.next_event().unwrap().is_none());
    assert_eq!(source.reconnection_time(), Duration::from_millis(100));
}

#[test]
fn retry_after_is_the_least_wait_for_a_status_that_is_tried_again() {
    let busy = |after: u64| Status(503, Some(Duration::from_secs(after)));
    let set = |source: EventSource<_>| source.with_retried_statuses(TRANSIENT_STATUSES);
    let script = [busy(60), busy(1), busy(3_600), Status(429, None)];
    assert_eq!(waits_of(script, set), seconds(&[60, 12, 300, 48]));
}

#[test]
fn jitter_adds_between_nothing_and_as_much_again_doubled_with_each_failure() {
    let mut least = [Duration::MAX; 5];
    let mut most = [Duration::ZERO; 5];
    for seed in 0..500 {
        let healthy = Stream("data: x\n\n", Duration::ZERO, false);
        let (mut source, clock) = client([healthy, Refused, Refused, Refused, Refused]);
        source.random = Random::seeded(seed);
        source = source.with_reconnection_limits(SECOND, 20 * SECOND);
        source.for_each(drop);
        for (n, wait) in clock.lock().waits.iter().enumerate() {
            least[n] = least[n].min(*wait);
            most[n] = most[n].max(*wait);
        }
    }
    // 3 s + U(0, min(3 s x 2^n, 17 s)), seen from 500 clients.
    for (n, spread) in [3, 6, 12, 17, 17].into_iter().enumerate() {
        let spread = Duration::from_secs(spread);
        assert!(least[n] >= 3 * SECOND && least[n] < 3 * SECOND + spread / 20);
        assert!(most[n] <= 3 * SECOND + spread && most[n] > 3 * SECOND + spread * 19 / 20);
    }
}

#[test]
fn the_servers_retry_is_the_least_wait_with_jitter_too() {
    let asks = Stream("retry: 10000\n\ndata: x\n\n", Duration::ZERO, false);
    for seed in 0..200 {
        let (mut source, clock) = client([asks, Refused, Refused]);
        source.random = Random::seeded(seed);
        source.for_each(drop);
        let waits = &clock.lock().waits;
        for (wait, most) in waits.iter().zip([20, 30, 50]) {
            assert!((10 * SECOND..=most * SECOND).contains(wait), "{waits:?}");
        }
    }
}

#[test]
fn retry_after_is_the_least_wait_with_jitter_too() {
    let busy = |after: u64| Status(503, Some(Duration::from_secs(after)));
    for seed in 0..200 {
        let (mut source, clock) = client([busy(60), busy(299), busy(3_600)]);
        source.random = Random::seeded(seed);
        source = source.with_retried_statuses([503]);
        source.for_each(drop);
        let waits = &clock.lock().waits;
        // What asks for more than the maximum gets that, and a third of it at most.
        for (wait, (least, most)) in waits.iter().zip([(60, 80), (299, 399), (300, 400)]) {
            assert!((least * SECOND..=most * SECOND).contains(wait), "{waits:?}");
        }
    }
}

#[test]
fn retry_after_holds_for_one_wait_alone() {
    let set = |source: EventSource<_>| source.with_retried_statuses([503]);
    let busy = Status(503, Some(60 * SECOND));
    assert_eq!(waits_of([busy, Refused], set), seconds(&[60, 12]));
}

#[test]
fn a_retry_after_beyond_the_longest_outage_is_not_waited_for() {
    let set = |source: EventSource<_>| {
        source
            .with_retried_statuses([503])
            .with_max_elapsed(59 * SECOND)
    };
    assert_eq!(waits_of([Status(503, Some(60 * SECOND))], set), []);
}

#[test]
fn jitter_exceeds_the_maximum_by_a_third_at_most() {
    for seed in 0..200 {
        let (mut source, clock) = client([Refused; 20]);
        source.random = Random::seeded(seed);
        source = source.with_reconnection_limits(SECOND, 9 * SECOND);
        source.for_each(drop);
        let waits = &clock.lock().waits;
        assert!(waits.iter().all(|wait| *wait <= 12 * SECOND), "{waits:?}");
    }
}

/// The busiest second of the one wait that this script comes to, for 10,000 clients, and what it would
/// be if they came back evenly over that time.
fn busiest_second(
    script: Attempt,
    set: impl Fn(EventSource<Connector>) -> EventSource<Connector>,
) -> (usize, f64) {
    const CLIENTS: u64 = 10_000;
    let waits: Vec<Duration> = (0..CLIENTS)
        .map(|seed| {
            let (mut source, clock) = client([script]);
            source.random = Random::seeded(seed);
            set(source).for_each(drop);
            let waits = &clock.lock().waits;
            assert_eq!(waits.len(), 1);
            waits[0]
        })
        .collect();
    let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(
        *last - *first >= *last / 4 - *last / 100,
        "a quarter of the wait is random"
    );
    let mut seconds = std::collections::BTreeMap::new();
    for wait in &waits {
        *seconds.entry((*wait - *first).as_secs()).or_insert(0) += 1;
    }
    let busiest = seconds.into_values().max().unwrap();
    (
        busiest,
        CLIENTS as f64 / (*last - *first).as_secs_f64().max(1.0),
    )
}

#[test]
fn ten_thousand_clients_are_spread_over_every_wait_there_is() {
    let retry = |text| Stream(text, Duration::ZERO, false);
    for script in [
        // As long as it may be, at the server's wish in either way, and in between.
        Status(503, Some(Duration::from_secs(300))),
        Status(503, Some(Duration::from_secs(86_400))),
        Status(503, Some(Duration::from_secs(60))),
        retry("retry: 300000\ndata: x\n\n"),
        retry("retry: 999999999\ndata: x\n\n"),
        retry("retry: 20000\ndata: x\n\n"),
        Refused,
    ] {
        let set = |source: EventSource<_>| source.with_retried_statuses([503]);
        let (busiest, mean) = busiest_second(script, set);
        assert!(
            busiest as f64 <= 2.0 * mean,
            "{busiest} clients, {mean} on the mean"
        );
    }
}

#[test]
fn ten_thousand_clients_come_back_evenly_spread() {
    // A server that dies takes all of them at once, and refuses the first two attempts.
    const CLIENTS: u64 = 10_000;
    let mut buckets = [[0_u64; 20]; 3];
    for seed in 0..CLIENTS {
        let healthy = Stream("data: x\n\n", Duration::ZERO, false);
        let (mut source, clock) = client([healthy, Refused, Refused]);
        source.random = Random::seeded(seed);
        source.for_each(drop);
        for (n, wait) in clock.lock().waits.iter().enumerate() {
            let spread = 3 * SECOND * (1 << n);
            let bucket = (*wait - 3 * SECOND).as_nanos() * 20 / spread.as_nanos();
            buckets[n][usize::try_from(bucket).unwrap().min(19)] += 1;
        }
    }
    // 500 are expected in each twentieth of the spread; five standard deviations are 109.
    for buckets in buckets {
        assert!(
            buckets.iter().all(|n| (391..=609).contains(n)),
            "{buckets:?}"
        );
    }
}

#[test]
fn gives_up_after_so_many_failures_in_a_row() {
    let event = Stream("data: x\n\n", Duration::ZERO, false);
    let (source, clock) = client([Refused, Refused, event, NOTHING, Refused, Refused]);
    let mut source = source.with_jitter(false).with_max_attempts(3);
    assert_eq!(source.next_event().unwrap().unwrap().data, "x");
    let error = source.next_event().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RetriesExhausted);
    assert_eq!(error.to_string(), "gave up after 3 failed attempts");
    let last = std::error::Error::source(&error).unwrap();
    assert_eq!(last.to_string(), "cannot connect");
    assert_eq!(last.source().unwrap().to_string(), "connection refused");
    assert_eq!(clock.lock().waits, seconds(&[6, 12, 3, 6, 12]));
    assert!(source.next_event().unwrap().is_none());
}

#[test]
fn a_limit_of_no_attempts_never_connects_again() {
    let (source, clock) = client([Stream("data: x\n\n", 60 * SECOND, true)]);
    let mut source = source.with_max_attempts(0);
    assert!(source.next_event().unwrap().is_some());
    let error = source.next_event().unwrap_err();
    assert_eq!(error.to_string(), "gave up after the connection was lost");
    assert_eq!(clock.lock().waits, []);
}

#[test]
fn gives_up_when_the_outage_would_last_too_long() {
    let set = |source: EventSource<_>| source.with_max_elapsed(20 * SECOND);
    // 6 + 12 are 18 s; with the next 24 it would be too late.
    assert_eq!(waits_of([Refused; 9], set), seconds(&[6, 12]));
    let set = |source: EventSource<_>| source.with_max_elapsed(18 * SECOND);
    assert_eq!(waits_of([Refused; 9], set), seconds(&[6, 12]));
    let set = |source: EventSource<_>| source.with_max_elapsed(20 * SECOND);
    // It counts from the loss of the last healthy connection, however long that had been open.
    let healthy = Stream("", 1_000 * SECOND, true);
    let script = [Refused, healthy, Refused, Refused, Refused];
    assert_eq!(waits_of(script, set), seconds(&[6, 3, 6]));
}

#[test]
fn a_finite_stream_is_asked_for_again_only_while_nothing_comes_twice() {
    let cut = Stream("data: half\n\n", Duration::ZERO, true);
    let (source, clock) = client([Refused, Stream("", Duration::ZERO, true), cut]);
    let mut source = source.with_finite(true);
    assert_eq!(source.next_event().unwrap().unwrap().data, "half");
    let error = source.next_event().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert_eq!(clock.lock().waits.len(), 2);

    let first = Stream("id: 1\ndata: half\n\n", Duration::ZERO, true);
    let rest = Stream("data: the rest\n\n", Duration::ZERO, false);
    let (source, _) = client([first, rest]);
    let mut source = source.with_finite(true);
    assert_eq!(source.next_event().unwrap().unwrap().data, "half");
    assert_eq!(source.next_event().unwrap().unwrap().data, "the rest");
    assert!(source.next_event().unwrap().is_none());
    assert!(matches!(
        source.closer().state(),
        State::Closed(Ending::Finished)
    ));
}

/// Gives a byte every other second, without end.
struct Trickle(VirtualClock);

impl io::Read for Trickle {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("its start is read with fill_buf")
    }
}

impl io::BufRead for Trickle {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.pass(2 * SECOND);
        Ok(b"x")
    }

    fn consume(&mut self, _: usize) {}
}

#[test]
fn what_a_refusal_says_is_read_for_5_seconds_at_most() {
    let clock = VirtualClock::new();
    let start = body::start(Trickle(clock.clone()), &Control::new(), &clock);
    assert_eq!(start, b"xxx");
}

#[test]
fn the_last_event_id_outlives_a_thousand_connections() {
    let healthy = Stream("id: 1\ndata: x\n\n", Duration::ZERO, false);
    let (mut source, clock) = client(std::iter::repeat_n(healthy, 1_000));
    source.by_ref().for_each(drop);
    assert_eq!(clock.lock().waits.len(), 1_000);
    assert_eq!(source.last_event_id(), "1");
}

//! A hub under publishers that never tire and subscribers that come and go.
//!
//! In rounds, each with a hub of other limits. What was published is remembered by sequence, so that
//! each subscriber can tell for every event it did not get whether it should have.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::hub::{
    Ending, Frame, GapPolicy, LagPolicy, RecvError, Resumption, SubscribeError, Subscription,
};
use sse_io::{Event, Heartbeat, Hub, Reader, ResponseHead};

use crate::rng::Rng;
use crate::{Result, duration};

const PUBLISHERS: u64 = 8;
const SUBSCRIBERS: u64 = 200;
const ROUND: Duration = Duration::from_secs(10);

/// Nothing takes this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// How much the process may grow after its first rounds: far less than what it publishes in one.
const GROWTH: u64 = 32 << 20;

/// The topics that subscribers name. Others are published to as well.
const TOPICS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// The audience of an event that is for everyone; otherwise there is a bit for each topic.
const EVERYONE: u64 = 1 << TOPICS.len();

/// How many events are remembered: many times what a log has.
const REMEMBERED: usize = 1 << 20;

/// A slow subscriber does not read for so many events at most: more than some of the logs have.
const DAWDLE: u64 = 1024;

/// The limits of a round's hub.
struct Limits {
    events: usize,
    bytes: usize,
    age: Option<Duration>,
}

const LIMITS: [Limits; 3] = [
    Limits {
        events: 512,
        bytes: 8 << 20,
        age: None,
    },
    Limits {
        events: 1 << 20,
        bytes: 256 << 10,
        age: None,
    },
    Limits {
        events: 4096,
        bytes: 8 << 20,
        age: Some(Duration::from_millis(50)),
    },
];

/// Rounds without a word, for so long, beside whatever else the process does.
pub(crate) fn rounds(time: Duration) -> Result<Tally> {
    let over = Instant::now() + time;
    let mut total = Tally::default();
    for round in 0.. {
        let left = over.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        total += go_round(round, &LIMITS[round % LIMITS.len()], left.min(ROUND))?;
    }
    Ok(total)
}

pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let mut left = duration(arguments)?;
    let threads = threads()?;
    let mut total = Tally::default();
    let mut resident = Vec::new();
    let mut round = 0;
    while !left.is_zero() {
        let time = left.min(ROUND);
        left -= time;
        let tally = go_round(round, &LIMITS[round % LIMITS.len()], time)?;
        wait_for_threads(threads)?;
        resident.push(resident_bytes()?);
        println!(
            "{:>4} {tally}, {} KiB resident",
            round + 1,
            resident[round] >> 10
        );
        total += tally;
        round += 1;
    }
    println!("{round} rounds: {total}: no hole untold, none doubled, all in order");
    // Until each kind of hub was there, the process grows.
    let first = resident.iter().take(2 * LIMITS.len()).max();
    match (first, resident.last()) {
        (Some(first), Some(last)) if *last > first + GROWTH => {
            Err(format!("memory grew from {first} to {last} bytes").into())
        }
        _ => Ok(()),
    }
}

/// What a round, or all of them, came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) published: u64,
    visits: u64,
    served: u64,
    pub(crate) received: u64,
    /// How often a gap was told at the start, and a lag later on.
    pub(crate) gaps: u64,
    pub(crate) lags: u64,
    /// How many events were said to be missed at most, and how many were.
    told: u64,
    missed: u64,
    /// Gaps so old that nobody remembers what was in them.
    forgotten: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.published += other.published;
        self.visits += other.visits;
        self.served += other.served;
        self.received += other.received;
        self.gaps += other.gaps;
        self.lags += other.lags;
        self.told += other.told;
        self.missed += other.missed;
        self.forgotten += other.forgotten;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} published, {} received in {} visits ({} over sockets), {} gaps and {} lags told \
             ({} events at most, {} in truth, {} too old to tell)",
            self.published,
            self.received,
            self.visits,
            self.served,
            self.gaps,
            self.lags,
            self.told,
            self.missed,
            self.forgotten
        )
    }
}

/// What all threads of a round know.
struct Round {
    hub: Hub,
    stop: AtomicBool,
    /// For each sequence, modulo, itself and the event's audience.
    audiences: Vec<AtomicU64>,
    /// How many events were published, about.
    progress: Mutex<u64>,
    progressed: Condvar,
    /// An id of this hub.
    sample: String,
}

impl Round {
    fn remember(&self, sequence: u64, audience: u64) {
        self.slot(sequence)
            .store(sequence << 16 | audience, Ordering::Release);
    }

    /// Whom an event was for; waits for its publisher to say so. None when that is long ago.
    fn audience(&self, sequence: u64) -> Option<u64> {
        loop {
            let known = self.slot(sequence).load(Ordering::Acquire);
            match (known >> 16).cmp(&sequence) {
                std::cmp::Ordering::Equal => return Some(known & 0xffff),
                std::cmp::Ordering::Greater => return None,
                std::cmp::Ordering::Less => thread::yield_now(),
            }
        }
    }

    fn slot(&self, sequence: u64) -> &AtomicU64 {
        let index = usize::try_from(sequence).expect("64 bits") % self.audiences.len();
        &self.audiences[index]
    }

    fn id(&self, sequence: u64) -> String {
        format!("{}{sequence:016x}", &self.sample[..17])
    }

    /// The sequence in an id, which is this hub's.
    fn sequence(&self, id: &str) -> u64 {
        assert_eq!(id.len(), 33, "{id}");
        assert_eq!(id[..17], self.sample[..17]);
        u64::from_str_radix(&id[17..], 16).expect("digits")
    }

    fn advance(&self, by: u64) {
        *self.progress.lock().expect("no panic") += by;
        self.progressed.notify_all();
    }

    /// Does nothing until so many more events are published, or the round is over.
    fn dawdle(&self, events: u64) {
        let progress = self.progress.lock().expect("no panic");
        let until = *progress + events;
        let going = |progress: &mut u64| *progress < until && !self.stop.load(Ordering::Relaxed);
        drop(
            self.progressed
                .wait_while(progress, going)
                .expect("no panic"),
        );
    }
}

fn go_round(round: usize, limits: &Limits, time: Duration) -> Result<Tally> {
    let builder = Hub::builder()
        .with_max_events(limits.events)
        .with_max_bytes(limits.bytes);
    let hub = match limits.age {
        Some(age) => builder.with_max_age(age).build(),
        None => builder.build(),
    };
    let sample = hub.publish(&event(EVERYONE, 0))?.to_string();
    let shared = Arc::new(Round {
        hub,
        stop: AtomicBool::new(false),
        audiences: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
        progress: Mutex::new(0),
        progressed: Condvar::new(),
        sample,
    });
    shared.remember(1, EVERYONE);
    let seed = |number: u64| Rng(round as u64 * 1000 + number);

    let (done, ended) = mpsc::channel::<Result<Tally>>();
    for number in 0..PUBLISHERS + SUBSCRIBERS {
        let (shared, rng) = (Arc::clone(&shared), seed(number));
        let done = done.clone();
        thread::Builder::new().spawn(move || {
            // A panic drops it unsent, which is noticed below.
            let result = match number < PUBLISHERS {
                true => publish(&shared, rng),
                false => stay(&shared, rng),
            };
            drop(shared);
            let _ = done.send(result);
        })?;
    }
    drop(done);
    let mut tally = Tally::default();
    let mut left = PUBLISHERS + SUBSCRIBERS;
    let over = Instant::now() + time;
    // Only a failure ends a thread before its time.
    if let Ok(early) = ended.recv_timeout(over.saturating_duration_since(Instant::now())) {
        early?;
        return Err("a thread has ended too early".into());
    }
    shared.stop.store(true, Ordering::Relaxed);
    shared.advance(0);
    while left > 0 {
        let one = ended.recv_timeout(DEADLINE).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => format!("{left} threads hang"),
            mpsc::RecvTimeoutError::Disconnected => format!("{left} threads have panicked"),
        })?;
        tally += one?;
        left -= 1;
        if left == SUBSCRIBERS {
            // The publishers: nobody else ends before the hub does.
            shared.hub.close();
        }
    }
    let stats = shared.hub.stats();
    tally.published = stats.published;
    assert_eq!(stats.subscribers, 0);
    assert!(stats.events <= limits.events && stats.bytes <= limits.bytes);
    Ok(tally)
}

/// An event that tells whom it is for.
fn event(audience: u64, filler: usize) -> Event<'static> {
    Event::new(format!("{audience}\n{}", "x".repeat(filler)))
}

/// Publishes until the round is over, in bursts.
fn publish(round: &Round, mut rng: Rng) -> Result<Tally> {
    let mut jobs = 0;
    while !round.stop.load(Ordering::Relaxed) {
        let burst = rng.below(32) as u64;
        for _ in 0..burst {
            let filler = match rng.below(64) {
                0 => rng.below(20_000),
                _ => rng.below(100),
            };
            let (first, second) = (rng.below(TOPICS.len()), rng.below(TOPICS.len()));
            let (audience, id) = match rng.below(8) {
                0 => (EVERYONE, round.hub.publish(&event(EVERYONE, filler))?),
                1 => {
                    // A topic of one event, which only those get that name none.
                    jobs += 1;
                    let topic = format!("job {jobs}");
                    (0, round.hub.publish_to([topic], &event(0, filler))?)
                }
                2 => {
                    let audience = 1 << first | 1 << second;
                    let topics = [TOPICS[first], TOPICS[second]];
                    (
                        audience,
                        round.hub.publish_to(topics, &event(audience, filler))?,
                    )
                }
                _ => {
                    let audience = 1 << first;
                    let event = event(audience, filler);
                    (audience, round.hub.publish_to([TOPICS[first]], &event)?)
                }
            };
            round.remember(round.sequence(id.as_str()), audience);
        }
        round.advance(burst);
        // Paces the load; nothing waits for this.
        thread::sleep(Duration::from_micros(rng.below(10_000) as u64));
    }
    Ok(Tally::default())
}

/// What a subscription is to get.
#[derive(Clone, Copy, Debug)]
struct Interest {
    /// A bit for each topic; None for all.
    topics: Option<u64>,
    /// The filter lets only even sequences pass.
    even: bool,
}

impl Interest {
    fn random(rng: &mut Rng) -> Self {
        let mut topics = None;
        if rng.below(3) > 0 {
            topics = Some((0..=rng.below(3)).fold(0, |set, _| set | 1 << rng.below(TOPICS.len())));
        }
        Interest {
            topics,
            even: rng.below(8) == 0,
        }
    }

    fn takes(self, sequence: u64, audience: u64) -> bool {
        let wanted = self
            .topics
            .is_none_or(|topics| audience & (topics | EVERYONE) != 0);
        wanted && !(self.even && sequence % 2 == 1)
    }
}

/// Follows what one subscription gets.
struct Watch<'a> {
    round: &'a Round,
    interest: Interest,
    /// What comes next is behind this.
    last: u64,
    /// Everything behind this is to come, but for what is told.
    whole: u64,
    /// So many events may be missing in front of the next one; None for any number.
    told: Option<u64>,
    tally: Tally,
}

impl Watch<'_> {
    fn tell(&mut self, missed: Option<u64>) {
        self.told = self.told.zip(missed).map(|(told, missed)| told + missed);
    }

    fn lagged(&mut self, missed: u64) {
        assert!(missed > 0);
        self.tally.lags += 1;
        self.tell(Some(missed));
    }

    fn got(&mut self, id: &str, data: &str) {
        let sequence = self.round.sequence(id);
        assert!(sequence > self.last, "{sequence} after {}", self.last);
        let audience = data.lines().next().and_then(|line| line.parse().ok());
        let audience: u64 = audience.expect("the audience");
        assert!(
            self.interest.takes(sequence, audience),
            "{:?}",
            self.interest
        );
        self.account(sequence);
        self.last = sequence;
        self.whole = sequence;
        self.tally.received += 1;
    }

    /// Checks that all before this sequence came, or was told to be missing.
    fn account(&mut self, sequence: u64) {
        // Where any number may be missing there is nothing to check.
        if let Some(told) = self.told.replace(0) {
            let mut missed = 0;
            for absent in self.whole + 1..sequence {
                let Some(audience) = self.round.audience(absent) else {
                    assert!(told > 0, "a hole that was not told");
                    self.tally.forgotten += 1;
                    return;
                };
                missed += u64::from(self.interest.takes(absent, audience));
            }
            let (whole, interest) = (self.whole, self.interest);
            assert!(
                missed <= told,
                "{missed} missing in {whole}..{sequence}, {told} told: {interest:?}"
            );
            self.tally.told += told;
            self.tally.missed += missed;
        }
    }

    /// The hub has ended, and this subscription got it all.
    fn ended(&mut self) {
        assert!(self.round.hub.is_closed());
        let published = self.round.hub.stats().published;
        self.account(published + 1);
    }
}

/// Joins and leaves until the hub is closed.
fn stay(round: &Arc<Round>, mut rng: Rng) -> Result<Tally> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut last = 0;
    let mut tally = Tally::default();
    while let Some((subscription, mut watch)) = join(round, &mut rng, last)? {
        watch.tally.visits += 1;
        match rng.below(2) {
            0 => receive(subscription, &mut watch, &mut rng),
            _ => serve(round, &listener, subscription, &mut watch, &mut rng)?,
        }
        last = watch.last;
        tally += watch.tally;
    }
    Ok(tally)
}

/// Subscribes with a random id. None when the hub is closed.
fn join<'a>(
    round: &'a Arc<Round>,
    rng: &mut Rng,
    last: u64,
) -> Result<Option<(Subscription, Watch<'a>)>> {
    let before = round.hub.stats().published;
    let sequence = match rng.below(16) {
        // As new, and somebody else's.
        0 | 1 => None,
        2 => Some(u64::MAX),
        3 => Some(before.saturating_sub(rng.below(20_000) as u64)),
        4 => Some(before),
        _ => Some(last),
    };
    let id = match sequence {
        None => String::new(),
        Some(u64::MAX) if rng.below(2) == 0 => "nonsense".into(),
        Some(u64::MAX) => format!("{:016x}-{:016x}", rng.next(), last),
        Some(sequence) => round.id(sequence),
    };
    let interest = Interest::random(rng);
    let gap = [GapPolicy::Replay, GapPolicy::Live, GapPolicy::Refuse][rng.below(3)];
    let lag = [LagPolicy::End, LagPolicy::Skip][rng.below(2)];
    let mut subscribe = round
        .hub
        .subscribe()
        .with_last_event_id(id)
        .with_gap_policy(gap)
        .with_lag_policy(lag)
        .with_gap_event(Event::new("").with_name("gap"))
        .with_replay(rng.below(100));
    if let Some(topics) = interest.topics {
        let all = TOPICS.iter().enumerate();
        subscribe = subscribe.with_topics(all.filter(|(n, _)| topics >> n & 1 == 1).map(|t| t.1));
    }
    if interest.even {
        let round = Arc::downgrade(round);
        subscribe = subscribe.with_filter(move |frame: &Frame| {
            let round = round
                .upgrade()
                .expect("the round outlasts its subscriptions");
            round.sequence(frame.id().expect("an id")) % 2 == 0
        });
    }
    let mut watch = Watch {
        round,
        interest,
        last: 0,
        whole: 0,
        told: Some(0),
        tally: Tally::default(),
    };
    let subscription = match subscribe.start() {
        Ok(subscription) => subscription,
        Err(SubscribeError::Closed) => return Ok(None),
        Err(SubscribeError::Gap { .. }) if gap == GapPolicy::Refuse => {
            // A client would start anew.
            return join(round, rng, before);
        }
        Err(other) => return Err(other.into()),
    };
    let after = round.hub.stats().published;
    match (*subscription.resumption(), sequence) {
        // What came between the start and the count may come or not.
        (Resumption::New, None) => watch.whole = after,
        (Resumption::CaughtUp | Resumption::Resumed { .. }, Some(sequence))
            if sequence < u64::MAX =>
        {
            watch.last = sequence;
            watch.whole = sequence;
        }
        (Resumption::Gap { missed, .. }, Some(sequence)) => {
            watch.tally.gaps += 1;
            assert_eq!(missed.is_none(), sequence == u64::MAX);
            match (gap, missed) {
                (GapPolicy::Live, _) => (watch.last, watch.whole) = (before, after),
                (_, None) => watch.tell(None),
                (_, missed) => {
                    watch.last = sequence;
                    watch.whole = sequence;
                    watch.tell(missed);
                }
            }
        }
        other => return Err(format!("{other:?}").into()),
    }
    Ok(Some((subscription, watch)))
}

/// Receives for a while.
fn receive(mut subscription: Subscription, watch: &mut Watch<'_>, rng: &mut Rng) {
    for _ in 0..rng.below(600) {
        if rng.below(256) == 0 {
            watch.round.dawdle(rng.next() % DAWDLE);
        }
        let result = match rng.below(4) {
            0 => subscription.try_recv(),
            1 => subscription.recv_timeout(Duration::from_micros(rng.below(2_000) as u64)),
            _ => subscription.recv().map(Some),
        };
        match result {
            Ok(Some(frame)) => {
                let mut reader = Reader::new(frame.as_bytes());
                let event = reader.read_event().expect("a slice").expect("an event");
                match event.event_type() {
                    "gap" => assert!(matches!(subscription.resumption(), Resumption::Gap { .. })),
                    _ => watch.got(frame.id().expect("an id"), &event.data),
                }
            }
            Ok(None) => {}
            Err(RecvError::Lagged { missed, .. }) => watch.lagged(missed),
            Err(RecvError::Closed) => return watch.ended(),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// A connection whose peer does not read at times.
struct Slow {
    stream: TcpStream,
    round: Arc<Round>,
    rng: Rng,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.rng.below(128) == 0 {
            self.round.dawdle(self.rng.next() % DAWDLE);
        }
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Is served over a connection for a while.
fn serve(
    round: &Arc<Round>,
    listener: &TcpListener,
    mut subscription: Subscription,
    watch: &mut Watch<'_>,
    rng: &mut Rng,
) -> Result<()> {
    watch.tally.served += 1;
    let client = TcpStream::connect(listener.local_addr()?)?;
    client.set_read_timeout(Some(DEADLINE))?;
    let (stream, _) = listener.accept()?;
    let writer = Slow {
        stream,
        round: Arc::clone(round),
        rng: rng.clone(),
    };
    let emitter = ResponseHead::for_version(1, 0).start(writer)?;
    let closer = emitter.clone();
    let heartbeat = Heartbeat::every(Duration::from_millis(50));
    let mut gap_at_start = matches!(subscription.resumption(), Resumption::Gap { .. });
    let server = thread::Builder::new().spawn(move || {
        let ended = subscription.serve(&emitter, heartbeat);
        emitter.close();
        (ended, subscription)
    })?;

    let mut connection = BufReader::new(&client);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        connection.read_line(&mut line)?;
    }
    let mut reader = Reader::new(connection);
    let mut left = 1 + rng.below(600);
    let close = rng.below(2) == 0;
    let mut closed = false;
    let mut whole = false;
    loop {
        if left == 0 {
            if !close {
                break;
            }
            // What is on its way still comes.
            closer.close();
            closed = true;
        }
        left = left.wrapping_sub(1);
        let Some(event) = reader.read_event()? else {
            whole = true;
            break;
        };
        if event.event_type() == "gap" {
            assert!(event.id.is_none());
            if !std::mem::take(&mut gap_at_start) {
                // How much is missing, the client is not told.
                watch.tally.lags += 1;
                watch.tell(None);
            }
            continue;
        }
        let id = event.id.as_deref().expect("an id");
        watch.got(id, &event.data);
    }
    drop(reader);
    drop(client);
    let (ended, subscription) = server.join().map_err(|_| "the server has panicked")?;
    match ended {
        Ending::Closed if whole && !closed => watch.ended(),
        Ending::Lagged { missed, .. } if whole && !closed => {
            // It is the same subscription still, and may go on in another way.
            watch.lagged(missed);
            receive(subscription, watch, rng);
        }
        Ending::Closed if closed || round.hub.is_closed() => {}
        Ending::Lagged { .. } | Ending::Gone(_) if closed || !whole => {}
        other => return Err(format!("{other:?}").into()),
    }
    Ok(())
}

pub(crate) fn threads() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// A thread that was waited for may stand in the list for a moment.
pub(crate) fn wait_for_threads(wanted: usize) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let threads = threads()?;
        if threads == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{threads} threads, {wanted} before").into());
        }
        thread::yield_now();
    }
}

pub(crate) fn resident_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.ok_or("no VmRSS in /proc/self/status")?.parse::<u64>()? << 10)
}

//! The servers under load: a bare `TcpListener` and `tiny_http`, both with a thread per stream, and a
//! hub whose events a fan-out sends to all.
//!
//! Streams open at once and wait at a gate until all are there. Then each emits its events at an
//! even pace, out of step with the others, as streams in the wild are; the hub publishes each event for
//! all of them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sse_io::hub::{Fanout, IdPolicy};
use sse_io::{Emitter, Event, Heartbeat, HeartbeatThread, Hub, ResponseHead, http};
use tiny_http::{HTTPVersion, Server};

/// Long enough that none is sent while we measure: what counts is the thread.
const HEARTBEAT: Duration = Duration::from_secs(600);

/// What clients ask for that never read, and the topic that fills their connections.
pub const STALLED: &str = "stalled";

const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// What serves the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Std,
    TinyHttp,
    Fanout,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        match name {
            "std" => Ok(Kind::Std),
            "tiny_http" => Ok(Kind::TinyHttp),
            "fanout" => Ok(Kind::Fanout),
            _ => Err(format!("{name} is none of: std, tiny_http, fanout")),
        }
    }
}

/// What each stream sends.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub streams: usize,
    pub events: usize,
    /// The time between two events of a stream.
    pub pace: Duration,
    /// How many clients there are beside those streams that never read.
    pub stalled: usize,
}

/// How far the run has come. Each stage is reached by all streams before the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub enum Stage {
    #[default]
    Opening,
    /// Each stream gets a heartbeat thread.
    Heartbeats,
    Emitting,
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    opened: usize,
    with_heartbeats: usize,
    failures: Vec<String>,
}

/// Where the streams wait for each other, and are counted.
#[derive(Debug)]
pub struct Gate {
    plan: Plan,
    state: Mutex<State>,
    /// The next stage has begun: what the streams wait for.
    stage_changed: Condvar,
    /// A stream has come further. Not the same as above, or each would wake all the others.
    counted: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let counted = change(&mut self.lock());
        self.counted.notify_all();
        counted
    }

    fn wait_for_stage(&self, reached: impl Fn(Stage) -> bool) -> Stage {
        self.stage_changed
            .wait_while(self.lock(), |state| !reached(state.stage))
            .unwrap_or_else(PoisonError::into_inner)
            .stage
    }

    /// Lets the streams go on.
    pub fn open(&self, stage: Stage) {
        self.lock().stage = stage;
        self.stage_changed.notify_all();
    }

    /// Waits until so many streams have started. A client may have its response's head earlier.
    pub fn wait_for_opened(&self, streams: usize) {
        self.wait_for_count(|state| state.opened >= streams);
    }

    /// Waits until so many streams have their heartbeat threads.
    pub fn wait_for_heartbeats(&self, streams: usize) {
        self.wait_for_count(|state| state.with_heartbeats >= streams);
    }

    /// Waits for a count, or for a failure, after which it may never be reached.
    fn wait_for_count(&self, reached: impl Fn(&State) -> bool) {
        let _state = self
            .counted
            .wait_while(self.lock(), |state| {
                state.failures.is_empty() && !reached(state)
            })
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// What has gone wrong so far.
    pub fn failures(&self) -> Vec<String> {
        self.lock().failures.clone()
    }
}

/// Serves streams on a free port of the loopback address, for as long as the process lives.
pub fn start(kind: Kind, plan: Plan) -> io::Result<(SocketAddr, Arc<Gate>)> {
    let gate = Arc::new(Gate {
        plan,
        state: Mutex::default(),
        stage_changed: Condvar::new(),
        counted: Condvar::new(),
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
    let for_streams = Arc::clone(&gate);
    match kind {
        Kind::Std => {
            thread::spawn(move || serve_std(&listener, &for_streams));
        }
        Kind::TinyHttp => {
            let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
            thread::spawn(move || serve_tiny_http(&server, &for_streams));
        }
        Kind::Fanout => {
            let hub = Hub::builder()
                .with_id_policy(IdPolicy::Own)
                .with_max_bytes(64 << 20)
                .build();
            let fanout = Fanout::builder().with_threads(2).build()?;
            let for_publisher = (hub.clone(), fanout.clone(), Arc::clone(&gate));
            thread::spawn(move || serve_fanout(&listener, &hub, &fanout, &for_streams));
            thread::spawn(move || {
                let (hub, fanout, gate) = for_publisher;
                gate.publish(&hub, &fanout);
            });
        }
    }
    Ok((address, gate))
}

fn serve_std(listener: &TcpListener, gate: &Arc<Gate>) {
    for connection in listener.incoming() {
        let for_stream = Arc::clone(gate);
        let spawned = connection.and_then(|connection| {
            thread::Builder::new().spawn(move || {
                for_stream.record(answer(connection, &for_stream));
            })
        });
        gate.record(spawned.map(drop));
    }
}

/// Reads the head of a request, and returns its first line.
fn read_request(connection: &TcpStream) -> io::Result<String> {
    connection.set_read_timeout(Some(WRITE_TIMEOUT))?;
    let request = BufReader::with_capacity(1024, connection.take(16 << 10));
    let mut lines = request.lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    Ok(first)
}

fn answer(connection: TcpStream, gate: &Gate) -> io::Result<()> {
    read_request(&connection)?;
    let head = ResponseHead::new().with_header("Connection", "close");
    gate.serve(&head.start(connection)?)
}

fn serve_fanout(listener: &TcpListener, hub: &Hub, fanout: &Fanout, gate: &Gate) {
    for connection in listener.incoming() {
        let answered = connection.and_then(|connection| {
            // The clients of this program send their requests at once.
            let topic = match read_request(&connection)?.contains(STALLED) {
                true => STALLED,
                false => "streams",
            };
            let head = ResponseHead::new().with_header("Connection", "close");
            let subscription = hub.subscribe().with_topics([topic]).start()?;
            let emitter = head.start(connection)?;
            let handed_over = subscription.serve_in(fanout, emitter, Heartbeat::every(HEARTBEAT));
            handed_over.map_err(|ending| io::Error::other(format!("{ending:?}")))
        });
        gate.record(answered);
        gate.count(|state| state.opened += 1);
    }
}

fn serve_tiny_http(server: &Server, gate: &Arc<Gate>) {
    for request in server.incoming_requests() {
        let for_stream = Arc::clone(gate);
        let spawned = thread::Builder::new().spawn(move || {
            let HTTPVersion(major, minor) = *request.http_version();
            let head = ResponseHead::for_version(major, minor);
            let emitter = head.start(request.into_writer());
            for_stream.record(emitter.and_then(|emitter| for_stream.serve(&emitter)));
        });
        gate.record(spawned.map(drop));
    }
}

impl Gate {
    fn record(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.count(|state| state.failures.push(error.to_string()));
        }
    }

    /// Publishes the events of all streams, and their end.
    fn publish(&self, hub: &Hub, fanout: &Fanout) {
        self.wait_for_stage(|stage| stage == Stage::Emitting);
        if self.plan.stalled > 0 {
            // As much as the sockets' buffers take: what is measured begins when they are full.
            let ballast = Event::new("x".repeat(1 << 20));
            while fanout.stats().slow < self.plan.stalled {
                let published = hub.publish_to([STALLED], &ballast);
                self.record(published.map(drop).map_err(Into::into));
                thread::sleep(Duration::from_millis(100));
            }
        }
        for id in 1..=self.plan.events {
            let event = Event::new("").with_id(id.to_string());
            let published = hub.publish_with(&event, |data| write!(data, "{}", nanoseconds()));
            self.record(published.map(drop).map_err(Into::into));
            thread::sleep(self.plan.pace);
        }
        hub.close();
    }

    /// One stream from its start to its end.
    fn serve<W: Write + Send + 'static>(&self, emitter: &Emitter<W>) -> io::Result<()> {
        let number = self.count(|state| {
            state.opened += 1;
            state.opened - 1
        });
        let mut heartbeat: Option<HeartbeatThread> = None;
        if self.wait_for_stage(|stage| stage > Stage::Opening) == Stage::Heartbeats {
            heartbeat = Some(emitter.spawn_heartbeats(HEARTBEAT)?);
            self.count(|state| state.with_heartbeats += 1);
            self.wait_for_stage(|stage| stage == Stage::Emitting);
        }
        let Plan {
            streams,
            events,
            pace,
            ..
        } = self.plan;
        let out_of_step = u32::try_from(number % streams).unwrap_or(0);
        let streams = u32::try_from(streams).unwrap_or(u32::MAX);
        emitter.wait_closed(Some(pace * out_of_step / streams));
        for id in 1..=events {
            let event = Event::new("").with_id(id.to_string());
            emitter.emit_with(&event, |data| write!(data, "{}", nanoseconds()))?;
            emitter.wait_closed(Some(pace));
        }
        drop(heartbeat);
        Ok(())
    }
}

/// The time since 1970, which all processes of a machine agree on.
pub fn nanoseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

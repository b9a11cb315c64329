//! Sessions: a log of what was sent on each stream, for clients that come back.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use sse_io::hub::{IdPolicy, RecvError, SubscribeError, Subscription};
use sse_io::{Emitter, Event, Hub};

/// How many sessions there are at most, and after how long one that is not used makes room.
const MAX_SESSIONS: usize = 256;
const IDLE: Duration = Duration::from_secs(3600);

/// How many messages, and how many bytes of them, are kept for clients that come back.
const MAX_MESSAGES: usize = 1024;
const MAX_BYTES: usize = 4 << 20;

/// The stream for what belongs to no request.
const UNASKED: u64 = 0;

/// What the last event of a stream has in its id, in place of a number.
const LAST: &str = "last";

/// What a client and the server have between them.
///
/// An event has the id `stream-number`, so that a client that comes back gets the rest of just that
/// stream: they are the topics of one hub.
#[derive(Debug)]
pub struct Session {
    /// The revision that they speak.
    pub version: String,
    hub: Hub,
    streams: AtomicU64,
    events: AtomicU64,
    used: Mutex<Instant>,
    /// The requests under way, by their ids as JSON.
    calls: Mutex<HashMap<String, Arc<AtomicBool>>>,
    /// The connection for what belongs to no request.
    listener: Mutex<Option<Emitter>>,
}

impl Session {
    fn new(version: String) -> Self {
        let hub = Hub::builder()
            .with_id_policy(IdPolicy::Own)
            .with_max_events(MAX_MESSAGES)
            .with_max_bytes(MAX_BYTES);
        Session {
            version,
            hub: hub.build(),
            streams: AtomicU64::new(UNASKED),
            events: AtomicU64::new(0),
            used: Mutex::new(Instant::now()),
            calls: Mutex::default(),
            listener: Mutex::default(),
        }
    }

    /// A stream for one request, and what comes on it.
    ///
    /// # Errors
    ///
    /// When the session is over.
    pub fn stream(&self) -> Result<(u64, Subscription), SubscribeError> {
        let stream = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let subscription = self.hub.subscribe().with_topics([stream.to_string()]);
        Ok((stream, subscription.start()?))
    }

    /// Sends a message on a stream, kept for a client that is not there at the moment. The last one
    /// ends the stream.
    pub fn send(&self, stream: u64, message: &str, is_last: bool) {
        let id = match is_last {
            true => format!("{stream}-{LAST}"),
            false => format!("{stream}-{}", self.events.fetch_add(1, Ordering::Relaxed)),
        };
        let event = Event::new(message).with_id(id);
        // Fails when the session is over: nobody waits for it.
        let _ = self.hub.publish_to([stream.to_string()], &event);
    }

    /// Sends a message that belongs to no request.
    pub fn tell(&self, message: &Value) {
        self.send(UNASKED, &message.to_string(), false);
    }

    /// What a client that comes back after this event has not seen of its stream; without an id, what
    /// belongs to no request from now on. `None` when there is nothing left to send.
    ///
    /// # Errors
    ///
    /// When the session is over.
    pub fn resume(&self, last_event_id: &str) -> Result<Option<Subscription>, SubscribeError> {
        let (stream, number) = last_event_id.split_once('-').unwrap_or(("0", ""));
        if number == LAST {
            return Ok(None);
        }
        let subscribe = self.hub.subscribe().with_topics([stream]);
        Ok(Some(subscribe.with_last_event_id(last_event_id).start()?))
    }

    /// A request begins that can be cancelled.
    pub fn begin_call(&self, id: &Value) -> Flag<'_> {
        let (id, raised) = (id.to_string(), Arc::default());
        lock(&self.calls).insert(id.clone(), Arc::clone(&raised));
        Flag {
            raised,
            id,
            session: self,
        }
    }

    /// The client has cancelled the request of this id, if there is one.
    pub fn cancel(&self, id: &Value) {
        if let Some(flag) = lock(&self.calls).get(&id.to_string()) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.hub.is_closed()
    }

    /// The connection for what belongs to no request; an earlier one ends, as a message goes to one only.
    pub fn listen(&self, emitter: &Emitter) {
        let earlier = lock(&self.listener).replace(emitter.clone());
        if let Some(earlier) = earlier {
            earlier.close();
        }
    }
}

/// A request under way; the client may cancel it.
#[derive(Debug)]
pub struct Flag<'a> {
    raised: Arc<AtomicBool>,
    id: String,
    session: &'a Session,
}

impl Flag<'_> {
    /// Whether the client has cancelled it.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }
}

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        lock(&self.session.calls).remove(&self.id);
    }
}

/// Sends what comes to a client, until the last event of the stream or the end of the session. Fails
/// when the client has gone.
///
/// # Errors
///
/// What writing fails with.
pub fn serve<W: Write>(
    mut subscription: Subscription,
    emitter: &Emitter<W>,
    heartbeat: Duration,
) -> io::Result<()> {
    loop {
        match subscription.recv_timeout(heartbeat) {
            Ok(Some(frame)) => {
                emitter.emit(&frame.event())?;
                if frame.id().is_some_and(|id| id.ends_with(LAST)) {
                    return Ok(());
                }
            }
            Ok(None) => drop(emitter.comment("")?),
            Err(RecvError::Closed) => return Ok(()),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// All sessions, by their ids.
#[derive(Debug, Default)]
pub struct Sessions {
    by_id: Mutex<HashMap<String, Arc<Session>>>,
    /// Keyed by the system's randomness: what it makes of a number cannot be guessed.
    random: RandomState,
    count: AtomicU64,
}

impl Sessions {
    /// The id of a new session; `None` when there is no room.
    pub fn begin(&self, version: &str) -> Option<String> {
        let number = self.count.fetch_add(2, Ordering::Relaxed);
        let [a, b] = [number, number + 1].map(|number| self.random.hash_one(number));
        let id = format!("{a:016x}{b:016x}");
        let mut by_id = lock(&self.by_id);
        if by_id.len() >= MAX_SESSIONS {
            by_id.retain(|_, session| lock(&session.used).elapsed() < IDLE);
        }
        let room = by_id.len() < MAX_SESSIONS;
        room.then(|| by_id.insert(id.clone(), Arc::new(Session::new(version.to_owned()))));
        room.then_some(id)
    }

    /// The session of this id, which is used again.
    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        let session = Arc::clone(lock(&self.by_id).get(id)?);
        *lock(&session.used) = Instant::now();
        Some(session)
    }

    /// Ends a session and its streams; returns whether there was one.
    pub fn end(&self, id: &str) -> bool {
        let session = lock(&self.by_id).remove(id);
        session.inspect(|session| session.hub.close()).is_some()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

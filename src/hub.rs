//! Broadcast: one publisher, thousands of connections, and clients that come back.
//!
//! A [`Hub`] keeps the newest events in one bounded log. An event is encoded once, when it is
//! published, and appended once; a [`Subscription`] is a cursor into the log. So memory is the log,
//! not subscribers times queue; nobody waits for anybody; and what a client missed while it was away
//! is still there.
//!
//! # Publish
//!
//! [`Hub::publish`] reaches every subscription, [`Hub::publish_to`] those that name one of its topics
//! and those that name none. Neither blocks on a client. There is one order and one sequence of ids
//! across topics, so that one `Last-Event-ID` resumes them all.
//!
//! # Subscribe
//!
//! A handler subscribes and serves its connection on its own thread:
//!
//! ```
//! use std::io::{self, Write};
//! use std::time::Duration;
//! use sse_io::hub::SubscribeError;
//! use sse_io::{Heartbeat, Hub, ResponseHead};
//!
//! fn handler(hub: &Hub, connection: impl Write, last_event_id: Option<&str>) -> io::Result<()> {
//!     let subscribed = hub
//!         .subscribe()
//!         .with_topics(["weather", "traffic"])
//!         .with_last_event_id(last_event_id.unwrap_or_default())
//!         .start();
//!     let mut subscription = match subscribed {
//!         Ok(subscription) => subscription,
//!         Err(SubscribeError::Full { .. }) => {
//!             let busy = ResponseHead::new().with_header("Retry-After", "10");
//!             return busy.refuse(503, connection);
//!         }
//!         Err(error) => return Err(error.into()),
//!     };
//!     let emitter = ResponseHead::new().start(connection)?;
//!     // Until the client goes, falls behind, or the hub is closed.
//!     subscription.serve(&emitter, Heartbeat::every(Duration::from_secs(15)));
//!     Ok(())
//! }
//! # let hub = Hub::new();
//! # hub.close();
//! # assert!(handler(&hub, Vec::new(), None).is_err());
//! ```
//!
//! From the moment [`start`](Subscribe::start) returns, everything that is published reaches the
//! subscription. Whoever wants the events themselves has [`Subscription::recv`].
//!
//! # Many connections
//!
//! There are two ways to serve, and one hub may have both:
//!
//! | | [`Subscription::serve`] | [`Subscription::serve_in`] a [`Fanout`] |
//! |---|---|---|
//! | threads | one for each connection: the handler's | a few for all connections |
//! | takes | any [`Write`](io::Write), such as what `tiny_http` or rouille hand out | a [`Socket`]: `TcpStream`, `UnixStream`, or your type around one |
//! | while it serves, the handler | waits, and is told how it ended | has returned; [`on_ended`](Subscription::on_ended) is told |
//! | other handles of the emitter | may emit as well | are closed |
//! | a client that hangs up is noticed | at the second write, or at once with [`Emitter::watch`](crate::Emitter::watch) | within two seconds |
//! | a slow filter holds up | its own connection | others, too |
//!
//! Some hundred connections are well served by a thread each. With thousands the fan-out takes a fraction
//! of the processor's time and of the memory, as no thread is woken for each connection and event. The
//! example `fanout` serves ten thousand.
//!
//! # Resume
//!
//! A client that was disconnected sends the id of the last event it saw. If the log still has it, the
//! subscription begins behind it: no hole, nothing twice, and nothing at all for a client that is up
//! to date. If not (evicted, from before a restart, or made up), there is a **gap**, which is never
//! passed over in silence: [`Subscription::resumption`] tells, and [`GapPolicy`] decides.
//!
//! # Lag
//!
//! A subscriber that is so slow that the log has let go of what it did not read yet has **lagged**. It
//! is told how much it missed at most; [`serve`](Subscription::serve) ends then, unless
//! [`LagPolicy::Skip`] has it go on, and the client comes back with its last event ID. A subscriber
//! of a quiet topic does not lag, however much is published to others.
//!
//! # Rooms
//!
//! Topics are for what one connection combines. Where rooms have nothing in common (a document, a
//! game, a build), give each its own hub: a hub has no thread and is small while its log is empty. Drop
//! a room that is idle:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//! use sse_io::hub::{SubscribeError, Subscription};
//! use sse_io::{Event, Hub};
//!
//! #[derive(Default)]
//! struct Rooms(Mutex<HashMap<String, Hub>>);
//!
//! impl Rooms {
//!     /// Subscribes under the lock, so that a room with somebody in it stays.
//!     fn enter(&self, name: &str) -> Result<Subscription, SubscribeError> {
//!         let mut rooms = self.0.lock().unwrap();
//!         let room = rooms.entry(name.to_owned()).or_default();
//!         room.subscribe().with_replay(50).start()
//!     }
//!
//!     fn say(&self, name: &str, text: &str) -> std::io::Result<()> {
//!         let room = self.0.lock().unwrap().get(name).cloned();
//!         if let Some(room) = room {
//!             room.publish(&Event::new(text))?;
//!         }
//!         Ok(())
//!     }
//!
//!     /// To be called from time to time.
//!     fn sweep(&self) {
//!         self.0.lock().unwrap().retain(|_, room| room.stats().subscribers > 0);
//!     }
//! }
//!
//! let rooms = Rooms::default();
//! let mut subscription = rooms.enter("lobby")?;
//! rooms.say("lobby", "hello")?;
//! assert!(subscription.recv()?.as_bytes().ends_with(b"data: hello\n\n"));
//! drop(subscription);
//! rooms.sweep();
//! assert!(rooms.0.lock().unwrap().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Past one process
//!
//! Several processes, each with a hub, share a store that has one order (Redis Streams, a log table):
//! publishing appends to the store, whose id is the event's id ([`IdPolicy::Own`]), and one thread in
//! each process follows the store and publishes to the local hub. [`History`] reads what is older than
//! the log, so that a client may reconnect to any of them.

mod builder;
mod error;
mod fanout;
mod frame;
mod history;
mod ids;
mod interest;
mod paging;
mod received;
mod serve;
mod shared;
mod subscribe;
mod subscription;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::iter;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::builder::{Builder, IdPolicy};
pub use self::error::{PublishError, RecvError, SubscribeError};
pub use self::fanout::{Fanout, FanoutBuilder, FanoutStats};
pub use self::frame::{EventId, Frame};
pub use self::history::History;
pub use self::received::{IntoIter, Iter};
pub use self::serve::{Ending, LagPolicy};
pub use self::subscribe::{GapPolicy, Resumption, Subscribe};
pub use self::subscription::Subscription;
pub use crate::emitter::{Peer, Socket};

use self::frame::Draft;
use self::ids::Ids;
use self::shared::{Audience, Key, Owner, Shared, State};
use crate::event::Event;
use crate::sync::wait_until;
use crate::writer::{DataWriter, FrameBuffer};

/// Broadcasts events to any number of subscribers, and keeps the newest for those that come back.
/// See the [module](self) for how it works.
///
/// Cloning gives another handle to the same hub. When the last handle is dropped, the hub is closed;
/// subscriptions are no handles.
///
/// ```
/// use sse_io::{Event, Hub};
///
/// let hub = Hub::new();
/// let mut subscription = hub.subscribe().start()?;
/// let id = hub.publish(&Event::new("hello"))?;
/// assert_eq!(subscription.recv()?.as_bytes(), format!("id: {id}\ndata: hello\n\n").as_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[doc(alias = "broadcast")]
pub struct Hub {
    owner: Arc<Owner>,
}

/// A look at a [`Hub`]; see [`Hub::stats`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// How many subscriptions there are.
    pub subscribers: usize,
    /// How many events were published, ever.
    pub published: u64,
    /// How many events the log holds.
    pub events: usize,
    /// How many bytes they have: wire forms and topics.
    pub bytes: usize,
    /// How many events were passed on to subscribers, after their filters. Each is counted when its
    /// subscriber comes for more.
    pub delivered: u64,
    /// How often a subscriber was so slow that it missed events.
    pub lagged: u64,
    /// The id of the oldest event in the log. Empty where that event has none.
    pub oldest: Option<EventId>,
    /// The id of the newest event in the log. Empty where that event has none.
    pub newest: Option<EventId>,
}

impl Hub {
    /// A hub with the default limits: 1,024 events, 8 MiB, no limit of age, ids assigned.
    ///
    /// ```
    /// # use sse_io::Hub;
    /// let stats = Hub::new().stats();
    /// assert_eq!((stats.subscribers, stats.events, stats.published), (0, 0, 0));
    /// ```
    pub fn new() -> Self {
        Hub::builder().build()
    }

    /// A hub with other limits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::Hub;
    ///
    /// let hub = Hub::builder()
    ///     .with_max_events(10_000)
    ///     .with_max_age(Duration::from_secs(600))
    ///     .with_max_subscribers(2_000)
    ///     .build();
    /// assert_eq!(hub.stats().events, 0);
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Publishes an event to every subscription, and returns its id.
    ///
    /// Never blocks on a client: the event is encoded, appended to the log under a short lock, and
    /// those that wait for it are woken. Allocates once, for the frame that all share.
    ///
    /// # Errors
    ///
    /// Nothing is published then. [`PublishError::InvalidField`], [`CarriesId`](PublishError::CarriesId)
    /// when the hub is to assign the id, [`TooLarge`](PublishError::TooLarge) for the log, or
    /// [`Closed`](PublishError::Closed). It converts into an [`io::Error`].
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let id = hub.publish(&Event::new("hello").with_name("greeting"))?;
    /// assert_eq!(hub.stats().newest, Some(id));
    /// # Ok::<(), sse_io::hub::PublishError>(())
    /// ```
    pub fn publish(&self, event: &Event<'_>) -> Result<EventId, PublishError> {
        self.append(None::<iter::Empty<&str>>, event, |frame, event| {
            frame.event(event)
        })
    }

    /// Publishes an event whose data the closure streams into the frame, after what `event.data`
    /// holds. The closure runs under no lock and may use the hub itself.
    ///
    /// # Errors
    ///
    /// [`PublishError::Data`] with the closure's own error, or with one of kind
    /// [`InvalidData`](io::ErrorKind::InvalidData) when what it wrote is not UTF-8; otherwise as
    /// [`publish`](Hub::publish). Nothing is published then.
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().start()?;
    /// hub.publish_with(&Event::new("n = "), |data| write!(data, "{}", 7))?;
    /// assert!(subscription.recv()?.as_bytes().ends_with(b"data: n = 7\n\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish_with(
        &self,
        event: &Event<'_>,
        data: impl FnOnce(&mut DataWriter<'_>) -> io::Result<()>,
    ) -> Result<EventId, PublishError> {
        self.append(None::<iter::Empty<&str>>, event, |frame, event| {
            frame.event_with(event, data)
        })
    }

    /// Publishes an event to the subscriptions that name one of these topics, and to those that name
    /// none. It reaches each of them once, and wakes nobody else.
    ///
    /// Topics are any text and need not be declared; one that nobody is subscribed to costs nothing.
    /// Allocates once more where there are several topics, and again where their iterator does not
    /// know how many. A step for each subscriber of the topics, under the hub's lock.
    ///
    /// # Errors
    ///
    /// [`PublishError::NoTopic`] where there is none: a list of receivers that happens to be empty is
    /// not for everyone, and nothing gets lost in silence. Otherwise as [`publish`](Hub::publish).
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let mut goals = hub.subscribe().with_topics(["goals"]).start()?;
    /// hub.publish_to(["cards"], &Event::new("yellow"))?;
    /// let id = hub.publish_to(["goals", "all"], &Event::new("1:0"))?;
    /// assert_eq!(goals.recv()?.id(), Some(id.as_str()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn publish_to<T: AsRef<str>>(
        &self,
        topics: impl IntoIterator<Item = T>,
        event: &Event<'_>,
    ) -> Result<EventId, PublishError> {
        self.append(Some(topics), event, |frame, event| frame.event(event))
    }

    /// [`publish_to`](Hub::publish_to) with streamed data, as [`publish_with`](Hub::publish_with) has
    /// it.
    ///
    /// # Errors
    ///
    /// As [`publish_with`](Hub::publish_with).
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// hub.publish_to_with(["cpu"], &Event::default(), |data| write!(data, "{:.1}", 12.34))?;
    /// assert_eq!(hub.stats().published, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn publish_to_with<T: AsRef<str>>(
        &self,
        topics: impl IntoIterator<Item = T>,
        event: &Event<'_>,
        data: impl FnOnce(&mut DataWriter<'_>) -> io::Result<()>,
    ) -> Result<EventId, PublishError> {
        self.append(Some(topics), event, |frame, event| {
            frame.event_with(event, data)
        })
    }

    /// Tells every client how long to wait before it comes back when its connection is lost (HTML
    /// standard, 9.2.6), and each of them another time out of this range, in milliseconds: before a
    /// restart, so that they neither ask for a server that is not there yet, nor all at once for one that
    /// has just come up. The subscriptions of a hub are spread evenly.
    ///
    /// Takes a place in the log, as an event does; it has no id and passes every filter. A
    /// [`Subscription::recv`] gets a frame that [is no event](Frame::is_event). A few bytes are allocated
    /// for each subscription. A range that ends before it begins is its beginning alone.
    ///
    /// # Errors
    ///
    /// [`PublishError::InvalidField`] for a time of more than `u64::MAX` milliseconds,
    /// [`Closed`](PublishError::Closed), or [`TooLarge`](PublishError::TooLarge).
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::{Emitter, Hub};
    ///
    /// let hub = Hub::new();
    /// let mut subscriptions = [hub.subscribe().start()?, hub.subscribe().start()?];
    /// hub.retry(Duration::from_secs(5)..=Duration::from_secs(30))?;
    /// hub.close();
    ///
    /// let mut waits = Vec::new();
    /// for subscription in &mut subscriptions {
    ///     let mut stream = Vec::new();
    ///     subscription.serve(&Emitter::new(&mut stream), None);
    ///     let text = String::from_utf8(stream)?;
    ///     let wait: u64 = text.trim().strip_prefix("retry: ").unwrap().parse()?;
    ///     assert!((5_000..=30_000).contains(&wait));
    ///     waits.push(wait);
    /// }
    /// assert_ne!(waits[0], waits[1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retry(&self, range: RangeInclusive<Duration>) -> Result<(), PublishError> {
        let frame = Frame::retry(&range).map_err(PublishError::InvalidField)?;
        self.append_frame(frame, Audience::Everyone).map(drop)
    }

    /// Begins to subscribe: set what is wanted, then [`start`](Subscribe::start).
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().with_topics(["news"]).start()?;
    /// hub.publish_to(["news"], &Event::new("rain"))?;
    /// assert_eq!(subscription.recv()?.event().data, "rain");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self) -> Subscribe {
        Subscribe::new(Arc::clone(self.shared()))
    }

    /// Ends publishing, for every handle. Subscribers get what is in the log, then their end; those
    /// that wait are woken. Never blocks. Does nothing when the hub is closed already.
    ///
    /// ```
    /// use sse_io::{Event, Hub, hub::RecvError};
    ///
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().start()?;
    /// hub.publish(&Event::new("the last"))?;
    /// hub.close();
    /// assert!(hub.publish(&Event::new("too late")).is_err());
    /// assert!(subscription.recv().is_ok());
    /// assert!(matches!(subscription.recv(), Err(RecvError::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "shutdown")]
    #[doc(alias = "stop")]
    pub fn close(&self) {
        self.shared().close();
    }

    /// [Closes](Hub::close) the hub and waits until every subscription is gone, at most for `timeout`.
    /// Returns whether they are: then every handler has sent what there was and has let its
    /// subscription go, and the process can end. Blocks, but for a timeout of zero.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let subscription = hub.subscribe().start()?;
    /// assert!(!hub.close_and_wait(Duration::ZERO));
    /// let handler = std::thread::spawn(move || subscription.into_iter().count());
    /// assert!(hub.close_and_wait(Duration::from_secs(60)));
    /// # assert_eq!(handler.join().unwrap(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "shutdown")]
    pub fn close_and_wait(&self, timeout: Duration) -> bool {
        self.close();
        let shared = self.shared();
        let is_empty = |state: &State| state.roster.len() == 0;
        let deadline = Instant::now().checked_add(timeout);
        is_empty(&wait_until(&shared.left, shared.lock(), deadline, is_empty))
    }

    /// Whether the hub was closed.
    ///
    /// ```
    /// # use sse_io::Hub;
    /// let hub = Hub::new();
    /// assert!(!hub.is_closed());
    /// hub.clone().close();
    /// assert!(hub.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared().lock().closed
    }

    /// What the hub holds at this moment. Takes the lock for a moment; of use as a metric.
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let subscription = hub.subscribe().start()?;
    /// hub.publish(&Event::new("x"))?;
    /// let stats = hub.stats();
    /// assert_eq!((stats.subscribers, stats.published, stats.events), (1, 1, 1));
    /// drop(subscription);
    /// assert_eq!(hub.stats().subscribers, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        let now = shared.now();
        let mut state = shared.lock();
        let evicted = state.expire(now);
        let log = &state.log;
        let stats = Stats {
            subscribers: state.roster.len(),
            published: log.next() - 1,
            events: log.len(),
            bytes: log.bytes(),
            delivered: state.delivered,
            lagged: state.lagged,
            oldest: log.oldest_entry().map(|entry| EventId(entry.frame.clone())),
            newest: log.newest_entry().map(|entry| EventId(entry.frame.clone())),
        };
        drop(state);
        drop(evicted);
        stats
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.0
    }

    /// Collects the topics, encodes the event and appends it; without topics it is for everyone.
    fn append<T: AsRef<str>>(
        &self,
        topics: Option<impl IntoIterator<Item = T>>,
        event: &Event<'_>,
        write: impl FnOnce(&mut FrameBuffer, &Event<'_>) -> io::Result<()>,
    ) -> Result<EventId, PublishError> {
        let shared = self.shared();
        let mut draft = Draft::new();
        let audience = match topics {
            None => Audience::Everyone,
            Some(topics) => self.audience(topics, &mut draft)?,
        };
        let encoded = match &shared.ids {
            Ids::Own => draft.event(event, write),
            Ids::Assigned(_) if event.id.is_some() => return Err(PublishError::CarriesId),
            Ids::Assigned(zero) => draft.event(&with_id(event, zero), write),
        };
        let frame = encoded.map_err(|error| match error.downcast() {
            Ok(field) => PublishError::InvalidField(field),
            Err(error) => PublishError::Data(error),
        })?;
        self.append_frame(frame, audience).map(EventId)
    }

    fn append_frame(&self, frame: Frame, audience: Audience) -> Result<Frame, PublishError> {
        let size = frame.held() + audience.held();
        let limit = self.shared().limits.bytes;
        if size > limit {
            return Err(PublishError::TooLarge { size, limit });
        }
        self.shared().append(frame, audience)
    }

    fn audience<T: AsRef<str>>(
        &self,
        topics: impl IntoIterator<Item = T>,
        draft: &mut Draft,
    ) -> Result<Audience, PublishError> {
        let topics = topics.into_iter();
        let mut keys = Keys::expect(topics.size_hint().0);
        for topic in topics {
            draft.topic(topic.as_ref());
            keys.push(self.shared().key(topic.as_ref()));
        }
        keys.into_audience().ok_or(PublishError::NoTopic)
    }
}

/// The topics of an event: no allocation for one, and a single one for several where it was expected
/// that there are so many.
struct Keys {
    first: Option<Key>,
    /// All of them, where there are several.
    several: Vec<Key>,
    expected: usize,
}

impl Keys {
    /// None yet, and so many to come at least.
    fn expect(topics: usize) -> Self {
        Keys {
            first: None,
            several: Vec::new(),
            expected: topics,
        }
    }

    fn push(&mut self, key: Key) {
        let Some(first) = self.first else {
            self.first = Some(key);
            return;
        };
        if self.several.is_empty() {
            self.several.reserve_exact(self.expected.max(2));
            self.several.push(first);
        }
        self.several.push(key);
    }

    /// None where there is no topic.
    fn into_audience(self) -> Option<Audience> {
        let first = self.first?;
        Some(match self.several.is_empty() {
            true => Audience::Topic(first),
            false => Audience::Topics(self.several.into()),
        })
    }
}

/// The same event with another id, borrowing all it can.
fn with_id<'a>(event: &'a Event<'_>, id: &'a str) -> Event<'a> {
    Event {
        name: event.name.as_deref().map(Cow::Borrowed),
        id: Some(Cow::Borrowed(id)),
        retry: event.retry,
        data: Cow::Borrowed(&event.data),
        extensions: event.extensions.clone(),
    }
}

impl Default for Hub {
    fn default() -> Self {
        Hub::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        f.debug_struct("Hub")
            .field("subscribers", &stats.subscribers)
            .field("events", &stats.events)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

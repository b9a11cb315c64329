//! The knobs of a hub.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Hub;
use super::history::History;
use super::shared::{Limits, Owner, Shared};

/// Where the ids of published events come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdPolicy {
    /// The hub gives each event an id, `<epoch>-<sequence>` in 33 characters; events that carry one
    /// are refused. The epoch is another one for each hub, so that an id from before a restart is
    /// known to be foreign and never matches the wrong event.
    #[default]
    Assigned,
    /// Each event carries its own id, or none. Where an id comes twice, the newer event is meant. An
    /// event without an id leaves the client's last event ID as it is: a client that comes back may
    /// get it again. Exactly-once holds where each event has an id of its own.
    Own,
}

/// Builds a [`Hub`]; see [`Hub::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    limits: Limits,
    max_subscribers: usize,
    max_topics: usize,
    retained: usize,
    ids: IdPolicy,
    history: Option<Box<dyn History>>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Builder {
            limits: Limits {
                events: 1024,
                bytes: 8 << 20,
                age: None,
            },
            max_subscribers: usize::MAX,
            max_topics: 1024,
            retained: 0,
            ids: IdPolicy::Assigned,
            history: None,
        }
    }

    /// Sets how many events the log holds. A subscriber that is further behind has lagged. The log is
    /// what subscribers read, so zero is taken as one. Default: 1,024.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::builder().with_max_events(2).build();
    /// for n in 1..=3 {
    ///     hub.publish(&Event::new(n.to_string()))?;
    /// }
    /// assert_eq!(hub.stats().events, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.limits.events = events.max(1);
        self
    }

    /// Sets how many bytes the log holds: wire forms and topics. Up to 300 bytes for each
    /// event come on top. An event that exceeds this by itself is refused, so with zero every one is.
    /// Default: 8 MiB.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::builder().with_max_bytes(100).build();
    /// for n in 1..=3 {
    ///     hub.publish(&Event::new(n.to_string()))?;
    /// }
    /// assert!(hub.stats().bytes <= 100 && hub.stats().events < 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// Sets the age from which an event is not replayed, nor delivered to a subscriber that is so
    /// far behind. Events are looked at when one is published, and when somebody reads or subscribes:
    /// an idle hub may hold them for longer. Zero would let nothing be delivered at all, and is taken
    /// as no limit. Default: no limit.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::builder().with_max_age(std::time::Duration::from_secs(600)).build();
    /// hub.publish(&Event::new("x"))?;
    /// assert_eq!(hub.stats().events, 1); // for ten minutes
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.limits.age = Some(age).filter(|age| !age.is_zero());
        self
    }

    /// Sets how many subscriptions there may be at a time; more are refused with
    /// [`SubscribeError::Full`](super::SubscribeError::Full). Zero refuses all. Default: no limit
    /// (each one costs a thread and a connection, which the server is to limit).
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::builder().with_max_subscribers(1).build();
    /// let _first = hub.subscribe().start()?;
    /// assert!(hub.subscribe().start().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_max_subscribers(mut self, subscribers: usize) -> Self {
        self.max_subscribers = subscribers;
        self
    }

    /// Sets how many topics one subscription may name; one that names more is refused with
    /// [`SubscribeError::TooManyTopics`](super::SubscribeError::TooManyTopics). Each takes memory, and
    /// a moment of the hub's lock when the subscription starts and when it ends. Default: 1,024.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::builder().with_max_topics(2).build();
    /// assert!(hub.subscribe().with_topics(["a", "b"]).start().is_ok());
    /// assert!(hub.subscribe().with_topics(["a", "b", "c"]).start().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_max_topics(mut self, topics: usize) -> Self {
        self.max_topics = topics;
        self
    }

    /// Sets for how many topics the newest event is kept, also when the log has let it go: for new
    /// clients that ask for it ([`Subscribe::with_retained`](super::Subscribe::with_retained)). Where
    /// there are more, those whose newest event is the oldest are forgotten. These events may take as
    /// many bytes as the log, on top of it, and have no limit of age. Default: zero.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::builder().with_retained(100).build();
    /// hub.publish_to(["cpu"], &Event::new("12 %"))?;
    /// let mut late = hub.subscribe().with_topics(["cpu"]).with_retained().start()?;
    /// assert_eq!(late.recv()?.event().data, "12 %");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_retained(mut self, topics: usize) -> Self {
        self.retained = topics;
        self
    }

    /// Sets where ids come from. Default: [`IdPolicy::Assigned`].
    ///
    /// ```
    /// use sse_io::hub::IdPolicy;
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
    /// let id = hub.publish(&Event::new("x").with_id("7"))?;
    /// assert_eq!(id.as_str(), "7");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_id_policy(mut self, policy: IdPolicy) -> Self {
        self.ids = policy;
        self
    }

    /// Sets the older store behind the log. It knows an event by its id before the event is
    /// published, so ids are the events' own ([`IdPolicy::Own`]) whatever
    /// [`with_id_policy`](Builder::with_id_policy) says. Default: none.
    ///
    /// ```
    /// use std::io;
    /// use sse_io::hub::{History, Resumption};
    /// use sse_io::{Event, Hub};
    ///
    /// /// Events 1 to 100, as a table would have them.
    /// struct Table;
    ///
    /// impl History for Table {
    ///     fn after(&self, id: &str, _: &[&str], max: usize) -> io::Result<Option<Vec<Event<'static>>>> {
    ///         let Some(id) = id.parse().ok().filter(|id| (1..=100).contains(id)) else {
    ///             return Ok(None);
    ///         };
    ///         let ids = (id + 1..=100).take(max);
    ///         Ok(Some(ids.map(|id| Event::new("x").with_id(id.to_string())).collect()))
    ///     }
    /// }
    ///
    /// let hub = Hub::builder().with_history(Table).build();
    /// // The newest is in the hub, too.
    /// hub.publish(&Event::new("x").with_id("100"))?;
    /// let mut back = hub.subscribe().with_last_event_id("40").start()?;
    /// assert_eq!(*back.resumption(), Resumption::History);
    /// assert_eq!(back.recv()?.id(), Some("41"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_history(mut self, history: impl History + 'static) -> Self {
        self.history = Some(Box::new(history));
        self
    }

    /// The hub.
    ///
    /// ```
    /// # use sse_io::Hub;
    /// assert!(!Hub::builder().with_max_events(10).build().is_closed());
    /// ```
    pub fn build(self) -> Hub {
        let ids = match self.history {
            Some(_) => IdPolicy::Own,
            None => self.ids,
        };
        let most = (self.max_subscribers, self.max_topics, self.retained);
        let shared = Shared::new(self.limits, most, ids, self.history);
        Hub {
            owner: Arc::new(Owner(Arc::new(shared))),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .field("max_subscribers", &self.max_subscribers)
            .field("max_topics", &self.max_topics)
            .field("retained", &self.retained)
            .field("ids", &self.ids)
            .field("history", &self.history.is_some())
            .finish()
    }
}

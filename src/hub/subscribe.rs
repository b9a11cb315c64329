//! Subscribing: what is wanted, and where it begins.

use std::fmt;
use std::sync::Arc;

use super::error::SubscribeError;
use super::frame::Frame;
use super::interest::Interest;
use super::serve::LagPolicy;
use super::shared::{Key, Shared};
use super::subscription::{Filter, Start, Subscription};
use crate::event::Event;

/// What to do when a client comes back and what it missed is not in the log (nor in the
/// [`History`](super::History)) any more, or cannot be told because its id is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapPolicy {
    /// Replay all that the log has. Where ids are the events' own and the client's is unknown, it
    /// may have seen some of it.
    #[default]
    Replay,
    /// Begin with what is published from now on.
    Live,
    /// Do not subscribe: [`start`](Subscribe::start) fails with [`SubscribeError::Gap`], and the
    /// handler can answer in its own way (204 stops a client for good).
    Refuse,
}

/// How a subscription begins; see [`Subscription::resumption`](super::Subscription::resumption).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resumption {
    /// The client has no last event ID.
    New,
    /// The client has seen everything: nothing is replayed.
    CaughtUp,
    /// The client missed what the log still has.
    #[non_exhaustive]
    Resumed {
        /// How many events are replayed, before the filter.
        replayed: usize,
    },
    /// The client missed more than the log has, and gets it from the [`History`](super::History).
    History,
    /// The client missed events that are gone, or its last event ID is unknown.
    #[non_exhaustive]
    Gap {
        /// How many events it missed at most, where that is known.
        missed: Option<u64>,
    },
}

/// A subscription to be; see [`Hub::subscribe`](super::Hub::subscribe).
///
/// ```
/// use sse_io::{Event, Hub, hub::Resumption};
///
/// let hub = Hub::new();
/// let seen = hub.publish_to(["a"], &Event::new("1"))?;
/// let missed = hub.publish_to(["b"], &Event::new("2"))?;
/// hub.publish_to(["c"], &Event::new("3"))?;
///
/// let mut subscription = hub
///     .subscribe()
///     .with_topics(["a", "b"])
///     .with_last_event_id(seen.as_str())
///     .start()?;
/// assert!(matches!(subscription.resumption(), Resumption::Resumed { replayed: 1, .. }));
/// assert_eq!(subscription.recv()?.id(), Some(missed.as_str()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "it subscribes when it is started"]
pub struct Subscribe {
    shared: Arc<Shared>,
    topics: Option<Vec<(Key, Box<str>)>>,
    filter: Option<Filter>,
    last: Option<Filter>,
    last_event_id: String,
    replay: usize,
    retained: bool,
    gap: GapPolicy,
    lag: LagPolicy,
    gap_event: Option<Event<'static>>,
}

impl Subscribe {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Subscribe {
            shared,
            topics: None,
            filter: None,
            last: None,
            last_event_id: String::new(),
            replay: 0,
            retained: false,
            gap: GapPolicy::default(),
            lag: LagPolicy::default(),
            gap_event: None,
        }
    }

    /// Adds topics: the subscription gets what is published to one of them, and what is published to
    /// everyone. Default: no topics are named, and it gets everything.
    ///
    /// To call this with an empty list is to name topics, and none: what is published to any topic
    /// is not for this subscription then.
    ///
    /// Where a client says which topics it wants, decide how many that may be, and which:
    /// [`Builder::with_max_topics`](super::Builder::with_max_topics) is the limit. Topics beyond it are
    /// not looked at, and [`start`](Subscribe::start) fails.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().with_topics(["a"]).start()?;
    /// hub.publish_to(["b"], &Event::new("not this"))?;
    /// hub.publish_to(["a", "b"], &Event::new("this"))?;
    /// assert_eq!(subscription.recv()?.event().data, "this");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_topics<T: AsRef<str>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        let named = self.topics.get_or_insert_default();
        let most = self.shared.max_topics.saturating_add(1);
        let room = most.saturating_sub(named.len());
        named.extend(topics.into_iter().take(room).map(|topic| {
            let name = topic.as_ref();
            (self.shared.key(name), name.into())
        }));
        self
    }

    /// Sets a filter: events that it refuses are passed over. It runs on the subscriber's thread,
    /// under no lock, and may use the hub. A closure that owns a [`Hub`](super::Hub) is a handle like
    /// any other: it keeps the hub open for as long as the subscription lives. Prefer topics where they
    /// do: a filter is asked for each event, and woken for it. Default: none.
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let mut short = hub.subscribe().with_filter(|frame| frame.as_bytes().len() < 60).start()?;
    /// hub.publish(&Event::new("a long story, and it does not end here"))?;
    /// let id = hub.publish(&Event::new("short"))?;
    /// assert_eq!(short.recv()?.id(), Some(id.as_str()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_filter(mut self, filter: impl FnMut(&Frame) -> bool + Send + 'static) -> Self {
        self.filter = Some(Box::new(filter));
        self
    }

    /// Sets which event is the last one: behind the first for which this is true, the subscription ends
    /// as it would if the hub were closed, and so does what serves it. An answer ends with its `[DONE]`,
    /// a build with its result. It is asked where the filter is, of each event that the filter lets
    /// through. Default: none is.
    ///
    /// ```
    /// use sse_io::hub::Ending;
    /// use sse_io::{Emitter, Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let mut answer = hub.subscribe().with_last(|frame| frame.event().data == "[DONE]").start()?;
    /// for text in ["Hello", "[DONE]", "of another answer"] {
    ///     hub.publish(&Event::new(text))?;
    /// }
    /// let mut stream = Vec::new();
    /// assert!(matches!(answer.serve(&Emitter::new(&mut stream), None), Ending::Closed));
    /// assert!(stream.ends_with(b"data: [DONE]\n\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_last(mut self, is_last: impl FnMut(&Frame) -> bool + Send + 'static) -> Self {
        self.last = Some(Box::new(is_last));
        self
    }

    /// Sets the last event ID of a client that comes back: it gets what was published after it.
    /// Default, and what the empty id means: a new client.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::new();
    /// let seen = hub.publish(&Event::new("seen"))?;
    /// hub.publish(&Event::new("missed"))?;
    /// let mut subscription = hub.subscribe().with_last_event_id(seen.to_string()).start()?;
    /// assert_eq!(subscription.recv()?.event().data, "missed");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self
    }

    /// Sets how many of the newest events in the log a new client gets first: those that the
    /// subscription would have got, before the filter. `usize::MAX` is all of them. Does nothing for
    /// a client that comes back. Default: zero.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::new();
    /// for text in ["a", "b", "c"] {
    ///     hub.publish(&Event::new(text))?;
    /// }
    /// let mut subscription = hub.subscribe().with_replay(2).start()?;
    /// assert_eq!(subscription.recv()?.event().data, "b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_replay(mut self, events: usize) -> Self {
        self.replay = events;
        self
    }

    /// Has a client that is new, or has a gap, get the newest event of each of its topics first, in the
    /// order in which they were published: what a dashboard shows before anything changes. Needs
    /// [`Builder::with_retained`](super::Builder::with_retained). Events that are replayed anyway do
    /// not come twice.
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::builder().with_retained(100).with_max_events(1).build();
    /// hub.publish_to(["cpu"], &Event::new("12 %"))?;
    /// hub.publish_to(["cpu"], &Event::new("17 %"))?;
    /// hub.publish_to(["disk"], &Event::new("80 %"))?;
    ///
    /// let mut cpu = hub.subscribe().with_topics(["cpu"]).with_retained().start()?;
    /// assert_eq!(cpu.recv()?.event().data, "17 %");
    /// assert!(cpu.try_recv()?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_retained(mut self) -> Self {
        self.retained = true;
        self
    }

    /// Sets what to do about a gap at the start. Default: [`GapPolicy::Replay`].
    ///
    /// ```
    /// use sse_io::Hub;
    /// use sse_io::hub::{GapPolicy, SubscribeError};
    ///
    /// let hub = Hub::new();
    /// let refused = hub
    ///     .subscribe()
    ///     .with_last_event_id("of another server")
    ///     .with_gap_policy(GapPolicy::Refuse)
    ///     .start();
    /// assert!(matches!(refused, Err(SubscribeError::Gap { .. })));
    /// ```
    pub fn with_gap_policy(mut self, policy: GapPolicy) -> Self {
        self.gap = policy;
        self
    }

    /// Sets what [`serve`](Subscription::serve) does when the subscription has lagged. Default:
    /// [`LagPolicy::End`].
    ///
    /// ```
    /// use sse_io::hub::LagPolicy;
    /// use sse_io::{Emitter, Event, Hub};
    ///
    /// let hub = Hub::builder().with_max_events(1).build();
    /// let mut slow = hub.subscribe().with_lag_policy(LagPolicy::Skip).start()?;
    /// hub.publish(&Event::new("missed"))?;
    /// hub.publish(&Event::new("left"))?;
    /// hub.close();
    /// let mut stream = Vec::new();
    /// slow.serve(&Emitter::new(&mut stream), None);
    /// assert!(stream.ends_with(b"data: left\n\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_lag_policy(mut self, policy: LagPolicy) -> Self {
        self.lag = policy;
        self
    }

    /// Sets an event that tells the client of a gap: it comes first where there is one at the start,
    /// and in [`serve`](Subscription::serve) with [`LagPolicy::Skip`] where events were missed. It is
    /// no part of the log and passes every filter. Leave its id out, as that would become the
    /// client's last event ID. Default: none.
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let mut subscription = hub
    ///     .subscribe()
    ///     .with_last_event_id("from another time")
    ///     .with_gap_event(Event::new("").with_name("reload"))
    ///     .start()?;
    /// assert_eq!(subscription.recv()?.as_bytes(), b"event: reload\ndata:\n\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_gap_event(mut self, event: Event<'static>) -> Self {
        self.gap_event = Some(event);
        self
    }

    /// Subscribes. Everything that is published after this returns reaches the subscription; what
    /// was published before and is replayed joins it with no hole and nothing twice.
    ///
    /// Does not block, but for a [`History`](super::History) where the log does not do.
    ///
    /// # Errors
    ///
    /// As [`SubscribeError`] lists them. It converts into an [`io::Error`](std::io::Error).
    ///
    /// ```
    /// use sse_io::hub::{GapPolicy, SubscribeError};
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::builder().with_max_subscribers(1).build();
    /// let strict = hub.subscribe().with_last_event_id("?").with_gap_policy(GapPolicy::Refuse).start();
    /// assert!(matches!(strict, Err(SubscribeError::Gap { missed: None, .. })));
    ///
    /// let first = hub.subscribe().start()?;
    /// let second = hub.subscribe().start().unwrap_err();
    /// assert_eq!(second.to_string(), "the hub is at its limit of 1 subscribers");
    /// # Ok::<(), SubscribeError>(())
    /// ```
    pub fn start(self) -> Result<Subscription, SubscribeError> {
        let notice = self.gap_event.as_ref().map(gap_frame).transpose()?;
        let limit = self.shared.max_topics;
        if self
            .topics
            .as_ref()
            .is_some_and(|named| named.len() > limit)
        {
            return Err(SubscribeError::TooManyTopics { limit });
        }
        let interest = match self.topics {
            None => Interest::Everything,
            Some(topics) => Interest::in_topics(topics),
        };
        Subscription::start(Start {
            shared: self.shared,
            interest,
            filter: self.filter,
            last: self.last,
            last_event_id: self.last_event_id,
            replay: self.replay,
            retained: self.retained,
            gap: self.gap,
            lag: self.lag,
            notice,
        })
    }
}

fn gap_frame(event: &Event<'_>) -> Result<Frame, SubscribeError> {
    event
        .encode(&mut Vec::new())
        .map_err(SubscribeError::InvalidEvent)?;
    Ok(Frame::of(event).expect("it was encoded before"))
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.topics.as_ref();
        f.debug_struct("Subscribe")
            .field(
                "topics",
                &topics.map(|topics| topics.iter().map(|(_, name)| name).collect::<Vec<_>>()),
            )
            .field("filter", &self.filter.is_some())
            .field("last", &self.last.is_some())
            .field("last_event_id", &self.last_event_id)
            .field("replay", &self.replay)
            .field("retained", &self.retained)
            .field("gap", &self.gap)
            .field("lag", &self.lag)
            .field("gap_event", &self.gap_event)
            .finish_non_exhaustive()
    }
}

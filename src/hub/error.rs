//! How publishing, subscribing and receiving can fail.

use std::error::Error;
use std::fmt;
use std::io;

use crate::encode::InvalidField;

/// Why an event was not published.
///
/// ```
/// use sse_io::hub::PublishError;
/// use sse_io::{Event, Hub};
///
/// let hub = Hub::builder().with_max_bytes(100).build();
/// let error = hub.publish(&Event::new("x".repeat(1000))).unwrap_err();
/// assert!(matches!(error, PublishError::TooLarge { limit: 100, .. }));
/// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::InvalidInput);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// A field cannot be sent.
    InvalidField(InvalidField),
    /// The event carries an id, and the hub assigns them.
    CarriesId,
    /// It was to be published to topics, and none was given.
    NoTopic,
    /// The event exceeds the log's bytes by itself.
    #[non_exhaustive]
    TooLarge {
        /// How many bytes it takes in the log.
        size: usize,
        /// How many the log holds.
        limit: usize,
    },
    /// The hub is closed.
    Closed,
    /// The closure that was to write the data failed, or what it wrote is not UTF-8.
    Data(io::Error),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::InvalidField(_) => f.write_str("the event cannot be sent"),
            PublishError::CarriesId => {
                f.write_str("the event carries an id, and this hub assigns them")
            }
            PublishError::NoTopic => f.write_str("the event was published to no topic"),
            PublishError::TooLarge { size, limit } => {
                write!(f, "the event has {size} bytes, and the hub holds {limit}")
            }
            PublishError::Closed => f.write_str("the hub is closed"),
            PublishError::Data(_) => f.write_str("the event's data could not be written"),
        }
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PublishError::InvalidField(error) => Some(error),
            PublishError::Data(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PublishError> for io::Error {
    /// The kinds: `BrokenPipe` when closed, the data's own, and `InvalidInput` for all others. An
    /// [`InvalidField`] and the data's error are passed on as they are.
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::InvalidField(error) => error.into(),
            PublishError::Data(error) => error,
            PublishError::Closed => io::Error::new(io::ErrorKind::BrokenPipe, error),
            error => io::Error::new(io::ErrorKind::InvalidInput, error),
        }
    }
}

/// Why there is no subscription.
#[derive(Debug)]
#[non_exhaustive]
pub enum SubscribeError {
    /// There are as many subscriptions as the hub admits: answer 503 with a `Retry-After`.
    #[non_exhaustive]
    Full {
        /// How many that are.
        limit: usize,
    },
    /// The hub is closed.
    Closed,
    /// There is a gap, and [`GapPolicy::Refuse`](super::GapPolicy::Refuse) is set.
    #[non_exhaustive]
    Gap {
        /// How many events the client missed at most, where that is known.
        missed: Option<u64>,
    },
    /// It names more topics than [`Builder::with_max_topics`](super::Builder::with_max_topics) admits.
    #[non_exhaustive]
    TooManyTopics {
        /// How many that are.
        limit: usize,
    },
    /// The gap event cannot be sent.
    InvalidEvent(InvalidField),
    /// The [`History`](super::History) failed.
    History(io::Error),
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubscribeError::Full { limit } => {
                write!(f, "the hub is at its limit of {limit} subscribers")
            }
            SubscribeError::Closed => f.write_str("the hub is closed"),
            SubscribeError::Gap { missed: None } => f.write_str("the last event id is unknown"),
            SubscribeError::Gap {
                missed: Some(missed),
            } => write!(f, "up to {missed} events after the last event id are gone"),
            SubscribeError::TooManyTopics { limit } => {
                write!(f, "the subscription names more than {limit} topics")
            }
            SubscribeError::InvalidEvent(_) => f.write_str("the gap event cannot be sent"),
            SubscribeError::History(_) => f.write_str("the history failed"),
        }
    }
}

impl Error for SubscribeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SubscribeError::InvalidEvent(error) => Some(error),
            SubscribeError::History(error) => Some(error),
            _ => None,
        }
    }
}

impl From<SubscribeError> for io::Error {
    /// The kinds: `QuotaExceeded` when full, `BrokenPipe` when closed, `NotFound` for a gap,
    /// `InvalidInput` for too many topics and for the gap event, and the history's own.
    fn from(error: SubscribeError) -> Self {
        let kind = match &error {
            SubscribeError::Full { .. } => io::ErrorKind::QuotaExceeded,
            SubscribeError::Closed => io::ErrorKind::BrokenPipe,
            SubscribeError::Gap { .. } => io::ErrorKind::NotFound,
            SubscribeError::TooManyTopics { .. } | SubscribeError::InvalidEvent(_) => {
                io::ErrorKind::InvalidInput
            }
            SubscribeError::History(error) => error.kind(),
        };
        io::Error::new(kind, error)
    }
}

/// Why [`recv`](super::Subscription::recv) gave no event.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// The hub is closed, and everything was received; or the
    /// [last event](super::Subscribe::with_last) was. It stays so.
    Closed,
    /// The subscriber was so slow that events were evicted before it read them. The next call goes
    /// on at the oldest one that is left.
    #[non_exhaustive]
    Lagged {
        /// How many it missed at most.
        missed: u64,
    },
    /// The [`History`](super::History) failed. The next call asks it again, unless it led in a circle:
    /// then the log is next.
    History(io::Error),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("the hub is closed"),
            RecvError::Lagged { missed } => {
                write!(f, "the subscriber lagged: up to {missed} events are gone")
            }
            RecvError::History(_) => f.write_str("the history failed"),
        }
    }
}

impl Error for RecvError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RecvError::History(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RecvError> for io::Error {
    /// The kinds: `BrokenPipe` when closed, `Other` after a lag, and the history's own.
    fn from(error: RecvError) -> Self {
        let kind = match &error {
            RecvError::Closed => io::ErrorKind::BrokenPipe,
            RecvError::Lagged { .. } => io::ErrorKind::Other,
            RecvError::History(error) => error.kind(),
        };
        io::Error::new(kind, error)
    }
}

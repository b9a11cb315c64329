//! How subscribing and receiving can fail.

use std::error::Error;
use std::fmt;
use std::io;

use crate::encode::InvalidField;

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
    /// `InvalidInput` for the gap event, and the history's own.
    fn from(error: SubscribeError) -> Self {
        let kind = match &error {
            SubscribeError::Full { .. } => io::ErrorKind::QuotaExceeded,
            SubscribeError::Closed => io::ErrorKind::BrokenPipe,
            SubscribeError::Gap { .. } => io::ErrorKind::NotFound,
            SubscribeError::InvalidEvent(_) => io::ErrorKind::InvalidInput,
            SubscribeError::History(error) => error.kind(),
        };
        io::Error::new(kind, error)
    }
}

/// Why [`recv`](super::Subscription::recv) gave no event.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecvError {
    /// The hub is closed, and everything was received. It stays so.
    Closed,
    /// The subscriber was so slow that events were evicted before it read them. The next call goes
    /// on at the oldest one that is left.
    #[non_exhaustive]
    Lagged {
        /// How many it missed at most.
        missed: u64,
    },
    /// The [`History`](super::History) failed. The next call asks it again.
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

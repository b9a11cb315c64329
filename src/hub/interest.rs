//! What a subscription takes.

use super::shared::{Audience, Entry, Key};

/// What a subscription takes.
#[derive(Debug)]
pub(super) enum Interest {
    Everything,
    /// These topics, in the order of their keys, and what is published to everyone.
    Topics(Box<[(Key, Box<str>)]>),
}

impl Interest {
    pub(super) fn in_topics(mut topics: Vec<(Key, Box<str>)>) -> Self {
        topics.sort_unstable();
        topics.dedup();
        Interest::Topics(topics.into())
    }

    pub(super) fn takes(&self, entry: &Entry) -> bool {
        let wanted = match (self, &entry.audience) {
            (Interest::Everything, _) | (_, Audience::Everyone) => return true,
            (Interest::Topics(wanted), _) => wanted,
        };
        entry.audience.topics().iter().any(|key| {
            let start = wanted.partition_point(|(wanted, _)| wanted < key);
            let mut same = wanted[start..]
                .iter()
                .take_while(|(wanted, _)| wanted == key);
            // The names have the last word: two might share a hash.
            same.any(|(_, name)| entry.frame.is_of(name))
        })
    }

    /// Whether it names topics, but none: it takes what is published to everyone.
    pub(super) fn is_of_no_topic(&self) -> bool {
        matches!(self, Interest::Topics(topics) if topics.is_empty())
    }

    /// Its topics; none where it takes everything.
    pub(super) fn topics(&self) -> &[(Key, Box<str>)] {
        match self {
            Interest::Everything => &[],
            Interest::Topics(topics) => topics,
        }
    }

    /// The keys of its topics.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.topics().iter().map(|(key, _)| *key)
    }
}

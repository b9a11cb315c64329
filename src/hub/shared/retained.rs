//! The newest event of each topic, for those who come later than the log remembers.

use super::log::Evicted;
use super::{Entry, Interest, Retained};

impl Retained {
    pub(super) fn new(limit: usize, max_bytes: usize) -> Self {
        Retained {
            limit,
            max_bytes,
            ..Retained::default()
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Keeps an event for its topics. What it replaces is let go, and so are the oldest where there are
    /// too many.
    pub(super) fn keep(&mut self, event: Entry, let_go: &mut Evicted) {
        for &key in event.audience.topics() {
            let replaced = self.topics.insert(key, event.sequence);
            let replaced = replaced.filter(|&sequence| !self.is_needed(sequence));
            if let Some(sequence) = replaced {
                self.remove(sequence, let_go);
            }
        }
        if !event.audience.topics().is_empty() {
            self.bytes += event.held();
            self.events.insert(event.sequence, event);
        }
        while self.topics.len() > self.limit || self.bytes > self.max_bytes {
            let (&oldest, _) = self.events.first_key_value().expect("each topic has one");
            self.remove(oldest, let_go);
        }
    }

    /// Whether this is still the newest event of a topic.
    fn is_needed(&self, sequence: u64) -> bool {
        let keys = self
            .events
            .get(&sequence)
            .map(|event| event.audience.topics());
        let is_newest = |key| self.topics.get(key) == Some(&sequence);
        keys.is_some_and(|keys| keys.iter().any(is_newest))
    }

    fn remove(&mut self, sequence: u64, let_go: &mut Evicted) {
        let Some(event) = self.events.remove(&sequence) else {
            return;
        };
        for key in event.audience.topics() {
            if self.topics.get(key) == Some(&sequence) {
                self.topics.remove(key);
            }
        }
        self.bytes -= event.held();
        let_go.push(event);
    }

    /// Those before this sequence that are for such a subscription, oldest first.
    pub(in crate::hub) fn before(
        &self,
        sequence: u64,
        interest: &Interest,
    ) -> impl Iterator<Item = &Entry> {
        let events = self.events.range(..sequence).map(|(_, event)| event);
        events.filter(|event| interest.takes(event) && self.is_newest_for(event, interest))
    }

    /// Whether it is the newest event of a topic that is wanted, and not only of one that is not.
    fn is_newest_for(&self, event: &Entry, interest: &Interest) -> bool {
        let wanted = match interest {
            Interest::Everything => return true,
            Interest::Topics(wanted) => wanted,
        };
        event.audience.topics().iter().any(|key| {
            let is_newest = self.topics.get(key) == Some(&event.sequence);
            is_newest && wanted.binary_search_by(|(topic, _)| topic.cmp(key)).is_ok()
        })
    }
}

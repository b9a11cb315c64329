//! Where the events go that a contender gives out.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Takes events in place, as they are lent or owned.
pub trait Sink: Default {
    /// One event. A field that it does not have is empty.
    fn take(&mut self, name: &str, id: &str, data: &[u8]);
}

/// What the timed part looks at: how much there is of each field, and no more.
///
/// Nothing else would be fair. To move an event into a black box costs a lending reader, whose
/// events are slices, more than the parsing does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// The lengths of their data, summed.
    pub data: u64,
    /// The lengths of their names and ids, summed. Not compared: some peers call an event without a
    /// name "message", and some repeat the last event ID.
    pub fields: u64,
}

impl Sink for Tally {
    #[inline]
    fn take(&mut self, name: &str, id: &str, data: &[u8]) {
        self.events += 1;
        self.data += data.len() as u64;
        self.fields += (name.len() + id.len()) as u64;
    }
}

/// What the check outside of the timed part looks at: every byte of the data, too.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    tally: Tally,
    hasher: DefaultHasher,
}

impl Digest {
    /// Whether these are the same events, by their data. Otherwise, how they differ.
    pub fn compare(&self, expected: &Digest) -> Result<(), String> {
        let (got, wanted) = (self.tally, expected.tally);
        if (got.events, got.data) != (wanted.events, wanted.data) {
            return Err(format!(
                "{} events with {} bytes of data, not {} with {}",
                got.events, got.data, wanted.events, wanted.data
            ));
        }
        if self.hasher.finish() != expected.hasher.finish() {
            return Err("the right number of bytes, but not the right ones".into());
        }
        Ok(())
    }

    /// The counts alone.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

impl Sink for Digest {
    fn take(&mut self, name: &str, id: &str, data: &[u8]) {
        self.tally.take(name, id, data);
        data.hash(&mut self.hasher);
    }
}

//! An entry of the stream: an event, and whom it is for.

use std::fmt;
use std::str::FromStr;

use sse_io::Event;

/// The most that an entry may have, in bytes on the wire. Whatever else is in the stream, a page of
/// the history is bounded, and the log has room for many.
pub const MAX_BYTES: usize = 64 << 10;

/// How many topics a post or a subscriber may name.
pub const MAX_TOPICS: usize = 32;

/// The id that Redis gave an entry. Ids have the order of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Milliseconds, by the clock of Redis.
    pub ms: u64,
    /// The number within the millisecond.
    pub seq: u64,
}

/// No id, or not as Redis writes it. A client sends what it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedId;

impl FromStr for EntryId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let (ms, seq) = text.split_once('-').ok_or(MalformedId)?;
        let ms = ms.parse().map_err(|_| MalformedId)?;
        let seq = seq.parse().map_err(|_| MalformedId)?;
        let id = EntryId { ms, seq };
        // `+1-01` would be another id for the same entry.
        (id.to_string() == text).then_some(id).ok_or(MalformedId)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// What is published. In the stream its parts are the fields `topic` (any number of them), `name`
/// and `data`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Post {
    /// Whom it is for: the subscribers of these topics; everyone when there are none.
    pub topics: Vec<String>,
    /// The name of the event.
    pub name: Option<String>,
    /// Its data.
    pub data: String,
}

impl Post {
    /// What the fields say; fields with other names are somebody else's.
    pub(crate) fn from_fields(fields: &[Vec<u8>]) -> Self {
        let mut post = Post::default();
        for field in fields.chunks_exact(2) {
            let text = || String::from_utf8_lossy(&field[1]).into_owned();
            match &*field[0] {
                b"topic" => post.topics.push(text()),
                b"name" => post.name = Some(text()),
                b"data" => post.data = text(),
                _ => {}
            }
        }
        post
    }

    pub(crate) fn fields(&self) -> Vec<(&str, &str)> {
        let topics = self.topics.iter().map(|topic| ("topic", &**topic));
        let name = self.name.iter().map(|name| ("name", &**name));
        topics.chain(name).chain([("data", &*self.data)]).collect()
    }

    /// The event, without its id.
    pub fn event(&self) -> Event<'_> {
        let event = Event::new(&*self.data);
        match &self.name {
            Some(name) => event.with_name(name),
            None => event,
        }
    }

    /// Whether it can be sent: what cannot is refused before it is stored, and passed over if
    /// another program stored it.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn check(&self) -> Result<(), String> {
        let topics = self.topics.len();
        if topics > MAX_TOPICS {
            return Err(format!("{topics} topics are more than {MAX_TOPICS}"));
        }
        let mut wire = Vec::new();
        let bytes = self.event().encode(&mut wire).map_err(|e| e.to_string())?;
        let bytes = bytes + self.topics.iter().map(String::len).sum::<usize>();
        if bytes > MAX_BYTES {
            return Err(format!("{bytes} bytes are more than {MAX_BYTES}"));
        }
        Ok(())
    }

    /// Whether it is for a subscriber of these topics; with none, for one who takes everything.
    pub fn is_for(&self, topics: &[&str]) -> bool {
        let named = |topic: &String| topics.contains(&&**topic);
        topics.is_empty() || self.topics.is_empty() || self.topics.iter().any(named)
    }
}

/// What is in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// The rest.
    pub post: Post,
}

impl Entry {
    /// The event, with its id.
    pub fn event(&self) -> Event<'_> {
        self.post.event().with_id(self.id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_only_as_redis_writes_them() {
        let id = EntryId { ms: 12, seq: 3 };
        assert_eq!("12-3".parse(), Ok(id));
        for text in [
            "", "-", "12", "12-", "-3", "+12-3", "12-03", "12-3-4", "12-3 ", "x-y", "12--3",
        ] {
            assert_eq!(text.parse::<EntryId>(), Err(MalformedId), "{text:?}");
        }
        assert_eq!(
            "99999999999999999999-0".parse::<EntryId>(),
            Err(MalformedId)
        );
    }

    #[test]
    fn ids_have_the_order_of_the_stream() {
        let ids = ["9-9", "10-0", "10-2", "10-10"].map(|id| id.parse::<EntryId>().unwrap());
        assert!(ids.is_sorted());
    }

    #[test]
    fn fields_read_back_as_they_were() {
        let post = Post {
            topics: vec!["a".into(), "b,c".into()],
            name: Some("n".into()),
            data: "one\ntwo".into(),
        };
        let pairs = post.fields().into_iter();
        let flat: Vec<_> = pairs.flat_map(|(k, v)| [k.into(), v.into()]).collect();
        assert_eq!(Post::from_fields(&flat), post);
    }

    #[test]
    fn what_cannot_be_sent_is_told() {
        let post = |name: &str, data: String| Post {
            name: Some(name.into()),
            data,
            ..Post::default()
        };
        assert_eq!(post("fine", "x".into()).check(), Ok(()));
        assert!(post("two\nlines", "x".into()).check().is_err());
        assert!(post("large", "x".repeat(MAX_BYTES)).check().is_err());
        let topics = |count| Post {
            topics: vec![String::new(); count],
            ..Post::default()
        };
        assert_eq!(topics(MAX_TOPICS).check(), Ok(()));
        let problem = topics(MAX_TOPICS + 1).check();
        assert_eq!(problem, Err("33 topics are more than 32".into()));
    }
}

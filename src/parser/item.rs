//! What a stream holds, and the error for what is too large.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;

use crate::event::Event;

/// What a stream holds, comments included: see [`Reader::read_item`](crate::Reader::read_item).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Item<'a> {
    /// An event.
    #[non_exhaustive]
    Event {
        /// The event itself.
        event: Event<'a>,
        /// The last event ID at this event: its own id, or that of the last block that had one.
        last_event_id: Cow<'a, str>,
    },
    /// A comment: the line without its colon and without one space after that.
    Comment(Cow<'a, str>),
}

impl Item<'_> {
    /// The same item, owning its strings. Allocates for each borrowed string that is not empty.
    ///
    /// ```
    /// use sse_io::{Item, Reader};
    ///
    /// let mut reader = Reader::new(&b": ping\n\nid: 1\ndata: x\n\n"[..]);
    /// let mut items = Vec::new();
    /// while let Some(item) = reader.read_item()? {
    ///     items.push(item.into_owned());
    /// }
    /// assert_eq!(items[0], Item::Comment("ping".into()));
    /// assert!(matches!(&items[1], Item::Event { last_event_id, .. } if last_event_id == "1"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_owned(self) -> Item<'static> {
        match self {
            Item::Event {
                event,
                last_event_id,
            } => Item::Event {
                event: event.into_owned(),
                last_event_id: Cow::Owned(last_event_id.into_owned()),
            },
            Item::Comment(text) => Item::Comment(Cow::Owned(text.into_owned())),
        }
    }
}

/// An event (or a comment, where those are read) exceeds the limit of the parser or reader.
///
/// A [`Reader`](crate::Reader) returns it inside an [`io::Error`] of kind
/// [`InvalidData`](io::ErrorKind::InvalidData), where [`of`](EventTooLarge::of) finds it. It is not
/// final: what is left of the event is skipped, and the next call gives the event after it.
///
/// ```
/// use sse_io::{EventTooLarge, Reader};
///
/// let mut reader = Reader::new(&b"data: far too long\n\ndata: ok\n\n"[..]).with_max_event_size(8);
/// let mut seen = Vec::new();
/// loop {
///     match reader.read_event() {
///         Ok(Some(event)) => seen.push(event.data.into_owned()),
///         Ok(None) => break,
///         Err(error) if EventTooLarge::of(&error).is_some() => seen.push(error.to_string()),
///         Err(error) => return Err(error),
///     }
/// }
/// assert_eq!(seen, ["event exceeds the limit of 8 bytes", "ok"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLarge {
    limit: usize,
}

impl EventTooLarge {
    pub(super) fn new(limit: usize) -> Self {
        EventTooLarge { limit }
    }

    /// The limit that was exceeded, in bytes.
    ///
    /// ```
    /// use sse_io::{EventTooLarge, Reader};
    ///
    /// let mut reader = Reader::new(&b"data: far too long\n\n"[..]).with_max_event_size(8);
    /// let error = reader.read_event().unwrap_err();
    /// assert_eq!(EventTooLarge::of(&error).map(EventTooLarge::limit), Some(8));
    /// ```
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The `EventTooLarge` inside an error, if there is one.
    ///
    /// ```
    /// use sse_io::{EventTooLarge, Reader};
    ///
    /// let mut reader = Reader::new(&b"data: far too long\n\n"[..]).with_max_event_size(8);
    /// let error = reader.read_event().unwrap_err();
    /// assert_eq!(EventTooLarge::of(&error).map(EventTooLarge::limit), Some(8));
    /// assert_eq!(EventTooLarge::of(&std::io::Error::other("another")), None);
    /// ```
    pub fn of(error: &io::Error) -> Option<&EventTooLarge> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for EventTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event exceeds the limit of {} bytes", self.limit)
    }
}

impl Error for EventTooLarge {}

impl From<EventTooLarge> for io::Error {
    fn from(error: EventTooLarge) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

//! What a hub hands out: frames and ids, both handles to the same shared bytes.

use std::borrow::Borrow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use crate::encode::{self, InvalidField};
use crate::event::Event;
use crate::writer::FrameBuffer;

thread_local! {
    /// Where this thread encodes before it knows how much there is to share.
    static SCRATCH: Cell<Option<FrameBuffer>> = const { Cell::new(None) };
}

/// An event as a [`Hub`](crate::Hub) keeps it: its wire form, encoded once and shared by all.
///
/// Cloning counts a reference up and copies nothing. A frame that is kept keeps its bytes, even when
/// the hub has let them go.
///
/// ```
/// use sse_io::{Event, Hub};
///
/// let hub = Hub::new();
/// let mut subscription = hub.subscribe().start()?;
/// let id = hub.publish_to(["weather"], &Event::new("rain").with_name("now"))?;
/// let frame = subscription.recv()?;
/// assert_eq!(frame.id(), Some(id.as_str()));
/// assert_eq!(frame.topics().collect::<Vec<_>>(), ["weather"]);
/// assert_eq!(frame.as_bytes(), format!("event: now\nid: {id}\ndata: rain\n\n").as_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Frame {
    /// For each topic its length in eight bytes and its name, then the wire form: one allocation
    /// holds all that is kept of an event.
    bytes: Arc<[u8]>,
    /// Where the wire form begins.
    wire: usize,
    /// Where the id stands; 0 is no id, as a field name comes before.
    id: (usize, usize),
}

/// A frame in the making: first its topics, then its event.
#[derive(Debug)]
pub(super) struct Draft {
    buffer: FrameBuffer,
}

impl Draft {
    #[inline]
    pub(super) fn new() -> Self {
        // Taken out, not borrowed: an encoding closure may be the user's and encode as well. No
        // scratch is left on a thread that is ending.
        let scratch = SCRATCH.try_with(Cell::take).ok().flatten();
        let mut buffer = scratch.unwrap_or_default();
        buffer.clear();
        Draft { buffer }
    }

    /// Adds a topic.
    pub(super) fn topic(&mut self, name: &str) {
        self.buffer.extend(&(name.len() as u64).to_le_bytes());
        self.buffer.extend(name.as_bytes());
    }

    /// Encodes the event: `write` appends the wire form of the one that it is given.
    pub(super) fn event(
        &mut self,
        event: &Event<'_>,
        write: impl FnOnce(&mut FrameBuffer, &Event<'_>) -> io::Result<()>,
    ) -> io::Result<Frame> {
        let wire = self.buffer.len();
        write(&mut self.buffer, event)?;
        let id = encode::id_span(event);
        let id = id.map_or((0, 0), |span| (wire + span.start, wire + span.end));
        Ok(self.frame(wire, id))
    }

    /// What is no event: the reconnection times at the two ends of a range.
    fn retry(&mut self, range: &RangeInclusive<Duration>) -> Result<Frame, InvalidField> {
        self.buffer.retry(*range.start())?;
        if range.start() != range.end() {
            self.buffer.retry(*range.end())?;
        }
        Ok(self.frame(0, (0, 0)))
    }

    fn frame(&self, wire: usize, id: (usize, usize)) -> Frame {
        Frame {
            bytes: Arc::from(self.buffer.as_bytes()),
            wire,
            id,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer).recycle();
        let _ = SCRATCH.try_with(|scratch| scratch.set(Some(buffer)));
    }
}

impl Frame {
    /// Encodes an event that has no topics.
    pub(super) fn of(event: &Event<'_>) -> io::Result<Frame> {
        Draft::new().event(event, |buffer, event| buffer.event(event))
    }

    /// A reconnection time out of this range for each client.
    pub(super) fn retry(range: &RangeInclusive<Duration>) -> Result<Frame, InvalidField> {
        Draft::new().retry(range)
    }

    /// For a reconnection time: that of one client, which stands as far within the range as `part`
    /// does within all numbers.
    pub(super) fn retry_at(&self, part: u64) -> Option<Frame> {
        let mut times = self.retry_times()?;
        let least = times.next()?;
        // A range that ends before it begins is its beginning alone.
        let most = times.next().unwrap_or(least).max(least);
        let choice = u128::from(most - least) + 1;
        let within = (u128::from(part) * choice) >> u64::BITS;
        let wait = Duration::from_millis(least + u64::try_from(within).ok()?);
        Frame::retry(&(wait..=wait)).ok()
    }

    /// The times in a frame of nothing else, in milliseconds.
    #[inline]
    fn retry_times(&self) -> Option<impl Iterator<Item = u64>> {
        if !self.as_bytes().starts_with(b"retry:") {
            return None;
        }
        let text = self.text(self.wire..self.bytes.len());
        let lines = text.split('\n').filter(|line| !line.is_empty());
        let times = lines.map(|line| line.strip_prefix("retry: "));
        let is_retry = times.clone().all(|time| time.is_some());
        is_retry.then(|| times.filter_map(|time| time?.parse().ok()))
    }

    /// The bytes of the id, while nobody else has the frame.
    pub(super) fn id_mut(&mut self) -> Option<&mut [u8]> {
        let span = self.id_span()?;
        Some(&mut Arc::get_mut(&mut self.bytes)?[span])
    }

    #[inline]
    fn id_span(&self) -> Option<Range<usize>> {
        match self.id {
            (0, _) => None,
            (start, end) => Some(start..end),
        }
    }

    /// How many bytes the frame holds in memory, its topics included.
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a client that gets it can come back with its id.
    #[inline]
    pub(super) fn moves_last_event_id(&self) -> bool {
        self.id_span().is_some_and(|span| !span.is_empty())
    }

    fn text(&self, range: Range<usize>) -> &str {
        as_text(&self.bytes[range])
    }

    /// The wire form, with its blank line: for [`Write::write_all`](io::Write::write_all).
    ///
    /// ```
    /// # use sse_io::{Event, Hub, hub::IdPolicy};
    /// let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
    /// let mut subscription = hub.subscribe().start()?;
    /// hub.publish(&Event::new("x").with_id("7"))?;
    /// assert_eq!(subscription.recv()?.as_bytes(), b"id: 7\ndata: x\n\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.wire..]
    }

    /// The event, which borrows from the frame; the data of several lines alone is put together anew.
    ///
    /// ```
    /// use sse_io::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let mut alarms = hub
    ///     .subscribe()
    ///     .with_filter(|frame| frame.event().name.as_deref() == Some("alarm"))
    ///     .start()?;
    /// hub.publish(&Event::new("all is well").with_name("state"))?;
    /// hub.publish(&Event::new("fire\nin the attic").with_name("alarm"))?;
    /// assert_eq!(alarms.recv()?.event().data, "fire\nin the attic");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn event(&self) -> Event<'_> {
        encode::decode(self.text(self.wire..self.bytes.len()))
    }

    /// Whether this is an event. [`Hub::retry`](super::Hub::retry) alone makes frames that are not:
    /// a reconnection time, which no filter sees.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().start()?;
    /// hub.retry(Duration::from_secs(5)..=Duration::from_secs(30))?;
    /// hub.publish(&Event::new("x"))?;
    /// assert!(!subscription.recv()?.is_event());
    /// assert!(subscription.recv()?.is_event());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_event(&self) -> bool {
        self.retry_times().is_none()
    }

    /// The event's id, if it has one.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().start()?;
    /// let id = hub.publish(&Event::new("x"))?;
    /// assert_eq!(subscription.recv()?.id(), Some(id.as_str()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn id(&self) -> Option<&str> {
        self.id_span().map(|span| self.text(span))
    }

    /// The topics that the event was published to; none for one that was published to everyone, and
    /// for one that a [`History`](super::History) gave.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::new();
    /// let mut subscription = hub.subscribe().start()?;
    /// hub.publish_to(["a", "b"], &Event::new("x"))?;
    /// assert!(subscription.recv()?.topics().eq(["a", "b"]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.names().map(as_text)
    }

    /// Whether the event was published to this topic.
    #[inline]
    pub(super) fn is_of(&self, topic: &str) -> bool {
        self.names().any(|name| name == topic.as_bytes())
    }

    /// The names of its topics, as they are kept.
    #[inline]
    fn names(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..self.wire];
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (name, others) = behind.split_at(length);
            rest = others;
            Some(name)
        })
    }
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it was encoded from a `str`")
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("id", &self.id())
            .field("topics", &self.topics().collect::<Vec<_>>())
            .field(
                "bytes",
                &format_args!("b\"{}\"", self.as_bytes().escape_ascii()),
            )
            .finish()
    }
}

/// The id under which an event was published: a text, empty for an event without an id.
///
/// A handle to the event's frame: cloning copies nothing, and keeping one keeps the frame. Use
/// `to_string` for an id that is kept for long.
///
/// ```
/// use sse_io::{Event, Hub};
///
/// let hub = Hub::new();
/// let id = hub.publish(&Event::new("x"))?;
/// assert_eq!(id.as_str().len(), 33);
/// assert!(id.as_str().ends_with("-0000000000000001"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct EventId(pub(super) Frame);

impl EventId {
    /// The id.
    ///
    /// ```
    /// # use sse_io::{Event, Hub};
    /// let hub = Hub::new();
    /// let id = hub.publish(&Event::new("x"))?;
    /// assert_eq!(id.as_str(), id.to_string());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn as_str(&self) -> &str {
        self.0.id().unwrap_or_default()
    }
}

impl AsRef<str> for EventId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for EventId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for EventId {}

impl Hash for EventId {
    /// As the `str`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Ord for EventId {
    /// As the `str`. Ids that one hub assigned are in the order of their events.
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for EventId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<str> for EventId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for EventId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for EventId {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reconnection_time_is_any_of_the_range_and_each_as_often() {
        let range = Duration::from_millis(7)..=Duration::from_millis(8);
        let frame = Frame::retry(&range).unwrap();
        let time = |part| frame.retry_at(part).unwrap().event().retry.unwrap();
        let half = 1 << 63;
        assert_eq!([time(0), time(half - 1)], [*range.start(); 2]);
        assert_eq!([time(half), time(u64::MAX)], [*range.end(); 2]);
    }
}

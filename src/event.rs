//! The event: plain data, used in both directions.

mod extensions;

use std::borrow::Cow;
use std::time::Duration;

pub use extensions::Extensions;
pub(crate) use extensions::Fields;

/// One event of a stream, as sent or as received.
///
/// Plain data: every field is public, nothing is checked while it is built. What cannot be sent is
/// refused when it is encoded, by [`encode`](Event::encode), [`Writer`](crate::Writer) or
/// [`Emitter`](crate::Emitter), with an [`InvalidField`](crate::InvalidField) and not one byte written.
///
/// Strings may be borrowed or owned. An event lent by a [`Reader`](crate::Reader) borrows from it;
/// [`into_owned`](Event::into_owned) makes it outlive the reader's next call.
///
/// ```
/// use sse_io::Event;
///
/// let event = Event::new("line one\nline two").with_name("update").with_id("7");
/// let mut wire = Vec::new();
/// event.encode(&mut wire)?;
/// assert_eq!(wire, b"event: update\nid: 7\ndata: line one\ndata: line two\n\n");
/// assert_eq!(String::from_utf8(wire)?.parse::<Event>()?, event);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Event<'a> {
    /// The `event` field: the type that listeners subscribe to. `None` is the default type,
    /// "message". `Some("")` is sent and means the same; it reads back as `None`.
    pub name: Option<Cow<'a, str>>,
    /// The `id` field of this very event. `None` leaves the client's last event ID as it is,
    /// `Some("")` resets it.
    pub id: Option<Cow<'a, str>>,
    /// The `retry` field of this very event: the client's new reconnection time. Sent in whole
    /// milliseconds, rounded up.
    pub retry: Option<Duration>,
    /// The payload. CRLF, CR and LF in it are sent as line breaks, which read back as LF.
    pub data: Cow<'a, str>,
    /// The fields that the standard does not know. Clients that follow it ignore them.
    pub extensions: Extensions,
}

impl<'a> Event<'a> {
    /// An event of the default type with this payload.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let event = Event::new("hello");
    /// assert_eq!((&*event.data, event.name, event.id), ("hello", None, None));
    /// ```
    pub fn new(data: impl Into<Cow<'a, str>>) -> Self {
        Event {
            data: data.into(),
            ..Event::default()
        }
    }

    /// Sets the type. Default: none, which clients take as "message".
    ///
    /// ```
    /// # use sse_io::Event;
    /// assert_eq!(Event::new("x").with_name("tick").name.as_deref(), Some("tick"));
    /// ```
    #[must_use = "the setter returns the event"]
    pub fn with_name(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the id, which clients send back as `Last-Event-ID` when they reconnect; the empty id
    /// resets theirs. Default: none.
    ///
    /// ```
    /// # use sse_io::Event;
    /// assert_eq!(Event::new("x").with_id(7.to_string()).id.as_deref(), Some("7"));
    /// ```
    #[must_use = "the setter returns the event"]
    pub fn with_id(mut self, id: impl Into<Cow<'a, str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the client's reconnection time. Default: none, which leaves it as it is.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sse_io::Event;
    /// let mut wire = Vec::new();
    /// Event::new("x").with_retry(Duration::from_secs(2)).encode(&mut wire)?;
    /// assert_eq!(wire, b"retry: 2000\ndata: x\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "the setter returns the event"]
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Adds a copy of a field that the standard does not know. Default: no such fields.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let mut wire = Vec::new();
    /// Event::new("x").with_extension("trace", "abc").encode(&mut wire)?;
    /// assert_eq!(wire, b"trace: abc\ndata: x\n\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "the setter returns the event"]
    pub fn with_extension(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.extensions.push(name.as_ref(), value.as_ref());
        self
    }

    /// The type that this event is dispatched as: its name, or "message" where that is absent or
    /// empty (HTML standard, 9.2.6).
    ///
    /// ```
    /// # use sse_io::Event;
    /// assert_eq!(Event::new("x").event_type(), "message");
    /// assert_eq!(Event::new("x").with_name("tick").event_type(), "tick");
    /// ```
    pub fn event_type(&self) -> &str {
        self.name
            .as_deref()
            .filter(|name| !name.is_empty())
            .unwrap_or("message")
    }

    /// The same event, owning its strings. Allocates for each borrowed string that is not empty.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let text = String::from("hello");
    /// let event: Event<'static> = Event::new(&text).into_owned();
    /// drop(text);
    /// assert_eq!(event.data, "hello");
    /// ```
    pub fn into_owned(self) -> Event<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        Event {
            name: self.name.map(own),
            id: self.id.map(own),
            retry: self.retry,
            data: own(self.data),
            extensions: self.extensions,
        }
    }
}

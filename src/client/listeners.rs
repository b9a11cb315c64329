//! Handlers by event type, for those who would rather be called than call.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::error::Error;
use crate::event::Event;
use crate::sync::ignore_poison;

/// Handlers for [`EventSource::run`](super::EventSource::run), called in the order in which they
/// were added.
///
/// They are told of what the stream holds. What becomes of the connection is told in one place,
/// [`EventSource::on_state`](super::EventSource::on_state): open, waiting, closed.
///
/// Clones share their handlers. Handlers can be added and removed at any time, from inside a handler
/// and from other threads; one that is added while an event is being handed out sees the next one.
/// No lock is held over a handler but its own, which keeps a handler that two clients share from
/// running twice at once: it must not `run` a client with these same listeners itself.
///
/// ```
/// use sse_io::EventSource;
/// use sse_io::client::{Listeners, Response};
///
/// let stream = b"event: tick\nid: 1\ndata: a\n\ndata: b\n\n";
/// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", &stream[..])))
///     .with_finite(true);
///
/// let listeners = Listeners::new();
/// let (seen, events) = std::sync::mpsc::channel();
/// let all = seen.clone();
/// listeners.on("tick", move |event, id| seen.send(format!("{} {id}", event.data)).unwrap());
/// listeners.on_any(move |event, _| all.send(event.event_type().to_owned()).unwrap());
/// source.run(&listeners)?;
/// drop(listeners);
/// assert_eq!(events.iter().collect::<Vec<_>>(), ["a 1", "tick", "message"]);
/// # Ok::<(), sse_io::client::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Listeners {
    table: Arc<Mutex<Table>>,
}

/// The handlers, in the order of their numbers.
#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    next_number: u64,
}

#[derive(Clone)]
struct Entry {
    number: u64,
    handler: Handler,
}

type Shared<F> = Arc<Mutex<Box<F>>>;
type OnEvent = dyn FnMut(&Event<'_>, &str) + Send;

#[derive(Clone)]
enum Handler {
    /// For events of this type; None is all of them.
    Event(Option<Arc<str>>, Shared<OnEvent>),
    Comment(Shared<dyn FnMut(&str) + Send>),
    Error(Shared<dyn FnMut(&Error) + Send>),
}

/// What the handlers are told of.
pub(super) enum Notice<'a> {
    Event(&'a Event<'a>, &'a str),
    Comment(&'a str),
    Error(&'a Error),
}

impl Listeners {
    /// No handlers yet.
    ///
    /// ```
    /// # use sse_io::{EventSource, client::{Listeners, Response}};
    /// let stream = &b"data: nobody listens\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// assert!(source.run(&Listeners::new()).is_ok());
    /// ```
    pub fn new() -> Self {
        Listeners::default()
    }

    /// Adds a handler for events of one type, as [`Event::event_type`] gives it: `on("message", …)`
    /// sees the events without a name. It is called with the event and the last event ID.
    ///
    /// ```
    /// # use std::sync::mpsc;
    /// # use sse_io::{EventSource, client::{Listeners, Response}};
    /// let stream = &b"event: tick\nid: 7\ndata: a\n\ndata: b\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// let listeners = Listeners::new();
    /// let (seen, events) = mpsc::channel();
    /// listeners.on("tick", move |event, id| seen.send(format!("{} {id}", event.data)).unwrap());
    /// source.run(&listeners)?;
    /// assert_eq!(events.try_iter().collect::<Vec<_>>(), ["a 7"]);
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn on(
        &self,
        name: impl Into<String>,
        handler: impl FnMut(&Event<'_>, &str) + Send + 'static,
    ) -> Listener {
        let name: String = name.into();
        self.add(Handler::Event(Some(name.into()), shared(Box::new(handler))))
    }

    /// Adds a handler for events without a name: `on("message", …)`.
    ///
    /// ```
    /// # use std::sync::mpsc;
    /// # use sse_io::{EventSource, client::{Listeners, Response}};
    /// let stream = &b"event: tick\nid: 7\ndata: a\n\ndata: b\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// let listeners = Listeners::new();
    /// let (seen, events) = mpsc::channel();
    /// listeners.on_message(move |event, id| seen.send(format!("{} {id}", event.data)).unwrap());
    /// source.run(&listeners)?;
    /// assert_eq!(events.try_iter().collect::<Vec<_>>(), ["b 7"]);
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn on_message(&self, handler: impl FnMut(&Event<'_>, &str) + Send + 'static) -> Listener {
        self.on("message", handler)
    }

    /// Adds a handler for every event, whatever its type.
    ///
    /// ```
    /// # use std::sync::mpsc;
    /// # use sse_io::{EventSource, client::{Listeners, Response}};
    /// let stream = &b"event: tick\nid: 7\ndata: a\n\ndata: b\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// let listeners = Listeners::new();
    /// let (seen, events) = mpsc::channel();
    /// listeners.on_any(move |event, _| seen.send(event.event_type().to_owned()).unwrap());
    /// source.run(&listeners)?;
    /// assert_eq!(events.try_iter().collect::<Vec<_>>(), ["tick", "message"]);
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn on_any(&self, handler: impl FnMut(&Event<'_>, &str) + Send + 'static) -> Listener {
        self.add(Handler::Event(None, shared(Box::new(handler))))
    }

    /// Adds a handler for comments, which many servers send as heartbeats. Without one they are
    /// passed over and not kept.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{Listeners, Response};
    ///
    /// let stream = &b": still there\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// let listeners = Listeners::new();
    /// let (seen, comments) = std::sync::mpsc::channel();
    /// listeners.on_comment(move |text| seen.send(text.to_owned()).unwrap());
    /// source.run(&listeners)?;
    /// assert_eq!(comments.recv().unwrap(), "still there");
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn on_comment(&self, handler: impl FnMut(&str) + Send + 'static) -> Listener {
        self.add(Handler::Comment(shared(Box::new(handler))))
    }

    /// Adds a handler for the errors that do not end the stream: an event that was too large.
    ///
    /// ```
    /// # use std::sync::mpsc;
    /// # use sse_io::{EventSource, client::{ErrorKind, Listeners, Response}};
    /// let stream = &b"data: far too long\n\ndata: ok\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_max_event_size(8)
    ///     .with_finite(true);
    /// let listeners = Listeners::new();
    /// let (seen, errors) = mpsc::channel();
    /// listeners.on_error(move |error| seen.send(error.kind()).unwrap());
    /// source.run(&listeners)?;
    /// assert!(matches!(errors.try_recv(), Ok(ErrorKind::EventTooLarge)));
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn on_error(&self, handler: impl FnMut(&Error) + Send + 'static) -> Listener {
        self.add(Handler::Error(shared(Box::new(handler))))
    }

    fn add(&self, handler: Handler) -> Listener {
        let mut table = lock(&self.table);
        let number = table.next_number;
        table.next_number += 1;
        table.entries.push(Entry { number, handler });
        Listener {
            table: Arc::downgrade(&self.table),
            number,
        }
    }

    /// Whether a handler wants comments.
    pub(super) fn want_comments(&self) -> bool {
        let table = lock(&self.table);
        let wants = |entry: &Entry| matches!(entry.handler, Handler::Comment(_));
        table.entries.iter().any(wants)
    }

    /// Calls the handlers that the notice is for, one after the other, for as long as `go_on` says.
    pub(super) fn notify(&self, notice: &Notice<'_>, go_on: impl Fn() -> bool) {
        let end = lock(&self.table).next_number;
        let mut next = 0;
        while go_on() {
            let Some(Entry { number, handler }) = lock(&self.table).find(next..end, notice) else {
                return;
            };
            handler.call(notice);
            next = number + 1;
        }
    }
}

impl Table {
    /// The first handler with a number in that range which the notice is for.
    fn find(&self, numbers: std::ops::Range<u64>, notice: &Notice<'_>) -> Option<Entry> {
        let from = self
            .entries
            .partition_point(|entry| entry.number < numbers.start);
        self.entries[from..]
            .iter()
            .take_while(|entry| entry.number < numbers.end)
            .find(|entry| entry.handler.wants(notice))
            .cloned()
    }
}

impl Handler {
    fn wants(&self, notice: &Notice<'_>) -> bool {
        match (self, notice) {
            (Handler::Event(None, _), Notice::Event(..))
            | (Handler::Comment(_), Notice::Comment(_))
            | (Handler::Error(_), Notice::Error(_)) => true,
            (Handler::Event(Some(name), _), Notice::Event(event, _)) => {
                **name == *event.event_type()
            }
            _ => false,
        }
    }

    fn call(&self, notice: &Notice<'_>) {
        match (self, notice) {
            (Handler::Event(_, f), Notice::Event(event, id)) => lock(f)(event, id),
            (Handler::Comment(f), Notice::Comment(text)) => lock(f)(text),
            (Handler::Error(f), Notice::Error(error)) => lock(f)(error),
            _ => {}
        }
    }
}

fn shared<F: ?Sized>(handler: Box<F>) -> Shared<F> {
    Arc::new(Mutex::new(handler))
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    ignore_poison(mutex.lock())
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners")
            .field("handlers", &lock(&self.table).entries.len())
            .finish()
    }
}

/// One handler of [`Listeners`]. Dropping this does nothing; [`remove`](Listener::remove) removes
/// the handler.
#[derive(Clone)]
pub struct Listener {
    table: Weak<Mutex<Table>>,
    number: u64,
}

impl Listener {
    /// Removes the handler: it is not called any more, though a call on another thread may still be
    /// under way. Does nothing when it is gone already.
    ///
    /// ```
    /// # use sse_io::{EventSource, client::{Listeners, Response}};
    /// let stream = &b"data: a\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// let listeners = Listeners::new();
    /// let listener = listeners.on_message(|_, _| panic!("it was removed"));
    /// listener.remove();
    /// source.run(&listeners)?;
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn remove(&self) {
        let Some(table) = self.table.upgrade() else {
            return;
        };
        let mut entries = lock(&table);
        let found = entries
            .entries
            .binary_search_by_key(&self.number, |entry| entry.number);
        let removed = found.ok().map(|index| entries.entries.remove(index));
        // What the handler holds is the user's: it is dropped without the lock.
        drop(entries);
        drop(removed);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

//! The client itself: connect, read, lose, wait, connect again.

use std::fmt;
use std::io::{self, BufRead};
use std::iter::FusedIterator;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, Next};
use super::body::{self, Watched};
use super::clock::{Clock, Random, SystemClock};
use super::closer::{Closer, Control, Ending, State};
use super::connect::{Connect, ConnectError, Request, Response, withholds};
use super::error::{Error, ErrorKind};
use super::listeners::{Listeners, Notice};
use super::settings::Settings;
use crate::event::Event;
use crate::parser::{EventTooLarge, Item, Step};
use crate::reader::Reader;

/// An event stream that comes back by itself when its connection is lost, and goes on where it was.
///
/// [`next_event`](EventSource::next_event) connects, reads, waits and connects again, all on the
/// calling thread; [`closer`](EventSource::closer) gives what ends it from another one. See the
/// [module's documentation](crate::client) for the rules.
///
/// Nothing is allocated per event once the buffers have grown, connecting aside.
///
/// ```
/// use std::io;
/// use sse_io::EventSource;
/// use sse_io::client::Response;
///
/// // Two connections, the first of which is lost in the middle of an event.
/// let mut bodies = [&b"retry: 100\n\nid: 1\ndata: a\n\nid: 2\nda"[..], b"id: 2\ndata: b\n\n"].into_iter();
/// let mut source = EventSource::new(move |request| {
///     let body = bodies.next().ok_or(io::ErrorKind::ConnectionRefused)?;
///     Ok(Response::new(200, "text/event-stream", body))
/// });
/// assert_eq!(source.next_event()?.unwrap().data, "a");
/// assert_eq!(source.next_event()?.unwrap().data, "b"); // asked for with `Last-Event-ID: 1`
/// assert_eq!(source.last_event_id(), "2");
/// # Ok::<(), sse_io::client::Error>(())
/// ```
#[doc(alias = "sse")]
pub struct EventSource<C: Connect> {
    connect: C,
    pub(super) settings: Settings,
    pub(super) backoff: Backoff,
    /// The connection, while there is one.
    pub(super) reader: Option<Reader<Watched<C::Body>>>,
    /// As of the last connection; an open one has its own.
    pub(super) last_event_id: String,
    /// The `retry` that the open connection had heard when the caller set another reconnection time.
    pub(super) outdated_retry: Option<Duration>,
    truncated: bool,
    /// When the connection was opened, and whether it has given an event.
    opened: Instant,
    gave_event: bool,
    /// Whether there has been a connection.
    was_open: bool,
    given: Given,
    /// The end has been told.
    ended: bool,
    pub(super) control: Arc<Control>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) random: Random,
}

impl<F, B> EventSource<F>
where
    F: FnMut(&Request<'_>) -> Result<Response<B>, ConnectError>,
    B: BufRead,
{
    /// A client whose requests the closure makes: see [`Connect`]. Does not connect yet.
    ///
    /// ```
    /// # use sse_io::{EventSource, client::Response};
    /// let stream = &b"data: a\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)));
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn new(connect: F) -> Self {
        EventSource::with_connect(connect)
    }
}

impl<C: Connect> EventSource<C> {
    /// A client with this connector. Does not connect yet.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{BoxConnect, Response};
    ///
    /// let connect: BoxConnect = Box::new(|_| {
    ///     let response = Response::new(200, "text/event-stream", &b"data: a\n\n"[..]);
    ///     Ok(response.map_body(|body| Box::new(body) as _))
    /// });
    /// let mut source = EventSource::with_connect(connect);
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn with_connect(connect: C) -> Self {
        EventSource {
            connect,
            settings: Settings::default(),
            backoff: Backoff::new(),
            reader: None,
            last_event_id: String::new(),
            outdated_retry: None,
            truncated: false,
            opened: Instant::now(),
            gave_event: false,
            was_open: false,
            given: Given::Nothing,
            ended: false,
            control: Arc::new(Control::new()),
            clock: Box::new(SystemClock),
            random: Random::new(),
        }
    }

    /// What ends this client from another thread, has it reconnect, and tells its state.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let mut source =
    ///     EventSource::new(|_| Ok(Response::new(200, "text/event-stream", &b"data: a\n\n"[..])));
    /// let closer = source.closer();
    /// std::thread::spawn(move || closer.close()).join().unwrap();
    /// assert_eq!(source.next_event()?, None);
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn closer(&self) -> Closer {
        Closer::new(Arc::clone(&self.control))
    }

    /// What the client is doing, as [`Closer::state`] tells other threads. Does not block.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{Response, State};
    ///
    /// let mut source =
    ///     EventSource::new(|_| Ok(Response::new(200, "text/event-stream", &b"data: a\n\n"[..])));
    /// assert!(matches!(source.state(), State::Idle));
    /// source.next_event()?;
    /// assert!(matches!(source.state(), State::Open));
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn state(&self) -> State {
        self.control.state()
    }

    /// What has ended the client, once it has ended. Does not block.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{Ending, Response};
    ///
    /// let mut source = EventSource::new(|_| Ok(Response::new(204, "", &b""[..])));
    /// assert!(source.ending().is_none());
    /// assert_eq!(source.next_event()?, None);
    /// assert!(matches!(source.ending(), Some(Ending::NoContent)));
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn ending(&self) -> Option<Ending> {
        self.closer().ending()
    }

    /// The next event; `None` when the stream has ended for good: the server answered 204, the
    /// client was closed, or the stream is complete ([`ending`](Self::ending) tells which). Then and
    /// after a final error, every later call gives `None`.
    ///
    /// Blocks for as long as it takes: connecting, reading and waiting included. The event borrows
    /// from the client until the next call.
    ///
    /// # Errors
    ///
    /// What ends the stream for good: see [`ErrorKind`]. Only an event too large does not; the next
    /// call gives the event after it. Lost connections are no errors: [`on_state`](Self::on_state)
    /// tells of them.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let stream = &b"data: a\n\ndata: b\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// let mut seen = String::new();
    /// while let Some(event) = source.next_event()? {
    ///     seen += &event.data;
    /// }
    /// assert_eq!(seen, "ab");
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    #[inline(always)] // A caller that looks at two fields has no more than those two copied.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        match (self.advance(false)?, &self.reader) {
            (Step::Event, Some(reader)) => Ok(Some(reader.lend())),
            _ => Ok(None),
        }
    }

    /// The next event or comment; an event comes with the last event ID that holds at it. Otherwise
    /// as [`next_event`](EventSource::next_event).
    ///
    /// Comments are a sign of life: many servers send one every few seconds.
    ///
    /// # Errors
    ///
    /// As for [`next_event`](EventSource::next_event); a comment over the limit is an error as well.
    ///
    /// ```
    /// use sse_io::client::Response;
    /// use sse_io::{EventSource, Item};
    ///
    /// let stream = &b": hello\n\nid: 1\ndata: a\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)));
    /// assert_eq!(source.next_item()?, Some(Item::Comment("hello".into())));
    /// let Some(Item::Event { event, last_event_id, .. }) = source.next_item()? else { panic!() };
    /// assert_eq!((&*event.data, &*last_event_id), ("a", "1"));
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, Error> {
        self.next_item_of(true)
    }

    /// Hands every event to the listeners until the stream has ended for good, on this thread.
    ///
    /// Before each handler it is checked whether the client was closed: a handler that closes it is
    /// the last one to be called.
    ///
    /// # Errors
    ///
    /// What has ended the stream, as for [`next_event`](EventSource::next_event). An event too large
    /// goes to [`Listeners::on_error`] instead.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{Ending, Listeners, Response};
    ///
    /// let stream = &b"event: job\ndata: a\n\nevent: stop\ndata\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)));
    /// let listeners = Listeners::new();
    /// let closer = source.closer();
    /// listeners.on("stop", move |_, _| closer.close());
    /// source.run(&listeners)?;
    /// assert!(matches!(source.ending(), Some(Ending::Closer)));
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn run(&mut self, listeners: &Listeners) -> Result<(), Error> {
        let control = Arc::clone(&self.control);
        let go_on = || !control.is_closed();
        loop {
            match self.next_item_of(listeners.want_comments()) {
                Ok(Some(Item::Event {
                    event,
                    last_event_id,
                })) => listeners.notify(&Notice::Event(&event, &last_event_id), go_on),
                Ok(Some(Item::Comment(text))) => listeners.notify(&Notice::Comment(&text), go_on),
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::EventTooLarge => {
                    listeners.notify(&Notice::Error(&error), go_on);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The last event ID: what the next attempt asks the server to go on after.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let stream = &b"id: 7\ndata: a\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)));
    /// source.next_event()?;
    /// assert_eq!(source.last_event_id(), "7"); // to be saved for `with_last_event_id`
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn last_event_id(&self) -> &str {
        match &self.reader {
            Some(reader) => reader.last_event_id(),
            None => &self.last_event_id,
        }
    }

    /// The reconnection time: what the server asked for last, or what was set, within the limits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let stream = &b"retry: 20000\ndata: a\n\n"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)));
    /// assert_eq!(source.reconnection_time(), Duration::from_secs(3));
    /// source.next_event()?;
    /// assert_eq!(source.reconnection_time(), Duration::from_secs(20));
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    pub fn reconnection_time(&self) -> Duration {
        let asked = self.retry_heard();
        self.backoff
            .clamped(asked.unwrap_or(self.backoff.reconnection_time))
    }

    /// Whether the last body ended, without an error, in the middle of an event, which was
    /// discarded. In finite mode this tells a reply that was cut short.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let stream = &b"data: a\n\ndata: b"[..];
    /// let mut source = EventSource::new(|_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// assert_eq!(source.by_ref().count(), 1);
    /// assert!(source.is_truncated());
    /// ```
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The next event, or comment where those are wanted.
    fn next_item_of(&mut self, comments: bool) -> Result<Option<Item<'_>>, Error> {
        let step = self.advance(comments)?;
        Ok(self
            .reader
            .as_ref()
            .and_then(|reader| reader.lend_item(step)))
    }

    /// Goes on until the reader has an event, or a comment where those are wanted; `NeedMore` when
    /// the stream has ended for good. What is rarely needed is out of line: it costs an event nothing.
    #[inline(always)]
    fn advance(&mut self, comments: bool) -> Result<Step, Error> {
        loop {
            let reader = match &mut self.reader {
                Some(reader) if !self.control.is_interrupted() => reader,
                _ => match self.begin()? {
                    true => continue,
                    false => return Ok(Step::NeedMore),
                },
            };
            let terminator = self.settings.terminator.as_deref();
            match reader.step(comments) {
                Ok(Step::Event) if !terminator.is_some_and(|data| reader.data_is(data)) => {
                    self.gave_event = true;
                    self.given = match reader.has_id() {
                        true => Given::Numbered,
                        false => Given::Unnumbered,
                    };
                    return Ok(Step::Event);
                }
                Ok(Step::Comment) => return Ok(Step::Comment),
                other => self.stopped(other)?,
            }
        }
    }

    /// Carries out an order, or makes an attempt to connect; false when it is all over.
    #[inline(never)]
    fn begin(&mut self) -> Result<bool, Error> {
        if self.control.is_interrupted() && self.is_over() {
            return Ok(false);
        }
        if self.reader.is_none() {
            self.open()?;
        }
        Ok(true)
    }

    /// The reader has come to the terminator, to the end of the body or to an error.
    #[inline(never)]
    fn stopped(&mut self, result: io::Result<Step>) -> Result<(), Error> {
        match result {
            Ok(Step::NeedMore) => {
                self.truncated = self.reader.as_ref().is_some_and(Reader::is_truncated);
                self.lost(None)
            }
            Ok(_) => {
                self.end(Ending::Terminated);
                Ok(())
            }
            Err(error) if EventTooLarge::of(&error).is_some() => {
                Err(Error::from_io(ErrorKind::EventTooLarge, error))
            }
            Err(error) => self.lost(Some(error)),
        }
    }

    /// Does what another thread has ordered: true when that is to close.
    fn is_over(&mut self) -> bool {
        if self.control.is_closed() {
            self.end(Ending::Closer);
            return true;
        }
        self.disconnect();
        self.control.reconnects();
        false
    }

    /// Makes one attempt to connect.
    fn open(&mut self) -> Result<(), Error> {
        let attempt = self.backoff.begin_attempt(self.clock.now());
        let withholds_id = withholds(&self.last_event_id);
        self.set_state(State::Connecting {
            attempt,
            withholds_id,
        });
        if self.control.is_interrupted() {
            // By the hook, for one: nothing is to be asked for any more.
            return Ok(());
        }
        let request = Request::new(&self.last_event_id, attempt, &self.control);
        let result = self.connect.connect(&request);
        if self.control.is_interrupted() {
            return Ok(());
        }
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let is_fatal = error.is_fatal();
                let error = Error::from_io(ErrorKind::Connect, error.into_io());
                return match is_fatal {
                    true => self.fail(error),
                    false => self.failed(None, error),
                };
            }
        };
        if response.status() == 204 {
            drop(response);
            self.end(Ending::NoContent);
            return Ok(());
        }
        match response.refusal() {
            Some(error) => self.refused(error, response),
            None => {
                self.read_from(response.into_body());
                self.set_state(State::Open);
                Ok(())
            }
        }
    }

    /// The response is no event stream: that is the end, unless its status is to be tried again.
    fn refused(&mut self, error: Error, response: Response<C::Body>) -> Result<(), Error> {
        let retry_after = response.retry_after();
        let is_retried = matches!(error.kind(), ErrorKind::Status(_))
            && self.settings.retried_statuses.contains(&response.status());
        let error = match response.is_readable() {
            true => {
                let body = response.into_body();
                error.with_body(&body::start(body, &self.control, &*self.clock))
            }
            false => error,
        };
        // Its connection is gone by now, and not held over the wait.
        if self.control.is_interrupted() {
            return Ok(());
        }
        match is_retried {
            true => self.failed(retry_after, error),
            false => self.fail(error),
        }
    }

    fn read_from(&mut self, body: C::Body) {
        let body = Watched::new(body, Arc::clone(&self.control));
        let mut reader = Reader::new(body)
            .with_last_event_id(mem::take(&mut self.last_event_id))
            .with_trailing_event(self.settings.trailing);
        if let Some(bytes) = self.settings.max_event_size {
            reader = reader.with_max_event_size(bytes);
        }
        self.reader = Some(reader);
        self.opened = self.clock.now();
        self.was_open = true;
        self.gave_event = false;
        self.truncated = false;
    }

    /// The attempt has come to nothing: waits, unless it is time to give up.
    fn failed(&mut self, retry_after: Option<Duration>, why: Error) -> Result<(), Error> {
        self.disconnect();
        if !self.was_open && !self.settings.initial_retry {
            return self.fail(why);
        }
        let now = self.clock.now();
        let next = self.backoff.failed(retry_after, now, &mut self.random);
        self.wait(next, why)
    }

    /// The body has ended, or failed: waits, unless that was all of it or it is time to give up.
    fn lost(&mut self, error: Option<io::Error>) -> Result<(), Error> {
        self.disconnect();
        if self.control.is_interrupted() {
            // Shutting the connection down looks like an end, or an error, from here.
            return Ok(());
        }
        let why = match error {
            Some(error) => Error::from_io(ErrorKind::Disconnected, error),
            None if self.settings.terminator.is_some() => Error::of_kind(ErrorKind::Disconnected),
            None => Error::of_kind(ErrorKind::Ended),
        };
        if self.settings.is_finite() {
            if why.kind() == ErrorKind::Ended {
                self.end(Ending::Finished);
                return Ok(());
            }
            let resumes = !self.last_event_id.is_empty() && !withholds(&self.last_event_id);
            match self.given {
                Given::Nothing => {}
                Given::Numbered if resumes => {}
                // What was given would come again.
                Given::Numbered | Given::Unnumbered => return self.fail(why),
            }
        }
        let next = self.backoff.lost(
            self.opened,
            self.gave_event,
            self.clock.now(),
            &mut self.random,
        );
        self.wait(next, why)
    }

    fn wait(&mut self, next: Next, why: Error) -> Result<(), Error> {
        let Next::Wait(delay) = next else {
            return self.fail(Error::exhausted(self.backoff.failures(), why));
        };
        self.set_state(State::Waiting { why, delay });
        self.clock.wait(delay, &self.control);
        Ok(())
    }

    /// The `retry` of the open connection, unless the caller has set another time since.
    fn retry_heard(&self) -> Option<Duration> {
        let heard = self.reader.as_ref().and_then(Reader::retry);
        heard.filter(|_| heard != self.outdated_retry)
    }

    /// Lets the connection go, and keeps what the stream has said.
    fn disconnect(&mut self) {
        let retry = self.retry_heard();
        if let Some(reader) = self.reader.take() {
            self.last_event_id = reader.last_event_id().to_owned();
            self.backoff.reconnection_time = retry.unwrap_or(self.backoff.reconnection_time);
            self.outdated_retry = None;
        }
        self.control.disarm();
    }

    fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.end(Ending::Failed(error.clone()));
        Err(error)
    }

    /// Ends it for good, if that has not happened.
    fn end(&mut self, ending: Ending) {
        if mem::replace(&mut self.ended, true) {
            return;
        }
        self.disconnect();
        self.control.close(ending);
        if let Some(hook) = &mut self.settings.on_state {
            hook(&self.control.state());
        }
    }

    fn set_state(&mut self, state: State) {
        let changed = self.control.set_state(state.clone());
        if let (true, Some(hook)) = (changed, &mut self.settings.on_state) {
            hook(&state);
        }
    }
}

/// What the caller has been given, over all connections.
#[derive(Clone, Copy, Debug)]
enum Given {
    Nothing,
    /// The last event had an id of its own, after which the server can be asked to go on.
    Numbered,
    /// It had none.
    Unnumbered,
}

impl<C: Connect> Iterator for EventSource<C> {
    type Item = Result<Event<'static>, Error>;

    /// The next event as an owned copy: see [`next_event`](EventSource::next_event).
    fn next(&mut self) -> Option<Self::Item> {
        match (self.advance(false), &self.reader) {
            (Ok(Step::Event), Some(reader)) => Some(Ok(reader.to_owned_event())),
            (Ok(_), _) => None,
            (Err(error), _) => Some(Err(error)),
        }
    }
}

impl<C: Connect> FusedIterator for EventSource<C> {}

impl<C: Connect> Drop for EventSource<C> {
    fn drop(&mut self) {
        // The closers live on, and what would have ended the connection goes with it.
        self.control.close(Ending::Closer);
    }
}

impl<C: Connect> fmt::Debug for EventSource<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource")
            .field("state", &self.control.state())
            .field("last_event_id", &self.last_event_id())
            .finish_non_exhaustive()
    }
}

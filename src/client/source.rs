//! The client itself: connect, read, lose, wait, connect again.

use std::fmt;
use std::io::{self, BufRead};
use std::iter::FusedIterator;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backoff::{Backoff, Next};
use super::clock::{Clock, Random, SystemClock};
use super::closer::{Closer, Control, Ending, State};
use super::connect::{Connect, ConnectError, Request, Response, withholds};
use super::error::{Error, ErrorKind};
use super::listeners::{Listeners, Notice};
use crate::event::Event;
use crate::reader::{Reader, is_too_large};

type StateHook = Box<dyn FnMut(&State) + Send>;

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
pub struct EventSource<C: Connect> {
    connect: C,
    /// The connection, while there is one.
    reader: Option<Reader<C::Body>>,
    /// As of the last connection; an open one has its own.
    last_event_id: String,
    backoff: Backoff,
    retried_statuses: Vec<u16>,
    finite: bool,
    terminator: Option<String>,
    max_event_size: Option<usize>,
    trailing: bool,
    truncated: bool,
    /// When the connection was opened, and whether it has given an event.
    opened: Instant,
    gave_event: bool,
    /// The end has been told.
    ended: bool,
    on_state: Option<StateHook>,
    control: Arc<Control>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) random: Random,
}

impl<F, B> EventSource<F>
where
    F: FnMut(&Request<'_>) -> Result<Response<B>, ConnectError>,
    B: BufRead,
{
    /// A client whose requests the closure makes: see [`Connect`]. Does not connect yet.
    pub fn new(connect: F) -> Self {
        EventSource::with_connect(connect)
    }
}

impl<C: Connect> EventSource<C> {
    /// A client with this connector. Does not connect yet.
    pub fn with_connect(connect: C) -> Self {
        EventSource {
            connect,
            reader: None,
            last_event_id: String::new(),
            backoff: Backoff::new(),
            retried_statuses: Vec::new(),
            finite: false,
            terminator: None,
            max_event_size: None,
            trailing: false,
            truncated: false,
            opened: Instant::now(),
            gave_event: false,
            ended: false,
            on_state: None,
            control: Arc::new(Control::new()),
            clock: Box::new(SystemClock),
            random: Random::new(),
        }
    }

    /// Seeds the last event ID, to go on where an earlier run stopped. It is sent from the first
    /// attempt on, until the stream gives another. Default: empty.
    #[must_use = "the setter returns the client"]
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self
    }

    /// Sets the reconnection time, the least wait before another attempt. The server's `retry`
    /// replaces it, for all connections to come. Default: 3 s.
    #[must_use = "the setter returns the client"]
    pub fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.backoff.reconnection_time = time;
        self
    }

    /// Clamps the reconnection time, whoever sets it, and every wait to between `min` and `max`. A
    /// `max` below `min` counts as `min`. Default: 100 ms to 5 min.
    #[must_use = "the setter returns the client"]
    pub fn with_reconnection_limits(mut self, min: Duration, max: Duration) -> Self {
        self.backoff.min = min;
        self.backoff.max = max;
        self
    }

    /// Whether waits are spread at random, so that clients that were lost together do not come back
    /// together. Without, the wait is the reconnection time, doubled with each failure in a row.
    /// Default: `true`.
    #[must_use = "the setter returns the client"]
    pub fn with_jitter(mut self, jitter: bool) -> Self {
        self.backoff.jitter = jitter;
        self
    }

    /// Gives up after so many failures in a row, with
    /// [`RetriesExhausted`](ErrorKind::RetriesExhausted). A connection that was accepted and dropped
    /// at once is a failure too; zero never connects again, not even after a healthy connection.
    /// Default: never gives up.
    #[must_use = "the setter returns the client"]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.backoff.max_attempts = Some(attempts);
        self
    }

    /// Gives up when the next attempt would begin later than this after the last healthy connection
    /// was lost, or after the very first attempt began, with
    /// [`RetriesExhausted`](ErrorKind::RetriesExhausted). Default: never gives up.
    #[must_use = "the setter returns the client"]
    pub fn with_max_elapsed(mut self, time: Duration) -> Self {
        self.backoff.max_elapsed = Some(time);
        self
    }

    /// What makes a connection a healthy one, after which failures are counted from zero again: that
    /// it lasted for so long, or that it gave an event, if `on_event`. With `false` a server that
    /// sends one event and drops the connection is backed off from; with `true` it can be polled.
    /// Default: 5 s, `true`.
    #[must_use = "the setter returns the client"]
    pub fn with_healthy_after(mut self, time: Duration, on_event: bool) -> Self {
        self.backoff.healthy_after = time;
        self.backoff.healthy_on_event = on_event;
        self
    }

    /// Sets the statuses that are tried again instead of ending the stream, no earlier than the
    /// response's `Retry-After` asks (up to the longest wait):
    /// [`TRANSIENT_STATUSES`](super::TRANSIENT_STATUSES) is a good choice. 200 and 204 are what they
    /// are in any case. Default: none, as in the standard (HTML standard, 9.2.3).
    #[must_use = "the setter returns the client"]
    pub fn with_retried_statuses(mut self, statuses: impl Into<Vec<u16>>) -> Self {
        self.retried_statuses = statuses.into();
        self
    }

    /// Whether the end of the body is the end of the events, as in a language model's reply, and not
    /// a reason to connect again. Default: `false`.
    ///
    /// A body that fails is still a lost connection. It is asked for again only while nothing can
    /// come twice: before the first event, or with a last event ID to go on from. Otherwise it ends
    /// the stream with [`Disconnected`](ErrorKind::Disconnected).
    ///
    /// A body that has neither a length nor chunks ends with its connection, and may look complete when
    /// that was reset: [`is_truncated`](EventSource::is_truncated) tells whether it ended in an event.
    #[must_use = "the setter returns the client"]
    pub fn with_finite(mut self, finite: bool) -> Self {
        self.finite = finite;
        self
    }

    /// Ends the stream, with success, at the event with just this data, which is not given out:
    /// `[DONE]` for many language models. Default: none.
    #[must_use = "the setter returns the client"]
    pub fn with_terminator(mut self, data: impl Into<String>) -> Self {
        self.terminator = Some(data.into());
        self
    }

    /// Sets the limit for an event, in bytes, as
    /// [`Reader::with_max_event_size`](crate::Reader::with_max_event_size) has it. Default: 16 MiB.
    #[must_use = "the setter returns the client"]
    pub fn with_max_event_size(mut self, bytes: usize) -> Self {
        self.max_event_size = Some(bytes);
        self
    }

    /// Whether an event that the end of the body cuts short is delivered: see
    /// [`Reader::with_trailing_event`](crate::Reader::with_trailing_event). Default: `false`.
    #[must_use = "the setter returns the client"]
    pub fn with_trailing_event(mut self, deliver: bool) -> Self {
        self.trailing = deliver;
        self
    }

    /// Has the closure called at each change of state, on the thread that reads. It may use a
    /// [`Closer`]. The state is what [`Closer::state`] gives, but for a close from another thread,
    /// which it hears of when the reading thread does. It is not told of a drop. Default: none.
    #[must_use = "the setter returns the client"]
    pub fn on_state(mut self, hook: impl FnMut(&State) + Send + 'static) -> Self {
        self.on_state = Some(Box::new(hook));
        self
    }

    /// What ends this client from another thread, and tells its state.
    pub fn closer(&self) -> Closer {
        Closer::new(Arc::clone(&self.control))
    }

    /// The next event; `None` when the stream has ended for good: the server answered 204, the
    /// client was closed, or the stream is complete. Then and after a final error, every later call
    /// gives `None`.
    ///
    /// Blocks for as long as it takes: connecting, reading and waiting included. The event borrows
    /// from the client until the next call.
    ///
    /// # Errors
    ///
    /// What ends the stream for good: see [`ErrorKind`]. Only an event too large does not; the next
    /// call gives the event behind it. Lost connections are no errors: [`on_state`](Self::on_state)
    /// tells of them.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Error> {
        Ok(self.next_with_id(None)?.map(|(event, _)| event))
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
    pub fn run(&mut self, listeners: &Listeners) -> Result<(), Error> {
        let control = Arc::clone(&self.control);
        let go_on = || !control.is_closed();
        loop {
            match self.next_with_id(Some(listeners)) {
                Ok(Some((event, id))) => listeners.notify(&Notice::Event(&event, id), go_on),
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::EventTooLarge => {
                    listeners.notify(&Notice::Error(&error), go_on);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The last event ID: what the next attempt asks the server to go on after.
    pub fn last_event_id(&self) -> &str {
        match &self.reader {
            Some(reader) => reader.last_event_id(),
            None => &self.last_event_id,
        }
    }

    /// The reconnection time: what the server asked for last, or what was set, within the limits.
    pub fn reconnection_time(&self) -> Duration {
        let asked = self.reader.as_ref().and_then(Reader::retry);
        self.backoff
            .clamped(asked.unwrap_or(self.backoff.reconnection_time))
    }

    /// Whether the last body ended, without an error, in the middle of an event, which was
    /// discarded. In finite mode this tells a reply that was cut short.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    fn next_with_id(
        &mut self,
        listeners: Option<&Listeners>,
    ) -> Result<Option<(Event<'_>, &str)>, Error> {
        if !self.advance(listeners)? {
            return Ok(None);
        }
        match self.reader.as_mut().map(Reader::lend).transpose() {
            Ok(lent) => Ok(lent),
            // It was there a moment ago: the body breaks its contract.
            Err(error) => Err(Error::from_io(ErrorKind::Disconnected, error)),
        }
    }

    /// Goes on until the reader has an event; false when the stream has ended for good.
    fn advance(&mut self, listeners: Option<&Listeners>) -> Result<bool, Error> {
        loop {
            if self.control.is_closed() {
                self.end(Ending::Closer);
                return Ok(false);
            }
            let Some(reader) = self.reader.as_mut() else {
                self.open(listeners)?;
                continue;
            };
            match next_is(reader, self.terminator.as_deref()) {
                Ok(Item::Event) if self.control.is_closed() => {}
                Ok(Item::Event) => {
                    self.gave_event = true;
                    return Ok(true);
                }
                Ok(Item::Terminator) => self.end(Ending::Finished),
                Ok(Item::End) => {
                    self.truncated = reader.is_truncated();
                    self.lost(None, listeners)?;
                }
                Err(error) if is_too_large(&error) => {
                    return Err(Error::from_io(ErrorKind::EventTooLarge, error));
                }
                Err(error) => self.lost(Some(error), listeners)?,
            }
        }
    }

    /// Makes one attempt to connect.
    fn open(&mut self, listeners: Option<&Listeners>) -> Result<(), Error> {
        let attempt = self.backoff.begin_attempt(self.clock.now());
        let withholds_id = withholds(&self.last_event_id);
        self.set_state(State::Connecting {
            attempt,
            withholds_id,
        });
        if self.control.is_closed() {
            // By the hook, for one: nothing is to be asked for any more.
            return Ok(());
        }
        let request = Request::new(&self.last_event_id, attempt, &self.control);
        let result = self.connect.connect(&request);
        if self.control.is_closed() {
            return Ok(());
        }
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let is_fatal = error.is_fatal();
                let error = Error::from_io(ErrorKind::Connect, error.into_io());
                return match is_fatal {
                    true => self.fail(error),
                    false => self.failed(None, error, listeners),
                };
            }
        };
        if response.status() == 204 {
            drop(response);
            self.end(Ending::NoContent);
            return Ok(());
        }
        if let Some(error) = response.refusal() {
            let retry_after = response.retry_after();
            let is_final = !self.retried_statuses.contains(&response.status());
            // Its connection is not to be held over the wait.
            drop(response);
            return match is_final || !matches!(error.kind(), ErrorKind::Status(_)) {
                true => self.fail(error),
                false => self.failed(retry_after, error, listeners),
            };
        }
        self.read_from(response.into_body());
        self.set_state(State::Open);
        self.notify(listeners, &Notice::Open);
        Ok(())
    }

    fn read_from(&mut self, body: C::Body) {
        let mut reader = Reader::new(body)
            .with_last_event_id(mem::take(&mut self.last_event_id))
            .with_trailing_event(self.trailing);
        if let Some(bytes) = self.max_event_size {
            reader = reader.with_max_event_size(bytes);
        }
        self.reader = Some(reader);
        self.opened = self.clock.now();
        self.gave_event = false;
        self.truncated = false;
    }

    /// The attempt has come to nothing: waits, unless it is time to give up.
    fn failed(
        &mut self,
        retry_after: Option<Duration>,
        why: Error,
        listeners: Option<&Listeners>,
    ) -> Result<(), Error> {
        self.disconnect();
        let now = self.clock.now();
        let next = self.backoff.failed(retry_after, now, &mut self.random);
        self.wait(next, why, listeners)
    }

    /// The body has ended, or failed: waits, unless that was all of it or it is time to give up.
    fn lost(
        &mut self,
        error: Option<io::Error>,
        listeners: Option<&Listeners>,
    ) -> Result<(), Error> {
        self.disconnect();
        if self.control.is_closed() {
            // Shutting the connection down looks like an end, or an error, from here.
            return Ok(());
        }
        let complete = error.is_none();
        let why = match error {
            Some(error) => Error::from_io(ErrorKind::Disconnected, error),
            None => ErrorKind::Disconnected.into(),
        };
        if self.finite && complete {
            self.end(Ending::Finished);
            return Ok(());
        }
        let resumes = !self.last_event_id.is_empty() && !withholds(&self.last_event_id);
        if self.finite && self.gave_event && !resumes {
            return self.fail(why);
        }
        let next = self.backoff.lost(
            self.opened,
            self.gave_event,
            self.clock.now(),
            &mut self.random,
        );
        self.wait(next, why, listeners)
    }

    fn wait(&mut self, next: Next, why: Error, listeners: Option<&Listeners>) -> Result<(), Error> {
        let Next::Wait(delay) = next else {
            return self.fail(Error::exhausted(self.backoff.failures(), why));
        };
        self.set_state(State::Waiting {
            why: why.clone(),
            delay,
        });
        self.notify(listeners, &Notice::Reconnect(&why, delay));
        self.clock.wait(delay, &self.control);
        Ok(())
    }

    /// Lets the connection go, and keeps what the stream has said.
    fn disconnect(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.last_event_id = reader.last_event_id().to_owned();
            if let Some(time) = reader.retry() {
                self.backoff.reconnection_time = time;
            }
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
        if let Some(hook) = &mut self.on_state {
            hook(&self.control.state());
        }
    }

    fn set_state(&mut self, state: State) {
        let changed = self.control.set_state(state.clone());
        if let (true, Some(hook)) = (changed, &mut self.on_state) {
            hook(&state);
        }
    }

    fn notify(&self, listeners: Option<&Listeners>, notice: &Notice<'_>) {
        if let Some(listeners) = listeners {
            listeners.notify(notice, || !self.control.is_closed());
        }
    }
}

/// What a reader has come to.
enum Item {
    Event,
    Terminator,
    End,
}

fn next_is<R: BufRead>(reader: &mut Reader<R>, terminator: Option<&str>) -> io::Result<Item> {
    if !reader.advance()? {
        return Ok(Item::End);
    }
    let (event, _) = reader.lend()?;
    match terminator {
        Some(terminator) if event.data == terminator => Ok(Item::Terminator),
        _ => Ok(Item::Event),
    }
}

impl<C: Connect> Iterator for EventSource<C> {
    type Item = Result<Event<'static>, Error>;

    /// The next event as an owned copy: see [`next_event`](EventSource::next_event).
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_event();
        next.map(|event| event.map(Event::into_owned)).transpose()
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

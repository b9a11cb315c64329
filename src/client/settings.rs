//! What can be set of a client.

use std::time::Duration;

use super::closer::State;
use super::connect::Connect;
#[cfg(doc)]
use super::error::ErrorKind;
use super::source::EventSource;
use crate::reader::Reader;

type StateHook = Box<dyn FnMut(&State) + Send>;

/// What the caller has set, the waits aside.
pub(super) struct Settings {
    pub(super) retried_statuses: Vec<u16>,
    pub(super) initial_retry: bool,
    pub(super) finite: bool,
    pub(super) terminator: Option<String>,
    pub(super) max_event_size: Option<usize>,
    pub(super) trailing: bool,
    pub(super) on_state: Option<StateHook>,
}

impl Settings {
    pub(super) fn is_finite(&self) -> bool {
        self.finite || self.terminator.is_some()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            retried_statuses: Vec::new(),
            initial_retry: true,
            finite: false,
            terminator: None,
            max_event_size: None,
            trailing: false,
            on_state: None,
        }
    }
}

/// Settings. They can be changed while the client runs: what is set counts from the next attempt at
/// the latest.
impl<C: Connect> EventSource<C> {
    /// Seeds the last event ID, to go on where an earlier run stopped. It is sent from the next
    /// attempt on, until the stream gives another. Default: empty.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let mut source = EventSource::new(|request| {
    ///     assert_eq!(request.last_event_id(), "41");
    ///     Ok(Response::new(204, "", &b""[..]))
    /// })
    /// .with_last_event_id("41");
    /// assert_eq!(source.next_event()?, None);
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        // An open connection has its own, which the next attempt would be made with.
        match self.reader.take() {
            Some(reader) => self.reader = Some(reader.with_last_event_id(id)),
            None => self.last_event_id = id.into(),
        }
        self
    }

    /// Sets the reconnection time, the least wait before another attempt. The server's next `retry`
    /// replaces it, for all connections to come. Default: 3 s.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sse_io::EventSource;
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(200_u16, &b"data: a\n\n"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let source = EventSource::new(connect).with_reconnection_time(Duration::from_secs(10));
    /// assert_eq!(source.reconnection_time(), Duration::from_secs(10));
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.backoff.reconnection_time = time;
        self.outdated_retry = self.reader.as_ref().and_then(Reader::retry);
        self
    }

    /// Clamps the reconnection time, whoever sets it, to between `min` and `max`, and a server's
    /// `Retry-After` to `max`. A `max` below `min` counts as `min`. Default: 100 ms to 5 min.
    ///
    /// Waits grow up to `max`; their random part may take them up to a third above it, so that
    /// clients which were all told to wait for the longest time do not come back together.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sse_io::EventSource;
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(200_u16, &b"retry: 0\ndata: a\n\n"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
    /// let mut source = EventSource::new(connect).with_reconnection_limits(min, max);
    /// source.next_event()?; // the server asks for `retry: 0`
    /// assert_eq!(source.reconnection_time(), min);
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_reconnection_limits(mut self, min: Duration, max: Duration) -> Self {
        self.backoff.min = min;
        self.backoff.max = max;
        self
    }

    /// Whether waits are spread at random, so that clients that were lost together do not come back
    /// together: at least a quarter of each wait is random. Without, the wait is the reconnection
    /// time, doubled with each failure in a row. Default: `true`.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use sse_io::EventSource;
    /// use sse_io::client::State;
    ///
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(200_u16, &b"data: a\n\n"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let (tell, told) = mpsc::channel();
    /// let time = Duration::from_millis(100);
    /// let source = EventSource::new(connect)
    ///     .with_reconnection_time(time)
    ///     .with_jitter(false)
    ///     .on_state(move |state| {
    ///         if let State::Waiting { delay, .. } = state {
    ///             tell.send(*delay).unwrap();
    ///         }
    ///     });
    /// assert_eq!(source.count(), 1);
    /// assert_eq!(told.recv(), Ok(time));
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_jitter(mut self, jitter: bool) -> Self {
        self.backoff.jitter = jitter;
        self
    }

    /// Gives up after so many failures in a row, with
    /// [`RetriesExhausted`](ErrorKind::RetriesExhausted). A connection that was accepted and dropped
    /// at once is a failure too; zero never connects again, not even after a healthy connection.
    /// Default: never gives up.
    ///
    /// ```
    /// use std::io;
    /// use sse_io::EventSource;
    /// use sse_io::client::{ErrorKind, Response};
    ///
    /// let mut source = EventSource::new(|_| {
    ///     Err::<Response<&[u8]>, _>(io::ErrorKind::ConnectionRefused.into())
    /// })
    /// .with_max_attempts(1);
    /// let error = source.next_event().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::RetriesExhausted);
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.backoff.max_attempts = Some(attempts);
        self
    }

    /// Gives up when the next attempt would begin later than this after the last healthy connection
    /// was lost, or after the very first attempt began, with
    /// [`RetriesExhausted`](ErrorKind::RetriesExhausted). Default: never gives up.
    ///
    /// ```
    /// use std::io;
    /// use std::time::Duration;
    /// use sse_io::EventSource;
    /// use sse_io::client::{ErrorKind, Response};
    ///
    /// let mut source = EventSource::new(|_| {
    ///     Err::<Response<&[u8]>, _>(io::ErrorKind::ConnectionRefused.into())
    /// })
    /// .with_max_elapsed(Duration::from_secs(1)); // the first wait would take longer
    /// let error = source.next_event().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::RetriesExhausted);
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_max_elapsed(mut self, time: Duration) -> Self {
        self.backoff.max_elapsed = Some(time);
        self
    }

    /// Whether attempts go on when the very first connection does not come about. With `false` that
    /// ends the stream at once, with the reason for it: for a program whose user waits, and may have
    /// mistyped the URL. Default: `true`.
    ///
    /// ```
    /// use std::io;
    /// use sse_io::EventSource;
    /// use sse_io::client::{ErrorKind, Response};
    ///
    /// let mut source = EventSource::new(|_| {
    ///     Err::<Response<&[u8]>, _>(io::ErrorKind::ConnectionRefused.into())
    /// })
    /// .with_initial_retry(false);
    /// let error = source.next_event().unwrap_err();
    /// assert_eq!(format!("{error:#}"), "cannot connect: connection refused");
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_initial_retry(mut self, retry: bool) -> Self {
        self.settings.initial_retry = retry;
        self
    }

    /// What makes a connection a healthy one, after which failures are counted from zero again: that
    /// it lasted for so long, or that it gave an event, if `on_event`. With `false` a server that
    /// sends one event and drops the connection is backed off from; with `true` it can be polled.
    /// Default: 5 s, `true`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::EventSource;
    /// use sse_io::client::ErrorKind;
    ///
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(200_u16, &b"data: a\n\n"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let mut source = EventSource::new(connect)
    ///     .with_healthy_after(Duration::from_secs(5), false)
    ///     .with_max_attempts(1);
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// let error = source.next_event().unwrap_err(); // the connection lasted for no time at all
    /// assert_eq!(error.kind(), ErrorKind::RetriesExhausted);
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
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
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::EventSource;
    /// use sse_io::client::TRANSIENT_STATUSES;
    ///
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(503_u16, &b""[..]), (200_u16, &b"data: a\n\n"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// # let ms = Duration::from_millis(1);
    /// let mut source = EventSource::new(connect).with_retried_statuses(TRANSIENT_STATUSES);
    /// # source = source.with_reconnection_limits(ms, ms);
    /// assert_eq!(source.next_event()?.unwrap().data, "a"); // after a 503
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_retried_statuses(mut self, statuses: impl Into<Vec<u16>>) -> Self {
        self.settings.retried_statuses = statuses.into();
        self
    }

    /// Whether the end of the body is the end of the events, as in a language model's reply, and not
    /// a reason to connect again. Default: `false`.
    ///
    /// A body that fails is still a lost connection. It is asked for again only while nothing can
    /// come twice: before the first event, or after an event with an id of its own that the server
    /// can go on after. Otherwise it ends the stream with
    /// [`Disconnected`](ErrorKind::Disconnected).
    ///
    /// A body that has neither a length nor chunks ends with its connection, and may look complete when
    /// that was reset: [`is_truncated`](EventSource::is_truncated) tells whether it ended in an event,
    /// and a [terminator](EventSource::with_terminator) leaves no doubt.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Ending;
    ///
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(200_u16, &b"data: a\n\n"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let mut source = EventSource::new(connect).with_finite(true);
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// assert_eq!(source.next_event()?, None);
    /// assert!(matches!(source.ending(), Some(Ending::Finished)));
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_finite(mut self, finite: bool) -> Self {
        self.settings.finite = finite;
        self
    }

    /// Ends the stream, with success, at the event with just this data, which is not given out:
    /// `[DONE]` for many language models. Default: none.
    ///
    /// The stream is [finite](EventSource::with_finite) then: a body that ends before its terminator
    /// was cut, and a request is not made again, and paid for again, once it has given events. That
    /// ends the stream with [`Disconnected`](ErrorKind::Disconnected).
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::{Ending, ErrorKind};
    ///
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(200_u16, &b"data: a\n\ndata: [DONE]\n\n"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let mut source = EventSource::new(connect).with_terminator("[DONE]");
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// assert_eq!(source.next_event()?, None);
    /// assert!(matches!(source.ending(), Some(Ending::Terminated)));
    ///
    /// # let mut answers = [(200_u16, &b"data: a\n\n"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let mut cut = EventSource::new(connect).with_terminator("[DONE]");
    /// assert_eq!(cut.next_event()?.unwrap().data, "a");
    /// assert_eq!(cut.next_event().unwrap_err().kind(), ErrorKind::Disconnected);
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_terminator(mut self, data: impl Into<String>) -> Self {
        self.settings.terminator = Some(data.into());
        self
    }

    /// Sets the limit for an event, in bytes, as
    /// [`Reader::with_max_event_size`](crate::Reader::with_max_event_size) has it. Counts from the
    /// next connection on. Default: 16 MiB.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::ErrorKind;
    ///
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(200_u16, &b"data: far too long\n\ndata: b\n\n"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let mut source = EventSource::new(connect).with_max_event_size(8);
    /// assert_eq!(source.next_event().unwrap_err().kind(), ErrorKind::EventTooLarge);
    /// assert_eq!(source.next_event()?.unwrap().data, "b"); // that was not the end
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_max_event_size(mut self, bytes: usize) -> Self {
        self.settings.max_event_size = Some(bytes);
        self
    }

    /// Whether an event that the end of the body cuts short is delivered: see
    /// [`Reader::with_trailing_event`](crate::Reader::with_trailing_event). Counts from the next
    /// connection on. Default: `false`.
    ///
    /// ```
    /// use sse_io::EventSource;
    ///
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(200_u16, &b"data: a"[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let mut source = EventSource::new(connect).with_trailing_event(true);
    /// assert_eq!(source.next_event()?.unwrap().data, "a");
    /// # Ok::<(), sse_io::client::Error>(())
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn with_trailing_event(mut self, deliver: bool) -> Self {
        self.settings.trailing = deliver;
        self
    }

    /// Has the closure called at each change of state, on the thread that reads: the one place that
    /// tells of connections made and lost. It may use a [`Closer`](super::Closer). The state is what
    /// [`state`](EventSource::state) gives, but for a close from another thread, which it hears of
    /// when the reading thread does. It is not told of a drop. Default: none.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use sse_io::EventSource;
    ///
    /// # use sse_io::client::{ConnectError, Request, Response};
    /// # let mut answers = [(204_u16, &b""[..])].into_iter();
    /// # let connect = move |_: &Request<'_>| -> Result<Response<&'static [u8]>, ConnectError> {
    /// #     let (status, body) = answers.next().unwrap_or((204, b""));
    /// #     Ok(Response::new(status, "text/event-stream", body))
    /// # };
    /// let (tell, told) = mpsc::channel();
    /// let source = EventSource::new(connect)
    ///     .on_state(move |state| tell.send(state.to_string()).unwrap());
    /// source.for_each(drop);
    /// let states: Vec<String> = told.iter().collect();
    /// assert_eq!(states, ["connecting (attempt 1)", "closed: the server has no more"]);
    /// ```
    #[must_use = "the setter returns the client"]
    pub fn on_state(mut self, hook: impl FnMut(&State) + Send + 'static) -> Self {
        self.settings.on_state = Some(Box::new(hook));
        self
    }
}

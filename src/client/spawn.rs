//! A client on a thread of its own, behind a channel.

use std::fmt;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvError, RecvTimeoutError, SyncSender, TryRecvError};
use std::thread;
use std::time::Duration;

use super::closer::{Closer, Ending};
use super::connect::Connect;
use super::error::Error;
use super::source::EventSource;
use crate::parser::Item;

/// What comes over the channel of [`EventSource::spawn`]: an item, or what went wrong.
pub type Incoming = Result<Item<'static>, Error>;

impl<C> EventSource<C>
where
    C: Connect<Body: Send> + Send + 'static,
{
    /// Reads on a thread of its own, which hands over events and comments through a channel with
    /// room for `capacity` of them (0: each is handed over as it is received). To wait for an event
    /// for no longer than some time, or to do something else meanwhile.
    ///
    /// The thread blocks while the channel is full. Allocates for each item.
    ///
    /// # Errors
    ///
    /// What the system says when it has no thread to give.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::client::Response;
    /// use sse_io::{EventSource, Item};
    ///
    /// let stream = &b"data: a\n\n"[..];
    /// let source = EventSource::new(move |_| Ok(Response::new(200, "text/event-stream", stream)));
    /// let items = source.with_finite(true).spawn(16)?;
    /// let item = items.recv_timeout(Duration::from_secs(10)).expect("in time")?;
    /// assert!(matches!(item, Item::Event { event, .. } if event.data == "a"));
    /// assert!(items.recv().is_err()); // the stream is complete
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(self, capacity: usize) -> io::Result<Items> {
        let (sender, receiver) = mpsc::sync_channel(capacity);
        let closer = self.spawn_into(sender, |incoming| incoming)?;
        Ok(Items { receiver, closer })
    }

    /// The same with a channel of the caller's, and each item wrapped by the closure: several
    /// clients can share one channel, and a program can wait for all of them, and for what else
    /// there is, in one place. The client is closed when there is no receiver any more; it
    /// notices that at the next item, the [`Closer`] ends it at once.
    ///
    /// # Errors
    ///
    /// What the system says when it has no thread to give.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let (sender, receiver) = mpsc::sync_channel(16);
    /// for name in ["east", "west"] {
    ///     let stream = &b"data: a\n\n"[..];
    ///     EventSource::new(move |_| Ok(Response::new(200, "text/event-stream", stream)))
    ///         .with_finite(true)
    ///         .spawn_into(sender.clone(), move |incoming| (name, incoming))?;
    /// }
    /// drop(sender);
    /// let mut names: Vec<&str> = receiver.iter().map(|(name, _)| name).collect();
    /// names.sort();
    /// assert_eq!(names, ["east", "west"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn_into<T: Send + 'static>(
        mut self,
        sender: SyncSender<T>,
        mut wrap: impl FnMut(Incoming) -> T + Send + 'static,
    ) -> io::Result<Closer> {
        let closer = self.closer();
        let read = move || {
            while let Some(incoming) = self.next_item().transpose() {
                // It fails when there is no receiver: then the client is dropped, which closes it.
                let owned = incoming.map(Item::into_owned);
                if sender.send(wrap(owned)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("sse-client".into())
            .spawn(read)?;
        Ok(closer)
    }
}

/// The receiving end of [`EventSource::spawn`]. Iterating gives the items up to the end of the
/// stream; so do the methods, which are those of [`Receiver`].
///
/// Dropping it closes the client, as [`Closer::close`] does.
///
/// ```
/// use sse_io::client::Response;
/// use sse_io::{EventSource, Item};
///
/// let body = &b"data: a\n\n"[..];
/// let source = EventSource::new(move |_| Ok(Response::new(200, "text/event-stream", body)));
/// for item in source.with_finite(true).spawn(16)? {
///     if let Item::Event { event, .. } = item? {
///         assert_eq!(event.data, "a");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it closes the client"]
pub struct Items {
    receiver: Receiver<Incoming>,
    closer: Closer,
}

impl Items {
    /// What ends the client, has it reconnect, and tells its state.
    ///
    /// ```
    /// use sse_io::EventSource;
    /// use sse_io::client::Response;
    ///
    /// let stream = &b"data: a\n\n"[..];
    /// let source = EventSource::new(move |_| Ok(Response::new(200, "text/event-stream", stream)));
    /// let items = source.spawn(16)?;
    /// items.closer().close();
    /// assert!(items.recv().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn closer(&self) -> &Closer {
        &self.closer
    }

    /// Waits for the next item.
    ///
    /// # Errors
    ///
    /// [`RecvError`] when the stream has ended for good, or was closed.
    ///
    /// ```
    /// # use sse_io::{EventSource, Item, client::Response};
    /// let stream = &b"data: a\n\n"[..];
    /// let source = EventSource::new(move |_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// let items = source.spawn(16)?;
    /// assert!(matches!(items.recv()??, Item::Event { event, .. } if event.data == "a"));
    /// assert!(items.recv().is_err()); // the stream has ended
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv(&self) -> Result<Incoming, RecvError> {
        let received = self.receiver.recv();
        match self.is_closed() {
            true => Err(RecvError),
            false => received,
        }
    }

    /// Waits for the next item, at most for so long.
    ///
    /// # Errors
    ///
    /// [`Timeout`](RecvTimeoutError::Timeout), and
    /// [`Disconnected`](RecvTimeoutError::Disconnected) when the stream has ended for good, or was
    /// closed.
    ///
    /// ```
    /// # use sse_io::{EventSource, Item, client::Response};
    /// let stream = &b"data: a\n\n"[..];
    /// let source = EventSource::new(move |_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// let items = source.spawn(16)?;
    /// let first = items.recv_timeout(std::time::Duration::from_secs(5))??;
    /// assert!(matches!(first, Item::Event { event, .. } if event.data == "a"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Incoming, RecvTimeoutError> {
        let received = self.receiver.recv_timeout(timeout);
        match self.is_closed() {
            true => Err(RecvTimeoutError::Disconnected),
            false => received,
        }
    }

    /// The next item, if it is there already. Does not block.
    ///
    /// # Errors
    ///
    /// [`Empty`](TryRecvError::Empty), and [`Disconnected`](TryRecvError::Disconnected) when the
    /// stream has ended for good, or was closed.
    ///
    /// ```
    /// # use std::sync::mpsc::TryRecvError;
    /// # use sse_io::{EventSource, Item, client::Response};
    /// let stream = &b"data: a\n\n"[..];
    /// let source = EventSource::new(move |_| Ok(Response::new(200, "text/event-stream", stream)))
    ///     .with_finite(true);
    /// let items = source.spawn(16)?;
    /// let first = loop {
    ///     match items.try_recv() {
    ///         Ok(incoming) => break incoming?,
    ///         Err(TryRecvError::Empty) => std::thread::yield_now(), // or what else there is to do
    ///         Err(error) => return Err(error.into()),
    ///     }
    /// };
    /// assert!(matches!(first, Item::Event { event, .. } if event.data == "a"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_recv(&self) -> Result<Incoming, TryRecvError> {
        let received = self.receiver.try_recv();
        match self.is_closed() {
            true => Err(TryRecvError::Disconnected),
            false => received,
        }
    }

    /// Nothing is delivered after a close, not even what was queued before.
    fn is_closed(&self) -> bool {
        matches!(self.closer.ending(), Some(Ending::Closer))
    }
}

impl Iterator for Items {
    type Item = Incoming;

    fn next(&mut self) -> Option<Self::Item> {
        self.recv().ok()
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        self.closer.close();
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items")
            .field("state", &self.closer.state())
            .finish_non_exhaustive()
    }
}

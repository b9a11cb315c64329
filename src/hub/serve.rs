//! Serving a connection: replay, live and heartbeats, on the handler's own thread.

use std::io::{self, Write};
use std::mem;
use std::time::Instant;

use super::error::RecvError;
use super::subscription::{Gathered, Subscription};
use crate::emitter::{Emitter, Heartbeat};
use crate::writer::FrameBuffer;

/// What a connection keeps of its buffer while it waits.
const KEPT_BUFFER: usize = 2 << 10;

/// What [`serve`](Subscription::serve) does when the subscription has lagged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LagPolicy {
    /// End with [`Ending::Lagged`]: the client comes back with its last event ID, and the gap is told
    /// then.
    #[default]
    End,
    /// Send the gap event, if there is one, and go on with the oldest event that is left.
    Skip,
}

/// Why [`serve`](Subscription::serve) returned.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ending {
    /// The hub was closed and everything is sent; or the [last event](super::Subscribe::with_last) is;
    /// or the emitter was closed, be it by a write of another handle that failed.
    Closed,
    /// The client is gone: what a write or a flush failed with. The emitter is closed. The events that
    /// were gathered for that write are lost for this subscription; the client gets them when it
    /// comes back with its last event ID, in a new one.
    Gone(io::Error),
    /// The client was so slow that events were evicted before they were sent.
    #[non_exhaustive]
    Lagged {
        /// How many it missed at most.
        missed: u64,
    },
    /// The [`History`](super::History) failed.
    History(io::Error),
    /// The filter or the socket panicked; with [`serve_in`](Subscription::serve_in) alone.
    Panicked,
}

/// What a step has come to.
enum Step {
    More,
    CaughtUp,
    Ended(Ending),
}

impl Subscription {
    /// Sends everything to a connection, on this thread, until the client goes, the emitter or the hub
    /// is closed (both end it at once), or the subscription lags.
    ///
    /// Events that wait are joined into one write of up to 16 KiB. A heartbeat is sent when nothing was
    /// written for its interval, by this or another handle of the emitter; `None` is no heartbeat. With
    /// it goes the id of the newest event that was not for this subscription, if the client has no
    /// event as new: its last event ID follows the log ([`Emitter::id`]), so that a client of a quiet
    /// topic comes back without a gap. No second thread; nothing is allocated for an event once the buffers have grown, and what a burst
    /// took is given back before it waits.
    ///
    /// Blocks as long as the emitter's inner writer does: while a client does not read, neither a
    /// close nor a lag is noticed before the socket's write time-out. The emitter stays open after an
    /// end that is not its own; drop it to end the stream.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::hub::Ending;
    /// use sse_io::{Emitter, Event, Heartbeat, Hub};
    ///
    /// let hub = Hub::builder().with_id_policy(sse_io::hub::IdPolicy::Own).build();
    /// let mut subscription = hub.subscribe().start()?;
    /// hub.publish(&Event::new("a").with_id("1"))?;
    /// hub.publish(&Event::new("b").with_id("2"))?;
    /// hub.close();
    ///
    /// let mut stream = Vec::new();
    /// let heartbeat = Heartbeat::every(Duration::from_secs(15));
    /// let ended = subscription.serve(&Emitter::new(&mut stream), heartbeat);
    /// assert!(matches!(ended, Ending::Closed));
    /// assert_eq!(stream, b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn serve<W: Write>(
        &mut self,
        emitter: &Emitter<W>,
        heartbeat: impl Into<Option<Heartbeat>>,
    ) -> Ending {
        let heartbeat = heartbeat.into();
        let signal = self.signal.clone();
        let _raised = emitter.raise_at_close(&signal);
        let mut buffer = FrameBuffer::default();
        loop {
            match self.step(emitter, heartbeat.as_ref(), &mut buffer) {
                Step::More => {}
                Step::CaughtUp => {
                    if let Err(error) = self.idle(emitter, heartbeat.as_ref(), &mut buffer) {
                        return Ending::Gone(error);
                    }
                }
                Step::Ended(ending) => return ending,
            }
        }
    }

    /// As [`serve`](Subscription::serve), until everything is sent that there is.
    pub(super) fn catch_up<W: Write>(
        &mut self,
        emitter: &Emitter<W>,
        heartbeat: Option<&Heartbeat>,
    ) -> Result<(), Ending> {
        let mut buffer = FrameBuffer::default();
        loop {
            match self.step(emitter, heartbeat, &mut buffer) {
                Step::More => {}
                Step::CaughtUp => return Ok(()),
                Step::Ended(ending) => return Err(ending),
            }
        }
    }

    /// Sends what can go out at once.
    fn step<W: Write>(
        &mut self,
        emitter: &Emitter<W>,
        heartbeat: Option<&Heartbeat>,
        buffer: &mut FrameBuffer,
    ) -> Step {
        if emitter.is_closed() {
            return Step::Ended(Ending::Closed);
        }
        buffer.clear();
        let gathered = self.gather(buffer);
        let empty = buffer.len() == 0;
        if !empty {
            match emitter.send_encoded(buffer) {
                Ok(Some(_)) => {}
                Ok(None) => return Step::Ended(Ending::Closed),
                Err(error) => return Step::Ended(Ending::Gone(error)),
            }
            *buffer = mem::take(buffer).recycle();
        }
        match (gathered, heartbeat) {
            // The filter refuses what comes, and more comes meanwhile.
            (Ok(Gathered::More), Some(heartbeat)) if empty => {
                match emitter.beat(heartbeat, None, buffer) {
                    Ok(_) => Step::More,
                    Err(error) => Step::Ended(Ending::Gone(error)),
                }
            }
            (Ok(Gathered::More), _) => Step::More,
            (Ok(Gathered::CaughtUp), _) => Step::CaughtUp,
            (Err(RecvError::Lagged { .. }), _) if self.lag == LagPolicy::Skip => {
                self.notice_due = true;
                Step::More
            }
            (Err(RecvError::Lagged { missed }), _) => Step::Ended(Ending::Lagged { missed }),
            (Err(RecvError::History(error)), _) => Step::Ended(Ending::History(error)),
            (Err(RecvError::Closed), _) => Step::Ended(Ending::Closed),
        }
    }

    /// Waits for more, or for the time of the next heartbeat, which is sent.
    fn idle<W: Write>(
        &mut self,
        emitter: &Emitter<W>,
        heartbeat: Option<&Heartbeat>,
        buffer: &mut FrameBuffer,
    ) -> io::Result<()> {
        let due = heartbeat.and_then(|heartbeat| {
            let idle_since = emitter.last_write();
            idle_since.checked_add(heartbeat.interval())
        });
        // Thousands may wait: only small events are worth a buffer until the next comes.
        buffer.shrink(KEPT_BUFFER);
        self.wait(due);
        // Also where something woke it: each event that the filter refuses may bring another one.
        let is_due = due.is_some_and(|due| due <= Instant::now());
        match heartbeat {
            Some(heartbeat) if is_due => self.beat(emitter, heartbeat, buffer),
            _ => Ok(()),
        }
    }

    /// Sends a heartbeat, and where the client may come back if it has no event as new.
    fn beat<W: Write>(
        &mut self,
        emitter: &Emitter<W>,
        heartbeat: &Heartbeat,
        buffer: &mut FrameBuffer,
    ) -> io::Result<()> {
        let position = self.position();
        let id = position.as_ref().map(|position| &*position.id);
        if let (true, Some(position)) = (emitter.beat(heartbeat, id, buffer)?, &position) {
            self.told(position);
        }
        Ok(())
    }
}

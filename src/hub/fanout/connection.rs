//! A connection of a fan-out: what is sent to it, as far as it takes it.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::emitter::{Heartbeat, Socket};
use crate::hub::error::RecvError;
use crate::hub::serve::{Ending, LagPolicy};
use crate::hub::subscription::{Gathered, Subscription};
use crate::writer::{FrameBuffer, Framing};

/// How many writes a connection may make before others have their turn.
const WRITES: usize = 4;

pub(super) struct Connection {
    /// Dropped before the subscription, so that a hub without subscribers has no connections either.
    socket: Box<dyn Socket>,
    framing: Framing,
    pub(super) subscription: Subscription,
    pub(super) heartbeat: Option<Heartbeat>,
    /// When the socket last took something.
    last_write: Instant,
    /// What the socket has yet to take, before anything else.
    rest: Option<Rest>,
    /// A frame is on its way out. It stays so where the socket panics.
    writes: bool,
    /// With the rest, it has ended.
    ending: Option<Ending>,
    /// The thread of the fan-out that it belongs to.
    pub(super) home: usize,
}

/// A frame that went out in part.
struct Rest {
    bytes: Box<[u8]>,
    /// How many of them have gone out.
    sent: usize,
}

/// What a turn has come to.
pub(super) enum Turn {
    /// Everything is sent. The subscription waits for the next event.
    Waits,
    /// There may be more to send.
    More,
    /// To go on would block: on the peer, or on the history.
    Blocks,
    Ended(Ending),
}

/// What a write has come to.
enum Sent {
    All,
    /// The rest is kept.
    InPart,
}

impl Connection {
    pub(super) fn new(
        socket: Box<dyn Socket>,
        framing: Framing,
        subscription: Subscription,
        heartbeat: Option<Heartbeat>,
        home: usize,
    ) -> Self {
        Connection {
            socket,
            framing,
            subscription,
            heartbeat,
            last_write: Instant::now(),
            rest: None,
            writes: false,
            ending: None,
            home,
        }
    }

    /// Sends what there is, a few writes of it. With `patient`, the history may be asked.
    pub(super) fn turn(&mut self, buffer: &mut FrameBuffer, patient: bool) -> Turn {
        let mut writes = 0;
        loop {
            match self.send_rest() {
                Ok(Sent::All) => {}
                Ok(Sent::InPart) => return Turn::Blocks,
                Err(error) => return Turn::Ended(Ending::Gone(error)),
            }
            if let Some(ended) = self.ending.take() {
                return Turn::Ended(ended);
            }
            if self.subscription.reads_history() && !patient {
                return Turn::Blocks;
            }
            if writes == WRITES {
                return Turn::More;
            }
            writes += 1;
            buffer.clear();
            let gathered = self.subscription.gather(buffer);
            if buffer.len() > 0 {
                if let Err(error) = self.send(buffer) {
                    return Turn::Ended(Ending::Gone(error));
                }
            }
            match gathered {
                Ok(Gathered::CaughtUp) if self.rest.is_none() => return Turn::Waits,
                Ok(Gathered::CaughtUp | Gathered::More) => {}
                Err(RecvError::Lagged { .. }) if self.subscription.lag == LagPolicy::Skip => {
                    self.subscription.notice_due = true;
                }
                Err(RecvError::Lagged { missed }) => self.end(Ending::Lagged { missed }),
                Err(RecvError::History(error)) => self.end(Ending::History(error)),
                Err(RecvError::Closed) => self.end(Ending::Closed),
            }
        }
    }

    /// Sends a heartbeat if nothing was sent for its interval, and with it where the client may come
    /// back.
    pub(super) fn beat(&mut self, buffer: &mut FrameBuffer, now: Instant) -> io::Result<()> {
        let Some(heartbeat) = &self.heartbeat else {
            return Ok(());
        };
        if now.saturating_duration_since(self.last_write) < heartbeat.interval() {
            return Ok(());
        }
        buffer.clear();
        let position = self.subscription.position();
        if let Some(position) = &position {
            buffer.id(&position.id)?;
        }
        heartbeat.encode(buffer);
        self.send(buffer)?;
        if let Some(position) = &position {
            self.subscription.told(position);
        }
        Ok(())
    }

    /// Whether something is left to send before anything else.
    pub(super) fn is_blocked(&self) -> bool {
        self.rest.is_some()
    }

    pub(super) fn has_hung_up(&self) -> bool {
        self.socket.has_hung_up()
    }

    pub(super) fn last_write(&self) -> Instant {
        self.last_write
    }

    /// Has writes fail that would wait for the peer.
    pub(super) fn set_nonblocking(&self) -> io::Result<()> {
        self.socket.set_nonblocking(true)
    }

    /// Has writes wait for the peer, but no longer than this.
    pub(super) fn set_blocking(&self, patience: Duration) -> io::Result<()> {
        self.socket.set_nonblocking(false)?;
        self.socket.set_write_timeout(Some(patience))
    }

    /// Sends what comes behind the last frame next, and nothing more.
    fn end(&mut self, ended: Ending) {
        self.ending = Some(ended);
        let bytes = self.framing.last();
        if !bytes.is_empty() {
            self.rest = Some(Rest {
                bytes: bytes.into(),
                sent: 0,
            });
        }
    }

    /// Sends what comes behind the last frame, if that does not block.
    pub(super) fn try_end(&mut self) {
        if self.rest.is_none() && self.ending.is_none() && !self.writes {
            // The peer may be gone, and there is nobody to tell.
            let _ = write(&mut *self.socket, self.framing.last());
        }
    }

    /// Sends a frame, and keeps what is not taken. Nothing is kept before.
    fn send(&mut self, frame: &mut FrameBuffer) -> io::Result<()> {
        let wire = frame.wire(self.framing);
        self.writes = true;
        let sent = write(&mut *self.socket, wire)?;
        self.writes = false;
        self.last_write = Instant::now();
        self.rest = sent.map(|sent| Rest {
            bytes: wire[sent..].into(),
            sent: 0,
        });
        Ok(())
    }

    fn send_rest(&mut self) -> io::Result<Sent> {
        let Some(rest) = &mut self.rest else {
            return Ok(Sent::All);
        };
        let left = &rest.bytes[rest.sent..];
        match write(&mut *self.socket, left)? {
            None => {
                self.rest = None;
                self.last_write = Instant::now();
                Ok(Sent::All)
            }
            Some(0) => Ok(Sent::InPart),
            Some(sent) => {
                rest.sent += sent;
                self.last_write = Instant::now();
                Ok(Sent::InPart)
            }
        }
    }
}

/// Writes and flushes. Where that would block: how many bytes were taken.
fn write(socket: &mut dyn Socket, bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut sent = 0;
    loop {
        let result = match sent < bytes.len() {
            true => socket.write(&bytes[sent..]),
            false => socket.flush().map(|()| 0),
        };
        match result {
            Ok(_) if sent == bytes.len() => return Ok(None),
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(Some(sent)),
                _ => return Err(error),
            },
        }
    }
}

//! Watching the peer: a thread that waits in a read of the socket until the next heartbeat is due.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::heartbeat::{Heartbeat, STACK};
use super::socket::{Peer, Socket};
use super::{Control, FinishIfClosed, Stream, ignore_poison};
use crate::writer::FrameBuffer;

/// Watches on a thread of its own. Does nothing where the stream has ended.
pub(super) fn spawn<W: Socket + 'static>(
    stream: &Arc<Stream<W>>,
    heartbeat: Heartbeat,
) -> io::Result<()> {
    // A write that is under way has the stream: it is waited for.
    let peer = match &*ignore_poison(stream.writer.lock()) {
        Some(writer) => {
            let socket = writer.get_ref();
            // A read that does not wait would be asked again and again.
            socket.set_nonblocking(false)?;
            Arc::new(socket.peer()?)
        }
        None => return Ok(()),
    };
    let watch = Watch {
        stream: Arc::downgrade(stream),
        control: Arc::clone(&stream.control),
        peer,
        heartbeat,
    };
    let peer = Arc::clone(&watch.peer);
    thread::Builder::new()
        .name("sse-watch".into())
        .stack_size(STACK)
        .spawn(move || watch.run())?;
    if !stream.control.add_peer(&peer) {
        peer.stop_waiting();
    }
    Ok(())
}

/// The work of the thread. It holds the stream weakly, so as not to keep it open.
struct Watch<W: Socket> {
    stream: Weak<Stream<W>>,
    control: Arc<Control>,
    peer: Arc<Peer>,
    heartbeat: Heartbeat,
}

impl<W: Socket> Watch<W> {
    fn run(self) {
        let mut frame = FrameBuffer::default();
        while let Some(idle) = self.open_and_idle() {
            let left = self.heartbeat.interval().saturating_sub(idle);
            if left.is_zero() {
                match self.stream.upgrade() {
                    Some(stream) => {
                        let _last = FinishIfClosed(&stream);
                        // A failure has closed the stream, and is told to those who use it.
                        let _ = stream.beat(&self.heartbeat, None, &mut frame);
                    }
                    None => return,
                }
            } else if self.peer.wait_hung_up(left) {
                if let Some(stream) = self.stream.upgrade() {
                    stream.control.close();
                    drop(FinishIfClosed(&stream));
                }
                return;
            }
        }
    }

    /// For how long nothing was written; None when the stream is closed.
    fn open_and_idle(&self) -> Option<Duration> {
        let state = self.control.lock();
        (!state.closed).then(|| state.last_write.elapsed())
    }
}

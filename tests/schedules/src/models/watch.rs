//! A watched socket: the peer's end, the stream's own, and heartbeats in between.

use std::io::Read;
use std::time::Duration;

use shuttle::thread;

use super::{LONG, check, once_in};
use crate::shim::net::UnixStream;
use crate::{Emitter, Event};

/// Waits for the end of the watch: it has a handle of the socket for as long as it lasts.
fn wait_unwatched(peer: &UnixStream) {
    while peer.others() > 0 {
        thread::yield_now();
    }
}

/// Everything that the peer has got, to the end of the stream.
fn read_all(mut peer: &UnixStream) -> String {
    let mut text = String::new();
    peer.read_to_string(&mut text).expect("text");
    text
}

/// Whoever closes, and whenever: the watch ends with the stream, and so does the connection.
#[test]
fn a_watch_ends_with_its_stream() {
    check(2, LONG, || {
        let (socket, peer) = UnixStream::pair();
        let emitter = Emitter::new(socket);
        let other = emitter.clone();
        let closes = once_in(2);
        let emitting = thread::spawn(move || {
            let sent = other.emit(&Event::new("x")).is_ok();
            if closes {
                other.close();
            }
            sent
        });
        // It may be closed by now.
        emitter.watch(Duration::from_secs(1)).expect("a thread");
        if once_in(2) {
            emitter.close();
        }
        drop(emitter);
        let sent = emitting.join().expect("no panic");
        wait_unwatched(&peer);
        let text = read_all(&peer);
        let events = text
            .split_inclusive("\n\n")
            .filter(|block| *block != ":\n\n");
        let expected: &[&str] = if sent { &["data: x\n\n"] } else { &[] };
        assert_eq!(events.collect::<Vec<_>>(), expected);
    });
}

/// The peer hangs up, at any moment: the stream is closed, without anybody writing to it.
#[test]
fn a_peer_that_hangs_up_closes_the_stream() {
    check(2, LONG, || {
        let (socket, peer) = UnixStream::pair();
        let emitter = Emitter::new(socket);
        let hanging_up = thread::spawn(move || drop(peer));
        emitter.watch(Duration::from_secs(1)).expect("a thread");
        assert!(emitter.wait_closed(None));
        assert!(emitter.wait_ended(None));
        hanging_up.join().expect("no panic");
    });
}

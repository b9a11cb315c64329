//! A fan-out: connections handed over while events come, sockets that are full or whose peer is gone,
//! and the end of it all.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::sync::mpsc;
use shuttle::thread;

use super::{LONG, check, once_in};
use crate::emitter::{Peer, Socket};
use crate::hub::{Ending, Fanout, IdPolicy};
use crate::{Emitter, Event, Hub};

const EVENTS: usize = 3;

/// A socket of the model's own, and what the peer has got of it.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    nonblocking: bool,
    /// So many writes find it full.
    full: usize,
    hung_up: bool,
    dropped: bool,
}

struct End(Pipe);

impl Pipe {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().expect("no panic"))
    }

    fn text(&self) -> String {
        String::from_utf8(self.with(|state| state.bytes.clone())).expect("text")
    }

    fn events(&self) -> usize {
        self.text().matches("data: x\n\n").count()
    }

    /// Whether the events came once each and in order.
    #[track_caller]
    fn has_all(&self) {
        let expected: String = (0..EVENTS)
            .map(|number| format!("id: {number}\ndata: x\n\n"))
            .collect();
        assert_eq!(self.text(), expected);
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        thread::yield_now();
        self.0.with(|state| {
            if state.hung_up {
                return Err(ErrorKind::BrokenPipe.into());
            }
            // A blocking one waits until there is room.
            if state.nonblocking && state.full > 0 {
                state.full -= 1;
                return Err(ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().div_ceil(2);
            state.bytes.extend_from_slice(&bytes[..count]);
            Ok(count)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for End {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.with(|state| state.nonblocking = nonblocking);
        Ok(())
    }

    fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }

    fn has_hung_up(&self) -> bool {
        self.0.with(|state| state.hung_up)
    }

    fn peer(&self) -> io::Result<Peer> {
        Err(ErrorKind::Unsupported.into())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.with(|state| state.dropped = true);
    }
}

/// A subscription that is handed over with a pipe, and how it ends.
fn hand_over(hub: &Hub, fanout: &Fanout, pipe: &Pipe) -> mpsc::Receiver<Ending> {
    let (tell, told) = mpsc::channel();
    let subscription = hub.subscribe().start().expect("the hub is open");
    let subscription =
        subscription.on_ended(move |ending| tell.send(ending).expect("it is awaited"));
    let emitter = Emitter::new(End(pipe.clone()));
    let served = subscription.serve_in(fanout, emitter, None);
    assert!(served.is_ok(), "{served:?}");
    told
}

fn publish(hub: &Hub) -> thread::JoinHandle<()> {
    let hub = hub.clone();
    thread::spawn(move || {
        for number in 0..EVENTS {
            let event = Event::new("x").with_id(number.to_string());
            hub.publish(&event).expect("the hub is open");
        }
    })
}

/// Everybody gets every event, full or not, and nothing but the events wakes those that write.
fn reaches(threads: usize, full: bool) {
    check(0, LONG, move || {
        let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
        let fanout = Fanout::builder()
            .with_threads(threads)
            .with_connections_per_thread(1);
        let fanout = fanout.build().expect("shuttle has threads");
        let pipes = [Pipe::default(), Pipe::default()];
        if full {
            pipes[0].with(|state| state.full = 2);
        }
        let endings = pipes.each_ref().map(|pipe| hand_over(&hub, &fanout, pipe));
        let publisher = publish(&hub);
        for pipe in &pipes {
            while pipe.events() < EVENTS {
                thread::yield_now();
            }
        }
        publisher.join().expect("no panic");
        hub.close();
        for (pipe, ending) in pipes.iter().zip(endings) {
            let ending = ending.recv().expect("the hook is called");
            assert!(matches!(ending, Ending::Closed), "{ending:?}");
            pipe.has_all();
            assert!(pipe.with(|state| state.dropped), "the hook comes last");
        }
        assert_eq!(fanout.stats().connections, 0);
        assert_eq!(hub.stats().subscribers, 0);
    });
}

#[test]
fn one_thread_reaches_everybody() {
    reaches(1, false);
}

#[test]
fn two_threads_reach_everybody() {
    reaches(2, false);
}

#[test]
fn a_full_socket_loses_nothing() {
    reaches(1, true);
}

/// A close at any moment: what was published before it comes, whoever has the connection.
#[test]
fn close_comes_behind_the_last_event() {
    check(0, LONG, || {
        let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
        let one = Fanout::builder().with_threads(1);
        let fanout = one.build().expect("shuttle has threads");
        let pipe = Pipe::default();
        pipe.with(|state| state.full = usize::from(once_in(2)));
        let ending = hand_over(&hub, &fanout, &pipe);
        // The threads go on without a handle, until the last connection has ended.
        drop(fanout);
        publish(&hub).join().expect("no panic");
        hub.close();
        assert!(matches!(ending.recv(), Ok(Ending::Closed)));
        pipe.has_all();
    });
}

/// A peer that hangs up ends its own connection alone.
#[test]
fn a_peer_that_is_gone_holds_up_nobody() {
    check(0, LONG, || {
        let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
        let one = Fanout::builder().with_threads(1);
        let fanout = one.build().expect("shuttle has threads");
        let (gone, stays) = (Pipe::default(), Pipe::default());
        let first = hand_over(&hub, &fanout, &gone);
        let second = hand_over(&hub, &fanout, &stays);
        let leaves = {
            let gone = gone.clone();
            thread::spawn(move || {
                thread::yield_now();
                gone.with(|state| state.hung_up = true);
            })
        };
        let publisher = publish(&hub);
        leaves.join().expect("no panic");
        publisher.join().expect("no panic");
        while stays.events() < EVENTS {
            thread::yield_now();
        }
        hub.close();
        let ending = first.recv().expect("the hook is called");
        assert!(
            matches!(ending, Ending::Gone(_) | Ending::Closed),
            "{ending:?}"
        );
        assert!(matches!(second.recv(), Ok(Ending::Closed)));
        stays.has_all();
        assert_eq!(hub.stats().subscribers, 0);
    });
}

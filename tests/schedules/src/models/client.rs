//! Closing a client from another thread, and handlers that come and go.

use std::io::{self, BufReader, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use shuttle::sync::mpsc;
use shuttle::thread;

use super::{LONG, check, once_in};
use crate::EventSource;
use crate::client::{Ending, Listeners, Response, State};

/// A body that has some events, then nothing until it is shut down.
struct Live {
    bytes: io::Cursor<&'static [u8]>,
    shut_down: mpsc::Receiver<()>,
}

impl Read for Live {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        thread::yield_now();
        let most = buffer.len().min(12);
        match self.bytes.read(&mut buffer[..most])? {
            0 => {
                let _ = self.shut_down.recv();
                Err(ErrorKind::ConnectionAborted.into())
            }
            count => Ok(count),
        }
    }
}

/// Wherever the client is, connecting, reading or waiting for the next attempt, a close ends it, and
/// no event comes out of a call that began later.
#[test]
fn close_ends_the_client_wherever_it_is() {
    check(2, LONG, || {
        let mut attempts = 0;
        let fails = once_in(3);
        let mut source = EventSource::new(move |request| {
            thread::yield_now();
            attempts += 1;
            let (close, shut_down) = mpsc::channel::<()>();
            request.on_close(move || drop(close));
            if fails && attempts == 1 {
                return Err(ErrorKind::ConnectionRefused.into());
            }
            let bytes = io::Cursor::new(&b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n"[..]);
            let live = Live { bytes, shut_down };
            Ok(Response::new(
                200,
                "text/event-stream",
                BufReader::with_capacity(16, live),
            ))
        });
        let closer = source.closer();
        let closed = Arc::new(AtomicBool::new(false));
        let reader = {
            let closed = Arc::clone(&closed);
            thread::spawn(move || {
                let mut events = 0;
                loop {
                    let late = closed.load(Ordering::SeqCst);
                    match source.next_event().expect("nothing is for good") {
                        Some(_) => assert!(!late, "an event after the close"),
                        None => break,
                    }
                    events += 1;
                }
                assert!(source.next_event().expect("nothing is for good").is_none());
                events
            })
        };
        for _ in 0..if once_in(2) { 0 } else { 20 } {
            thread::yield_now();
        }
        closer.close();
        closed.store(true, Ordering::SeqCst);
        let events = reader.join().expect("no panic");
        assert!(events <= 2);
        assert!(matches!(closer.state(), State::Closed(Ending::Closer)));
    });
}

/// Whenever it is told to reconnect, a client on a thread of its own goes on after the last event:
/// nothing is lost or comes twice, and its thread ends with the receiver.
#[test]
fn reconnecting_loses_nothing_of_a_spawned_client() {
    const EVENTS: [&str; 4] = [
        "id: 1\ndata: a\n\nid: 2\ndata: a\n\nid: 3\ndata: a\n\n",
        "id: 2\ndata: a\n\nid: 3\ndata: a\n\n",
        "id: 3\ndata: a\n\n",
        "",
    ];
    check(0, LONG, || {
        let attempts = Arc::new(AtomicUsize::new(0));
        let (tell, dropped) = mpsc::channel::<()>();
        let source = {
            let attempts = Arc::clone(&attempts);
            EventSource::new(move |request| {
                thread::yield_now();
                let _alive = &tell;
                attempts.fetch_add(1, Ordering::SeqCst);
                let (close, shut_down) = mpsc::channel::<()>();
                request.on_close(move || drop(close));
                let last: usize = request.last_event_id().parse().unwrap_or(0);
                let bytes = io::Cursor::new(EVENTS[last].as_bytes());
                let live = Live { bytes, shut_down };
                Ok(Response::new(
                    200,
                    "text/event-stream",
                    BufReader::with_capacity(16, live),
                ))
            })
        };
        let items = source.spawn(1).expect("shuttle has threads");
        let closer = items.closer().clone();
        let other = thread::spawn(move || {
            for _ in 0..2 {
                thread::yield_now();
                closer.reconnect();
            }
        });
        for expected in ["1", "2", "3"] {
            let item = items.recv().expect("it goes on").expect("no error");
            let crate::Item::Event { last_event_id, .. } = item else {
                panic!("{item:?}");
            };
            assert_eq!(last_event_id, expected);
        }
        other.join().expect("no panic");
        // It has nothing to read, so that nothing but the order wakes it.
        let before = attempts.load(Ordering::SeqCst);
        items.closer().reconnect();
        while attempts.load(Ordering::SeqCst) == before {
            thread::yield_now();
        }
        drop(items);
        // The thread has dropped the client, and its connector with it.
        assert!(dropped.recv().is_err());
        let attempts = attempts.load(Ordering::SeqCst);
        assert!((2..=4).contains(&attempts), "{attempts} attempts");
    });
}

/// A handler that is removed is not called by an event that comes later, and what it holds is gone.
#[test]
fn handlers_come_and_go_while_others_are_called() {
    check(0, LONG, || {
        let (mut calls, held) = (Vec::new(), Arc::new(()));
        let listeners = Listeners::new();
        let mut handlers = Vec::new();
        for _ in 0..2 {
            let called = Arc::new(AtomicUsize::new(0));
            let (count, held) = (Arc::clone(&called), Arc::clone(&held));
            handlers.push(listeners.on_any(move |_, _| {
                thread::yield_now();
                count.fetch_add(Arc::strong_count(&held).min(1), Ordering::SeqCst);
            }));
            calls.push(called);
        }
        let mut source = EventSource::new(|_| {
            let body = io::Cursor::new(&b"data: a\n\ndata: b\n\ndata: c\n\n"[..]);
            Ok(Response::new(200, "text/event-stream", body))
        })
        .with_finite(true);
        let removed = handlers.remove(0);
        let other = thread::spawn(move || {
            removed.remove();
            removed.remove();
        });
        source.run(&listeners).expect("it ends");
        other.join().expect("no panic");
        assert!(calls[0].load(Ordering::SeqCst) <= 3);
        assert_eq!(
            calls[1].load(Ordering::SeqCst),
            3,
            "one that stays misses nothing"
        );
        assert_eq!(Arc::strong_count(&held), 2, "a removed handler is kept");
    });
}

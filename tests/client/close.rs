//! Closing from another thread ends a client whatever it is doing, over real sockets. No test looks
//! at a clock: the peer stays silent for ever, so that nothing but the close can have ended the call.

use crate::{connectors, over_ureq, util};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use connectors::Tcp;
use over_ureq::Ureq;
use sse_io::EventSource;
use sse_io::client::{Closer, Connect, ConnectError, Ending, Listeners, Request, Response, State};
use util::script_server::{HEAD, Script, ScriptServer, chunked, plain, status};
use util::within;

/// Against a hang alone.
const DEADLINE: Duration = Duration::from_secs(60);

/// Longer than the deadline: that no time-out of the connector's ends a test.
const FOR_EVER: Duration = Duration::from_secs(3_600);

const A: &str = "id: 1\ndata: a\n\n";

/// One test for each connector.
macro_rules! closes {
    ($($name:ident: $test:ident;)*) => {
        mod with_ureq {
            use super::*;
            $(
                #[test]
                fn $name() {
                    within(DEADLINE, || {
                        $test(|server| Ureq {
                            url: format!("http://{}/", server.address()),
                            patience: FOR_EVER,
                        });
                    });
                }
            )*
        }
        mod with_std {
            use super::*;
            $(
                #[test]
                fn $name() {
                    within(DEADLINE, || {
                        $test(|server| Tcp {
                            address: server.address(),
                            path: "/",
                            patience: FOR_EVER,
                        });
                    });
                }
            )*
        }
    };
}

closes! {
    while_it_waits_for_the_head: head;
    in_the_middle_of_the_head: half_a_head;
    while_the_stream_is_silent: silent;
    while_the_stream_is_silent_in_chunks: silent_chunks;
    while_the_stream_is_silent_in_the_middle_of_an_event: half_an_event;
    while_events_rush_in: busy;
    while_comments_rush_in: busy_with_comments;
    while_it_waits_to_reconnect: waiting;
    while_it_waits_because_the_server_is_busy: waiting_for_a_status;
    before_the_first_call: before;
    inside_connect_before_the_hook_is_registered: inside_connect;
    between_two_calls: between;
    while_listeners_run: listening;
    when_it_is_dropped: dropped;
    while_other_hooks_panic: panicking;
}

fn source<C: Connect>(
    server: &ScriptServer,
    connect: impl FnOnce(&ScriptServer) -> C,
) -> EventSource<C> {
    EventSource::with_connect(connect(server)).with_reconnection_limits(FOR_EVER, FOR_EVER)
}

/// Closes the client while it waits for what the server, which has played the script, never sends.
fn ends_at_hold<C: Connect<Body: Send> + Send + 'static>(
    connect: impl FnOnce(&ScriptServer) -> C,
    script: Script,
    events: usize,
) {
    let mut server = ScriptServer::start([script.hold()]);
    let mut source = source(&server, connect);
    let closer = source.closer();
    let (gives, given) = mpsc::channel();
    let reading = thread::spawn(move || {
        while let Some(event) = source.next_event().unwrap() {
            assert_eq!(event.data, "a");
            gives.send(()).unwrap();
        }
        source
    });
    server.wait_held();
    for _ in 0..events {
        given.recv().unwrap();
    }
    closer.close();
    let mut source = reading.join().unwrap();
    assert!(given.recv().is_err(), "an event after the last");
    assert!(matches!(closer.state(), State::Closed(Ending::Closer)));
    assert!(source.next_event().unwrap().is_none());
    // The client is still there, its connection is not.
    server.finish();
    assert_eq!(server.requests(), ["/"], "nothing was asked for again");
}

fn head<C: Connect<Body: Send> + Send + 'static>(connect: impl FnOnce(&ScriptServer) -> C) {
    ends_at_hold(connect, Script::new(), 0);
}

fn half_a_head<C: Connect<Body: Send> + Send + 'static>(connect: impl FnOnce(&ScriptServer) -> C) {
    ends_at_hold(connect, Script::new().send(HEAD), 0);
}

fn silent<C: Connect<Body: Send> + Send + 'static>(connect: impl FnOnce(&ScriptServer) -> C) {
    ends_at_hold(connect, plain(A), 1);
}

fn silent_chunks<C: Connect<Body: Send> + Send + 'static>(
    connect: impl FnOnce(&ScriptServer) -> C,
) {
    ends_at_hold(connect, chunked().chunk(A).chunk(A), 2);
}

fn half_an_event<C: Connect<Body: Send> + Send + 'static>(
    connect: impl FnOnce(&ScriptServer) -> C,
) {
    ends_at_hold(connect, plain(format!("{A}data: b\n")), 1);
}

fn busy<C: Connect<Body: Send> + Send + 'static>(connect: impl FnOnce(&ScriptServer) -> C) {
    let mut server = ScriptServer::start([plain(A).flood(A.repeat(1_000))]);
    let mut source = source(&server, connect);
    let closer = source.closer();
    let (gives, given) = mpsc::sync_channel(0);
    let reading = thread::spawn(move || {
        while source.next_event().unwrap().is_some() {
            // Nobody counts any more once it is closed.
            let _ = gives.send(());
        }
        source
    });
    for _ in 0..5_000 {
        given.recv().unwrap();
    }
    closer.close();
    drop(given);
    let _source = reading.join().unwrap();
    server.finish();
    assert_eq!(server.requests(), ["/"]);
}

/// The call never comes back by itself: no comment is an event.
fn busy_with_comments<C: Connect<Body: Send> + Send + 'static>(
    connect: impl FnOnce(&ScriptServer) -> C,
) {
    let mut server = ScriptServer::start([plain(A).flood(": x\n\nid: 2\n\n")]);
    let mut source = source(&server, connect);
    let closer = source.closer();
    let (gives, given) = mpsc::channel();
    let reading = thread::spawn(move || {
        while source.next_event().unwrap().is_some() {
            gives.send(()).unwrap();
        }
        source
    });
    given.recv().unwrap();
    closer.close();
    let _source = reading.join().unwrap();
    server.finish();
}

/// Closes the client while it waits for an hour.
fn ends_the_wait<C: Connect<Body: Send> + Send + 'static>(
    connect: impl FnOnce(&ScriptServer) -> C,
    script: Script,
) {
    let mut server = ScriptServer::start([script]);
    let (waits, waiting) = mpsc::channel();
    let mut source = source(&server, connect)
        .with_retried_statuses([503])
        .on_state(move |state| {
            if let State::Waiting { delay, .. } = state {
                assert!(*delay >= FOR_EVER);
                waits.send(()).unwrap();
            }
        });
    let closer = source.closer();
    let reading = thread::spawn(move || {
        assert!(source.next_event().unwrap().is_none());
        source
    });
    waiting.recv().unwrap();
    closer.close();
    let _source = reading.join().unwrap();
    server.finish();
    assert_eq!(server.requests(), ["/"]);
}

fn waiting<C: Connect<Body: Send> + Send + 'static>(connect: impl FnOnce(&ScriptServer) -> C) {
    ends_the_wait(connect, plain("data: lost"));
}

fn waiting_for_a_status<C: Connect<Body: Send> + Send + 'static>(
    connect: impl FnOnce(&ScriptServer) -> C,
) {
    ends_the_wait(connect, status(503, "Retry-After: 7200\r\n"));
}

fn before<C: Connect>(connect: impl FnOnce(&ScriptServer) -> C) {
    let mut server = ScriptServer::start([plain(A).hold()]);
    let mut source = source(&server, connect);
    source.closer().close();
    assert!(source.next_event().unwrap().is_none());
    server.finish();
    assert_eq!(server.requests(), [""; 0], "nothing was asked for");
}

/// A connector that is closed before it has begun.
struct ClosedInside<C> {
    inner: C,
    closers: mpsc::Receiver<Closer>,
}

impl<C: Connect> Connect for ClosedInside<C> {
    type Body = C::Body;

    fn connect(&mut self, request: &Request<'_>) -> Result<Response<C::Body>, ConnectError> {
        self.closers.recv().expect("a closer").close();
        self.inner.connect(request)
    }
}

fn inside_connect<C: Connect>(connect: impl FnOnce(&ScriptServer) -> C) {
    let mut server = ScriptServer::start([Script::new().hold()]);
    let (closers, given) = mpsc::channel();
    let mut source = source(&server, |server| ClosedInside {
        inner: connect(server),
        closers: given,
    });
    closers.send(source.closer()).unwrap();
    // Without the hook it would wait for the head.
    assert!(source.next_event().unwrap().is_none());
    server.finish();
}

fn between<C: Connect>(connect: impl FnOnce(&ScriptServer) -> C) {
    let mut server = ScriptServer::start([plain(A.repeat(3)).hold()]);
    let mut source = source(&server, connect);
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    let closer = source.closer();
    thread::spawn(move || closer.close()).join().unwrap();
    // The server sees the end although nobody asks for an event.
    server.finish();
    assert!(source.next_event().unwrap().is_none(), "a queued event");
}

fn listening<C: Connect<Body: Send> + Send + 'static>(connect: impl FnOnce(&ScriptServer) -> C) {
    let mut server = ScriptServer::start([plain(A).hold()]);
    let mut source = source(&server, connect);
    let closer = source.closer();
    let (gives, given) = mpsc::channel();
    let listeners = Listeners::new();
    listeners.on_message(move |_, _| gives.send(()).unwrap());
    let reading = thread::spawn(move || source.run(&listeners));
    given.recv().unwrap();
    server.wait_held();
    closer.close();
    reading.join().unwrap().unwrap();
    server.finish();
}

fn dropped<C: Connect>(connect: impl FnOnce(&ScriptServer) -> C) {
    let mut server = ScriptServer::start([plain(A).hold()]);
    let mut source = source(&server, connect);
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    let closer = source.closer();
    drop(source);
    // Neither a closer nor a hook keeps the connection open.
    server.finish();
    assert!(matches!(closer.state(), State::Closed(Ending::Closer)));
}

/// A connector whose hook comes between two that panic.
struct PanicsOnClose<C>(C);

impl<C: Connect> Connect for PanicsOnClose<C> {
    type Body = C::Body;

    fn connect(&mut self, request: &Request<'_>) -> Result<Response<C::Body>, ConnectError> {
        request.on_close(|| panic!("the first hook was told to panic"));
        let response = self.0.connect(request);
        request.on_close(|| panic!("the last hook was told to panic"));
        response
    }
}

fn panicking<C: Connect>(connect: impl FnOnce(&ScriptServer) -> C) {
    let mut server = ScriptServer::start([plain(A).hold()]);
    let mut source = source(&server, |server| PanicsOnClose(connect(server)));
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    let closer = source.closer();
    let panic = catch_unwind(AssertUnwindSafe(|| closer.close())).unwrap_err();
    // The hook in between has ended the connection, and who closes is told of the first panic.
    server.finish();
    let message = panic.downcast_ref::<&str>();
    assert_eq!(message, Some(&"the first hook was told to panic"));
    closer.close();
    assert!(source.next_event().unwrap().is_none());
}

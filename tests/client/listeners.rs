//! Handlers by event type: who is called, in which order, and what they may do while they are.

use crate::util;

use std::io::{self, ErrorKind as IoKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use sse_io::EventSource;
use sse_io::client::{Connect, ErrorKind, Listener, Listeners, Request, Response};
use util::within;

const DEADLINE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(1);

/// A client that gets these bodies, and a refusal for each that is missing, then 204.
fn client(
    bodies: impl IntoIterator<Item = Option<&'static str>>,
) -> EventSource<impl Connect<Body = &'static [u8]> + Send> {
    let bodies: Vec<_> = bodies.into_iter().collect();
    let mut bodies = bodies.into_iter();
    EventSource::new(move |_: &Request<'_>| match bodies.next() {
        Some(Some(body)) => Ok(Response::new(200, "text/event-stream", body.as_bytes())),
        Some(None) => Err(IoKind::ConnectionRefused.into()),
        None => Ok(Response::new(204, "", &b""[..])),
    })
    .with_reconnection_limits(SHORT, SHORT)
}

/// A client of one body, which is all there is.
fn once(body: &'static str) -> EventSource<impl Connect<Body = &'static [u8]> + Send> {
    client([Some(body)]).with_finite(true)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(*self.0.lock().unwrap(), expected);
    }

    /// Adds a handler for all events that notes its name.
    fn handler(&self, listeners: &Listeners, name: &'static str) -> Listener {
        let log = self.clone();
        listeners.on_any(move |event, _| log.add(format!("{name} {}", event.data)))
    }
}

// Who is called.

#[test]
fn events_go_to_the_handlers_of_their_type() {
    let (listeners, log) = (Listeners::new(), Log::default());
    for name in ["tick", "message", "open", "error", "", "Tick"] {
        let log = log.clone();
        listeners.on(name, move |event, _| {
            log.add(format!("on {name}: {}", event.data));
        });
    }
    let all = log.clone();
    listeners.on_any(move |event, _| all.add(format!("any: {}", event.event_type())));
    let messages = log.clone();
    listeners.on_message(move |event, _| messages.add(format!("message: {}", event.data)));
    once("event: tick\ndata: a\n\ndata: b\n\nevent: open\ndata: c\n\nevent: message\ndata: d\n\n")
        .run(&listeners)
        .unwrap();
    log.check(&[
        "on tick: a",
        "any: tick",
        "on message: b",
        "any: message",
        "message: b",
        "on open: c",
        "any: open",
        "on message: d",
        "any: message",
        "message: d",
    ]);
}

#[test]
fn handlers_are_told_the_last_event_id() {
    let (listeners, log) = (Listeners::new(), Log::default());
    let ids = log.clone();
    listeners.on_any(move |event, id| ids.add(format!("{:?} {id:?}", event.id)));
    client([
        Some("data: a\n\nid: 1\ndata: b\n\ndata: c\n\nid: 2\n\ndata: d\n\nid: 3\ndata: lost"),
        Some("data: e\n\nid\ndata: f\n\n"),
    ])
    .run(&listeners)
    .unwrap();
    log.check(&[
        "None \"\"",
        "Some(\"1\") \"1\"",
        "None \"1\"",
        "None \"2\"",
        "None \"2\"",
        "Some(\"\") \"\"",
    ]);
}

#[test]
fn comments_and_what_is_skipped_have_handlers_too() {
    let (listeners, log) = (Listeners::new(), Log::default());
    let l = log.clone();
    listeners.on_comment(move |text| l.add(format!("comment {text}")));
    let l = log.clone();
    listeners.on_error(move |error| {
        assert_eq!(error.kind(), ErrorKind::EventTooLarge);
        l.add(error.to_string());
    });
    log.handler(&listeners, "event");
    let bodies = [
        None,
        Some(": 1\ndata: a\n\ndata: much too large\n\n:\n\ndata: b\n\n"),
        Some(": 2\n"),
    ];
    client(bodies)
        .with_max_event_size(10)
        .run(&listeners)
        .unwrap();
    log.check(&[
        "comment 1",
        "event a",
        "an event was skipped",
        "comment ",
        "event b",
        "comment 2",
    ]);
}

#[test]
fn a_comment_too_large_is_told_only_where_comments_are_wanted() {
    for (wanted, expected) in [(false, &["a"][..]), (true, &["an event was skipped", "a"])] {
        let (listeners, log) = (Listeners::new(), Log::default());
        if wanted {
            listeners.on_comment(|_| ());
        }
        let l = log.clone();
        listeners.on_error(move |error| l.add(error.to_string()));
        let l = log.clone();
        listeners.on_any(move |event, _| l.add(event.data.clone()));
        once(": a comment that is too large\n\ndata: a\n\n")
            .with_max_event_size(10)
            .run(&listeners)
            .unwrap();
        log.check(expected);
    }
}

#[test]
fn what_ends_the_stream_is_returned_and_told_to_nobody() {
    let (listeners, log) = (Listeners::new(), Log::default());
    let l = log.clone();
    listeners.on_error(move |error| l.add(error.to_string()));
    let mut source =
        EventSource::new(|_| Ok(Response::new(404, "", &b""[..]))).with_max_attempts(1);
    let error = source.run(&listeners).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status(404));
    // It has ended: to run it again is no error.
    source.run(&listeners).unwrap();
    log.check(&[]);
}

#[test]
fn next_event_calls_no_handler_and_running_goes_on_behind_it() {
    let (listeners, log) = (Listeners::new(), Log::default());
    log.handler(&listeners, "run");
    let mut source = once("data: a\n\ndata: b\n\n");
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    source.run(&listeners).unwrap();
    log.check(&["run b"]);
}

// Order, adding and removing.

#[test]
fn handlers_are_called_in_the_order_of_registration() {
    let (listeners, log) = (Listeners::new(), Log::default());
    let first = log.handler(&listeners, "first");
    log.handler(&listeners, "second");
    log.handler(&listeners, "third");
    first.remove();
    log.handler(&listeners, "fourth");
    once("data: a\n\n").run(&listeners).unwrap();
    log.check(&["second a", "third a", "fourth a"]);
}

#[test]
fn dropping_a_listener_does_not_remove_its_handler() {
    let (listeners, log) = (Listeners::new(), Log::default());
    drop(log.handler(&listeners, "kept"));
    once("data: a\n\n").run(&listeners).unwrap();
    log.check(&["kept a"]);
}

#[test]
fn removing_twice_or_too_late_does_nothing() {
    let (listeners, log) = (Listeners::new(), Log::default());
    let gone = log.handler(&listeners, "gone");
    log.handler(&listeners, "kept");
    gone.remove();
    gone.remove();
    gone.clone().remove();
    once("data: a\n\n").run(&listeners).unwrap();
    log.check(&["kept a"]);
    drop(listeners);
    gone.remove();
}

#[test]
fn removing_a_handler_lets_go_of_what_it_holds() {
    let listeners = Listeners::new();
    let held = Arc::new(());
    let hold = Arc::clone(&held);
    let listener = listeners.on_any(move |_, _| drop(Arc::clone(&hold)));
    assert_eq!(Arc::strong_count(&held), 2);
    listener.remove();
    assert_eq!(Arc::strong_count(&held), 1);
}

/// Something that a handler holds, and whose end changes the handlers.
struct Curious(Listeners, Listener);

impl Drop for Curious {
    fn drop(&mut self) {
        self.1.remove();
        self.0.on_any(|_, _| {}).remove();
    }
}

#[test]
fn a_handler_that_changes_the_handlers_as_it_is_dropped_finds_no_lock_held() {
    within(DEADLINE, || {
        let listeners = Listeners::new();
        let curious = || {
            let other = listeners.on_error(|_| {});
            Curious(listeners.clone(), other)
        };
        let held = curious();
        let removed = listeners.on_any(move |_, _| {
            let _held = &held;
        });
        removed.remove();

        // It is removed by another while it runs, and ends with its call.
        let (held, own) = (curious(), Arc::<OnceLock<Listener>>::default());
        let itself = Arc::clone(&own);
        let runs = listeners.on_any(move |_, _| {
            let _held = &held;
            itself.get().unwrap().remove();
        });
        own.set(runs).unwrap();
        once("data: a\n\ndata: b\n\n").run(&listeners).unwrap();
        assert_eq!(format!("{listeners:?}"), "Listeners { handlers: 0 }");
    });
}

#[test]
fn a_handler_may_remove_itself_and_others_while_it_runs() {
    within(DEADLINE, || {
        let (listeners, log) = (Listeners::new(), Log::default());
        let earlier = log.handler(&listeners, "earlier");
        let own = Arc::new(Mutex::new(None::<Listener>));
        let later = Arc::new(Mutex::new(None::<Listener>));
        let handler = {
            let (own, later, log) = (Arc::clone(&own), Arc::clone(&later), log.clone());
            move |_: &sse_io::Event<'_>, _: &str| {
                log.add("removes");
                earlier.remove();
                own.lock().unwrap().take().unwrap().remove();
                later.lock().unwrap().take().unwrap().remove();
            }
        };
        *own.lock().unwrap() = Some(listeners.on_any(handler));
        *later.lock().unwrap() = Some(log.handler(&listeners, "later"));
        log.handler(&listeners, "last");
        once("data: a\n\ndata: b\n\n").run(&listeners).unwrap();
        // The later one is not called any more, even for the event at hand.
        log.check(&["earlier a", "removes", "last a", "last b"]);
    });
}

#[test]
fn a_handler_that_is_added_while_one_runs_sees_the_next_event() {
    within(DEADLINE, || {
        let (listeners, log) = (Listeners::new(), Log::default());
        let (more, l) = (listeners.clone(), log.clone());
        let mut adds = true;
        listeners.on_any(move |event, _| {
            l.add(format!("adds {}", event.data));
            if std::mem::take(&mut adds) {
                l.handler(&more, "added");
            }
        });
        log.handler(&listeners, "second");
        once("data: a\n\ndata: b\n\n").run(&listeners).unwrap();
        log.check(&["adds a", "second a", "adds b", "second b", "added b"]);
    });
}

#[test]
fn a_handler_that_replaces_itself_each_time_is_called_once_per_event() {
    fn replace(listeners: &Listeners, log: &Log) {
        let own = Arc::new(Mutex::new(None::<Listener>));
        let (again, me, l) = (listeners.clone(), Arc::clone(&own), log.clone());
        let listener = listeners.on_any(move |event, _| {
            l.add(event.data.clone());
            me.lock().unwrap().take().unwrap().remove();
            replace(&again, &l);
        });
        *own.lock().unwrap() = Some(listener);
    }
    within(DEADLINE, || {
        let (listeners, log) = (Listeners::new(), Log::default());
        replace(&listeners, &log);
        let text = "data: a\n\ndata: b\n\ndata: c\n\n";
        once(text).run(&listeners).unwrap();
        log.check(&["a", "b", "c"]);
    });
}

#[test]
fn handlers_may_change_while_a_comment_is_told() {
    within(DEADLINE, || {
        let (listeners, log) = (Listeners::new(), Log::default());
        let (l, more) = (log.clone(), listeners.clone());
        listeners.on_comment(move |text| {
            l.add(format!("comment {text}"));
            l.handler(&more, "event");
        });
        client([Some(": 1\n\ndata: a\n\n"), Some(": 2\n\ndata: b\n\n")])
            .run(&listeners)
            .unwrap();
        log.check(&["comment 1", "event a", "comment 2", "event b", "event b"]);
    });
}

#[test]
fn handlers_may_be_added_and_removed_by_another_thread_while_one_runs() {
    within(DEADLINE, || {
        let (listeners, log) = (Listeners::new(), Log::default());
        let (runs, running) = mpsc::channel();
        let (changed, has_changed) = mpsc::channel::<()>();
        let l = log.clone();
        let mut first = true;
        let blocking = listeners.on_any(move |event, _| {
            l.add(format!("blocks {}", event.data));
            if std::mem::take(&mut first) {
                runs.send(()).unwrap();
                has_changed.recv().unwrap();
            }
        });
        let removed = log.handler(&listeners, "removed");
        let reading = {
            let listeners = listeners.clone();
            thread::spawn(move || once("data: a\n\ndata: b\n\n").run(&listeners))
        };
        running.recv().unwrap();
        // Also the one that is running: nobody waits for it.
        blocking.remove();
        removed.remove();
        log.handler(&listeners, "added");
        changed.send(()).unwrap();
        reading.join().unwrap().unwrap();
        log.check(&["blocks a", "added b"]);
    });
}

// Closing.

#[test]
fn after_a_close_inside_a_handler_no_other_is_called() {
    within(DEADLINE, || {
        let (listeners, log) = (Listeners::new(), Log::default());
        let mut source = once("data: a\n\ndata: b\n\n");
        let (closer, l) = (source.closer(), log.clone());
        listeners.on_any(move |event, _| {
            l.add(format!("closes {}", event.data));
            closer.close();
        });
        log.handler(&listeners, "never");
        source.run(&listeners).unwrap();
        log.check(&["closes a"]);
    });
}

#[test]
fn after_a_close_from_another_thread_the_handler_that_runs_is_the_last() {
    within(DEADLINE, || {
        let (listeners, log) = (Listeners::new(), Log::default());
        let (runs, running) = mpsc::channel();
        let (closed, is_closed) = mpsc::channel::<()>();
        let l = log.clone();
        listeners.on_any(move |event, _| {
            l.add(event.data.clone());
            runs.send(()).unwrap();
            is_closed.recv().unwrap();
        });
        log.handler(&listeners, "never");
        let mut source = once("data: a\n\ndata: b\n\n");
        let closer = source.closer();
        let reading = thread::spawn(move || source.run(&listeners));
        running.recv().unwrap();
        closer.close();
        closed.send(()).unwrap();
        reading.join().unwrap().unwrap();
        log.check(&["a"]);
    });
}

#[test]
fn a_close_while_a_comment_is_told_is_the_end() {
    within(DEADLINE, || {
        let (listeners, log) = (Listeners::new(), Log::default());
        let mut source = once(": 1\n\ndata: a\n\n");
        for line in ["comment", "never"] {
            let (closer, log) = (source.closer(), log.clone());
            listeners.on_comment(move |_| {
                log.add(line);
                closer.close();
            });
        }
        log.handler(&listeners, "never");
        source.run(&listeners).unwrap();
        log.check(&["comment"]);
    });
}

// Panics and sharing.

#[test]
fn a_handler_that_panics_leaves_the_listeners_and_the_client_usable() {
    let (listeners, log) = (Listeners::new(), Log::default());
    let l = log.clone();
    let panicking = listeners.on_any(move |event, _| {
        l.add(format!("panics {}", event.data));
        assert_eq!(event.data, "b", "as the test wants it");
    });
    log.handler(&listeners, "second");
    let mut source = once("data: a\n\ndata: b\n\ndata: c\n\n");
    let run = catch_unwind(AssertUnwindSafe(|| source.run(&listeners)));
    assert!(run.is_err());
    // The same handler is called again, and can be removed.
    let run = catch_unwind(AssertUnwindSafe(|| source.run(&listeners)));
    assert!(run.is_err());
    log.check(&["panics a", "panics b", "second b", "panics c"]);
    panicking.remove();
    log.handler(&listeners, "third");
    once("data: d\n\n").run(&listeners).unwrap();
    log.check(&[
        "panics a", "panics b", "second b", "panics c", "second d", "third d",
    ]);
}

#[test]
fn two_clients_share_listeners_on_two_threads() {
    const EVENTS: usize = 1_000;
    within(DEADLINE, || {
        let listeners = Listeners::new();
        let seen = Arc::new(Mutex::new([Vec::new(), Vec::new()]));
        let log = Arc::clone(&seen);
        listeners.on_any(move |event, id| {
            let which = usize::from(event.event_type() == "second");
            log.lock().unwrap()[which].push(id.parse::<usize>().unwrap());
        });
        let clients = ["first", "second"].map(|name| {
            let listeners = listeners.clone();
            let body: String = (0..EVENTS)
                .map(|id| format!("event: {name}\nid: {id}\ndata: x\n\n"))
                .collect();
            thread::spawn(move || {
                let body = io::Cursor::new(body.into_bytes());
                let mut body = Some(body);
                EventSource::new(move |_| {
                    let body = body.take().ok_or(IoKind::NotFound)?;
                    Ok(Response::new(200, "text/event-stream", body))
                })
                .with_finite(true)
                .run(&listeners)
            })
        });
        for client in clients {
            client.join().unwrap().unwrap();
        }
        let expected: Vec<usize> = (0..EVENTS).collect();
        let seen = seen.lock().unwrap();
        assert!(seen[0] == expected && seen[1] == expected);
    });
}

#[test]
fn a_handler_that_is_at_work_for_one_client_does_not_keep_others_from_changing_handlers() {
    within(DEADLINE, || {
        let (listeners, log) = (Listeners::new(), Log::default());
        let (runs, running) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        listeners.on("slow", move |_, _| {
            runs.send(()).unwrap();
            may_go.recv().unwrap();
        });
        let slow = {
            let listeners = listeners.clone();
            thread::spawn(move || once("event: slow\ndata: a\n\n").run(&listeners))
        };
        running.recv().unwrap();
        log.handler(&listeners, "quick");
        // Another client goes on meanwhile, with the handlers that are not at work.
        once("data: b\n\n").run(&listeners).unwrap();
        log.check(&["quick b"]);
        go.send(()).unwrap();
        slow.join().unwrap().unwrap();
    });
}

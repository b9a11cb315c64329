//! What makes a client easy to live with: refusals that say why, a way to reconnect, a channel.

use std::error::Error as _;
use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use sse_io::client::{
    BoxConnect, Closer, ConnectError, Ending, ErrorKind, Listeners, Request, Response, State,
};
use sse_io::{EventSource, Item};

use crate::util::within;

const DEADLINE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(1);

type Bytes = &'static [u8];
type Answer = Result<Response<Bytes>, ConnectError>;

fn stream(text: &'static str) -> Answer {
    Ok(Response::new(200, "text/event-stream", text.as_bytes()))
}

/// A client that gets these answers, and 204 after them.
fn client(
    answers: impl IntoIterator<Item = Answer>,
) -> EventSource<impl FnMut(&Request<'_>) -> Answer + Send> {
    let answers: Vec<Answer> = answers.into_iter().collect();
    let mut answers = answers.into_iter();
    EventSource::new(move |_: &Request<'_>| {
        answers
            .next()
            .unwrap_or_else(|| Ok(Response::new(204, "", &b""[..])))
    })
    .with_reconnection_limits(SHORT, SHORT)
    .with_jitter(false)
}

// What a connector fails with.

#[test]
fn the_systems_own_einval_is_bad_luck() {
    const EINVAL: i32 = 22;
    let bad_luck = || Err(io::Error::from_raw_os_error(EINVAL).into());
    let mut source = client([bad_luck(), bad_luck(), stream("data: a\n\n")]);
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
}

#[test]
fn a_connectors_error_keeps_its_kind_text_and_source() {
    let error = ConnectError::from(io::ErrorKind::InvalidInput);
    assert!(!error.is_fatal());
    let error = ConnectError::fatal(io::Error::new(io::ErrorKind::NotFound, "no such host"));
    assert!(error.is_fatal());
    assert_eq!(error.to_string(), "no such host");
    let error = client([Err(error)]).next_event().unwrap_err();
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    let outer = ConnectError::retry(io::Error::other(ConnectError::fatal("inside")));
    assert_eq!(outer.to_string(), "inside");
    assert!(outer.source().is_none());
}

// What a response says.

#[test]
fn the_head_says_what_the_body_is() {
    let head = |fields: &'static [(&'static str, &'static str)]| {
        let header = move |name: &str| {
            let found = fields.iter().find(|(field, _)| *field == name);
            found.map(|(_, value)| *value)
        };
        client([Ok(Response::from_head(
            200_u16,
            header,
            &b"data: a\n\n"[..],
        ))])
        .next_event()
        .map(|event| event.is_some())
        .map_err(|error| (error.kind(), error.to_string()))
    };
    const TYPE: (&str, &str) = ("Content-Type", "text/event-stream");
    assert_eq!(head(&[TYPE]), Ok(true));
    for plain in ["", "identity", "IDENTITY, identity"] {
        let fields = Box::leak(Box::new([TYPE, ("Content-Encoding", plain)]));
        assert_eq!(head(fields), Ok(true), "{plain:?}");
    }
    for encoded in ["gzip", "br", "identity, gzip"] {
        let fields = Box::leak(Box::new([TYPE, ("Content-Encoding", encoded)]));
        let text = format!("the response is encoded with {encoded:?}, which was not asked for");
        assert_eq!(head(fields), Err((ErrorKind::ContentEncoding, text)));
    }
    assert!(matches!(head(&[]), Err((ErrorKind::MediaType, _))));
}

#[test]
fn the_head_says_how_long_to_stay_away() {
    let busy = Response::from_head(
        503_u16,
        |name| (name == "Retry-After").then_some("7"),
        &b""[..],
    );
    let (tell, told) = mpsc::channel();
    let mut source = client([Ok(busy)])
        .with_reconnection_limits(SHORT, Duration::from_secs(300))
        .with_retried_statuses([503])
        .on_state(move |state| {
            if let State::Waiting { delay, .. } = state {
                tell.send(*delay).unwrap();
            }
        });
    let closer = source.closer();
    let reading = thread::spawn(move || source.next_event().map(|event| event.is_some()));
    assert_eq!(told.recv(), Ok(Duration::from_secs(7)));
    closer.close();
    assert!(!reading.join().unwrap().unwrap());
}

#[test]
fn a_refusal_has_what_the_server_said() {
    let refused = |status, body: Bytes| Ok(Response::new(status, "application/json", body));
    let said = b"{\n  \"error\": \"Incorrect API\tkey\x1b[2J\"\n}\n";
    let error = client([refused(401, said)]).next_event().unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(error.body(), Some(std::str::from_utf8(said).unwrap()));
    let text = r#"the server answered with status 401: { "error": "Incorrect API key\u{1b}[2J" }"#;
    assert_eq!(error.to_string(), text);
    assert_eq!(format!("{error:#}"), text);
    assert_eq!(format!("{error:?}"), text);

    // Nothing was said, or nothing that can be read.
    let error = client([refused(404, b"")]).next_event().unwrap_err();
    assert_eq!((error.status(), error.body()), (Some(404), None));
    let gzipped = Response::from_head(
        500_u16,
        |name| (name == "Content-Encoding").then_some("gzip"),
        &b"\x1f\x8b"[..],
    );
    let error = client([Ok(gzipped)]).next_event().unwrap_err();
    assert_eq!((error.status(), error.body()), (Some(500), None));

    // It is the reason for giving up, too.
    let busy = || refused(503, b"full");
    let mut source = client([busy(), busy()])
        .with_retried_statuses([503])
        .with_max_attempts(2);
    let error = source.next_event().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RetriesExhausted);
    assert_eq!((error.status(), error.body()), (Some(503), Some("full")));
    assert_eq!(
        format!("{error:#}"),
        "gave up after 2 failed attempts: the server answered with status 503: full"
    );
}

#[test]
fn a_refusal_is_read_up_to_8_kib_and_shown_up_to_300_characters() {
    let endless = io::BufReader::with_capacity(1000, io::repeat(b'x'));
    let mut body = Some(endless);
    let mut source = EventSource::new(move |_| Ok(Response::new(500, "", body.take().unwrap())));
    let error = source.next_event().unwrap_err();
    assert_eq!(error.body().unwrap().len(), 8 << 10);
    let shown = format!("the server answered with status 500: {}…", "x".repeat(300));
    assert_eq!(error.to_string(), shown);
    // Text that runs the other way round steers a terminal as well.
    let reversed = Response::new(500, "", "a\u{202e}b\u{2066}".as_bytes());
    let error = client([Ok(reversed)]).next_event().unwrap_err();
    let shown = r"the server answered with status 500: a\u{202e}b\u{2066}";
    assert_eq!(error.to_string(), shown);
}

/// A body that says these and then fails; and how often it was read.
struct Fails(Bytes, Arc<AtomicUsize>);

impl Read for Fails {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.fetch_add(1, Ordering::SeqCst);
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            count => Ok(count),
        }
    }
}

#[test]
fn a_refusal_whose_body_fails_has_what_came_of_it() {
    let reads = Arc::<AtomicUsize>::default();
    let mut source = EventSource::new(|_| {
        let fails = Fails(b"who are you?", Arc::clone(&reads));
        Ok(Response::new(403, "", fails).map_body(io::BufReader::new))
    });
    let error = source.next_event().unwrap_err();
    assert_eq!(
        (error.status(), error.body()),
        (Some(403), Some("who are you?"))
    );
    assert_eq!(reads.load(Ordering::SeqCst), 2);
}

/// A body of single bytes, each after an interruption, that closes the client with the third.
struct Halting(Arc<AtomicUsize>, Arc<Mutex<Option<Closer>>>);

impl Read for Halting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        if read % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if read == 6 {
            self.1.lock().unwrap().take().expect("a closer").close();
        }
        buffer[0] = b'x';
        Ok(1)
    }
}

#[test]
fn a_refusal_is_read_over_interruptions_and_no_further_than_a_close() {
    let (reads, closer) = (Arc::<AtomicUsize>::default(), Arc::default());
    let mut source = EventSource::new(|_| {
        let halting = Halting(Arc::clone(&reads), Arc::clone(&closer));
        Ok(Response::new(403, "", io::BufReader::new(halting)))
    });
    *closer.lock().unwrap() = Some(source.closer());
    assert!(source.next_event().unwrap().is_none());
    assert_eq!(reads.load(Ordering::SeqCst), 6);
}

// The first connection.

#[test]
fn without_an_initial_retry_the_first_failure_is_the_end_and_no_other() {
    let refused = || Err(io::ErrorKind::ConnectionRefused.into());
    let mut source = client([refused(), stream("data: a\n\n")]).with_initial_retry(false);
    let error = source.next_event().unwrap_err();
    assert_eq!(format!("{error:#}"), "cannot connect: connection refused");
    assert!(source.next_event().unwrap().is_none());

    let busy = || Ok(Response::new(503, "", &b""[..]));
    let mut source = client([busy()])
        .with_retried_statuses([503])
        .with_initial_retry(false);
    assert_eq!(source.next_event().unwrap_err().status(), Some(503));

    let answers = [stream(""), refused(), busy(), stream("data: a\n\n")];
    let mut source = client(answers)
        .with_retried_statuses([503])
        .with_initial_retry(false);
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
}

// Setters on a client that runs.

#[test]
fn what_is_set_while_it_runs_counts_from_the_next_attempt() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let mut bodies = [
        "retry: 7\nid: 1\ndata: a\n\n",
        "retry: 8\ndata: b\n\n",
        "data: c\n\n",
    ]
    .into_iter();
    let mut source = EventSource::new(move |request| {
        log.lock().unwrap().push(request.last_event_id().to_owned());
        stream(bodies.next().unwrap_or_default())
    })
    .with_jitter(false)
    .with_reconnection_limits(SHORT, Duration::from_secs(1));
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    assert_eq!(source.reconnection_time(), 7 * SHORT);
    source = source
        .with_last_event_id("set")
        .with_reconnection_time(2 * SHORT);
    assert_eq!(source.last_event_id(), "set");
    assert_eq!(source.reconnection_time(), 2 * SHORT);
    assert_eq!(source.next_event().unwrap().unwrap().data, "b");
    assert_eq!(*asked.lock().unwrap(), ["", "set"]);
    // What the server says after that counts again, and holds.
    assert_eq!(source.reconnection_time(), 8 * SHORT);
    assert_eq!(source.next_event().unwrap().unwrap().data, "c");
    assert_eq!(source.reconnection_time(), 8 * SHORT);
}

#[test]
fn limits_and_the_trailing_switch_hold_on_every_connection() {
    let mut source = client([
        stream("data: 1\n\ndata: too large\n\ndata: 2"),
        stream("data: 3\n\ndata: too large\n\ndata: 4"),
    ])
    .with_max_event_size(4)
    .with_trailing_event(true);
    let seen = source
        .by_ref()
        .map(|event| event.map_or_else(|e| e.to_string(), |e| e.data.into_owned()));
    let skipped = "an event was skipped";
    assert_eq!(
        seen.collect::<Vec<_>>(),
        ["1", skipped, "2", "3", skipped, "4"]
    );
}

#[test]
fn it_is_truncated_while_the_last_body_ended_in_an_event() {
    let mut source = client([
        stream("data: 1\n\ndata: cut"),
        stream("data: 2\n\ndata: 3\n\n"),
        stream("data: 4\n\ndata: cut\n"),
    ]);
    let mut seen = Vec::new();
    while let Some(event) = source.next_event().unwrap() {
        let data = event.data.into_owned();
        seen.push((data, source.is_truncated()));
    }
    let whole = ["1", "2", "3", "4"].map(|data| (data.to_owned(), false));
    assert_eq!(seen, whole);
    // A refusal has no stream, so the last one counts.
    assert!(source.is_truncated());

    let mut complete = client([stream("data: 1\n\n: a comment\n")]).with_finite(true);
    assert_eq!(complete.by_ref().count(), 1);
    assert!(!complete.is_truncated());
    let mut delivered = client([stream("data: 1")]).with_finite(true);
    delivered = delivered.with_trailing_event(true);
    assert_eq!(delivered.by_ref().count(), 1);
    assert!(!delivered.is_truncated());
}

// Items.

#[test]
fn items_are_comments_and_events_with_the_last_event_id() {
    let mut source = client([
        stream(": one\nid: 1\ndata: a\n\n: two\n\ndata: b\n\n"),
        stream("data: c\n\nid\ndata: d\n\n"),
    ]);
    let mut seen = Vec::new();
    while let Some(item) = source.next_item().unwrap() {
        seen.push(match item {
            Item::Event {
                event,
                last_event_id,
                ..
            } => format!("{} at {last_event_id:?}", event.data),
            Item::Comment(text) => format!(": {text}"),
            _ => unreachable!("there are no others"),
        });
    }
    let expected = [
        ": one",
        r#"a at "1""#,
        ": two",
        r#"b at "1""#,
        r#"c at "1""#,
        r#"d at """#,
    ];
    assert_eq!(seen, expected);
}

#[test]
fn the_terminator_ends_a_stream_of_items_too() {
    let mut source = client([stream(": [DONE]\n\ndata: [DONE]\n\n")]).with_terminator("[DONE]");
    assert_eq!(
        source.next_item().unwrap(),
        Some(Item::Comment("[DONE]".into()))
    );
    assert_eq!(source.next_item().unwrap(), None);
    assert!(matches!(source.ending(), Some(Ending::Terminated)));
}

// Reconnecting and closing.

/// A body of comments without end, that tells of each read.
struct Chatter(mpsc::SyncSender<()>);

impl Read for Chatter {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("a reader uses fill_buf")
    }
}

impl BufRead for Chatter {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        // Nobody may listen any more.
        let _ = self.0.send(());
        Ok(b": still there\n\n")
    }

    fn consume(&mut self, _: usize) {}
}

#[test]
fn a_close_is_heard_behind_comments_without_any_hook() {
    within(DEADLINE, || {
        let (reads, read) = mpsc::sync_channel(0);
        let mut source = EventSource::new(move |_| {
            Ok(Response::new(
                200,
                "text/event-stream",
                Chatter(reads.clone()),
            ))
        });
        let closer = source.closer();
        let reading = thread::spawn(move || source.next_event().map(|event| event.is_some()));
        for _ in 0..3 {
            read.recv().unwrap();
        }
        closer.close();
        drop(read);
        assert!(!reading.join().unwrap().unwrap());
        assert!(matches!(closer.ending(), Some(Ending::Closer)));
    });
}

#[test]
fn a_second_close_does_not_change_the_ending() {
    let mut source = client([stream("data: [DONE]\n\n")]).with_terminator("[DONE]");
    let closer = source.closer();
    assert!(source.next_event().unwrap().is_none());
    closer.close();
    closer.reconnect();
    assert!(matches!(closer.ending(), Some(Ending::Terminated)));
    drop(source);
    assert!(matches!(closer.ending(), Some(Ending::Terminated)));
}

#[test]
fn closing_a_finite_client_during_its_body_is_an_end_without_an_error() {
    let mut source = client([stream("data: a\n\ndata: b\n\n")]).with_terminator("[DONE]");
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    source.closer().close();
    assert!(source.next_event().unwrap().is_none());
    assert!(matches!(source.ending(), Some(Ending::Closer)));
}

/// A body that is shut down by a close from elsewhere while it is read, behind one event.
struct ShutDown(Bytes, Arc<OnceLock<Closer>>);

impl Read for ShutDown {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            self.1.get().expect("it is set").close();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.0.read(buffer)
    }
}

#[test]
fn closing_a_finite_client_while_it_reads_is_an_end_without_an_error() {
    let closer = Arc::<OnceLock<Closer>>::default();
    let given = Arc::clone(&closer);
    let mut source = EventSource::new(move |_| {
        let body = io::BufReader::new(ShutDown(b"data: a\n\n", Arc::clone(&given)));
        Ok(Response::new(200, "text/event-stream", body))
    })
    .with_finite(true);
    closer.set(source.closer()).expect("it was not set");
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    assert!(source.next_event().unwrap().is_none());
    assert!(matches!(source.ending(), Some(Ending::Closer)));
}

#[test]
fn reconnecting_ends_a_wait_and_counts_no_failure() {
    within(DEADLINE, || {
        let (waits, waiting) = mpsc::channel();
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&attempts);
        let mut answers = [
            Err(io::ErrorKind::ConnectionRefused.into()),
            stream("data: a\n\n"),
        ]
        .into_iter();
        let far = Duration::from_secs(3_600);
        let mut source = EventSource::new(move |request| {
            log.lock().unwrap().push(request.attempt());
            answers.next().unwrap()
        })
        .with_reconnection_limits(far, far)
        .on_state(move |state| {
            if matches!(state, State::Waiting { .. }) {
                waits.send(()).unwrap();
            }
        });
        let closer = source.closer();
        let reading = thread::spawn(move || {
            let event = source.next_event().unwrap();
            event.map(sse_io::Event::into_owned)
        });
        waiting.recv().unwrap();
        closer.reconnect();
        assert_eq!(reading.join().unwrap().unwrap().data, "a");
        assert_eq!(*attempts.lock().unwrap(), [1, 2]);
    });
}

#[test]
fn reconnecting_drops_the_connection_and_goes_on_after_the_last_event() {
    let hooks = Arc::new(Mutex::new(0));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (ran, log) = (Arc::clone(&hooks), Arc::clone(&asked));
    let mut bodies = [
        "id: 1\ndata: a\n\nid: 2\ndata: dropped\n\n",
        "id: 2\ndata: b\n\n",
    ]
    .into_iter();
    let far = Duration::from_secs(3_600);
    let mut source = EventSource::new(move |request| {
        log.lock()
            .unwrap()
            .push((request.last_event_id().to_owned(), request.attempt()));
        let ran = Arc::clone(&ran);
        request.on_close(move || *ran.lock().unwrap() += 1);
        stream(bodies.next().unwrap())
    })
    .with_reconnection_limits(far, far);
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    source.closer().reconnect();
    source.closer().reconnect();
    assert_eq!(*hooks.lock().unwrap(), 1, "a hook runs once");
    assert_eq!(source.next_event().unwrap().unwrap().data, "b");
    let expected = [(String::new(), 1), ("1".to_owned(), 1)];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[test]
fn reconnecting_while_it_connects_makes_another_attempt() {
    let (closers, given) = mpsc::channel::<Closer>();
    let mut first = true;
    let mut source = EventSource::new(move |request| {
        if std::mem::take(&mut first) {
            given.recv().unwrap().reconnect();
            let (ran, runs) = mpsc::channel();
            request.on_close(move || ran.send(()).unwrap());
            runs.recv()
                .expect("a hook that comes too late runs at once");
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        assert_eq!(request.attempt(), 1);
        stream("data: a\n\n")
    });
    closers.send(source.closer()).unwrap();
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
}

// A thread and a channel.

#[test]
fn a_spawned_client_hands_over_items_and_errors_in_order() {
    let answers = [
        stream(": hi\n\ndata: a\n\ndata: too large\n\ndata: b\n\n"),
        Ok(Response::new(404, "", &b"gone"[..])),
    ];
    let items = client(answers).with_max_event_size(4).spawn(0).unwrap();
    let seen: Vec<String> = items
        .map(|incoming| match incoming {
            Ok(Item::Event { event, .. }) => event.data.into_owned(),
            Ok(Item::Comment(text)) => format!(": {text}"),
            Ok(_) => unreachable!("there are no others"),
            Err(error) => error.to_string(),
        })
        .collect();
    let refused = "the server answered with status 404: gone";
    assert_eq!(seen, [": hi", "a", "an event was skipped", "b", refused]);
}

/// A client whose body says one event and then nothing until it is closed. That it has been read and
/// that it is closed are told.
fn silent() -> (
    EventSource<BoxConnect>,
    mpsc::Receiver<()>,
    mpsc::Receiver<()>,
) {
    let (falls_silent, silent) = mpsc::channel();
    let (closes, closed) = mpsc::channel();
    let connect: BoxConnect = Box::new(move |request| {
        let (end, ends) = mpsc::channel::<()>();
        let closes = closes.clone();
        request.on_close(move || {
            drop(end);
            let _ = closes.send(());
        });
        let body = io::BufReader::new(Silent(b"data: a\n\n", falls_silent.clone(), ends));
        Ok(Response::new(200, "text/event-stream", body).map_body(|body| Box::new(body) as _))
    });
    (EventSource::with_connect(connect), silent, closed)
}

struct Silent(Bytes, mpsc::Sender<()>, mpsc::Receiver<()>);

impl Read for Silent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            // The test may not ask.
            let _ = self.1.send(());
            let _ = self.2.recv();
        }
        self.0.read(buffer)
    }
}

#[test]
fn waiting_for_an_item_ends_in_time_and_with_the_receiver_so_does_the_client() {
    within(DEADLINE, || {
        let (source, _, closed) = silent();
        let items = source.spawn(4).unwrap();
        let first = items.recv().unwrap().unwrap();
        assert!(matches!(first, Item::Event { event, .. } if event.data == "a"));
        assert!(matches!(
            items.recv_timeout(SHORT),
            Err(RecvTimeoutError::Timeout)
        ));
        assert!(matches!(items.try_recv(), Err(TryRecvError::Empty)));
        let closer = items.closer().clone();
        drop(items);
        closed.recv().expect("the hook has run");
        assert!(matches!(closer.ending(), Some(Ending::Closer)));
    });
}

#[test]
fn what_is_queued_is_not_given_out_after_a_close() {
    within(DEADLINE, || {
        let (source, silent, closed) = silent();
        let (tell, told) = mpsc::channel();
        let source = source.on_state(move |state| {
            if let State::Closed(_) = state {
                tell.send(()).unwrap();
            }
        });
        let items = source.spawn(4).unwrap();
        silent.recv().expect("the event was read and queued");
        items.closer().close();
        let _ = closed.recv();
        told.recv().expect("the thread has ended");
        assert!(items.recv().is_err());
        assert!(matches!(items.try_recv(), Err(TryRecvError::Disconnected)));
        assert!(matches!(
            items.recv_timeout(SHORT),
            Err(RecvTimeoutError::Disconnected)
        ));
    });
}

#[test]
fn several_clients_share_a_channel() {
    within(DEADLINE, || {
        let (sender, receiver) = mpsc::sync_channel(0);
        for name in ["a", "b"] {
            let source = client([stream("data: x\n\n")]);
            let wrap = move |incoming: sse_io::client::Incoming| (name, incoming.is_ok());
            source.spawn_into(sender.clone(), wrap).unwrap();
        }
        drop(sender);
        let mut seen: Vec<_> = receiver.iter().collect();
        seen.sort_unstable();
        assert_eq!(seen, [("a", true), ("b", true)]);
    });
}

// The places that tell.

#[test]
fn the_state_is_open_inside_the_hook_and_the_first_handler() {
    let (tell, told) = mpsc::channel();
    let mut source = client([stream("data: a\n\n")]);
    let (closer, seen) = (source.closer(), tell.clone());
    let mut source_states = source.closer();
    source = source.on_state(move |state| {
        if let State::Open = state {
            seen.send(closer.state().to_string()).unwrap();
        }
    });
    let listeners = Listeners::new();
    listeners.on_message(move |_, _| {
        tell.send(source_states.state().to_string()).unwrap();
        source_states = source_states.clone();
    });
    source.run(&listeners).unwrap();
    drop((source, listeners));
    assert_eq!(told.iter().collect::<Vec<_>>(), ["open", "open"]);
}

/// The connector for ureq is one text, which documentation and example share.
#[test]
fn the_connector_is_the_same_everywhere() {
    fn connector(text: &str) -> Vec<&str> {
        let lines = text.lines().map(|line| line.trim_start_matches("//! "));
        let from_start = lines.skip_while(|line| !line.starts_with("fn connect(url: &str"));
        from_start.take_while(|line| *line != "}").collect()
    }
    let documented = connector(include_str!("../../src/client.rs"));
    assert_eq!(documented.len(), 12, "lines, the signature among them");
    assert_eq!(
        connector(include_str!("../../examples/agent.rs")),
        documented
    );
}

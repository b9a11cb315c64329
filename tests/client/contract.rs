//! The contract of `EventSource`, over bodies in memory.

use crate::util;

use std::error::Error as _;
use std::fmt;
use std::io::{self, BufRead, ErrorKind as IoKind, Read};
use std::iter;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use sse_io::client::{
    Closer, Connect, ConnectError, Ending, Error, ErrorKind, Listener, Listeners, Request,
    Response, State, TRANSIENT_STATUSES,
};
use sse_io::{Event, EventSource, EventTooLarge};
use util::readers::{Act, Scripted};
use util::within;

const DEADLINE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(1);

type Answer = Result<Response<Scripted>, ConnectError>;
type Boxed = Box<dyn FnMut(&Request<'_>) -> Answer + Send>;
type Slices = Box<dyn FnMut(&Request<'_>) -> Result<Response<&'static [u8]>, ConnectError>>;

/// What a connector was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    headers: Vec<(&'static str, Vec<u8>)>,
    last_event_id: String,
    attempt: u32,
}

impl Asked {
    fn of(request: &Request<'_>) -> Self {
        let headers = request.headers();
        Asked {
            headers: headers
                .map(|(name, value)| (name, value.to_vec()))
                .collect(),
            last_event_id: request.last_event_id().to_owned(),
            attempt: request.attempt(),
        }
    }

    fn sent_id(&self) -> Option<&[u8]> {
        let id = self
            .headers
            .iter()
            .find(|(name, _)| *name == "Last-Event-ID");
        id.map(|(_, value)| &value[..])
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Asked>>>);

impl Log {
    fn all(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }

    /// The `Last-Event-ID` headers, for attempts without one empty.
    fn sent_ids(&self) -> Vec<String> {
        let sent = |asked: &Asked| asked.sent_id().unwrap_or_default().to_vec();
        let all = self.all();
        let ids = all.iter().map(sent).map(String::from_utf8);
        ids.collect::<Result<_, _>>().unwrap()
    }
}

/// A client that gets these answers, and 204 after them; and what it asked for.
fn client(answers: impl IntoIterator<Item = Answer>) -> (EventSource<Boxed>, Log) {
    let answers: Vec<Answer> = answers.into_iter().collect();
    let mut answers = answers.into_iter();
    let log = Log::default();
    let asked = log.clone();
    let connect: Boxed = Box::new(move |request| {
        asked.0.lock().unwrap().push(Asked::of(request));
        answers.next().unwrap_or_else(|| status(204))
    });
    let source = EventSource::new(connect)
        .with_reconnection_limits(SHORT, SHORT)
        .with_jitter(false);
    (source, log)
}

fn body(text: &str) -> Scripted {
    Scripted::new([Act::Give(text.into())])
}

fn stream(text: &str) -> Answer {
    Ok(Response::new(200, "text/event-stream", body(text)))
}

/// A stream that fails after this text.
fn fails(text: &str, kind: IoKind) -> Answer {
    let text = (!text.is_empty()).then(|| Act::Give(text.into()));
    let body = Scripted::new(text.into_iter().chain([Act::Fail(kind)]));
    Ok(Response::new(200, "text/event-stream", body))
}

fn status(status: u16) -> Answer {
    Ok(Response::new(status, "text/event-stream", body("")))
}

fn refused() -> Answer {
    Err(IoKind::ConnectionRefused.into())
}

/// The data of all events, to an end without an error.
fn read<C: Connect>(source: &mut EventSource<C>) -> Vec<String> {
    source
        .map(|event| event.unwrap().data.into_owned())
        .collect()
}

fn data(answers: impl IntoIterator<Item = Answer>) -> Vec<String> {
    read(&mut client(answers).0)
}

/// The states as they were told, in words.
fn told<C: Connect>(source: EventSource<C>) -> (EventSource<C>, Arc<Mutex<Vec<String>>>) {
    let states = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&states);
    let source = source.on_state(move |state| log.lock().unwrap().push(state.to_string()));
    (source, states)
}

// The request.

#[test]
fn a_request_asks_for_an_event_stream_past_caches() {
    let (mut source, log) = client([]);
    assert!(source.next_event().unwrap().is_none());
    let asked = Asked {
        headers: vec![
            ("Accept", b"text/event-stream".to_vec()),
            ("Accept-Encoding", b"identity".to_vec()),
            ("Cache-Control", b"no-cache".to_vec()),
        ],
        last_event_id: String::new(),
        attempt: 1,
    };
    assert_eq!(log.all(), [asked]);
}

#[test]
fn nothing_is_asked_for_before_the_first_call() {
    let (source, log) = client([]);
    drop(source);
    assert_eq!(log.all(), []);
}

#[test]
fn the_last_event_id_goes_out_as_utf_8() {
    let (mut source, log) = client([stream("id: ü€ 7\ndata: a\n\n")]);
    assert_eq!(read(&mut source), ["a"]);
    let asked = &log.all()[1];
    assert_eq!(asked.headers.len(), 4);
    assert_eq!(asked.headers[3].0, "Last-Event-ID");
    assert_eq!(asked.headers[3].1, b"\xc3\xbc\xe2\x82\xac 7");
    assert_eq!(asked.last_event_id, "ü€ 7");
}

#[test]
fn attempts_are_counted_from_the_last_healthy_connection() {
    let (mut source, log) = client([
        refused(),
        stream(": accepted and dropped\n\n"),
        refused(),
        stream("data: a\n\n"),
        refused(),
    ]);
    assert_eq!(read(&mut source), ["a"]);
    let attempts: Vec<u32> = log.all().iter().map(|asked| asked.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4, 1, 2]);
}

// The last event ID.

#[test]
fn an_id_holds_over_events_and_connections_until_replaced() {
    let (mut source, log) = client([
        stream("id: 1\ndata: a\n\ndata: b\n\n"),
        refused(),
        stream("data: c\n\n"),
        stream("id: 2\n\n"),
        fails("", IoKind::TimedOut),
    ]);
    assert_eq!(read(&mut source), ["a", "b", "c"]);
    assert_eq!(log.sent_ids(), ["", "1", "1", "1", "2", "2"]);
}

#[test]
fn a_seeded_id_is_kept_over_retries_until_replaced() {
    let (source, log) = client([
        refused(),
        stream("data: a\n\n"),
        refused(),
        stream("id: 8\ndata: b\n\n"),
    ]);
    let mut source = source.with_last_event_id("seed");
    assert_eq!(source.last_event_id(), "seed");
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    assert_eq!(source.last_event_id(), "seed");
    assert_eq!(read(&mut source), ["b"]);
    assert_eq!(source.last_event_id(), "8");
    assert_eq!(log.sent_ids(), ["seed", "seed", "seed", "seed", "8"]);
}

#[test]
fn an_empty_id_resets_the_last_one_and_its_header() {
    for reset in ["id\n\n", "id:\n\n", "id: \ndata: b\n\n"] {
        let (mut source, log) = client([stream("id: 1\ndata: a\n\n"), stream(reset), refused()]);
        source.by_ref().for_each(drop);
        assert_eq!(log.sent_ids(), ["", "1", "", ""], "{reset:?}");
        assert_eq!(log.all()[2].headers.len(), 3);
    }
}

#[test]
fn the_id_of_an_unfinished_block_is_not_committed() {
    for ending in [
        "id: 2",
        "id: 2\n",
        "id: 2\ndata: b\n",
        "id\n",
        "data: b\nid: 2\r",
    ] {
        let text = format!("id: 1\ndata: a\n\n{ending}");
        for answer in [stream(&text), fails(&text, IoKind::ConnectionReset)] {
            let (mut source, log) = client([answer]);
            assert_eq!(read(&mut source), ["a"], "{ending:?}");
            assert_eq!(log.sent_ids(), ["", "1"], "{ending:?}");
        }
    }
}

#[test]
fn an_id_with_a_null_leaves_the_earlier_one() {
    let (mut source, log) = client([stream("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n")]);
    assert_eq!(read(&mut source), ["a", "b"]);
    assert_eq!(log.sent_ids(), ["", "1"]);
}

#[test]
fn an_id_that_no_header_can_carry_is_withheld_and_reconnecting_goes_on() {
    let controls = (1..0x20_u8)
        .filter(|byte| ![b'\t', b'\n', b'\r'].contains(byte))
        .chain([0x7f]);
    let with_control = controls.map(|byte| format!("a{}b", char::from(byte)));
    for id in with_control.chain(["x".repeat(4_097), "é".repeat(2_049)]) {
        let (source, log) = client([
            stream(&format!("id: {id}\ndata: a\n\n")),
            refused(),
            stream("id: 2\ndata: b\n\n"),
        ]);
        let (mut source, states) = told(source);
        let closer = source.closer();
        assert_eq!(source.next_event().unwrap().unwrap().data, "a");
        assert_eq!(source.last_event_id(), id);
        assert!(matches!(closer.state(), State::Open));
        assert_eq!(source.next_event().unwrap().unwrap().data, "b");
        assert!(source.next_event().unwrap().is_none());
        assert_eq!(log.sent_ids(), ["", "", "", "2"], "{id:?}");
        assert_eq!(log.all()[1].last_event_id, id);
        let states = states.lock().unwrap();
        let connecting: Vec<&String> = states.iter().filter(|s| s.starts_with("conn")).collect();
        let without = ", without the last event ID: no header can carry it";
        let expected = [
            "connecting (attempt 1)".to_owned(),
            format!("connecting (attempt 1{without})"),
            format!("connecting (attempt 2{without})"),
            "connecting (attempt 1)".to_owned(),
        ];
        assert_eq!(connecting, expected.iter().collect::<Vec<_>>());
    }
}

#[test]
fn an_id_that_a_header_can_just_carry_is_sent() {
    let ids = ["a\tb", "\u{80}", "~ !", "\u{feff}", &"x".repeat(4_096)].map(str::to_owned);
    for id in ids {
        let (mut source, log) = client([stream(&format!("id: {id}\ndata: a\n\n"))]);
        assert_eq!(read(&mut source), ["a"]);
        assert_eq!(log.sent_ids(), ["", &id]);
    }
}

#[test]
fn a_seed_that_no_header_can_carry_is_withheld_too() {
    let (source, log) = client([]);
    let (mut source, states) = told(source.with_last_event_id("a\r\nCookie: b"));
    assert!(source.next_event().unwrap().is_none());
    assert_eq!(log.sent_ids(), [""]);
    assert_eq!(source.last_event_id(), "a\r\nCookie: b");
    assert_eq!(
        states.lock().unwrap()[0],
        "connecting (attempt 1, without the last event ID: no header can carry it)"
    );
}

#[test]
fn withholding_is_seen_by_other_threads_while_it_connects() {
    let (closers, given) = mpsc::channel::<Closer>();
    let mut source = EventSource::new(move |_| {
        let state = given.recv().unwrap().state();
        let State::Connecting {
            attempt,
            withholds_id,
            ..
        } = state
        else {
            panic!("{state}");
        };
        assert_eq!((attempt, withholds_id), (1, true));
        status(204)
    })
    .with_last_event_id("\u{7f}");
    closers.send(source.closer()).unwrap();
    assert!(source.next_event().unwrap().is_none());
}

// The response.

#[test]
fn status_204_is_the_end_without_an_error() {
    let (mut source, log) = client([status(204)]);
    let closer = source.closer();
    assert!(matches!(closer.state(), State::Idle));
    for _ in 0..3 {
        assert!(source.next_event().unwrap().is_none());
    }
    assert_eq!(log.all().len(), 1);
    assert!(matches!(closer.state(), State::Closed(Ending::NoContent)));
}

#[test]
fn every_status_but_200_and_204_is_final() {
    for code in (100..600).filter(|code| ![200, 204].contains(code)) {
        let (mut source, log) = client([status(code), stream("data: a\n\n")]);
        let error = source.next_event().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Status(code));
        assert!(source.next_event().unwrap().is_none());
        assert_eq!(log.all().len(), 1);
        let state = source.closer().state();
        assert!(
            matches!(&state, State::Closed(Ending::Failed(e)) if e.kind() == ErrorKind::Status(code))
        );
    }
}

#[test]
fn every_other_media_type_is_final() {
    for other in [
        "",
        ";",
        "text/html",
        "text/event-streams",
        "text/event-stream, text/html",
        "text/html, text/event-stream",
        "text/event-stream,",
        "application/json",
        "text/plain; x=text/event-stream",
    ] {
        let answers = [Ok(Response::new(200, other, body("data: a\n\n")))];
        let (source, log) = client(answers);
        // Not a matter of statuses.
        let mut source = source.with_retried_statuses([200]);
        let error = source.next_event().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MediaType, "{other:?}");
        assert!(source.next_event().unwrap().is_none());
        assert_eq!(log.all().len(), 1);
    }
}

#[test]
fn parameters_case_and_blanks_are_no_other_media_type() {
    for same in [
        &b"text/event-stream"[..],
        b"TEXT/Event-Stream",
        b"text/event-stream;",
        b" text/event-stream\t; charset=latin-1",
        b"text/event-stream; x=\xff",
        b"text/event-stream, text/event-stream",
        b"text/event-stream;charset=utf-8,text/event-stream;charset=utf-8",
        b"text/event-stream; x=\"a, b\"",
    ] {
        let answer = Ok(Response::new(200, same, body("data: a\n\n")));
        assert_eq!(data([answer]), ["a"]);
    }
}

#[test]
fn the_media_type_is_of_no_interest_with_another_status() {
    let answer = Ok(Response::new(404, "text/html", body("")));
    let error = client([answer]).0.next_event().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status(404));
}

#[test]
fn some_statuses_are_tried_again_on_demand() {
    let answers = || TRANSIENT_STATUSES.iter().map(|code| status(*code));
    assert_eq!(TRANSIENT_STATUSES, [408, 425, 429, 500, 502, 503, 504]);
    let (source, log) = client(answers().chain([stream("data: a\n\n")]));
    let (mut source, states) = told(source.with_retried_statuses(TRANSIENT_STATUSES));
    assert_eq!(read(&mut source), ["a"]);
    assert_eq!(log.all().len(), TRANSIENT_STATUSES.len() + 2);
    let states = states.lock().unwrap();
    assert_eq!(
        states[1],
        "waiting for 1.0ms: the server answered with status 408"
    );

    // No other status is, and 204 is what it is.
    let (source, _) = client([status(501)]);
    let mut source = source.with_retried_statuses(TRANSIENT_STATUSES);
    assert_eq!(
        source.next_event().unwrap_err().kind(),
        ErrorKind::Status(501)
    );
    let (source, log) = client([]);
    let mut source = source.with_retried_statuses([204]);
    assert!(source.next_event().unwrap().is_none());
    assert_eq!(log.all().len(), 1);
}

#[test]
fn a_bad_url_is_final() {
    let bad = || Err(ConnectError::fatal("no host"));
    let (mut source, log) = client([refused(), bad(), stream("data: a\n\n")]);
    let error = source.next_event().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(error.source().unwrap().to_string(), "no host");
    assert!(source.next_event().unwrap().is_none());
    assert_eq!(log.all().len(), 2);
}

#[test]
fn any_other_failure_to_connect_is_tried_again() {
    let kinds = [
        IoKind::ConnectionRefused,
        IoKind::TimedOut,
        IoKind::NotFound,
        IoKind::PermissionDenied,
        IoKind::InvalidInput,
        IoKind::InvalidData,
        IoKind::Interrupted,
        IoKind::Other,
    ];
    let answers = kinds.map(|kind| Err(kind.into()));
    let (mut source, log) = client(answers);
    assert_eq!(read(&mut source), [""; 0]);
    assert_eq!(log.all().len(), kinds.len() + 1);
}

// The end of a connection.

#[test]
fn a_body_that_fails_is_a_lost_connection() {
    for kind in [
        IoKind::TimedOut,
        IoKind::WouldBlock,
        IoKind::Other,
        IoKind::UnexpectedEof,
        IoKind::InvalidInput,
        IoKind::InvalidData,
    ] {
        let (source, log) = client([
            fails("id: 1\ndata: a\n\nid: 2\ndata: lost\n", kind),
            stream("data: b\n\n"),
        ]);
        let (mut source, states) = told(source);
        assert_eq!(read(&mut source), ["a", "b"], "{kind:?}");
        assert_eq!(log.sent_ids(), ["", "1", "1"]);
        assert_eq!(
            states.lock().unwrap()[2],
            format!(
                "waiting for 1.0ms: the connection was lost: {}",
                io::Error::from(kind)
            )
        );
        assert!(!source.is_truncated());
    }
}

#[test]
fn an_interrupted_read_is_no_lost_connection() {
    let body = Scripted::new([
        Act::Give(b"data: a".to_vec()),
        Act::Fail(IoKind::Interrupted),
        Act::Give(b"b\n\n".to_vec()),
    ]);
    let answer = Ok(Response::new(200, "text/event-stream", body));
    assert_eq!(data([answer]), ["ab"]);
}

#[test]
fn each_connection_may_start_with_a_byte_order_mark() {
    let marked = || stream("\u{feff}data: a\n\n");
    assert_eq!(data([marked(), marked()]), ["a", "a"]);
}

#[test]
fn a_block_does_not_go_on_in_the_next_connection() {
    let answers = [stream("event: x\ndata: lost\n"), stream("data: a\n\n")];
    let (mut source, _) = client(answers);
    assert_eq!(source.next_event().unwrap(), Some(Event::new("a")));
}

#[test]
fn a_finite_stream_ends_with_its_body() {
    let (source, log) = client([stream("data: a\n\ndata: b\n\n")]);
    let mut source = source.with_finite(true);
    assert_eq!(read(&mut source), ["a", "b"]);
    assert_eq!(log.all().len(), 1);
    let state = source.closer().state();
    assert!(matches!(state, State::Closed(Ending::Finished)));
}

#[test]
fn a_finite_stream_that_breaks_is_asked_for_again_when_nothing_can_come_twice() {
    let (source, log) = client([
        refused(),
        fails(": nothing yet\n\n", IoKind::TimedOut),
        fails("id: 1\ndata: a\n\n", IoKind::TimedOut),
        stream("data: b\n\n"),
    ]);
    let mut source = source.with_finite(true);
    assert_eq!(read(&mut source), ["a", "b"]);
    assert_eq!(log.sent_ids(), ["", "", "", "1"]);
}

#[test]
fn a_finite_stream_that_breaks_without_an_id_to_go_on_from_is_an_error() {
    for id in ["", "id: \u{1}\n"] {
        let (source, log) = client([fails(&format!("{id}data: a\n\n"), IoKind::TimedOut)]);
        let mut source = source.with_finite(true);
        assert_eq!(source.next_event().unwrap().unwrap().data, "a");
        let error = source.next_event().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert_eq!(io::Error::from(error).kind(), IoKind::TimedOut);
        assert_eq!(log.all().len(), 1);
    }
}

#[test]
fn the_terminator_ends_the_stream_and_is_not_given_out() {
    for finite in [false, true] {
        let (source, log) = client([stream(
            "data: a\n\nevent: end\ndata: [DONE]\n\ndata: never seen\n\n",
        )]);
        let mut source = source.with_terminator("[DONE]").with_finite(finite);
        assert_eq!(read(&mut source), ["a"]);
        assert_eq!(log.all().len(), 1);
        assert!(matches!(source.ending(), Some(Ending::Terminated)));
    }
}

#[test]
fn only_the_whole_data_is_the_terminator() {
    let text = "data: [DONE] \n\ndata: [DONE]x\n\ndata: [DONE]\ndata\n\nevent: [DONE]\ndata:\n\n";
    let (source, _) = client([stream(text)]);
    let source = source.with_terminator("[DONE]");
    let seen = source.map_while(|event| Some(event.ok()?.data.into_owned()));
    let expected = ["[DONE] ", "[DONE]x", "[DONE]\n", ""];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

#[test]
fn without_its_terminator_a_stream_is_cut_and_asked_for_again_only_after_an_id() {
    for cut in [
        stream("data: a\n\n"),
        fails("data: a\n\n", IoKind::TimedOut),
    ] {
        let (source, log) = client([cut, stream("data: [DONE]\n\n")]);
        let mut source = source.with_terminator("[DONE]");
        assert_eq!(source.next_event().unwrap().unwrap().data, "a");
        let error = source.next_event().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert_eq!(log.all().len(), 1);
        assert!(matches!(source.ending(), Some(Ending::Failed(_))));
    }
    let (source, log) = client([
        refused(),
        stream(": nothing yet\n\n"),
        stream("id: 1\ndata: a\n\n"),
        stream("data: [DONE]\n\n"),
    ]);
    let mut source = source.with_terminator("[DONE]");
    assert_eq!(read(&mut source), ["a"]);
    assert_eq!(log.sent_ids(), ["", "", "", "1"]);
    assert!(matches!(source.ending(), Some(Ending::Terminated)));
}

#[test]
fn an_event_without_an_id_of_its_own_is_not_asked_for_twice() {
    for stream_of in [
        // The second event has the last event ID of the first, which comes before it.
        vec![fails("id: 1\ndata: a\n\ndata: b\n\n", IoKind::TimedOut)],
        // The id is taken back without an event.
        vec![
            fails("id: 1\ndata: a\n\n", IoKind::TimedOut),
            fails("id\n\n", IoKind::TimedOut),
        ],
    ] {
        let attempts = stream_of.len();
        let (source, log) = client(stream_of);
        let source = source.with_finite(true);
        let error = source.filter_map(Result::err).next().unwrap();
        assert_eq!(error.kind(), ErrorKind::Disconnected);
        assert_eq!(log.all().len(), attempts);
    }
}

#[test]
fn an_event_cut_short_is_discarded_unless_wanted() {
    let cut = || stream("data: a\n\ndata: b");
    let (source, _) = client([cut()]);
    let mut source = source.with_finite(true);
    assert!(!source.is_truncated());
    assert_eq!(read(&mut source), ["a"]);
    assert!(source.is_truncated());

    let (source, _) = client([cut()]);
    let mut source = source.with_finite(true).with_trailing_event(true);
    assert_eq!(read(&mut source), ["a", "b"]);
    assert!(!source.is_truncated());

    // An error is no end of the body.
    let (source, _) = client([fails("data: a\n\ndata: b", IoKind::TimedOut)]);
    let mut source = source.with_trailing_event(true);
    assert_eq!(read(&mut source), ["a"]);
}

#[test]
fn truncation_is_that_of_the_last_body() {
    let (mut source, _) = client([stream("data: lost"), stream("data: a\n\n")]);
    assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    assert!(!source.is_truncated());
    assert!(source.next_event().unwrap().is_none());
    assert!(!source.is_truncated());
}

#[test]
fn an_event_too_large_is_told_once_and_never_met_again() {
    let large = format!("id: 1\ndata: {}\n\ndata: b\n\n", "x".repeat(100));
    for text in [
        large.clone(),
        large[..large.len() - "data: b\n\n".len()].to_owned(),
    ] {
        let (source, log) = client([stream(&text)]);
        let (source, states) = told(source);
        let mut source = source.with_max_event_size(50);
        let error = source.next_event().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EventTooLarge);
        assert!(matches!(source.closer().state(), State::Open));
        let rest = read(&mut source);
        assert_eq!(rest, ["b"][..usize::from(text.len() == large.len())]);
        assert_eq!(log.sent_ids(), ["", "1"]);
        assert_eq!(states.lock().unwrap()[1], "open", "{states:?}");
    }
}

#[test]
fn the_size_of_an_event_is_limited_to_16_mib_by_default() {
    let fits = format!("data: {}\n\n", "x".repeat((16 << 20) - 1));
    let (mut source, _) = client([stream(&fits)]);
    assert_eq!(
        source.next_event().unwrap().unwrap().data.len(),
        (16 << 20) - 1
    );
    let over = format!("data: {}\n\n", "x".repeat(16 << 20));
    let (mut source, _) = client([stream(&over)]);
    let error = source.next_event().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EventTooLarge);
}

// Errors.

#[test]
fn what_errors_say() {
    let first = |answer| client([answer]).0.next_event().unwrap_err();
    let typed = |content_type: &str| Ok(Response::new(200, content_type, body("")));
    let check = |error: Error, text: &str, source: Option<&str>, kind: IoKind| {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.source().map(ToString::to_string).as_deref(), source);
        let client_kind = error.kind();
        let as_io = io::Error::from(error.clone());
        assert_eq!((as_io.kind(), as_io.to_string()), (kind, text.to_owned()));
        let inner = as_io.get_ref().unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!(inner.kind(), client_kind);
    };
    check(
        first(Err(ConnectError::fatal(io::Error::new(
            IoKind::InvalidInput,
            "no such scheme",
        )))),
        "cannot connect",
        Some("no such scheme"),
        IoKind::InvalidInput,
    );
    check(
        first(status(404)),
        "the server answered with status 404",
        None,
        IoKind::Other,
    );
    check(
        first(typed("text/\"html\"")),
        r#"the response is of type "text/\"html\"", not text/event-stream"#,
        None,
        IoKind::InvalidData,
    );
    check(
        first(typed("")),
        "the response has no content type",
        None,
        IoKind::InvalidData,
    );
    let large = "data: too large\n\n";
    let (source, _) = client([stream(large)]);
    let error = source.with_max_event_size(4).next_event().unwrap_err();
    let limit = error.source().unwrap().downcast_ref::<EventTooLarge>();
    let limit = limit.unwrap();
    assert_eq!(limit.limit(), 4);
    let source = limit.to_string();
    let text = "an event was skipped";
    check(error, text, Some(&source), IoKind::InvalidData);

    let give_up = |answer, attempts| {
        let (source, _) = client([answer, refused(), refused()]);
        let mut source = source.with_max_attempts(attempts);
        source.find_map(Result::err).unwrap()
    };
    check(
        give_up(refused(), 2),
        "gave up after 2 failed attempts",
        Some("cannot connect"),
        IoKind::ConnectionRefused,
    );
    check(
        give_up(stream(""), 1),
        "gave up after 1 failed attempt",
        Some("the stream has ended"),
        IoKind::UnexpectedEof,
    );
    check(
        give_up(fails("data: a\n\n", IoKind::TimedOut), 0),
        "gave up after the connection was lost",
        Some("the connection was lost"),
        IoKind::TimedOut,
    );
}

#[test]
fn the_type_in_an_error_is_short() {
    let long = "x".repeat(100_000);
    let answer = Ok(Response::new(200, &long, body("")));
    let error = client([answer]).0.next_event().unwrap_err();
    assert!(error.to_string().len() < 200, "{error}");
}

#[test]
fn states_and_endings_read_well() {
    assert_eq!(State::Idle.to_string(), "not connected yet");
    assert_eq!(State::Open.to_string(), "open");
    let closed = [
        (Ending::Closer, "closed: by this side"),
        (Ending::NoContent, "closed: the server has no more"),
        (Ending::Finished, "closed: the stream is complete"),
        (Ending::Terminated, "closed: the stream is complete"),
    ];
    for (ending, text) in closed {
        assert_eq!(State::Closed(ending).to_string(), text);
    }
}

// The iterator.

#[test]
fn the_iterator_gives_owned_events_and_is_fused() {
    let (mut source, _) = client([stream("id: 1\ndata: a\n\n"), status(500)]);
    let event: Event<'static> = source.next().unwrap().unwrap();
    assert_eq!(event, Event::new("a").with_id("1"));
    assert_eq!(source.last_event_id(), "1");
    let error = source.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status(500));
    assert!((0..3).all(|_| source.next().is_none()));
    assert_eq!(source.last_event_id(), "1");
    fn fused<T: iter::FusedIterator>(_: &T) {}
    fused(&source);
}

// States.

#[test]
fn the_hook_is_told_of_each_state_in_order() {
    let check = |answers: Vec<Answer>, expected: &[&str]| {
        let (source, _) = client(answers);
        let (source, states) = told(source.with_max_attempts(3).with_terminator("end"));
        source.for_each(drop);
        assert_eq!(*states.lock().unwrap(), expected);
    };
    check(
        vec![],
        &["connecting (attempt 1)", "closed: the server has no more"],
    );
    check(
        vec![
            refused(),
            stream("id: 1\ndata: a\n\n"),
            stream("data: end\n\n"),
        ],
        &[
            "connecting (attempt 1)",
            "waiting for 1.0ms: cannot connect: connection refused",
            "connecting (attempt 2)",
            "open",
            "waiting for 1.0ms: the stream ended before its terminator",
            "connecting (attempt 1)",
            "open",
            "closed: the stream is complete",
        ],
    );
    check(
        vec![refused(), fails("", IoKind::TimedOut), refused()],
        &[
            "connecting (attempt 1)",
            "waiting for 1.0ms: cannot connect: connection refused",
            "connecting (attempt 2)",
            "open",
            "waiting for 1.0ms: the connection was lost: timed out",
            "connecting (attempt 3)",
            "closed: gave up after 3 failed attempts: cannot connect: connection refused",
        ],
    );
    check(
        vec![status(404)],
        &[
            "connecting (attempt 1)",
            "closed: the server answered with status 404",
        ],
    );
}

#[test]
fn the_hook_and_the_closer_agree() {
    let (closers, given) = mpsc::channel::<Closer>();
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let mut closer = None;
    let (source, _) = client([refused(), stream("data: a\n\n")]);
    let source = source.on_state(move |state| {
        let closer = closer.get_or_insert_with(|| given.recv().unwrap());
        assert_eq!(closer.state().to_string(), state.to_string());
        *count.lock().unwrap() += 1;
    });
    closers.send(source.closer()).unwrap();
    source.for_each(drop);
    // Three attempts, two waits, once open, once closed.
    assert_eq!(*seen.lock().unwrap(), 7);
}

#[test]
fn a_hook_that_closes_ends_it_there() {
    let open = "data: a\n\n";
    for (at, attempts) in [("connecting", 0), ("open", 1), ("waiting", 1)] {
        let (closers, given) = mpsc::channel::<Closer>();
        let states = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&states);
        let first = if at == "waiting" {
            refused()
        } else {
            stream(open)
        };
        let (source, asked) = client([first, stream(open)]);
        let mut source = source
            .with_reconnection_limits(Duration::from_secs(300), Duration::from_secs(300))
            .on_state(move |state| {
                log.lock().unwrap().push(state.to_string());
                if state.to_string().starts_with(at) {
                    given.recv().unwrap().close();
                }
            });
        closers.send(source.closer()).unwrap();
        let mut source = within(DEADLINE, move || {
            assert!(source.next_event().unwrap().is_none());
            source
        });
        assert!(source.next_event().unwrap().is_none());
        assert_eq!(asked.all().len(), attempts, "{at}");
        let states = states.lock().unwrap();
        assert_eq!(states.last().unwrap(), "closed: by this side", "{at}");
        let closed = states.iter().filter(|s| s.starts_with("closed"));
        assert_eq!(closed.count(), 1, "{at}");
    }
}

/// A body that tells when it is asked for more, and waits for what there is.
struct Piped {
    asked: Sender<()>,
    pieces: Receiver<&'static str>,
    now: io::Cursor<&'static str>,
}

impl Read for Piped {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("a reader uses fill_buf")
    }
}

impl BufRead for Piped {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.now.position() == self.now.get_ref().len() as u64 {
            let _ = self.asked.send(());
            self.now = io::Cursor::new(self.pieces.recv().unwrap_or_default());
        }
        self.now.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.now.consume(count);
    }
}

fn piped() -> (Piped, Receiver<()>, Sender<&'static str>) {
    let (asked, is_asked) = mpsc::channel();
    let (give, pieces) = mpsc::channel();
    let now = io::Cursor::new("");
    let body = Piped { asked, pieces, now };
    (body, is_asked, give)
}

#[test]
fn the_state_is_seen_while_the_client_blocks() {
    within(DEADLINE, || {
        let (body, is_asked, give) = piped();
        let mut body = Some(body);
        let (connects, is_connecting) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let (waits, is_waiting) = mpsc::channel();
        let mut source = EventSource::new(move |_| {
            connects.send(()).unwrap();
            may_go.recv().unwrap();
            let body = body.take().ok_or(IoKind::ConnectionRefused)?;
            Ok(Response::new(200, "text/event-stream", body))
        })
        .with_reconnection_limits(Duration::from_secs(300), Duration::from_secs(300))
        .on_state(move |state| {
            if let State::Waiting { .. } = state {
                waits.send(()).unwrap();
            }
        });
        let closer = source.closer();
        assert!(matches!(closer.state(), State::Idle));
        let reading = thread::spawn(move || {
            assert_eq!(source.next_event().unwrap().unwrap().data, "a");
            assert!(source.next_event().unwrap().is_none());
        });
        is_connecting.recv().unwrap();
        assert!(matches!(
            closer.state(),
            State::Connecting { attempt: 1, .. }
        ));
        go.send(()).unwrap();
        is_asked.recv().unwrap();
        assert!(matches!(closer.state(), State::Open));
        give.send("data: a\n\n").unwrap();
        drop(give);
        is_waiting.recv().unwrap();
        let State::Waiting { why, delay, .. } = closer.state() else {
            panic!("{closer:?}");
        };
        assert_eq!(why.kind(), ErrorKind::Ended);
        assert!((300..=400).contains(&delay.as_secs()), "{delay:?}");
        closer.close();
        reading.join().unwrap();
        assert!(matches!(closer.state(), State::Closed(Ending::Closer)));
    });
}

// Closing.

#[test]
fn a_queued_event_is_not_given_out_after_a_close() {
    for close_first in [true, false] {
        let (mut source, log) = client([stream("data: a\n\ndata: b\n\ndata: c\n\n")]);
        let closer = source.closer();
        if close_first {
            closer.close();
        } else {
            assert_eq!(source.next_event().unwrap().unwrap().data, "a");
            closer.clone().close();
        }
        assert!(source.next_event().unwrap().is_none());
        assert!(source.next().is_none());
        assert_eq!(log.all().len(), usize::from(!close_first));
        closer.close();
        assert!(matches!(closer.state(), State::Closed(Ending::Closer)));
    }
}

#[test]
fn an_event_that_comes_while_it_is_closed_is_not_given_out() {
    within(DEADLINE, || {
        let (body, is_asked, give) = piped();
        let mut body = Some(body);
        let mut source = EventSource::new(move |_| {
            let body = body.take().expect("one attempt");
            Ok(Response::new(200, "text/event-stream", body))
        });
        let closer = source.closer();
        let reading = thread::spawn(move || source.next_event().unwrap().is_none());
        is_asked.recv().unwrap();
        closer.close();
        give.send("data: too late\n\n").unwrap();
        assert!(reading.join().unwrap());
    });
}

#[test]
fn a_response_that_comes_while_it_is_closed_is_not_looked_at() {
    for answer in [stream("data: a\n\n"), status(500), refused()] {
        let (closers, given) = mpsc::channel::<Closer>();
        let mut answer = Some(answer);
        let source = EventSource::new(move |_| {
            given.recv().unwrap().close();
            answer.take().expect("one attempt")
        });
        let (mut source, states) = told(source);
        closers.send(source.closer()).unwrap();
        assert!(source.next_event().unwrap().is_none());
        let expected = ["connecting (attempt 1)", "closed: by this side"];
        assert_eq!(*states.lock().unwrap(), expected);
    }
}

#[test]
fn hooks_run_on_close_on_the_thread_that_closes() {
    let (runs, ran) = mpsc::channel();
    let mut source = EventSource::new(move |request| {
        for number in 0..3 {
            let runs = runs.clone();
            request.on_close(move || runs.send((number, thread::current().id())).unwrap());
        }
        stream("data: a\n\n")
    });
    assert!(source.next_event().unwrap().is_some());
    let closer = source.closer();
    let closing = thread::spawn(move || {
        closer.close();
        closer.close();
    });
    let id = closing.thread().id();
    closing.join().unwrap();
    assert!(source.next_event().unwrap().is_none());
    drop(source);
    let order: Vec<_> = ran.iter().collect();
    assert_eq!(order, [(0, id), (1, id), (2, id)]);
}

#[test]
fn a_hook_may_use_the_closer() {
    within(DEADLINE, || {
        let (closers, given) = mpsc::channel::<Closer>();
        let mut source = EventSource::new(move |request| {
            let closer = given.recv().unwrap();
            request.on_close(move || {
                closer.close();
                assert!(matches!(closer.state(), State::Closed(Ending::Closer)));
            });
            stream("data: a\n\n")
        });
        closers.send(source.closer()).unwrap();
        assert!(source.next_event().unwrap().is_some());
        source.closer().close();
        assert!(source.next_event().unwrap().is_none());
    });
}

/// An error that looks at the state when it is let go.
struct Curious(Closer);

impl Drop for Curious {
    fn drop(&mut self) {
        self.0.state();
    }
}

impl fmt::Debug for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Curious")
    }
}

impl fmt::Display for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("curious")
    }
}

impl std::error::Error for Curious {}

#[test]
fn an_error_may_use_the_closer_when_it_is_dropped() {
    within(DEADLINE, || {
        let (closers, given) = mpsc::channel::<Closer>();
        let (waits, is_waiting) = mpsc::channel();
        let mut source = EventSource::new(move |_| {
            let error = Curious(given.recv().unwrap());
            Err::<Response<Scripted>, _>(ConnectError::retry(error))
        })
        .with_reconnection_limits(SHORT, SHORT)
        .with_max_attempts(3)
        .on_state(move |state| {
            if let State::Connecting { attempt: 3, .. } = state {
                waits.send(()).unwrap();
            }
        });
        let closer = source.closer();
        // Let go of with the next state.
        for _ in 0..2 {
            closers.send(source.closer()).unwrap();
        }
        let reading = thread::spawn(move || source.next_event().map(|event| event.is_some()));
        is_waiting.recv().unwrap();
        closer.close();
        closers.send(closer).unwrap();
        assert!(!reading.join().unwrap().unwrap());
    });
}

#[test]
fn an_error_may_use_the_closer_when_it_is_dropped_by_a_close() {
    within(DEADLINE, || {
        // The thread that reads may be the last to have the error, though not in every round.
        for _ in 0..20 {
            let given = Arc::<OnceLock<Closer>>::default();
            let closer = Arc::clone(&given);
            let mut source = EventSource::new(move |_| {
                let error = Curious(closer.get().unwrap().clone());
                Err::<Response<Scripted>, _>(ConnectError::retry(error))
            })
            .with_reconnection_limits(DEADLINE, DEADLINE);
            let closer = source.closer();
            given.set(source.closer()).unwrap();
            let reading = thread::spawn(move || source.next_event().map(|event| event.is_some()));
            while !matches!(closer.state(), State::Waiting { .. }) {
                thread::yield_now();
            }
            closer.close();
            assert!(!reading.join().unwrap().unwrap());
        }
    });
}

/// A body that looks at the state when it is let go.
struct CuriousBody {
    text: &'static [u8],
    _curious: Curious,
}

impl Read for CuriousBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.text.read(buffer)
    }
}

impl BufRead for CuriousBody {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.text)
    }

    fn consume(&mut self, count: usize) {
        self.text.consume(count);
    }
}

#[test]
fn connectors_bodies_and_hooks_may_use_the_closer_when_they_are_dropped() {
    within(DEADLINE, || {
        let given = Arc::<OnceLock<Closer>>::default();
        let closer = Arc::clone(&given);
        let mut source = EventSource::new(move |request| {
            let curious = || Curious(closer.get().unwrap().clone());
            let hook = curious();
            request.on_close(move || drop(hook));
            let body = CuriousBody {
                text: b"data: a\n\n",
                _curious: curious(),
            };
            Ok(Response::new(200, "text/event-stream", body))
        })
        .with_reconnection_limits(SHORT, SHORT);
        given.set(source.closer()).unwrap();
        let state = Curious(source.closer());
        source = source.on_state(move |_| {
            let _held = &state;
        });
        let closer = source.closer();
        // The second comes over a connection of its own, and so does the third.
        assert_eq!(source.next_event().unwrap().unwrap().data, "a");
        assert_eq!(source.next_event().unwrap().unwrap().data, "a");
        closer.reconnect();
        assert_eq!(source.next_event().unwrap().unwrap().data, "a");
        closer.close();
        assert!(source.next_event().unwrap().is_none());
        source = source.on_state(|_| {});
        drop(source);
        assert!(matches!(closer.state(), State::Closed(Ending::Closer)));
    });
}

#[test]
fn dropping_the_client_closes_it_and_runs_no_hook() {
    struct Tells(Sender<()>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (drops, dropped) = mpsc::channel();
    let mut source = EventSource::new(move |request| {
        let tells = Tells(drops.clone());
        request.on_close(move || {
            let _tells = &tells;
            unreachable!("nobody closes")
        });
        stream("data: a\n\n")
    });
    assert!(source.next_event().unwrap().is_some());
    let closer = source.closer();
    drop(source);
    assert!(matches!(closer.state(), State::Closed(Ending::Closer)));
    dropped.recv().expect("the hook is gone");
    closer.close();
}

#[test]
fn a_hook_is_dropped_when_its_connection_is_done_with() {
    let held = Arc::new(());
    let answers = [
        refused(),
        stream("data: a\n\n"),
        fails("", IoKind::TimedOut),
        status(503),
        status(404),
    ];
    let mut answers = answers.into_iter();
    let hold = Arc::clone(&held);
    let counted = Arc::clone(&held);
    let waiting = Arc::clone(&held);
    let mut source = EventSource::new(move |request| {
        assert_eq!(Arc::strong_count(&counted), 4, "an earlier hook is left");
        let hold = Arc::clone(&hold);
        request.on_close(move || drop(hold));
        answers.next().unwrap()
    })
    .with_reconnection_limits(SHORT, SHORT)
    .with_retried_statuses([503])
    .on_state(move |state| {
        let live = match state {
            State::Open => 1,
            _ => 0,
        };
        assert_eq!(Arc::strong_count(&waiting), 4 + live, "{state}");
    });
    assert!(source.next_event().unwrap().is_some());
    let error = source.next_event().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status(404));
    assert_eq!(
        Arc::strong_count(&held),
        4,
        "the client lives, the hook does not"
    );
}

/// A body that can be counted.
struct Counted {
    text: &'static [u8],
    _live: Arc<()>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.text.read(buffer)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.text.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.text.consume(count);
    }
}

#[test]
fn a_connection_is_let_go_of_before_a_wait_and_at_the_end() {
    let stream = "text/event-stream";
    let lost = (200, stream, "id: 1\ndata: a\n\n");
    for (last, ends_well) in [
        ((200, stream, "data: end\n\ndata: left over\n\n"), true),
        ((204, "", "left over"), true),
        ((404, "", "left over"), false),
        ((200, "text/html", "left over"), false),
    ] {
        let live = Arc::new(());
        let (count, new) = (Arc::clone(&live), Arc::clone(&live));
        let mut answers = [(503, "", "left over"), lost, last].into_iter();
        let mut source = EventSource::new(move |_| {
            let (status, content_type, text) = answers.next().unwrap();
            let body = Counted {
                text: text.as_bytes(),
                _live: Arc::clone(&new),
            };
            Ok(Response::new(status, content_type, body))
        })
        .with_reconnection_limits(SHORT, SHORT)
        .with_retried_statuses([503])
        .with_terminator("end")
        .on_state(move |state| {
            let bodies = usize::from(matches!(state, State::Open));
            assert_eq!(Arc::strong_count(&count), 3 + bodies, "{state}");
        });
        assert!(source.next_event().unwrap().is_some());
        assert_eq!(source.next_event().is_ok(), ends_well);
        // The client lives, the body does not.
        assert_eq!(Arc::strong_count(&live), 3);
    }
}

#[test]
fn a_hook_registered_too_late_runs_at_once() {
    let (closers, given) = mpsc::channel::<Closer>();
    let mut source = EventSource::new(move |request| {
        given.recv().unwrap().close();
        let (runs, ran) = mpsc::channel();
        let here = thread::current().id();
        request.on_close(move || runs.send(thread::current().id()).unwrap());
        assert_eq!(ran.try_recv(), Ok(here));
        refused()
    });
    closers.send(source.closer()).unwrap();
    assert!(source.next_event().unwrap().is_none());
}

// The shape of the interface.

#[test]
fn what_may_go_to_other_threads() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    fn clone<T: Clone>() {}
    send::<EventSource<Boxed>>();
    send::<Closer>();
    sync::<Closer>();
    clone::<Closer>();
    send::<Listeners>();
    sync::<Listeners>();
    clone::<Listeners>();
    send::<Listener>();
    sync::<Listener>();
    send::<Error>();
    sync::<Error>();
    clone::<Error>();
    send::<State>();
    sync::<State>();
}

/// Named, so that a `struct` can hold it.
struct Always(&'static [u8]);

impl Connect for Always {
    type Body = &'static [u8];

    fn connect(&mut self, _: &Request<'_>) -> Result<Response<Self::Body>, ConnectError> {
        Ok(Response::new(200, "text/event-stream", self.0))
    }
}

#[test]
fn closures_functions_boxes_and_types_of_ones_own_connect() {
    let text = &b"data: a\n\n"[..];
    fn function(_: &Request<'_>) -> Result<Response<&'static [u8]>, ConnectError> {
        Ok(Response::new(200, "text/event-stream", &b"data: a\n\n"[..]))
    }
    fn first<C: Connect>(mut source: EventSource<C>) {
        assert_eq!(source.next_event().unwrap().unwrap().data, "a");
    }
    // Nothing needs to be annotated; that the closure is not Send does no harm.
    let asked = std::cell::Cell::new(0);
    first(EventSource::new(|request| {
        asked.set(request.attempt());
        Ok(Response::new(200, "text/event-stream", text))
    }));
    assert_eq!(asked.get(), 1);
    first(EventSource::new(function));
    let boxed: Slices = Box::new(function);
    first(EventSource::new(boxed));
    first(EventSource::with_connect(Always(text)));
}

#[test]
fn debug_shows_the_state_and_needs_nothing_of_the_connector() {
    let mut source = EventSource::with_connect(Always(b"id: 7\ndata: a\n\n"));
    let text = format!("{source:?}");
    assert_eq!(text, "EventSource { state: Idle, last_event_id: \"\", .. }");
    assert!(source.next_event().unwrap().is_some());
    let text = format!("{source:?} {:?}", source.closer());
    assert_eq!(
        text,
        "EventSource { state: Open, last_event_id: \"7\", .. } Closer { state: Open }"
    );
}

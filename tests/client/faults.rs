//! What a server can do to a client, over real sockets: one row, one test, through ureq and through
//! a connector of std alone.

use crate::{connectors, over_ureq, util};

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connectors::Tcp;
use over_ureq::Ureq;
use sse_io::EventSource;
use sse_io::client::{Connect, ConnectError, Request, Response, State};
use util::script_server::{HEAD, Script, ScriptServer, chunked, plain, sized, status};
use util::within;

const DEADLINE: Duration = Duration::from_secs(60);

/// How long a client puts up with silence: longer than any test, but where silence is the fault.
const PATIENCE: Duration = Duration::from_secs(50);
const SHORT: Duration = Duration::from_millis(250);

/// The first event of a stream. It is lost without the id, and asked for again without it.
const A: &str = "id: 1\ndata: a\n\n";
/// The next one.
const B: &str = "id: 2\ndata: b\n\n";

// What a client tells of itself.
const OPEN: &str = "open";
const EVENT_A: &str = "event a";
const EVENT_B: &str = "event b";
const CANNOT: &str = "cannot connect";
const LOST: &str = "the connection was lost";
const ENDED: &str = "the stream has ended";
const NO_MORE: &str = "the server has no more";
const ENCODED: &str = "the response is encoded with \"gzip\", which was not asked for";

struct Fault {
    scripts: Vec<Script>,
    /// That of the first attempt: the others find no silence.
    patience: Duration,
    /// The first attempt finds no server.
    refused: bool,
}

fn fault(scripts: impl IntoIterator<Item = Script>) -> Fault {
    Fault {
        scripts: scripts.into_iter().collect(),
        patience: PATIENCE,
        refused: false,
    }
}

fn refused() -> Fault {
    Fault {
        refused: true,
        ..fault([])
    }
}

fn silent(scripts: impl IntoIterator<Item = Script>) -> Fault {
    Fault {
        patience: SHORT,
        ..fault(scripts)
    }
}

#[derive(Clone, Copy, Debug)]
enum Via {
    Ureq,
    Tcp,
}

fn ureq((address, patience): (SocketAddr, Duration)) -> Ureq {
    Ureq {
        url: format!("http://{address}/"),
        patience,
    }
}

fn tcp((address, patience): (SocketAddr, Duration)) -> Tcp {
    Tcp {
        address,
        path: "/",
        patience,
    }
}

/// A connector whose first attempt is another one's.
struct Changing<C> {
    first: Option<C>,
    then: C,
}

impl<C: Connect> Changing<C> {
    fn new<T>(first: T, then: T, connect: impl Fn(T) -> C) -> EventSource<Self> {
        EventSource::with_connect(Changing {
            first: Some(connect(first)),
            then: connect(then),
        })
    }
}

impl<C: Connect> Connect for Changing<C> {
    type Body = C::Body;

    fn connect(&mut self, request: &Request<'_>) -> Result<Response<C::Body>, ConnectError> {
        match self.first.take() {
            Some(mut first) => first.connect(request),
            None => self.then.connect(request),
        }
    }
}

/// What the client tells of itself, and what the server is asked for.
fn play(via: Via, fault: Fault) -> (Vec<String>, Vec<String>) {
    let mut server = ScriptServer::start(fault.scripts);
    let there = (server.address(), PATIENCE);
    let first = match fault.refused {
        // The port of a service that nobody runs.
        true => (([127, 0, 0, 1], 1).into(), PATIENCE),
        false => (server.address(), fault.patience),
    };
    let log = match via {
        Via::Ureq => consume(Changing::new(first, there, ureq), &server),
        Via::Tcp => consume(Changing::new(first, there, tcp), &server),
    };
    server.finish();
    (log, server.requests())
}

fn consume<C: Connect>(source: EventSource<C>, server: &ScriptServer) -> Vec<String> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let states = Arc::clone(&log);
    let mut source = source
        .with_reconnection_limits(Duration::from_millis(1), Duration::from_millis(1))
        .on_state(move |state| {
            let line = match state {
                State::Open => OPEN.to_owned(),
                State::Waiting { why, .. } => why.to_string(),
                State::Closed(ending) => ending.to_string(),
                _ => return,
            };
            states.lock().unwrap().push(line);
        });
    let events = server.events();
    // The error that ends it is told by the state.
    while let Ok(Some(event)) = source.next_event() {
        log.lock().unwrap().push(format!("event {}", event.data));
        events.send(()).expect("a server");
    }
    // Still alive, the client holds nothing.
    assert!(source.next_event().unwrap().is_none());
    log.lock().unwrap().clone()
}

#[track_caller]
fn check(via: Via, fault: Fault, log: &[&str], requests: &[&str]) {
    let (seen, asked) = within(DEADLINE, move || play(via, fault));
    assert_eq!(seen, log, "{via:?}: what the client told");
    assert_eq!(asked, requests, "{via:?}: what the server was asked for");
}

/// `name: fault => what the client tells, what the server is asked for`, for either connector or for
/// one after the other.
macro_rules! faults {
    ($($name:ident: $fault:expr => { ureq: $log:expr, $requests:expr; tcp: $tcp_log:expr, $tcp_requests:expr; })*) => {
        $(
            #[test]
            fn $name() {
                check(Via::Ureq, $fault, &$log, &$requests);
                check(Via::Tcp, $fault, &$tcp_log, &$tcp_requests);
            }
        )*
    };
    ($($name:ident: $fault:expr => $log:expr, $requests:expr;)*) => {
        faults! { $($name: $fault => { ureq: $log, $requests; tcp: $log, $requests; })* }
    };
}

// No response.
faults! {
    refused_is_tried_again: refused() => [CANNOT, NO_MORE], ["/"];
    reset_before_the_head: fault([Script::new().reset()]) => [CANNOT, NO_MORE], ["/", "/"];
    closed_before_the_head: fault([Script::new()]) => [CANNOT, NO_MORE], ["/", "/"];
    closed_in_the_status_line: fault([Script::new().send("HTTP/1.1 20")])
        => [CANNOT, NO_MORE], ["/", "/"];
    closed_in_the_head: fault([Script::new().send(HEAD)]) => [CANNOT, NO_MORE], ["/", "/"];
    silent_before_the_head: silent([Script::new().hold()]) => [CANNOT, NO_MORE], ["/", "/"];
    silent_in_the_head: silent([Script::new().send(HEAD).hold()])
        => [CANNOT, NO_MORE], ["/", "/"];
}

// What is not HTTP gets no better: ureq tells it from bad luck, the other connector does not.
faults! {
    no_http_at_all: fault([Script::new().send("220 mail.example ESMTP\r\n")]) => {
        ureq: ["cannot connect: protocol: http parse fail: invalid HTTP version"], ["/"];
        tcp: [CANNOT, NO_MORE], ["/", "/"];
    }
    a_head_without_end: fault([Script::new().send("HTTP/1.1 200 OK\r\n").flood("X-Filler: x\r\n")]) => {
        ureq: ["cannot connect: protocol: http parse resulted in too many headers"], ["/"];
        tcp: [CANNOT, NO_MORE], ["/", "/"];
    }
}

#[test]
fn a_header_without_end() {
    let endless = || {
        let head = Script::new().send("HTTP/1.1 200 OK\r\nX: ");
        fault([head.flood("xxxxxxxxxxx")])
    };
    // How much ureq has read of it is chance.
    let (seen, asked) = within(DEADLINE, move || play(Via::Ureq, endless()));
    assert!(seen[0].starts_with("cannot connect: response header is too big: "));
    assert_eq!((seen.len(), asked.len()), (1, 1));
    check(Via::Tcp, endless(), &[CANNOT, NO_MORE], &["/", "/"]);
}

// The connection ends, one way or the other, and the client goes on where it was.
faults! {
    closed_between_events: fault([plain(A), plain(B)])
        => [OPEN, EVENT_A, ENDED, OPEN, EVENT_B, ENDED, NO_MORE], ["/", "/ after 1", "/ after 2"];
    closed_before_any_event: fault([plain("")]) => [OPEN, ENDED, NO_MORE], ["/", "/"];
    closed_mid_event: fault([plain(format!("{A}id: 2\nda"))])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after 1"];
    closed_in_front_of_the_blank_line: fault([plain(format!("{A}id: 2\ndata: b\n"))])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after 1"];
    closed_mid_utf_8: fault([plain([A.as_bytes(), b"id: 2\ndata: \xe2\x82"].concat())])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after 1"];
    the_last_chunk_came: fault([chunked().chunk(A).send("0\r\n\r\n")])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after 1"];
    an_event_in_several_chunks: fault([chunked().chunk("id: 1\nda").chunk("ta: a").chunk("\n\n").send("0\r\n\r\n")])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after 1"];
    chunks_with_extensions_and_trailers: fault([chunked().send("f;x=\"y\"\r\n").send(A).send("\r\n0\r\nX: y\r\n\r\n")])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after 1"];
    closed_between_chunks: fault([chunked().chunk(A)])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    closed_mid_chunk: fault([chunked().chunk(A).send("ff\r\nid: 2\ndata: b")])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    closed_in_a_chunk_size: fault([chunked().chunk(A).send("f")])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    an_event_in_a_chunk_cut_short: fault([chunked().send(format!("ff\r\n{A}")).await_event()])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    a_content_length_that_fits: fault([sized(A.len(), A)])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after 1"];
    a_content_length_that_is_not_reached: fault([sized(100, A)])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    bytes_beyond_the_content_length: fault([sized(A.len(), format!("{A}{B}"))])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after 1"];
    bytes_behind_the_last_chunk: fault([chunked().chunk(A).send("0\r\n\r\n").send(B)])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after 1"];
    reset_mid_chunk: fault([chunked().chunk(A).send("ff\r\nid: 2\nda").await_event().reset()])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    a_chunk_size_that_is_no_number: fault([chunked().chunk(A).await_event().send("oops\r\n")])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    a_chunk_size_too_large_for_any_machine: fault([chunked().chunk(A).await_event().send("ffffffffffffffffffff\r\n")])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    a_chunk_longer_than_it_said: fault([chunked().chunk(A).await_event().send(format!("2\r\n{B}"))])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    silence_between_events: silent([plain(A).hold()])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    silence_mid_event: silent([chunked().chunk(format!("{A}id: 2\nda")).hold()])
        => [OPEN, EVENT_A, LOST, NO_MORE], ["/", "/ after 1"];
    byte_by_byte: fault([Script::new().trickle(format!("{HEAD}\r\n{A}{B}"))])
        => [OPEN, EVENT_A, EVENT_B, ENDED, NO_MORE], ["/", "/ after 2"];
    byte_by_byte_in_chunks: fault([Script::new().trickle(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nf\r\n{A}\r\nf\r\n{B}\r\n0\r\n\r\n"))])
        => [OPEN, EVENT_A, EVENT_B, ENDED, NO_MORE], ["/", "/ after 2"];
    a_chunk_for_each_byte: fault([A.bytes().chain(B.bytes()).fold(chunked(), |script, byte| script.chunk([byte])).send("0\r\n\r\n")])
        => [OPEN, EVENT_A, EVENT_B, ENDED, NO_MORE], ["/", "/ after 2"];
    an_id_in_utf_8: fault([plain("id: für 1 €\ndata: a\n\n")])
        => [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/ after für 1 €"];
    an_id_that_no_header_can_carry: fault([plain("id: 1\x01\ndata: a\n\n"), plain(B)])
        => [OPEN, EVENT_A, ENDED, OPEN, EVENT_B, ENDED, NO_MORE], ["/", "/", "/ after 2"];
    an_id_that_is_reset: fault([plain(A), plain("id\ndata: b\n\n")])
        => [OPEN, EVENT_A, ENDED, OPEN, EVENT_B, ENDED, NO_MORE], ["/", "/ after 1", "/"];
}

fn refusal(code: u16) -> String {
    format!("the server answered with status {code}")
}

// What the status says. A connector without redirects gives them back.
macro_rules! final_statuses {
    ($($name:ident: $status:expr;)*) => {
        faults! { $($name: fault([status($status, "")]) => [&refusal($status)[..]], ["/"];)* }
    };
}

faults! {
    status_204: fault([status(204, "")]) => [NO_MORE], ["/"];
    status_204_that_claims_to_be_a_stream: fault([status(204, "Content-Type: text/event-stream\r\n")])
        => [NO_MORE], ["/"];
}

final_statuses! {
    status_201: 201;
    status_202: 202;
    status_205: 205;
    status_206: 206;
    status_299: 299;
    status_304: 304;
    status_400: 400;
    status_401: 401;
    status_403: 403;
    status_404: 404;
    status_407: 407;
    status_410: 410;
    status_429: 429;
    status_500: 500;
    status_502: 502;
    status_503: 503;
    status_599: 599;
}

fn typed(lines: impl AsRef<[u8]>) -> Fault {
    let script = Script::new()
        .send("HTTP/1.1 200 OK\r\n")
        .send(lines)
        .send("\r\n");
    fault([script.send(A)])
}

const STREAM: [&str; 4] = [OPEN, EVENT_A, ENDED, NO_MORE];
const STREAM_ASKED: [&str; 2] = ["/", "/ after 1"];

// What the media type says.
faults! {
    type_with_a_semicolon: typed("Content-Type: text/event-stream;\r\n") => STREAM, STREAM_ASKED;
    type_with_a_charset: typed("Content-Type: TEXT/EVENT-STREAM; charset=x\r\n")
        => STREAM, STREAM_ASKED;
    type_with_spaces_around: typed("content-type:  \ttext/event-stream \t;x\r\n")
        => STREAM, STREAM_ASKED;
    type_with_bytes_that_are_no_utf_8_in_a_parameter: typed(b"Content-Type: text/event-stream; x=\xff\r\n")
        => STREAM, STREAM_ASKED;
    type_missing: typed("") => ["the response has no content type: id: 1 data: a"], ["/"];
    type_empty: typed("Content-Type:\r\n") => ["the response has no content type: id: 1 data: a"], ["/"];
    type_html: typed("Content-Type: text/html; charset=utf-8\r\n")
        => ["the response is of type \"text/html; charset=utf-8\", not text/event-stream: id: 1 data: a"], ["/"];
    type_longer: typed("Content-Type: text/event-streams\r\n")
        => ["the response is of type \"text/event-streams\", not text/event-stream: id: 1 data: a"], ["/"];
    type_in_a_parameter: typed("Content-Type: text/plain; a=text/event-stream\r\n")
        => ["the response is of type \"text/plain; a=text/event-stream\", not text/event-stream: id: 1 data: a"], ["/"];
    type_quoted: typed("Content-Type: \"text/event-stream\"\r\n")
        => ["the response is of type \"\\\"text/event-stream\\\"\", not text/event-stream: id: 1 data: a"], ["/"];
    type_with_bytes_that_are_no_utf_8: typed(b"Content-Type: text/event-stream\xff\r\n")
        => ["the response is of type \"text/event-stream\u{fffd}\", not text/event-stream: id: 1 data: a"], ["/"];
    two_types_in_one: typed("Content-Type: text/html, text/event-stream\r\n")
        => ["the response is of type \"text/html, text/event-stream\", not text/event-stream: id: 1 data: a"], ["/"];
    two_types_in_one_the_other_way: typed("Content-Type: text/event-stream, text/html\r\n")
        => ["the response is of type \"text/event-stream, text/html\", not text/event-stream: id: 1 data: a"], ["/"];
}

// Of a header sent twice, one connector gives the first line, the other both of them, joined.
faults! {
    the_same_type_on_two_lines: typed("Content-Type: text/event-stream\r\nContent-Type: text/event-stream\r\n")
        => STREAM, STREAM_ASKED;
    the_same_type_joined: typed("Content-Type: text/event-stream, text/event-stream\r\n")
        => STREAM, STREAM_ASKED;
}

// Where the connectors differ.
faults! {
    // ureq gives the first line, the other connector both of them.
    two_lines_of_types: typed("Content-Type: text/event-stream\r\nContent-Type: text/html\r\n") => {
        ureq: STREAM, STREAM_ASKED;
        tcp: ["the response is of type \"text/event-stream, text/html\", not text/event-stream: id: 1 data: a"], ["/"];
    }
    // To ureq it is the end of a body that has no other end.
    reset_between_events: fault([plain(A).await_event().reset()]) => {
        ureq: [OPEN, EVENT_A, ENDED, NO_MORE], STREAM_ASKED;
        tcp: [OPEN, EVENT_A, LOST, NO_MORE], STREAM_ASKED;
    }
    // ureq decodes what it has not asked for; to the other connector it is refused by name.
    compressed: fault([Script::new().send(HEAD).send("Content-Encoding: gzip\r\n\r\n").send(GZIPPED_A)]) => {
        ureq: STREAM, STREAM_ASKED;
        tcp: [ENCODED], ["/"];
    }
    compressed_and_cut_short: fault([Script::new().send(HEAD).send("Content-Encoding: gzip\r\n\r\n").send(&GZIPPED_A[..20])]) => {
        ureq: [OPEN, LOST, NO_MORE], ["/", "/"];
        tcp: [ENCODED], ["/"];
    }
    not_what_it_says_it_is_compressed_with: fault([Script::new().send(HEAD).send("Content-Encoding: gzip\r\n\r\n").send(A)]) => {
        ureq: [OPEN, LOST, NO_MORE], ["/", "/"];
        tcp: [ENCODED], ["/"];
    }
    redirected: fault([moved(302), plain(A), moved(307), plain(B)]) => {
        ureq: [OPEN, EVENT_A, ENDED, OPEN, EVENT_B, ENDED, NO_MORE],
            ["/", "/elsewhere", "/ after 1", "/elsewhere after 1", "/ after 2"];
        tcp: [&refusal(302)[..]], ["/"];
    }
    redirected_for_good_starts_again_at_the_first_address_too: fault([moved(301), plain(A)]) => {
        ureq: [OPEN, EVENT_A, ENDED, NO_MORE], ["/", "/elsewhere", "/ after 1"];
        tcp: [&refusal(301)[..]], ["/"];
    }
    redirected_to_nowhere: fault([status(302, "")]) => {
        ureq: ["cannot connect: protocol: missing a location header"], ["/"];
        tcp: [&refusal(302)[..]], ["/"];
    }
    redirected_to_what_is_no_address: fault([status(302, "Location: no such://x y\r\n")]) => {
        ureq: ["cannot connect: protocol: location header is malformed: no such://x y"], ["/"];
        tcp: [&refusal(302)[..]], ["/"];
    }
    redirected_to_another_scheme: fault([status(302, "Location: ftp://127.0.0.1/\r\n")]) => {
        ureq: ["cannot connect: bad uri: unknown scheme: ftp"], ["/"];
        tcp: [&refusal(302)[..]], ["/"];
    }
    // To ureq an empty Location is where it is already.
    redirected_to_an_empty_location: fault(vec![status(302, "Location:\r\n"); 11]) => {
        ureq: ["cannot connect: too many redirects"], ["/"; 11];
        tcp: [&refusal(302)[..]], ["/"];
    }
    a_choice_of_redirects: fault([status(300, "")]) => {
        ureq: ["cannot connect: protocol: missing a location header"], ["/"];
        tcp: [&refusal(300)[..]], ["/"];
    }
    redirected_in_circles: fault(vec![status(302, "Location: /\r\n"); 11]) => {
        ureq: ["cannot connect: too many redirects"], ["/"; 11];
        tcp: [&refusal(302)[..]], ["/"];
    }
}

fn moved(code: u16) -> Script {
    status(code, "Location: /elsewhere\r\n")
}

const GZIPPED_A: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xcb\x4c\xb1\x52\x30\xe4\x4a\x49\x2c\x49\xb4\x52\x48\xe4\xe2\x02\x00\x6d\xf2\xf2\x73\x0f\x00\x00\x00";

/// What a client with a terminator tells of a reply, and how often it asks for it.
fn reply(via: Via, script: Script) -> (Vec<String>, usize) {
    within(DEADLINE, move || {
        let mut server = ScriptServer::start([script]);
        let to = (server.address(), PATIENCE);
        let log = match via {
            Via::Ureq => consume(terminated(ureq(to)), &server),
            Via::Tcp => consume(terminated(tcp(to)), &server),
        };
        server.finish();
        (log, server.requests().len())
    })
}

fn terminated<C: Connect>(connect: C) -> EventSource<C> {
    EventSource::with_connect(connect).with_terminator("[DONE]")
}

const REPLY: &str = "data: a\n\n";

#[test]
fn a_reply_cut_before_its_terminator_is_an_error_and_not_paid_for_twice() {
    for via in [Via::Ureq, Via::Tcp] {
        let early = "the stream ended before its terminator";
        for (script, why) in [(plain(REPLY), early), (chunked().chunk(REPLY), LOST)] {
            let (log, requests) = reply(via, script);
            assert_eq!(log[..2], [OPEN, EVENT_A], "{via:?}");
            assert!(log[2].starts_with(why), "{via:?}: {log:?}");
            assert_eq!((log.len(), requests), (3, 1), "{via:?}");
        }
    }
}

#[test]
fn a_reply_is_complete_at_its_terminator_though_the_body_goes_on() {
    for via in [Via::Ureq, Via::Tcp] {
        let (log, requests) = reply(via, plain(REPLY).send("data: [DONE]\n\n").hold());
        assert_eq!(log, [OPEN, EVENT_A, "the stream is complete"], "{via:?}");
        assert_eq!(requests, 1, "{via:?}");
    }
}

#[test]
fn a_post_that_is_redirected_with_its_body_is_not_tried_again() {
    for code in [307, 308] {
        let (log, requests) = within(DEADLINE, move || {
            let mut server = ScriptServer::start([moved(code), plain(A)]);
            let url = format!("http://{}/", server.address());
            let source = EventSource::new(move |request: &Request<'_>| {
                let config = ureq::Agent::config_builder()
                    .http_status_as_error(false)
                    .timeout_global(Some(PATIENCE));
                let call = config.build().new_agent().post(&url);
                let call = request
                    .headers()
                    .fold(call, |call, (name, value)| call.header(name, value));
                let passes = |e: &ureq::Error| matches!(e, ureq::Error::Io(_));
                let result = call
                    .send("{}")
                    .map_err(|e| ConnectError::retry_if(passes(&e), e.into_io()));
                let (head, body) = result?
                    .map(|body| std::io::BufReader::new(body.into_reader()))
                    .into_parts();
                Ok(Response::from_head(
                    head.status,
                    |name| head.headers.get(name),
                    body,
                ))
            });
            let log = consume(source, &server);
            server.finish();
            (log, server.heads())
        });
        assert_eq!(log, [POST_MOVED], "{code}");
        assert_eq!(requests.len(), 1, "{code}");
        assert!(
            requests[0].starts_with("POST / "),
            "{code}: {}",
            requests[0]
        );
    }
}

/// ureq sends no body twice.
const POST_MOVED: &str = "cannot connect: redirect failed";

#[test]
fn the_headers_go_over_the_wire_as_they_are() {
    for via in [Via::Ureq, Via::Tcp] {
        let heads = within(DEADLINE, move || {
            let mut server = ScriptServer::start([plain(A)]);
            let to = (server.address(), PATIENCE);
            match via {
                Via::Ureq => consume(EventSource::with_connect(ureq(to)), &server),
                Via::Tcp => consume(EventSource::with_connect(tcp(to)), &server),
            };
            server.finish();
            server.heads()
        });
        let lines = |head: &str| -> Vec<String> {
            let is_ours = |line: &&str| {
                ["accept:", "cache-control:", "last-event-id:"]
                    .iter()
                    .any(|name| line.to_ascii_lowercase().starts_with(name))
            };
            let ours = head.lines().filter(is_ours);
            ours.map(str::to_ascii_lowercase).collect()
        };
        let mut expected = vec!["accept: text/event-stream", "cache-control: no-cache"];
        assert_eq!(lines(&heads[0]), expected, "{via:?}");
        expected.push("last-event-id: 1");
        assert_eq!(lines(&heads[1]), expected, "{via:?}");
    }
}

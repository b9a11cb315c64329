//! The examples over real HTTP: `server` on `tiny_http` and `std_tcp`, read by ureq, `sse-tail`, `agent`
//! and bare sockets.

use crate::{agent, server, std_tcp, tail, util};

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sse_io::client::Listeners;
use sse_io::http::Guard;
use sse_io::{Event, Reader, ResponseHead};
use util::within;

const DEADLINE: Duration = Duration::from_secs(30);

/// The examples that serve the same ticks at `/events`.
const SERVERS: [Start; 2] = [tiny_http_with, std_tcp_with];

/// Starts a server with room for so many streams.
type Start = fn(usize) -> Running;

/// A server on a free port; what can be stopped is stopped when dropped.
struct Running {
    address: SocketAddr,
    stop: Option<(Arc<tiny_http::Server>, JoinHandle<()>)>,
}

fn tiny_http_with(streams: usize) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = tiny_http::Server::from_listener(listener, None).expect("a server");
    let server = Arc::new(server);
    let accepting = Arc::clone(&server);
    let accepting = thread::spawn(move || server::serve(&accepting, Guard::new(), streams));
    Running {
        address,
        stop: Some((server, accepting)),
    }
}

fn std_tcp_with(streams: usize) -> Running {
    std_tcp_within(DEADLINE, streams)
}

fn std_tcp_within(read_timeout: Duration, streams: usize) -> Running {
    let limits = std_tcp::Limits {
        connections: streams,
        read_timeout,
        write_timeout: DEADLINE,
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        std_tcp::serve(&listener, limits, |request, connection| {
            std_tcp::answer(&Guard::new(), request, connection)
        });
    });
    Running {
        address,
        stop: None,
    }
}

impl Running {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends these bytes; the connection can be read.
    fn send(&self, request: &[u8]) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).expect("a connection");
        connection.write_all(request).expect("a server that reads");
        connection
    }

    /// Everything that comes in answer to these bytes until the server closes.
    fn answer(&self, request: &[u8]) -> String {
        let mut answer = String::new();
        let mut connection = self.send(request);
        connection.read_to_string(&mut answer).expect("a clean end");
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some((server, accepting)) = self.stop.take() else {
            return;
        };
        server.unblock();
        let ended = accepting.join();
        assert!(
            thread::panicking() || ended.is_ok(),
            "the server has panicked"
        );
    }
}

fn get(url: &str, last_event_id: Option<&str>) -> ureq::http::Response<ureq::Body> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut request = agent.get(url);
    if let Some(id) = last_event_id {
        request = request.header("Last-Event-ID", id);
    }
    request.call().expect("a response")
}

fn events(response: ureq::http::Response<ureq::Body>) -> Reader<impl io::BufRead> {
    assert_eq!(response.status(), 200);
    Reader::new(BufReader::new(response.into_body().into_reader()))
}

fn tick(id: u64) -> Event<'static> {
    Event::new(format!("tick {id}"))
        .with_name("tick")
        .with_id(id.to_string())
}

/// Serves these bytes to one client, then closes.
fn once(response: Vec<u8>) -> String {
    in_turn(vec![response]).0
}

/// Serves each of these to one client after the other, and tells what `Last-Event-ID` each sent;
/// then nobody listens any more.
fn in_turn(responses: Vec<Vec<u8>>) -> (String, mpsc::Receiver<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (told, asked) = mpsc::channel();
    thread::spawn(move || -> io::Result<()> {
        for response in responses {
            let (mut connection, _) = listener.accept()?;
            let mut id = None;
            for line in BufReader::new(&connection).lines() {
                let line = line?.to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("last-event-id: ") {
                    id = Some(value.to_owned());
                }
            }
            // The test may not want to know.
            let _ = told.send(id);
            connection.write_all(&response)?;
        }
        Ok(())
    });
    (url, asked)
}

/// A response that ends with its connection.
fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

fn stream(body: &str) -> Vec<u8> {
    answer("200 OK\r\nContent-Type: text/event-stream", body)
}

/// What `sse-tail` prints, or its exit code and message.
fn run_tail(arguments: &[&str]) -> Result<String, (u8, String)> {
    watch_tail(arguments).0
}

/// The same, and what it tells of its connections.
fn watch_tail(arguments: &[&str]) -> (Result<String, (u8, String)>, Vec<String>) {
    let mut out = Vec::new();
    let (states, told) = mpsc::channel();
    let arguments = arguments.iter().map(ToString::to_string);
    let result = tail::run(arguments, &mut out, move |state| {
        states.send(state.to_owned()).expect("the test listens");
    });
    let printed = result.map(|()| String::from_utf8(out).expect("tail prints text"));
    (printed, told.iter().collect())
}

#[test]
fn ticks_arrive_live_with_ids_from_one_for_each_connection() {
    within(DEADLINE, || {
        for server in SERVERS.map(|start| start(10)) {
            for _ in 0..2 {
                let mut reader = events(get(&server.url("/events"), None));
                assert_eq!(reader.read_event().unwrap(), Some(tick(1)));
                assert_eq!(reader.read_event().unwrap(), Some(tick(2)));
                assert_eq!(reader.last_event_id(), "2");
                assert_eq!(reader.retry(), Some(Duration::from_secs(2)));
            }
        }
    });
}

#[test]
fn the_largest_id_there_is_does_no_harm() {
    within(DEADLINE, || {
        let (last, before) = (u64::MAX, (u64::MAX - 1).to_string());
        for server in SERVERS.map(|start| start(10)) {
            let mut reader = events(get(&server.url("/events"), Some(&before)));
            assert_eq!(reader.read_event().unwrap(), Some(tick(last)));
            assert_eq!(reader.read_event().unwrap(), None, "a clean end");
        }
    });
}

#[test]
fn a_client_that_comes_back_goes_on_after_its_last_event() {
    within(DEADLINE, || {
        for server in SERVERS.map(|start| start(10)) {
            for (path, header, next) in [
                ("/events", Some("5"), 6),
                ("/events", Some("no number"), 1),
                ("/events?lastEventId=8", None, 9),
                ("/events?lastEventId=8", Some("5"), 6),
            ] {
                let mut reader = events(get(&server.url(path), header));
                assert_eq!(reader.read_event().unwrap(), Some(tick(next)));
            }
        }
    });
}

#[test]
fn a_client_of_http_1_0_gets_a_bare_stream() {
    within(DEADLINE, || {
        for server in SERVERS.map(|start| start(10)) {
            let mut connection = server.send(b"GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n");
            let mut received = String::new();
            while !received.contains("data: tick 1\n\n") {
                let mut piece = [0; 1024];
                let count = connection.read(&mut piece).unwrap();
                assert!(count > 0, "the server has closed after {received:?}");
                received.push_str(std::str::from_utf8(&piece[..count]).unwrap());
            }
            let (head, body) = received.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nConnection: close"), "{head}");
            assert!(!head.contains("Transfer-Encoding"), "{head}");
            assert_eq!(body, "retry: 2000\n\nevent: tick\nid: 1\ndata: tick 1\n\n");
        }
    });
}

#[test]
fn a_client_that_goes_frees_its_place_for_the_next() {
    within(DEADLINE, || {
        for server in SERVERS.map(|start| start(1)) {
            let mut reader = events(get(&server.url("/events"), None));
            assert_eq!(reader.read_event().unwrap(), Some(tick(1)));
            let refused = get(&server.url("/events"), None);
            assert_eq!(refused.status(), 503);
            assert_eq!(refused.headers()["Retry-After"], "5");
            drop(reader);
            // The thread notices by its second write after that; `within` sets the limit.
            while get(&server.url("/events"), None).status() != 200 {
                thread::yield_now();
            }
        }
    });
}

/// `tiny_http` has four workers at first, and counts on them twice when more clients come at once.
#[test]
fn clients_that_come_at_once_are_all_answered() {
    within(DEADLINE, || {
        for start in SERVERS {
            for clients in [5, 8, 50, 50, 50] {
                let server = start(clients + 1);
                assert_eq!(get(&server.url("/nothing"), None).status(), 404);
                let request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
                let connections: Vec<TcpStream> = (0..clients).map(|_| server.send(b"")).collect();
                for mut connection in &connections {
                    connection.write_all(request).unwrap();
                }
                for mut connection in &connections {
                    let mut status = [0; 15];
                    connection.read_exact(&mut status).expect("an answer");
                    assert_eq!(status, *b"HTTP/1.1 200 OK");
                }
            }
        }
    });
}

/// The status line and the headers that a table names.
fn head_of(answer: &str) -> (&str, Vec<&str>) {
    let (head, _) = answer.split_once("\r\n\r\n").expect("a whole head");
    let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    (status, headers.split("\r\n").collect())
}

#[test]
fn every_method_is_answered_rightly() {
    const ALLOW: &str = "Allow: GET, HEAD, OPTIONS";
    const CORS: &str = "Access-Control-Allow-Origin: *";
    const STREAM: &str = "Content-Type: text/event-stream";
    let rows: [(&str, &str, &str, &[&str]); 12] = [
        ("HEAD /events", "", "200 OK", &[STREAM, CORS]),
        (
            "HEAD /events",
            "Accept: text/*\r\n",
            "200 OK",
            &[STREAM, CORS],
        ),
        (
            "HEAD /events",
            "Accept: text/html\r\n",
            "406 Not Acceptable",
            &[CORS],
        ),
        // Several lines are one list.
        (
            "HEAD /events",
            "Accept: text/html\r\nAccept: text/event-stream\r\n",
            "200 OK",
            &[STREAM, CORS],
        ),
        (
            "GET /events",
            "Accept: */*\r\naccept: text/event-stream;q=0\r\n",
            "406 Not Acceptable",
            &[CORS],
        ),
        (
            "GET /events",
            "Accept: text/html\r\n",
            "406 Not Acceptable",
            &[CORS],
        ),
        ("OPTIONS /events", "", "204 No Content", &[ALLOW, CORS]),
        (
            "OPTIONS /events",
            "Accept: text/html\r\n",
            "204 No Content",
            &["Access-Control-Allow-Headers: Last-Event-ID"],
        ),
        (
            "POST /events",
            "Content-Length: 0\r\n",
            "405 Method Not Allowed",
            &[ALLOW, CORS],
        ),
        ("BREW /events", "", "405 Method Not Allowed", &[ALLOW]),
        ("GET /favicon.ico", "", "404 Not Found", &[]),
        ("POST /nothing", "", "404 Not Found", &[]),
    ];
    within(DEADLINE, move || {
        for server in SERVERS.map(|start| start(10)) {
            for (line, header, status, headers) in rows {
                for version in ["1.0", "1.1"] {
                    let request = format!(
                        "{line} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n"
                    );
                    let answer = server.answer(request.as_bytes());
                    let (line, found) = head_of(&answer);
                    assert_eq!(line, format!("HTTP/1.1 {status}"), "{request}");
                    for header in headers {
                        assert!(found.contains(header), "{request}{answer}");
                    }
                    // Whatever else: no events.
                    assert!(!answer.contains("tick"), "{request}{answer}");
                    assert!(!request.starts_with("HEAD") || answer.ends_with("\r\n\r\n"));
                }
            }
        }
    });
}

#[test]
fn std_tcp_refuses_what_is_no_request() {
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    let blank = "\r\n".repeat(1 << 14);
    let rows: [(&[u8], &str); 25] = [
        // A bare LF ends no line, and is refused before the head is complete.
        (b"\n", "400 Bad Request"),
        (b"\r\n\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\nHost: localhost\n\n", "400 Bad Request"),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n",
            "400 Bad Request",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\n",
            "400 Bad Request",
        ),
        (b"\r\r\n\r\n", "400 Bad Request"),
        // Empty lines are before a request that is still to come, within the limits of a head.
        (b"\r\n\r\n", "408 Request Timeout"),
        (blank.as_bytes(), "431 Request Header Fields Too Large"),
        (b"G\r\n\r\n", "400 Bad Request"),
        (b"GET\r\n\r\n", "400 Bad Request"),
        (b"GET /\r\n\r\n", "400 Bad Request"),
        (
            b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "400 Bad Request",
        ),
        (
            b"GET / x HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "400 Bad Request",
        ),
        (
            b"G\0T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "400 Bad Request",
        ),
        (
            b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "400 Bad Request",
        ),
        (b"\x16\x03\x01\x02\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
            "400 Bad Request",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n",
            "400 Bad Request",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\n\r\n",
            "400 Bad Request",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
            "400 Bad Request",
        ),
        (
            b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
            "505 HTTP Version Not Supported",
        ),
        (long.as_bytes(), "431 Request Header Fields Too Large"),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n",
            "408 Request Timeout",
        ),
    ];
    let rows = rows.map(|(request, status)| (request.to_vec(), status));
    within(DEADLINE, move || {
        let server = std_tcp_within(Duration::from_secs(1), 10);
        for (request, status) in rows {
            let answer = server.answer(&request);
            let start = &request[..request.len().min(60)];
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{:?}: {answer}",
                start.escape_ascii().to_string()
            );
            assert!(
                answer.ends_with("\r\nConnection: close\r\n\r\n"),
                "{answer}"
            );
        }
        assert_eq!(
            server.answer(b"").lines().next(),
            Some("HTTP/1.1 408 Request Timeout")
        );
    });
}

#[test]
fn std_tcp_takes_a_head_however_it_is_torn() {
    within(DEADLINE, || {
        let server = std_tcp_with(10);
        let head =
            b"HEAD /events HTTP/1.1\r\nhost:localhost\r\nACCEPT:\ttext/event-stream \r\n\r\n";
        let mut connection = server.send(b"");
        connection.set_nodelay(true).unwrap();
        for byte in head {
            connection.write_all(&[*byte]).unwrap();
        }
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        // What follows the head is not taken for more of it, and not for a reason to reset.
        let post = [
            &b"POST /events HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            &[b'x'; 100_000],
        ]
        .concat();
        let answer = server.answer(&post);
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    });
}

#[test]
fn std_tcp_takes_what_is_before_and_around_a_path() {
    let long = |length| format!("/{}", "x".repeat(length));
    // 16384 bytes with the rest of the head.
    let (longest, too_long) = (long(16352), long(16353));
    let rows = [
        ("", "/events", "200 OK"),
        ("\r\n", "/events", "200 OK"),
        ("\r\n\r\n\r\n", "/events", "200 OK"),
        ("", "http://x/events", "200 OK"),
        ("\r\n", "HTTP://x:80/events?lastEventId=7", "200 OK"),
        ("", "https://x/events", "200 OK"),
        ("", "http://x", "404 Not Found"),
        ("", "http://x?/events", "404 Not Found"),
        ("", "http://events", "404 Not Found"),
        ("", "ftp://x/events", "404 Not Found"),
        ("", "/x?http://x/events", "404 Not Found"),
        ("", "/events?http://x/y", "200 OK"),
        ("", &longest, "404 Not Found"),
        ("", &too_long, "431 Request Header Fields Too Large"),
    ]
    .map(|(before, target, status)| {
        let request = format!("{before}HEAD {target} HTTP/1.1\r\nHost: [::1]\r\n\r\n");
        (request, status)
    });
    within(DEADLINE, move || {
        let server = std_tcp_with(10);
        for (request, status) in rows {
            let answer = server.answer(request.as_bytes());
            let start = &request[..request.len().min(60)];
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{start:?}: {answer}"
            );
        }
        let request = b"GET http://x/events?lastEventId=7 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let connection = server.send(request);
        let mut answer = BufReader::new(connection).lines().map(Result::unwrap);
        assert!(answer.any(|line| line == "data: tick 8"));
    });
}

#[test]
fn the_page_is_served_and_nothing_else() {
    within(DEADLINE, || {
        let server = tiny_http_with(10);
        for (path, media_type, part) in [
            ("/", "text/html", "<title>sse-io, live</title>"),
            ("/page.css", "text/css", "color-scheme: light dark"),
            (
                "/page.js",
                "text/javascript",
                "new EventSource(\"/events\")",
            ),
        ] {
            let mut file = get(&server.url(path), None);
            let media_type = format!("{media_type}; charset=utf-8");
            assert_eq!(file.headers()["Content-Type"], *media_type);
            let file = file.body_mut().read_to_string().unwrap();
            assert!(file.contains(part), "{path}");
            assert!(
                !file.contains("http://") && !file.contains("https://"),
                "it stands by itself"
            );
        }
        assert_eq!(get(&server.url("/favicon.ico"), None).status(), 404);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent();
        let refused = agent.post(server.url("/events")).send_empty().unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["Allow"]),
            (405, &"GET, HEAD, OPTIONS".parse().unwrap())
        );
    });
}

#[test]
fn tail_prints_every_event_until_the_stream_ends() {
    let mut response = Vec::new();
    let emitter = ResponseHead::new().start(&mut response).unwrap();
    emitter
        .emit(&Event::new("one\ntwo").with_name("greeting").with_id("7"))
        .unwrap();
    emitter.comment("ping").unwrap();
    emitter.emit(&Event::new("\u{1b}[31mred")).unwrap();
    drop(emitter);
    let events = "event: greeting\nid: 7\ndata: one\ndata: two\n\n";
    let escaped = "data: \\u{1b}[31mred\n\n";
    within(DEADLINE, move || {
        let url = once(response.clone());
        assert_eq!(run_tail(&[&url]).unwrap(), format!("{events}{escaped}"));
        let url = once(response);
        let all = run_tail(&["--comments", &url]).unwrap();
        assert_eq!(all, format!(": \n\n{events}: ping\n\n{escaped}"));
    });
}

#[test]
fn tail_follows_over_lost_connections_until_there_is_no_more() {
    within(DEADLINE, || {
        let (url, asked) = in_turn(vec![
            stream("retry: 0\n\nid: 1\ndata: a\n\nid: 2\nda"),
            answer("503 Service Unavailable\r\nRetry-After: 0", ""),
            stream("id: 2\ndata: \u{1b}b\n\n"),
            answer("204 No Content", ""),
        ]);
        let arguments = ["--follow", "--retry-statuses", "--last-event-id", "0", &url];
        let (printed, states) = watch_tail(&arguments);
        assert_eq!(
            printed.unwrap(),
            "id: 1\ndata: a\n\nid: 2\ndata: \\u{1b}b\n\n"
        );
        let ids: Vec<_> = asked.iter().map(Option::unwrap).collect();
        assert_eq!(ids, ["0", "1", "1", "2"]);
        let states: Vec<&str> = states
            .iter()
            .map(|state| state.split(';').next().unwrap_or_default())
            .collect();
        assert_eq!(
            states,
            [
                "connecting (attempt 1)",
                "open",
                "the stream has ended",
                "connecting (attempt 1)",
                "the server answered with status 503",
                "connecting (attempt 2)",
                "open",
                "the stream has ended",
                "connecting (attempt 1)",
                "closed: the server has no more",
            ]
        );
    });
}

#[test]
fn tail_asks_for_what_follows_an_id_without_following_too() {
    within(DEADLINE, || {
        let (url, asked) = in_turn(vec![stream("data: x\n\n")]);
        let printed = run_tail(&["--last-event-id", "7", &url]);
        assert_eq!(printed.unwrap(), "data: x\n\n");
        assert_eq!(asked.iter().collect::<Vec<_>>(), [Some("7".into())]);
    });
}

#[test]
fn tail_says_why_it_does_not_follow_any_longer() {
    let rows = [
        (
            answer("404 Not Found", ""),
            "the server answered with status 404",
        ),
        (
            answer("503 Service Unavailable", ""),
            "the server answered with status 503",
        ),
        (
            answer("200 OK\r\nContent-Type: text/\u{9b}html", ""),
            "the response is of type \"text/\\u{9b}html\", not text/event-stream",
        ),
        (answer("200 OK", ""), "the response has no content type"),
    ];
    within(DEADLINE, move || {
        for (response, message) in rows {
            let url = once(response);
            let (result, states) = watch_tail(&["--follow", &url]);
            assert_eq!(result, Err((1, format!("sse-tail: {url}: {message}"))));
            assert_eq!(states, ["connecting (attempt 1)"]);
        }
        for url in ["nonsense", "http://", "127.0.0.1:1/", "http://a b/"] {
            let (code, message) = run_tail(&["--follow", url]).unwrap_err();
            let start = format!("sse-tail: {url}: cannot connect: ");
            assert!(code == 1 && message.starts_with(&start), "{message}");
        }
    });
}

#[test]
fn tail_says_why_there_is_no_stream() {
    let rows = [
        (
            answer("401 Unauthorized\r\nContent-Length: 9", "No key.\u{1b}\n"),
            "the server answered with status 401: No key.\\u{1b}",
        ),
        (
            answer("200 OK\r\nContent-Type: text/html", ""),
            "the response is of type \"text/html\", not text/event-stream",
        ),
        (answer("200 OK", ""), "the response has no content type"),
        (
            stream("data: a\n\ndata: b"),
            "the stream ended in the middle of an event",
        ),
        (
            answer("302 Found", ""),
            "cannot connect: protocol: missing a location header",
        ),
    ];
    within(DEADLINE, move || {
        for (response, message) in rows {
            let url = once(response);
            assert_eq!(
                run_tail(&[&url]),
                Err((1, format!("sse-tail: {url}: {message}")))
            );
        }
        let (code, message) = run_tail(&["http://127.0.0.1:1/"]).unwrap_err();
        assert!(code == 1 && message.contains("refused"), "{message}");
    });
}

#[test]
fn tail_explains_its_arguments() {
    for (arguments, problem) in [
        (&[][..], "there is no URL"),
        (
            &["--nonsense", "http://x/"],
            "there is no option --nonsense",
        ),
        (&["http://x/", "http://y/"], "there is more than one URL"),
        (
            &["http://x/", "--last-event-id"],
            "--last-event-id needs a value",
        ),
        (
            &["-H", "no colon", "http://x/"],
            "\"no colon\" is no header",
        ),
        (&["--data"], "--data needs a value"),
        (
            &["--retry-statuses", "http://x/"],
            "--retry-statuses is for --follow",
        ),
    ] {
        let (code, message) = run_tail(arguments).unwrap_err();
        assert_eq!(code, 2);
        assert!(
            message.starts_with(&format!("sse-tail: {problem}")),
            "{message}"
        );
        assert!(message.contains("\n\nusage: sse-tail"), "{message}");
    }
    let help = run_tail(&["--help"]).unwrap();
    for option in [
        "--follow",
        "--comments",
        "-H",
        "--data",
        "-q",
        "--last-event-id",
    ] {
        assert!(help.contains(option), "{option}: {help}");
    }
}

/// Answers one request, and gives the bytes of that request.
fn asked_for(arguments: &[&str]) -> (String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || -> io::Result<String> {
        let (mut connection, _) = listener.accept()?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"}") {
            let mut byte = [0];
            connection.read_exact(&mut byte)?;
            request.push(byte[0]);
        }
        if request.starts_with(b"POST") && !request.ends_with(b"}") {
            let mut body = [0; 8];
            connection.read_exact(&mut body)?;
            request.extend_from_slice(&body);
        }
        connection.write_all(&stream(": hi\n\ndata: x\n\n"))?;
        Ok(String::from_utf8_lossy(&request).into_owned())
    });
    let printed = run_tail(&[arguments, &[&url]].concat()).unwrap();
    let request = server.join().unwrap().unwrap();
    (printed, request.to_ascii_lowercase())
}

#[test]
fn tail_sends_headers_and_a_body() {
    within(DEADLINE, || {
        let (printed, request) = asked_for(&["-H", "X-Key: a:b", "--comments"]);
        assert_eq!(printed, ": hi\n\ndata: x\n\n");
        assert!(request.starts_with("get / http/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nx-key: a:b\r\n"), "{request}");
        assert!(
            request.contains("\r\naccept-encoding: identity\r\n"),
            "{request}"
        );
        let (_, request) = asked_for(&["--data", r#"{"a": 1}"#]);
        assert!(request.starts_with("post / http/1.1\r\n"), "{request}");
        assert!(
            request.contains("\r\ncontent-type: application/json\r\n"),
            "{request}"
        );
        assert!(request.ends_with("\r\n\r\n{\"a\": 1}"), "{request}");
    });
}

#[test]
fn tail_is_quiet_on_demand() {
    within(DEADLINE, || {
        let (result, states) = watch_tail(&["-q", &once(stream("data: x\n\n"))]);
        assert_eq!((result.unwrap(), states), ("data: x\n\n".into(), vec![]));
        let (_, states) = watch_tail(&[&once(stream("data: x\n\n"))]);
        let told = [
            "connecting (attempt 1)",
            "open",
            "closed: the stream is complete",
        ];
        assert_eq!(states, told);
    });
}

/// A file that is not there yet, and will not be when this is dropped.
struct StateFile(PathBuf);

impl StateFile {
    fn new(name: &str) -> Self {
        let name = format!("sse-io-{}-{name}", std::process::id());
        StateFile(std::env::temp_dir().join(name))
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).expect("a state file")
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs the agent to its end; gives the commands that it carried out.
fn run_agent(url: &str, state_file: Option<&StateFile>) -> Result<Vec<String>, String> {
    let listeners = Listeners::new();
    let (done, commands) = mpsc::channel();
    listeners.on("do", move |event, id| {
        done.send(format!("{id} {}", event.data))
            .expect("the test listens");
    });
    let state_file = state_file.map(|file| file.0.clone());
    agent::run(url, state_file, &listeners).map_err(|error| error.to_string())?;
    Ok(commands.try_iter().collect())
}

#[test]
fn an_agent_goes_on_where_it_was_over_outages_and_its_own_restart() {
    within(DEADLINE, || {
        let (url, asked) = in_turn(vec![
            stream("retry: 0\n\nevent: do\nid: 1\ndata: a\n\n"),
            answer("502 Bad Gateway", ""),
            stream(
                "event: do\nid: 2\ndata: b\n\nevent: stop\nid: 3\ndata:\n\nevent: do\nid: 4\ndata:\n\n",
            ),
            stream("event: do\nid: 4\ndata: c\n\nevent: stop\nid: 5\ndata:\n\n"),
            answer("204 No Content", ""),
        ]);
        let file = StateFile::new("restart");
        assert_eq!(run_agent(&url, Some(&file)).unwrap(), ["1 a", "2 b"]);
        assert_eq!(file.text(), "3");
        assert_eq!(run_agent(&url, Some(&file)).unwrap(), ["4 c"]);
        assert_eq!(run_agent(&url, Some(&file)).unwrap(), [""; 0]);
        assert_eq!(file.text(), "5");
        let ids: Vec<_> = asked.iter().map(Option::unwrap_or_default).collect();
        assert_eq!(ids, ["", "1", "1", "3", "5"]);
    });
}

#[test]
fn an_agent_without_a_state_file_starts_from_the_beginning() {
    within(DEADLINE, || {
        let end = "event: stop\nid: 1\ndata:\n\n";
        let (url, asked) = in_turn(vec![stream(end), stream(end)]);
        for _ in 0..2 {
            assert_eq!(run_agent(&url, None).unwrap(), [""; 0]);
        }
        assert_eq!(asked.iter().collect::<Vec<_>>(), [None, None]);
    });
}

#[test]
fn an_agent_says_why_it_ends() {
    within(DEADLINE, || {
        let url = once(answer("403 Forbidden", ""));
        let message = run_agent(&url, None).unwrap_err();
        assert_eq!(message, "the server answered with status 403");
        // Nothing can be saved in a folder that is not there: it does not go on.
        let url = once(stream(
            "event: do\nid: 1\ndata: a\n\nevent: do\nid: 2\ndata: b\n\n",
        ));
        let file = StateFile::new("no-such-folder/state");
        let message = run_agent(&url, Some(&file)).unwrap_err();
        assert!(message.starts_with("cannot write "), "{message}");
        let file = StateFile::new("invalid");
        fs::write(&file.0, b"\xff").unwrap();
        let message = run_agent(&url, Some(&file)).unwrap_err();
        assert!(message.starts_with("cannot read "), "{message}");
    });
}

//! The examples over real HTTP: the `server` on `tiny_http`, read by ureq, `tail` and bare sockets.

mod util;

#[allow(dead_code, unreachable_pub)]
#[path = "../examples/server.rs"]
mod server;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/tail.rs"]
mod tail;

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sse_io::{Event, Reader, ResponseHead};
use util::within;

const DEADLINE: Duration = Duration::from_secs(30);

/// The `server` example on a free port; stopped when dropped.
struct Running {
    address: SocketAddr,
    server: Arc<tiny_http::Server>,
    accepting: Option<JoinHandle<()>>,
}

impl Running {
    fn start(max_streams: usize) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = tiny_http::Server::from_listener(listener, None).expect("a server");
        let server = Arc::new(server);
        let accepting = Arc::clone(&server);
        let accepting = thread::spawn(move || server::serve(&accepting, max_streams));
        Running {
            address,
            server,
            accepting: Some(accepting),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.unblock();
        let ended = self.accepting.take().map(JoinHandle::join);
        assert!(
            thread::panicking() || matches!(ended, Some(Ok(()))),
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
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    thread::spawn(move || -> io::Result<()> {
        let (mut connection, _) = listener.accept()?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            connection.read_exact(&mut byte)?;
            request.push(byte[0]);
        }
        connection.write_all(&response)
    });
    url
}

/// What `tail` prints, or its exit code and message.
fn run_tail(arguments: &[&str]) -> Result<String, (u8, String)> {
    let mut out = Vec::new();
    tail::run(arguments.iter().map(ToString::to_string), &mut out)?;
    Ok(String::from_utf8(out).expect("tail prints text"))
}

#[test]
fn ticks_arrive_live_with_ids_from_one_for_each_connection() {
    within(DEADLINE, || {
        let server = Running::start(10);
        for _ in 0..2 {
            let mut reader = events(get(&server.url("/events"), None));
            assert_eq!(reader.read_event().unwrap(), Some(tick(1)));
            assert_eq!(reader.read_event().unwrap(), Some(tick(2)));
            assert_eq!(reader.last_event_id(), "2");
            assert_eq!(reader.retry(), Some(Duration::from_secs(2)));
        }
    });
}

#[test]
fn a_client_that_comes_back_goes_on_after_its_last_event() {
    within(DEADLINE, || {
        let server = Running::start(10);
        let mut reader = events(get(&server.url("/events"), Some("5")));
        assert_eq!(reader.read_event().unwrap(), Some(tick(6)));
        let mut reader = events(get(&server.url("/events"), Some("no number")));
        assert_eq!(reader.read_event().unwrap(), Some(tick(1)));
    });
}

#[test]
fn a_client_of_http_1_0_gets_a_bare_stream() {
    within(DEADLINE, || {
        let server = Running::start(10);
        let mut connection = TcpStream::connect(server.address).unwrap();
        connection
            .write_all(b"GET /events HTTP/1.0\r\n\r\n")
            .unwrap();
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
    });
}

#[test]
fn a_client_that_goes_frees_its_place_for_the_next() {
    within(DEADLINE, || {
        let server = Running::start(1);
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
    });
}

#[test]
fn the_page_is_served_and_nothing_else() {
    within(DEADLINE, || {
        let server = Running::start(10);
        let mut page = get(&server.url("/"), None);
        assert_eq!(page.headers()["Content-Type"], "text/html; charset=utf-8");
        let page = page.body_mut().read_to_string().unwrap();
        assert!(page.contains("new EventSource(\"/events\")"));
        assert!(
            !page.contains("http://") && !page.contains("https://"),
            "it stands by itself"
        );
        assert_eq!(get(&server.url("/favicon.ico"), None).status(), 404);
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent();
        let refused = agent.post(server.url("/events")).send_empty().unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["Allow"]),
            (405, &"GET".parse().unwrap())
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
fn tail_says_why_there_is_no_stream() {
    let head = |rest: &str| format!("HTTP/1.1 {rest}\r\nConnection: close\r\n\r\n").into_bytes();
    let rows = [
        (
            head("404 Not Found\r\nContent-Length: 0"),
            "the server answered 404 Not Found",
        ),
        (head("204 No Content"), "the server answered 204 No Content"),
        (
            head("200 OK\r\nContent-Type: text/html"),
            "this is text/html, not text/event-stream",
        ),
        (head("200 OK"), "the response has no content type"),
        (
            [
                head("200 OK\r\nContent-Type: text/event-stream"),
                b"data: x\n".to_vec(),
            ]
            .concat(),
            "the stream ended in the middle of an event",
        ),
    ];
    within(DEADLINE, move || {
        for (response, message) in rows {
            let url = once(response);
            assert_eq!(
                run_tail(&[&url]),
                Err((1, format!("tail: {url}: {message}")))
            );
        }
        let (code, message) = run_tail(&["http://127.0.0.1:1/"]).unwrap_err();
        assert!(code == 1 && message.contains("refused"), "{message}");
    });
}

#[test]
fn tail_explains_its_arguments() {
    for arguments in [
        &[][..],
        &["--nonsense", "http://x/"],
        &["http://x/", "http://y/"],
    ] {
        let (code, message) = run_tail(arguments).unwrap_err();
        assert_eq!(
            (code, message.as_str()),
            (2, "usage: tail [--comments] URL")
        );
    }
}

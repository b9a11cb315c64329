//! What goes through the gateway, byte by byte.

mod allocations;
mod bare_socket;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use gateway::{Gateway, provider};
use sse_io::http::Guard;
use tiny_http::Server;

/// A gateway to this upstream, for as long as the test runs.
fn gateway(upstream: SocketAddr, change: impl FnOnce(&mut Gateway)) -> SocketAddr {
    let server = Server::http("127.0.0.1:0").expect("a free port");
    let address = server.server_addr().to_ip().expect("an IP address");
    let mut gateway = Gateway::new(&format!("http://{upstream}"), Guard::new());
    change(&mut gateway);
    let gateway = Arc::new(gateway);
    thread::spawn(move || gateway.serve(&server));
    address
}

/// An upstream that answers one request with these bytes and closes the connection; gives its address
/// and the request.
fn upstream(answer: String) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (seen, requests) = mpsc::channel();
    thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n{}") {
            let mut piece = [0; 1024];
            match connection.read(&mut piece).expect("the request") {
                0 => break,
                count => request.extend_from_slice(&piece[..count]),
            }
        }
        connection.write_all(answer.as_bytes()).expect("an answer");
        let _ = seen.send(String::from_utf8(request).expect("text"));
    });
    (address, requests)
}

/// Sends a request on a connection that the server is to close, and gives all that comes back.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a time-out");
    connection.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

fn post(address: SocketAddr, headers: &str) -> String {
    let request = format!(
        "POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: 2\r\n\r\n{{}}"
    );
    exchange(address, &request)
}

/// The body of a chunked answer, and whether it has its last chunk.
fn chunks(answer: &str) -> (String, bool) {
    let (_, mut rest) = answer.split_once("\r\n\r\n").expect("a head");
    let mut body = String::new();
    loop {
        let Some((size, after)) = rest.split_once("\r\n") else {
            return (body, false);
        };
        match usize::from_str_radix(size, 16) {
            Ok(0) => return (body, true),
            Ok(size) => {
                body += &after[..size];
                rest = &after[size + 2..];
            }
            Err(_) => return (body, false),
        }
    }
}

/// A chunked event stream of these pieces; without its last chunk if it is cut.
fn chunked(pieces: &[&str], cut: bool) -> String {
    let mut answer = String::from(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
         X-RateLimit-Remaining: 7\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for piece in pieces {
        answer += &format!("{:x}\r\n{piece}\r\n", piece.len());
    }
    if !cut {
        answer += "0\r\n\r\n";
    }
    answer
}

/// The same in HTTP/1.0, where the body ends with the connection.
fn unframed(body: &str) -> String {
    format!("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}")
}

#[test]
fn events_and_comments_come_through_as_they_are() {
    let pieces = [
        ":\n\n:",
        " PROC\n\nd",
        "ata:{\"a\":\ndata: 1}\nevent: x\nid: 7\n\n:a\n",
        "\ndata: [DONE]\n\n",
    ];
    let (address, requests) = upstream(chunked(&pieces, false));
    let answer = post(
        gateway(address, |_| {}),
        "Authorization: Bearer key\r\nCookie: a=b\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nx-ratelimit-remaining: 7\r\n"),
        "{answer}"
    );
    let expected =
        ":\n\n:\n\n: PROC\n\nevent: x\nid: 7\ndata: {\"a\":\ndata: 1}\n\n: a\n\ndata: [DONE]\n\n";
    assert_eq!(chunks(&answer), (expected.into(), true));
    let request = requests.recv().expect("a request").to_ascii_lowercase();
    assert!(
        request.starts_with("post /v1/chat/completions?a=b http/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\nauthorization: bearer key\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\naccept-encoding: identity\r\n"),
        "{request}"
    );
    assert!(!request.contains("cookie"), "{request}");
}

#[test]
fn the_blank_line_behind_the_last_event_may_be_missing() {
    let (address, _) = upstream(chunked(&["data: [DONE]"], false));
    let answer = post(gateway(address, |_| {}), "");
    assert_eq!(chunks(&answer), (":\n\ndata: [DONE]\n\n".into(), true));
}

#[test]
fn an_upstream_that_breaks_ends_the_stream_as_broken() {
    for answer in [
        chunked(&["data: a\n\n"], true),
        chunked(&["data: a\n\nda", "ta: b\n"], true),
        chunked(&["data: a\n\n"], true) + "4\r\nda",
        unframed("data: a\n\n"),
        unframed("data: a\n\ndata: [DO"),
    ] {
        let (address, _) = upstream(answer);
        let answer = post(gateway(address, |_| {}), "");
        assert_eq!(
            chunks(&answer),
            (":\n\ndata: a\n\n".into(), false),
            "{answer}"
        );
        assert!(answer.ends_with("\r\nstream broken\r\n"), "{answer}");
    }
}

#[test]
fn a_reply_that_says_it_is_complete_is_complete() {
    let stop = "event: message_stop\ndata: {}";
    for (last, answer) in [
        ("data: [DONE]", unframed("data: [DONE]\n\n")),
        (stop, chunked(&[stop, "\n\n"], true)),
        ("data: a", chunked(&["data: a\n\n"], false)),
    ] {
        let (address, _) = upstream(answer);
        let answer = post(gateway(address, |_| {}), "");
        assert_eq!(chunks(&answer), (format!(":\n\n{last}\n\n"), true));
    }
}

#[test]
fn an_answer_that_is_no_stream_is_passed_on_with_its_status() {
    let (address, _) = upstream("HTTP/1.1 529 Overloaded\r\nContent-Type: application/json\r\nRetry-After: 9\r\nContent-Length: 9\r\n\r\n{\"a\": \"b\"}".into());
    // The length is one byte short on purpose: a message ends where its head says.
    let answer = post(gateway(address, |_| {}), "");
    assert!(answer.starts_with("HTTP/1.1 529 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 9\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n{\"a\": \"b\""), "{answer}");
}

#[test]
fn an_upstream_that_cannot_be_asked_is_told_as_502() {
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr();
    let answer = post(gateway(gone.expect("an address"), |_| {}), "");
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(
        answer.contains("gateway: the upstream has no answer: "),
        "{answer}"
    );
}

#[test]
fn pages_of_other_sites_and_unknown_hosts_are_refused() {
    let address = gateway(provider::serve().expect("a provider"), |_| {});
    let answer = post(address, "Origin: https://evil.example\r\n");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let get = |path: &str, host: &str| {
        exchange(
            address,
            &format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
        )
    };
    assert!(get("/", "Host: evil.example\r\n").starts_with("HTTP/1.1 421 "));
    assert!(get("/", "Host: a b\r\n").starts_with("HTTP/1.1 400 "));
    assert!(get("/", "Host: a\r\nHost: b\r\n").starts_with("HTTP/1.1 400 "));
    let page = get("/", "Host: localhost\r\n");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(
        page.contains("\r\nContent-Security-Policy: default-src 'none';"),
        "{page}"
    );
    assert!(get("/v1/messages", "Host: localhost\r\n").starts_with("HTTP/1.1 405 "));
    assert!(get("/v2", "Host: localhost\r\n").starts_with("HTTP/1.1 404 "));
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let address = gateway(provider::serve().expect("a provider"), |_| {});
    let length = (16 << 20) + 1;
    let body = " ".repeat(length);
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    assert!(exchange(address, &request).starts_with("HTTP/1.1 413 "));
}

#[test]
fn streams_are_limited() {
    let address = gateway(provider::serve().expect("a provider"), |gateway| {
        gateway.max_streams = 1;
    });
    // A first stream holds the only place.
    let body = r#"{"model": "made-up,think=60000", "stream": true}"#;
    let length = body.len();
    let mut first = TcpStream::connect(address).expect("a connection");
    write!(
        first,
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("a request");
    let mut head = [0; 15];
    first.read_exact(&mut head).expect("a head");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let answer = post(address, "");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
}

#[test]
fn the_numbers_are_live_events() {
    let address = gateway(provider::serve().expect("a provider"), |_| {});
    let ask = |script: &str| {
        let body = format!(r#"{{"model": "made-up,{script}", "stream": true}}"#);
        let length = body.len();
        exchange(
            address,
            &format!(
                "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            ),
        )
    };
    assert!(chunks(&ask("tokens=5,pace=1")).1);
    assert!(!chunks(&ask("tokens=5,pace=1,cut=2")).1);
    assert!(ask("status=500").starts_with("HTTP/1.1 500 "));
    let mut page = TcpStream::connect(address).expect("a connection");
    page.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("a request");
    let (mut seen, mut piece) = (String::new(), [0; 1024]);
    let all = r#"{"open":0,"started":2,"complete":1,"cancelled":0,"broken":1,"other":1,"tokens":7,"first_token_us":"#;
    page.set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a time-out");
    while !seen.contains(all) {
        let count = page.read(&mut piece).expect("the numbers come");
        seen += std::str::from_utf8(&piece[..count]).expect("text");
    }
}

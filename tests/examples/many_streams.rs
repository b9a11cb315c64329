//! The example `fanout`: streams, refusals, and clients that send nothing.

use crate::fanout;
use crate::util;

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sse_io::Reader;
use sse_io::http::Guard;
use util::writers::DEADLINE;

fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let every = Duration::from_millis(20);
    thread::spawn(move || fanout::serve(&listener, Guard::new(), every).unwrap());
    address
}

fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    client
}

/// The whole response.
fn answer(address: SocketAddr, request: &str) -> String {
    let mut response = String::new();
    send(address, request)
        .read_to_string(&mut response)
        .unwrap();
    response
}

#[test]
fn a_stream_tells_what_the_server_takes() {
    let address = start();
    let request = "GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n";
    let mut client = BufReader::new(send(address, request));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let mut reader = Reader::new(client);
    loop {
        let event = reader.read_event().unwrap().unwrap();
        assert!(event.data.starts_with("{\"streams\":"), "{event:?}");
        if event.data.starts_with("{\"streams\":1,") && !event.data.contains("\"rate\":0}") {
            break;
        }
    }
}

#[test]
fn clients_that_send_nothing_hold_nobody_up() {
    let address = start();
    let silent: Vec<_> = (0..50).map(|_| send(address, "")).collect();
    let halves: Vec<_> = (0..50)
        .map(|_| send(address, "GET / HTTP/1.1\r\nHo"))
        .collect();
    let page = answer(address, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(page.contains("\r\nContent-Security-Policy: default-src 'none'; "));
    assert!(page.ends_with("</script>\n"));
    // The rest of a head is waited for.
    for mut client in halves {
        client.write_all(b"st: localhost\r\n\r\n").unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        assert_eq!(response, page);
    }
    drop(silent);
}

#[test]
fn what_is_no_request_for_this_server_is_refused() {
    let address = start();
    let long = "x".repeat(20 << 10);
    let rows = [
        ("GET /events HTTP/1.1\r\n\r\n", 400),
        (
            "GET /events HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            400,
        ),
        ("GET /events HTTP/1.1\r\nHost: example.org\r\n\r\n", 421),
        ("GET /events\r\n\r\n", 400),
        (
            "GET /events HTTP/1.1\r\nHost: localhost\r\nno header\r\n\r\n",
            400,
        ),
        ("GET /events HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
        (
            "GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n",
            406,
        ),
        ("POST /events HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (
            "POST /events HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n",
            403,
        ),
        ("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    ];
    for (request, status) in rows {
        let response = answer(address, request);
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(response.starts_with(&wanted), "{request:?}: {response:?}");
    }
    // It is not read to its end, so the response may be lost to a reset.
    let mut client = send(address, "GET /");
    let _ = client.write_all(long.as_bytes());
    let mut response = Vec::new();
    if client.read_to_end(&mut response).is_ok() && !response.is_empty() {
        assert!(response.starts_with(b"HTTP/1.1 431 "));
    }
}

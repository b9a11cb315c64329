//! What the program does not take, and how it says so.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use crate::util::{DEADLINE, Process, Redis, post_now};

/// The whole answer to a request, whose method, target and headers these are.
fn ask(at: SocketAddr, line: &str, headers: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(at).expect("a connection");
    connection
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket");
    let length = body.len();
    let request = format!("{line} HTTP/1.0\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    connection.write_all(request.as_bytes()).expect("a server");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn what_other_sites_send_is_refused_and_the_page_has_a_policy() {
    let redis = Redis::start("sites");
    let process = Process::start(&redis.url(), &["--host", "events.example"]);
    let at = process.address();
    post_now(at, "", "a", "it is up");
    for (line, headers, status) in [
        ("POST /publish", "Host: localhost\r\n", 200),
        (
            "POST /publish",
            "Host: events.example\r\nSec-Fetch-Site: same-origin\r\n",
            200,
        ),
        (
            "POST /publish",
            "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
            403,
        ),
        (
            "POST /publish",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
            403,
        ),
        ("GET /", "Host: evil.example\r\n", 421),
        ("GET /", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("GET /", "", 400),
        ("GET /status", "Host: localhost\r\n", 200),
    ] {
        let answer = ask(at, line, headers, "");
        assert!(
            answer.starts_with(&format!("HTTP/1.0 {status} "))
                || answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line} {headers}: {answer}"
        );
    }
    let page = ask(at, "GET /", "Host: localhost\r\n", "");
    for directive in [
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(page.contains(directive), "{directive}");
    }
}

#[test]
fn more_topics_than_there_may_be_and_another_post_under_a_key_are_refused() {
    let redis = Redis::start("bounds");
    let process = Process::start(&redis.url(), &[]);
    let at = process.address();
    post_now(at, "topic=t", "k", "the first");
    let host = "Host: localhost\r\n";
    let topics = |count| vec!["topic=t"; count].join("&");
    let key = |body, query: &str| {
        let headers = format!("{host}Idempotency-Key: k\r\n");
        ask(at, &format!("POST /publish?{query}"), &headers, body)
    };
    let publish = |count| ask(at, &format!("POST /publish?{}", topics(count)), host, "x");
    let read = |count| {
        ask(
            at,
            &format!("GET /events?topics={}", vec!["t"; count].join(",")),
            host,
            "",
        )
    };
    for (answer, status) in [
        (publish(32), 200),
        (publish(33), 400),
        // More than a script of Redis can unpack.
        (publish(9000), 400),
        (read(33), 400),
        (key("the first", "topic=t"), 200),
        (key("another", "topic=t"), 422),
        (key("the first", "topic=u"), 422),
    ] {
        assert_eq!(
            answer.split(' ').nth(1),
            Some(&*status.to_string()),
            "{answer}"
        );
    }
}

#[test]
fn help_and_errors_are_sentences() {
    let run = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_redis-events");
        let output = Command::new(program)
            .args(arguments)
            .output()
            .expect("a program");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(
        help.contains("--redis URL") && help.contains("127.0.0.1:8088"),
        "{help}"
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, _, error) = run(&["--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(error.contains("another program does already"), "{error}");
    let (code, _, error) = run(&["--redis", "no address", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("no address is no address of Redis"),
        "{error}"
    );
}

//! Who is refused, and what a client that comes back gets, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mcp::app::Demo;
use mcp::client::Client;
use mcp::message::Failure;
use mcp::server::Server;
use serde_json::json;
use sse_io::http::Guard;

fn start() -> SocketAddr {
    let server = tiny_http::Server::http("127.0.0.1:0").expect("a free port");
    let address = server.server_addr().to_ip().expect("an IP address");
    let mcp = Arc::new(Server::new(Demo::new(), Guard::new()));
    thread::spawn(move || mcp.serve(&server));
    address
}

/// Sends a request to `/mcp`, and gives all of the answer.
fn ask(address: SocketAddr, method: &str, headers: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("a connection");
    let timeout = Some(Duration::from_secs(30));
    connection.set_read_timeout(timeout).expect("a time-out");
    let length = body.len();
    let request = format!(
        "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    connection.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Begins a session; gives the header that names it.
fn session(address: SocketAddr) -> String {
    let initialize = r#"{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}"#;
    let answer = ask(address, "POST", "", initialize);
    let (_, rest) = answer.split_once("Mcp-Session-Id: ").expect("a session");
    let id = rest.lines().next().expect("an id");
    assert_eq!(id.len(), 32);
    format!("Mcp-Session-Id: {id}\r\nAccept: application/json, text/event-stream\r\n")
}

const COUNT: &str = r#"{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "count",
    "arguments": {"to": 3, "milliseconds": 1}, "_meta": {"progressToken": "t"}}}"#;

#[test]
fn a_client_that_comes_back_gets_the_rest_of_its_stream_alone() {
    let address = start();
    let session = session(address);
    let first = ask(address, "POST", &session, COUNT);
    let second = ask(address, "POST", &session, COUNT);
    assert!(first.contains("retry: 500\n\n"), "{first}");
    assert!(first.contains("id: 1-0\ndata:\n\n"), "{first}");
    assert!(first.contains("\"progress\":3,"), "{first}");
    assert!(first.contains("id: 1-last\n"), "{first}");
    assert!(second.contains("id: 2-last\n"), "{second}");
    let rest = ask(
        address,
        "GET",
        &format!("{session}Last-Event-ID: 1-2\r\n"),
        "",
    );
    assert!(
        !rest.contains("id: 1-2\n") && !rest.contains("id: 2-"),
        "{rest}"
    );
    assert!(
        rest.contains("id: 1-3\n") && rest.contains("counted to 3"),
        "{rest}"
    );
    assert!(rest.ends_with("0\r\n\r\n"), "the stream has an end: {rest}");
    let nothing = ask(
        address,
        "GET",
        &format!("{session}Last-Event-ID: 1-last\r\n"),
        "",
    );
    assert!(nothing.starts_with("HTTP/1.1 204 "), "{nothing}");
}

#[test]
fn a_client_that_takes_no_stream_gets_json() {
    let address = start();
    let session = session(address).replace(", text/event-stream", "");
    let answer = ask(address, "POST", &session, COUNT);
    assert!(
        answer.contains("Content-Type: application/json\r\n"),
        "{answer}"
    );
    assert!(answer.contains("counted to 3"), "{answer}");
}

#[test]
fn who_does_not_belong_here_is_refused() {
    let address = start();
    let session = session(address);
    let ping = r#"{"jsonrpc": "2.0", "id": 1, "method": "ping"}"#;
    let unknown = "Mcp-Session-Id: 0123\r\n";
    let version = format!("{session}MCP-Protocol-Version: 1999-01-01\r\n");
    let site = format!("{session}Origin: https://evil.example\r\n");
    let large = " ".repeat((4 << 20) + 1);
    for (status, method, headers, body) in [
        (200, "POST", &*session, ping),
        (400, "POST", "", ping),
        (404, "POST", unknown, ping),
        (400, "POST", &version, ping),
        (403, "POST", &site, ping),
        (403, "GET", &site, ""),
        (413, "POST", &session, &large),
        (400, "POST", &session, "{"),
        (400, "POST", &session, "[]"),
        (
            202,
            "POST",
            &session,
            r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#,
        ),
        (405, "PUT", &session, ""),
        (404, "DELETE", unknown, ""),
        (204, "DELETE", &session, ""),
        (404, "POST", &session, ping),
    ] {
        let answer = ask(address, method, headers, body);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(
            answer.starts_with(&expected),
            "{method} {body:.80}: {answer}"
        );
    }
}

#[test]
fn our_client_speaks_to_our_server_without_a_session() {
    let mut client = Client::connect(&format!("http://{}/mcp", start())).expect("a server");
    assert_eq!(client.version(), "2026-07-28");
    let params = json!({"name": "count", "arguments": {"to": 3, "milliseconds": 1}, "_meta": {"progressToken": 1}});
    let mut seen = Vec::new();
    let result = client.request("tools/call", params, |method, params| {
        assert_eq!(method, "notifications/progress");
        seen.push(params["progress"].clone());
    });
    assert_eq!(
        result.expect("a result")["content"][0]["text"],
        "counted to 3"
    );
    assert_eq!(seen, [1, 2, 3]);
    let error = client.request("tools/call", json!({"name": "none"}), |_, _| {});
    let error = error.expect_err("there is no such tool");
    let failure = error
        .downcast_ref::<Failure>()
        .expect("what the server says");
    assert_eq!(failure.code, Failure::INVALID_PARAMS);
    assert_eq!(
        error.to_string(),
        "there is no tool \"none\" (error -32602)"
    );
}

#[test]
fn help_says_what_there_is_and_a_port_in_use_is_told_in_words() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (success, help, _) = run(&["--help"]);
    assert!(success && help.contains("127.0.0.1:8085"), "{help}");
    let address = start().to_string();
    let (success, _, error) = run(&[&address]);
    let expected = format!(
        "mcp: cannot listen on {address}: another program does already. Give another address after `--`, or 127.0.0.1:0 for any free port\n"
    );
    assert_eq!((success, error), (false, expected));
}

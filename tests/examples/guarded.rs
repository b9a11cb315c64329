//! What other sites make a browser send to the examples is refused, and what stays unread is thrown away.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sse_io::http::Guard;
use tiny_http::Server;

use crate::chat::Limits;
use crate::dashboard::Dashboard;
use crate::util::within;
use crate::{chat, dashboard, fanout, server, std_tcp};

const DEADLINE: Duration = Duration::from_secs(30);

/// One of the programs, for as long as the tests run.
fn start(program: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let guard = Guard::new().with_host("board.example");
    let program = program.to_owned();
    thread::spawn(move || {
        if program == "fanout" {
            let served = fanout::serve(&listener, guard, DEADLINE);
            return served.expect("threads");
        }
        if program == "std_tcp" {
            let limits = std_tcp::Limits {
                connections: 10,
                read_timeout: DEADLINE,
                write_timeout: DEADLINE,
            };
            std_tcp::serve(&listener, limits, move |request, connection| {
                std_tcp::answer(&guard, request, connection)
            });
            return;
        }
        let tiny_http = Server::from_listener(listener, None).expect("a server");
        let limits = Limits {
            rooms: 10,
            members_of_a_room: 10,
            members: 10,
            idle: DEADLINE,
        };
        match &*program {
            "server" => server::serve(&tiny_http, guard, 10),
            "chat" => chat::serve(&tiny_http, guard, limits),
            _ => dashboard::serve(&tiny_http, guard, &Arc::new(Dashboard::new(10, 10))),
        }
    });
    address
}

fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket");
    connection
        .write_all(request.as_bytes())
        .expect("a listening server");
    connection
}

/// The head of the answer to a request that asks for the connection to be closed.
fn ask(address: SocketAddr, line: &str, headers: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let mut connection = send(address, &request);
    let mut answer = Vec::new();
    while !answer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        let count = connection.read(&mut piece).expect("an answer");
        assert!(count > 0, "{line}: no whole head");
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn hosts_that_are_not_known_and_changes_from_other_sites_are_refused() {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n";
    let page = |program| match program {
        "chat" => "/rooms/lobby",
        "std_tcp" => "/events",
        _ => "/",
    };
    within(DEADLINE, move || {
        for program in ["server", "chat", "dashboard", "std_tcp"] {
            let address = start(program);
            let get = format!("HEAD {}", page(program));
            for (headers, status) in [
                ("Host: localhost\r\n", 200),
                ("Host: 127.0.0.1:8080\r\n", 200),
                ("Host: board.example\r\n", 200),
                ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 200),
                ("Host: evil.example\r\n", 421),
                ("Host: localhost\r\nHost: localhost\r\n", 400),
                ("Host: local host\r\n", 400),
                ("", 400),
            ] {
                let answer = ask(address, &get, headers);
                let expected = format!("HTTP/1.1 {status} ");
                assert!(
                    answer.starts_with(&expected),
                    "{program} {headers}: {answer}"
                );
            }
            for site in [
                "Sec-Fetch-Site: cross-site\r\n",
                "Sec-Fetch-Site: same-site\r\n",
                "Origin: http://evil.example\r\n",
                "Origin: null\r\n",
            ] {
                let headers = format!("Host: localhost\r\n{site}{FORM}");
                for path in ["/events", "/rooms/lobby/messages", "/rooms/lobby/leave"] {
                    let answer = ask(address, &format!("POST {path}"), &headers);
                    assert!(
                        answer.starts_with("HTTP/1.1 403 "),
                        "{program} {headers}: {answer}"
                    );
                }
            }
        }
    });
}

#[test]
fn who_opens_a_page_by_another_name_is_told_how_to_give_it() {
    within(DEADLINE, || {
        for program in ["server", "chat", "dashboard"] {
            let request = "GET / HTTP/1.1\r\nHost: my-laptop\r\nConnection: close\r\n\r\n";
            let mut answer = String::new();
            send(start(program), request)
                .read_to_string(&mut answer)
                .expect("an end");
            let said =
                "the request is for a host that this server does not know: start it with `--host`";
            assert!(answer.contains(said), "{program}: {answer}");
        }
    });
}

#[test]
fn another_site_does_not_bring_its_visitors_into_a_room() {
    within(DEADLINE, || {
        let chat = start("chat");
        let events = "GET /rooms/lobby/events?name=Ada";
        let other = "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n";
        assert!(ask(chat, events, other).starts_with("HTTP/1.1 403 "));
        let own = "Host: localhost\r\nSec-Fetch-Site: same-origin\r\n";
        assert!(ask(chat, events, own).starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn every_page_says_what_it_may_load_and_who_may_frame_it() {
    within(DEADLINE, || {
        for (program, path) in [
            ("server", "/"),
            ("chat", "/rooms/lobby"),
            ("dashboard", "/"),
            ("fanout", "/"),
        ] {
            let address = start(program);
            let get = |path: &str| {
                let head = "HTTP/1.1\r\nHost: localhost\r\nConnection: close";
                let mut answer = String::new();
                send(address, &format!("GET {path} {head}\r\n\r\n"))
                    .read_to_string(&mut answer)
                    .expect("an end");
                answer
            };
            let page = get(path);
            for directive in [
                "Content-Security-Policy: default-src 'none';",
                "script-src 'self';",
                "style-src 'self';",
                "base-uri 'none';",
                "form-action '",
                "frame-ancestors 'none'\r\n",
            ] {
                assert!(page.contains(directive), "{program}: {page}");
            }
            assert!(!page.contains("unsafe"), "{program}: {page}");
            // What it loads is there, and is what it is said to be.
            for (loaded, path, media_type) in [
                (
                    "<link rel=\"stylesheet\" href=\"/page.css\">",
                    "/page.css",
                    "text/css",
                ),
                (
                    "<script src=\"/page.js\"></script>",
                    "/page.js",
                    "text/javascript",
                ),
            ] {
                assert!(page.contains(loaded), "{program}: {page}");
                let file = get(path);
                assert!(file.starts_with("HTTP/1.1 200 "), "{program}: {file}");
                let head = format!("Content-Type: {media_type}; charset=utf-8\r\n");
                assert!(file.contains(&head), "{program}: {file}");
                assert!(
                    file.contains("X-Content-Type-Options: nosniff\r\n"),
                    "{program}: {file}"
                );
            }
        }
    });
}

#[test]
fn std_tcp_reads_on_for_a_while_after_a_refusal_and_not_for_ever() {
    within(DEADLINE, || {
        let address = start("std_tcp");
        let request = "POST /events HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9\r\n\r\n";
        let mut connection = send(address, request);
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an end");
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
        // The server has said all; it takes what still comes, and hangs up though the client does not.
        connection.write_all(b"body").expect("it still reads");
        while connection.write(b"x").is_ok() {
            thread::yield_now();
        }
    });
}

//! Every recipe against a server on the loopback.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use connectors::Connected;
use curl::easy::{Easy, List};
use sse_io::client::{ConnectError, Request};
use sse_io::{EventSource, Item, Reader};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
const FIRST: &str = ": hello\n\nretry: 1\nid: 7\ndata: one\n\n";

/// Serves one connection with each of the answers. It is closed once the client says that it has seen
/// the answer, so an event that comes out only at the end of its connection is never seen.
struct Server {
    address: SocketAddr,
    seen: Sender<()>,
    /// The heads of the requests, in lower case.
    heads: Receiver<String>,
}

impl Server {
    fn start(answers: &[String]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (seen, is_seen) = mpsc::channel();
        let (told, heads) = mpsc::channel();
        let answers = answers.to_vec();
        thread::spawn(move || {
            for answer in answers {
                let (mut socket, _) = listener.accept().expect("a client");
                let _ = told.send(read_head(&socket));
                let _ = socket.write_all(answer.as_bytes());
                if answer.contains("\ndata: ") {
                    let _ = is_seen.recv();
                }
            }
        });
        Server {
            address,
            seen,
            heads,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }
}

fn read_head(socket: &TcpStream) -> String {
    let lines = BufReader::new(socket).lines().map_while(Result::ok);
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    lines.join("\n").to_ascii_lowercase()
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// Follows a stream over a lost connection to its end, and is refused.
fn follow<B: std::io::Read>(connect: impl Fn(SocketAddr, &Request<'_>) -> Connected<B>) {
    let server = Server::start(&[
        format!("{HEAD}{FIRST}"),
        format!("{HEAD}data: two\n\n"),
        answer("204 No Content", ""),
    ]);
    let mut source = EventSource::new(|request| connect(server.address, request));
    for expected in ["one", "two"] {
        let event = source.next_event().expect("a stream").expect("an event");
        assert_eq!(event.data, expected);
        server.seen.send(()).expect("a server");
    }
    assert_eq!(source.next_event().expect("an end"), None);
    let heads: Vec<_> = server.heads.iter().collect();
    for head in &heads {
        assert!(head.starts_with("get /events http/1."), "{head}");
        assert!(head.contains("\naccept: text/event-stream"), "{head}");
        assert!(head.contains("\naccept-encoding: identity"), "{head}");
    }
    assert!(!heads[0].contains("last-event-id"), "{}", heads[0]);
    assert!(heads[1].contains("\nlast-event-id: 7"), "{}", heads[1]);

    let server = Server::start(&[answer("401 Unauthorized", "Incorrect API key")]);
    let mut source = EventSource::new(|request| connect(server.address, request));
    let error = source.next_event().expect_err("a refusal");
    assert_eq!(error.status(), Some(401));
    assert!(error.to_string().contains("Incorrect API key"), "{error}");
}

/// Whether another attempt is of use after what happens with this connector.
fn is_fatal<B: std::io::Read>(connect: impl Fn(&Request<'_>) -> Connected<B>) -> bool {
    let fatal = Cell::new(None);
    let mut source = EventSource::new(|request: &Request<'_>| -> Connected<B> {
        fatal.set(connect(request).err().map(|error| error.is_fatal()));
        Err(ConnectError::fatal("once is enough"))
    });
    source.next_event().expect_err("an error");
    fatal.get().expect("the connector fails")
}

/// An address that nobody listens at.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

const LOOP: &str = "HTTP/1.1 302 Found\r\nLocation: /events\r\nContent-Length: 0\r\n\
                    Connection: close\r\n\r\n";

/// What is a matter of luck is told from what is not.
fn sorts_errors<B: std::io::Read>(connect: impl Fn(&str, &Request<'_>) -> Connected<B>) {
    assert!(is_fatal(|request| connect("no URL", request)));
    assert!(is_fatal(|request| connect("gopher://localhost/", request)));
    let server = Server::start(&vec![LOOP.to_owned(); 200]);
    assert!(is_fatal(|request| connect(&server.url(), request)));
    let nowhere = format!("http://{}/", nobody());
    assert!(!is_fatal(|request| connect(&nowhere, request)));
}

#[test]
fn reqwest() {
    follow(|at, request| connectors::reqwest(&format!("http://{at}/events"), request));
    sorts_errors(connectors::reqwest);
}

#[test]
fn attohttpc() {
    follow(|at, request| connectors::attohttpc(&format!("http://{at}/events"), request));
    sorts_errors(connectors::attohttpc);
}

#[test]
fn minreq() {
    follow(|at, request| connectors::minreq(&format!("http://{at}/events"), request));
    sorts_errors(connectors::minreq);
}

#[test]
fn tcp() {
    follow(|at, request| connectors::tcp(&at.to_string(), "/events", request));
    let nowhere = nobody().to_string();
    assert!(!is_fatal(|request| connectors::tcp(&nowhere, "/", request)));
}

#[test]
fn a_close_ends_a_read_of_the_bare_socket() {
    let server = Server::start(&[format!("{HEAD}{FIRST}")]);
    let host = server.address.to_string();
    let mut source = EventSource::new(|request| connectors::tcp(&host, "/events", request));
    source.next_event().expect("a stream").expect("an event");
    // Nothing more comes for as long as the server is not told that this was seen.
    let closer = source.closer();
    let closing = thread::spawn(move || closer.close());
    assert_eq!(source.next_event().expect("an end"), None);
    closing.join().expect("it closes");
}

#[test]
fn curl() {
    let server = Server::start(&[format!("{HEAD}{FIRST}"), answer("404 Not Found", "")]);
    let easy = || {
        let (mut easy, mut headers) = (Easy::new(), List::new());
        headers.append("Accept: text/event-stream").expect("a list");
        easy.http_headers(headers).expect("headers");
        easy.url(&server.url()).expect("a URL");
        easy
    };
    let mut items = Vec::new();
    let error = connectors::curl(easy(), |item| {
        items.push(item.into_owned());
        items.len() < 2
    });
    assert!(error.expect_err("it was cut short").is_write_error());
    assert_eq!(items[0], Item::Comment("hello".into()));
    assert!(matches!(&items[1], Item::Event { event, .. } if event.data == "one"));
    server.seen.send(()).expect("a server");
    let error = connectors::curl(easy(), |_| true).expect_err("a refusal");
    assert!(error.is_http_returned_error(), "{error}");
    let head = server.heads.recv().expect("a request");
    assert!(head.contains("\naccept: text/event-stream"), "{head}");
}

#[test]
fn items_as_lines_of_json() {
    let stream = ": ping\n\nid: 1\nevent: note\ndata: a\ndata: \"b\"\n\ndata: c\n\n";
    let mut reader = Reader::new(stream.as_bytes());
    let mut lines = Vec::new();
    while let Some(item) = reader.read_item().expect("a stream") {
        connectors::json_line(&item, &mut lines).expect("a line");
    }
    let lines = String::from_utf8(lines).expect("UTF-8");
    let expected = [
        r#"{"comment":"ping"}"#,
        r#"{"data":"a\n\"b\"","event":"note","id":"1"}"#,
        r#"{"data":"c","event":"message","id":"1"}"#,
    ];
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
}

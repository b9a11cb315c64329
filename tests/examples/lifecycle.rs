//! The life of a served stream over real sockets: live from its head on, and ended so that every
//! client sees the end.
#![cfg(unix)]

use crate::{std_tcp, util};

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sse_io::{Emitter, Event, Item, Reader, ResponseHead, http};
use util::within;

/// For what takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(20);

/// The connection of a request, from either server.
type Connection = Box<dyn Write + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    TinyHttp,
    StdTcp,
}

const SERVERS: [Server; 2] = [Server::TinyHttp, Server::StdTcp];

impl Server {
    /// Answers every request with this handler, on a thread of its own, for as long as the tests run.
    fn start<H>(self, write_timeout: Duration, handler: H) -> SocketAddr
    where
        H: Fn(ResponseHead, Connection) -> io::Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        match self {
            Server::TinyHttp => {
                http::tune_listener(&listener, true, Some(write_timeout)).expect("a socket");
                let server = tiny_http::Server::from_listener(listener, None).expect("a server");
                let handler = Arc::new(handler);
                thread::spawn(move || {
                    for request in server.incoming_requests() {
                        let handler = Arc::clone(&handler);
                        thread::spawn(move || {
                            let tiny_http::HTTPVersion(major, minor) = *request.http_version();
                            let head = ResponseHead::for_version(major, minor);
                            handler(head, request.into_writer())
                        });
                    }
                });
            }
            Server::StdTcp => {
                let limits = std_tcp::Limits {
                    connections: 100,
                    read_timeout: DEADLINE,
                    write_timeout,
                };
                thread::spawn(move || {
                    std_tcp::serve(&listener, limits, move |request, connection| {
                        handler(request.head(), Box::new(connection.try_clone()?))
                    });
                });
            }
        }
        address
    }
}

/// What a client has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Head,
    Comment,
    Event(String),
    End,
}

/// Requests a stream from this address, and tells what it sees at the moment it does.
type Client = fn(SocketAddr, &mut dyn FnMut(Seen));

const CLIENTS: [(&str, Client); 5] = [
    ("socket 1.0", socket_1_0),
    ("socket 1.1", socket_1_1),
    ("ureq", ureq),
    ("curl 1.0", |address, tell| curl("--http1.0", address, tell)),
    ("curl 1.1", |address, tell| curl("--http1.1", address, tell)),
];

fn socket_1_0(address: SocketAddr, tell: &mut dyn FnMut(Seen)) {
    let mut connection = connect(address);
    request(&mut connection, "1.0");
    let head = read_head(&mut connection);
    assert!(!head.contains("Transfer-Encoding"), "{head}");
    tell(Seen::Head);
    follow(connection, tell);
}

fn socket_1_1(address: SocketAddr, tell: &mut dyn FnMut(Seen)) {
    follow_on(&mut connect(address), tell);
}

/// One request and its chunked response, on a connection that stays.
fn follow_on(connection: &mut BufReader<TcpStream>, tell: &mut dyn FnMut(Seen)) {
    request(connection, "1.1");
    let head = read_head(connection);
    assert!(
        head.contains("\r\nTransfer-Encoding: chunked\r\n"),
        "{head}"
    );
    tell(Seen::Head);
    follow(BufReader::new(Chunks::new(connection)), tell);
}

fn ureq(address: SocketAddr, tell: &mut dyn FnMut(Seen)) {
    let response = ureq::get(format!("http://{address}/"))
        .call()
        .expect("a response");
    tell(Seen::Head);
    follow(BufReader::new(response.into_body().into_reader()), tell);
}

fn curl(version: &str, address: SocketAddr, tell: &mut dyn FnMut(Seen)) {
    let mut curl = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--no-buffer",
            "--include",
            version,
        ])
        .arg(format!("http://{address}/"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts, as it did before");
    let mut output = BufReader::new(curl.stdout.take().expect("it is piped"));
    read_head(&mut output);
    tell(Seen::Head);
    follow(output, tell);
    // Not "transfer closed with outstanding read data remaining".
    let status = curl.wait().expect("curl ends");
    assert!(status.success(), "curl: {status}");
}

fn curl_is_installed() -> bool {
    let version = Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(address).expect("a connection"))
}

fn request(connection: &mut BufReader<TcpStream>, version: &str) {
    let request = format!("GET /events HTTP/{version}\r\nHost: x\r\n\r\n");
    let mut connection = connection.get_ref();
    connection
        .write_all(request.as_bytes())
        .expect("a server that reads");
}

/// The head of a response that starts a stream.
fn read_head(connection: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let count = connection.read_line(&mut head).expect("a head");
        assert!(count > 0, "the head has no end: {head}");
    }
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    head
}

/// Reads the stream to its end.
fn follow(body: impl BufRead, tell: &mut dyn FnMut(Seen)) {
    let mut reader = Reader::new(body);
    while let Some(item) = reader.read_item().expect("a body to the end") {
        tell(match item {
            Item::Event { event, .. } => Seen::Event(event.data.into_owned()),
            _ => Seen::Comment,
        });
    }
    assert!(!reader.is_truncated());
    tell(Seen::End);
}

/// Decodes chunks to the letter, and gives out none before its end is there.
struct Chunks<R> {
    inner: R,
    chunk: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl<R: BufRead> Chunks<R> {
    fn new(inner: R) -> Self {
        Chunks {
            inner,
            chunk: io::Cursor::default(),
            ended: false,
        }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let mut size = String::new();
        self.inner.read_line(&mut size)?;
        let digits = size.strip_suffix("\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        assert!(digits.bytes().all(|b| b.is_ascii_hexdigit()), "{size:?}");
        let size = usize::from_str_radix(digits, 16).expect("a size");
        let mut chunk = vec![0; size + 2];
        self.inner.read_exact(&mut chunk)?;
        assert!(chunk.ends_with(b"\r\n"));
        chunk.truncate(size);
        self.ended = size == 0;
        self.chunk = io::Cursor::new(chunk);
        Ok(())
    }
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.ended && self.chunk.position() == self.chunk.get_ref().len() as u64 {
            self.next_chunk()?;
        }
        self.chunk.read(buf)
    }
}

/// All that a client sees.
fn seen(client: impl FnOnce(&mut dyn FnMut(Seen))) -> Vec<Seen> {
    let mut seen = Vec::new();
    client(&mut |next| seen.push(next));
    seen
}

/// A stream of which a client sees its head, these events, and its end.
fn whole(events: &[String]) -> Vec<Seen> {
    let events = events.iter().cloned().map(Seen::Event);
    [Seen::Head, Seen::Comment]
        .into_iter()
        .chain(events)
        .chain([Seen::End])
        .collect()
}

/// The server waits for each step until the client has seen the one before: what is held back
/// anywhere on the way is held back for ever.
#[test]
fn every_client_sees_everything_at_once_from_every_server() {
    let curl = curl_is_installed();
    // Around the sizes of buffers that lie in between, too.
    let lengths = [1, 2, 1000, 1024, 4096, 8191, 8192, 100_000];
    let events: Vec<String> = lengths.iter().map(|n| "é\n".repeat(*n)).collect();
    for server in SERVERS {
        for (name, client) in CLIENTS {
            if name.starts_with("curl") && !curl {
                eprintln!("{name} is left out: it is not installed");
                continue;
            }
            let events = events.clone();
            within(DEADLINE, move || {
                let (report, reports) = mpsc::channel();
                let reports = Mutex::new(reports);
                let sent = events.clone();
                let address = server.start(DEADLINE, move |head, connection| {
                    let reports = reports.lock().expect("one request");
                    let emitter = head.start(connection)?;
                    wait_for(&reports, &Seen::Head);
                    wait_for(&reports, &Seen::Comment);
                    for event in &sent {
                        emitter.emit(&Event::new(event))?;
                        wait_for(&reports, &Seen::Event(event.clone()));
                    }
                    Ok(())
                });
                let seen = seen(|tell| {
                    client(address, &mut |seen| {
                        // The server has heard enough when the stream has ended.
                        let _ = report.send(seen.clone());
                        tell(seen);
                    });
                });
                assert!(seen == whole(&events), "{server:?}, {name}");
            });
        }
    }
}

#[track_caller]
fn wait_for(reports: &Receiver<Seen>, wanted: &Seen) {
    let report = reports.recv_timeout(DEADLINE / 2);
    assert!(report.as_ref() == Ok(wanted), "the client has not seen it");
}

/// How a handler ends its stream.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// The last handle is dropped.
    Drop,
    /// It is closed, and a handle lives on.
    Close,
    /// The handler panics.
    Panic,
}

const ENDINGS: [Ending; 3] = [Ending::Drop, Ending::Close, Ending::Panic];

/// Starts a server whose streams have one event and then this end.
fn start_ending(server: Server, ending: Ending) -> (SocketAddr, Receiver<Emitter>) {
    let (keep, kept) = mpsc::channel();
    let address = server.start(DEADLINE, move |head, connection| {
        let emitter = head.start(connection)?;
        emitter.emit(&Event::new("1"))?;
        match ending {
            Ending::Drop => {}
            Ending::Close => {
                emitter.close();
                keep.send(emitter).expect("a test that waits");
            }
            Ending::Panic => panic!("the handler was told to panic"),
        }
        Ok(())
    });
    (address, kept)
}

#[test]
fn a_client_that_keeps_the_connection_sees_every_end() {
    within(DEADLINE, || {
        for server in SERVERS {
            for ending in ENDINGS {
                let (address, _kept) = start_ending(server, ending);
                let mut connection = connect(address);
                let wanted = whole(&["1".to_owned()]);
                assert_eq!(seen(|tell| follow_on(&mut connection, tell)), wanted);
                match server {
                    // The same connection serves the next request, and the one after it.
                    Server::TinyHttp => {
                        for _ in 0..2 {
                            assert_eq!(seen(|tell| follow_on(&mut connection, tell)), wanted);
                        }
                    }
                    Server::StdTcp => {
                        let rest = connection.fill_buf().expect("no reset");
                        assert!(rest.is_empty(), "{ending:?}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_client_of_http_1_0_sees_every_end() {
    within(DEADLINE, || {
        for server in SERVERS {
            for ending in ENDINGS {
                let (address, _kept) = start_ending(server, ending);
                let seen = seen(|tell| socket_1_0(address, tell));
                assert_eq!(seen, whole(&["1".to_owned()]), "{server:?}, {ending:?}");
            }
        }
    });
}

#[test]
fn after_a_write_that_timed_out_nothing_is_sent() {
    within(DEADLINE, || {
        for server in SERVERS {
            let (report, outcome) = mpsc::channel();
            let address = server.start(Duration::from_millis(300), move |head, connection| {
                let emitter = head.start(connection)?;
                let event = Event::new("x".repeat(100_000));
                let mut sent = 0;
                let error = loop {
                    match emitter.emit(&event) {
                        Ok(_) => sent += 1,
                        Err(error) => break error,
                    }
                };
                assert!(emitter.is_closed());
                let later = emitter.emit(&event).expect_err("it is closed");
                report
                    .send((sent, error.kind(), later.kind()))
                    .expect("a test that waits");
                Err(error)
            });
            let mut connection = connect(address);
            request(&mut connection, "1.1");
            let (sent, error, later) = outcome.recv().expect("a handler that ends");
            assert!(
                matches!(error, ErrorKind::WouldBlock | ErrorKind::TimedOut),
                "{error:?}"
            );
            assert_eq!(later, ErrorKind::BrokenPipe);
            // Only now does the client read. tiny_http keeps the socket until the client is done.
            connection
                .get_ref()
                .shutdown(Shutdown::Write)
                .expect("a connection");
            read_head(&mut connection);
            let mut body = Vec::new();
            connection.read_to_end(&mut body).expect("no reset");
            assert!(
                !body.ends_with(b"\r\n0\r\n\r\n"),
                "{server:?}: the last chunk was sent"
            );
            let mut chunks = Chunks::new(&body[..]);
            let mut whole = 0;
            let error = loop {
                match chunks.next_chunk() {
                    Ok(()) => whole += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            // The first one is the comment. tiny_http has a buffer of its own, which may hold the
            // end of the event that failed.
            assert!([sent + 1, sent + 2].contains(&whole), "{whole} of {sent}");
        }
    });
}

#[test]
fn closing_every_emitter_shuts_down_in_order() {
    within(DEADLINE, || {
        for server in SERVERS {
            let (register, emitters) = mpsc::channel::<Emitter>();
            let address = server.start(DEADLINE, move |head, connection| {
                let emitter = head.start(connection)?;
                register.send(emitter.clone()).expect("a test that waits");
                // The socket goes with this handler, and must stay until the end is sent.
                emitter.wait_ended(None);
                Ok(())
            });
            let clients: [Client; 4] = [socket_1_0, socket_1_1, socket_1_1, ureq];
            let (opened, open) = mpsc::channel();
            let clients = clients.map(|client| {
                let opened = opened.clone();
                thread::spawn(move || {
                    seen(|tell| {
                        client(address, &mut |seen| {
                            opened.send(seen.clone()).expect("a test that waits");
                            tell(seen);
                        });
                    })
                })
            });
            let open = open.iter().filter(|seen| *seen == Seen::Comment);
            assert_eq!(open.take(clients.len()).count(), clients.len());
            emitters
                .iter()
                .take(clients.len())
                .for_each(|emitter| emitter.close());
            for client in clients {
                assert_eq!(client.join().expect("a client"), whole(&[]), "{server:?}");
            }
        }
    });
}

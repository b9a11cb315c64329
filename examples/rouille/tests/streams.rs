//! Both streams end to end, in lock-step: each tick is counted only after the client has the one
//! before, so that a byte held back is a test that fails by its deadline.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rouille::Server;
use rouille_events::{App, Clock, PADDED_TICKS};
use sse_io::Reader;

/// How long to wait for what must come.
const DEADLINE: Duration = Duration::from_secs(20);

const PATHS: [&str; 2] = ["/events", "/events-padded"];

fn serve(max_streams: usize) -> (SocketAddr, Arc<Clock>) {
    let clock = Arc::new(Clock::default());
    let app = App::new(Arc::clone(&clock), max_streams);
    let server = Server::new("127.0.0.1:0", move |request| app.answer(request)).expect("a server");
    let address = server.server_addr();
    thread::spawn(move || server.run());
    (address, clock)
}

/// A connection, and what is behind the head of its response.
type Connection = BufReader<TcpStream>;

fn connect(address: SocketAddr) -> Connection {
    let connection = TcpStream::connect(address).expect("a connection");
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    BufReader::new(connection)
}

/// Sends a request; the lines of the final head come back, in lower case.
fn request(connection: &mut Connection, line: &str, headers: &str) -> Vec<String> {
    let request = format!("{line}\r\nHost: localhost\r\n{headers}\r\n");
    connection.get_mut().write_all(request.as_bytes()).unwrap();
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            connection.read_line(&mut line).expect("a head");
            assert!(line.ends_with("\r\n"), "a head is cut short: {head:?}");
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_ascii_lowercase()),
            }
        }
        // An interim response comes before the final one.
        if !head[0].contains(" 103 ") {
            return head;
        }
    }
}

/// The body of a response, read as its head says.
enum Body<'a> {
    Chunked {
        inner: &'a mut Connection,
        left: u64,
    },
    UntilClose(&'a mut Connection),
    Ended,
}

impl<'a> Body<'a> {
    fn new(head: &[String], inner: &'a mut Connection) -> Self {
        if head.iter().any(|line| line == "transfer-encoding: chunked") {
            Body::Chunked { inner, left: 0 }
        } else {
            Body::UntilClose(inner)
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Body::Ended => Ok(0),
            Body::UntilClose(inner) => inner.read(buffer),
            Body::Chunked { inner, left } => {
                if *left == 0 {
                    *left = chunk_size(inner)?;
                }
                if *left == 0 {
                    line_break(inner)?;
                    *self = Body::Ended;
                    return Ok(0);
                }
                let count = inner.take(*left).read(buffer)?;
                *left -= count as u64;
                if *left == 0 {
                    line_break(inner)?;
                }
                Ok(count)
            }
        }
    }
}

fn chunk_size(inner: &mut Connection) -> io::Result<u64> {
    let mut line = String::new();
    inner.read_line(&mut line)?;
    u64::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)
}

fn line_break(inner: &mut Connection) -> io::Result<()> {
    let mut bytes = [0; 2];
    inner.read_exact(&mut bytes)?;
    assert_eq!(&bytes, b"\r\n");
    Ok(())
}

/// What a client reports: its head, each event, and, by hanging up, the end.
fn report(body: impl Read, reports: &mpsc::Sender<String>) {
    reports.send("head".into()).unwrap();
    let mut reader = Reader::new(BufReader::new(body));
    while let Some(event) = reader.read_event().expect("a stream") {
        let id = event.id.expect("an id");
        let what = format!("{} {id} {}", event.name.expect("a name"), event.data);
        reports.send(what).unwrap();
    }
    assert!(!reader.is_truncated());
}

/// A client on a bare socket, which asks twice over the same connection where that stays open.
fn socket_client(address: SocketAddr, line: String, headers: &'static str) -> Receiver<String> {
    let (reports, received) = mpsc::channel();
    thread::spawn(move || {
        let mut connection = connect(address);
        let head = request(&mut connection, &line, headers);
        assert!(head[0].ends_with(" 200 ok"), "{head:?}");
        assert!(head.contains(&"content-type: text/event-stream".to_owned()));
        assert!(head.contains(&"x-accel-buffering: no".to_owned()));
        assert!(head.contains(&"access-control-allow-origin: *".to_owned()));
        report(Body::new(&head, &mut connection), &reports);
        if headers.is_empty() {
            let head = request(&mut connection, "GET /nothing HTTP/1.1", "");
            assert!(head[0].contains(" 404 "), "{head:?}");
            reports.send("the connection goes on".into()).unwrap();
        } else {
            assert_eq!(connection.read(&mut [0]).unwrap(), 0);
        }
    });
    received
}

fn ureq_client(address: SocketAddr, path: &'static str) -> Receiver<String> {
    let (reports, received) = mpsc::channel();
    thread::spawn(move || {
        let url = format!("http://{address}{path}");
        let response = ureq::get(url).call().expect("a response");
        report(response.into_body().into_reader(), &reports);
    });
    received
}

#[track_caller]
fn expect(reports: &Receiver<String>, what: &str) {
    let report = reports.recv_timeout(DEADLINE);
    assert_eq!(report.as_deref(), Ok(what));
}

#[track_caller]
fn expect_end(reports: &Receiver<String>) {
    let end = reports.recv_timeout(DEADLINE);
    assert_eq!(end, Err(RecvTimeoutError::Disconnected));
}

/// The head comes before there is a tick, each tick before the next, and the end is one.
#[track_caller]
fn in_lock_step(reports: &Receiver<String>, clock: &Clock) {
    expect(reports, "head");
    for tick in 1..=20 {
        clock.advance();
        expect(reports, &format!("tick {tick} tick {tick}"));
    }
    clock.stop();
}

#[test]
fn a_client_of_1_1_sees_all_at_once_and_can_use_the_connection_again() {
    for path in PATHS {
        let (address, clock) = serve(10);
        let reports = socket_client(address, format!("GET {path} HTTP/1.1"), "");
        in_lock_step(&reports, &clock);
        expect(&reports, "the connection goes on");
        expect_end(&reports);
    }
}

#[test]
fn a_client_that_closes_sees_all_at_once() {
    for path in PATHS {
        let (address, clock) = serve(10);
        let line = format!("GET {path} HTTP/1.1");
        let reports = socket_client(address, line, "Connection: close\r\n");
        in_lock_step(&reports, &clock);
        expect_end(&reports);
    }
}

/// As nginx asks by default.
#[test]
fn a_client_of_1_0_sees_all_at_once_on_the_upgraded_stream() {
    let (address, clock) = serve(10);
    let line = "GET /events HTTP/1.0".to_owned();
    let reports = socket_client(address, line, "Connection: close\r\n");
    in_lock_step(&reports, &clock);
    expect_end(&reports);
}

#[test]
fn a_client_of_1_0_gets_the_padded_stream_after_its_end() {
    let (address, clock) = serve(10);
    let line = "GET /events-padded HTTP/1.0".to_owned();
    clock.advance();
    clock.advance();
    let headers = "Connection: close\r\nLast-Event-ID: 0\r\n";
    // The clock may stop before or after the request: the ticks are there.
    clock.stop();
    let reports = socket_client(address, line, headers);
    expect(&reports, "head");
    expect(&reports, "tick 1 tick 1");
    expect(&reports, "tick 2 tick 2");
    expect_end(&reports);
}

#[test]
fn ureq_sees_all_at_once() {
    for path in PATHS {
        let (address, clock) = serve(10);
        let reports = ureq_client(address, path);
        in_lock_step(&reports, &clock);
        expect_end(&reports);
    }
}

/// The ids that a client is told at once which sends these headers, at tick 150.
fn told(target: &str, headers: &str) -> Vec<u64> {
    let (address, clock) = serve(10);
    for _ in 0..150 {
        clock.advance();
    }
    let mut connection = connect(address);
    let head = request(&mut connection, &format!("GET {target} HTTP/1.1"), headers);
    clock.stop();
    let mut reader = Reader::new(BufReader::new(Body::new(&head, &mut connection)));
    let events = reader.events();
    events
        .map(|e| e.unwrap().id.unwrap().parse().unwrap())
        .collect()
}

#[test]
fn a_client_that_comes_back_is_told_what_it_missed() {
    for path in PATHS {
        let in_header = |last| told(path, &format!("Last-Event-ID: {last}\r\n"));
        assert_eq!(in_header("147"), [148, 149, 150]);
        let newest: Vec<u64> = (51..=150).collect();
        assert_eq!(in_header("3"), newest, "no more than so many");
        // Up to date, or of another clock, or no number at all: those from now on.
        for last in ["150", "151", "-1", "x", "", "18446744073709551616"] {
            assert!(in_header(last).is_empty(), "{last:?}");
        }
        // For clients that cannot set the header, which decides where there is one.
        let target = format!("{path}?topic=news&lastEventId=%3147");
        assert_eq!(told(&target, ""), [148, 149, 150]);
        assert_eq!(told(&target, "Last-Event-ID: 149\r\n"), [150]);
    }
}

#[test]
fn a_padded_stream_ends_after_a_while() {
    let (address, clock) = serve(10);
    let reports = ureq_client(address, "/events-padded");
    expect(&reports, "head");
    for _ in 0..PADDED_TICKS + 50 {
        clock.advance();
    }
    for tick in 1..=PADDED_TICKS {
        expect(&reports, &format!("tick {tick} tick {tick}"));
    }
    expect_end(&reports);
}

#[test]
fn everything_else_is_not_found() {
    let (address, _clock) = serve(10);
    for line in ["GET /", "GET /events/1", "POST /", "HEAD /event"] {
        let head = request(&mut connect(address), &format!("{line} HTTP/1.1"), "");
        assert!(head[0].contains(" 404 "), "{line}: {head:?}");
    }
}

#[test]
fn what_is_not_a_get_that_takes_the_stream_gets_a_head_alone() {
    const JSON: &str = "Accept: application/json\r\n";
    const STREAM: &[&str] = &["content-type: text/event-stream", "cache-control: no-cache"];
    const OTHERS: &[&str] = &[
        "allow: get, head, options",
        "access-control-allow-headers: last-event-id",
    ];
    // None of these takes a place.
    let (address, _clock) = serve(0);
    for path in PATHS {
        for (method, headers, status, wanted) in [
            ("HEAD", "", "200", STREAM),
            ("HEAD", JSON, "406", &[]),
            ("GET", JSON, "406", &[]),
            ("OPTIONS", "", "204", OTHERS),
            ("POST", "Content-Length: 0\r\n", "405", OTHERS),
        ] {
            let mut connection = connect(address);
            let line = format!("{method} {path}?topic=news HTTP/1.1");
            let headers = format!("Connection: close\r\n{headers}");
            let head = request(&mut connection, &line, &headers);
            assert!(head[0].contains(&format!(" {status} ")), "{line}: {head:?}");
            for wanted in [&["access-control-allow-origin: *"], wanted].concat() {
                assert!(head.iter().any(|h| h == wanted), "{line}: {head:?}");
            }
            let mut body = Vec::new();
            connection.read_to_end(&mut body).expect("an end");
            assert_eq!(body, b"", "{line}: {head:?}");
        }
    }
}

#[test]
fn streams_are_limited_and_the_place_of_a_client_that_left_is_free_again() {
    for path in PATHS {
        let (address, clock) = serve(1);
        let line = format!("GET {path} HTTP/1.1");
        let mut first = connect(address);
        assert!(request(&mut first, &line, "")[0].contains(" 200 "));
        let head = request(&mut connect(address), &line, "");
        assert!(head[0].contains(" 503 "), "{head:?}");
        assert!(head.contains(&"retry-after: 5".to_owned()), "{head:?}");
        let cors = "access-control-allow-origin: *".to_owned();
        assert!(head.contains(&cors), "{head:?}");
        drop(first);
        let start = Instant::now();
        loop {
            // It takes two writes to notice.
            clock.advance();
            if request(&mut connect(address), &line, "")[0].contains(" 200 ") {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "the place is not given back");
        }
    }
}

/// The program, ended when the test is.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_program_says_where_it_listens_and_ticks() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rouille-events"));
    command.arg("127.0.0.1:0").stdout(Stdio::piped());
    let mut program = Program(command.spawn().expect("the program"));
    let mut output = BufReader::new(program.0.stdout.take().expect("its output"));
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line
        .strip_prefix("listening on http://")
        .and_then(|rest| rest.strip_suffix("/\n"))
        .expect("an address");
    let reports = ureq_client(address.parse().expect("an address"), "/events");
    expect(&reports, "head");
    let tick = reports.recv_timeout(DEADLINE).expect("a tick");
    assert!(tick.starts_with("tick "), "{tick}");
}

//! Streams as clients see them through nginx: live, ended, and broken off.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use nginx::{LOCATIONS, Nginx, serve};
use rustix::process::{Pid, Signal, kill_process};
use sse_io::{Emitter, Event, Reader, ResponseHead};

/// How long anything may take before it has hung.
const DEADLINE: Duration = Duration::from_secs(30);

/// How many events a stream has.
const EVENTS: u32 = 10;

type Client = fn(SocketAddr, &str) -> Reader<Box<dyn BufRead>>;

/// Requests with HTTP/1.1 and takes what is compressed. Returns when the head is there.
fn ureq(address: SocketAddr, path: &str) -> Reader<Box<dyn BufRead>> {
    let config = ureq::Agent::config_builder().timeout_global(Some(DEADLINE));
    let agent = ureq::Agent::new_with_config(config.build());
    let url = format!("http://{address}{path}");
    let response = agent.get(url).call().expect("a response");
    Reader::new(Box::new(BufReader::new(response.into_body().into_reader())))
}

/// Requests with HTTP/1.0, so that the body ends with the connection. Returns when the head is there.
fn socket(address: SocketAddr, path: &str) -> Reader<Box<dyn BufRead>> {
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection
        .set_read_timeout(Some(DEADLINE))
        .expect("a time-out");
    write!(connection, "GET {path} HTTP/1.0\r\nHost: nginx\r\n\r\n").expect("a request");
    let mut reader = BufReader::new(connection);
    let head = read_head(&mut reader).expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    Reader::new(Box::new(reader))
}

fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn proxy(upstream: SocketAddr) -> Nginx {
    Nginx::start(([127, 0, 0, 1], 0).into(), upstream).expect("nginx")
}

/// A stream whose every event waits for a word from the client, the first one included.
fn in_lock_step() -> (mpsc::Sender<()>, SocketAddr) {
    let (report, reports) = mpsc::channel();
    let reports = Mutex::new(reports);
    let upstream = serve(move |emitter, _| {
        for number in 1..=EVENTS {
            let reports = reports.lock().expect("one stream at a time");
            reports.recv_timeout(DEADLINE).map_err(io::Error::other)?;
            emitter.emit(&Event::new(number.to_string()))?;
        }
        Ok(())
    });
    (report, upstream.expect("an upstream"))
}

fn is_live_and_ends(path: &str, client: Client) {
    let (report, upstream) = in_lock_step();
    let nginx = proxy(upstream);
    let mut reader = client(nginx.address(), path);
    for number in 1..=EVENTS {
        report.send(()).expect("the stream goes on");
        let event = reader.read_event().expect("an event").expect("no end");
        assert_eq!(event.data, number.to_string());
    }
    assert_eq!(reader.read_event().expect("a proper end"), None);
    assert!(!reader.is_truncated());
}

/// The upstream goes away within its second event.
fn is_broken_off(path: &str, client: Client) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nginx = proxy(listener.local_addr().expect("an address"));
    let (report, reports) = mpsc::channel();
    let upstream = thread::spawn(move || -> io::Result<()> {
        let (mut connection, _) = listener.accept()?;
        let head = read_head(&mut BufReader::new(&connection))?;
        let is_new = head.starts_with("GET /events HTTP/1.1\r\n");
        let version = ResponseHead::for_version(1, u8::from(is_new));
        let emitter = version.start(connection.try_clone()?)?;
        emitter.emit(&Event::new("whole"))?;
        reports.recv_timeout(DEADLINE).map_err(io::Error::other)?;
        // A chunk of 16 bytes that is cut, or the start of an event.
        connection.write_all(if is_new {
            b"10\r\ndata: ha"
        } else {
            b"data: ha"
        })?;
        connection.shutdown(Shutdown::Both)
    });
    let mut reader = client(nginx.address(), path);
    let event = reader.read_event().expect("an event").expect("no end");
    assert_eq!(event.data, "whole");
    report.send(()).expect("the upstream waits");
    match reader.read_event() {
        // Where the connection's end is the only end there is.
        Ok(end) => {
            assert_eq!(end, None);
            assert!(reader.is_truncated());
        }
        Err(error) => {
            assert_eq!(path, "/http11/events", "{error}");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
        }
    }
    upstream.join().expect("no panic").expect("no error");
}

macro_rules! locations {
    ($($name:ident: $path:literal, $client:ident;)*) => {
        mod each_event_is_live_and_the_end_is_an_end {
            $(#[test] fn $name() { super::is_live_and_ends($path, super::$client); })*
        }
        mod a_broken_upstream_is_an_end {
            $(#[test] fn $name() { super::is_broken_off($path, super::$client); })*
        }
    };
}

locations! {
    default_to_ureq: "/events", ureq;
    default_to_a_socket: "/events", socket;
    http11_to_ureq: "/http11/events", ureq;
    http11_to_a_socket: "/http11/events", socket;
    gzip_to_ureq: "/gzip/events", ureq;
}

#[test]
fn the_compressed_location_compresses() {
    let (_report, upstream) = in_lock_step();
    let nginx = proxy(upstream);
    let mut connection = TcpStream::connect(nginx.address()).expect("a connection");
    connection
        .set_read_timeout(Some(DEADLINE))
        .expect("a time-out");
    let request = "GET /gzip/events HTTP/1.1\r\nHost: nginx\r\nAccept-Encoding: gzip\r\n\r\n";
    connection.write_all(request.as_bytes()).expect("a request");
    let head = read_head(&mut BufReader::new(connection)).expect("a head");
    assert!(head.contains("\r\nContent-Encoding: gzip\r\n"), "{head}");
}

#[test]
fn with_the_header_ignored_nothing_arrives_before_the_end() {
    let (finish, finished) = mpsc::channel::<()>();
    let finished = Mutex::new(finished);
    let (started, start) = mpsc::channel();
    let upstream = serve(move |emitter: &Emitter, _| {
        for number in 1..=EVENTS {
            emitter.emit(&Event::new(number.to_string()))?;
        }
        started.send(()).map_err(io::Error::other)?;
        let finished = finished.lock().expect("one stream at a time");
        finished.recv_timeout(DEADLINE).map_err(io::Error::other)
    });
    let nginx = proxy(upstream.expect("an upstream"));
    let mut connection = TcpStream::connect(nginx.address()).expect("a connection");
    write!(connection, "GET /held-back/events HTTP/1.0\r\n\r\n").expect("a request");
    start.recv_timeout(DEADLINE).expect("the events are sent");
    // A slow machine can make this pass for the wrong reason, but never fail.
    connection
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("a time-out");
    let early = connection.read(&mut [0]);
    assert!(early.is_err(), "{early:?}");
    finish.send(()).expect("the stream waits");
    connection
        .set_read_timeout(Some(DEADLINE))
        .expect("a time-out");
    let mut reader = BufReader::new(connection);
    read_head(&mut reader).expect("a head");
    let events = Reader::new(reader)
        .into_iter()
        .collect::<Result<Vec<_>, _>>();
    assert_eq!(events.expect("events").len(), EVENTS as usize);
}

/// Sends a request to the location with nothing set; the head of the response comes back, in lower
/// case, and what is behind it.
fn request(nginx: &Nginx, method: &str, target: &str, headers: &str) -> (String, impl BufRead) {
    let mut connection = TcpStream::connect(nginx.address()).expect("a connection");
    connection
        .set_read_timeout(Some(DEADLINE))
        .expect("a time-out");
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: nginx\r\nConnection: close\r\n{headers}\r\n");
    connection.write_all(request.as_bytes()).expect("a request");
    let mut reader = BufReader::new(connection);
    let head = read_head(&mut reader).expect("a head");
    (head.to_ascii_lowercase(), reader)
}

#[test]
fn what_is_not_a_get_that_takes_the_stream_gets_a_head_alone() {
    let upstream = serve(|_, _| Ok(()));
    let nginx = proxy(upstream.expect("an upstream"));
    let answers = |method, headers, status: &str, wanted: &[&str]| {
        let (head, mut rest) = request(&nginx, method, "/events?topic=news", headers);
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        for line in [&["access-control-allow-origin: *"], wanted].concat() {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
        let mut body = Vec::new();
        rest.read_to_end(&mut body).expect("an end");
        assert_eq!(body, b"", "{head}");
    };
    let stream = ["content-type: text/event-stream", "cache-control: no-cache"];
    answers("HEAD", "", "200", &stream);
    answers("HEAD", "Accept: application/json\r\n", "406", &[]);
    answers("GET", "Accept: application/json\r\n", "406", &[]);
    let others = [
        "allow: get, head, options",
        "access-control-allow-headers: last-event-id",
    ];
    answers("OPTIONS", "", "204", &others);
    answers("POST", "Content-Length: 0\r\n", "405", &others);
}

#[test]
fn the_upstream_is_told_the_last_id() {
    let upstream = serve(|emitter, last| emitter.emit(&Event::new(last.to_string())).map(drop));
    let nginx = proxy(upstream.expect("an upstream"));
    let told = |target, header| {
        let config = ureq::Agent::config_builder().timeout_global(Some(DEADLINE));
        let agent = ureq::Agent::new_with_config(config.build());
        let mut request = agent.get(format!("http://{}{target}", nginx.address()));
        if let Some(id) = header {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.call().expect("a response");
        let mut reader = Reader::new(BufReader::new(response.into_body().into_reader()));
        let event = reader.read_event().expect("an event").expect("no end");
        event.data.into_owned()
    };
    assert_eq!(told("/events", None), "0");
    assert_eq!(told("/events", Some("7")), "7");
    assert_eq!(told("/events?lastEventId=8", None), "8");
    assert_eq!(told("/events?lastEventId=8", Some("7")), "7");
    assert_eq!(told("/events", Some("x")), "0");
}

/// Stopped when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Killed outright, it would leave its nginx behind.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn the_program_serves_every_location_and_stops_nginx_with_itself() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nginx"));
    command.arg("127.0.0.1:0").stdout(Stdio::piped());
    let mut program = Program(command.spawn().expect("the program"));
    let stdout = program.0.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(stdout).lines();
    let first = lines.next().expect("a line").expect("text");
    let address = first
        .strip_prefix("listening on http://")
        .and_then(|rest| rest.strip_suffix('/'))
        .and_then(|address| address.parse().ok())
        .unwrap_or_else(|| panic!("the first line is {first:?}"));
    for (path, _) in LOCATIONS
        .iter()
        .filter(|(path, _)| !path.starts_with("/held"))
    {
        let mut reader = ureq(address, path);
        let event = reader.read_event().expect("an event").expect("no end");
        assert_eq!(event.data, "tick 1");
    }
    let mut reader = ureq(address, "/events?lastEventId=41");
    let event = reader.read_event().expect("an event").expect("no end");
    assert_eq!(event.data, "tick 42");
    kill_process(Pid::from_child(&program.0), Signal::TERM).expect("it runs");
    assert!(program.0.wait().expect("an end").success());
    assert!(TcpStream::connect(address).is_err(), "nginx has stopped");
}

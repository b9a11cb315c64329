//! Every way in which a connection dies, over real sockets: afterwards no thread, no socket and no
//! memory is left behind. One test, so that nothing else moves the counts.
#![cfg(target_os = "linux")]

#[doc(hidden)]
#[expect(dead_code, reason = "`main` is for who runs it")]
#[path = "../../examples/std_tcp.rs"]
pub mod std_tcp;
#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::{Emitter, Event, ResponseHead, http};
use util::within;

/// How long a client may leave a full connection unread: so short that the test can wait for it.
const WRITE_TIMEOUT: Duration = Duration::from_millis(250);

/// How long it may take to send its request to the server that a test waits for to lose patience.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// The same of the server for all other tests, whose clients may be slow: each is given up before.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the counts may take to be what they were: idle workers of `tiny_http` live 5 seconds.
const SETTLE: Duration = Duration::from_secs(15);

/// By how much the resident memory may differ for other reasons than a leak. Allocators keep what
/// threads have used, for the next ones.
const NOISE: usize = 8 << 20;

/// A fault that a server must survive, and how often to repeat it.
type Scenario = (&'static str, fn(&Server), usize);

const SCENARIOS: [Scenario; 9] = [
    ("the client closes", closes, 10),
    ("the client resets", resets, 10),
    ("the client half-closes", half_closes, 10),
    ("the client stops reading", stops_reading, 2),
    (
        "the client vanishes in the middle of a chunk",
        vanishes_mid_chunk,
        10,
    ),
    ("a second request comes behind a stream", pipelines, 10),
    (
        "a second request comes behind a stream that never ends",
        pipelines_and_goes,
        10,
    ),
    ("a header has a megabyte", sends_a_megabyte, 15),
    ("the client says nothing", says_nothing, 1),
];

#[test]
fn nothing_is_left_behind() {
    for start in [start_std_tcp, start_tiny_http] {
        let server = start();
        // What is set up once: the workers.
        closes(&server);
        let before = Counts::settled();
        // The first round is for what allocators keep for the next time.
        let memory = [(); 2].map(|()| {
            for (name, scenario, times) in SCENARIOS {
                run(&server, name, scenario, times, before);
            }
            resident()
        });
        let grown = memory[1].saturating_sub(memory[0]);
        assert!(grown < NOISE, "{}: {grown} bytes more", server.name);
    }
}

/// Runs it so many times and waits until no more threads and sockets are there than before.
fn run(server: &Server, name: &str, scenario: fn(&Server), times: usize, before: Counts) {
    let started = Instant::now();
    let client = server.clone();
    within(SETTLE + SETTLE, move || {
        for _ in 0..times {
            scenario(&client);
        }
    });
    let ran = started.elapsed();
    let deadline = Instant::now() + SETTLE;
    while Counts::now().exceed(before) {
        assert!(
            Instant::now() < deadline,
            "{}, {name}: {before:?} before, {:?} after",
            server.name,
            Counts::now()
        );
        thread::sleep(Duration::from_millis(5));
    }
    let settled = started.elapsed() - ran;
    let memory = resident() >> 10;
    println!(
        "{}, {name}: {times} in {ran:.0?}, settled in {settled:.0?}, {memory} KiB resident",
        server.name
    );
}

// What a process holds.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    threads: usize,
    files: usize,
}

impl Counts {
    fn now() -> Counts {
        let count = |path| fs::read_dir(path).expect("Linux").count();
        Counts {
            threads: count("/proc/self/task"),
            files: count("/proc/self/fd"),
        }
    }

    fn exceed(self, before: Counts) -> bool {
        self.threads > before.threads || self.files > before.files
    }

    /// The counts when they have stood still for a while.
    fn settled() -> Counts {
        let mut counts = Counts::now();
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_millis(500) {
            thread::sleep(Duration::from_millis(5));
            if Counts::now() != counts {
                counts = Counts::now();
                since = Instant::now();
            }
        }
        counts
    }
}

/// The resident memory in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse().ok())
        .map_or(0, |kib: usize| kib << 10)
}

// The servers.

#[derive(Clone)]
struct Server {
    name: &'static str,
    address: SocketAddr,
    /// Is told of every stream that has ended with an error, and of its path.
    ended: Arc<std::sync::Mutex<Receiver<(String, ErrorKind)>>>,
    /// Refuses a head that is too long or too late; `tiny_http` has no such limits.
    limits_heads: bool,
    /// Where a head is too late after [`READ_TIMEOUT`], if there is such a limit.
    impatient: SocketAddr,
}

/// What is served: few events (`/three`), one every 10 ms (`/ticks`), or as much as the client takes
/// (`/flood`).
fn serve<W: Write>(path: &str, head: ResponseHead, connection: W) -> io::Result<()> {
    let emitter = head.start(connection)?;
    match path {
        "/three" => (1..=3).try_for_each(|n| emit(&emitter, n)),
        "/ticks" => (1..).try_for_each(|n| {
            emit(&emitter, n)?;
            emitter.wait_closed(Some(Duration::from_millis(10)));
            Ok(())
        }),
        "/flood" => {
            let event = Event::new("x".repeat(64 << 10));
            loop {
                emitter.emit(&event)?;
            }
        }
        other => panic!("nobody asks for {other}"),
    }
}

fn emit<W: Write>(emitter: &Emitter<W>, n: u64) -> io::Result<()> {
    emitter
        .emit_with(&Event::new(""), |data| write!(data, "{n}"))
        .map(drop)
}

fn start_tiny_http() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT)).expect("a socket");
    let server = tiny_http::Server::from_listener(listener, None).expect("a server");
    let (report, ended) = mpsc::channel();
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let report = report.clone();
            thread::spawn(move || {
                let tiny_http::HTTPVersion(major, minor) = *request.http_version();
                let head = ResponseHead::for_version(major, minor);
                let path = request.url().to_owned();
                if let Err(error) = serve(&path, head, request.into_writer()) {
                    let _ = report.send((path, error.kind()));
                }
            });
        }
    });
    Server {
        name: "tiny_http",
        address,
        ended: Arc::new(ended.into()),
        limits_heads: false,
        impatient: address,
    }
}

fn start_std_tcp() -> Server {
    let (report, ended) = mpsc::channel();
    let [address, impatient] = [PATIENCE, READ_TIMEOUT].map(|read_timeout| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let limits = std_tcp::Limits {
            connections: 100,
            read_timeout,
            write_timeout: WRITE_TIMEOUT,
        };
        let report = report.clone();
        thread::spawn(move || {
            std_tcp::serve(&listener, limits, move |request, connection| {
                let result = serve(&request.target, request.head(), connection);
                if let Err(error) = &result {
                    let _ = report.send((request.target.clone(), error.kind()));
                }
                result
            });
        });
        address
    });
    Server {
        name: "std_tcp",
        address,
        ended: Arc::new(ended.into()),
        limits_heads: true,
        impatient,
    }
}

impl Server {
    fn connect(&self) -> BufReader<TcpStream> {
        connect(self.address)
    }

    /// Opens a stream and reads its head.
    fn get(&self, path: &str) -> BufReader<TcpStream> {
        let mut connection = self.connect();
        send(
            &connection,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"),
        );
        let head = read_until(&mut connection, "\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        connection
    }

    /// Waits until a stream of this path has ended by an error, and returns that.
    fn wait_ended(&self, path: &str) -> ErrorKind {
        let ended = self.ended.lock().expect("no panic");
        let mut ended = ended.iter().filter(|(ended, _)| ended == path);
        ended.next().expect("a server that runs").1
    }
}

fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(address).expect("a connection"))
}

fn send(connection: &BufReader<TcpStream>, request: &str) {
    let mut connection = connection.get_ref();
    connection
        .write_all(request.as_bytes())
        .expect("a server that reads");
}

/// Reads lines up to and with one that ends so.
fn read_until(connection: &mut BufReader<TcpStream>, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let count = connection
            .read_line(&mut text)
            .expect("a server that writes");
        assert!(count > 0, "the server has closed after {text:?}");
    }
    text
}

// The faults, as a client.

fn closes(server: &Server) {
    let mut connection = server.get("/ticks");
    read_until(&mut connection, "data: 1\n");
    drop(connection);
    server.wait_ended("/ticks");
}

/// A socket that is closed with unread bytes in it resets the connection.
fn resets(server: &Server) {
    let connection = server.get("/flood");
    connection
        .get_ref()
        .shutdown(Shutdown::Write)
        .expect("a connection");
    let mut byte = [0];
    connection.get_ref().peek(&mut byte).expect("more is there");
    drop(connection);
    server.wait_ended("/flood");
}

/// It has sent all that it wanted to, and goes on reading.
fn half_closes(server: &Server) {
    let mut connection = server.get("/ticks");
    connection
        .get_ref()
        .shutdown(Shutdown::Write)
        .expect("a connection");
    for n in 1..=3 {
        read_until(&mut connection, &format!("data: {n}\n"));
    }
    drop(connection);
    server.wait_ended("/ticks");
}

/// The write time-out gives the thread back while the client is still there, and another client
/// never waits.
fn stops_reading(server: &Server) {
    let stalled = server.get("/flood");
    let threads = Counts::now().threads;
    let mut other = server.get("/ticks");
    let mut n = 0;
    let error = thread::scope(|scope| {
        let error = scope.spawn(|| server.wait_ended("/flood"));
        // At 10 ms each, the first ones come while the other client fills up and stalls.
        while !error.is_finished() || n < 10 {
            n += 1;
            read_until(&mut other, &format!("data: {n}\n"));
        }
        error.join().expect("no panic")
    });
    assert!(
        matches!(error, ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error:?}"
    );
    drop(other);
    server.wait_ended("/ticks");
    // tiny_http has another one for the connection, which lives as long as the client does.
    let deadline = Instant::now() + SETTLE;
    while Counts::now().threads >= threads {
        assert!(Instant::now() < deadline, "the thread is stuck");
        thread::sleep(Duration::from_millis(5));
    }
    drop(stalled);
}

fn vanishes_mid_chunk(server: &Server) {
    let mut connection = server.get("/flood");
    read_until(&mut connection, "10008\r\n"); // the size of the first event
    connection.read_exact(&mut [0; 100]).expect("a chunk");
    drop(connection);
    server.wait_ended("/flood");
}

/// `tiny_http` answers both in order; the other server closes after the first, and nothing of that
/// gets lost.
fn pipelines(server: &Server) {
    let mut connection = server.connect();
    let request = "GET /three HTTP/1.1\r\nHost: x\r\n\r\n";
    send(&connection, &[request; 2].concat());
    for n in 1..=3 {
        read_until(&mut connection, &format!("data: {n}\n"));
    }
    read_until(&mut connection, "0\r\n\r\n");
    connection
        .get_ref()
        .shutdown(Shutdown::Write)
        .expect("a connection");
    let mut rest = String::new();
    connection.read_to_string(&mut rest).expect("no reset");
    match server.limits_heads {
        true => assert_eq!(rest, ""),
        false => assert!(rest.ends_with("data: 3\n\n\r\n0\r\n\r\n"), "{rest}"),
    }
}

fn pipelines_and_goes(server: &Server) {
    let mut connection = server.get("/ticks");
    send(&connection, "GET /three HTTP/1.1\r\nHost: x\r\n\r\n");
    read_until(&mut connection, "data: 2\n");
    drop(connection);
    server.wait_ended("/ticks");
}

fn sends_a_megabyte(server: &Server) {
    let mut connection = server.connect();
    let long = "x".repeat(1 << 20);
    send(
        &connection,
        &format!("GET /three HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
    );
    let head = read_until(&mut connection, "\r\n\r\n");
    let status = if server.limits_heads { "431" } else { "200" };
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
}

fn says_nothing(server: &Server) {
    let mut connection = connect(server.impatient);
    if server.limits_heads {
        let head = read_until(&mut connection, "\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    } else {
        // It waits for as long as the client does: a proxy in front of it is what limits that.
        let unread = connection.get_ref();
        unread
            .set_read_timeout(Some(READ_TIMEOUT))
            .expect("a connection");
        let error = unread.peek(&mut [0]).expect_err("no word of it");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

//! Thousands of connections with the recommended configuration of ureq leave no socket and no thread
//! behind. One test: it counts those of the whole process. Linux only.
#![cfg(target_os = "linux")]

#[expect(unreachable_pub, reason = "shared with the tests")]
#[path = "../../util/over_ureq.rs"]
mod over_ureq;

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use sse_io::EventSource;
use sse_io::client::TRANSIENT_STATUSES;

use over_ureq::Ureq;

const CONNECTIONS: usize = 2000;

/// What a connection may come to, in turn: a whole event and an end, a torn one, no head, a refusal
/// to be tried again, and a body that is shorter than announced.
const ANSWERS: [&str; 5] = [
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: x\n\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 2\ndata: x",
    "HTTP/1.1 200 OK\r\nContent",
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\ndata: x\n\n",
];

/// Answers one connection after the other, then with 204.
fn serve(listener: &TcpListener) -> io::Result<()> {
    let answers = ANSWERS.into_iter().cycle();
    let end = "HTTP/1.1 204 No Content\r\n\r\n";
    for answer in answers.take(CONNECTIONS).chain([end]) {
        let (mut connection, _) = listener.accept()?;
        for line in BufReader::new(&connection).lines() {
            if line?.is_empty() {
                break;
            }
        }
        connection.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// How many files and threads this process has.
fn usage() -> (usize, usize) {
    let count = |path| fs::read_dir(path).expect("a Linux").count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

#[test]
fn thousands_of_connections_leave_no_socket_and_no_thread_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = thread::spawn(move || serve(&listener));
    let mut source = EventSource::with_connect(Ureq {
        url,
        patience: Duration::from_secs(45), // three heartbeats of silence
    })
    .with_reconnection_limits(Duration::ZERO, Duration::ZERO)
    .with_retried_statuses(TRANSIENT_STATUSES);
    let mut events = 0;
    let mut first = None;
    while source.next_event().unwrap().is_some() {
        events += 1;
        // Both ends of the connection are open at this moment, or the server's is closed already.
        let (files, threads) = usage();
        let (first_files, first_threads) = *first.get_or_insert((files, threads));
        assert!(
            files <= first_files + 2,
            "{files} files, {first_files} at first"
        );
        assert_eq!(threads, first_threads);
    }
    server.join().unwrap().unwrap();
    // Two of the five kinds hold a whole event.
    assert_eq!(events, CONNECTIONS / 5 * 2);
}

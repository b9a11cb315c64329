//! Watching the peer: a client that hangs up is heard at once, and the watch keeps nothing open.

use crate::util;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use sse_io::hub::{Peer, Socket};
use sse_io::{Emitter, Event, Heartbeat, ResponseHead};
use util::within;
use util::writers::DEADLINE;

/// Too rare to have any part in a test.
const NEVER: Duration = Duration::from_secs(3600);

/// A client and its connection.
fn connect() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    (client, listener.accept().unwrap().0)
}

#[track_caller]
fn assert_closes(emitter: Emitter<impl Write + Send + 'static>) {
    assert!(within(DEADLINE, move || emitter.wait_closed(Some(DEADLINE))));
}

fn read_to_end(mut client: impl Read + Send + 'static) -> String {
    within(DEADLINE, move || {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    })
}

#[test]
fn a_client_that_closes_is_heard_without_a_write() {
    let (client, connection) = connect();
    let emitter = Emitter::new(connection);
    emitter.watch(NEVER).unwrap();
    drop(client);
    let other = emitter.clone();
    assert_closes(emitter);
    let error = other.emit(&Event::new("x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_client_that_resets_is_heard_without_a_write() {
    let (mut client, connection) = connect();
    let emitter = Emitter::new(connection);
    emitter.emit(&Event::new("this is not read")).unwrap();
    client.read_exact(&mut [0]).unwrap();
    emitter.watch(NEVER).unwrap();
    // With bytes left unread, this is a reset.
    drop(client);
    assert_closes(emitter);
}

#[test]
fn a_client_that_has_gone_before_is_heard() {
    let (client, connection) = connect();
    drop(client);
    let emitter = Emitter::new(connection);
    emitter.watch(NEVER).unwrap();
    assert_closes(emitter);
}

#[cfg(unix)]
#[test]
fn a_client_on_a_unix_socket_is_heard() {
    use std::os::unix::net::UnixStream;
    let (client, connection) = UnixStream::pair().unwrap();
    let emitter = Emitter::new(connection);
    emitter.watch(NEVER).unwrap();
    emitter.emit(&Event::new("x")).unwrap();
    drop(client);
    assert_closes(emitter);
}

#[test]
fn what_a_client_sends_is_thrown_away_and_no_end() {
    let (mut client, connection) = connect();
    let emitter = Emitter::new(connection);
    emitter.watch(NEVER).unwrap();
    // More than fits into the sockets' buffers: it is read.
    let mut sender = client.try_clone().unwrap();
    within(DEADLINE, move || {
        sender.write_all(&vec![b'x'; 16 << 20]).unwrap();
    });
    emitter.emit(&Event::new("x")).unwrap();
    let mut event = [0; 9];
    client.read_exact(&mut event).unwrap();
    assert_eq!(&event, b"data: x\n\n");
    assert!(!emitter.is_closed());
    drop(client);
    assert_closes(emitter);
}

#[test]
fn a_client_that_is_done_writing_has_hung_up_and_gets_the_end() {
    let (client, connection) = connect();
    let emitter = ResponseHead::new().start(connection).unwrap();
    emitter.watch(NEVER).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_closes(emitter);
    assert!(read_to_end(client).ends_with("\r\n3\r\n:\n\n\r\n0\r\n\r\n"));
}

#[test]
fn an_idle_stream_gets_heartbeats() {
    let (mut client, connection) = connect();
    let emitter = Emitter::new(connection);
    let heartbeat = Heartbeat::every(Duration::from_millis(2));
    let heartbeat = heartbeat.with_event(&Event::new("beat")).unwrap();
    emitter.watch(heartbeat).unwrap();
    let mut beats = [0; 36];
    client.read_exact(&mut beats).unwrap();
    assert_eq!(beats, b"data: beat\n\n".repeat(3)[..]);
}

#[test]
fn the_watch_does_not_keep_the_connection_open() {
    type End = fn(Emitter<TcpStream>);
    let ends: [(End, &str); 3] = [
        (drop, "data: x\n\n"),
        (|emitter| emitter.close(), "data: x\n\n"),
        (|emitter| emitter.abort(), "data: x\n\n"),
    ];
    for (end, text) in ends {
        for _ in 0..20 {
            let (client, connection) = connect();
            let emitter = Emitter::new(connection);
            emitter.watch(NEVER).unwrap();
            emitter.emit(&Event::new("x")).unwrap();
            end(emitter);
            assert_eq!(read_to_end(client), text);
        }
    }
}

#[test]
fn a_socket_that_does_not_block_is_watched_all_the_same() {
    let (client, connection) = connect();
    connection.set_nonblocking(true).unwrap();
    let emitter = Emitter::new(connection);
    emitter.watch(NEVER).unwrap();
    assert!(!emitter.wait_closed(Some(Duration::from_millis(1))));
    drop(client);
    assert_closes(emitter);
}

/// A socket that tells when it is dropped, and may refuse a second handle.
struct Told {
    socket: TcpStream,
    has_peer: bool,
    _dropped: Sender<()>,
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Socket for Told {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        Socket::set_nonblocking(&self.socket, nonblocking)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Socket::set_write_timeout(&self.socket, timeout)
    }

    fn has_hung_up(&self) -> bool {
        self.socket.has_hung_up()
    }

    fn peer(&self) -> io::Result<Peer> {
        match self.has_peer {
            true => self.socket.peer(),
            false => Err(io::Error::other("no file descriptor is left")),
        }
    }
}

#[test]
fn a_socket_that_gives_no_second_handle_is_told_and_the_stream_goes_on() {
    let (client, socket) = connect();
    let (dropped, _) = mpsc::channel();
    let emitter = Emitter::new(Told {
        socket,
        has_peer: false,
        _dropped: dropped,
    });
    let error = emitter.watch(NEVER).unwrap_err();
    assert_eq!(error.to_string(), "no file descriptor is left");
    emitter.emit(&Event::new("x")).unwrap();
    drop(emitter);
    assert_eq!(read_to_end(client), "data: x\n\n");
}

#[test]
fn the_writer_is_dropped_when_the_client_has_gone() {
    let (client, socket) = connect();
    let (told, dropped) = mpsc::channel();
    let emitter = Emitter::new(Told {
        socket,
        has_peer: true,
        _dropped: told,
    });
    emitter.watch(NEVER).unwrap();
    drop(client);
    // The channel ends with the writer, although there is a handle of the emitter.
    let error = dropped.recv_timeout(DEADLINE).unwrap_err();
    assert_eq!(error, mpsc::RecvTimeoutError::Disconnected);
    assert!(emitter.is_closed());
}

#[test]
fn a_stream_that_has_ended_is_not_watched() {
    let (_client, connection) = connect();
    let emitter = Emitter::new(connection);
    emitter.close();
    emitter.watch(NEVER).unwrap();
    assert!(emitter.is_closed());
}

#[test]
fn several_watches_end_with_one_stream() {
    let (client, connection) = connect();
    let emitter = Emitter::new(connection);
    for _ in 0..3 {
        emitter.watch(NEVER).unwrap();
    }
    emitter.emit(&Event::new("x")).unwrap();
    let closer = emitter.clone();
    let waiter = thread::spawn(move || emitter.wait_ended(Some(DEADLINE)));
    closer.close();
    assert!(within(DEADLINE, || waiter.join().unwrap()));
    assert_eq!(read_to_end(client), "data: x\n\n");
}

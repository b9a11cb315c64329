//! How late the first event of a stream is on a connection that has been in use before.
//!
//! A small write that follows another one waits until that is acknowledged (Nagle's algorithm), and
//! the peer acknowledges late once a connection has warmed up (delayed acknowledgements).

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::{Event, ResponseHead, http};

use crate::clients::read_head;

/// How often each case is measured; the middle one counts.
const ROUNDS: usize = 21;

/// How the server sends.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// The head, the first block and the event in a write each; otherwise head and first block
    /// together, as `ResponseHead::start` does it.
    pub head_apart: bool,
    pub nodelay: bool,
}

/// When the client had what, counted from its request: the median of several streams.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// The first block, which tells the client that the stream is open.
    pub open: Duration,
    pub event: Duration,
}

/// Serves streams of one event each on one connection, one after the other, and times them.
pub fn measure(sending: Sending) -> io::Result<Latency> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    http::tune_listener(&listener, sending.nodelay, None)?;
    let connection = TcpStream::connect(listener.local_addr()?)?;
    let server = thread::spawn(move || serve(&listener.accept()?.0, sending));
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(&connection);
    let mut open = Vec::new();
    let mut event = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (&connection).write_all(b"GET /events HTTP/1.1\r\nHost: load\r\n\r\n")?;
        read_head(&mut reader)?;
        expect_line(&mut reader, ":\n")?;
        open.push(start.elapsed());
        expect_line(&mut reader, "data: first\n")?;
        event.push(start.elapsed());
        expect_line(&mut reader, "0\r\n")?;
        expect_line(&mut reader, "\r\n")?;
    }
    connection.shutdown(std::net::Shutdown::Both)?;
    server.join().expect("the server does not panic")?;
    open.sort_unstable();
    event.sort_unstable();
    Ok(Latency {
        open: open[ROUNDS / 2],
        event: event[ROUNDS / 2],
    })
}

/// Answers request after request until the client goes.
fn serve(connection: &TcpStream, sending: Sending) -> io::Result<()> {
    let mut requests = BufReader::new(connection);
    while !requests.fill_buf()?.is_empty() {
        read_head(&mut requests)?;
        let connection = Connection {
            socket: connection,
            head_apart: sending.head_apart,
        };
        let emitter = ResponseHead::new().start(connection)?;
        emitter.emit(&Event::new("first"))?;
    }
    Ok(())
}

/// Reads on to a line, past those before it.
fn expect_line(reader: &mut impl BufRead, wanted: &str) -> io::Result<()> {
    let mut line = String::new();
    while line != wanted {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// A connection that can send the head and what follows it in two writes, as servers do that take
/// no care.
struct Connection<'a> {
    socket: &'a TcpStream,
    head_apart: bool,
}

impl Write for Connection<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        match head_end {
            // The caller writes what is left next.
            Some(end) if self.head_apart && bytes.starts_with(b"HTTP/") => {
                self.socket.write(&bytes[..end + 4])
            }
            _ => self.socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

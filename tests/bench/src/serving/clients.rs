//! The clients: all connections on one thread, which the system tells what there is to read.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use memchr::memmem::Finder;
use mio::{Events, Interest, Poll, Token};

use super::nanoseconds;
use super::server::{DIGITS, MARK};

/// How long all connections together may be silent before something is lost.
const SILENCE: Duration = Duration::from_secs(30);

/// How much of an event may be left over from one read to the next.
const TAIL: usize = MARK.len() + DIGITS;

/// Open connections to one server.
#[derive(Debug)]
pub(super) struct Clients {
    poll: Poll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    ready: Events,
    mark: Finder<'static>,
    /// From before each event was published until its client had read it, in nanoseconds.
    pub(super) latencies: Vec<u64>,
    /// What came, with all that HTTP adds.
    pub(super) bytes: u64,
}

#[derive(Debug)]
struct Connection {
    stream: mio::net::TcpStream,
    chunks: Chunks,
    /// The end of what was read, in which a mark may have begun.
    tail: Vec<u8>,
    events: usize,
}

/// A connection that has had the head of its response.
pub(super) fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let is_stream = head.starts_with("http/1.1 200 ok\r\n");
    if !(is_stream && head.contains("\r\ntransfer-encoding: chunked\r\n")) {
        return Err(io::Error::other("not a chunked stream"));
    }
    Ok(stream)
}

impl Clients {
    pub(super) fn connect(server: SocketAddr, count: usize) -> io::Result<Clients> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(count);
        for token in 0..count {
            let stream = connect(server)?;
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(token), Interest::READABLE)?;
            connections.push(Connection {
                stream,
                chunks: Chunks::Size(0),
                tail: Vec::with_capacity(TAIL),
                events: 0,
            });
        }
        Ok(Clients {
            poll,
            connections,
            buffer: vec![0; TAIL + (64 << 10)],
            ready: Events::with_capacity(1024),
            mark: Finder::new(MARK),
            latencies: Vec::new(),
            bytes: 0,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.connections.len()
    }

    /// Reads until every client has got so many events more.
    pub(super) fn receive(&mut self, events: usize) -> io::Result<()> {
        let mut missing = events * self.connections.len();
        while missing > 0 {
            self.poll.poll(&mut self.ready, Some(SILENCE))?;
            if self.ready.is_empty() {
                return Err(io::Error::other(format!("{missing} events are lost")));
            }
            for readiness in &self.ready {
                let connection = &mut self.connections[readiness.token().0];
                loop {
                    match connection.stream.read(&mut self.buffer[TAIL..]) {
                        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                        Ok(length) => {
                            self.bytes += length as u64;
                            let read = &mut self.buffer[TAIL..][..length];
                            let length = connection.chunks.take_out(read);
                            let text = connection.with_tail(&mut self.buffer, length);
                            let before = self.latencies.len();
                            take(text, &self.mark, &mut self.latencies);
                            let came = self.latencies.len() - before;
                            connection.events += came;
                            missing = missing.saturating_sub(came);
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        for connection in &mut self.connections {
            if std::mem::take(&mut connection.events) != events {
                return Err(io::Error::other("a client has another client's events"));
            }
        }
        Ok(())
    }
}

impl Connection {
    /// What was read into the buffer, with the tail of what was read before in front of it. Keeps
    /// the new tail.
    fn with_tail<'b>(&mut self, buffer: &'b mut [u8], length: usize) -> &'b [u8] {
        let start = TAIL - self.tail.len();
        buffer[start..TAIL].copy_from_slice(&self.tail);
        let text = &buffer[start..TAIL + length];
        self.tail.clear();
        // A mark that is whole does not fit into this.
        self.tail
            .extend_from_slice(&text[text.len() - text.len().min(TAIL - 1)..]);
        text
    }
}

/// Where a connection stands in its chunked body: a server may cut its chunks wherever it likes.
#[derive(Debug)]
enum Chunks {
    /// In the line with a chunk's size, which is so much as far as it was read.
    Size(usize),
    /// In a chunk that has so many bytes more.
    Data(usize),
    /// Behind a chunk, before the end of its line.
    End,
}

impl Chunks {
    /// Moves what was sent in chunks to the front of what was read; returns how much that is.
    fn take_out(&mut self, read: &mut [u8]) -> usize {
        let (mut kept, mut at) = (0, 0);
        while at < read.len() {
            if let Chunks::Data(left) = self {
                let length = (*left).min(read.len() - at);
                read.copy_within(at..at + length, kept);
                (kept, at) = (kept + length, at + length);
                *left -= length;
                if *left == 0 {
                    *self = Chunks::End;
                }
                continue;
            }
            let byte = read[at];
            at += 1;
            *self = match (&self, byte) {
                (Chunks::Size(size), b'\n') => Chunks::Data(*size),
                (Chunks::Size(size), digit) => match char::from(digit).to_digit(16) {
                    Some(digit) => Chunks::Size(size * 16 + digit as usize),
                    None => continue,
                },
                (_, b'\n') => Chunks::Size(0),
                _ => continue,
            };
        }
        kept
    }
}

/// Finds the time in each event that is there as far as that.
fn take(text: &[u8], mark: &Finder<'_>, latencies: &mut Vec<u64>) {
    let now = nanoseconds();
    for at in mark.find_iter(text) {
        let Some(digits) = text.get(at + MARK.len()..at + TAIL) else {
            break;
        };
        let time = digits
            .iter()
            .fold(0, |time, digit| time * 10 + u64::from(digit - b'0'));
        latencies.push(now.saturating_sub(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_read_over_whatever_the_cuts() {
        let sent = b"4\r\nab\n\r\r\n1\r\nc\r\n012\r\n0123456789abcdef\r\n\r\n3\r\nend\r\n";
        let wanted = b"ab\n\rc0123456789abcdef\r\nend";
        for size in 1..=sent.len() {
            let mut chunks = Chunks::Size(0);
            let mut got = Vec::new();
            for piece in sent.chunks(size) {
                let mut piece = piece.to_vec();
                let kept = chunks.take_out(&mut piece);
                got.extend_from_slice(&piece[..kept]);
            }
            assert_eq!(got, wanted, "in pieces of {size}");
        }
    }
}

//! The clients: all streams on one thread, which the system tells what there is to read.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use sse_io::Parser;

use crate::server::{STALLED, nanoseconds};

/// How long all streams together may be silent before something has hung.
const SILENCE: Duration = Duration::from_secs(60);

/// Open streams.
#[derive(Debug)]
pub struct Clients {
    poll: Poll,
    streams: Vec<Stream>,
    /// Those that are never read.
    _stalled: Vec<TcpStream>,
}

impl Clients {
    /// Connects so many clients, one after the other, and reads until each has its response's head. So
    /// many more do not read.
    pub fn connect(server: SocketAddr, count: usize, stalled: usize) -> io::Result<Clients> {
        let poll = Poll::new()?;
        let stall = || {
            let mut connection = TcpStream::connect(server)?;
            let request = format!("GET /{STALLED} HTTP/1.1\r\nHost: load\r\n\r\n");
            connection.write_all(request.as_bytes())?;
            read_head(&mut connection)?;
            Ok(connection)
        };
        let stalled: io::Result<Vec<_>> = (0..stalled).map(|_| stall()).collect();
        let mut streams = Vec::with_capacity(count);
        for token in 0..count {
            let mut connection = TcpStream::connect(server)?;
            connection.set_read_timeout(Some(SILENCE))?;
            connection.write_all(b"GET /events HTTP/1.1\r\nHost: load\r\n\r\n")?;
            let head = read_head(&mut connection)?;
            if !head.starts_with("HTTP/1.1 200 OK\r\n") || !head.contains("chunked") {
                return Err(io::Error::other(format!("not a chunked stream: {head}")));
            }
            connection.set_nonblocking(true)?;
            let mut stream = Stream::new(mio::net::TcpStream::from_std(connection));
            let registry = poll.registry();
            registry.register(&mut stream.connection, Token(token), Interest::READABLE)?;
            streams.push(stream);
        }
        Ok(Clients {
            poll,
            streams,
            _stalled: stalled?,
        })
    }

    /// Reads all streams to their ends, each of which is to have so many events.
    pub fn read_to_end(mut self, events: usize) -> io::Result<Report> {
        let mut report = Report::default();
        let mut ready = Events::with_capacity(1024);
        let mut open = self.streams.len();
        while open > 0 {
            self.poll.poll(&mut ready, Some(SILENCE))?;
            if ready.is_empty() {
                break;
            }
            for readiness in &ready {
                let stream = &mut self.streams[readiness.token().0];
                if !stream.is_over() && stream.read(&mut report.latencies) {
                    open -= 1;
                }
            }
        }
        for (number, stream) in self.streams.iter().enumerate() {
            if stream.is_whole(events) {
                report.whole += 1;
            } else {
                report.broken.push(format!("stream {number}: {stream:?}"));
            }
        }
        report.latencies.sort_unstable();
        Ok(report)
    }
}

/// Byte by byte, so that nothing of the body is taken.
pub fn read_head(connection: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// What the clients received.
#[derive(Debug, Default)]
pub struct Report {
    /// Streams that got every event once and in order, and then a proper end.
    pub whole: usize,
    /// What became of the others.
    pub broken: Vec<String>,
    /// From before an event was encoded until its client had it; sorted, in nanoseconds.
    pub latencies: Vec<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The latency that so many in a thousand events did not exceed.
        let percentile = |per_mille: usize| {
            let last = self.latencies.len().saturating_sub(1);
            let at = (self.latencies.len() * per_mille / 1000).min(last);
            Duration::from_nanos(self.latencies.get(at).copied().unwrap_or(0))
        };
        write!(
            f,
            "p50 {:.2?}, p90 {:.2?}, p99 {:.2?}, max {:.2?} ({} events)",
            percentile(500),
            percentile(900),
            percentile(990),
            percentile(1000),
            self.latencies.len()
        )
    }
}

/// One stream, as far as it was read.
#[derive(Debug)]
struct Stream {
    connection: mio::net::TcpStream,
    chunks: Chunks,
    parser: Parser,
    /// How many events came in order: the ids count up from 1.
    in_order: usize,
    failure: Option<String>,
}

impl Stream {
    fn new(connection: mio::net::TcpStream) -> Self {
        Stream {
            connection,
            chunks: Chunks::default(),
            parser: Parser::default(),
            in_order: 0,
            failure: None,
        }
    }

    fn is_over(&self) -> bool {
        self.chunks.ended || self.failure.is_some()
    }

    fn is_whole(&self, events: usize) -> bool {
        self.chunks.ended && self.failure.is_none() && self.in_order == events
    }

    /// Reads all that there is. Returns whether the stream is over.
    fn read(&mut self, latencies: &mut Vec<u64>) -> bool {
        let mut buffer = [0; 4096];
        while !self.is_over() {
            match self.connection.read(&mut buffer) {
                Ok(0) => self.failure = Some("the connection ended before the response".into()),
                Ok(length) => self.take(&buffer[..length], latencies),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.failure = Some(error.to_string()),
            }
        }
        true
    }

    fn take(&mut self, mut bytes: &[u8], latencies: &mut Vec<u64>) {
        let now = nanoseconds();
        while let Some(mut data) = self.chunks.next(&mut bytes) {
            while let Ok(Some(event)) = self.parser.parse(&mut data) {
                let id = event.id.as_deref().and_then(|id| id.parse().ok());
                if id != Some(self.in_order + 1) {
                    self.failure = Some(format!("event {} is followed by {id:?}", self.in_order));
                    return;
                }
                self.in_order += 1;
                let sent: u64 = event.data.parse().unwrap_or(0);
                latencies.push(now.saturating_sub(sent));
            }
        }
    }
}

/// Takes a chunked body apart, whatever the pieces that it comes in.
#[derive(Debug, Default)]
struct Chunks {
    /// The size line so far.
    size: Vec<u8>,
    /// What is left of the chunk's data.
    data: usize,
    /// What is left of the line break behind it.
    line_break: usize,
    /// The last chunk has come.
    ended: bool,
}

impl Chunks {
    /// The next piece of data; None when the input is used up.
    fn next<'i>(&mut self, input: &mut &'i [u8]) -> Option<&'i [u8]> {
        while !input.is_empty() && !self.ended {
            if self.data > 0 {
                let (data, rest) = input.split_at(self.data.min(input.len()));
                *input = rest;
                self.data -= data.len();
                return Some(data);
            }
            let byte = input[0];
            *input = &input[1..];
            if self.line_break > 0 {
                self.line_break -= 1;
            } else if byte != b'\n' {
                self.size.push(byte);
            } else {
                let size = String::from_utf8_lossy(&self.size);
                self.data = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
                self.line_break = 2;
                self.ended = self.data == 0;
                self.size.clear();
            }
        }
        None
    }
}

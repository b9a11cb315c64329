//! A connector of std alone, beside the one for ureq.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use sse_io::client::{Connect, ConnectError, Request, Response};

/// A strict HTTP/1.1 client over a bare socket, without redirects.
#[derive(Debug)]
pub struct Tcp {
    pub address: SocketAddr,
    pub path: &'static str,
    pub patience: Duration,
}

impl Connect for Tcp {
    type Body = BufReader<Body>;

    fn connect(&mut self, request: &Request<'_>) -> Result<Response<Self::Body>, ConnectError> {
        let mut socket = TcpStream::connect_timeout(&self.address, self.patience)?;
        let shut_down = socket.try_clone()?;
        request.on_close(move || {
            // Fails when the peer was quicker.
            let _ = shut_down.shutdown(Shutdown::Both);
        });
        socket.set_read_timeout(Some(self.patience))?;
        let mut head = format!("GET {} HTTP/1.1\r\nHost: x\r\n", self.path).into_bytes();
        for (name, value) in request.headers() {
            write!(head, "{name}: ")?;
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        socket.write_all(&head)?;

        let mut socket = BufReader::new(socket);
        let head = Head::read(&mut socket)?;
        let framing = head.framing()?;
        let body = BufReader::new(Body { socket, framing });
        Ok(Response::from_head(
            head.status,
            |name| Some(head.joined(name)),
            body,
        ))
    }
}

struct Head {
    status: u16,
    /// Names in lower case.
    fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// The longest head in bytes.
    const MAX: u64 = 64 << 10;

    fn read(socket: &mut impl BufRead) -> io::Result<Head> {
        let mut socket = socket.take(Head::MAX);
        let line = read_line(&mut socket)?;
        let line = std::str::from_utf8(&line).map_err(invalid)?;
        let rest = line
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| line.strip_prefix("HTTP/1.0 "))
            .ok_or_else(|| invalid("not HTTP/1"))?;
        let status = rest.get(..3).ok_or_else(|| invalid("no status"))?;
        let status = status.parse().map_err(invalid)?;
        let mut fields = Vec::new();
        loop {
            let line = read_line(&mut socket)?;
            if line.is_empty() {
                return Ok(Head { status, fields });
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(colon.ok_or_else(|| invalid("no colon"))?);
            let name = std::str::from_utf8(name).map_err(invalid)?;
            let value = value[1..].trim_ascii().to_vec();
            fields.push((name.to_ascii_lowercase(), value));
        }
    }

    /// All fields of that name, as one.
    fn joined(&self, name: &str) -> Vec<u8> {
        let fields = self.fields.iter();
        let values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let values: Vec<&[u8]> = values.map(|(_, value)| &value[..]).collect();
        values.join(&b", "[..])
    }

    fn framing(&self) -> io::Result<Framing> {
        let (transfer, length) = (
            self.joined("transfer-encoding"),
            self.joined("content-length"),
        );
        match (&transfer[..], &length[..]) {
            _ if self.status == 204 => Ok(Framing::Sized(0)),
            (b"", b"") => Ok(Framing::Close),
            (b"chunked", b"") => Ok(Framing::Chunked {
                left: 0,
                first: true,
            }),
            (b"", length) => number(length, 10).map(Framing::Sized),
            _ => Err(invalid("no known framing")),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Close,
    Sized(u64),
    Chunked { left: u64, first: bool },
    Ended,
}

#[derive(Debug)]
pub struct Body {
    socket: BufReader<TcpStream>,
    framing: Framing,
}

impl Body {
    /// How many bytes may be read now; None at the end.
    fn allowed(&mut self) -> io::Result<Option<u64>> {
        if let Framing::Chunked { left: 0, first } = self.framing {
            if !first && !read_line(&mut self.socket)?.is_empty() {
                return Err(invalid("a chunk longer than it said"));
            }
            let line = read_line(&mut self.socket)?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let left = number(size, 16)?;
            let first = false;
            self.framing = Framing::Chunked { left, first };
            if left == 0 {
                while !read_line(&mut self.socket)?.is_empty() {}
                self.framing = Framing::Ended;
            }
        }
        Ok(match self.framing {
            Framing::Close => Some(u64::MAX),
            Framing::Sized(0) | Framing::Ended => None,
            Framing::Sized(left) | Framing::Chunked { left, .. } => Some(left),
        })
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(allowed) = self.allowed()? else {
            return Ok(0);
        };
        let count = (&mut self.socket).take(allowed).read(buffer)?;
        match &mut self.framing {
            Framing::Sized(_) | Framing::Chunked { .. } if count == 0 => {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            Framing::Sized(left) | Framing::Chunked { left, .. } => *left -= count as u64,
            Framing::Close | Framing::Ended => {}
        }
        Ok(count)
    }
}

/// A line without its CRLF.
fn read_line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(Head::MAX).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    match line.pop() {
        Some(b'\r') => Ok(line),
        _ => Err(invalid("a line that does not end with CRLF")),
    }
}

fn number(digits: &[u8], radix: u32) -> io::Result<u64> {
    let digits = std::str::from_utf8(digits).map_err(invalid)?;
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(invalid("no number"));
    }
    u64::from_str_radix(digits, radix).map_err(invalid)
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

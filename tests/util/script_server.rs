//! A loopback server that misbehaves by script: one script per connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// The head of a stream, without the blank line.
pub const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";

/// One thing that the server does with a connection.
#[derive(Clone, Debug)]
enum Act {
    Send(Vec<u8>),
    /// Each byte by itself.
    Trickle(Vec<u8>),
    /// Waits until the client says that it was given one more event.
    AwaitEvent,
    /// Says nothing until the client is gone.
    Hold,
    /// Sends this again and again until the client is gone.
    Flood(Vec<u8>),
    /// Ends the connection with an RST.
    Reset,
}

/// What the server does with one connection, which it closes in the end.
#[derive(Clone, Debug, Default)]
pub struct Script {
    acts: Vec<Act>,
    /// The last byte of the request stays unread: what makes an RST of the close.
    resets: bool,
}

impl Script {
    /// Reads the request, and closes.
    pub fn new() -> Self {
        Script::default()
    }

    pub fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.acts.push(Act::Send(bytes.as_ref().to_vec()));
        self
    }

    pub fn trickle(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.acts.push(Act::Trickle(bytes.as_ref().to_vec()));
        self
    }

    /// The bytes as one chunk of a chunked body.
    pub fn chunk(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.send(format!("{:x}\r\n", bytes.len()))
            .send(bytes)
            .send("\r\n")
    }

    pub fn await_event(mut self) -> Self {
        self.acts.push(Act::AwaitEvent);
        self
    }

    pub fn hold(mut self) -> Self {
        self.acts.push(Act::Hold);
        self
    }

    pub fn flood(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.acts.push(Act::Flood(bytes.as_ref().to_vec()));
        self
    }

    pub fn reset(mut self) -> Self {
        self.acts.push(Act::Reset);
        self.resets = true;
        self
    }
}

/// An event stream that ends where the connection does.
pub fn plain(body: impl AsRef<[u8]>) -> Script {
    Script::new().send(HEAD).send("\r\n").send(body)
}

/// An event stream in chunks, up to the first of them.
pub fn chunked() -> Script {
    Script::new()
        .send(HEAD)
        .send("Transfer-Encoding: chunked\r\n\r\n")
}

/// An event stream that says how long it is.
pub fn sized(length: usize, body: impl AsRef<[u8]>) -> Script {
    Script::new()
        .send(HEAD)
        .send(format!("Content-Length: {length}\r\n\r\n"))
        .send(body)
}

/// A response without a body, and with these header lines.
pub fn status(status: u16, lines: &str) -> Script {
    let length = if status == 204 {
        ""
    } else {
        "Content-Length: 0\r\n"
    };
    Script::new().send(format!(
        "HTTP/1.1 {status} As It Is\r\nConnection: close\r\n{length}{lines}\r\n"
    ))
}

/// The server. Once its scripts are played it answers 204: there is no more.
#[derive(Debug)]
pub struct ScriptServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
    /// Has the scripts go on that wait for an event.
    events: Sender<()>,
    /// Tells of each connection that has come to where the server says nothing.
    held: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl ScriptServer {
    pub fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stopping = Arc::new(AtomicBool::new(false));
        let (events, given) = mpsc::channel();
        let (holds, held) = mpsc::channel();
        let scripts: Vec<Script> = scripts.into_iter().collect();
        let thread = thread::spawn({
            let (requests, stopping) = (Arc::clone(&requests), Arc::clone(&stopping));
            move || {
                let no_more = std::iter::repeat_with(|| status(204, ""));
                for script in scripts.into_iter().chain(no_more) {
                    let (connection, _) = listener.accept().expect("a connection");
                    if stopping.load(Ordering::Acquire) {
                        return;
                    }
                    let log = |head| requests.lock().expect("no panic").push(head);
                    // That the client goes first is part of most scripts.
                    let _ = play(&script, connection, log, &given, &holds);
                }
            }
        });
        ScriptServer {
            address,
            requests,
            stopping,
            events,
            held,
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// To be told of each event that the client was given.
    pub fn events(&self) -> Sender<()> {
        self.events.clone()
    }

    /// Waits until a connection has come to where the server says nothing.
    pub fn wait_held(&self) {
        self.held.recv().expect("a script that holds");
    }

    /// The heads of the requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }

    /// What was asked for so far: the path, and after which event.
    pub fn requests(&self) -> Vec<String> {
        let heads = self.heads();
        heads.iter().map(|head| path_and_id(head)).collect()
    }

    /// Waits until the connections are gone, then stops.
    pub fn finish(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.stopping.store(true, Ordering::Release);
        // Ends the wait for a connection.
        drop(TcpStream::connect(self.address));
        thread.join().expect("a server that does not panic");
    }
}

fn path_and_id(head: &str) -> String {
    let path = head.split(' ').nth(1).expect("a request line");
    let id = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("last-event-id").then_some(value)
    });
    match id {
        Some(id) => format!("{path} after {id}"),
        None => path.to_owned(),
    }
}

fn play(
    script: &Script,
    mut connection: TcpStream,
    log: impl FnOnce(String),
    given: &Receiver<()>,
    holds: &Sender<()>,
) -> io::Result<()> {
    connection.set_nodelay(true)?;
    log(read_head(&mut connection, script.resets)?);
    for act in &script.acts {
        match act {
            Act::Send(bytes) => connection.write_all(bytes)?,
            Act::Trickle(bytes) => {
                for byte in bytes {
                    connection.write_all(&[*byte])?;
                }
            }
            Act::AwaitEvent => given.recv().map_err(io::Error::other)?,
            Act::Hold => {
                let _ = holds.send(());
                io::copy(&mut connection, &mut io::sink())?;
            }
            Act::Flood(bytes) => loop {
                connection.write_all(bytes)?;
            },
            Act::Reset => return Ok(()),
        }
    }
    connection.shutdown(Shutdown::Write)
}

/// The head of the request, but for its last byte when that is to stay unread.
fn read_head(connection: &mut TcpStream, leaves_one: bool) -> io::Result<String> {
    let end = if leaves_one { "\r\n\r" } else { "\r\n\r\n" };
    let mut head = Vec::new();
    while !head.ends_with(end.as_bytes()) {
        let mut byte = [0];
        connection.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if leaves_one {
        // It must have arrived to be left.
        let _ = connection.peek(&mut [0])?;
    }
    String::from_utf8(head).map_err(io::Error::other)
}

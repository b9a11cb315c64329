//! A Redis, processes of the program, and clients, each of which can be killed.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use sse_io::{Item, Reader};

/// How long anything may take before it has hung.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A `redis-server` of one's own.
pub(crate) struct Redis {
    child: Child,
    port: u16,
    folder: PathBuf,
    keeps: bool,
}

impl Redis {
    /// One that has what it acknowledged on its disk.
    pub(crate) fn start(test: &str) -> Self {
        Redis::launch(test, true)
    }

    /// One that has lost everything when it is started again.
    pub(crate) fn forgetful(test: &str) -> Self {
        Redis::launch(test, false)
    }

    fn launch(test: &str, keeps: bool) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        // Somebody may take the port before Redis does: then another one.
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("an address").port();
            drop(listener);
            if let Some(child) = spawn(port, &folder, keeps) {
                return Redis {
                    child,
                    port,
                    folder,
                    keeps,
                };
            }
        }
        panic!("redis-server does not start in {}", folder.display());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it. It has no time to save anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a Redis to kill");
        self.child.wait().expect("its end");
    }

    /// Starts it again, and returns when it answers.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder, self.keeps).expect("a Redis again");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(port: u16, folder: &PathBuf, keeps: bool) -> Option<Child> {
    let mut child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--save", "", "--appendfsync", "always"])
        .args(["--appendonly", if keeps { "yes" } else { "no" }])
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server, which this test needs (apt-get install redis-server)");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    for line in output.lines() {
        if line
            .expect("a line")
            .contains("Ready to accept connections")
        {
            // It says little more, which the pipe has room for; and it does not mind a closed one.
            return Some(child);
        }
    }
    child.wait().expect("its end");
    None
}

/// A process of the program.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    _output: BufReader<ChildStdout>,
}

impl Process {
    /// Returns when it listens.
    pub(crate) fn start(redis: &str, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_redis-events"))
            .args(["--redis", redis, "--listen", "127.0.0.1:0"])
            // A heartbeat would make up for an event that does not come.
            .args(["--heartbeat", "3600000"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on http://");
        let address = address.and_then(|a| a.trim_end_matches('/').parse().ok());
        Process {
            address: address.unwrap_or_else(|| panic!("it says {line:?}")),
            child,
            _output: output,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends it a signal that has a name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args(["-s", name, &id]).status();
        assert!(kill.expect("kill").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request of HTTP/1.0; the response's head is read.
fn request(address: SocketAddr, request: &str) -> io::Result<(String, BufReader<TcpStream>)> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(DEADLINE))?;
    connection.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, reader))
}

/// What became of a request that was answered.
pub(crate) enum Answer<T> {
    Ok(T),
    /// 503, with a time to wait.
    Busy,
}

impl<T> Answer<T> {
    pub(crate) fn ok(self) -> Option<T> {
        match self {
            Answer::Ok(value) => Some(value),
            Answer::Busy => None,
        }
    }
}

fn judge(head: &str) -> Answer<()> {
    if head.starts_with("HTTP/1.1 200 ") || head.starts_with("HTTP/1.0 200 ") {
        return Answer::Ok(());
    }
    assert!(head.contains(" 503 "), "{head}");
    assert!(head.contains("\r\nRetry-After: "), "{head}");
    Answer::Busy
}

/// Posts once. The id is the answer.
pub(crate) fn post(
    at: SocketAddr,
    query: &str,
    key: &str,
    data: &str,
) -> io::Result<Answer<String>> {
    let length = data.len();
    let (head, mut body) = request(
        at,
        &format!(
            "POST /publish?{query} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\
             Idempotency-Key: {key}\r\n\r\n{data}"
        ),
    )?;
    if let Answer::Busy = judge(&head) {
        return Ok(Answer::Busy);
    }
    let mut id = String::new();
    body.read_to_string(&mut id)?;
    // An answer that is cut off acknowledges nothing.
    let id = id.strip_suffix('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Answer::Ok(id.to_owned()))
}

/// A stream of events.
pub(crate) struct Stream {
    reader: Reader<BufReader<TcpStream>>,
}

/// An event, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Opens a stream once.
pub(crate) fn open(at: SocketAddr, query: &str, last: &str) -> io::Result<Answer<Stream>> {
    let last = match last {
        "" => String::new(),
        last => format!("Last-Event-ID: {last}\r\n"),
    };
    let (head, body) = request(
        at,
        &format!("GET /events?{query} HTTP/1.0\r\nHost: localhost\r\n{last}\r\n"),
    )?;
    Ok(match judge(&head) {
        Answer::Busy => Answer::Busy,
        Answer::Ok(()) => Answer::Ok(Stream {
            reader: Reader::new(body),
        }),
    })
}

/// Tries until it works.
pub(crate) fn persist<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(begin.elapsed() < DEADLINE, "refused for {DEADLINE:?}");
    }
}

/// Opens a stream as soon as the process has one.
pub(crate) fn open_now(at: SocketAddr, query: &str, last: &str) -> Stream {
    persist(|| open(at, query, last).expect("an answer").ok())
}

/// Posts until it is acknowledged.
pub(crate) fn post_now(at: SocketAddr, query: &str, key: &str, data: &str) -> String {
    persist(|| post(at, query, key, data).expect("an answer").ok())
}

impl Stream {
    /// The next event; `None` at the end, however that comes about.
    pub(crate) fn next(&mut self) -> Option<Seen> {
        match self.reader.read_event() {
            Ok(event) => event.map(|event| Seen {
                id: event.id.as_deref().unwrap_or_default().to_owned(),
                name: event.event_type().to_owned(),
                data: event.data.clone().into_owned(),
            }),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                panic!("nothing came for {DEADLINE:?}")
            }
            Err(_) => None,
        }
    }

    /// Waits for a comment.
    pub(crate) fn comment(&mut self) {
        let item = self.reader.read_item().expect("an item");
        assert!(matches!(item, Some(Item::Comment(_))), "{item:?}");
    }
}

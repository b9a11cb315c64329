//! An event stream on `tiny_http`, and an nginx in front of it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sse_io::{Emitter, ResponseHead, http};
use tempfile::TempDir;
use tiny_http::{HTTPVersion, Method, Request, Server};

/// The locations that lead to the stream, and what is special about each.
pub const LOCATIONS: &[(&str, &str)] = &[
    ("/events", "nothing set"),
    ("/http11/events", "HTTP/1.1 to the upstream"),
    ("/gzip/events", "compressed, with curl's --compressed"),
    ("/held-back/events", "what goes wrong: arrives in bulk"),
];

/// The settings, and what they are for.
const CONFIGURATION: &str = include_str!("nginx.conf");

/// Well within the 60 seconds of silence after which nginx ends a response.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long nginx may leave a full connection unread before its thread is taken back.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long nginx may take to start.
const START: Duration = Duration::from_secs(10);

/// Serves a stream at `/events`, on a free port of the loopback address, for as long as the process
/// lives. `stream` emits the events of one client, those after the id that it has, which is 0 at first.
pub fn serve<F>(stream: F) -> io::Result<SocketAddr>
where
    F: Fn(&Emitter, u64) -> io::Result<()> + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    http::tune_listener(&listener, true, Some(WRITE_TIMEOUT))?;
    let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
    let stream = Arc::new(stream);
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let stream = Arc::clone(&stream);
            // An error is a client that has gone, or a proxy for it.
            thread::spawn(move || answer(request, &*stream));
        }
    });
    Ok(address)
}

fn answer(request: Request, stream: impl Fn(&Emitter, u64) -> io::Result<()>) -> io::Result<()> {
    let path = request.url().split('?').next().unwrap_or_default();
    if path != "/events" {
        return head(&request).refuse(404, request.into_writer());
    }
    // The pages of any site may read these events.
    let head = head(&request).with_cors("*");
    let acceptable = http::accepts_event_stream(header(&request, "Accept"));
    match request.method() {
        Method::Get | Method::Head if !acceptable => head.refuse(406, request.into_writer()),
        Method::Get => {
            // nginx passes both on, the header and the query.
            let last = http::last_event_id(header(&request, "Last-Event-ID"), request.url())
                .and_then(|id| id.parse().ok())
                .unwrap_or(0);
            let emitter = head.start(request.into_writer())?;
            let _heartbeat = emitter.spawn_heartbeats(HEARTBEAT)?;
            stream(&emitter, last)
        }
        Method::Head => head.respond_to_head(request.into_writer()),
        method => {
            let status = if *method == Method::Options { 204 } else { 405 };
            head.with_header("Allow", "GET, HEAD, OPTIONS")
                .with_header("Access-Control-Allow-Headers", "Last-Event-ID")
                .refuse(status, request.into_writer())
        }
    }
}

/// The head of a response, in the version of HTTP that the proxy speaks, whatever the client does: a
/// body for HTTP/1.0 must not be chunked.
fn head(request: &Request) -> ResponseHead {
    let HTTPVersion(major, minor) = *request.http_version();
    ResponseHead::for_version(major, minor)
}

fn header<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    let header = request.headers().iter().find(|h| h.field.equiv(name))?;
    Some(header.value.as_str())
}

/// A running nginx. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Nginx {
    /// Starts nginx on an address, where port 0 is a free one, and waits until it listens.
    pub fn start(address: SocketAddr, upstream: SocketAddr) -> io::Result<Nginx> {
        // nginx takes no port 0. Between finding a free port and nginx taking it somebody else may.
        let attempts = if address.port() == 0 { 5 } else { 1 };
        let mut result = Err(ErrorKind::AddrInUse.into());
        for _ in 0..attempts {
            let address = TcpListener::bind(address)
                .and_then(|listener| listener.local_addr())
                .map_err(|error| {
                    let problem = match error.kind() {
                        ErrorKind::AddrInUse => "another program does already. Give another \
                            address after `--`, or 127.0.0.1:0 for any free port"
                            .to_owned(),
                        _ => error.to_string(),
                    };
                    io::Error::new(
                        error.kind(),
                        format!("cannot listen on {address}: {problem}"),
                    )
                })?;
            result = Nginx::start_on(address, upstream);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn start_on(address: SocketAddr, upstream: SocketAddr) -> io::Result<Nginx> {
        let folder = TempDir::with_prefix("sse-io-nginx-")?;
        let configuration = CONFIGURATION
            .replace("{listen}", &address.to_string())
            .replace("{upstream}", &upstream.to_string());
        std::fs::write(folder.path().join("nginx.conf"), configuration)?;
        let mut nginx = Nginx {
            process: spawn(&folder)?,
            address,
            folder,
        };
        nginx.wait_until_it_listens()?;
        Ok(nginx)
    }

    /// nginx writes the file with its process id once it has its port.
    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START;
        while !self.folder.path().join("nginx.pid").exists() {
            if let Some(status) = self.process.try_wait()? {
                return Err(io::Error::other(format!("nginx did not start: {status}")));
            }
            if Instant::now() >= deadline {
                let message = format!("nginx does not listen on {}", self.address);
                return Err(io::Error::new(ErrorKind::TimedOut, message));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What makes it stop when called, from any thread.
    pub fn stopper(&self) -> impl Fn() + Send + 'static {
        let process = Pid::from_child(&self.process);
        move || {
            // It may have stopped by itself: Ctrl-C reaches it, too.
            let _ = kill_process(process, Signal::TERM);
        }
    }

    /// Waits until it has stopped.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It is a single process, so nothing is left behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts nginx with the configuration in the folder, which it takes relative paths to be in.
fn spawn(folder: &TempDir) -> io::Result<Child> {
    // The latter is where Debian has it, which is not on everybody's path.
    for program in ["nginx", "/usr/sbin/nginx"] {
        let result = Command::new(program)
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        match result {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
    }
    Err(io::Error::new(
        ErrorKind::NotFound,
        "there is no nginx to start: install it, on Debian as the package `nginx`",
    ))
}

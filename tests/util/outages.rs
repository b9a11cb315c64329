//! A server process that is killed, stopped and started again while a client reads from it. The
//! events are numbered, so that one which is lost, comes twice or comes out of order is seen.
//!
//! Shared with the crate `tests/soak`; whoever includes it has `over_ureq` and the example `std_tcp`
//! beside it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use sse_io::client::State;
use sse_io::{Event, EventSource, http};

use super::over_ureq::Ureq;
use super::std_tcp;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Nothing takes this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server that is silent for so long has stopped. It never is, but for a busy machine, on which
/// the client reconnects once more than it had to.
const SILENCE: Duration = Duration::from_millis(500);

/// The data of an event, of very different lengths, so that streams are cut anywhere.
fn data(id: u64) -> String {
    let filler = usize::try_from(id * 7919 % 3001).expect("below a usize");
    format!("{id}\n{}", "x".repeat(filler))
}

// The server, in a process of its own.

/// Streams events without end, going on after `Last-Event-ID`, until standard input ends. Prints
/// its address once it listens.
pub fn serve(address: &str) -> io::Result<()> {
    thread::spawn(|| {
        // The process that started this one has ended: nobody would end this one.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let listener = TcpListener::bind(address)?;
    println!("\nlistening on {}", listener.local_addr()?);
    let limits = std_tcp::Limits {
        connections: 100,
        read_timeout: DEADLINE,
        write_timeout: DEADLINE,
    };
    std_tcp::serve(&listener, limits, stream);
    Ok(())
}

fn stream(request: &std_tcp::Request, connection: &TcpStream) -> io::Result<()> {
    let last = http::last_event_id(request.header("Last-Event-ID"), &request.target);
    let last: u64 = last.and_then(|id| id.parse().ok()).unwrap_or(0);
    let emitter = request.head().start(connection)?;
    for id in last + 1.. {
        emitter.emit(&Event::new(data(id)).with_id(id.to_string()))?;
    }
    Ok(())
}

/// The server process; killed when dropped.
struct Server {
    command: Command,
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts `command`, which is to [`serve`] at the address that is appended to it.
    fn start(command: fn(&str) -> Command) -> Result<Server, Failed> {
        // While the server is down its port is free. That no other test and no outgoing connection
        // gets it, they being at 127.0.0.1, is what another address of the same interface is for.
        let host = match cfg!(target_os = "linux") {
            true => Ipv4Addr::new(127, 83, 83, 69),
            false => Ipv4Addr::LOCALHOST,
        };
        let mut first = command(&format!("{host}:0"));
        let (process, address) = Server::spawn(&mut first)?;
        Ok(Server {
            command: command(&address.to_string()),
            process,
            address,
        })
    }

    fn spawn(command: &mut Command) -> Result<(Child, SocketAddr), Failed> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        for line in BufReader::new(stdout).lines() {
            if let Some(address) = line?.strip_prefix("listening on ") {
                return Ok((process, address.parse()?));
            }
        }
        Err(format!("the server did not start: {}", process.wait()?).into())
    }

    fn signal(&self, name: &str) -> Result<(), Failed> {
        let mut kill = Command::new("kill");
        let status = kill
            .args([&format!("-{name}"), &self.process.id().to_string()])
            .status()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("kill -{name}: {status}").into()),
        }
    }

    /// Kills it in the middle of whatever it does.
    fn kill(&mut self) -> Result<(), Failed> {
        self.signal("KILL")?;
        self.process.wait()?;
        Ok(())
    }

    /// Starts it again, at the same port.
    fn restart(&mut self) -> Result<(), Failed> {
        (self.process, _) = Server::spawn(&mut self.command)?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

// The client.

/// Reads until it is closed; what is wrong with the events, if anything, is the error.
fn read<C: sse_io::client::Connect>(
    mut source: EventSource<C>,
    progress: &Progress,
) -> Result<(), Failed> {
    let mut last = 0;
    while let Some(event) = source.next_event()? {
        let expected = last + 1;
        if event.id.as_deref() != Some(&*expected.to_string()) {
            return Err(format!("the id {:?} after {last}", event.id).into());
        }
        if event.data != data(expected) {
            return Err(
                format!("the event {expected} has other data than it was sent with").into(),
            );
        }
        last = expected;
        progress.note(|seen| seen.events = last);
    }
    Ok(())
}

/// How far the client is, for the thread that sees to the outages.
#[derive(Default)]
struct Progress {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    events: u64,
    /// How often it has begun to wait for another attempt.
    losses: u64,
    /// It reads no more.
    ended: bool,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Seen {
        *self.lock()
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait_until(&self, reached: impl Fn(&Seen) -> bool) -> Result<(), Failed> {
        let waits = |seen: &mut Seen| !seen.ended && !reached(seen);
        let result = self
            .changed
            .wait_timeout_while(self.lock(), DEADLINE, waits);
        let (seen, _) = result.unwrap_or_else(PoisonError::into_inner);
        match reached(&seen) {
            true => Ok(()),
            false => Err(format!("the client got no further than {:?}", *seen).into()),
        }
    }
}

// The outages.

/// What happens to the server.
#[derive(Clone, Copy, Debug)]
pub enum Outage {
    /// Killed, and started again when the client has been refused.
    Killed,
    /// Stopped, and continued when the client has met its silence twice: on the connection it had,
    /// and on one that the kernel still accepts.
    Stopped,
    /// Stopped, killed while it is, and started again at once.
    StoppedAndKilled,
}

impl Outage {
    const ALL: [Outage; 3] = [Outage::Killed, Outage::Stopped, Outage::StoppedAndKilled];

    fn happen(self, server: &mut Server, progress: &Progress) -> Result<(), Failed> {
        let before = progress.now().losses;
        let lost = |times: u64| progress.wait_until(move |seen| seen.losses >= before + times);
        match self {
            Outage::Killed => {
                server.kill()?;
                lost(2)?;
                server.restart()
            }
            Outage::Stopped => {
                server.signal("STOP")?;
                lost(2)?;
                server.signal("CONT")
            }
            Outage::StoppedAndKilled => {
                server.signal("STOP")?;
                lost(1)?;
                server.kill()?;
                server.restart()
            }
        }
    }
}

/// What there was to read.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub events: u64,
    pub losses: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { events, losses } = self;
        write!(f, "{events} events in order over {losses} losses")
    }
}

/// Has a client read through so many outages of a server. `command` is what starts [`serve`] at an
/// address; `told` hears of each round.
///
/// # Errors
///
/// What the client lost or got twice, or what could not be done to the server.
pub fn survive(
    rounds: usize,
    command: fn(&str) -> Command,
    mut told: impl FnMut(usize, Outage, Report),
) -> Result<Report, Failed> {
    let mut server = Server::start(command)?;
    let url = format!("http://{}/", server.address);
    let progress = Arc::new(Progress::default());
    let losses = Arc::clone(&progress);
    let source = EventSource::with_connect(Ureq {
        url,
        patience: SILENCE,
    })
    .with_reconnection_time(Duration::from_millis(10))
    .with_reconnection_limits(Duration::from_millis(10), Duration::from_millis(100))
    .on_state(move |state| {
        if matches!(state, State::Waiting { .. }) {
            losses.note(|seen| seen.losses += 1);
        }
    });
    let closer = source.closer();
    let client = Arc::clone(&progress);
    let client = thread::spawn(move || {
        let result = read(source, &client);
        client.note(|seen| seen.ended = true);
        result
    });
    let report = || {
        let Seen { events, losses, .. } = progress.now();
        Report { events, losses }
    };
    let mut outages = || {
        for (round, outage) in Outage::ALL.into_iter().cycle().take(rounds).enumerate() {
            // Each at another moment of the connection's life.
            let enough = progress.now().events + 1 + (round as u64 * 131) % 400;
            progress.wait_until(|seen| seen.events >= enough)?;
            outage.happen(&mut server, &progress)?;
            told(round + 1, outage, report());
        }
        let enough = progress.now().events + 1000;
        progress.wait_until(|seen| seen.events >= enough)
    };
    let result = outages();
    closer.close();
    // What the client has found says more than that it went no further.
    client.join().map_err(|_| "the client has panicked")??;
    result?;
    Ok(report())
}

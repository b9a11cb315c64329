//! cargo run --release --manifest-path tests/load/Cargo.toml -- [--server std|tiny_http|fanout]
//!     [--streams 5000] [--events 20] [--pace MILLISECONDS] [--heartbeat-threads] [--stalled 0]
//!
//! Opens many streams at once, checks that each gets every event, and prints what a stream costs and
//! how late events are. Linux only.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sse_io_load::clients::Clients;
use sse_io_load::first_event::{Sending, measure};
use sse_io_load::server::{self, Kind, Plan, Stage};
use sse_io_load::usage::Usage;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const METHOD: &str = "\
method
  The server is this process, the clients are another, which reads all streams on one thread.
  Costs are those of this process from /proc/self (threads, open files, VmRSS), less what it had
  before the first client came. The kernel's own memory (sockets, a thread's kernel stack) is not in
  them. Each client wants the ids 1, 2, 3 … and the last chunk, or its stream is not whole.
  Latency is from before an event is encoded to when its client has read it, by the system's clock,
  with all streams emitting at the pace given and out of step with each other; the fan-out's streams
  get each event all at once.";

/// Files that a process has open for other purposes.
const SPARE_FILES: usize = 64;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut kind = Kind::Std;
    let mut heartbeats = false;
    let mut plan = Plan {
        streams: 5000,
        events: 20,
        pace: Duration::from_secs(1),
        stalled: 0,
    };
    let mut server: Option<SocketAddr> = None;
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{option} wants a value"));
        match option.as_str() {
            "--server" => kind = value()?.parse()?,
            "--streams" => plan.streams = value()?.parse()?,
            "--events" => plan.events = value()?.parse()?,
            "--pace" => plan.pace = Duration::from_millis(value()?.parse()?),
            "--stalled" => plan.stalled = value()?.parse()?,
            "--heartbeat-threads" => heartbeats = true,
            // How this program starts itself as the clients.
            "--clients-of" => server = Some(value()?.parse()?),
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    if plan.streams == 0 {
        return Err("no streams".into());
    }
    if plan.stalled > 0 && kind != Kind::Fanout && server.is_none() {
        return Err("clients that never read are the fan-out's".into());
    }
    if heartbeats && kind == Kind::Fanout {
        return Err("a fan-out has no heartbeat threads".into());
    }
    match server {
        Some(server) => be_clients(server, plan),
        None => be_server(kind, plan, heartbeats),
    }
}

/// The limit on open files, raised as far as it goes, has to suffice for so many.
fn raise_file_limit(wanted: usize) -> Result<()> {
    let wanted = u64::try_from(wanted)?;
    let limit = rlimit::increase_nofile_limit(wanted)?;
    if limit < wanted {
        let message = format!("{wanted} open files are needed and {limit} allowed: `ulimit -n`");
        return Err(message.into());
    }
    Ok(())
}

fn be_server(kind: Kind, plan: Plan, heartbeats: bool) -> Result<()> {
    // tiny_http has its socket twice, for reading and for writing.
    let files = if kind == Kind::TinyHttp { 2 } else { 1 };
    raise_file_limit((plan.streams + plan.stalled) * files + SPARE_FILES)?;
    println!(
        "{} streams by {kind:?}, {} events each, one every {:?}",
        plan.streams, plan.events, plan.pace
    );
    println!("{METHOD}\n");

    let (address, gate) = server::start(kind, plan)?;
    let mut clients = Command::new(std::env::current_exe()?)
        .args(["--clients-of", &address.to_string()])
        .args(["--streams", &plan.streams.to_string()])
        .args(["--events", &plan.events.to_string()])
        .args(["--stalled", &plan.stalled.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = clients.stdin.take().ok_or("the clients have no input")?;
    let stdout = clients.stdout.take().ok_or("the clients have no output")?;
    let mut lines = BufReader::new(stdout).lines();
    // The clients wait for a word, so that the pipes to them do not count as the streams' files.
    let before = Usage::now()?;
    let started = Instant::now();
    stdin.write_all(b"go\n")?;
    let all_open = lines.next().transpose()?.is_some();
    if all_open {
        gate.wait_for_opened(plan.streams + plan.stalled);
        let took = started.elapsed();
        println!("open     {} in {took:.1?}", plan.streams);
        let usage = Usage::now()?;
        println!("a stream {}", usage.per_stream(before, plan.streams));
        println!("threads  {} in all", usage.threads);
        if heartbeats {
            gate.open(Stage::Heartbeats);
            gate.wait_for_heartbeats(plan.streams);
            let usage = Usage::now()?;
            let costs = usage.per_stream(before, plan.streams);
            println!("with its heartbeat thread {costs}");
        }
        gate.open(Stage::Emitting);
        for line in lines {
            println!("{}", line?);
        }
    }
    let status = clients.wait()?;
    for failure in gate.failures() {
        eprintln!("server: {failure}");
    }
    if !status.success() {
        return Err("not every stream was whole".into());
    }
    Ok(print_first_events()?)
}

fn be_clients(server: SocketAddr, plan: Plan) -> Result<()> {
    raise_file_limit(plan.streams + plan.stalled + SPARE_FILES)?;
    io::stdin().read_line(&mut String::new())?;
    let clients = Clients::connect(server, plan.streams, plan.stalled)?;
    println!("open");
    let report = clients.read_to_end(plan.events)?;
    println!("whole    {} of {}", report.whole, plan.streams);
    println!("latency  {report}");
    for broken in report.broken.iter().take(10) {
        eprintln!("{broken}");
    }
    if report.broken.is_empty() {
        Ok(())
    } else {
        Err(format!("{} streams are not whole", report.broken.len()).into())
    }
}

fn print_first_events() -> io::Result<()> {
    println!("\na stream on a connection that was used before: open, and its first event (median)");
    for (head_apart, nodelay, what) in [
        (true, false, "head, first block and event in a write each"),
        (false, false, "head and first block in one write"),
        (true, true, "in a write each, with TCP_NODELAY"),
        (false, true, "head and first block in one, with TCP_NODELAY"),
    ] {
        let latency = measure(Sending {
            head_apart,
            nodelay,
        })?;
        let (open, event) = (latency.open, latency.event);
        println!("  {what:<45} open {open:.2?}, event {event:.2?}");
    }
    Ok(())
}

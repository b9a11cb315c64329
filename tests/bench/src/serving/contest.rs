//! Servers that take turns, and what each costs.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use super::clients::{Clients, connect};
use super::raise_file_limit;
use super::server::Kind;
use crate::go::Go;
use crate::statistics::{median, percentile};

/// How much is published in a round.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many clients each server has.
    pub clients: usize,
    /// How often every client is waited for.
    pub bursts: usize,
    /// How many events are published back to back.
    pub events: usize,
}

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Seconds by the clock, from the first publish until the last client has the last event.
    pub wall: f64,
    /// Seconds of CPU time that the server took.
    pub cpu: f64,
    /// Seconds by the clock that a call to publish took, the median.
    pub publishing: f64,
    /// Events that arrived, over all clients.
    pub deliveries: f64,
    /// Bytes that arrived.
    pub bytes: f64,
}

/// What all rounds of one server came to.
#[derive(Debug)]
pub struct Outcome {
    /// The server.
    pub kind: Kind,
    /// Round by round.
    pub rounds: Vec<Round>,
    /// From publish to receipt, in seconds: not exceeded by half of the events.
    pub p50: f64,
    /// Not exceeded by 99 of 100.
    pub p99: f64,
}

impl Outcome {
    /// The median over the rounds.
    pub fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }

    /// How often the other's figure this one's is: the median of the rounds' ratios.
    pub fn times(&self, other: &Outcome, of: impl Fn(&Round) -> f64) -> f64 {
        let rounds = self.rounds.iter().zip(&other.rounds);
        median(
            &rounds
                .map(|(own, other)| of(own) / of(other))
                .collect::<Vec<_>>(),
        )
    }
}

/// The programs that serve.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'a> {
    /// This one, for all that are not in Go.
    pub own: &'a Path,
    /// Those in Go, where they could be built.
    pub go: Option<&'a Go>,
}

impl Programs<'_> {
    /// The servers that there are.
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        let is_there = move |kind: &Kind| self.go.is_some() || !kind.is_go();
        Kind::ALL.into_iter().filter(is_there)
    }

    /// Starts a server. It serves until it is told nothing more.
    fn start(self, kind: Kind, connections: usize) -> io::Result<Child> {
        let program = match self.go {
            Some(go) if kind.is_go() => go.program(),
            _ => self.own.to_owned(),
        };
        Command::new(program)
            .args(["--serve-as", kind.option(), "--connections"])
            .arg(connections.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    }
}

/// A server process with its clients. Ends with this value.
#[derive(Debug)]
pub struct Running {
    kind: Kind,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
    clients: Clients,
}

impl Running {
    /// Starts a server, and connects the clients.
    pub fn start(programs: Programs<'_>, kind: Kind, clients: usize) -> io::Result<Running> {
        let mut process = programs.start(kind, clients + 1)?;
        let input = process.stdin.take();
        let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut output = BufReader::new(output);
        let mut address = String::new();
        output.read_line(&mut address)?;
        let address = address.trim().parse().map_err(io::Error::other)?;
        Ok(Running {
            kind,
            process,
            input,
            output,
            address,
            clients: Clients::connect(address, clients)?,
        })
    }

    fn tell(&mut self, line: &str) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(line.as_bytes())
    }

    /// The seconds of CPU time since the start, and those of a call to publish since the last time.
    fn cost(&mut self) -> io::Result<(f64, f64)> {
        self.tell("cost\n")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let mut numbers = line.split_whitespace().map(|number| number.parse::<f64>());
        match (numbers.next(), numbers.next()) {
            (Some(Ok(cpu)), Some(Ok(publishing))) => Ok((cpu * 1e-9, publishing * 1e-9)),
            _ => Err(io::Error::other(format!("the server said {line}"))),
        }
    }

    /// Publishes so many bursts, each when every client has the one before.
    pub fn round(&mut self, load: Load) -> io::Result<Round> {
        let (cpu, _) = self.cost()?;
        let bytes = self.clients.bytes;
        let started = Instant::now();
        let line = format!("{}\n", load.events);
        for _ in 0..load.bursts {
            self.tell(&line)?;
            self.clients.receive(load.events)?;
        }
        let wall = started.elapsed().as_secs_f64();
        let (cpu_after, publishing) = self.cost()?;
        Ok(Round {
            wall,
            cpu: cpu_after - cpu,
            publishing,
            deliveries: (load.bursts * load.events * self.clients.count()) as f64,
            bytes: (self.clients.bytes - bytes) as f64,
        })
    }

    fn outcome(self, rounds: Vec<Round>) -> Outcome {
        let seconds = |&nanoseconds: &u64| nanoseconds as f64 * 1e-9;
        let latencies: Vec<_> = self.clients.latencies.iter().map(seconds).collect();
        Outcome {
            kind: self.kind,
            rounds,
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.input.take());
        // A hub's threads serve until their clients have gone, so it is not waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Has all servers take turns under the same load.
pub fn contest(programs: Programs<'_>, load: Load, rounds: usize) -> Result<Vec<Outcome>, String> {
    raise_file_limit(load.clients * programs.kinds().count())?;
    let run = || {
        let start = |kind| Running::start(programs, kind, load.clients);
        let mut servers = programs
            .kinds()
            .map(start)
            .collect::<io::Result<Vec<_>>>()?;
        take_turns(&mut servers, load, rounds).map(|measured| {
            let each = servers.into_iter().zip(measured);
            each.map(|(server, rounds)| server.outcome(rounds))
                .collect()
        })
    };
    run().map_err(|error: io::Error| error.to_string())
}

fn take_turns(servers: &mut [Running], load: Load, rounds: usize) -> io::Result<Vec<Vec<Round>>> {
    let mut measured = vec![Vec::new(); servers.len()];
    for round in 0..=rounds {
        for turn in 0..servers.len() {
            let server = (round + turn) % servers.len();
            let result = servers[server].round(load)?;
            if round == 0 {
                // Threads, buffers and sockets have grown now.
                servers[server].clients.latencies.clear();
            } else {
                measured[server].push(result);
            }
        }
    }
    Ok(measured)
}

/// How many times as long a publish takes while one subscriber more never reads, and the median of
/// the calls without it, in seconds.
pub fn stalled(
    programs: Programs<'_>,
    kind: Kind,
    clients: usize,
    rounds: usize,
) -> Result<(f64, f64), String> {
    let load = Load {
        clients,
        bursts: 20,
        events: 128,
    };
    let run = || {
        let start = || Running::start(programs, kind, load.clients);
        let mut servers = [start()?, start()?];
        let _stalled: TcpStream = connect(servers[1].address)?;
        // More than the sockets' buffers can take.
        let fill = Load {
            bursts: 400,
            ..load
        };
        take_turns(&mut servers, fill, 0)?;
        take_turns(&mut servers, load, rounds)
    };
    let measured = run().map_err(|error: io::Error| error.to_string())?;
    let each = |rounds: &[Round]| {
        rounds
            .iter()
            .map(|round| round.publishing)
            .collect::<Vec<_>>()
    };
    let (without, with) = (each(&measured[0]), each(&measured[1]));
    Ok((crate::statistics::ratio(&with, &without), median(&without)))
}

//! What the command line asks for.

use crate::streams;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Readers, and those in Go.
    Read,
    /// Readers at many chunk sizes.
    Chunks,
    /// Writers.
    Write,
    /// Servers, over sockets.
    Serve,
}

/// How to measure it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What to measure; all of it when this is empty.
    parts: Vec<Part>,
    /// Rounds, where they were asked for.
    rounds: Option<usize>,
    /// One stream instead of all.
    stream: Option<String>,
    /// How many clients a server has, where it was asked for.
    clients: Option<usize>,
    /// Less of everything.
    pub quick: bool,
    /// Once more for the very processor of this machine.
    pub native: bool,
}

/// The words for the command line.
pub const USAGE: &str = "\
usage: cargo run --release --manifest-path tests/bench/Cargo.toml -- [PART…] [OPTION…]

parts (default: all)
  read    streams into events, against the peers, the floors and Go
  chunks  the same at chunk sizes from 128 B to 64 KiB
  write   events into streams
  serve   one publisher and many connections, against axum, tokio and Go

options
  --quick        less than a minute: smaller streams, fewer rounds
  --stream NAME  one stream instead of all
  --clients N    servers with so many clients instead of 1, 100 and 1,000
  --rounds N     default: 11, with --quick 3
  --native       everything a second time, compiled for this machine's processor";

impl Options {
    /// Takes the arguments behind the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            parts: Vec::new(),
            rounds: None,
            stream: None,
            clients: None,
            quick: false,
            native: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
            match argument.as_str() {
                "read" => options.parts.push(Part::Read),
                "chunks" => options.parts.push(Part::Chunks),
                "write" => options.parts.push(Part::Write),
                "serve" => options.parts.push(Part::Serve),
                "--quick" => options.quick = true,
                "--native" => options.native = true,
                "--rounds" => options.rounds = Some(number(&value()?)?),
                "--clients" => options.clients = Some(number(&value()?)?),
                "--stream" => {
                    let name = value()?;
                    if !streams::names().any(|known| known == name) {
                        let known: Vec<_> = streams::names().collect();
                        return Err(format!("no stream {name} but {}", known.join(", ")));
                    }
                    options.stream = Some(name);
                }
                _ => return Err(format!("unknown argument {argument}")),
            }
        }
        Ok(options)
    }

    /// Whether this part was asked for.
    pub fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    /// In how many rounds to measure.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 11 })
    }

    /// How many clients the servers have, in one contest after the other.
    pub fn clients(&self) -> Vec<usize> {
        self.clients
            .map_or(vec![1, 100, 1000], |clients| vec![clients])
    }

    /// The streams to measure on.
    pub fn streams(&self) -> Vec<streams::Stream> {
        let size = if self.quick { 512 << 10 } else { 4 << 20 };
        match &self.stream {
            Some(name) => streams::named(name, size).into_iter().collect(),
            None => streams::all(size),
        }
    }
}

fn number(value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or(format!("{value} is no number above zero"))
}

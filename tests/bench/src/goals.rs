//! What this crate wants to reach, beside what it did.

use crate::measure::{Measured, Role};
use crate::reading::{self, EVENT_AT_A_TIME};
use crate::serving;
use crate::streams::Stream;
use crate::table::{Table, number, times};
use crate::writing;

/// How many times as fast as the best peer the default way of reading is to be.
fn reading_goal(stream: &str) -> Option<f64> {
    Some(match stream {
        "openai" => 2.0,
        "openai-crlf" => 1.8,
        "openai-cjk" => 1.25,
        "anthropic" => 3.0,
        "tiny" => 3.8,
        "id-event" => 4.2,
        "heartbeats" => 2.1,
        "long-lines" => 0.75,
        "1mib-line" => 1.2,
        _ => return None,
    })
}

/// The same for the push parser that is fed with one event or one heartbeat at a time.
fn singly_goal(stream: &str) -> Option<f64> {
    Some(match stream {
        "openai" | "openai-crlf" | "tiny" => 1.5,
        "anthropic" => 2.0,
        "id-event" => 2.1,
        "heartbeats" => 1.7,
        "1mib-line" => 1.0,
        _ => return None,
    })
}

/// A comparison, and what it is to come to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The stream, or the load.
    pub stream: String,
    /// Which of ours.
    pub ours: String,
    /// Whom with.
    pub other: String,
    /// How many times as fast ours is.
    pub ratio: f64,
    /// What it is to be, where anything was laid down.
    pub goal: Option<f64>,
}

impl Outcome {
    fn of(stream: &str, ours: &Measured, other: &Measured, goal: Option<f64>) -> Self {
        let name = |one: &Measured| format!("{}, {}", one.name, one.setup);
        Outcome {
            stream: stream.to_owned(),
            ours: name(ours),
            other: name(other),
            ratio: ours.times_as_fast_as(other),
            goal,
        }
    }

    /// Where the goal is reached: `ok`, `below` or nothing to say.
    pub fn verdict(&self) -> &'static str {
        match self.goal {
            None => "",
            Some(goal) if self.ratio >= goal => "ok",
            Some(_) => "below",
        }
    }
}

fn find<'m>(measured: &'m [Measured], name: &str, setup: &str) -> Option<&'m Measured> {
    let is_it = |one: &&Measured| one.name == name && one.setup == setup;
    measured
        .iter()
        .find(is_it)
        .filter(|one| one.wrong.is_none())
}

/// The fastest peer of those that the condition holds for. A wrong answer is not ranked.
pub fn best_peer(
    measured: &[Measured],
    condition: impl Fn(&Measured) -> bool,
) -> Option<&Measured> {
    let ranked = |one: &&Measured| {
        one.role == Role::Peer && one.wrong.is_none() && !one.seconds.is_empty() && condition(one)
    };
    let peers = measured.iter().filter(ranked);
    peers.min_by(|one, other| one.median().total_cmp(&other.median()))
}

/// The reading goals of one stream: lent and owned in pieces, an event at a time, the client beside
/// the reader, and the reader beside the floor.
pub fn of_reading(stream: &str, measured: &[Measured]) -> Vec<Outcome> {
    let ours = |(name, setup)| find(measured, name, setup);
    let reader = ours(reading::DEFAULT);
    let in_pieces = best_peer(measured, |one| one.setup != EVENT_AT_A_TIME);
    let singly = best_peer(measured, |one| one.setup == EVENT_AT_A_TIME);
    let floor = measured.iter().find(|one| one.name == reading::LIMIT);
    let short = !is_long(stream);
    let mut rows = vec![
        (reader, in_pieces, reading_goal(stream)),
        (ours(reading::OWNED), in_pieces, short.then_some(1.0)),
        (
            ours((reading::PARSER, EVENT_AT_A_TIME)),
            singly,
            singly_goal(stream),
        ),
        (reader, floor, None),
    ];
    rows.extend(reading::CLIENTS.map(|client| (ours(client), reader, Some(0.95))));
    rows.into_iter()
        .filter_map(|(ours, other, goal)| Some(Outcome::of(stream, ours?, other?, goal)))
        .collect()
}

/// The writing goals of one stream: beside the best peer, the naive loop and the floor.
pub fn of_writing(stream: &str, measured: &[Measured]) -> Vec<Outcome> {
    let (name, setup) = writing::DEFAULT;
    let Some(ours) = find(measured, name, setup) else {
        return Vec::new();
    };
    let counts = stream == "openai";
    let naive = find(measured, writing::REFERENCE.0, writing::REFERENCE.1);
    let floor = measured.iter().find(|one| one.name == writing::LIMIT);
    let crates = best_peer(measured, |one| one.name != writing::REFERENCE.0);
    [
        (naive, counts.then_some(1.7)),
        (floor, counts.then_some(1.0 / 1.5)),
        (crates, None),
    ]
    .into_iter()
    .filter_map(|(other, goal)| Some(Outcome::of(stream, ours, other?, goal)))
    .collect()
}

/// A load of serving: what is published back to back can be sent in one write.
pub const BURSTS: &str = "bursts of 128 events";
/// A load of serving: each event is a wake-up of each thread.
pub const SINGLY: &str = "one event at a time";

/// The goals of serving, in deliveries per second of CPU time: ours beside axum, the fan-out beside a
/// thread for each connection where there is one alone, and a topic beside publishing to everyone.
pub fn of_serving(clients: usize, mode: &str, servers: &[serving::Outcome]) -> Vec<Outcome> {
    use serving::Kind::{Axum, Fanout, Hub, Topic};
    let pairs = [(Hub, Axum), (Fanout, Axum), (Fanout, Hub), (Topic, Fanout)];
    let goal = |pair| match (pair, clients, mode) {
        ((Fanout, Axum), 1000, BURSTS) => Some(4.0),
        ((Fanout, Axum), 1000, _) => Some(1.6),
        ((Fanout, Axum), 100, SINGLY) => Some(1.5),
        ((Hub, Axum), 1000, BURSTS) => Some(1.5),
        ((Fanout, Hub), 1, _) => Some(1.0),
        ((Topic, Fanout), ..) => Some(0.95),
        _ => None,
    };
    let find = |kind| servers.iter().find(|server| server.kind == kind);
    let outcome = |(of, other)| {
        let (ours, theirs) = (find(of)?, find(other)?);
        Some(Outcome {
            stream: format!("clients: {clients}, {mode}"),
            ours: of.name().to_owned(),
            other: other.name().to_owned(),
            ratio: ours.times(theirs, |round| round.deliveries / round.cpu),
            goal: goal((of, other)),
        })
    };
    pairs.into_iter().filter_map(outcome).collect()
}

/// Allocations per event of ours, by stream. The goal is none, but for what is given out owned.
#[derive(Debug, Default)]
pub struct Allocations {
    streams: Vec<String>,
    /// Name and set-up, then the figure for each stream.
    ours: Vec<(String, String, Vec<f64>)>,
}

impl Allocations {
    /// Below this, what is left is that of buffers that grow once.
    const NONE: f64 = 0.01;

    /// Adds what was measured on a stream.
    pub fn stream(&mut self, stream: &Stream, measured: &[Measured]) {
        let of = |one: &&Measured| one.role == Role::Ours && !one.name.ends_with("owned");
        for one in measured.iter().filter(of) {
            let figure = one.allocations as f64 / stream.sent.len() as f64;
            let row = self
                .ours
                .iter_mut()
                .find(|row| (&row.0, &row.1) == (&one.name, &one.setup));
            match row {
                Some(row) => row.2.push(figure),
                None => self
                    .ours
                    .push((one.name.clone(), one.setup.clone(), vec![figure])),
            }
        }
        self.streams.push(stream.name.to_owned());
    }

    /// A row for each of ours, a column for each stream.
    pub fn table(&self) -> Table {
        let caption = "Allocations per event of ours, first growth of buffers included: the last two \
                       streams have few events.";
        let mut head = vec!["ours", "how", "verdict"];
        head.extend(self.streams.iter().map(|name| &**name));
        let mut table = Table::new(caption, 3, &head);
        for (name, setup, figures) in &self.ours {
            let many_events = figures
                .iter()
                .zip(&self.streams)
                .filter(|(_, name)| !is_long(name));
            let none = many_events
                .map(|(figure, _)| *figure)
                .all(|figure| figure < Self::NONE);
            let verdict = if none { "ok" } else { "below" };
            let mut row = vec![name.clone(), setup.clone(), verdict.to_owned()];
            row.extend(figures.iter().copied().map(number));
            table.row(row);
        }
        table
    }
}

/// Whether a stream is one of the two with long lines, which some goals are not laid down for.
pub fn is_long(stream: &str) -> bool {
    matches!(stream, "long-lines" | "1mib-line")
}

/// All outcomes, with a verdict where a goal was laid down.
pub fn table(caption: &str, outcomes: &[Outcome]) -> Table {
    let head = ["of", "ours", "against", "verdict", "times as fast", "goal"];
    let mut table = Table::new(caption, 4, &head);
    for outcome in outcomes {
        table.row([
            outcome.stream.clone(),
            outcome.ours.clone(),
            outcome.other.clone(),
            outcome.verdict().to_owned(),
            times(outcome.ratio),
            outcome.goal.map_or(String::new(), times),
        ]);
    }
    table
}

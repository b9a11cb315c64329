//! What was measured, as tables.

use crate::goals::is_long;
use crate::measure::{Measured, Role};
use crate::serving::{Kind, Outcome, Round};
use crate::streams::Stream;
use crate::table::{Table, number, times};

/// The streams, and what is in them.
pub fn streams(streams: &[Stream]) -> Table {
    let head = ["stream", "what it is", "MB", "events", "B per event"];
    let mut table = Table::new("The streams, generated from fixed seeds.", 2, &head);
    for stream in streams {
        let (bytes, events) = (stream.bytes.len() as f64, stream.sent.len());
        table.row([
            stream.name.to_owned(),
            stream.about.to_owned(),
            number(bytes / 1e6),
            events.to_string(),
            number(bytes / events as f64),
        ]);
    }
    table
}

/// Contenders by role and speed, with their ratio to one of them. Those with a wrong answer come
/// last, unranked.
pub fn contenders(
    caption: String,
    measured: &[Measured],
    (bytes, events): (usize, usize),
    reference: (&str, &str),
) -> Table {
    let ratio = format!("x {}", reference.0);
    let head = [
        "contender",
        "how",
        "GB/s",
        "best",
        "M ev/s",
        "ns/ev",
        "allocs/ev",
        &ratio,
    ];
    let mut table = Table::new(caption, 2, &head);
    let is_reference = |one: &&Measured| (&*one.name, &*one.setup) == reference;
    let reference = measured.iter().find(is_reference);
    let mut ranked: Vec<_> = measured.iter().collect();
    ranked.sort_by(|one, other| {
        let key = |one: &Measured| (one.wrong.is_some(), one.role);
        key(one)
            .cmp(&key(other))
            .then(one.median().total_cmp(&other.median()))
    });
    for one in ranked {
        let mut row = vec![one.name.clone(), one.setup.clone()];
        if let Some(wrong) = &one.wrong {
            row.push("WRONG".into());
            table.note(format!("{}, {}: {wrong}", one.name, one.setup));
        } else {
            let per_event = one.median() / events as f64;
            row.push(number(bytes as f64 / one.median() / 1e9));
            row.push(number(bytes as f64 / one.best() / 1e9));
            row.push(number(1e-6 / per_event));
            row.push(number(per_event * 1e9));
            row.push(match one.role {
                Role::Floor => String::new(),
                _ => number(one.allocations as f64 / events as f64),
            });
            row.push(reference.map_or(String::new(), |other| times(one.times_as_fast_as(other))));
        }
        table.row(row);
    }
    table
}

/// Ratios by chunk size, a stream in each row.
#[derive(Debug)]
pub struct Cliffs {
    table: Table,
}

impl Cliffs {
    /// A table without rows.
    pub fn new(caption: &str, sizes: &[usize]) -> Self {
        let mut head = vec!["stream".to_owned(), "verdict".into()];
        head.extend(sizes.iter().map(usize::to_string));
        head.push("worst".into());
        let head: Vec<_> = head.iter().map(|name| &**name).collect();
        Cliffs {
            table: Table::new(caption, 2, &head),
        }
    }

    /// Adds the row of a stream: the ratio for each size.
    pub fn stream(&mut self, name: &str, ratios: &[f64]) {
        let worst = crate::statistics::least(ratios);
        let verdict = match name {
            _ if is_long(name) => "",
            _ if worst >= 1.0 => "ok",
            _ => "below",
        };
        let mut row = vec![name.to_owned(), verdict.into()];
        row.extend(ratios.iter().copied().map(number));
        row.push(times(worst));
        self.table.row(row);
    }

    /// The table, done.
    pub fn table(self) -> Table {
        self.table
    }
}

/// Servers under the same load.
pub fn servers(caption: String, servers: &[Outcome]) -> Table {
    let head = [
        "server",
        "deliveries/s",
        "MB/s",
        "per CPU s",
        "CPU us each",
        "x axum",
        "p50",
        "p99",
    ];
    let mut table = Table::new(caption, 1, &head);
    let axum = servers.iter().find(|server| server.kind == Kind::Axum);
    let per_cpu = |round: &Round| round.deliveries / round.cpu;
    for server in servers {
        table.row([
            server.kind.name().to_owned(),
            number(server.median(|round| round.deliveries / round.wall)),
            number(server.median(|round| round.bytes / round.wall / 1e6)),
            number(server.median(per_cpu)),
            number(server.median(|round| round.cpu / round.deliveries * 1e6)),
            axum.map_or(String::new(), |axum| times(server.times(axum, per_cpu))),
            time(server.p50),
            time(server.p99),
        ]);
    }
    table
}

/// A span of time, in seconds, with its unit.
pub fn time(seconds: f64) -> String {
    match seconds {
        _ if !seconds.is_finite() => "-".into(),
        _ if seconds < 1e-3 => format!("{} us", number(seconds * 1e6)),
        _ if seconds < 1.0 => format!("{} ms", number(seconds * 1e3)),
        _ => format!("{} s", number(seconds)),
    }
}

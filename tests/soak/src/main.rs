//! cargo run --release --manifest-path tests/soak/Cargo.toml -- client [--rounds 50]
//! cargo run --release --manifest-path tests/soak/Cargo.toml -- hub [--minutes 3 | --seconds 180]
//! cargo run --release --manifest-path tests/soak/Cargo.toml -- all [--minutes 3 | --seconds 180]
//!
//! Goes on with what the tests do for seconds: `client` reads from a server process that is killed,
//! stopped and started again, and checks that nothing is lost, doubled or out of order. `hub` has 8
//! publishers and 200 subscribers that join and leave at random, in the process and over sockets, and
//! checks that what is missing was told, and how much. `all` is both at once, with a fan-out whose
//! clients stall and reset behind a proxy, and a store for two hubs whose disk is full again and again;
//! it ends with a table. Unix only; `hub` and `all` Linux only.

mod all;
mod client;
mod disk;
mod fanout;
mod hub;
mod numbered;
#[allow(dead_code, unreachable_pub)]
#[path = "../../util/outages.rs"]
mod outages;
#[allow(unreachable_pub)]
#[path = "../../util/over_ureq.rs"]
mod over_ureq;
#[expect(unreachable_pub, reason = "shared with the tests")]
#[path = "../../util/rng.rs"]
mod rng;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../examples/std_tcp.rs"]
mod std_tcp;

use std::error::Error;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: soak client [--rounds N] | {hub | all} [--minutes N | --seconds N]";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("all") => all::run(arguments),
        Some("client") => client::run(arguments),
        Some("hub") => hub::run(arguments),
        // How this program starts itself as the server.
        Some("serve") => Ok(outages::serve(&arguments.next().ok_or(USAGE)?)?),
        _ => Err(USAGE.into()),
    }
}

/// How long to go on: three minutes unless the arguments say otherwise.
fn duration(mut arguments: impl Iterator<Item = String>) -> Result<Duration> {
    let mut time = Duration::from_secs(180);
    while let Some(option) = arguments.next() {
        let unit = match option.as_str() {
            "--minutes" => 60,
            "--seconds" => 1,
            _ => return Err(format!("unknown option {option}").into()),
        };
        let number: u64 = arguments.next().ok_or(USAGE)?.parse()?;
        time = Duration::from_secs(number * unit);
    }
    Ok(time)
}

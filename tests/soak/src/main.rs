//! cargo run --release --manifest-path tests/soak/Cargo.toml -- client [--rounds 50]
//! cargo run --release --manifest-path tests/soak/Cargo.toml -- hub [--minutes 3 | --seconds 180]
//!
//! Goes on with what the tests do for seconds: `client` reads from a server process that is killed,
//! stopped and started again, and checks that nothing is lost, doubled or out of order. `hub` has 8
//! publishers and 200 subscribers that join and leave at random, in the process and over sockets, and
//! checks that what is missing was told, and how much. Unix only; `hub` Linux only.

mod client;
mod hub;
#[allow(dead_code, unreachable_pub)]
#[path = "../../util/outages.rs"]
mod outages;
#[expect(unreachable_pub, reason = "shared with the tests")]
#[path = "../../util/rng.rs"]
mod rng;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../examples/std_tcp.rs"]
mod std_tcp;

use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: soak client [--rounds N] | hub [--minutes N | --seconds N]";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("client") => client::run(arguments),
        Some("hub") => hub::run(arguments),
        // How this program starts itself as the server.
        Some("serve") => Ok(outages::serve(&arguments.next().ok_or(USAGE)?)?),
        _ => Err(USAGE.into()),
    }
}

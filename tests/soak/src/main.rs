//! cargo run --release --manifest-path tests/soak/Cargo.toml -- client [--rounds 50]
//!
//! Goes on with what the tests do for seconds: `client` reads from a server process that is killed,
//! stopped and started again, and checks that nothing is lost, doubled or out of order. Unix only.

mod client;
#[allow(dead_code, unreachable_pub)]
#[path = "../../util/outages.rs"]
mod outages;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../examples/std_tcp.rs"]
mod std_tcp;

use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: soak client [--rounds N]";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("client") => client::run(arguments),
        // How this program starts itself as the server.
        Some("serve") => Ok(outages::serve(&arguments.next().ok_or(USAGE)?)?),
        _ => Err(USAGE.into()),
    }
}

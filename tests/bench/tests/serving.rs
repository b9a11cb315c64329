//! All servers reach all of their clients, and a crowd is reached in the process.

use std::path::Path;

use sse_io_bench::go::Go;
use sse_io_bench::serving::{Load, Programs, contest, wait};

#[test]
fn every_client_gets_every_event() {
    let load = Load {
        clients: 3,
        bursts: 4,
        events: 50,
    };
    let go = Go::build();
    if let Err(missing) = &go {
        eprintln!("no server in Go tested, {missing}");
    }
    let programs = Programs {
        own: Path::new(env!("CARGO_BIN_EXE_sse-io-bench")),
        go: go.as_ref().ok(),
    };
    let servers = contest(programs, load, 2).unwrap();
    assert_eq!(servers.len(), if go.is_ok() { 7 } else { 4 });
    for server in servers {
        assert_eq!(server.rounds.len(), 2);
        for round in &server.rounds {
            assert_eq!(round.deliveries, 600.0);
            assert!(round.bytes > 600.0 * 200.0);
            assert!(round.cpu > 0.0 && round.publishing > 0.0);
        }
        assert!(server.p50 > 0.0 && server.p50 <= server.p99);
    }
}

#[test]
fn a_crowd_gets_what_is_for_all_and_one_what_is_for_it() {
    let waiting = wait(50, 2).unwrap();
    assert!(waiting.to_all <= waiting.all_have_it);
    assert!(waiting.to_one <= waiting.one_has_it);
}

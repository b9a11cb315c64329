//! Both servers reach all of their clients, and a crowd is reached in the process.

use std::path::Path;

use sse_io_bench::serving::{Kind, Load, contest, wait};

#[test]
fn every_client_gets_every_event() {
    let load = Load {
        clients: 3,
        bursts: 4,
        events: 50,
    };
    let program = Path::new(env!("CARGO_BIN_EXE_sse-io-bench"));
    let servers = contest(program, load, 2).unwrap();
    assert_eq!(servers.len(), Kind::ALL.len());
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

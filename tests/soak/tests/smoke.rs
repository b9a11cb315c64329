//! The soak, for as short as it can be.

use std::process::{Command, Output};

fn soak(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-io-soak"));
    command.args(arguments).output().expect("the tool starts")
}

#[test]
fn a_client_outlasts_an_outage() {
    let output = soak(&["client", "--rounds", "1"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.starts_with("   1 Killed: "), "{text}");
    assert!(text.contains("\n1 rounds in "), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_hub_tells_of_every_hole() {
    let output = soak(&["hub", "--seconds", "3"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("\n1 rounds: "), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn everything_at_once_ends_with_a_table() {
    let output = soak(&["all", "--seconds", "3"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let row = |name: &str| {
        let row = text.lines().find_map(|line| line.strip_prefix(name));
        let row = row.unwrap_or_else(|| panic!("no {name}:\n{text}"));
        row.split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(row("gaps untold"), ["0"; 4]);
    for name in ["published", "delivered"] {
        assert!(!row(name).contains(&"0"), "{text}");
    }
    assert_ne!(row("disk full"), ["0"]);
    let threads = row("threads");
    assert_eq!(threads[0], threads[1]);
}

#[test]
fn nonsense_is_refused() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["client", "--nonsense"],
        &["client", "--rounds"],
        &["client", "--rounds", "many"],
        &["hub", "--nonsense"],
        &["hub", "--minutes"],
        &["hub", "--seconds", "many"],
    ] {
        assert!(!soak(arguments).status.success(), "{arguments:?}");
    }
}

//! The load tool with a few streams: all whole, and what it measures is there.

use std::process::Command;

fn run(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-io-load"));
    command.args(["--streams", "50", "--events", "5", "--pace", "20"]);
    let output = command.args(arguments).output().expect("the tool starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("\nwhole    50 of 50\n"), "{text}");
    assert!(text.contains("(250 events)\n"), "{text}");
    text
}

#[test]
fn std_takes_one_thread_and_one_file_for_each_stream() {
    let text = run(&["--server", "std"]);
    let costs = "\na stream 1.00 threads, 1.00 files, ";
    assert!(text.contains(costs), "{text}");
}

#[test]
fn tiny_http_takes_two_files_for_each_stream() {
    // Its threads are no exact number: some are there before they are needed.
    let text = run(&["--server", "tiny_http"]);
    assert!(text.contains(" threads, 2.00 files, "), "{text}");
}

#[test]
fn a_heartbeat_thread_is_one_more() {
    let text = run(&["--server", "std", "--heartbeat-threads"]);
    let costs = "\nwith its heartbeat thread 2.00 threads, 1.00 files, ";
    assert!(text.contains(costs), "{text}");
}

#[test]
fn nonsense_is_refused() {
    for arguments in [
        ["--streams", "0"],
        ["--streams", "many"],
        ["--server", "apache"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sse-io-load"));
        let output = command.args(arguments).output().expect("the tool starts");
        assert!(!output.status.success(), "{arguments:?}");
    }
}

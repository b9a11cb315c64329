//! The protocol's own suite, and the client of its TypeScript SDK, in the versions of the lock file.

mod service;

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use mcp::app::{Demo, Service};
use mcp::server::Server;
use sse_io::http::Guard;

const SUITE: &str = "node_modules/@modelcontextprotocol/conformance/dist/index.js";

/// A server of this service, for as long as the test runs.
fn start(service: impl Service) -> SocketAddr {
    let server = tiny_http::Server::http("127.0.0.1:0").expect("a free port");
    let address = server.server_addr().to_ip().expect("an IP address");
    let mcp = Arc::new(Server::new(service, Guard::new()));
    thread::spawn(move || mcp.serve(&server));
    address
}

/// Runs a command to its end, and shows what it said.
#[track_caller]
fn run(program: impl AsRef<OsStr>, arguments: &[&str], folder: &Path) -> String {
    let program = program.as_ref();
    let shown = program.to_string_lossy();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{shown} cannot be run, which this test needs: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let arguments = arguments.join(" ");
    println!("{said}\n{errors}");
    assert!(
        output.status.success(),
        "{shown} {arguments} failed:\n{said}\n{errors}"
    );
    said
}

/// A copy of the folder `node`, in the target folder, with the packages of its lock file.
fn installed() -> PathBuf {
    static ONCE: Mutex<()> = Mutex::new(());
    let _once = ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/node");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mcp/node");
    let wanted = fs::read(source.join("package-lock.json")).expect("a lock file");
    let stamp = folder.join("installed");
    let is_installed = fs::read(&stamp).is_ok_and(|lock| lock == wanted);
    fs::create_dir_all(&folder).expect("a folder in target");
    for entry in fs::read_dir(&source).expect("the clients") {
        let path = entry.expect("a file").path();
        fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
    }
    if !is_installed {
        run("npm", &["ci", "--no-audit", "--no-fund"], &folder);
        fs::write(&stamp, wanted).expect("a stamp");
    }
    folder
}

/// Runs the suite with these arguments.
#[track_caller]
fn suite(arguments: &[&str]) -> String {
    let folder = installed();
    run(
        "node",
        &[&["--import", "./node20.mjs", SUITE], arguments].concat(),
        &folder,
    )
}

/// Runs the server's scenarios of a revision; those of the file `not-applicable.yml` are expected to fail,
/// and all others to pass.
#[track_caller]
fn server_scenarios(revision: &str) {
    let url = format!("http://{}/mcp", start(service::Suite));
    suite(&[
        "server",
        "--url",
        &url,
        "--suite",
        "all",
        "--spec-version",
        revision,
        "--expected-failures",
        "not-applicable.yml",
        "--output-dir",
        "results",
    ]);
}

/// Runs one of the client's scenarios against our client, with these arguments.
#[track_caller]
fn client_scenario(scenario: &str, revision: &str, arguments: &str) {
    let command = format!("{} {arguments}", env!("CARGO_BIN_EXE_mcp"));
    suite(&[
        "client",
        "--command",
        &command,
        "--scenario",
        scenario,
        "--spec-version",
        revision,
    ]);
}

#[test]
fn the_server_passes_the_scenarios_of_2025_06_18() {
    server_scenarios("2025-06-18");
}

#[test]
fn the_server_passes_the_scenarios_of_2025_11_25() {
    server_scenarios("2025-11-25");
}

#[test]
fn the_server_passes_the_scenarios_of_2026_07_28() {
    server_scenarios("2026-07-28");
}

#[test]
fn the_client_begins_a_session() {
    client_scenario("initialize", "2025-11-25", "list");
}

#[test]
fn the_client_calls_a_tool() {
    for revision in ["2025-11-25", "2026-07-28"] {
        client_scenario(
            "tools_call",
            revision,
            r#"call add_numbers '{"a":5,"b":3}'"#,
        );
    }
}

#[test]
fn the_client_comes_back_when_the_server_asks_it_to() {
    client_scenario("sse-retry", "2025-11-25", "call test_reconnection {}");
}

#[test]
fn the_client_says_what_it_is_in_each_request() {
    client_scenario("request-metadata", "2026-07-28", "list");
}

#[test]
fn the_sdks_client_sees_progress_also_over_a_connection_that_is_cut() {
    let url = format!("http://{}/mcp", start(Demo::new()));
    let said = run("node", &["sdk.js", &url], &installed());
    assert!(said.ends_with("done\n"), "{said}");
}

//! The official clients of OpenAI (Node and Python) and Anthropic (Node), in the versions that the lock
//! files beside this name, through the program as users start it: they stream, see pings and errors,
//! see that a reply was cut, and cancel.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The program, ended when dropped.
struct Program {
    child: Child,
    gateway: String,
    provider: String,
}

impl Program {
    fn start() -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut url = || {
            let line = output.next().expect("a line").expect("text");
            let at = line.find("http://").expect("a URL in the line");
            line[at..].trim_end_matches('/').to_owned()
        };
        let (gateway, provider) = (url(), url());
        Program {
            child,
            gateway,
            provider,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, and shows what it said.
#[track_caller]
fn run(program: impl AsRef<OsStr>, arguments: &[&str], folder: &Path) {
    let program = program.as_ref();
    let shown = program.to_string_lossy();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{shown} cannot be run, which this test needs: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    let arguments = arguments.join(" ");
    assert!(
        output.status.success(),
        "{shown} {arguments} failed:\n{said}\n{errors}"
    );
}

/// A copy of the folder of this name beside this file, in the target folder, in which `install` was run
/// for the lock file as it is.
fn installed(name: &str, lock: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("gateway")
        .join(name);
    let wanted = fs::read(source.join(lock)).expect("a lock file");
    let stamp = folder.join("installed");
    let is_installed = fs::read(&stamp).is_ok_and(|lock| lock == wanted);
    fs::create_dir_all(&folder).expect("a folder in target");
    for entry in fs::read_dir(&source).expect("the clients") {
        let path = entry.expect("a file").path();
        fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
    }
    if !is_installed {
        install(&folder);
        fs::write(&stamp, wanted).expect("a stamp");
    }
    folder
}

#[test]
fn the_clients_for_node_stream_and_cancel_and_see_what_breaks() {
    let folder = installed("node", "package-lock.json", |folder| {
        run("npm", &["ci", "--no-audit", "--no-fund"], folder);
    });
    let program = Program::start();
    run(
        "node",
        &["clients.js", &program.gateway, &program.provider],
        &folder,
    );
}

#[test]
fn the_client_for_python_streams_and_cancels_and_sees_what_breaks() {
    let folder = installed("python", "requirements.txt", |folder| {
        run("python3", &["-m", "venv", "venv"], folder);
        let install = [
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-deps",
            "-r",
        ];
        run(
            folder.join("venv/bin/python"),
            &[&install[..], &["requirements.txt"]].concat(),
            folder,
        );
    });
    let program = Program::start();
    let python = folder.join("venv/bin/python");
    run(
        python,
        &["clients.py", &program.gateway, &program.provider],
        &folder,
    );
}

#[test]
fn help_says_what_there_is_and_a_port_in_use_is_told_in_words() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(arguments)
            .output();
        let output = output.expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (success, help, _) = run(&["--help"]);
    assert!(success && help.contains("--upstream URL") && help.contains("127.0.0.1:8084"));
    let program = Program::start();
    let address = program.gateway.trim_start_matches("http://");
    let (success, _, error) = run(&[address]);
    let expected = format!(
        "gateway: cannot listen on {address}: another program does already. Give another address after `--`, or 127.0.0.1:0 for any free port\n"
    );
    assert_eq!((success, error), (false, expected));
    let (success, _, error) = run(&["--upsteam", "http://localhost"]);
    assert_eq!(
        (success, &*error),
        (false, "gateway: --upsteam is not understood; see --help\n")
    );
}

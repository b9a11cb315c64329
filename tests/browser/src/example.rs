//! The root's examples, run as a user does.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running example that serves HTTP, killed when dropped.
#[derive(Debug)]
pub struct Example {
    process: Child,
    /// Kept open: what it says is not for us, but a closed pipe would be an error to it.
    stdout: BufReader<ChildStdout>,
    /// With the slash at the end.
    pub url: String,
}

impl Example {
    /// Starts the example of this name on a free port.
    pub fn start(name: &str) -> Example {
        Example::start_at(name, "127.0.0.1:0")
    }

    /// Starts the program of a crate below `examples/` with these arguments.
    pub fn start_crate(name: &str, arguments: &[&str]) -> Example {
        let manifest = format!("../../examples/{name}/Cargo.toml");
        let mut command = cargo_run(&manifest);
        command.arg("--").args(arguments);
        Example::of(command)
    }

    /// Starts the example of this name at an address.
    pub fn start_at(name: &str, address: &str) -> Example {
        let mut command = cargo_run("../../Cargo.toml");
        command.args(["--example", name, "--", address]);
        Example::of(command)
    }

    fn of(mut command: Command) -> Example {
        command.stdout(Stdio::piped());
        // Cargo becomes the example when it has built it, so this is the process to kill.
        let mut process = command.spawn().expect("cargo can be started");
        let stdout = process.stdout.take().expect("it is piped");
        let mut example = Example {
            process,
            stdout: BufReader::new(stdout),
            url: String::new(),
        };
        let mut first = String::new();
        example
            .stdout
            .read_line(&mut first)
            .expect("a line of text");
        example.url = first
            .trim_end()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("the first line is {first:?}"))
            .to_owned();
        example
    }

    /// Kills it and starts it again at the same address.
    pub fn restart(self, name: &str) -> Example {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        let address = address.to_owned();
        drop(self);
        Example::start_at(name, &address)
    }
}

/// `cargo run` for a manifest, which is given from here.
fn cargo_run(manifest: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["run", "--quiet", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest));
    command
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

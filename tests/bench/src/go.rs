//! Readers and servers written in Go, where there is a Go toolchain: in processes of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::measure::{Measured, Role};
use crate::streams::Stream;

/// Where the toolchain is looked for: on the PATH, then where its installer puts it.
const TOOLCHAINS: [&str; 2] = ["go", "/usr/local/go/bin/go"];

/// The libraries in Go, built.
#[derive(Debug)]
pub struct Go {
    /// Has the program, and the streams that it reads.
    directory: TempDir,
}

impl Go {
    /// Builds them. An error says what is missing.
    pub fn build() -> Result<Go, String> {
        let directory = TempDir::new().map_err(|error| error.to_string())?;
        let go = Go { directory };
        let build = |toolchain| {
            Command::new(toolchain)
                .args(["build", "-mod=readonly", "-o"])
                .args([&*go.program(), Path::new(".")])
                .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/go"))
                .output()
                .ok()
        };
        let Some(output) = TOOLCHAINS.into_iter().find_map(build) else {
            return Err("there is no Go toolchain".into());
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().last().unwrap_or_default();
            return Err(format!("they cannot be built: {line}"));
        }
        Ok(go)
    }

    /// The program that reads and serves.
    pub fn program(&self) -> PathBuf {
        self.directory.path().join("libraries")
    }

    /// Measures the readers on one stream.
    pub fn measure_stream(&self, stream: &Stream, rounds: usize) -> Result<Vec<Measured>, String> {
        let file = self.directory.path().join(stream.name);
        fs::write(&file, &stream.bytes).map_err(|error| error.to_string())?;
        let output = Command::new(self.program())
            .args(["read", &rounds.to_string()])
            .arg(&file)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| error.to_string())?;
        let lines = String::from_utf8_lossy(&output.stdout);
        let parse = |line| measured(line, stream).ok_or(format!("not understood: {line}"));
        lines.lines().map(parse).collect()
    }
}

/// A line of what the program in Go prints.
fn measured(line: &str, stream: &Stream) -> Option<Measured> {
    let mut fields = line.split('\t');
    let (name, setup) = (fields.next()?, fields.next()?);
    let (events, data): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let allocations = fields.next()?.parse().ok()?;
    let wanted = stream.tally();
    let wrong = if events != wanted.events {
        Some(format!("{events} events, not {}", wanted.events))
    } else if data < wanted.data && name.starts_with("go.jetify.com") {
        Some("gives out JSON as decoded values only: the text cannot be had".into())
    } else if data != wanted.data {
        Some(format!("{data} bytes of data, not {}", wanted.data))
    } else {
        None
    };
    Some(Measured {
        role: Role::Foreign,
        name: name.to_owned(),
        setup: setup.to_owned(),
        seconds: fields.map(str::parse).collect::<Result<_, _>>().ok()?,
        allocations,
        wrong,
    })
}

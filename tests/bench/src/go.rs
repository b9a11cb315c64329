//! Readers written in Go, where there is a Go toolchain: in a process of their own, on the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::measure::{Measured, Role};
use crate::streams::Stream;

/// The libraries in Go, built.
#[derive(Debug)]
pub struct Go {
    directory: PathBuf,
}

impl Go {
    /// Builds them into this directory, which has to exist. An error says what is missing.
    pub fn build(directory: &Path) -> Result<Go, String> {
        let directory = directory.to_owned();
        let output = Command::new("go")
            .args(["build", "-mod=readonly", "-o"])
            .arg(directory.join("read"))
            .arg(".")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/go"))
            .output();
        match output {
            Err(_) => Err("there is no Go toolchain on the PATH".into()),
            Ok(output) if !output.status.success() => {
                let said = String::from_utf8_lossy(&output.stderr);
                let line = said.lines().last().unwrap_or_default();
                Err(format!("they cannot be built: {line}"))
            }
            Ok(_) => Ok(Go { directory }),
        }
    }

    /// Measures them on one stream.
    pub fn measure_stream(&self, stream: &Stream, rounds: usize) -> Result<Vec<Measured>, String> {
        let file = self.directory.join(stream.name);
        fs::write(&file, &stream.bytes).map_err(|error| error.to_string())?;
        let output = Command::new(self.directory.join("read"))
            .arg(rounds.to_string())
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

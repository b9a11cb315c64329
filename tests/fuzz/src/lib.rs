//! Fuzz targets for sse-io. Each is a plain function that panics where the crate is wrong: cargo-fuzz
//! drives it with libFuzzer, and `cargo test` replays the corpus through it on stable Rust.

mod client;
mod head;
mod hub;
mod parser;
mod plan;
mod reader;
mod round_trip;
#[cfg(test)]
mod tests;
mod util;

pub use client::client;
pub use head::head;
pub use hub::hub;
pub use parser::parser;
pub use reader::reader;
pub use round_trip::round_trip;

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// A target: it panics where the crate is wrong.
pub type Target = fn(&[u8]);

/// Every target with the name of its corpus.
pub const TARGETS: [(&str, Target); 6] = [
    ("parser", parser),
    ("reader", reader),
    ("round_trip", round_trip),
    ("head", head),
    ("hub", hub),
    ("client", client),
];

/// Runs the target on the files and folders that the command line names.
pub fn replay(target: Target) -> io::Result<()> {
    for path in env::args().skip(1) {
        for (path, bytes) in inputs(Path::new(&path))? {
            println!("{}", path.display());
            target(&bytes);
        }
    }
    Ok(())
}

/// The file, or the files of the folder in the order of their names.
pub fn inputs(path: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        paths = fs::read_dir(path)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        paths.sort();
    }
    let read = |path: PathBuf| fs::read(&path).map(|bytes| (path, bytes));
    paths.into_iter().map(read).collect()
}

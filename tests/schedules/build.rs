//! Copies the sources of sse-io and has them take their locks, threads and clock from `shim`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What is replaced in every file. Each must be found somewhere: a rewrite that no longer finds
/// anything would leave real locks in the models.
const REWRITES: [(&str, &str); 7] = [
    ("std::sync", "crate::shim::sync"),
    ("std::thread", "crate::shim::thread"),
    ("std::time", "crate::shim::time"),
    // The kind of socket that the models have.
    ("std::os::unix::net", "crate::shim::net"),
    // The models are the tests here.
    ("#[cfg(test)]", "#[cfg(any())]"),
    // Waves of wake-ups are long; here the model says how long.
    (".min(MAX_WAVE)", ".min(crate::shim::max_wave())"),
    // A thread's scratch buffer outlives no schedule.
    ("thread_local!", "std::thread_local!"),
];

fn main() -> io::Result<()> {
    let root = Path::new("../../src");
    let copy = PathBuf::from(env::var_os("OUT_DIR").expect("set by Cargo")).join("src");
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=build.rs");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    let mut found = [false; REWRITES.len()];
    copy_all(root, &copy, &mut found)?;
    for ((from, _), found) in REWRITES.iter().zip(found) {
        assert!(
            found,
            "{from} is nowhere in the sources any more: see REWRITES"
        );
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path, found: &mut [bool]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let copy = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy_all(&path, &copy, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_root = path.ends_with("src/lib.rs");
            fs::write(copy, rewritten(&fs::read_to_string(path)?, is_root, found))?;
        }
    }
    Ok(())
}

fn rewritten(source: &str, is_root: bool, found: &mut [bool]) -> String {
    let mut text = String::new();
    for line in source.lines() {
        let start = line.trim_start();
        // Documentation has its own copies of these paths. The root is included into another file,
        // which has the attributes of a crate.
        let is_doc = start.starts_with("//") || start.contains("include_str!");
        let is_of_root = is_root && start.starts_with("#!");
        if !is_doc && !is_of_root {
            text.push_str(line);
        }
        text.push('\n');
    }
    for ((from, to), found) in REWRITES.iter().zip(found) {
        *found |= text.contains(from);
        text = text.replace(from, to);
    }
    text
}

//! How a page looks: at three widths, light and dark. With `SCREENSHOTS` set to a folder, what it looks
//! like is put there.

use std::env;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::chromium::Chromium;

/// What is wrong with how the page looks.
const LOOK: &str = include_str!("look.js");

/// Looks at the page in every size and both schemes.
///
/// # Panics
///
/// If it scrolls sideways, something is cut, a text has too little contrast, or a field has no label.
#[track_caller]
pub fn look(browser: &mut Chromium, name: &str, state: &str) {
    for (width, height) in [(320, 640), (390, 844), (1280, 800)] {
        for scheme in ["light", "dark"] {
            browser.resize(width, height, scheme).expect("a size");
            // What is drawn once the size has changed is drawn then.
            let drawn =
                "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))";
            browser.evaluate(drawn).expect("a frame");
            let problems = browser.evaluate(LOOK).expect("a list");
            assert_eq!(problems, json!([]), "{name}, {state}, {width} px, {scheme}");
            if let Some(folder) = env::var_os("SCREENSHOTS") {
                let file = format!("{name}-{state}-{width}-{scheme}.png");
                save(browser, &Path::new(&folder).join(file));
            }
        }
    }
}

fn save(browser: &mut Chromium, path: &Path) {
    let png = browser.screenshot().expect("a picture");
    let mut decode = Command::new("base64")
        .arg("-d")
        .stdin(Stdio::piped())
        .stdout(File::create(path).expect("a file"))
        .spawn()
        .expect("base64");
    let mut stdin = decode.stdin.take().expect("it is piped");
    stdin.write_all(png.as_bytes()).expect("a pipe");
    drop(stdin);
    decode.wait().expect("an end");
}

//! The root's `server` example and its page, as a user sees them in a browser.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use sse_io_browser::chromium::Chromium;

/// The example, killed when dropped.
struct Server {
    process: Child,
    /// Kept open: what the server says is not for us, but a closed pipe would be an error to it.
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start() -> Server {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let mut command = Command::new(cargo);
        command
            .args(["run", "--quiet", "--locked", "--example", "server"])
            .arg("--manifest-path")
            .arg(manifest)
            .args(["--", "127.0.0.1:0"])
            .stdout(Stdio::piped());
        // Cargo becomes the example when it has built it, so this is the process to kill.
        let mut process = command.spawn().expect("cargo can be started");
        let stdout = process.stdout.take().expect("it is piped");
        let mut server = Server {
            process,
            stdout: BufReader::new(stdout),
            url: String::new(),
        };
        let mut first = String::new();
        server.stdout.read_line(&mut first).expect("a line of text");
        server.url = first
            .trim_end()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("the first line is {first:?}"))
            .to_owned();
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Resolves with the page's state and its table, newest row first, once that has three rows: all of
/// one moment, by which there may be more.
const THREE_ROWS: &str = r##"
new Promise(resolve => {
  const look = () => {
    const rows = [...document.querySelectorAll("#events tr")];
    if (rows.length < 3) return;
    const state = document.querySelector("#state");
    resolve({
      state: state.dataset.state,
      text: state.textContent,
      rows: rows.map(row => [...row.cells].slice(1).map(cell => cell.textContent)),
    });
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
  look();
})"##;

#[test]
fn the_page_of_the_example_opens_and_ticks() {
    let server = Server::start();
    let mut browser = Chromium::start().expect("a browser");
    browser.open(&server.url).expect("the page opens");
    let page = browser.evaluate(THREE_ROWS).expect("three rows");
    assert_eq!(page["state"], "open", "{page}");
    let rows = page["rows"].as_array().expect("rows");
    let n = rows.len();
    assert!(n >= 3, "{page}");
    assert_eq!(page["text"], format!("open, {n} events"), "{page}");
    for (row, tick) in rows.iter().rev().zip(1..) {
        let tick = ["tick".to_owned(), tick.to_string(), format!("tick {tick}")];
        assert_eq!(*row, serde_json::json!(tick), "{page}");
    }
}

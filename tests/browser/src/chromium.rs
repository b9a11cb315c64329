//! Headless Chromium with an empty profile, driven through its debugging protocol.

use std::io::{self, BufRead, BufReader, ErrorKind};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// How long the browser may take to start, and a page to come to what is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running browser with one tab. Dropping it kills the browser and removes its profile.
#[derive(Debug)]
pub struct Chromium {
    debugger: WebSocket<TcpStream>,
    /// The debugger's name for its connection to the tab.
    session: Option<String>,
    calls: u64,
    errors: Vec<String>,
    // Fields are dropped in this order: the profile is removed once nobody writes to it any more.
    _process: Process,
    _profile: TempDir,
}

impl Chromium {
    /// Starts the browser with an empty tab.
    pub fn start() -> io::Result<Chromium> {
        let profile = TempDir::with_prefix("sse-io-chromium-")?;
        let mut command = Command::new("chromium");
        command
            .args(["--headless", "--disable-gpu", "--no-first-run"])
            // Only our own pages are opened, and the sandbox needs rights that containers lack.
            .arg("--no-sandbox")
            // Nothing but our own servers is to be talked to.
            .args(["--disable-background-networking", "--disable-quic"])
            .args(["--disable-component-update", "--disable-sync"])
            .args(["--no-proxy-server", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            // Caches and sockets that are kept outside of the profile.
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            // A group of its own, so that its many processes can be ended together.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Process(command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => io::Error::new(
                ErrorKind::NotFound,
                "there is no `chromium` to test with: install Debian's package `chromium`",
            ),
            _ => error,
        })?);
        let stderr = process.0.stderr.take().expect("it is piped");
        let url = debugger_url(stderr)?;
        let address = url
            .strip_prefix("ws://")
            .and_then(|url| url.split('/').next());
        let connection = TcpStream::connect(address.unwrap_or_default())?;
        connection.set_read_timeout(Some(DEADLINE))?;
        let (debugger, _) = tungstenite::client(&url, connection).map_err(io::Error::other)?;
        let mut browser = Chromium {
            debugger,
            session: None,
            calls: 0,
            errors: Vec::new(),
            _process: process,
            _profile: profile,
        };
        let targets = browser.call("Target.getTargets", json!({}))?;
        let tab = targets["targetInfos"]
            .as_array()
            .and_then(|targets| targets.iter().find(|target| target["type"] == "page"))
            .ok_or_else(|| io::Error::other(format!("no tab among {targets}")))?;
        let to_tab = json!({ "targetId": tab["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", to_tab)?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        // What goes wrong in the page is told from now on.
        browser.call("Runtime.enable", json!({}))?;
        browser.call("Log.enable", json!({}))?;
        Ok(browser)
    }

    /// What the page has said by `console.error`, the exceptions that nobody caught, and what the
    /// browser has not allowed the page, since this was last asked. That a server cannot be reached is
    /// none of these.
    pub fn take_errors(&mut self) -> io::Result<Vec<String>> {
        // Whatever was said before this is answered has come by then.
        self.evaluate("0")?;
        Ok(std::mem::take(&mut self.errors))
    }

    /// Gives the page a size in CSS pixels, and the colours that the user prefers: `light` or `dark`.
    pub fn resize(&mut self, width: u32, height: u32, scheme: &str) -> io::Result<()> {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        )?;
        Ok(())
    }

    /// What the page looks like, as a PNG in base64.
    pub fn screenshot(&mut self) -> io::Result<String> {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        Ok(shot["data"].as_str().unwrap_or_default().to_owned())
    }

    /// Opens a page in the tab.
    pub fn open(&mut self, url: &str) -> io::Result<()> {
        let opened = self.call("Page.navigate", json!({ "url": url }))?;
        match opened["errorText"].as_str() {
            Some(error) => Err(io::Error::other(format!("{url}: {error}"))),
            None => Ok(()),
        }
    }

    /// What a script in the page evaluates to; a promise is waited for.
    pub fn evaluate(&mut self, script: &str) -> io::Result<Value> {
        let wanted = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", wanted)?;
        match answer.get("exceptionDetails") {
            Some(exception) => Err(io::Error::other(exception.to_string())),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// What an expression is in the page, as soon as it is something.
    pub fn wait_for(&mut self, wanted: &str) -> io::Result<Value> {
        self.watch_for(wanted)?;
        self.watched()
    }

    /// Looks from now on whether an expression is something in the page.
    pub fn watch_for(&mut self, wanted: &str) -> io::Result<()> {
        let script = format!(
            "window.watched = new Promise(resolve => {{
                const look = () => {{
                    const found = {wanted};
                    if (found) resolve(found);
                }};
                const all = {{ attributes: true, characterData: true, childList: true, subtree: true }};
                new MutationObserver(look).observe(document, all);
                look();
            }}); 0"
        );
        self.evaluate(&script).map(drop)
    }

    /// What the expression of [`watch_for`](Chromium::watch_for) was as soon as it was something.
    pub fn watched(&mut self) -> io::Result<Value> {
        self.evaluate("window.watched")
    }

    /// Calls a method of the debugging protocol and waits for its answer.
    fn call(&mut self, method: &str, parameters: Value) -> io::Result<Value> {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            call["sessionId"] = json!(session);
        }
        let call = Message::text(call.to_string());
        self.debugger.send(call).map_err(io::Error::other)?;
        loop {
            let message = self.debugger.read().map_err(io::Error::other)?;
            // What is not text is a ping, or the like.
            let Message::Text(text) = message else {
                continue;
            };
            let mut answer: Value = serde_json::from_str(&text)?;
            // What has no id is a notification.
            match answer["method"].as_str() {
                Some("Runtime.exceptionThrown") => self.errors.push(answer["params"].to_string()),
                Some("Runtime.consoleAPICalled") if answer["params"]["type"] == "error" => {
                    self.errors.push(answer["params"]["args"].to_string());
                }
                Some("Log.entryAdded") => {
                    let entry = &answer["params"]["entry"];
                    if entry["level"] == "error" && entry["source"] != "network" {
                        self.errors.push(entry["text"].to_string());
                    }
                }
                _ => {}
            }
            if answer["id"] == self.calls {
                return match answer.get("error") {
                    Some(error) => Err(io::Error::other(format!("{method}: {error}"))),
                    None => Ok(answer["result"].take()),
                };
            }
        }
    }
}

/// Waits until the browser says where its debugger listens. The rest of what it says is swallowed
/// when all is well, and is in the error when it is not.
fn debugger_url(stderr: ChildStderr) -> io::Result<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Goes on to read after the receiver has gone, so that the browser is not held up.
            let _ = sender.send(line);
        }
    });
    let mut said = String::new();
    while let Ok(line) = lines.recv_timeout(DEADLINE) {
        if let Some(url) = line.strip_prefix("DevTools listening on ") {
            return Ok(url.to_owned());
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(io::Error::other(format!(
        "chromium did not start; it said:\n{said}"
    )))
}

/// The browser's first process, whose group holds all the others.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about a failure, which means that it has ended already.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

//! Two browser windows on one room, with the libraries as npm has them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sse_io_browser::chromium::Chromium;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

/// The program, killed when dropped.
struct Server {
    process: Child,
    /// Kept open: what it says is not for us, but a closed pipe would be an error to it.
    _stdout: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(address: &str, options: &[&str]) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hypermedia"))
            .args(options)
            .arg(address)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("a line");
        let address = first
            .trim_end()
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix('/'))
            .unwrap_or_else(|| panic!("the first line is {first:?}"))
            .to_owned();
        Server {
            process,
            _stdout: stdout,
            address,
        }
    }

    /// The whole answer to a request of HTTP/1.0.
    fn ask(&self, line: &str, headers: &str, body: &str) -> String {
        let mut connection = TcpStream::connect(&self.address).expect("a connection");
        connection
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket");
        let length = body.len();
        let form = "Content-Type: application/x-www-form-urlencoded";
        let request =
            format!("{line} HTTP/1.0\r\n{headers}{form}\r\nContent-Length: {length}\r\n\r\n{body}");
        connection.write_all(request.as_bytes()).expect("a server");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn status(&self, line: &str, headers: &str, body: &str) -> u16 {
        let answer = self.ask(line, headers, body);
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
        status.unwrap_or_else(|| panic!("no status: {answer}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const HOST: &str = "Host: localhost\r\n";

/// Waits until an expression is something in the page.
fn wait_for(browser: &mut Chromium, wanted: &str) {
    browser.wait_for(wanted).expect("a page");
}

/// Whether the list is this, item by item: its text, whether it is done, and no markup in it.
fn list_is(items: &[(&str, bool)]) -> String {
    let items: Vec<Value> = items
        .iter()
        .map(|(text, done)| json!([text, done.to_string(), 0]))
        .collect();
    let items = json!(json!(items).to_string());
    format!(
        "JSON.stringify([...document.querySelectorAll('#list li')].map(li => [
            li.querySelector('span').textContent,
            li.querySelector('[role=checkbox]').ariaChecked,
            li.querySelector('span').children.length,
        ])) === {items}"
    )
}

/// Writes into a form and sends it, as a user does. Returns when, by the clock of the machine.
fn submit(browser: &mut Chromium, form: usize, text: &str) -> f64 {
    let text = json!(text);
    let script = format!(
        "(form => {{
            const input = form.querySelector('input');
            input.value = {text};
            input.dispatchEvent(new Event('input', {{ bubbles: true }}));
            const at = performance.timeOrigin + performance.now();
            form.requestSubmit();
            return at;
        }})(document.querySelectorAll('form')[{form}])"
    );
    let at = browser.evaluate(&script).expect("a form");
    at.as_f64().expect("a time")
}

fn click(browser: &mut Chromium, selector: &str) {
    let script = format!("document.querySelector('{selector}').click()");
    browser.evaluate(&script).expect("a button");
}

fn errors(browser: &mut Chromium) -> Vec<String> {
    browser.take_errors().expect("a list")
}

fn two_windows(dialect: &str) {
    let folder = TempDir::with_prefix("sse-io-hypermedia-").expect("a folder");
    let journal = folder.path().join("journal");
    let journal = ["--journal", journal.to_str().expect("UTF-8")];
    let server = Server::start("127.0.0.1:0", &journal);
    let page = format!("http://{}/{dialect}/lobby", server.address);
    let mut windows = [(); 2].map(|()| {
        let mut browser = Chromium::start().expect("a browser");
        browser.open(&page).expect("the page opens");
        browser
    });
    let [one, two] = &mut windows;

    // It reaches both, however late their streams are: each goes on from the state of its page.
    assert_eq!(
        server.status("POST /htmx/lobby/notices", HOST, "text=hello"),
        200
    );
    for window in [&mut *one, &mut *two] {
        wait_for(
            window,
            "document.querySelectorAll('#notices p').length === 1",
        );
    }

    // Each window sees what the other one does.
    const MARKUP: &str = r#"<b>bold</b> & "quoted" <img src=x onerror=alert(1)>"#;
    submit(one, 0, MARKUP);
    for window in [&mut *one, &mut *two] {
        wait_for(window, &list_is(&[(MARKUP, false)]));
        wait_for(window, "document.querySelector('form input').value === ''");
    }
    click(two, "#list [role=checkbox]");
    for window in [&mut *one, &mut *two] {
        wait_for(window, &list_is(&[(MARKUP, true)]));
    }
    click(one, "#list [aria-label=remove]");
    for window in [&mut *one, &mut *two] {
        wait_for(window, &list_is(&[]));
    }

    // How long it takes from the one window to the other: told, and not asserted.
    let mut took: Vec<f64> = (0..20)
        .map(|n| {
            let there = format!(
                "document.querySelectorAll('#list li').length === {} && performance.timeOrigin + performance.now()",
                n + 1
            );
            two.watch_for(&there).expect("a page");
            let sent = submit(one, 0, &format!("item {n}"));
            let seen = two.watched().expect("a page").as_f64().expect("a time");
            wait_for(one, &there);
            // The answer has come as well, and the form is an empty one again.
            wait_for(one, "document.querySelector('form input').value === ''");
            seen - sent
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!(
        "{dialect}: an edit is in the other window after {:.0} ms (median), {:.0} ms (longest)",
        took[10], took[19]
    );

    // The job and what is told of it.
    click(one, "#job button");
    for window in [&mut *one, &mut *two] {
        wait_for(window, "document.querySelector('progress').value === 100");
        wait_for(
            window,
            "document.querySelector('#notices p').textContent === 'The job is done.'",
        );
    }
    assert_eq!(errors(one), Vec::<String>::new());
    assert_eq!(errors(two), Vec::<String>::new());

    // Killed in the middle of a job, and started again.
    submit(one, 1, "before");
    for window in [&mut *one, &mut *two] {
        wait_for(
            window,
            "document.querySelector('#notices p').textContent === 'before'",
        );
    }
    // Not by a click, whose answer may be lost with the server.
    assert_eq!(server.status("POST /htmx/lobby/job", HOST, ""), 204);
    wait_for(two, "document.querySelector('progress').value < 100");
    let address = server.address.clone();
    drop(server);
    let server = Server::start(&address, &journal);
    assert_eq!(
        server.status("POST /htmx/lobby/items", HOST, "text=meanwhile"),
        200
    );
    assert_eq!(
        server.status("POST /datastar/lobby/notices?text=after", HOST, ""),
        200
    );
    for window in [&mut *one, &mut *two] {
        wait_for(
            window,
            "document.querySelectorAll('#list li').length === 21",
        );
        wait_for(window, "document.querySelector('progress').value === 100");
        // Each notice once, whatever happened in between, and the newest on top.
        wait_for(
            window,
            "document.querySelector('#notices p').textContent === 'The job is done.'",
        );
        let notices =
            "[...document.querySelectorAll('#notices p')].map(p => p.textContent).slice(0, 4)";
        let notices = window.evaluate(notices).expect("a list");
        assert_eq!(
            notices,
            json!(["The job is done.", "after", "before", "The job is done."])
        );
        // What the libraries say of the lost connection is all that is said.
        let said = errors(window);
        let known = [
            "[object Event]", // htmx, of the EventSource's error
            "Datastar failed to reach",
            "network error",
            "Failed to fetch",
        ];
        let other = said
            .iter()
            .find(|said| !known.iter().any(|known| said.contains(known)));
        assert_eq!(other, None);
    }
    click(two, "#list [aria-label=remove]");
    wait_for(one, "document.querySelectorAll('#list li').length === 20");
}

#[test]
fn two_windows_with_htmx_see_each_other_and_lose_nothing() {
    two_windows("htmx");
}

#[test]
fn two_windows_with_datastar_see_each_other_and_lose_nothing() {
    two_windows("datastar");
}

/// Needs npm and its registry, and fails without.
#[test]
fn the_libraries_are_those_that_npm_has() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = TempDir::with_prefix("sse-io-npm-").expect("a folder");
    for file in ["package.json", "package-lock.json"] {
        fs::copy(here.join(file), folder.path().join(file)).expect("a copy");
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .status()
        .expect("there is no `npm` to test with: install Debian's packages `nodejs` and `npm`");
    assert!(npm.success(), "npm ci: {npm}");
    for (ours, theirs) in [
        ("htmx.min.js", "htmx.org/dist/htmx.min.js"),
        ("sse.min.js", "htmx-ext-sse/dist/sse.min.js"),
        ("datastar.js", "@starfederation/datastar/dist/datastar.js"),
    ] {
        let read =
            |path: &Path| fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let ours = read(&here.join("assets").join(ours));
        assert!(
            ours == read(&folder.path().join("node_modules").join(theirs)),
            "{theirs}"
        );
    }
}

#[test]
fn what_is_not_for_this_server_or_too_much_is_refused() {
    let server = Server::start("127.0.0.1:0", &["--host", "board.example"]);
    let long = format!("text={}", "x".repeat(201));
    for (line, headers, body, status) in [
        ("GET /", HOST, "", 302),
        ("GET /htmx/lobby", HOST, "", 200),
        ("GET /datastar/lobby", "Host: board.example\r\n", "", 200),
        ("GET /htmx/lobby", "Host: evil.example\r\n", "", 421),
        (
            "GET /htmx/lobby",
            "Host: localhost\r\nHost: localhost\r\n",
            "",
            400,
        ),
        ("GET /htmx/Lobby", HOST, "", 404),
        ("GET /other/lobby", HOST, "", 404),
        ("GET /assets/htmx.min.js", HOST, "", 200),
        ("GET /assets/../Cargo.toml", HOST, "", 404),
        ("POST /htmx/lobby", HOST, "", 405),
        ("GET /htmx/lobby/items", HOST, "", 405),
        ("POST /htmx/lobby/items", HOST, "text=x", 200),
        ("POST /htmx/lobby/items", HOST, "text=+", 400),
        ("POST /htmx/lobby/items", HOST, "text=a%0Ab", 400),
        ("POST /htmx/lobby/items", HOST, &long, 400),
        ("POST /htmx/lobby/items/0/toggle", HOST, "", 204),
        ("POST /htmx/lobby/items/7/toggle", HOST, "", 409),
        ("POST /htmx/lobby/nothing", HOST, "", 404),
        (
            "POST /htmx/lobby/items",
            "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
            "text=x",
            403,
        ),
        (
            "POST /htmx/lobby/items",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
            "text=x",
            403,
        ),
    ] {
        assert_eq!(
            server.status(line, headers, body),
            status,
            "{line} {headers}{body:.20}"
        );
    }
    for dialect in ["htmx", "datastar"] {
        let page = server.ask(&format!("GET /{dialect}/lobby"), HOST, "");
        for directive in [
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(page.contains(directive), "{page}");
        }
    }
}

#[test]
fn help_and_errors_are_sentences() {
    let run = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_hypermedia");
        let output = Command::new(program).args(arguments).output();
        let output = output.expect("a program");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.contains("127.0.0.1:8086"), "{help}");
    let server = Server::start("127.0.0.1:0", &[]);
    let (code, _, error) = run(&[&server.address]);
    assert_eq!(code, Some(1));
    assert!(error.contains("another program does already"), "{error}");
    let folder = TempDir::with_prefix("sse-io-hypermedia-").expect("a folder");
    let journal = folder.path().join("journal");
    fs::write(&journal, "5\nlobby\tadd\tone\nwhat is this\n").expect("a file");
    let (code, _, error) = run(&["--journal", journal.to_str().expect("UTF-8")]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("line 3 of the journal cannot be read"),
        "{error}"
    );
}

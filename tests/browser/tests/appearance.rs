//! How the pages of the examples look, connected and lost.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use sse_io_browser::chromium::Chromium;
use sse_io_browser::example::Example;
use sse_io_browser::look::look;
use tempfile::TempDir;

const STATE: &str = "document.querySelector('#state')?.dataset.state";

/// Waits until an expression is true in the page.
fn wait_for(browser: &mut Chromium, wanted: &str) {
    browser.wait_for(wanted).expect("a page");
}

fn errors(browser: &mut Chromium) -> Vec<String> {
    browser.take_errors().expect("a list")
}

/// What the page may do is said, and no script or style that somebody wrote into it is among that.
#[track_caller]
fn assert_policy(browser: &mut Chromium) {
    let policy = "fetch('').then(page => page.headers.get('Content-Security-Policy'))";
    let policy = browser.evaluate(policy).expect("a page");
    let policy = policy.as_str().expect("a policy");
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action '",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(!policy.contains("'unsafe-inline'"), "{policy}");
}

/// Looks at a page when it is connected and has what is wanted, and when its server is gone.
fn look_at(server: Example, name: &str, path: &str, wanted: &str) {
    let mut browser = Chromium::start().expect("a browser");
    browser
        .open(&format!("{}{path}", server.url))
        .expect("the page opens");
    wait_for(&mut browser, &format!("{STATE} === 'open' && {wanted}"));
    look(&mut browser, name, "connected");
    assert_policy(&mut browser);
    drop(server);
    wait_for(&mut browser, &format!("{STATE} === 'connecting'"));
    look(&mut browser, name, "lost");
    assert_eq!(errors(&mut browser), Vec::<String>::new());
}

#[test]
fn the_page_of_the_server() {
    let rows = "document.querySelectorAll('#events tr').length > 1";
    look_at(Example::start("server"), "server", "", rows);
}

#[test]
fn the_page_of_the_dashboard() {
    let values =
        "[...document.querySelectorAll('strong')].every(value => value.textContent !== '–')";
    look_at(Example::start("dashboard"), "dashboard", "", values);
}

#[test]
fn the_page_of_the_fanout() {
    let counted = "document.querySelector('#streams').textContent === '1'";
    look_at(Example::start("fanout"), "fanout", "", counted);
}

/// The gateway, with a stream that it has relayed.
#[test]
fn the_page_of_the_gateway() {
    let gateway = Example::start_crate("gateway", &["127.0.0.1:0"]);
    let relayed = "(window.asked ??= fetch('/v1/chat/completions', {
            method: 'POST', body: JSON.stringify({ model: 'made-up', stream: true }),
        })) && document.querySelector('#complete').textContent === '1'";
    look_at(gateway, "gateway", "", relayed);
}

/// The pages of htmx and of Datastar, with items as short and as long as they may be.
fn look_at_hypermedia(dialect: &str) {
    let server = Example::start_crate("hypermedia", &["127.0.0.1:0"]);
    let mut browser = Chromium::start().expect("a browser");
    let page = format!("{}{dialect}/lobby", server.url);
    browser.open(&page).expect("the page opens");
    let items = "Promise.all(['a', 'long '.repeat(40), 'W'.repeat(200)].flatMap(text => ['items', 'notices'].map(
        what => fetch(`/htmx/lobby/${what}`, { method: 'POST', body: new URLSearchParams({ text }) }))))
        .then(() => fetch('/htmx/lobby/items/1/toggle', { method: 'POST' })).then(answer => answer.status)";
    let done = browser.evaluate(items).expect("answers");
    assert_eq!(done, json!(204));
    let shown = "document.querySelectorAll('#list li').length === 3
        && document.querySelectorAll('#notices p').length === 3
        && document.querySelector('[aria-checked=true]')";
    wait_for(&mut browser, &format!("Boolean({shown})"));
    look(&mut browser, dialect, "connected");
    assert_policy(&mut browser);
    assert_eq!(errors(&mut browser), Vec::<String>::new());
    // The libraries do not show a lost connection, so it cannot be waited for: the page is as it was.
    drop(server);
    look(&mut browser, dialect, "lost");
}

#[test]
fn the_page_with_htmx() {
    look_at_hypermedia("htmx");
}

#[test]
fn the_page_with_datastar() {
    look_at_hypermedia("datastar");
}

#[test]
fn what_the_dashboard_shows_is_dated_when_it_is_old() {
    let server = Example::start("dashboard");
    let mut browser = Chromium::start().expect("a browser");
    browser.open(&server.url).expect("the page opens");
    let dated = "[...document.querySelectorAll('small')].filter(small => !small.hidden).length";
    let values =
        "[...document.querySelectorAll('strong')].every(value => value.textContent !== '–')";
    wait_for(
        &mut browser,
        &format!("{STATE} === 'open' && {values} && {dated} === 0"),
    );
    drop(server);
    wait_for(&mut browser, &format!("{dated} === 4"));
    let text = browser
        .evaluate("document.querySelector('small').textContent")
        .expect("a text");
    assert!(
        text.as_str().is_some_and(|text| text.starts_with("as of ")),
        "{text}"
    );
}

/// The chat, with names of all colours in it.
#[test]
fn the_page_of_the_chat() {
    let server = Example::start("chat");
    let mut browser = Chromium::start().expect("a browser");
    let page = format!("{}rooms/lobby?name=Ada", server.url);
    browser.open(&page).expect("the page opens");
    wait_for(&mut browser, &format!("{STATE} === 'open'"));
    let say = "for (let n = 0; n < 40; n += 1) on.message({ name: `name ${n}`, at: Date.now(), text: `${n} ${'long '.repeat(n)}` })";
    browser.evaluate(say).expect("messages");
    let colour = "document.querySelectorAll('.message').forEach((m, n) => m.style.setProperty('--hue', n * 9))";
    browser.evaluate(colour).expect("colours");
    look(&mut browser, "chat", "connected");
    assert_policy(&mut browser);
    let newest = "(log => log.scrollHeight - log.scrollTop - log.clientHeight < 2)(document.querySelector('#log'))";
    assert_eq!(
        browser.evaluate(newest).expect("a page"),
        json!(true),
        "it follows"
    );
    browser
        .evaluate("log.scrollTop = 0; new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        .expect("a scroll");
    browser.resize(700, 500, "light").expect("a size");
    browser
        .evaluate("on.message({ name: 'Eve', at: 0, text: 'more' })")
        .expect("a message");
    assert_eq!(
        browser.evaluate("log.scrollTop").expect("a page"),
        json!(0),
        "it stays"
    );
    drop(server);
    wait_for(&mut browser, &format!("{STATE} === 'connecting'"));
    look(&mut browser, "chat", "lost");
    assert_eq!(errors(&mut browser), Vec::<String>::new());
}

#[test]
fn a_page_of_the_chat_that_is_loaded_again_is_the_same_person_and_one_that_is_closed_leaves() {
    let server = Example::start("chat");
    let [mut ada, mut bob] = ["Ada", "Bob"].map(|name| {
        let mut browser = Chromium::start().expect("a browser");
        let page = format!("{}rooms/lobby?name={name}", server.url);
        browser.open(&page).expect("the page opens");
        wait_for(&mut browser, &format!("{STATE} === 'open'"));
        browser
    });
    let here = |names: Value| {
        format!(
            "JSON.stringify([...document.querySelectorAll('#here li')].map(li => li.textContent)) === '{names}'"
        )
    };
    wait_for(&mut bob, &here(json!(["Ada", "Bob"])));
    let name =
        "document.querySelector('#name').value = 'Eve'; document.querySelector('#name').onchange()";
    ada.evaluate(name).expect("a name");
    wait_for(&mut bob, &here(json!(["Bob", "Eve"])));
    // Loaded again, under the name that it has now.
    ada.open(&format!("{}rooms/lobby?name=Eve", server.url))
        .expect("the page opens");
    wait_for(&mut ada, &format!("{STATE} === 'open'"));
    ada.open("about:blank").expect("another page");
    wait_for(&mut bob, &here(json!(["Bob"])));
    let notes = "[...document.querySelectorAll('.note')].map(note => note.textContent)";
    let notes = bob.evaluate(notes).expect("a list");
    let notes = notes.as_array().expect("a list");
    assert_eq!(notes[..3], ["Ada came in", "Bob came in", "Ada is Eve now"]);
    assert_eq!(notes[notes.len() - 1], "Eve left");
}

/// A `redis-server` of one's own, killed when dropped.
struct Redis {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Redis {
    fn start() -> Redis {
        let folder = TempDir::with_prefix("sse-io-redis-").expect("a folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let mut process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is no `redis-server`: install Debian's package of that name");
        let said = BufReader::new(process.stdout.take().expect("it is piped"));
        let ready = said
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("Ready to accept"));
        assert!(ready, "redis-server did not start");
        Redis {
            process,
            url: format!("redis://127.0.0.1:{port}"),
            _folder: folder,
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_page_of_the_redis_example() {
    let redis = Redis::start();
    let server = Example::start_crate("redis", &["--redis", &redis.url, "--listen", "127.0.0.1:0"]);
    let mut browser = Chromium::start().expect("a browser");
    let page = format!("{}?names=greeting", server.url);
    browser.open(&page).expect("the page opens");
    wait_for(&mut browser, &format!("{STATE} === 'open'"));
    let publish = "(form => {
        form.elements.name.value = 'greeting';
        form.data.value = 'hello <b>';
        form.requestSubmit();
    })(document.querySelector('#publish'))";
    browser.evaluate(publish).expect("a form");
    let named = "(line => line?.querySelector('b').textContent === 'greeting'
        && line.querySelector('p').textContent === 'hello <b>')(document.querySelector('#events li'))";
    wait_for(&mut browser, named);
    look(&mut browser, "redis", "connected");
    assert_policy(&mut browser);
    drop(redis);
    let says = |what| format!("document.querySelector('#state').textContent.includes('{what}')");
    wait_for(&mut browser, &says("Redis is away"));
    browser.evaluate(publish).expect("a form");
    wait_for(
        &mut browser,
        "document.querySelector('#problem').textContent.includes('Redis is away')",
    );
    look(&mut browser, "redis", "without-redis");
    drop(server);
    wait_for(&mut browser, &says("connection lost"));
    look(&mut browser, "redis", "lost");
    assert_eq!(errors(&mut browser), Vec::<String>::new());
}

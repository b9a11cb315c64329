//! How the pages of the examples look: at three widths, light and dark, connected and lost. With
//! `SCREENSHOTS` set to a folder, what they look like is put there.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sse_io_browser::chromium::Chromium;
use sse_io_browser::example::Example;

/// What is wrong with how the page looks.
const LOOK: &str = include_str!("../src/look.js");

const STATE: &str = "document.querySelector('#state')?.dataset.state";

/// Waits until an expression is true in the page.
fn wait_for(browser: &mut Chromium, wanted: &str) {
    let script = format!(
        "new Promise(resolve => {{
            const look = () => ({wanted}) && resolve(true);
            const all = {{ attributes: true, characterData: true, childList: true, subtree: true }};
            new MutationObserver(look).observe(document, all);
            look();
        }})"
    );
    let found = browser.evaluate(&script).expect("a page");
    assert_eq!(found, json!(true), "{wanted}");
}

/// Looks at the page in every size and both schemes.
fn look(browser: &mut Chromium, name: &str, state: &str) {
    for (width, height) in [(320, 640), (390, 844), (1280, 800)] {
        for scheme in ["light", "dark"] {
            browser.resize(width, height, scheme).expect("a size");
            // What is drawn once the size has changed is drawn then.
            let drawn =
                "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))";
            browser.evaluate(drawn).expect("a frame");
            let problems = browser.evaluate(LOOK).expect("a list");
            assert_eq!(problems, json!([]), "{name}, {state}, {width} px, {scheme}");
            if let Some(folder) = std::env::var_os("SCREENSHOTS") {
                let png = browser.screenshot().expect("a picture");
                let file = format!("{name}-{state}-{width}-{scheme}.png");
                let mut decode = Command::new("base64");
                decode.arg("-d").stdin(Stdio::piped());
                let file = std::path::Path::new(&folder).join(file);
                decode.stdout(std::fs::File::create(file).expect("a file"));
                let mut decode = decode.spawn().expect("base64");
                let stdin = decode.stdin.take().expect("it is piped");
                { stdin }.write_all(png.as_bytes()).expect("a pipe");
                decode.wait().expect("an end");
            }
        }
    }
}

fn errors(browser: &mut Chromium) -> Vec<String> {
    browser.take_errors().expect("a list")
}

/// Looks at a page when it is connected and has what is wanted, and when its server is gone.
fn look_at(name: &str, path: &str, wanted: &str) {
    let server = Example::start(name);
    let mut browser = Chromium::start().expect("a browser");
    browser
        .open(&format!("{}{path}", server.url))
        .expect("the page opens");
    wait_for(&mut browser, &format!("{STATE} === 'open' && {wanted}"));
    look(&mut browser, name, "connected");
    drop(server);
    wait_for(&mut browser, &format!("{STATE} === 'connecting'"));
    look(&mut browser, name, "lost");
    assert_eq!(errors(&mut browser), [String::new(); 0]);
}

#[test]
fn the_page_of_the_server() {
    look_at(
        "server",
        "",
        "document.querySelectorAll('#events tr').length > 1",
    );
}

#[test]
fn the_page_of_the_dashboard() {
    let values =
        "[...document.querySelectorAll('strong')].every(value => value.textContent !== '–')";
    look_at("dashboard", "", values);
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
    assert_eq!(errors(&mut browser), [String::new(); 0]);
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

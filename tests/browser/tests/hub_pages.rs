//! The pages of the root's `chat` and `dashboard` examples, as a user sees them in a browser.

use std::io;

use serde_json::{Value, json};
use sse_io_browser::chromium::Chromium;
use sse_io_browser::example::Example;

const OPEN: &str = "document.querySelector('#state')?.dataset.state === 'open'";

/// Writes this into the page's form and sends it.
fn say(browser: &mut Chromium, text: &str) -> io::Result<Value> {
    let text = json!(text);
    browser.evaluate(&format!(
        "document.querySelector('#text').value = {text}; document.querySelector('#say').requestSubmit()"
    ))
}

/// The messages in the page, if there are so many.
fn said(count: usize) -> String {
    format!(
        "(texts => texts.length === {count}
            && texts.map(text => [text.previousSibling.firstChild.textContent, text.textContent, text.children.length]))
        ([...document.querySelectorAll('.text')])"
    )
}

#[test]
fn the_chat_shows_text_as_text_and_recovers_from_a_restart() {
    const MARKUP: &str =
        "<b>bold</b>\n<img src=x onerror=\"document.body.remove()\"> & \\ \u{1f389}";
    let server = Example::start("chat");
    let mut browser = Chromium::start().expect("a browser");
    let page = format!("{}rooms/caf%C3%A9?name=Ada%20%3Ci%3E", server.url);
    browser.open(&page).expect("the page opens");
    browser.wait_for(OPEN).expect("an open stream");
    let room = browser.evaluate("document.querySelector('#room').textContent");
    assert_eq!(room.expect("a heading"), "café");
    say(&mut browser, MARKUP).expect("a form");
    let messages = browser.wait_for(&said(1)).expect("a message");
    assert_eq!(messages, json!([["Ada <i>", MARKUP, 0]]));
    let here = "[...document.querySelectorAll('#here li')].map(item => item.textContent)";
    let here = browser.evaluate(here).expect("who is here");
    assert_eq!(here, json!(["Ada <i>"]));

    let _server = server.restart("chat");
    // What the server had is gone with it, which is told and not passed over.
    let gap = format!("{OPEN} && document.querySelectorAll('.gap').length");
    assert_eq!(browser.wait_for(&gap).expect("a gap"), 1);
    say(&mut browser, "back").expect("a form");
    let messages = browser.wait_for(&said(2)).expect("another message");
    assert_eq!(messages[1], json!(["Ada <i>", "back", 0]));
}

#[test]
fn the_dashboard_draws_what_it_is_sent_and_recovers_from_a_restart() {
    /// Whether all charts have a value, and how many have something of their colour drawn.
    const DRAWN: &str = "(sections => sections.length === 4
        && sections.every(section => section.querySelector('strong').textContent !== '–')
        && sections.filter(section => {
            const canvas = section.querySelector('canvas');
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return data.some(byte => byte > 0);
        }).length)([...document.querySelectorAll('section')])";
    let server = Example::start("dashboard");
    let mut browser = Chromium::start().expect("a browser");
    browser.open(&server.url).expect("the page opens");
    let drawn = browser.wait_for(&format!("{OPEN} && {DRAWN}"));
    assert_eq!(drawn.expect("values"), 4);
    let _server = server.restart("dashboard");
    let counts = "document.querySelector('#counts').textContent";
    let gap = format!("{OPEN} && {counts}.includes('1 gap') && {counts}");
    let counts = browser.wait_for(&gap).expect("a gap");
    let counts = counts.as_str().expect("a text");
    assert!(counts.ends_with(" · 1 reconnection · 1 gap"), "{counts}");
}

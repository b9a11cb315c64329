//! The root's `server` example and its page, as a user sees them in a browser.

use sse_io_browser::chromium::Chromium;
use sse_io_browser::example::Example;

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
      count: document.querySelector("#count").textContent,
      rows: rows.map(row => [...row.cells].slice(1).map(cell => cell.textContent)),
    });
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
  look();
})"##;

#[test]
fn the_page_of_the_example_opens_and_ticks() {
    let server = Example::start("server");
    let mut browser = Chromium::start().expect("a browser");
    browser.open(&server.url).expect("the page opens");
    let page = browser.evaluate(THREE_ROWS).expect("three rows");
    assert_eq!(page["state"], "open", "{page}");
    let rows = page["rows"].as_array().expect("rows");
    let n = rows.len();
    assert!(n >= 3, "{page}");
    // The state is read aloud by screen readers when it changes: the count stands elsewhere.
    assert_eq!(page["text"], "open", "{page}");
    assert_eq!(page["count"], format!("{n} events"), "{page}");
    for (row, tick) in rows.iter().rev().zip(1..) {
        let tick = ["tick".to_owned(), tick.to_string(), format!("tick {tick}")];
        assert_eq!(*row, serde_json::json!(tick), "{page}");
    }
}

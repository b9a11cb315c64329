//! HTML, as one of the libraries wants it.

use std::fmt::Write as _;

use sse_io::Event;

use crate::board::Board;

/// Whose attributes and events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Htmx,
    Datastar,
}

impl Dialect {
    pub(crate) const ALL: [Dialect; 2] = [Dialect::Htmx, Dialect::Datastar];

    /// The first part of its paths.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Dialect::Htmx => "htmx",
            Dialect::Datastar => "datastar",
        }
    }

    /// The attribute of a button that sends a POST.
    fn post(self, room: &str, what: &str) -> String {
        match self {
            Dialect::Htmx => format!(r#"hx-post="/htmx/{room}/{what}" hx-swap="none""#),
            Dialect::Datastar => format!(r#"data-on-click="@post('/datastar/{room}/{what}')""#),
        }
    }

    /// Where the events come from. Datastar gives up after ten attempts unless told otherwise.
    fn source(self, room: &str, id: &str) -> String {
        let url = format!("/{}/{room}/events?lastEventId={id}", self.name());
        match self {
            Dialect::Htmx => format!(r#"hx-ext="sse" sse-connect="{url}""#),
            Dialect::Datastar => {
                let options = "{openWhenHidden: true, retryScaler: 1, retryMaxCount: 1000000}";
                // The fields' signals must be known before the forms that use them.
                let signals = r#"data-signals="{items: '', notices: ''}""#;
                format!(r#"{signals} data-on-load="@get('{url}', {options})""#)
            }
        }
    }
}

/// What a page shows, with nothing in it that somebody wrote left as markup.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn list(dialect: Dialect, room: &str, board: &Board) -> String {
    let mut html = String::new();
    for (id, item) in &board.items {
        let (mark, checked) = if item.done {
            ("☑", "true")
        } else {
            ("☐", "false")
        };
        let toggle = dialect.post(room, &format!("items/{id}/toggle"));
        let remove = dialect.post(room, &format!("items/{id}/remove"));
        let text = Escaped(&item.text);
        let _ = write!(
            html,
            r#"<li id="item-{id}"><button role="checkbox" aria-checked="{checked}" aria-label="done" {toggle}>{mark}</button><span>{text}</span><button aria-label="remove" {remove}>✕</button></li>"#
        );
    }
    html
}

fn job(dialect: Dialect, room: &str, board: &Board) -> String {
    let percent = board.job.unwrap_or(0);
    let start = dialect.post(room, "job");
    let disabled = if board.is_busy() { " disabled" } else { "" };
    format!(
        r#"<progress max="100" value="{percent}" aria-label="the job"></progress><span>{percent} %</span><button {start}{disabled}>Start</button>"#
    )
}

/// The list as it is now.
pub(crate) fn list_event(dialect: Dialect, room: &str, board: &Board) -> Event<'static> {
    let html = list(dialect, room, board);
    match dialect {
        Dialect::Htmx => Event::new(html).with_name("list"),
        Dialect::Datastar => merge("", &format!(r#"<ul id="list">{html}</ul>"#)),
    }
}

/// The job as it is now.
pub(crate) fn job_event(dialect: Dialect, room: &str, board: &Board) -> Event<'static> {
    let html = job(dialect, room, board);
    match dialect {
        Dialect::Htmx => Event::new(html).with_name("job"),
        Dialect::Datastar => merge("", &format!(r#"<div id="job">{html}</div>"#)),
    }
}

/// A notice, on top of those that are there.
pub(crate) fn notice_event(dialect: Dialect, text: &str) -> Event<'static> {
    let html = format!("<p>{}</p>", Escaped(text));
    match dialect {
        Dialect::Htmx => Event::new(html).with_name("notice"),
        Dialect::Datastar => merge("selector #notices\nmergeMode prepend\n", &html),
    }
}

/// Datastar's event, in which each line of the data begins with what it is.
fn merge(options: &str, html: &str) -> Event<'static> {
    Event::new(format!("{options}fragments {html}")).with_name("datastar-merge-fragments")
}

/// A form for one line of text. htmx gets it anew as the answer, and so an empty one.
pub(crate) fn form(dialect: Dialect, room: &str, what: &str) -> String {
    let label = if what == "items" {
        "new item"
    } else {
        "notice"
    };
    let (form, field) = match dialect {
        Dialect::Htmx => (
            format!(r#"hx-post="/htmx/{room}/{what}" hx-swap="outerHTML""#),
            r#"name="text""#.to_owned(),
        ),
        Dialect::Datastar => (
            format!(
                r#"data-on-submit="@post('/datastar/{room}/{what}?text=' + encodeURIComponent(${what})); ${what} = ''""#
            ),
            format!(r#"data-bind-{what}"#),
        ),
    };
    format!(
        r#"<form {form}><input {field} aria-label="{label}" placeholder="{label}" maxlength="200" required autocomplete="off"><button>Send</button></form>"#
    )
}

/// The whole page.
pub(crate) fn whole(dialect: Dialect, room: &str, board: &Board, id: &str) -> String {
    let (scripts, other) = match dialect {
        Dialect::Htmx => (
            // Neither needs a style sheet of its own, nor `eval`, which the page's policy forbids. What
            // was swapped in takes no click before it has settled, so it does that at once.
            r#"<meta name="htmx-config" content='{"includeIndicatorStyles": false, "allowEval": false, "defaultSettleDelay": 0}'>
<script src="/assets/htmx.min.js" defer></script>
<script src="/assets/sse.min.js" defer></script>"#,
            Dialect::Datastar,
        ),
        Dialect::Datastar => (
            r#"<script src="/assets/datastar.js" type="module"></script>"#,
            Dialect::Htmx,
        ),
    };
    let [swap_list, swap_job, swap_notice] = match dialect {
        Dialect::Htmx => [
            r#" sse-swap="list""#,
            r#" sse-swap="job""#,
            r#" sse-swap="notice" hx-swap="afterbegin""#,
        ],
        Dialect::Datastar => [""; 3],
    };
    let (name, other) = (dialect.name(), other.name());
    let source = dialect.source(room, id);
    let (list, job) = (list(dialect, room, board), job(dialect, room, board));
    let (items, notices) = (form(dialect, room, "items"), form(dialect, room, "notices"));
    format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{room}, with {name}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/assets/page.css">
{scripts}
<body {source}>
<header><h1>{room}</h1><a href="/{other}/{room}">the same with {other}</a></header>
<main>
<section><h2>List</h2><ul id="list"{swap_list}>{list}</ul>{items}</section>
<section><h2>Job</h2><div id="job"{swap_job}>{job}</div></section>
<section><h2>Notices</h2>{notices}<div id="notices" role="log" aria-label="notices"{swap_notice}></div></section>
</main>
</body>
</html>
"#
    )
}

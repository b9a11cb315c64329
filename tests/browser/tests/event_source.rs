//! What the browser's own `EventSource` makes of our streams. All scenarios are played in one run.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sse_io_browser::scenarios::{
    EVENTS, FOR_OTHERS, FOREIGN_ID, LONG_RETRY, Record, STEPS, TEXTS, play,
};

/// `readyState` of a source.
const CONNECTING: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

/// What happened in a scenario. The first test that asks has the browser play them all.
#[track_caller]
fn record(scenario: &str) -> &'static Record {
    static RECORDS: OnceLock<Result<HashMap<String, Record>, String>> = OnceLock::new();
    let records = RECORDS.get_or_init(|| play().map_err(|error| error.to_string()));
    let records = match records {
        Ok(records) => records,
        Err(error) => panic!("{error}"),
    };
    for record in records
        .get("(all)")
        .into_iter()
        .chain(records.get(scenario))
    {
        assert!(record.errors.is_empty(), "{:?}", record.errors);
    }
    records.get(scenario).expect("the page has played it")
}

/// The reports of a stream that the page found open, then as listed, and closed at "end".
#[track_caller]
fn assert_whole(record: &Record, between: impl IntoIterator<Item = Value>) {
    let mut wanted = vec![json!(["(open)", OPEN])];
    wanted.extend(between);
    let last_id = wanted.iter().rev().find(|report| report[0] == "message");
    let last_id = last_id.map_or("", |report| report[2].as_str().expect("an id"));
    wanted.push(json!(["end", last_id]));
    wanted.push(json!(["(later)", CLOSED]));
    assert_eq!(record.reports, wanted);
}

fn ids(record: &Record) -> Vec<Option<&str>> {
    let requests = record.requests.iter();
    requests.map(|(_, id)| id.as_deref()).collect()
}

/// Every event once and in order, with a lost connection after each five.
fn in_pieces() -> impl Iterator<Item = Value> {
    (1..=EVENTS).flat_map(|n| {
        let event = json!(["message", format!("event {n}"), n.to_string()]);
        let lost = [json!(["(error)", CONNECTING]), json!(["(open)", OPEN])];
        let lost = (n % 5 == 0 && n < EVENTS).then_some(lost);
        [event].into_iter().chain(lost.into_iter().flatten())
    })
}

#[test]
fn each_event_arrives_before_the_next_one_is_sent() {
    let steps = (1..=STEPS).map(|step| json!(["message", step.to_string(), ""]));
    assert_whole(record("live"), steps);
}

#[test]
fn named_events_reach_the_listeners_of_that_name_and_no_others() {
    let events = [
        json!(["message", "no name", ""]),
        json!(["tick", "a tick", ""]),
        json!(["Tick", "a name of its own", ""]),
        json!(["message", "the default by name", ""]),
        json!(["message", "no name again", ""]),
    ];
    assert_whole(record("named"), events);
}

#[test]
fn any_text_arrives_as_it_was() {
    assert_whole(
        record("texts"),
        TEXTS.iter().map(|text| json!(["message", text, ""])),
    );
}

#[test]
fn empty_data_is_an_event_and_comments_and_unknown_fields_are_none() {
    let events = [
        json!(["message", "", "1"]),
        json!(["message", "extended", "1"]),
    ];
    assert_whole(record("unknown"), events);
}

#[test]
fn after_a_dropped_emitter_the_browser_goes_on_where_it_was() {
    let record = record("resumed");
    assert_whole(record, in_pieces());
    assert_eq!(ids(record), [None, Some("5"), Some("10"), Some("15")]);
}

#[test]
fn after_a_connection_cut_within_an_event_nothing_is_lost_or_doubled() {
    let record = record("cut");
    assert_whole(record, in_pieces());
    assert_eq!(ids(record), [None, Some("5"), Some("10"), Some("15")]);
}

#[test]
fn the_client_of_a_quiet_topic_comes_back_to_where_the_heartbeats_moved_it() {
    let record = record("quiet");
    let (passed_over, away) = (1 + FOR_OTHERS, 2 + FOR_OTHERS);
    // Moved without an event, past all that was for others.
    let moved = passed_over.to_string();
    assert_eq!(ids(record), [None, Some(&*moved)]);
    let events = [
        json!(["message", "quiet", "1"]),
        json!(["(error)", CONNECTING]),
        json!(["(open)", OPEN]),
        json!(["message", "quiet", away.to_string()]),
    ];
    assert_whole(record, events);
}

#[test]
fn an_id_that_is_not_ascii_comes_back_as_it_was() {
    let record = record("foreign");
    assert_eq!(ids(record), [None, Some(FOREIGN_ID)]);
    let events = [
        json!(["message", "", FOREIGN_ID]),
        json!(["(error)", CONNECTING]),
        json!(["(open)", OPEN]),
    ];
    assert_whole(record, events);
}

#[test]
fn the_reconnection_time_is_the_one_we_ask_for() {
    let record = record("patient");
    let lost = [json!(["(error)", CONNECTING]), json!(["(open)", OPEN])];
    let sooner = [json!(["message", "sooner", ""])];
    let wanted = lost.clone().into_iter().chain(sooner).chain(lost);
    // That the third request came at all shows that the event's own time replaced the hour.
    assert_whole(record, wanted);
    // A lower bound, so a slow machine cannot break it: the browser's own time would be shorter.
    let waited = record.requests[1].0 - record.requests[0].0;
    assert!(waited >= LONG_RETRY, "{waited:?}");
}

#[test]
fn after_a_204_the_browser_never_comes_back() {
    let record = record("gone");
    let wanted = [
        json!(["(open)", OPEN]),
        json!(["message", "the only one", ""]),
        json!(["(error)", CONNECTING]),
        json!(["(error)", CLOSED]),
        json!(["(later)", CLOSED]),
    ];
    assert_eq!(record.reports, wanted);
    assert_eq!(record.requests.len(), 2);
}

#[track_caller]
fn assert_refused(record: &Record) {
    let wanted = [json!(["(error)", CLOSED]), json!(["(later)", CLOSED])];
    assert_eq!(record.reports, wanted);
    assert_eq!(record.requests.len(), 1);
}

#[test]
fn a_500_closes_the_source() {
    assert_refused(record("failed"));
}

#[test]
fn another_media_type_closes_the_source() {
    assert_refused(record("mistyped"));
}

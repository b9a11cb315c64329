//! `source()` of every error: what caused it, which its own text does not repeat.

use std::error::Error;
use std::io;

use sse_io::client::{self, ConnectError, Response};
use sse_io::hub::{PublishError, RecvError, SubscribeError};
use sse_io::{Event, EventSource, EventTooLarge, Hub, InvalidField, Reader, Writer};

fn cause() -> io::Error {
    io::Error::other("the disk is full")
}

/// The error's text and its causes' texts, none of which holds the next.
#[track_caller]
fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    for pair in texts.windows(2) {
        assert!(!pair[0].contains(&pair[1]), "{texts:?}");
    }
    texts
}

#[test]
fn of_an_event_that_cannot_be_sent() {
    let mut writer = Writer::new(Vec::new());
    let error = writer
        .write_event(&Event::new("x").with_id("a\nb"))
        .unwrap_err();
    let inner = error.get_ref().unwrap();
    assert!(inner.is::<InvalidField>());
    assert!(InvalidField::of(&error).is_some() && EventTooLarge::of(&error).is_none());
    assert!(inner.source().is_none());
}

#[test]
fn of_an_event_that_is_too_large() {
    let mut reader = Reader::new(&b"data: abcdef\n\n"[..]).with_max_event_size(4);
    let error = reader.read_event().unwrap_err();
    let inner = error.get_ref().unwrap();
    assert!(inner.is::<EventTooLarge>());
    assert!(EventTooLarge::of(&error).is_some() && InvalidField::of(&error).is_none());
    assert!(inner.source().is_none());
    assert!("".parse::<Event<'static>>().unwrap_err().source().is_none());
    let text = format!("data: {}\n\n", "x".repeat(16 << 20));
    let error = text.parse::<Event<'static>>().unwrap_err();
    assert!(error.source().expect("the limit").is::<EventTooLarge>());
    assert_eq!(chain(&error).len(), 2);
}

#[test]
fn of_the_hub() {
    let hub = Hub::new();
    let invalid = hub.publish(&Event::new("x").with_name("a\nb")).unwrap_err();
    let source = invalid.source().expect("the field");
    assert!(source.is::<InvalidField>());
    assert_eq!(chain(&invalid).len(), 2);
    let notice = Event::new("x").with_name("a\nb");
    let invalid = hub.subscribe().with_gap_event(notice).start().unwrap_err();
    let source = invalid.source().expect("the field");
    assert!(source.is::<InvalidField>());
    assert_eq!(chain(&invalid).len(), 2);
    assert_eq!(
        chain(&PublishError::Data(cause())),
        ["the event's data could not be written", "the disk is full"]
    );
    assert_eq!(
        chain(&SubscribeError::History(cause())),
        ["the history failed", "the disk is full"]
    );
    assert_eq!(
        chain(&RecvError::History(cause())),
        ["the history failed", "the disk is full"]
    );
    for error in [
        PublishError::CarriesId,
        PublishError::NoTopic,
        PublishError::Closed,
    ] {
        assert!(error.source().is_none(), "{error}");
    }
    assert!(SubscribeError::Closed.source().is_none());
    assert!(RecvError::Closed.source().is_none());
}

/// An answer of that status, with this stream.
fn answer(status: u16, stream: &[u8]) -> Result<Response<&[u8]>, ConnectError> {
    Ok(Response::new(status, "text/event-stream", stream))
}

#[test]
fn of_the_client() {
    let fatal = |_: &client::Request<'_>| Err::<Response<&[u8]>, _>(ConnectError::fatal(cause()));
    let error = EventSource::new(fatal).next_event().unwrap_err();
    assert_eq!(chain(&error), ["cannot connect", "the disk is full"]);
    let source = error.source().expect("the cause");
    assert!(source.is::<io::Error>(), "as the connector gave it");
    assert_eq!(format!("{error:#}"), "cannot connect: the disk is full");

    let refused = |_: &client::Request<'_>| answer(404, b"");
    let error = EventSource::new(refused).next_event().unwrap_err();
    assert!(error.source().is_none(), "the server's answer is the cause");

    let mut source = EventSource::new(refused)
        .with_retried_statuses([404])
        .with_max_attempts(1);
    let error = source.next_event().unwrap_err();
    let last = error.source().expect("the last attempt's");
    assert!(last.is::<client::Error>());
    assert_eq!(chain(&error).len(), 2);

    let large = |_: &client::Request<'_>| answer(200, b"data: too large\n\n");
    let mut source = EventSource::new(large).with_max_event_size(4);
    let error = source.next_event().unwrap_err();
    assert!(error.source().expect("the limit").is::<EventTooLarge>());
    assert_eq!(chain(&error).len(), 2);
}

#[test]
fn of_a_connection_that_was_lost() {
    let broken = |_: &client::Request<'_>| {
        let body = io::BufReader::new(Broken);
        Ok::<_, ConnectError>(Response::new(200, "text/event-stream", body))
    };
    let mut source = EventSource::new(broken).with_max_attempts(0);
    let error = source.next_event().unwrap_err();
    let texts = chain(&error);
    assert_eq!(texts[1..], ["the connection was lost", "the disk is full"]);
}

/// A body that fails at once.
struct Broken;

impl io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(cause())
    }
}

#[test]
fn of_a_connector() {
    // It says what its cause says: the cause's source is its own.
    assert!(ConnectError::fatal(cause()).source().is_none());
    let wrapped = ConnectError::retry(Wrapped(cause()));
    assert_eq!(chain(&wrapped), ["wrapped", "the disk is full"]);
}

/// An error with a cause.
#[derive(Debug)]
struct Wrapped(io::Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrapped")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

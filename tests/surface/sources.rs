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
    assert!(inner.source().is_none());
}

#[test]
fn of_an_event_that_is_too_large() {
    let mut reader = Reader::new(&b"data: abcdef\n\n"[..]).with_max_event_size(4);
    let error = reader.read_event().unwrap_err();
    let inner = error.get_ref().unwrap();
    assert!(inner.is::<EventTooLarge>());
    assert!(inner.source().is_none());
    assert!("".parse::<Event<'static>>().unwrap_err().source().is_none());
}

#[test]
fn of_the_hub() {
    let hub = Hub::new();
    let invalid = hub.publish(&Event::new("x").with_name("a\nb")).unwrap_err();
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

#[test]
fn of_the_client() {
    let connector =
        |_: &client::Request<'_>| Err::<Response<&[u8]>, _>(ConnectError::fatal(cause()));
    let error = EventSource::new(connector).next_event().unwrap_err();
    assert_eq!(chain(&error), ["cannot connect", "the disk is full"]);
    assert_eq!(format!("{error:#}"), "cannot connect: the disk is full");
    // What the connector's error says is what the cause says: its source is the cause's.
    assert!(ConnectError::fatal(cause()).source().is_none());
}

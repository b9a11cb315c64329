//! The debug form of every public object that has one written by hand: it says what it is.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use sse_io::body::channel;
use sse_io::client::{ConnectError, Listeners, Response};
use sse_io::hub::{Fanout, Socket};
use sse_io::{Emitter, Event, EventSource, Hub, Parser, Writer, client};

fn refuse(_: &client::Request<'_>) -> Result<Response<&'static [u8]>, ConnectError> {
    Ok(Response::new(404, "", &b""[..]))
}

#[test]
fn of_the_serving_side() {
    let (writer, body) = channel(8);
    assert!(format!("{writer:?}").starts_with("BodyWriter"));
    assert!(format!("{body:?}").starts_with("Body"));
    let mut stream = Writer::new(Vec::new());
    let written = stream.write_event_with(&Event::default(), |data| {
        assert_eq!(format!("{data:?}"), "DataWriter { .. }");
        data.write_all(b"x")
    });
    written.unwrap();
    assert!(format!("{:?}", Emitter::new(Vec::new())).starts_with("Emitter"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(format!("{:?}", socket.peer().unwrap()), "Peer { .. }");
}

#[test]
fn of_the_hub() {
    let hub = Hub::new();
    assert!(format!("{hub:?}").starts_with("Hub"));
    assert!(format!("{:?}", Hub::builder()).starts_with("Builder"));
    assert!(format!("{:?}", hub.subscribe()).starts_with("Subscribe"));
    let mut subscription = hub.subscribe().start().unwrap();
    assert!(format!("{subscription:?}").starts_with("Subscription"));
    assert!(format!("{:?}", Fanout::new().unwrap()).starts_with("Fanout"));
    let id = hub.publish(&Event::new("x")).unwrap();
    let frame = subscription.recv().unwrap();
    assert!(format!("{frame:?}").starts_with("Frame"));
    assert_eq!(format!("{id:?}"), format!("{:?}", id.as_str()));
}

#[test]
fn of_the_reading_side() {
    assert!(format!("{:?}", Parser::new()).starts_with("Parser"));
    let mut source = EventSource::new(|request: &client::Request<'_>| {
        assert!(format!("{request:?}").starts_with("Request"));
        refuse(request)
    });
    assert_eq!(format!("{:?}", source.closer()), "Closer { state: Idle }");
    let form = format!("{source:?}");
    assert!(form.starts_with("EventSource"), "{form}");
    let listeners = Listeners::new();
    let listener = listeners.on_message(|_, _| {});
    assert_eq!(format!("{listeners:?}"), "Listeners { handlers: 1 }");
    assert_eq!(format!("{listener:?}"), "Listener { .. }");
    let error = source.next_event().unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
    let items = EventSource::new(refuse).spawn(1).unwrap();
    assert!(format!("{items:?}").starts_with("Items"));
}

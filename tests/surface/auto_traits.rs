//! Which threads a value may go to, and what a panic may leave of it: for every public type.

use std::cell::Cell;
use std::marker::PhantomData;
use std::net::TcpStream;
use std::panic::{RefUnwindSafe, UnwindSafe};

use sse_io::body::{Body, BodyWriter};
use sse_io::client::{
    BoxConnect, Closer, ConnectError, Error, ErrorKind, Incoming, Items, Listener, Listeners,
    Request, Response, State,
};
use sse_io::http::{Guard, Refusal};
use sse_io::hub::{
    Builder, EventId, Fanout, FanoutBuilder, FanoutStats, Frame, GapPolicy, IdPolicy, IntoIter,
    Iter, LagPolicy, Peer, PublishError, RecvError, Resumption, Stats, Subscribe, SubscribeError,
    Subscription,
};
use sse_io::{
    DataWriter, Emitter, Event, EventSource, EventTooLarge, Events, Extensions, Heartbeat,
    HeartbeatThread, Hub, IntoEvents, InvalidField, Item, ParseEventError, Parser, Reader,
    ResponseHead, Writer, client, hub,
};

/// A type. A method of its own comes before one of a trait, and there is one where its bound holds.
struct Of<T: ?Sized>(PhantomData<T>);

impl<T: ?Sized + Send> Of<T> {
    fn send(&self) -> &'static str {
        "Send "
    }
}

impl<T: ?Sized + Sync> Of<T> {
    fn sync(&self) -> &'static str {
        "Sync "
    }
}

impl<T: ?Sized + UnwindSafe> Of<T> {
    fn moved(&self) -> &'static str {
        "UnwindSafe "
    }
}

impl<T: ?Sized + RefUnwindSafe> Of<T> {
    fn borrowed(&self) -> &'static str {
        "RefUnwindSafe "
    }
}

trait Otherwise {
    fn send(&self) -> &'static str {
        ""
    }
    fn sync(&self) -> &'static str {
        ""
    }
    fn moved(&self) -> &'static str {
        ""
    }
    fn borrowed(&self) -> &'static str {
        ""
    }
}

impl<T: ?Sized> Otherwise for Of<T> {}

/// Each type must have exactly these traits.
macro_rules! assert_traits {
    ($wanted:literal: $($type:ty),+ $(,)?) => {$({
        let of = Of::<$type>(PhantomData);
        let found = [of.send(), of.sync(), of.moved(), of.borrowed()].concat();
        assert_eq!(found.trim_end(), $wanted, "{}", stringify!($type));
    })+};
}

type Connector = fn(&Request<'_>) -> Result<Response<&'static [u8]>, ConnectError>;

#[test]
fn values_go_anywhere() {
    // What has none is seen to have none.
    assert_traits!["": *const Cell<u8>];
    assert_traits!["Send Sync UnwindSafe RefUnwindSafe":
        Event<'static>, EventTooLarge, Extensions, InvalidField, Item<'static>, ParseEventError,
        Heartbeat, ResponseHead, Guard, Refusal, ErrorKind, EventId, Frame, FanoutStats, GapPolicy,
        IdPolicy, LagPolicy, Resumption, Stats,
    ];
    // They may hold anybody's error, which nobody says to be unwind safe.
    assert_traits!["Send Sync":
        client::Ending, hub::Ending, State, Error, Incoming, ConnectError, PublishError,
        SubscribeError, RecvError,
    ];
}

#[test]
fn streams_go_where_what_is_below_them_goes() {
    assert_traits!["Send Sync UnwindSafe RefUnwindSafe":
        Parser, Reader<TcpStream>, IntoEvents<TcpStream>, Writer<TcpStream>, Emitter<TcpStream>,
        Body, BodyWriter, Response<TcpStream>,
    ];
    assert_traits!["Send Sync RefUnwindSafe": Events<'static, TcpStream>, DataWriter<'static>];
}

#[test]
fn handles_are_shared() {
    assert_traits!["Send Sync UnwindSafe RefUnwindSafe":
        Emitter, Closer, Listener, Listeners, Fanout, FanoutBuilder, Peer,
    ];
    assert_traits!["Send Sync": HeartbeatThread, Hub, Builder];
}

#[test]
fn what_calls_the_user_goes_to_another_thread() {
    assert_traits!["Send Sync UnwindSafe RefUnwindSafe": Request<'static>];
    assert_traits!["Send UnwindSafe RefUnwindSafe": Items];
    assert_traits!["Send":
        BoxConnect, EventSource<Connector>, Subscribe, Subscription, IntoIter, Iter<'static>,
    ];
}

/// No public type is missing above.
#[test]
fn every_public_type_is_asserted() {
    let here = include_str!("auto_traits.rs");
    let traits = ["Connect", "History", "Socket"];
    let sources = [
        include_str!("../../src/lib.rs"),
        include_str!("../../src/body.rs"),
        include_str!("../../src/client.rs"),
        include_str!("../../src/http.rs"),
        include_str!("../../src/hub.rs"),
    ];
    let mut count = 0;
    for source in sources {
        for statement in source.split("\npub ").skip(1) {
            let names = match statement.split_once(' ') {
                Some(("use", rest)) => rest.split(';').next().unwrap_or_default(),
                Some(("struct" | "enum" | "type", rest)) => rest
                    .split(|c: char| !c.is_alphanumeric())
                    .next()
                    .unwrap_or_default(),
                _ => continue,
            };
            for name in names.split(|c: char| !c.is_alphanumeric() && c != '_') {
                let is_type =
                    name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase);
                if is_type && !traits.contains(&name) {
                    let uses = here.split(|c: char| !c.is_alphanumeric() && c != '_');

                    assert!(uses.filter(|word| *word == name).count() >= 2, "{name}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 40, "{count}");
}

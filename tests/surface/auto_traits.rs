//! Which threads a value may go to, and what a panic may leave of it.

use std::net::TcpStream;
use std::panic::{RefUnwindSafe, UnwindSafe};

use sse_io::body::{Body, BodyWriter};
use sse_io::client::{
    Closer, ConnectError, Error, ErrorKind, Listener, Listeners, Response, State,
};
use sse_io::hub::{
    Builder, EventId, Frame, GapPolicy, IdPolicy, LagPolicy, Peer, PublishError, RecvError,
    Resumption, Stats, Subscribe, SubscribeError, Subscription,
};
use sse_io::{
    DataWriter, Emitter, Event, EventSource, EventTooLarge, Events, Heartbeat, HeartbeatThread,
    Hub, IntoEvents, InvalidField, Item, ParseEventError, Parser, Reader, ResponseHead, Writer,
    client, hub,
};

/// Moved to another thread, or looked at from there.
fn shared<T: Send + Sync>() {}

/// Moved to another thread.
fn sent<T: Send>() {}

/// Kept over a caught panic, by value or by reference.
fn kept<T: UnwindSafe + RefUnwindSafe>() {}

type Connector = fn(&client::Request<'_>) -> Result<Response<&'static [u8]>, ConnectError>;

#[test]
fn values_and_errors_go_anywhere() {
    macro_rules! assert_all {
        ($($type:ty),+ $(,)?) => { $(shared::<$type>(); kept::<$type>();)+ };
    }
    assert_all![
        Event<'static>,
        EventTooLarge,
        InvalidField,
        Item<'static>,
        ParseEventError,
        Heartbeat,
        ResponseHead,
        ErrorKind,
        EventId,
        Frame,
        GapPolicy,
        IdPolicy,
        LagPolicy,
        Resumption,
        Stats,
    ];
    // An `io::Error` may hold anybody's error, which nobody says to be unwind safe.
    shared::<client::Ending>();
    shared::<State>();
    shared::<hub::Ending>();
    shared::<Error>();
    shared::<ConnectError>();
    shared::<PublishError>();
    shared::<SubscribeError>();
    shared::<RecvError>();
}

#[test]
fn streams_go_where_what_is_below_them_goes() {
    shared::<Parser>();
    kept::<Parser>();
    shared::<Reader<TcpStream>>();
    kept::<Reader<TcpStream>>();
    shared::<Events<'static, TcpStream>>();
    shared::<IntoEvents<TcpStream>>();
    kept::<IntoEvents<TcpStream>>();
    shared::<Writer<TcpStream>>();
    kept::<Writer<TcpStream>>();
    sent::<DataWriter<'static>>();
    sent::<Response<TcpStream>>();
    shared::<Body>();
    kept::<Body>();
    shared::<BodyWriter>();
    kept::<BodyWriter>();
}

#[test]
fn handles_are_shared() {
    shared::<Emitter>();
    shared::<Emitter<TcpStream>>();
    kept::<Emitter<TcpStream>>();
    shared::<HeartbeatThread>();
    shared::<Closer>();
    shared::<Listeners>();
    shared::<Listener>();
    shared::<Hub>();
    shared::<Builder>();
    sent::<Peer>();
    sent::<Subscribe>();
    sent::<Subscription>();
    sent::<hub::IntoIter>();
    sent::<hub::Iter<'static>>();
    sent::<EventSource<Connector>>();
}

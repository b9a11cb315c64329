//! The server that async programs have: axum, and a task for each connection that waits on tokio's
//! broadcast channel.
//!
//! What is given to it: an event is built once, before it goes into the channel, and each connection
//! has a copy of the bytes. Connections have no-delay and heartbeats, as ours have.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_core::Stream;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

use super::server::{CAPACITY, Publish};

struct Publisher {
    events: Sender<Event>,
    number: u64,
    /// Serves as long as it lives.
    _runtime: Runtime,
}

pub(super) fn start() -> io::Result<(SocketAddr, Box<dyn Publish>)> {
    let (events, _) = channel(CAPACITY);
    let for_connections = events.clone();
    let answer = move || {
        let events = for_connections.subscribe();
        async { Sse::new(received(events)).keep_alive(KeepAlive::default()) }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    runtime
        .spawn(async { axum::serve(listener, Router::new().route("/events", get(answer))).await });
    let publisher = Publisher {
        events,
        number: 0,
        _runtime: runtime,
    };
    Ok((address, Box::new(publisher)))
}

fn received(events: Receiver<Event>) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(events, |mut events| async {
        loop {
            match events.recv().await {
                Ok(event) => return Some((Ok(event), events)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

impl Publish for Publisher {
    fn publish(&mut self, data: &str) -> io::Result<()> {
        self.number += 1;
        let event = Event::default().id(self.number.to_string()).data(data);
        // Fails when nobody listens.
        drop(self.events.send(event));
        Ok(())
    }
}

//! This crate's other server: a hub, and a fan-out for all connections.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sse_io::hub::Fanout;
use sse_io::{Heartbeat, Hub, ResponseHead};

use super::server::{CAPACITY, Publish};

const HEARTBEAT: Heartbeat = Heartbeat::every(Duration::from_secs(15));

pub(super) fn start() -> io::Result<(SocketAddr, Box<dyn Publish>)> {
    let hub = Hub::builder().with_max_events(CAPACITY).build();
    let fanout = Fanout::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let for_connections = hub.clone();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // One that cannot be answered is one that its client will miss.
            let _ = answer(&for_connections, &fanout, connection);
        }
    });
    Ok((address, Box::new(hub)))
}

fn answer(hub: &Hub, fanout: &Fanout, connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    for line in BufReader::new((&connection).take(16 << 10)).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let subscription = hub.subscribe().start().map_err(io::Error::other)?;
    let emitter = ResponseHead::new().start(connection)?;
    drop(subscription.serve_in(fanout, emitter, HEARTBEAT));
    Ok(())
}

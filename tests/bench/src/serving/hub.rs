//! This crate's server: a hub, and a thread for each connection.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sse_io::{Event, Heartbeat, Hub, ResponseHead};

use super::server::{CAPACITY, Publish};

const HEARTBEAT: Heartbeat = Heartbeat::every(Duration::from_secs(15));

pub(super) fn start() -> io::Result<(SocketAddr, Box<dyn Publish>)> {
    let hub = Hub::builder().with_max_events(CAPACITY).build();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let for_connections = hub.clone();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let hub = for_connections.clone();
            // One that cannot be answered is one that its client will miss.
            thread::spawn(move || answer(&hub, connection));
        }
    });
    Ok((address, Box::new(hub)))
}

fn answer(hub: &Hub, connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    for line in BufReader::new((&connection).take(16 << 10)).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let mut subscription = hub.subscribe().start().map_err(io::Error::other)?;
    let emitter = ResponseHead::new().start(connection)?;
    drop(subscription.serve(&emitter, HEARTBEAT));
    Ok(())
}

impl Publish for Hub {
    fn publish(&mut self, data: &str) -> io::Result<()> {
        Hub::publish(self, &Event::new(data))?;
        Ok(())
    }
}

//! This crate's other server: a hub, and a fan-out for all connections.

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use sse_io::hub::Fanout;
use sse_io::{Event, Heartbeat, Hub, ResponseHead};

use super::server::{CAPACITY, Publish};

const HEARTBEAT: Heartbeat = Heartbeat::every(Duration::from_secs(15));

/// Publishes to one topic.
struct ToTopic {
    hub: Hub,
    topic: &'static str,
}

impl Publish for ToTopic {
    fn publish(&mut self, data: &str) -> io::Result<()> {
        self.hub.publish_to([self.topic], &Event::new(data))?;
        Ok(())
    }
}

/// With a topic, every connection is subscribed to it, and all is published to it.
pub(super) fn start(topic: Option<&'static str>) -> io::Result<(SocketAddr, Box<dyn Publish>)> {
    let hub = Hub::builder().with_max_events(CAPACITY).build();
    let fanout = Fanout::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let for_connections = hub.clone();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // One that cannot be answered is one that its client will miss.
            let _ = answer(&for_connections, &fanout, connection, topic);
        }
    });
    Ok(match topic {
        None => (address, Box::new(hub)),
        Some(topic) => (address, Box::new(ToTopic { hub, topic })),
    })
}

fn answer(
    hub: &Hub,
    fanout: &Fanout,
    connection: TcpStream,
    topic: Option<&str>,
) -> io::Result<()> {
    connection.set_nodelay(true)?;
    for line in BufReader::new((&connection).take(16 << 10)).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let mut subscribe = hub.subscribe();
    if let Some(topic) = topic {
        subscribe = subscribe.with_topics([topic]);
    }
    let subscription = subscribe.start()?;
    let emitter = ResponseHead::new().start(connection)?;
    drop(subscription.serve_in(fanout, emitter, HEARTBEAT));
    Ok(())
}

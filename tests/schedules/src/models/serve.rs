//! A hub's events on the streams of its clients.

use std::time::Duration;

use shuttle::thread;

use super::emitter::Out;
use super::{LONG, check};
use crate::hub::{Ending, IdPolicy};
use crate::{Emitter, Event, Heartbeat, Hub};

/// Each stream is closed by somebody else as soon as everything is on it: nothing else would wake
/// it.
fn serves(timeouts: u32, wave: usize, clients: usize) {
    const EVENTS: usize = 3;
    check(timeouts, wave, move || {
        let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
        let serve = |_| {
            let mut subscription = hub.subscribe().start().expect("the hub is open");
            let out = Out::default();
            let emitter = Emitter::new(out.writer());
            let handle = emitter.clone();
            let heartbeat = (timeouts > 0).then(|| Heartbeat::every(Duration::from_secs(1)));
            let server = thread::spawn(move || subscription.serve(&emitter, heartbeat));
            (out, handle, server)
        };
        let clients: Vec<_> = (0..clients).map(serve).collect();
        for number in 0..EVENTS {
            let event = Event::new("x").with_id(number.to_string());
            hub.publish(&event).expect("the hub is open");
        }
        for (out, handle, server) in clients {
            while out.text().matches("data: x\n\n").count() < EVENTS {
                thread::yield_now();
            }
            handle.close();
            assert!(matches!(server.join().expect("no panic"), Ending::Closed));
            let text = out.text();
            let blocks = text.split_terminator("\n\n").filter(|block| *block != ":");
            let ids: Vec<_> = blocks
                .filter_map(|block| block.strip_suffix("\ndata: x"))
                .collect();
            assert_eq!(ids, ["id: 0", "id: 1", "id: 2"], "{text:?}");
        }
        assert_eq!(hub.stats().subscribers, 0);
    });
}

#[test]
fn two_streams_get_everything() {
    serves(0, LONG, 2);
}

#[test]
fn waves_of_one_reach_every_stream() {
    serves(0, 1, 4);
}

#[test]
fn heartbeats_lose_no_event() {
    serves(4, 2, 2);
}

//! Two hubs on one store: a client that hops from one to the other misses and repeats nothing.

use std::io;
use std::sync::{Arc, Mutex};

use shuttle::thread;

use super::{LONG, check};
use crate::hub::{GapPolicy, History, IdPolicy, Resumption};
use crate::{Event, Hub};

const EVENTS: usize = 6;

/// The ids of all events, in their order.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Vec<String>>>);

impl Store {
    fn ids(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

impl History for Store {
    fn after(&self, id: &str, _: &[&str], max: usize) -> io::Result<Option<Vec<Event<'static>>>> {
        thread::yield_now();
        let ids = self.ids();
        thread::yield_now();
        let Some(at) = ids.iter().position(|known| known == id) else {
            return Ok(None);
        };
        let event = |id: &String| Event::new("x").with_id(id.clone());
        // Small pages, so that several are read.
        Ok(Some(
            ids[at + 1..].iter().take(max.min(2)).map(event).collect(),
        ))
    }
}

fn hub(store: &Store, log: usize) -> Hub {
    let builder = Hub::builder()
        .with_max_events(log)
        .with_id_policy(IdPolicy::Own);
    let hub = builder.with_history(store.clone()).build();
    hub.publish(&Event::new("x").with_id("0"))
        .expect("the hub is open");
    hub
}

fn hops(log: usize) {
    check(0, LONG, move || {
        let store = Store::default();
        store.0.lock().expect("no panic").push("0".to_owned());
        let hubs = [hub(&store, log), hub(&store, log)];
        let publish = |hub: &Hub| {
            let (hub, store) = (hub.clone(), store.clone());
            thread::spawn(move || {
                // Each hub follows the store at its own pace.
                for number in 1..EVENTS {
                    while store.ids().len() <= number {
                        thread::yield_now();
                    }
                    let event = Event::new("x").with_id(number.to_string());
                    hub.publish(&event).expect("the hub is open");
                }
            })
        };
        let publishers: Vec<_> = hubs.iter().map(publish).collect();
        let client = {
            let hubs = hubs.clone();
            thread::spawn(move || {
                let mut next = 1;
                let mut hop = 0;
                while next < EVENTS {
                    let last = (next - 1).to_string();
                    let subscribe = hubs[hop % 2].subscribe().with_last_event_id(last);
                    let subscribe = subscribe.with_gap_policy(GapPolicy::Refuse);
                    let mut subscription = subscribe.start().expect("the store knows the id");
                    assert!(!matches!(subscription.resumption(), Resumption::Gap { .. }));
                    for _ in 0..1 + hop % 3 {
                        if next == EVENTS {
                            break;
                        }
                        let frame = subscription.recv().expect("the store knows the id");
                        assert_eq!(frame.id(), Some(&*next.to_string()));
                        next += 1;
                    }
                    hop += 1;
                }
            })
        };
        for number in 1..EVENTS {
            store.0.lock().expect("no panic").push(number.to_string());
            thread::yield_now();
        }
        for publisher in publishers {
            publisher.join().expect("no panic");
        }
        client.join().expect("no panic");
    });
}

#[test]
fn a_client_hops_between_hubs_with_tiny_logs() {
    hops(1);
}

#[test]
fn a_client_hops_between_hubs_whose_logs_hold_everything() {
    hops(EVENTS + 1);
}

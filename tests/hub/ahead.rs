//! Clients that have seen more than the hub, stores that forget, and where a page meets the log.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use sse_io::hub::{History, RecvError, Resumption, SubscribeError, Subscription};
use sse_io::{Event, Hub};

use crate::serve::serve_heartbeats;

/// A store in memory. Ids are numbers.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    ids: Vec<usize>,
    calls: usize,
    /// What every call gives, if this is set.
    always: Vec<usize>,
}

fn event(id: usize) -> Event<'static> {
    Event::new(format!("data {id}")).with_id(id.to_string())
}

impl History for Store {
    fn after(&self, id: &str, _: &[&str], max: usize) -> io::Result<Option<Vec<Event<'static>>>> {
        let mut stored = self.0.lock().unwrap();
        stored.calls += 1;
        if !stored.always.is_empty() {
            return Ok(Some(stored.always.iter().copied().map(event).collect()));
        }
        let found = |known: &usize| Some(*known) == id.parse().ok();
        let Some(at) = stored.ids.iter().position(found) else {
            return Ok(None);
        };
        let behind = stored.ids[at + 1..].iter().take(max);
        Ok(Some(behind.copied().map(event).collect()))
    }
}

impl Store {
    fn append(&self, ids: impl IntoIterator<Item = usize>) {
        self.0.lock().unwrap().ids.extend(ids);
    }

    /// Lets the events before this one go.
    fn forget_before(&self, first: usize) {
        self.0.lock().unwrap().ids.retain(|&id| id >= first);
    }

    fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }
}

fn hub(store: &Store, log: usize) -> Hub {
    Hub::builder()
        .with_history(store.clone())
        .with_max_events(log)
        .build()
}

fn publish(hub: &Hub, ids: impl IntoIterator<Item = usize>) {
    for id in ids {
        hub.publish(&event(id)).unwrap();
    }
}

fn after(hub: &Hub, id: usize) -> Subscription {
    let subscribe = hub.subscribe().with_last_event_id(id.to_string());
    subscribe.start().unwrap()
}

/// The ids of what there is now; 0 for an event without.
fn drain(subscription: &mut Subscription) -> Vec<usize> {
    let mut all = Vec::new();
    while let Some(frame) = subscription.try_recv().unwrap() {
        all.push(frame.id().map_or(0, |id| id.parse().unwrap()));
    }
    all
}

fn range(first: usize, last: usize) -> Vec<usize> {
    (first..=last).collect()
}

#[test]
fn a_made_up_id_asks_the_store_once() {
    let store = Store::default();
    store.append(1..=5000);
    let hub = hub(&store, 10);
    publish(&hub, 1..=10);
    let made_up = hub.subscribe().with_last_event_id("made up").start();
    let resumption = *made_up.unwrap().resumption();
    assert!(matches!(resumption, Resumption::Gap { missed: None, .. }));
    assert_eq!(store.calls(), 1);
}

#[test]
fn a_store_that_has_let_go_of_the_newest_event_of_the_hub_gives_nothing_twice() {
    let store = Store::default();
    store.append(1..=3);
    let hub = hub(&store, 10);
    publish(&hub, [1]);
    store.forget_before(3);
    let mut ahead = after(&hub, 3);
    assert_eq!(*ahead.resumption(), Resumption::CaughtUp);
    assert_eq!(drain(&mut ahead), []);
    publish(&hub, [2]);
    assert_eq!(drain(&mut ahead), []);
    publish(&hub, [3]);
    assert_eq!(drain(&mut ahead), []);
    store.append([4, 5]);
    publish(&hub, [4]);
    assert_eq!(drain(&mut ahead), [4]);
    publish(&hub, [5]);
    assert_eq!(drain(&mut ahead), [5]);
    store.append([6]);
    publish(&hub, [6]);
    assert_eq!(drain(&mut ahead), [6]);
    // From here on, the log alone is read.
    let calls = store.calls();
    store.append([7]);
    publish(&hub, [7]);
    assert_eq!(drain(&mut ahead), [7]);
    assert_eq!(store.calls(), calls);
}

#[test]
fn a_client_that_is_pages_ahead_of_the_hub_gets_nothing_twice() {
    let store = Store::default();
    store.append(1..=1500);
    let hub = hub(&store, 20);
    publish(&hub, 1..=10);
    let mut ahead = after(&hub, 900);
    let mut newest = after(&hub, 1500);
    assert_eq!(*newest.resumption(), Resumption::CaughtUp);
    assert_eq!(drain(&mut ahead), range(901, 1500));
    for first in (11..1500).step_by(10) {
        publish(&hub, first..first + 10);
        if first % 3 == 0 {
            // Or the log rolls on meanwhile.
            assert_eq!(drain(&mut ahead), []);
            assert_eq!(drain(&mut newest), []);
        }
    }
    store.append([1501]);
    publish(&hub, [1501]);
    assert_eq!(drain(&mut ahead), [1501]);
    assert_eq!(drain(&mut newest), [1501]);
}

#[test]
fn events_without_an_id_reach_a_client_that_is_ahead() {
    let store = Store::default();
    store.append(1..=3);
    let hub = hub(&store, 10);
    publish(&hub, [1]);
    let mut ahead = after(&hub, 3);
    assert_eq!(drain(&mut ahead), []);
    hub.publish(&Event::new("for a moment")).unwrap();
    assert_eq!(drain(&mut ahead), [0]);
    publish(&hub, [2, 3]);
    hub.publish(&Event::new("for a moment")).unwrap();
    assert_eq!(drain(&mut ahead), [0]);
}

#[test]
fn a_client_pages_up_to_a_log_that_begins_far_behind_its_event() {
    let store = Store::default();
    store.append(1..=700);
    let hub = hub(&store, 10);
    publish(&hub, 1..=700);
    let mut back = after(&hub, 5);
    assert_eq!(*back.resumption(), Resumption::History);
    assert_eq!(drain(&mut back), range(6, 700));
    store.append([701]);
    publish(&hub, [701]);
    assert_eq!(drain(&mut back), [701]);
}

#[test]
fn pages_join_a_log_whose_newest_events_have_no_id() {
    let store = Store::default();
    store.append(1..=300);
    let hub = hub(&store, 10);
    publish(&hub, 1..=300);
    for _ in 0..5 {
        hub.publish(&Event::new("for a moment")).unwrap();
    }
    let mut back = after(&hub, 5);
    let mut expected = range(6, 300);
    expected.extend([0; 5]);
    assert_eq!(drain(&mut back), expected);
}

#[test]
fn events_without_an_id_among_those_of_the_log_come_where_they_stood() {
    let store = Store::default();
    store.append(1..=6);
    let hub = hub(&store, 3);
    publish(&hub, 1..=5);
    hub.publish(&Event::new("for a moment")).unwrap();
    publish(&hub, [6]);
    assert_eq!(drain(&mut after(&hub, 1)), [2, 3, 4, 5, 0, 6]);
}

/// A store that knows no event, and has the log roll on while it is asked.
struct Busy(Arc<Mutex<Option<Hub>>>);

impl History for Busy {
    fn after(&self, _: &str, _: &[&str], _: usize) -> io::Result<Option<Vec<Event<'static>>>> {
        if let Some(hub) = &*self.0.lock().unwrap() {
            for _ in 0..5 {
                hub.publish(&Event::new("meanwhile")).expect("it is open");
            }
        }
        Ok(None)
    }
}

#[test]
fn a_gap_that_grows_while_the_store_is_asked_has_no_number() {
    let busy = Arc::new(Mutex::new(None));
    let hub = Hub::builder()
        .with_history(Busy(Arc::clone(&busy)))
        .with_max_events(2)
        .build();
    publish(&hub, [1]);
    for _ in 0..3 {
        hub.publish(&Event::new("for a moment")).unwrap();
    }
    let gap = |subscription: &Subscription| match subscription.resumption() {
        Resumption::Gap { missed, .. } => *missed,
        other => panic!("{other:?}"),
    };
    assert_eq!(gap(&after(&hub, 1)), Some(1));
    *busy.lock().unwrap() = Some(hub.clone());
    assert_eq!(gap(&after(&hub, 1)), None);
    *busy.lock().unwrap() = None;
}

#[test]
fn events_without_an_id_that_the_log_has_let_go_are_a_gap_and_no_loop() {
    let store = Store::default();
    store.append(1..=3);
    let hub = hub(&store, 10);
    publish(&hub, 1..=3);
    let mut slow = hub.subscribe().with_replay(1).start().unwrap();
    assert_eq!(slow.recv().unwrap().id(), Some("3"));
    for _ in 0..25 {
        hub.publish(&Event::new("for a moment")).unwrap();
    }
    // One that comes back, and one that lags.
    let mut back = after(&hub, 3);
    assert!(matches!(back.resumption(), Resumption::Gap { .. }));
    assert_eq!(drain(&mut back), [0; 10]);
    let lagged = slow.try_recv();
    assert!(
        matches!(lagged, Err(RecvError::Lagged { missed: 15, .. })),
        "{lagged:?}"
    );
    assert_eq!(drain(&mut slow), [0; 10]);
    // One that pages meets them behind the last page.
    let mut pages = after(&hub, 1);
    assert_eq!(pages.recv().unwrap().id(), Some("2"));
    assert_eq!(pages.recv().unwrap().id(), Some("3"));
    assert!(matches!(pages.try_recv(), Err(RecvError::Lagged { .. })));
    assert_eq!(drain(&mut pages), [0; 10]);
}

#[test]
fn a_store_that_repeats_an_event_is_refused() {
    let store = Store::default();
    store.append(1..=3);
    let hub = hub(&store, 10);
    publish(&hub, [3]);
    // The one that was asked for, and one that comes twice in a page.
    for always in [vec![1], vec![7, 8, 7]] {
        store.0.lock().unwrap().always = always;
        let refused = hub.subscribe().with_last_event_id("1").start();
        match refused {
            Err(SubscribeError::History(error)) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(hub.stats().subscribers, 0);
}

/// Gives out one event for each call, whatever there is: each is the end of a page.
struct Singly(Store);

impl History for Singly {
    fn after(
        &self,
        id: &str,
        topics: &[&str],
        max: usize,
    ) -> io::Result<Option<Vec<Event<'static>>>> {
        self.0.after(id, topics, max.min(1))
    }
}

/// What a subscriber behind event 1 gets from a store with these ids, until an error; the hub has the
/// event 1000.
fn until_error(ids: impl IntoIterator<Item = usize>) -> (Vec<usize>, RecvError, Subscription) {
    let store = Store::default();
    store.append(ids);
    let singly = Singly(store.clone());
    let hub = Hub::builder().with_history(singly).build();
    publish(&hub, [1000]);
    let mut subscription = after(&hub, 1);
    let mut received = Vec::new();
    loop {
        match subscription.try_recv() {
            Ok(Some(frame)) => received.push(frame.id().unwrap().parse().unwrap()),
            Ok(None) => panic!("no circle: {received:?}"),
            Err(error) => break (received, error, subscription),
        }
    }
}

#[test]
fn a_store_that_leads_in_a_circle_is_found_out() {
    // From so many events on, so many come again and again.
    for (before, around) in [(0, 2), (1, 2), (5, 2), (0, 3), (7, 9), (100, 30), (3, 300)] {
        let first = 2 + before;
        let circle = first..first + around;
        let ids = (1..first + around).chain([first, 1000]);
        let (received, error, mut subscription) = until_error(ids);
        let RecvError::History(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(error.to_string(), "the history leads in a circle");
        let lead = 2..first;
        let wanted = lead.chain(circle.cycle()).take(received.len());
        assert!(received.iter().copied().eq(wanted), "{received:?}");
        let most = 3 * before.max(around) + around;
        assert!(received.len() <= most, "{} of {most}", received.len());
        // Once, and then the log.
        let rest = subscription.try_recv().unwrap().unwrap();
        assert_eq!(rest.id(), Some("1000"));
        let end = subscription.try_recv();
        assert!(matches!(end, Err(RecvError::Closed)), "{end:?}");
    }
}

#[test]
fn an_id_that_comes_again_in_a_later_page_is_no_circle() {
    let store = Store::default();
    // Pages end elsewhere.
    store.append((1..=300).chain([5]).chain(301..=700));
    let hub = hub(&store, 10);
    publish(&hub, [700]);
    let received = drain(&mut after(&hub, 1));
    let wanted: Vec<_> = (2..=300).chain([5]).chain(301..=700).collect();
    assert_eq!(received, wanted);
}

#[test]
fn an_id_that_comes_again_after_the_store_was_left_is_no_circle() {
    let store = Store::default();
    store.append([1, 2, 3]);
    let singly = Singly(store.clone());
    let hub = Hub::builder()
        .with_history(singly)
        .with_max_events(1)
        .build();
    publish(&hub, [3]);
    let mut subscription = after(&hub, 1);
    assert_eq!(drain(&mut subscription), [2, 3]);
    // The subscription lags, and reads the store once more.
    store.forget_before(3);
    store.append([4, 2, 5]);
    publish(&hub, [4, 2, 5]);
    assert_eq!(drain(&mut subscription), [4, 2, 5]);
}

#[test]
fn a_heartbeat_moves_no_client_back_that_is_ahead() {
    let store = Store::default();
    store.append(1..=3);
    let hub = hub(&store, 10);
    publish(&hub, [1]);
    let text = serve_heartbeats(after(&hub, 3));
    assert_eq!(text.replace(":\n\n", ""), "");
}

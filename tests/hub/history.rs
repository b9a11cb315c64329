//! A hub in front of an older store: pages join the log with no hole and nothing twice.

use crate::util;

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use sse_io::hub::{
    Ending, GapPolicy, History, RecvError, Resumption, SubscribeError, Subscription,
};
use sse_io::{Emitter, Event, Hub, Reader};
use util::within;
use util::writers::{DEADLINE, Record};

static FILES: AtomicUsize = AtomicUsize::new(0);

/// Called before a page is read, with the number of the read.
type Hook = Box<dyn FnMut(usize) -> io::Result<()> + Send>;

/// An append-only file of events, whose ids count up from 1. Topics are in a field of their own.
struct Store {
    path: PathBuf,
    /// The first id that is still known.
    oldest: usize,
    /// At most so many events in a page, whatever is asked for.
    page: usize,
    hook: Mutex<Hook>,
    reads: AtomicUsize,
}

#[derive(Clone)]
struct Handle(Arc<Store>);

impl Drop for Store {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Handle {
    fn new(page: usize, oldest: usize) -> Self {
        Handle::with_hook(page, oldest, |_| Ok(()))
    }

    fn with_hook(
        page: usize,
        oldest: usize,
        hook: impl FnMut(usize) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("sse-io-hub-history-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        File::create(&path).unwrap();
        Handle(Arc::new(Store {
            path,
            oldest,
            page,
            hook: Mutex::new(Box::new(hook)),
            reads: AtomicUsize::new(0),
        }))
    }

    fn append(&self, id: usize, topic: &str) -> Event<'static> {
        let event = Event::new(format!("data of {id}")).with_id(id.to_string());
        let mut wire = Vec::new();
        let stored = event.clone().with_extension("topic", topic);
        stored.encode(&mut wire).unwrap();
        let mut file = OpenOptions::new().append(true).open(&self.0.path).unwrap();
        file.write_all(&wire).unwrap();
        event
    }

    fn reads(&self) -> usize {
        self.0.reads.load(Ordering::Relaxed)
    }
}

impl History for Handle {
    fn after(
        &self,
        id: &str,
        topics: &[&str],
        max: usize,
    ) -> io::Result<Option<Vec<Event<'static>>>> {
        let store = &self.0;
        let read = store.reads.fetch_add(1, Ordering::Relaxed);
        (store.hook.lock().unwrap())(read)?;
        let mut reader = Reader::new(BufReader::new(File::open(&store.path)?));
        let mut known = false;
        let mut page = Vec::new();
        while let Some(event) = reader.read_event()? {
            let number: usize = event.id.as_deref().unwrap().parse().unwrap();
            if number < store.oldest {
                continue;
            }
            let (_, topic) = event.extensions.iter().next().unwrap();
            let wanted = topics.is_empty() || topic == "*" || topics.contains(&topic);
            if known && wanted && page.len() < max.min(store.page) {
                let mut event = event.clone().into_owned();
                event.extensions.clear();
                page.push(event);
            }
            known |= event.id.as_deref() == Some(id);
        }
        Ok(known.then_some(page))
    }
}

/// A hub with a small log in front of a store.
fn hub(store: &Handle, events: usize) -> Hub {
    Hub::builder()
        .with_history(store.clone())
        .with_max_events(events)
        .build()
}

/// Stores and publishes, as a program would.
fn publish(hub: &Hub, store: &Handle, ids: impl IntoIterator<Item = usize>) {
    for id in ids {
        hub.publish(&store.append(id, "*")).unwrap();
    }
}

fn publish_to(hub: &Hub, store: &Handle, topic: &str, id: usize) {
    let event = store.append(id, topic);
    hub.publish_to([topic], &event).unwrap();
}

fn after(hub: &Hub, id: &str) -> Subscription {
    hub.subscribe().with_last_event_id(id).start().unwrap()
}

fn drain(subscription: &mut Subscription) -> Vec<usize> {
    let mut all = Vec::new();
    while let Some(frame) = subscription.try_recv().unwrap() {
        let id = frame.id().unwrap();
        let wire = format!("id: {id}\ndata: data of {id}\n\n");
        assert_eq!(frame.as_bytes(), wire.as_bytes());
        all.push(id.parse().unwrap());
    }
    all
}

fn range(from: usize, to: usize) -> Vec<usize> {
    (from..=to).collect()
}

#[test]
fn pages_lead_into_the_log() {
    for page in [1, 2, 7, 1_000] {
        let store = Handle::new(page, 0);
        let hub = hub(&store, 10);
        publish(&hub, &store, 1..=100);
        for from in [1, 50, 88, 89] {
            let mut back = after(&hub, &from.to_string());
            assert_eq!(*back.resumption(), Resumption::History);
            assert_eq!(drain(&mut back), range(from + 1, 100));
        }
        let last = *range(1, 100).last().unwrap();
        publish(&hub, &store, [last + 1]);
    }
}

#[test]
fn the_log_alone_serves_what_it_has() {
    let store = Handle::new(10, 0);
    let hub = hub(&store, 10);
    publish(&hub, &store, 1..=100);
    let mut back = after(&hub, "95");
    assert!(matches!(
        back.resumption(),
        Resumption::Resumed { replayed: 5, .. }
    ));
    assert_eq!(drain(&mut back), range(96, 100));
    assert_eq!(*after(&hub, "100").resumption(), Resumption::CaughtUp);
    assert_eq!(*after(&hub, "").resumption(), Resumption::New);
    assert_eq!(store.reads(), 0);
}

#[test]
fn what_is_live_follows_the_history() {
    let store = Handle::new(10, 0);
    let hub = hub(&store, 10);
    publish(&hub, &store, 1..=50);
    let mut back = after(&hub, "20");
    publish(&hub, &store, 51..=53);
    assert_eq!(drain(&mut back), range(21, 53));
    publish(&hub, &store, 54..=55);
    assert_eq!(drain(&mut back), range(54, 55));
}

#[test]
fn topics_are_kept_apart() {
    let store = Handle::new(3, 0);
    let hub = hub(&store, 10);
    for id in 1..=100 {
        publish_to(&hub, &store, if id % 5 == 0 { "a" } else { "b" }, id);
    }
    let subscribe = || hub.subscribe().with_topics(["a"]);
    let mut back = subscribe().with_last_event_id("10").start().unwrap();
    let expected: Vec<_> = (15..=100).step_by(5).collect();
    assert_eq!(drain(&mut back), expected);
    // Nothing of its topic follows, in the store or in the log.
    for id in 101..=150 {
        publish_to(&hub, &store, "b", id);
    }
    let mut back = subscribe().with_last_event_id("100").start().unwrap();
    assert_eq!(*back.resumption(), Resumption::CaughtUp);
    publish_to(&hub, &store, "a", 151);
    assert_eq!(drain(&mut back), [151]);
}

#[test]
fn a_list_of_topics_that_is_empty_is_not_all_topics() {
    let store = Handle::new(3, 0);
    let hub = hub(&store, 1);
    for id in 1..=3 {
        publish_to(&hub, &store, "a", id);
    }
    let none = hub.subscribe().with_topics([""; 0]);
    let mut back = none.with_last_event_id("1").start().unwrap();
    assert_eq!(drain(&mut back), []);
    assert_eq!(store.reads(), 0);
    publish(&hub, &store, [4]);
    assert_eq!(drain(&mut back), [4]);
}

#[test]
fn a_lag_goes_back_to_the_history() {
    let store = Handle::new(4, 0);
    let hub = hub(&store, 10);
    let mut slow = hub.subscribe().start().unwrap();
    publish(&hub, &store, [1]);
    assert_eq!(drain(&mut slow), [1]);
    publish(&hub, &store, 2..=60);
    assert_eq!(drain(&mut slow), range(2, 60));
    assert_eq!(hub.stats().lagged, 0);
}

#[test]
fn a_page_that_is_evicted_meanwhile_is_followed_by_another() {
    // While a page is read, the log rolls over.
    let slot: Arc<Mutex<Option<(Hub, Handle, usize)>>> = Arc::default();
    let inner = Arc::clone(&slot);
    let store = Handle::with_hook(5, 0, move |_| {
        if let Some((hub, store, next)) = &mut *inner.lock().unwrap() {
            if *next < 400 {
                publish(hub, store, *next..*next + 12);
                *next += 12;
            }
        }
        Ok(())
    });
    let hub = hub(&store, 10);
    publish(&hub, &store, 1..=100);
    *slot.lock().unwrap() = Some((hub.clone(), store.clone(), 101));
    let mut back = after(&hub, "30");
    let received = drain(&mut back);
    let (_, _, next) = slot.lock().unwrap().take().unwrap();
    assert!(next > 300, "the log has rolled over many times: {next}");
    assert_eq!(received, range(31, next - 1));
}

#[test]
fn events_that_are_stored_and_not_published_yet_come_once() {
    let store = Handle::new(100, 0);
    let hub = hub(&store, 10);
    publish(&hub, &store, 1..=50);
    let pending: Vec<_> = (51..=55).map(|id| store.append(id, "*")).collect();
    // One that the log does not reach, one in the log, one that has seen more than the hub.
    let mut old = after(&hub, "20");
    let mut recent = after(&hub, "45");
    let mut ahead = after(&hub, "53");
    let mut newest = after(&hub, "55");
    assert_eq!(*newest.resumption(), Resumption::CaughtUp);
    assert_eq!(drain(&mut old), range(21, 50));
    // The store has them already.
    assert_eq!(drain(&mut ahead), range(54, 55));
    assert_eq!(drain(&mut newest), [0; 0]);
    for event in &pending {
        hub.publish(event).unwrap();
    }
    assert_eq!(drain(&mut old), range(51, 55));
    assert_eq!(drain(&mut recent), range(46, 55));
    assert_eq!(drain(&mut ahead), [0; 0]);
    assert_eq!(drain(&mut newest), [0; 0]);
    publish(&hub, &store, [56]);
    for subscription in [&mut old, &mut recent, &mut ahead, &mut newest] {
        assert_eq!(drain(subscription), [56]);
    }
}

#[test]
fn a_topic_whose_events_are_not_published_yet_gets_them_once() {
    let store = Handle::new(100, 0);
    let hub = hub(&store, 5);
    for id in 1..=20 {
        publish_to(&hub, &store, "a", id);
    }
    for id in 21..=40 {
        publish_to(&hub, &store, "b", id);
    }
    let pending = store.append(41, "a");
    let subscribe = hub.subscribe().with_topics(["a"]);
    let mut back = subscribe.with_last_event_id("18").start().unwrap();
    assert_eq!(drain(&mut back), [19, 20]);
    hub.publish_to(["a"], &pending).unwrap();
    assert_eq!(drain(&mut back), [41]);
}

#[test]
fn a_client_ahead_that_lags_gets_the_rest_from_the_history() {
    let store = Handle::new(100, 0);
    let hub = hub(&store, 5);
    publish(&hub, &store, 1..=20);
    let pending: Vec<_> = (21..=60).map(|id| store.append(id, "*")).collect();
    let mut ahead = after(&hub, "25");
    for event in &pending {
        hub.publish(event).unwrap();
    }
    assert_eq!(drain(&mut ahead), range(26, 60));
}

#[test]
fn a_process_that_has_published_nothing_serves_from_the_history() {
    let store = Handle::new(10, 0);
    for id in 1..=50 {
        store.append(id, "*");
    }
    let pending = store.append(51, "*");
    let hub = hub(&store, 10);
    let mut back = after(&hub, "7");
    assert_eq!(drain(&mut back), range(8, 51));
    // It was stored, and read, before it was published.
    hub.publish(&pending).unwrap();
    publish(&hub, &store, 52..=53);
    assert_eq!(drain(&mut back), [52, 53]);
}

#[test]
fn an_id_that_the_store_does_not_know_is_a_gap() {
    let store = Handle::new(10, 40);
    let hub = hub(&store, 10);
    publish(&hub, &store, 1..=100);
    for id in ["39", "x", "101"] {
        let mut back = after(&hub, id);
        assert!(matches!(
            back.resumption(),
            Resumption::Gap { missed: None, .. }
        ));
        assert_eq!(drain(&mut back), range(91, 100));
        let subscribe = hub.subscribe().with_last_event_id(id);
        let refused = subscribe.with_gap_policy(GapPolicy::Refuse).start();
        assert!(matches!(refused, Err(SubscribeError::Gap { .. })));
    }
    assert_eq!(drain(&mut after(&hub, "40")), range(41, 100));
}

#[test]
fn a_lag_that_the_store_cannot_close_is_told() {
    let store = Handle::new(10, 40);
    let hub = hub(&store, 10);
    let mut slow = hub.subscribe().start().unwrap();
    publish(&hub, &store, [1]);
    assert_eq!(drain(&mut slow), [1]);
    publish(&hub, &store, 2..=60);
    match slow.recv() {
        Err(RecvError::Lagged { missed, .. }) => assert_eq!(missed, 49),
        other => panic!("{other:?}"),
    }
    assert_eq!(drain(&mut slow), range(51, 60));
    assert_eq!(hub.stats().lagged, 1);
    // One that has received nothing has nowhere to go back to.
    let mut new = hub.subscribe().start().unwrap();
    publish(&hub, &store, 61..=80);
    assert!(matches!(
        new.recv(),
        Err(RecvError::Lagged { missed: 10, .. })
    ));
}

#[test]
fn errors_of_the_store_reach_the_subscriber_who_may_go_on() {
    let fail = Arc::new(Mutex::new(false));
    let inner = Arc::clone(&fail);
    let store = Handle::with_hook(5, 0, move |_| match *inner.lock().unwrap() {
        true => Err(io::Error::new(ErrorKind::TimedOut, "no answer")),
        false => Ok(()),
    });
    let hub = hub(&store, 5);
    publish(&hub, &store, 1..=30);
    *fail.lock().unwrap() = true;
    let error = hub.subscribe().with_last_event_id("3").start().unwrap_err();
    assert!(matches!(error, SubscribeError::History(_)));
    assert_eq!(error.to_string(), "the history failed");
    assert_eq!(io::Error::from(error).kind(), ErrorKind::TimedOut);
    assert_eq!(hub.stats().subscribers, 0);

    *fail.lock().unwrap() = false;
    let mut back = after(&hub, "3");
    let first = back.recv().unwrap();
    assert_eq!(first.id(), Some("4"));
    *fail.lock().unwrap() = true;
    let mut received = vec![4];
    let error = loop {
        match back.try_recv() {
            Ok(frame) => received.push(frame.unwrap().id().unwrap().parse().unwrap()),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, RecvError::History(e) if e.kind() == ErrorKind::TimedOut));
    assert_eq!(io::Error::from(error).kind(), ErrorKind::TimedOut);
    let ended = back.serve(&Emitter::new(Vec::new()), None);
    assert!(matches!(ended, Ending::History(_)));
    *fail.lock().unwrap() = false;
    received.extend(drain(&mut back));
    assert_eq!(received, range(4, 30));
}

#[test]
fn a_store_that_answers_nonsense_is_an_error() {
    struct Nonsense(Option<&'static str>);
    impl History for Nonsense {
        fn after(&self, _: &str, _: &[&str], _: usize) -> io::Result<Option<Vec<Event<'static>>>> {
            let event = Event {
                id: self.0.map(Into::into),
                ..Event::new("x")
            };
            Ok(Some(vec![event]))
        }
    }
    for (id, message) in [
        (None, "the history gave an event without an id"),
        (Some(""), "the history gave an event without an id"),
        (
            Some("7"),
            "the history gave the event it was to go on after",
        ),
        (Some("a\nb"), "line feed at byte 1 of the id"),
    ] {
        let hub = Hub::builder().with_history(Nonsense(id)).build();
        let error = hub.subscribe().with_last_event_id("7").start();
        let Err(SubscribeError::History(error)) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn serving_goes_through_the_history() {
    let store = Handle::new(10, 0);
    let hub = hub(&store, 10);
    publish(&hub, &store, 1..=100);
    let mut back = after(&hub, "1");
    hub.close();
    let record = Record::new();
    let ended = back.serve(&Emitter::new(record.writer()), None);
    assert!(matches!(ended, Ending::Closed));
    let expected: String = (2..=100)
        .map(|id| format!("id: {id}\ndata: data of {id}\n\n"))
        .collect();
    assert_eq!(record.text(), expected);
}

#[test]
fn clients_hop_while_others_publish_and_see_every_event_once() {
    const EVENTS: usize = 1_500;
    let store = Handle::new(40, 0);
    let hubs = [hub(&store, 16), hub(&store, 50)];
    // Each hub is filled with the newest events of the store before clients come.
    for hub in &hubs {
        hub.publish(&Event::new("data of 0").with_id("0")).unwrap();
    }
    store.append(0, "*");
    let writer = store.clone();
    let publishers: Vec<_> = {
        let mut senders = Vec::new();
        let mut threads = Vec::new();
        for hub in hubs.clone() {
            let (send, receive) = std::sync::mpsc::channel::<Event<'static>>();
            senders.push(send);
            threads.push(thread::spawn(move || {
                for event in receive {
                    hub.publish(&event).unwrap();
                }
            }));
        }
        threads.push(thread::spawn(move || {
            for id in 1..=EVENTS {
                let event = writer.append(id, "*");
                for sender in &senders {
                    sender.send(event.clone()).unwrap();
                }
            }
        }));
        threads
    };
    let clients: Vec<_> = (0..6)
        .map(|seed| {
            let hubs = hubs.clone();
            thread::spawn(move || {
                let mut rng = util::Rng(seed);
                let mut last = 0;
                while last < EVENTS {
                    let hub = &hubs[rng.below(2)];
                    let mut subscription = after(hub, &last.to_string());
                    assert!(!matches!(subscription.resumption(), Resumption::Gap { .. }));
                    for _ in 0..rng.below(120) {
                        if last == EVENTS {
                            break;
                        }
                        let frame = subscription.recv().unwrap();
                        let id: usize = frame.id().unwrap().parse().unwrap();
                        assert_eq!(id, last + 1);
                        last = id;
                    }
                }
            })
        })
        .collect();
    within(DEADLINE, || {
        for thread in publishers.into_iter().chain(clients) {
            thread.join().unwrap();
        }
    });
}

//! The hub: what reaches whom, how clients resume, lag and limits, and the end.

use crate::util;

use std::collections::HashSet;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::hub::{
    EventId, Frame, GapPolicy, IdPolicy, PublishError, RecvError, Resumption, SubscribeError,
    Subscription,
};
use sse_io::{Event, Hub, InvalidField, Reader};
use util::writers::DEADLINE;
use util::{repeats, within};

fn own() -> Hub {
    Hub::builder().with_id_policy(IdPolicy::Own).build()
}

fn event(text: &str) -> Event<'_> {
    Event::new(text)
}

fn publish(hub: &Hub, text: &str) -> EventId {
    hub.publish(&event(text)).unwrap()
}

fn publish_to(hub: &Hub, topic: &str, text: &str) -> EventId {
    hub.publish_to([topic], &event(text)).unwrap()
}

fn data(frame: &Frame) -> String {
    let mut reader = Reader::new(frame.as_bytes());
    let event = reader.read_event().unwrap().expect("a frame is an event");
    event.data.into_owned()
}

/// What there is to receive now.
fn drain(subscription: &mut Subscription) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(frame) = subscription.try_recv().unwrap() {
        all.push(data(&frame));
    }
    all
}

fn live(hub: &Hub) -> Subscription {
    hub.subscribe().start().unwrap()
}

fn on(hub: &Hub, topics: &[&str]) -> Subscription {
    hub.subscribe().with_topics(topics).start().unwrap()
}

fn after(hub: &Hub, id: impl AsRef<str>) -> Subscription {
    let subscribe = hub.subscribe().with_last_event_id(id.as_ref());
    subscribe.start().unwrap()
}

/// Is in the state of one that waits: the lists have it until it is woken or reads again.
fn begin_to_wait(subscription: &mut Subscription) {
    assert!(subscription.recv_timeout(Duration::ZERO).unwrap().is_none());
}

#[track_caller]
fn assert_lagged(subscription: &mut Subscription, expected: u64) {
    match subscription.try_recv() {
        Err(RecvError::Lagged { missed, .. }) => assert_eq!(missed, expected),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_closed(subscription: &mut Subscription) {
    for _ in 0..2 {
        // First the one that waits: the end may be on its way.
        assert!(matches!(subscription.recv(), Err(RecvError::Closed)));
        assert!(matches!(subscription.try_recv(), Err(RecvError::Closed)));
        assert!(subscription.iter().next().is_none());
    }
}

mod publishing {
    use super::*;

    #[test]
    fn every_subscription_gets_every_event_in_order() {
        let hub = Hub::new();
        let mut subscriptions = [live(&hub), live(&hub), on(&hub, &["a"])];
        for n in 0..100 {
            publish(&hub, &n.to_string());
        }
        let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        for subscription in &mut subscriptions {
            assert_eq!(drain(subscription), expected);
        }
    }

    #[test]
    fn the_frame_is_the_wire_form_of_the_event_with_its_id() {
        let hub = Hub::new();
        let mut subscription = live(&hub);
        let event = Event::new("a\nb")
            .with_name("n")
            .with_retry(Duration::from_secs(1))
            .with_extension("x", "y");
        let id = hub.publish_to(["t", "u"], &event).unwrap();
        let frame = subscription.recv().unwrap();
        let mut wire = Vec::new();
        event.with_id(id.as_str()).encode(&mut wire).unwrap();
        assert_eq!(frame.as_bytes(), wire);
        assert_eq!(frame.as_ref(), wire);
        assert_eq!(frame.id(), Some(id.as_str()));
        assert_eq!(frame.topics().collect::<Vec<_>>(), ["t", "u"]);
    }

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        let hub = own();
        let mut subscription = live(&hub);
        for name in [None, Some(""), Some("n"), Some("ü: id: 3")] {
            for id in [None, Some(""), Some("1"), Some("id: ä")] {
                let event = Event {
                    name: name.map(Into::into),
                    id: id.map(Into::into),
                    ..Event::new("id: 2")
                };
                assert_eq!(hub.publish(&event).unwrap(), id.unwrap_or_default());
                assert_eq!(subscription.recv().unwrap().id(), id);
            }
        }
    }

    #[test]
    fn assigned_ids_have_one_width_and_count_up() {
        let hub = Hub::new();
        let ids: Vec<_> = (0..300).map(|_| publish(&hub, "x").to_string()).collect();
        let epoch = &ids[0][..17];
        for (n, id) in (1..).zip(&ids) {
            assert_eq!(*id, format!("{epoch}{n:016x}"));
        }
        assert!(epoch.ends_with('-'));
    }

    #[test]
    fn data_is_streamed_into_the_frame() {
        let hub = Hub::new();
        let mut subscription = on(&hub, &["t"]);
        hub.publish_with(&event("n = "), |data| write!(data, "{}\n{}", 1, 2))
            .unwrap();
        hub.publish_to_with(["t"], &Event::default(), |data| write!(data, "{}", 3))
            .unwrap();
        assert_eq!(drain(&mut subscription), ["n = 1\n2", "3"]);
    }

    #[test]
    fn what_is_refused_is_not_appended() {
        let hub = Hub::builder().with_max_bytes(200).build();
        let mut subscription = live(&hub);
        publish(&hub, "before");
        let errors = [
            hub.publish(&event("x").with_name("a\nb")),
            hub.publish(&event("x").with_id("1")),
            hub.publish(&event("x").with_id("")),
            hub.publish(&event(&"x".repeat(200))),
            hub.publish_to(["t"], &event("x").with_extension("a:b", "")),
            hub.publish_to(["t".repeat(200)], &event("x")),
        ];
        let errors = errors.map(|error| io::Error::from(error.unwrap_err()));
        for error in &errors {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        let texts = errors.map(|error| error.to_string());
        assert_eq!(texts[0], "line feed at byte 1 of the event name");
        assert_eq!(
            texts[1],
            "the event carries an id, and this hub assigns them"
        );
        assert_eq!(texts[3], "the event has 246 bytes, and the hub holds 200");
        let failed = hub.publish_with(&event("x"), |_| Err(io::Error::other("mine")));
        assert_eq!(io::Error::from(failed.unwrap_err()).to_string(), "mine");
        let invalid = hub.publish_with(&event("x"), |data| io::Write::write_all(data, b"\xff"));
        let invalid = io::Error::from(invalid.unwrap_err());
        assert_eq!(invalid.kind(), ErrorKind::InvalidData);
        assert_eq!(hub.stats().published, 1);
        publish(&hub, "after");
        assert_eq!(drain(&mut subscription), ["before", "after"]);
    }

    #[test]
    fn a_refused_field_can_be_reached() {
        let error = own().publish(&event("x").with_id("1\0x")).unwrap_err();
        assert!(matches!(&error, PublishError::InvalidField(field) if field.field() == "id"));
        assert!(error.source().unwrap().is::<InvalidField>());
        let error = io::Error::from(error);
        let inner = error.get_ref().unwrap().downcast_ref::<InvalidField>();
        assert_eq!(inner.unwrap().field(), "id");
    }

    #[test]
    fn closures_may_publish_themselves() {
        let hub = Hub::new();
        let mut subscription = live(&hub);
        let inner = hub.clone();
        within(DEADLINE, move || {
            inner.publish_with(&event("outer "), |data| {
                publish(&inner, "inner");
                assert_eq!(inner.stats().published, 1);
                write!(data, "done")
            })
        })
        .unwrap();
        assert_eq!(drain(&mut subscription), ["inner", "outer done"]);
    }

    #[test]
    fn a_panic_in_a_closure_leaves_the_hub_usable() {
        let hub = Hub::new();
        let mut subscription = live(&hub);
        let inner = hub.clone();
        let panicked = thread::spawn(move || inner.publish_with(&event("x"), |_| panic!("mine")));
        assert!(panicked.join().is_err());
        publish(&hub, "fine");
        assert_eq!(drain(&mut subscription), ["fine"]);
    }
}

mod topics {
    use super::*;

    #[test]
    fn an_event_reaches_those_that_name_one_of_its_topics_or_none() {
        let hub = Hub::new();
        let mut all = live(&hub);
        let mut a = on(&hub, &["a"]);
        let mut both = on(&hub, &["a", "b", "a"]);
        let mut other = on(&hub, &["c"]);
        publish_to(&hub, "a", "1");
        publish_to(&hub, "b", "2");
        hub.publish_to(["b", "a", "b"], &event("3")).unwrap();
        publish_to(&hub, "A", "4");
        publish(&hub, "5");
        assert_eq!(drain(&mut all), ["1", "2", "3", "4", "5"]);
        assert_eq!(drain(&mut a), ["1", "3", "5"]);
        assert_eq!(drain(&mut both), ["1", "2", "3", "5"]);
        assert_eq!(drain(&mut other), ["5"]);
    }

    #[test]
    fn an_empty_list_of_topics_is_not_everything() {
        let hub = Hub::new();
        let mut none = on(&hub, &[]);
        publish_to(&hub, "a", "1");
        publish(&hub, "2");
        assert_eq!(drain(&mut none), ["2"]);
    }

    #[test]
    fn a_subscription_may_have_many_topics() {
        let hub = Hub::new();
        let names: Vec<_> = (0..500).map(|n| n.to_string()).collect();
        let mut even = hub
            .subscribe()
            .with_topics(names.iter().step_by(2))
            .with_topics(["0", "2"])
            .start()
            .unwrap();
        begin_to_wait(&mut even);
        for name in &names {
            publish_to(&hub, name, name);
        }
        let expected: Vec<_> = names.into_iter().step_by(2).collect();
        assert_eq!(drain(&mut even), expected);
    }

    #[test]
    fn waiting_subscriptions_are_woken_by_their_topics() {
        let hub = Hub::new();
        let (joined, count) = mpsc::channel();
        let threads: Vec<_> = [&["a"][..], &["b", "c"], &[], &["c", "a"]]
            .into_iter()
            .map(|topics| {
                let mut subscription = match topics {
                    [] => live(&hub),
                    _ => on(&hub, topics),
                };
                let joined = joined.clone();
                thread::spawn(move || {
                    begin_to_wait(&mut subscription);
                    joined.send(()).unwrap();
                    let received = subscription.into_iter().map(|frame| data(&frame.unwrap()));
                    received.collect::<Vec<_>>()
                })
            })
            .collect();
        within(DEADLINE, move || {
            for _ in 0..4 {
                count.recv().unwrap();
            }
            publish_to(&hub, "a", "1");
            publish_to(&hub, "b", "2");
            hub.publish_to(["a", "b", "c"], &event("3")).unwrap();
            publish(&hub, "4");
            hub.close();
            let received: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
            assert_eq!(received[0], ["1", "3", "4"]);
            assert_eq!(received[1], ["2", "3", "4"]);
            assert_eq!(received[2], ["1", "2", "3", "4"]);
            assert_eq!(received[3], ["1", "3", "4"]);
        });
    }

    #[test]
    fn those_that_wait_may_leave_in_any_order() {
        let hub = Hub::new();
        let mut rng = util::Rng(7);
        let topics = ["a", "b", "c"];
        let mut waiting: Vec<(Subscription, Vec<&str>)> = Vec::new();
        for round in 0..repeats(2_000) {
            match rng.below(4) {
                0 | 1 => {
                    let named: Vec<_> = topics.into_iter().filter(|_| rng.below(2) == 0).collect();
                    let mut subscription = on(&hub, &named);
                    begin_to_wait(&mut subscription);
                    waiting.push((subscription, named));
                }
                2 if !waiting.is_empty() => {
                    drop(waiting.swap_remove(rng.below(waiting.len())));
                }
                _ => {
                    let topic = topics[rng.below(3)];
                    let text = round.to_string();
                    publish_to(&hub, topic, &text);
                    for (subscription, named) in &mut waiting {
                        let expected = named.contains(&topic).then_some(text.clone());
                        assert_eq!(drain(subscription), Vec::from_iter(expected));
                        begin_to_wait(subscription);
                    }
                }
            }
            assert_eq!(hub.stats().subscribers, waiting.len());
        }
    }

    #[test]
    fn a_rare_topic_is_found_in_a_busy_log() {
        let hub = Hub::builder().with_max_events(5_000).build();
        let mut rare = on(&hub, &["rare"]);
        let first = publish_to(&hub, "rare", "1");
        for _ in 0..2_000 {
            publish_to(&hub, "busy", "x");
        }
        publish_to(&hub, "rare", "2");
        assert_eq!(drain(&mut rare), ["1", "2"]);
        let mut back = hub
            .subscribe()
            .with_topics(["rare"])
            .with_last_event_id(first.as_str())
            .start()
            .unwrap();
        assert!(matches!(
            back.resumption(),
            Resumption::Resumed { replayed: 1, .. }
        ));
        assert_eq!(drain(&mut back), ["2"]);
    }

    #[test]
    fn a_filter_runs_on_the_thread_of_its_subscriber_and_may_use_the_hub() {
        let hub = Hub::new();
        let threads = Arc::new(Mutex::new(HashSet::new()));
        let (seen, inner) = (Arc::clone(&threads), hub.clone());
        let mut odd = hub
            .subscribe()
            .with_filter(move |frame| {
                seen.lock().unwrap().insert(thread::current().id());
                if data(frame) == "1" {
                    publish(&inner, "3");
                }
                data(frame) != "2"
            })
            .start()
            .unwrap();
        let publisher = hub.clone();
        thread::spawn(move || {
            publish(&publisher, "1");
            publish(&publisher, "2");
        })
        .join()
        .unwrap();
        let received = within(DEADLINE, move || {
            let id = thread::current().id();
            (id, drain(&mut odd))
        });
        assert_eq!(received.1, ["1", "3"]);
        assert_eq!(*threads.lock().unwrap(), HashSet::from([received.0]));
    }
}

mod resuming {
    use super::*;

    #[test]
    fn a_new_client_begins_live() {
        let hub = Hub::new();
        publish(&hub, "1");
        for id in [None, Some("")] {
            let mut new = id.map_or_else(|| live(&hub), |id| after(&hub, id));
            assert_eq!(*new.resumption(), Resumption::New);
            assert_eq!(drain(&mut new), [""; 0]);
            publish(&hub, "2");
            assert_eq!(drain(&mut new), ["2"]);
        }
    }

    #[test]
    fn a_new_client_may_have_the_newest_replayed() {
        let hub = Hub::builder().with_max_events(600).build();
        for n in 0..650 {
            let topic = if n % 300 == 0 { "rare" } else { "busy" };
            publish_to(&hub, topic, &n.to_string());
        }
        let replay = |n| hub.subscribe().with_replay(n);
        assert_eq!(drain(&mut replay(2).start().unwrap()), ["648", "649"]);
        let all = drain(&mut replay(usize::MAX).start().unwrap());
        assert_eq!((all.len(), &*all[0]), (600, "50"));
        let mut rare = replay(1).with_topics(["rare"]).start().unwrap();
        assert_eq!(drain(&mut rare), ["600"]);
        let mut rare = replay(usize::MAX).with_topics(["rare"]).start().unwrap();
        assert_eq!(*rare.resumption(), Resumption::New);
        assert_eq!(drain(&mut rare), ["300", "600"]);
        let mut none = replay(9).with_topics(["none"]).start().unwrap();
        assert_eq!(drain(&mut none), [""; 0]);
        publish(&hub, "live");
        assert_eq!(drain(&mut none), ["live"]);
    }

    #[test]
    fn a_client_that_comes_back_gets_what_it_missed_then_what_is_live() {
        let hub = Hub::new();
        let ids: Vec<_> = (0..10).map(|n| publish(&hub, &n.to_string())).collect();
        let mut back = after(&hub, &ids[6]);
        assert!(matches!(
            back.resumption(),
            Resumption::Resumed { replayed: 3, .. }
        ));
        publish(&hub, "10");
        assert_eq!(drain(&mut back), ["7", "8", "9", "10"]);
    }

    #[test]
    fn an_id_of_another_topic_resumes_as_well() {
        let hub = Hub::new();
        publish_to(&hub, "b", "1");
        let seen = publish_to(&hub, "a", "2");
        publish_to(&hub, "b", "3");
        publish_to(&hub, "a", "4");
        let subscribe = hub.subscribe().with_topics(["b"]);
        let mut back = subscribe.with_last_event_id(seen.as_str()).start().unwrap();
        assert!(matches!(
            back.resumption(),
            Resumption::Resumed { replayed: 1, .. }
        ));
        assert_eq!(drain(&mut back), ["3"]);
    }

    #[test]
    fn every_id_of_the_log_resumes_exactly_behind_it() {
        for hub in [Hub::new(), own()] {
            let is_own = hub.publish(&event("0").with_id("0")).is_ok();
            let ids: Vec<_> = (0..50)
                .map(|n| {
                    let text = n.to_string();
                    let event = match is_own {
                        true => event(&text).with_id(format!("id {n}")),
                        false => event(&text),
                    };
                    hub.publish(&event).unwrap()
                })
                .collect();
            for (n, id) in ids.iter().enumerate() {
                let expected: Vec<_> = (n + 1..50).map(|n| n.to_string()).collect();
                assert_eq!(drain(&mut after(&hub, id)), expected);
            }
        }
    }

    #[test]
    fn the_id_before_the_first_event_resumes_from_the_start() {
        let hub = Hub::new();
        let first = publish(&hub, "1");
        let zero = format!("{}0", &first.as_str()[..32]);
        let mut back = after(&hub, &zero);
        assert!(matches!(
            back.resumption(),
            Resumption::Resumed { replayed: 1, .. }
        ));
        assert_eq!(drain(&mut back), ["1"]);
    }

    #[test]
    fn of_an_id_that_comes_twice_the_newer_event_is_meant() {
        let hub = Hub::builder()
            .with_id_policy(IdPolicy::Own)
            .with_max_events(4)
            .build();
        for (id, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
            hub.publish(&event(text).with_id(id)).unwrap();
        }
        assert_eq!(drain(&mut after(&hub, "a")), ["4"]);
        // The older one is evicted, and the newer one is still known.
        publish(&hub, "5");
        assert_eq!(drain(&mut after(&hub, "a")), ["4", "5"]);
        publish(&hub, "6");
        publish(&hub, "7");
        assert!(matches!(
            after(&hub, "a").resumption(),
            Resumption::Gap { .. }
        ));
    }

    #[test]
    fn an_event_without_an_id_leaves_the_resume_point() {
        let hub = own();
        hub.publish(&event("1").with_id("a")).unwrap();
        publish(&hub, "2");
        hub.publish(&event("3").with_id("")).unwrap();
        let mut back = after(&hub, "a");
        assert!(matches!(
            back.resumption(),
            Resumption::Resumed { replayed: 2, .. }
        ));
        assert_eq!(drain(&mut back), ["2", "3"]);
    }

    #[test]
    fn unknown_ids_are_a_gap() {
        let hub = Hub::new();
        let id = publish(&hub, "1").to_string();
        let foreign = publish(&Hub::new(), "1").to_string();
        let future = format!("{}2", &id[..32]);
        let unknown = [
            &*foreign,
            &future,
            &id.to_uppercase(),
            &id[1..],
            &format!("{id}0"),
            &id.replace('-', "+"),
            &format!("{}+{}", &id[..17], &id[18..]),
            "1",
            "garbage",
            "ü".repeat(16).as_str(),
            "ü".repeat(17).as_str(),
            &"x".repeat(33),
            "\0",
        ]
        .map(str::to_owned);
        for unknown in unknown {
            let mut back = after(&hub, &unknown);
            assert!(
                matches!(back.resumption(), Resumption::Gap { missed: None, .. }) || unknown == id,
                "{unknown}: {:?}",
                back.resumption()
            );
            assert_eq!(drain(&mut back).len(), usize::from(unknown != id));
        }
    }

    #[test]
    fn an_evicted_id_is_a_gap_that_tells_how_much_is_gone() {
        let hub = Hub::builder().with_max_events(4).build();
        let ids: Vec<_> = (0..10).map(|n| publish(&hub, &n.to_string())).collect();
        let mut back = after(&hub, &ids[2]);
        let resume = *back.resumption();
        assert!(matches!(
            resume,
            Resumption::Gap {
                missed: Some(3),
                ..
            }
        ));
        assert_eq!(drain(&mut back), ["6", "7", "8", "9"]);
        // The event itself is evicted, and nothing after it.
        let back = after(&hub, &ids[5]);
        assert!(matches!(
            back.resumption(),
            Resumption::Resumed { replayed: 4, .. }
        ));
    }

    #[test]
    fn what_was_evicted_for_others_is_no_gap_where_that_is_known() {
        let hub = Hub::builder().with_max_events(4).build();
        let watcher = on(&hub, &["quiet"]);
        let seen = publish_to(&hub, "quiet", "1");
        for _ in 0..20 {
            publish_to(&hub, "busy", "x");
        }
        let subscribe = || {
            let subscribe = hub.subscribe().with_topics(["quiet"]);
            subscribe.with_last_event_id(seen.as_str()).start().unwrap()
        };
        assert_eq!(*subscribe().resumption(), Resumption::CaughtUp);
        drop(watcher);
        // Nobody took note: it may have been missed.
        assert!(matches!(subscribe().resumption(), Resumption::Gap { .. }));
    }

    #[test]
    fn each_gap_policy_does_what_it_says() {
        let hub = Hub::new();
        publish(&hub, "1");
        publish(&hub, "2");
        let gap = || {
            let subscribe = hub.subscribe().with_last_event_id("?");
            subscribe.with_gap_event(event("mind the gap").into_owned())
        };
        let mut replay = gap().with_gap_policy(GapPolicy::Replay).start().unwrap();
        let mut live = gap().with_gap_policy(GapPolicy::Live).start().unwrap();
        let refused = gap()
            .with_gap_policy(GapPolicy::Refuse)
            .start()
            .unwrap_err();
        assert!(matches!(refused, SubscribeError::Gap { missed: None, .. }));
        assert_eq!(hub.stats().subscribers, 2);
        publish(&hub, "3");
        assert_eq!(drain(&mut replay), ["mind the gap", "1", "2", "3"]);
        assert_eq!(drain(&mut live), ["mind the gap", "3"]);
        assert!(matches!(live.resumption(), Resumption::Gap { .. }));
        // No part of the log.
        assert_eq!(hub.stats().published, 3);
    }

    #[test]
    fn no_gap_event_comes_where_there_is_no_gap() {
        let hub = Hub::new();
        let id = publish(&hub, "1");
        for id in ["", id.as_str()] {
            let subscribe = hub.subscribe().with_last_event_id(id);
            let mut subscription = subscribe.with_gap_event(Event::new("gap")).start().unwrap();
            assert_eq!(drain(&mut subscription), [""; 0]);
        }
    }

    #[test]
    fn a_gap_event_passes_the_filter() {
        let hub = Hub::new();
        publish(&hub, "1");
        let mut subscription = hub
            .subscribe()
            .with_last_event_id("?")
            .with_gap_event(Event::new("gap"))
            .with_filter(|_| false)
            .start()
            .unwrap();
        assert_eq!(drain(&mut subscription), ["gap"]);
    }

    #[test]
    fn a_gap_event_that_cannot_be_sent_is_refused_at_the_start() {
        let hub = Hub::new();
        let subscribe = hub.subscribe();
        let error = subscribe
            .with_gap_event(Event::new("x").with_name("a\rb"))
            .start()
            .unwrap_err();
        assert_eq!(error.to_string(), "the gap event cannot be sent");
        let source = error.source().unwrap().to_string();
        assert_eq!(source, "carriage return at byte 1 of the event name");
        assert_eq!(hub.stats().subscribers, 0);
        assert_eq!(io::Error::from(error).kind(), ErrorKind::InvalidInput);
    }
}

mod lag {
    use super::*;

    #[test]
    fn a_slow_subscriber_is_told_how_much_it_missed_and_goes_on() {
        let hub = Hub::builder().with_max_events(10).build();
        let mut slow = live(&hub);
        publish(&hub, "first");
        assert_eq!(drain(&mut slow), ["first"]);
        for n in 0..25 {
            publish(&hub, &n.to_string());
        }
        assert_lagged(&mut slow, 15);
        assert_eq!(hub.stats().lagged, 1);
        let expected: Vec<_> = (15..25).map(|n| n.to_string()).collect();
        assert_eq!(drain(&mut slow), expected);
    }

    #[test]
    fn an_iterator_gives_the_lag_as_an_item() {
        let hub = Hub::builder().with_max_events(2).build();
        let mut slow = live(&hub);
        for n in 0..3 {
            publish(&hub, &n.to_string());
        }
        hub.close();
        let items: Vec<_> = slow.iter().collect();
        assert!(matches!(items[0], Err(RecvError::Lagged { missed: 1, .. })));
        assert_eq!(items.len(), 3);
    }

    #[test]
    fn a_quiet_topics_sleeper_does_not_lag() {
        let hub = Hub::builder().with_max_events(10).build();
        let mut quiet = on(&hub, &["quiet", "other"]);
        begin_to_wait(&mut quiet);
        for round in 0..3 {
            for _ in 0..50 {
                publish_to(&hub, "busy", "x");
            }
            let text = round.to_string();
            publish_to(&hub, "quiet", &text);
            publish_to(&hub, "busy", "x");
            assert_eq!(drain(&mut quiet), [text]);
            begin_to_wait(&mut quiet);
        }
        assert_eq!(hub.stats().lagged, 0);
    }

    #[test]
    fn a_quiet_topics_busy_subscriber_does_not_lag() {
        let hub = Hub::builder().with_max_events(10).build();
        // It never waits: its cursor stays where it began.
        let mut quiet = on(&hub, &["quiet"]);
        for _ in 0..50 {
            publish_to(&hub, "busy", "x");
        }
        publish_to(&hub, "quiet", "1");
        assert_eq!(drain(&mut quiet), ["1"]);
        for _ in 0..50 {
            publish_to(&hub, "busy", "x");
        }
        assert_eq!(drain(&mut quiet), [""; 0]);
        assert_eq!(hub.stats().lagged, 0);
    }

    #[test]
    fn a_quiet_topics_subscriber_lags_when_its_own_event_is_gone() {
        let hub = Hub::builder().with_max_events(10).build();
        for wait in [false, true] {
            let mut quiet = on(&hub, &["quiet"]);
            if wait {
                begin_to_wait(&mut quiet);
            }
            publish_to(&hub, "busy", "x");
            publish_to(&hub, "quiet", "1");
            for _ in 0..50 {
                publish_to(&hub, "busy", "x");
            }
            // One of these was for it; it is not known which.
            assert_lagged(&mut quiet, if wait { 1 } else { 2 });
            assert_eq!(drain(&mut quiet), [""; 0]);
        }
    }

    #[test]
    fn what_is_for_everyone_counts_for_every_topic() {
        let hub = Hub::builder().with_max_events(2).build();
        let mut quiet = on(&hub, &["quiet"]);
        publish(&hub, "for everyone");
        publish_to(&hub, "busy", "x");
        publish_to(&hub, "busy", "x");
        assert_lagged(&mut quiet, 1);
    }

    #[test]
    fn a_topic_that_is_left_and_joined_again_is_kept_account_of() {
        let hub = Hub::builder().with_max_events(2).build();
        for _ in 0..3 {
            let mut first = on(&hub, &["t"]);
            let second = on(&hub, &["t"]);
            drop(second);
            publish_to(&hub, "t", "1");
            publish_to(&hub, "x", "2");
            publish_to(&hub, "x", "3");
            assert_lagged(&mut first, 1);
        }
    }
}

mod limits {
    use super::*;

    #[test]
    fn the_log_is_bounded_by_events() {
        let hub = Hub::builder().with_max_events(3).build();
        let ids: Vec<_> = (0..5).map(|n| publish(&hub, &n.to_string())).collect();
        let stats = hub.stats();
        assert_eq!((stats.events, stats.published), (3, 5));
        assert_eq!(stats.oldest.as_ref(), Some(&ids[2]));
        assert_eq!(stats.newest.as_ref(), Some(&ids[4]));
    }

    #[test]
    fn a_log_of_no_events_holds_one() {
        let hub = Hub::builder().with_max_events(0).build();
        let mut subscription = live(&hub);
        publish(&hub, "1");
        assert_eq!(drain(&mut subscription), ["1"]);
        assert_eq!(hub.stats().events, 1);
    }

    #[test]
    fn the_log_is_bounded_by_bytes() {
        let hub = Hub::builder().with_max_bytes(1_000).build();
        for n in 0..100 {
            publish_to(&hub, "a topic", &"x".repeat(n));
            let stats = hub.stats();
            assert!(stats.bytes <= 1_000 && stats.events > 0);
        }
        let held = hub.stats();
        // One that fills it by itself leaves room for nothing else.
        publish(&hub, &"x".repeat(1_000 - 38 - 8));
        let stats = hub.stats();
        assert_eq!((stats.bytes, stats.events), (1_000, 1));
        assert!(held.events > 1);
    }

    #[test]
    fn a_hub_of_no_bytes_refuses_every_event() {
        let hub = Hub::builder().with_max_bytes(0).build();
        let error = hub.publish(&event("")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the event has 45 bytes, and the hub holds 0"
        );
    }

    #[test]
    fn what_is_too_old_is_not_replayed() {
        let age = Duration::from_millis(20);
        let hub = Hub::builder().with_max_age(age).build();
        // It may be too old at any moment from here on: nothing below needs it to be there.
        let mut slow = live(&hub);
        let id = publish(&hub, "1");
        publish(&hub, "2");
        let deadline = Instant::now() + DEADLINE;
        while hub.stats().events > 0 {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
        assert!(matches!(
            after(&hub, &id).resumption(),
            Resumption::Gap { .. }
        ));
        assert_eq!(
            drain(&mut hub.subscribe().with_replay(9).start().unwrap()),
            [""; 0]
        );
        assert_lagged(&mut slow, 2);
        assert_eq!(hub.stats().bytes, 0);
        let newest = publish(&hub, "3");
        let oldest = hub.stats().oldest;
        assert!(oldest.is_none_or(|oldest| oldest == newest));
    }

    #[test]
    fn what_is_not_too_old_is_replayed() {
        for age in [Duration::from_secs(3600), Duration::MAX, Duration::ZERO] {
            let hub = Hub::builder().with_max_age(age).build();
            publish(&hub, "1");
            let mut subscription = hub.subscribe().with_replay(9).start().unwrap();
            assert_eq!(drain(&mut subscription), ["1"]);
        }
    }

    #[test]
    fn more_subscribers_than_the_limit_are_refused() {
        let hub = Hub::builder().with_max_subscribers(2).build();
        let first = live(&hub);
        let second = live(&hub);
        let error = hub.subscribe().start().unwrap_err();
        assert!(matches!(error, SubscribeError::Full { limit: 2, .. }));
        assert_eq!(
            error.to_string(),
            "the hub is at its limit of 2 subscribers"
        );
        assert_eq!(io::Error::from(error).kind(), ErrorKind::QuotaExceeded);
        drop(first);
        let _third = live(&hub);
        drop(second);
        assert_eq!(hub.stats().subscribers, 1);
        let none = Hub::builder().with_max_subscribers(0).build();
        assert!(none.subscribe().start().is_err());
    }

    #[test]
    fn one_off_topics_leave_nothing_behind() {
        let hub = Hub::builder().with_max_events(4).build();
        for n in 0..10_000 {
            publish_to(&hub, &format!("job {n}"), "done");
        }
        let stats = hub.stats();
        assert_eq!((stats.events, stats.published), (4, 10_000));
        assert!(stats.bytes < 4 * 100);
    }
}

mod ends {
    use super::*;

    #[test]
    fn after_a_close_subscribers_drain_then_end() {
        let hub = Hub::new();
        let mut subscription = live(&hub);
        publish(&hub, "1");
        publish(&hub, "2");
        assert!(!hub.is_closed());
        hub.clone().close();
        hub.close();
        assert!(hub.is_closed());
        for error in [
            hub.publish(&event("late")),
            hub.publish_to(["t"], &event("late")),
        ] {
            let error = error.unwrap_err();
            assert!(matches!(error, PublishError::Closed));
            let error = io::Error::from(error);
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            assert_eq!(error.to_string(), "the hub is closed");
        }
        let late = hub.subscribe().start().unwrap_err();
        assert!(matches!(late, SubscribeError::Closed));
        assert_eq!(io::Error::from(late).kind(), ErrorKind::BrokenPipe);
        assert_eq!(data(&subscription.recv().unwrap()), "1");
        assert_eq!(data(&subscription.recv().unwrap()), "2");
        assert_closed(&mut subscription);
        assert_eq!(hub.stats().published, 2);
    }

    #[test]
    fn a_close_wakes_those_that_wait() {
        let hub = Hub::new();
        let threads: Vec<_> = [live(&hub), on(&hub, &["a", "b"])]
            .into_iter()
            .map(|mut subscription| thread::spawn(move || subscription.recv()))
            .collect();
        hub.close();
        within(DEADLINE, || {
            for thread in threads {
                assert!(matches!(thread.join().unwrap(), Err(RecvError::Closed)));
            }
        });
    }

    #[test]
    fn the_last_handle_closes_the_hub() {
        let hub = Hub::new();
        let mut subscription = live(&hub);
        let (ready, wait) = mpsc::channel();
        let thread = thread::spawn(move || {
            ready.send(()).unwrap();
            let first = data(&subscription.recv().unwrap());
            assert_closed(&mut subscription);
            first
        });
        wait.recv().unwrap();
        let other = hub.clone();
        drop(hub);
        publish(&other, "1");
        drop(other);
        assert_eq!(within(DEADLINE, || thread.join().unwrap()), "1");
    }

    #[test]
    fn a_time_out_is_no_end() {
        let hub = Hub::new();
        let mut subscription = live(&hub);
        let wait = Duration::from_millis(1);
        assert!(subscription.recv_timeout(wait).unwrap().is_none());
        publish(&hub, "1");
        let frame = subscription.recv_timeout(Duration::MAX).unwrap();
        assert_eq!(data(&frame.unwrap()), "1");
    }
}

#[test]
fn errors_convert_and_tell_what_they_are() {
    let lagged = || {
        let hub = Hub::builder().with_max_events(1).build();
        let mut slow = live(&hub);
        publish(&hub, "1");
        publish(&hub, "2");
        slow.recv().unwrap_err()
    };
    assert_eq!(
        lagged().to_string(),
        "the subscriber lagged: up to 1 events are gone"
    );
    assert_eq!(io::Error::from(lagged()).kind(), ErrorKind::Other);
    assert!(lagged().source().is_none());
    let closed = io::Error::from(RecvError::Closed);
    assert_eq!(closed.kind(), ErrorKind::BrokenPipe);
    assert_eq!(closed.to_string(), "the hub is closed");
    let hub = Hub::new();
    let refused = hub
        .subscribe()
        .with_last_event_id("?")
        .with_gap_policy(GapPolicy::Refuse)
        .start()
        .unwrap_err();
    assert_eq!(refused.to_string(), "the last event id is unknown");
    assert_eq!(io::Error::from(refused).kind(), ErrorKind::NotFound);
}

#[test]
fn ids_and_frames_can_be_shown() {
    let hub = own();
    let mut subscription = live(&hub);
    let id = hub.publish_to(["t"], &event("x").with_id("7")).unwrap();
    assert_eq!(format!("{id} {id:?} {id:>3}"), "7 \"7\"   7");
    assert_eq!(id.as_ref() as &str, "7");
    assert_eq!(id, "7");
    assert!(id != "8" && id != *"8" && id == *"7");
    assert_ne!(id, own().publish(&event("x").with_id("8")).unwrap());
    assert!(HashSet::from([id.clone()]).contains("7"));
    assert!(id < own().publish(&event("x").with_id("8")).unwrap());
    assert_eq!(id, id.clone());
    let frame = subscription.recv().unwrap();
    assert_eq!(
        format!("{frame:?}"),
        r#"Frame { id: Some("7"), topics: ["t"], bytes: b"id: 7\ndata: x\n\n" }"#
    );
    assert_eq!(
        format!("{hub:?}"),
        "Hub { subscribers: 1, events: 1, closed: false, .. }"
    );
    assert_eq!(
        format!("{subscription:?}"),
        "Subscription { resumption: New, .. }"
    );
    assert!(format!("{:?}", hub.subscribe().with_topics(["t"])).contains("\"t\""));
    assert!(format!("{:?}", Hub::builder()).contains("1024"));
}

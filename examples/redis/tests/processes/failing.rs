//! What fails how, as the table in the documentation has it.

use crate::util::{Answer, Process, Redis, open, open_now, post, post_now};
use redis_events::{EntryId, Post, Store};

#[test]
fn without_redis_posts_are_refused_and_streams_stay_open() {
    let mut redis = Redis::start("outage");
    let process = Process::start(&redis.url(), &["--heartbeat", "20"]);
    let at = process.address();
    let mut stream = open_now(at, "", "");
    let before = post_now(at, "", "a", "before");
    // It is in the process when it has come.
    assert_eq!(stream.next().expect("an event").id, before);

    redis.kill();
    assert!(matches!(post(at, "", "b", "meanwhile"), Ok(Answer::Busy)));
    for _ in 0..3 {
        stream.comment();
    }
    // The log of the process still knows this one.
    assert!(matches!(open(at, "", &before), Ok(Answer::Ok(_))));
    // Of this one only Redis could tell.
    assert!(matches!(open(at, "", "1-1"), Ok(Answer::Busy)));

    redis.restart();
    let after = post_now(at, "", "b", "after");
    let event = stream.next().expect("the same stream goes on");
    assert_eq!((event.id, &*event.data), (after, "after"));
}

#[test]
fn a_process_may_begin_before_redis() {
    let mut redis = Redis::start("early");
    redis.kill();
    let process = Process::start(&redis.url(), &[]);
    assert!(matches!(open(process.address(), "", ""), Ok(Answer::Busy)));
    redis.restart();
    let mut stream = open_now(process.address(), "", "");
    let id = post_now(process.address(), "", "a", "hello");
    let event = stream.next().expect("an event");
    assert_eq!((event.id, &*event.data), (id, "hello"));
}

#[test]
fn a_redis_that_lost_its_data_is_told_as_a_gap() {
    let mut redis = Redis::forgetful("lost");
    let process = Process::start(&redis.url(), &[]);
    let at = process.address();
    let mut stream = open_now(at, "", "");
    let before = post_now(at, "", "a", "before");
    // It is in the process when it has come.
    assert_eq!(stream.next().expect("an event").id, before);

    redis.kill();
    redis.restart();
    // An id that is newer than all that the clients have: it does not hide the loss.
    let after = Store::new(&redis.url(), "events", 100)
        .and_then(|store| store.add(&Post::default(), None))
        .expect("an id");
    assert!(after > before.parse::<EntryId>().unwrap());
    assert_eq!(stream.next(), None, "the stream ends");
    let mut stream = open_now(at, "", &before);
    assert_eq!(stream.next().expect("an event").name, "gap");
    assert_eq!(stream.next().expect("an event").id, after.to_string());
}

#[test]
fn what_was_trimmed_is_told_as_a_gap() {
    let redis = Redis::start("trimmed");
    let process = Process::start(&redis.url(), &["--max-len", "200", "--log", "4"]);
    let at = process.address();
    let ids: Vec<_> = (0..600)
        .map(|n| post_now(at, "", &format!("k{n}"), &n.to_string()))
        .collect();

    let mut gap = open_now(at, "", &ids[0]);
    assert_eq!(gap.next().expect("an event").name, "gap");
    for made_up in ["7", "0-1", "1-1", "99999999999999-0", "x"] {
        let mut gap = open_now(at, "", made_up);
        assert_eq!(gap.next().expect("an event").name, "gap", "{made_up}");
    }
    let mut whole = open_now(at, "", &ids[420]);
    for (n, id) in ids.iter().enumerate().skip(421) {
        let event = whole.next().expect("an event");
        assert_eq!((&*event.data, &event.id), (&*n.to_string(), id));
    }
}

#[test]
fn a_process_that_was_left_behind_does_not_pass_over_what_it_missed() {
    let redis = Redis::start("behind");
    let options = ["--max-len", "100"];
    let [behind, other] = [(); 2].map(|()| Process::start(&redis.url(), &options));
    let mut last = post_now(other.address(), "", "first", "first");
    let mut stream = open_now(behind.address(), "", &last);

    behind.signal("STOP");
    for n in 0..600 {
        post_now(other.address(), "", &format!("k{n}"), &n.to_string());
    }
    behind.signal("CONT");
    // What had come by then is passed on; the rest is gone.
    let mut next = 0;
    while let Some(event) = stream.next() {
        assert_eq!(event.data, next.to_string());
        next += 1;
        last = event.id;
    }
    assert!(next < 500);
    let mut stream = open_now(behind.address(), "", &last);
    assert_eq!(stream.next().expect("an event").name, "gap");
}

#[test]
fn a_post_with_a_key_is_one_post() {
    let redis = Redis::start("key");
    let [a, b] = [(); 2].map(|()| Process::start(&redis.url(), &[]));
    let first = post_now(a.address(), "", "first", "first");
    let mut stream = open_now(b.address(), "", &first);
    let id = post_now(a.address(), "", "k", "once");
    assert_eq!(post_now(b.address(), "", "k", "once"), id);
    let next = post_now(b.address(), "", "l", "next");
    let seen = [stream.next(), stream.next()].map(|event| event.expect("an event").id);
    assert_eq!(seen, [id, next]);
}

#[test]
fn an_entry_that_was_deleted_is_no_gap() {
    let redis = Redis::start("deleted");
    let store = Store::new(&redis.url(), "s", 1000).expect("a store");
    let add = |data: &str| {
        let data = data.into();
        let post = Post {
            data,
            ..Post::default()
        };
        store.add(&post, None).expect("an id")
    };
    let [a, b, c] = ["a", "b", "c"].map(add);
    let mut tail = store.tail().expect("a connection");
    let delete = |id: EntryId| {
        let client = redis::Client::open(redis.url()).expect("a client");
        let mut connection = client.get_connection().expect("a connection");
        let mut command = redis::cmd("XDEL");
        let deleted: u8 = command
            .arg("s")
            .arg(id.to_string())
            .query(&mut connection)
            .expect("one");
        assert_eq!(deleted, 1);
    };
    let ids = |page: redis_events::Page| page.entries.iter().map(|e| e.id).collect::<Vec<_>>();

    delete(b);
    assert_eq!(store.after(b, 9).expect("a page").map(ids), Some(vec![c]));
    assert_eq!(tail.after(b, 9).expect("a page").map(ids), Some(vec![c]));
    assert_eq!(store.after(a, 9).expect("a page").map(ids), Some(vec![c]));
    // The newest: nothing follows.
    delete(c);
    assert_eq!(store.after(c, 9).expect("a page").map(ids), Some(vec![]));
    // Older than the oldest.
    let d = add("d");
    delete(a);
    assert_eq!(store.after(a, 9).expect("an answer"), None);
    // Newer than the newest.
    let newer = EntryId {
        ms: d.ms + 1,
        seq: 0,
    };
    assert_eq!(store.after(newer, 9).expect("an answer"), None);
}

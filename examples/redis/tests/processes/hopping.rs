//! Clients that hop between processes while those and Redis are killed: each sees every event once,
//! in order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};
use std::thread;

use crate::util::{DEADLINE, Process, Redis, Seen, open, open_now, persist, post, post_now};
use redis_events::EntryId;

const PUBLISHERS: usize = 3;
const POSTS: usize = 400;
const CLIENTS: usize = 6;

/// A log so short that most who come back need the history.
const OPTIONS: [&str; 2] = ["--log", "16"];

/// Where the processes are now.
struct Addresses(Mutex<Vec<SocketAddr>>);

impl Addresses {
    fn get(&self, n: usize) -> SocketAddr {
        let addresses = self.0.lock().unwrap();
        addresses[n % addresses.len()]
    }
}

/// How many posts were acknowledged.
#[derive(Default)]
struct Progress {
    acknowledged: Mutex<usize>,
    changed: Condvar,
}

impl Progress {
    fn step(&self) {
        *self.acknowledged.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn wait_for(&self, posts: usize) {
        let acknowledged = self.acknowledged.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(acknowledged, DEADLINE, |n| *n < posts);
        assert!(!waited.unwrap().1.timed_out(), "not {posts} posts");
    }
}

/// Numbers without a pattern, the same in each run.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
    usize::try_from(*state >> 40).unwrap()
}

/// Posts each until it is acknowledged, to one process after the other; its key makes it one post.
fn publish(
    publisher: usize,
    addresses: &Addresses,
    progress: &Progress,
) -> HashMap<String, String> {
    let mut acknowledged = HashMap::new();
    let mut at = publisher;
    for n in 0..POSTS {
        let data = format!("{publisher}/{n}");
        let id = persist(|| {
            at += 1;
            post(addresses.get(at), "", &data, &data).ok()?.ok()
        });
        acknowledged.insert(id, data);
        progress.step();
    }
    acknowledged
}

/// Reads a few events here and a few there, until the last.
fn hop(client: usize, addresses: &Addresses, from: &str) -> Vec<Seen> {
    let mut seed = client as u64 + 1;
    let mut last = from.to_owned();
    let mut seen = Vec::new();
    loop {
        let mut stream = persist(|| open(addresses.get(random(&mut seed)), "", &last).ok()?.ok());
        for _ in 0..=random(&mut seed) % 60 {
            let Some(event) = stream.next() else { break };
            assert_ne!(event.name, "gap", "after {last}");
            last.clone_from(&event.id);
            let is_last = event.name == "end";
            seen.push(event);
            if is_last {
                return seen;
            }
        }
    }
}

#[test]
fn every_client_sees_every_event_once_and_in_order() {
    let mut redis = Redis::start("hopping");
    let url = redis.url();
    let start = || Process::start(&url, &OPTIONS);
    let mut processes = [start(), start(), start()];
    let addresses = Addresses(Mutex::new(processes.iter().map(Process::address).collect()));
    let progress = Progress::default();
    let first = post_now(addresses.get(0), "", "first", "first");

    let (acknowledged, seen) = thread::scope(|scope| {
        let (addresses, progress, first) = (&addresses, &progress, &*first);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| scope.spawn(move || hop(n, addresses, first)))
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|n| scope.spawn(move || publish(n, addresses, progress)))
            .collect();

        let mut replace = |n: usize| {
            // The old one is killed in between.
            processes[n].signal("KILL");
            processes[n] = start();
            addresses.0.lock().unwrap()[n] = processes[n].address();
        };
        for round in 0..3 {
            let done = round * 350;
            progress.wait_for(done + 100);
            replace(round);
            progress.wait_for(done + 200);
            redis.kill();
            if round == 1 {
                // A process that begins without Redis.
                replace(0);
            }
            redis.restart();
            progress.wait_for(done + 300);
            replace((round + 1) % 3);
        }

        let mut acknowledged = HashMap::new();
        for publisher in publishers {
            acknowledged.extend(publisher.join().expect("a publisher"));
        }
        post_now(addresses.get(0), "name=end", "end", "");
        let seen: Vec<_> = clients
            .into_iter()
            .map(|c| c.join().expect("a client"))
            .collect();
        (acknowledged, seen)
    });

    assert_eq!(acknowledged.len(), PUBLISHERS * POSTS);
    for seen in seen {
        let ids: Vec<EntryId> = seen.iter().map(|e| e.id.parse().expect("an id")).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "out of order, or twice");
        let posts = &seen[..seen.len() - 1];
        assert_eq!(posts.len(), acknowledged.len());
        for event in posts {
            assert_eq!(acknowledged.get(&event.id), Some(&event.data));
        }
        let mut next = [0; PUBLISHERS];
        for event in posts {
            let (publisher, n) = event.data.split_once('/').expect("what was posted");
            let next = &mut next[publisher.parse::<usize>().unwrap()];
            assert_eq!(
                n.parse(),
                Ok(*next),
                "in the order in which they were posted"
            );
            *next += 1;
        }
    }
}

#[test]
fn a_topic_is_resumed_across_processes() {
    let redis = Redis::start("topics");
    let [a, b] = [(); 2].map(|()| Process::start(&redis.url(), &["--log", "4"]));
    let first = post_now(a.address(), "topic=odd", "", "first");
    for n in 0..600 {
        let query = ["topic=even", "topic=odd&topic=prime"][n % 2];
        post_now(a.address(), query, &format!("k{n}"), &n.to_string());
    }
    post_now(a.address(), "name=end", "end", "for everyone");
    let mut stream = open_now(b.address(), "topics=prime,odd", &first);
    for n in (1..600).step_by(2) {
        assert_eq!(stream.next().expect("an event").data, n.to_string());
    }
    assert_eq!(stream.next().expect("the end").name, "end");
}

//! The one thread of a process that brings the stream into the hub.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sse_io::Hub;

use crate::entry::{Entry, EntryId, MAX_TOPICS};
use crate::feed::Feed;
use crate::history::History;
use crate::store::{Page, Store, Tail};

/// How many entries are read at a time.
const COUNT: usize = 256;

/// How long to wait before Redis is asked again: doubled from the one to the other.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Fills a hub from the stream, opens it for subscribers, and publishes what follows. Where that
/// cannot be done without a hole, it begins anew with another hub.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    feed: Arc<Feed>,
    log_len: usize,
}

impl Follower {
    /// One whose hub's log has so many events.
    pub fn new(store: Store, feed: Arc<Feed>, log_len: usize) -> Self {
        Follower {
            store,
            feed,
            log_len: log_len.max(1),
        }
    }

    /// Begins, on a thread that ends with the process.
    ///
    /// # Errors
    ///
    /// There is no thread for it.
    pub fn spawn(self) -> io::Result<JoinHandle<()>> {
        let thread = thread::Builder::new().name("follower".into());
        thread.spawn(move || {
            loop {
                let (hub, last) = self.persist(|| self.fill());
                eprintln!("follower: on from {last}");
                self.feed.open(hub.clone());
                let lost = self.follow(&hub, last);
                // Its streams end, and the clients come back with their last event ID, which the
                // stream does not know: they are told of a gap.
                eprintln!("follower: the stream does not have {lost} any more");
                self.feed.close();
            }
        })
    }

    /// A hub with the newest entries, and the id of the last.
    fn fill(&self) -> io::Result<(Hub, EntryId)> {
        let page = loop {
            let page = self.store.newest(self.log_len)?;
            if !page.entries.is_empty() {
                break page;
            }
            // The stream begins with an entry, so that a hub always knows how far it has come, and a
            // client always has an id to come back with.
            self.store.begin(page.last)?;
        };
        let hub = Hub::builder()
            .with_max_events(self.log_len)
            .with_max_subscribers(self.feed.max_subscribers())
            .with_max_topics(MAX_TOPICS)
            .with_history(History(self.store.clone()))
            .build();
        for entry in &page.entries {
            publish(&hub, entry)?;
        }
        Ok((hub, page.last))
    }

    /// Follows the stream until it does not have the last entry any more, whose id is returned.
    fn follow(&self, hub: &Hub, mut last: EntryId) -> EntryId {
        let mut tail = None;
        loop {
            let page = self.persist(|| self.read(&mut tail, last).inspect_err(|_| tail = None));
            let Some(page) = page else { return last };
            for entry in &page.entries {
                if let Err(error) = publish(hub, entry) {
                    eprintln!("follower: {}: {error}", entry.id);
                }
            }
            last = page.last;
        }
    }

    /// Asks Redis until it answers.
    fn persist<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> T {
        let (mut pause, most) = BACKOFF;
        loop {
            match attempt() {
                Ok(value) => {
                    self.feed.note_redis(true);
                    return value;
                }
                Err(error) => {
                    self.feed.note_redis(false);
                    let redis = self.store.address();
                    eprintln!(
                        "follower: Redis at {redis} does not answer: {error}; again in {pause:?}"
                    );
                }
            }
            thread::sleep(pause);
            pause = most.min(pause * 2);
        }
    }

    fn read(&self, tail: &mut Option<Tail>, last: EntryId) -> io::Result<Option<Page>> {
        let tail = match tail {
            Some(tail) => tail,
            None => tail.insert(self.store.tail()?),
        };
        tail.after(last, COUNT)
    }
}

/// Publishes under the id that the entry has.
fn publish(hub: &Hub, entry: &Entry) -> io::Result<()> {
    let topics = &entry.post.topics;
    match topics.is_empty() {
        true => hub.publish(&entry.event())?,
        false => hub.publish_to(topics, &entry.event())?,
    };
    Ok(())
}

//! Event streams from several processes, joined by a Redis Stream.
//!
//! Each process has a [`Hub`](sse_io::Hub) and serves its own connections. What is published goes to
//! the stream, and comes back to every process from there, the one that published included:
//!
//! ```text
//!  POST /publish ──▶ Store::add ── XADD ──▶ ┌──────────────┐
//!                                           │ Redis Stream │
//!       hub ◀── Follower ◀── XREAD BLOCK ── │ one order    │
//!        │                                  │              │
//!        └───── History ◀───── XRANGE ───── └──────────────┘
//!        ▼
//!  GET /events       (as many processes as you like)
//! ```
//!
//! - The id that Redis gives an entry (`1700000000000-0`) is the id of the event in every process. So
//!   a client reconnects to any of them with its `Last-Event-ID`.
//! - Nobody publishes to a hub but the [`Follower`], one thread in each process: the order is that of
//!   the stream everywhere, and every event was stored before anybody saw it. A post is answered when
//!   it is stored, which may be before the clients of that very process have it.
//! - A process that starts fills its log with the newest entries, and follows the stream from the last
//!   of them on: no hole, whatever is added in between. Until then it answers 503. An empty stream gets
//!   a first entry, the event `begin`, so that there is always an id to go on from.
//! - A client whose last event is not in the log any more gets the rest from [`History`], in pages,
//!   until the log goes on. One that is ahead of its new process, because that one follows more slowly,
//!   gets what it does not have yet.
//! - An id is known if the stream has its entry ([`Store::after`]). As trimming goes from the oldest
//!   on, nothing behind it is gone then; and an id of another time, before Redis lost its data or of a
//!   replica that took over without the newest entries, is not mistaken for one of this time, though it
//!   lies between others. Entries that were deleted by hand (XDEL) are told from that by
//!   `max-deleted-entry-id`, which trimming does not change. Older than Redis 7.0, that is a gap.
//!
//! # Once
//!
//! Every stored entry reaches each client once. But whoever posts and gets no answer (the process was
//! killed, Redis fell over after storing) cannot know whether it is stored. So a post may carry an
//! `Idempotency-Key`: Redis keeps the id under that key for ten minutes, in one step with the XADD (a
//! script), and the same post sent again, to any process, is answered with the id of the first;
//! another post under that key is refused with 422. Each key costs Redis about 210 bytes for that
//! time. Without a key, a post that got no answer may be there or not, and is not tried again here.
//!
//! # Sizing
//!
//! | | default | what it costs | what it buys |
//! |---|---|---|---|
//! | stream, `--max-len` | about 100,000 entries | Redis: small entries about 70 bytes with 40 of data (measure yours: `MEMORY USAGE events SAMPLES 0`) | how long a client may be away: `max-len` / events per second. At 50 a second, 33 minutes |
//! | log, `--log` | 1,024 events, 8 MiB | each process: the frame and about 130 bytes for each | who comes back within it, or is slow, costs Redis nothing. At 50 a second, 20 seconds: more than a reconnection takes |
//! | an entry | 64 KiB at most | a page has 256 of them while a client is served from the history | |
//! | streams, `--max-streams` | 400 | two threads and two sockets each, on `tiny_http` | |
//!
//! The log should cover a deployment, in which all clients of a process come to the others at once; the
//! stream should cover a night's sleep of a laptop, or as much of it as you pay for. `MAXLEN ~` trims
//! whole nodes of 100 entries, so there are always a few more than that. A process that is behind by
//! more than the stream holds has lost the thread (see below), so keep `max-len` far above `log`.
//! History for a rare topic reads the stream from the client's event to the end, as Redis does not know
//! topics: give a topic that is asked for so often a stream of its own.
//!
//! # What fails how
//!
//! | what | what happens | what a client sees |
//! |---|---|---|
//! | a process is killed | others go on; when it comes back, it fills its log | its stream breaks; it goes on elsewhere by its last event ID, without a hole |
//! | Redis is down | posts get 503 with `Retry-After`; the follower tries again, after 50 ms up to 2 s, and goes on after the last entry it had | its stream stays open, with heartbeats; it may reconnect within the log, beyond that it gets 503 |
//! | Redis stops answering | as if it were down, after 3 s; the follower notices after 8 s | the same |
//! | Redis is loading, a replica, or full | as if it were down | the same |
//! | Redis comes back without data, the stream is deleted, or a replica takes over without the newest entries | the follower's last entry is not there (it looks after every read, and every 5 s at least): it closes the hub and begins anew | its stream ends; it comes back and gets a `gap` event, then what the log has |
//! | a process is behind by more than the stream holds | the same, in this process | the same |
//! | a client was away for longer than the stream remembers, or sends another id | | a `gap` event, then what the log has |
//! | a client does not read | its thread is held for 20 s at most, or it falls off the log and goes on from the history | its stream breaks; it comes back by its id |
//! | the clock of Redis goes back | ids go on from the newest one: Redis sees to it | nothing |
//! | another program adds an entry that cannot be sent | it is passed over, by all | nothing |
//!
//! After a gap a client may get events again that it had, and has missed others: it should load its
//! state anew. A browser's `EventSource` gives up at a 503; the page here begins another one.
//!
//! What Redis acknowledged is as durable as it is set up to be. With `appendonly yes` and `appendfsync
//! always` an answered post survives a power cut; with `everysec` a second of them may go, which clients
//! are told as a gap, as far as they had seen them. `WAIT` or a single primary narrows what a fail-over
//! loses; nothing here turns Redis into a consensus.
//!
//! # Over NATS JetStream or Kafka
//!
//! The shape needs a log with one order, an id for each entry, reading from an id on, and a way to tell
//! that an id is gone. In NATS `JetStream` the stream sequence is the id (with the stream's creation time
//! in front, to know another life of it); `Nats-Msg-Id` is the idempotency key; each process has an
//! ephemeral ordered consumer from a start sequence for the follower, and another for each page of the
//! history; `first_seq` tells what is gone; and subjects are topics, which the server filters. In Kafka it
//! is **one partition**, as several have no common order: its offset is the id, an idempotent producer
//! takes care of its own retries, each process assigns itself the partition and seeks (no consumer
//! group, which would share the entries out), history is a seek on a second consumer, and the beginning
//! offset or `OFFSET_OUT_OF_RANGE` is the gap. An id of several partitions would be a vector of offsets,
//! which `Last-Event-ID` can carry, but then each process has an order of its own, which
//! [`hub::History`](sse_io::hub::History) rules out.

mod entry;
mod feed;
mod follower;
mod history;
mod store;
mod web;

pub use entry::{Entry, EntryId, MAX_BYTES, MAX_TOPICS, MalformedId, Post};
pub use feed::Feed;
pub use follower::Follower;
pub use history::History;
pub use store::{Page, Store, Tail};
pub use web::Web;

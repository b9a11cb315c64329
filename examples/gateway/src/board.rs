//! What the gateway has seen: streams, tokens and times, published to a hub as they change.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sse_io::{Event, Hub};

/// How often the numbers of a running stream are published at most.
const EVERY: Duration = Duration::from_millis(250);

/// How many times to the first token are kept for the median.
const TIMES: usize = 512;

/// How a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The upstream has sent all of it.
    Complete,
    /// The client went away, and the upstream request was cancelled.
    Cancelled,
    /// The upstream broke, and the client was told.
    Broken,
}

/// The numbers. Shared by all streams.
#[derive(Debug)]
pub struct Board {
    /// Where they are published, as events named `stats`.
    pub hub: Hub,
    started: AtomicU64,
    tokens: AtomicU64,
    /// By [`End`].
    ended: [AtomicU64; 3],
    /// Answers that were no stream, by this gateway or by the upstream.
    other: AtomicU64,
    slow: Mutex<Slow>,
}

/// What is touched a few times a stream, and not at each event.
#[derive(Debug)]
struct Slow {
    /// The newest times to the first token.
    times: VecDeque<Duration>,
    published: Instant,
}

impl Board {
    /// All zero.
    pub fn new() -> Self {
        let board = Board {
            // A page wants the newest numbers and no others.
            hub: Hub::builder().with_max_events(16).build(),
            started: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            ended: Default::default(),
            other: AtomicU64::new(0),
            slow: Mutex::new(Slow {
                times: VecDeque::with_capacity(TIMES),
                published: Instant::now(),
            }),
        };
        board.publish(&mut board.lock());
        board
    }

    /// An answer that is no stream.
    pub fn other(&self) {
        self.other.fetch_add(1, Ordering::Relaxed);
        self.publish(&mut self.lock());
    }

    /// A stream begins, for a request that came at this time.
    pub fn stream(&self, asked: Instant) -> Meter<'_> {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.publish(&mut self.lock());
        Meter {
            board: self,
            asked,
            waiting: true,
            end: End::Cancelled,
        }
    }

    fn publish(&self, slow: &mut Slow) {
        slow.published = Instant::now();
        let mut times: Vec<Duration> = slow.times.iter().copied().collect();
        times.sort_unstable();
        let median = times.get(times.len() / 2).map_or(0, Duration::as_micros);
        let [complete, cancelled, broken] = &self.ended;
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (complete, cancelled, broken) = (count(complete), count(cancelled), count(broken));
        let started = count(&self.started);
        let open = started.saturating_sub(complete + cancelled + broken);
        let (tokens, other) = (count(&self.tokens), count(&self.other));
        let stats = Event::new("").with_name("stats");
        let published = self.hub.publish_with(&stats, |data| {
            write!(
                data,
                r#"{{"open":{open},"started":{started},"complete":{complete},"cancelled":{cancelled},"broken":{broken},"other":{other},"tokens":{tokens},"first_token_us":{median}}}"#
            )
        });
        published.expect("the hub takes a short event and is never closed");
    }

    fn lock(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Board {
    fn default() -> Self {
        Board::new()
    }
}

/// Counts what one stream gives. Counts as cancelled unless it is told otherwise.
#[derive(Debug)]
pub struct Meter<'a> {
    board: &'a Board,
    asked: Instant,
    waiting: bool,
    /// How it ended, once it has.
    pub end: End,
}

impl Meter<'_> {
    /// An event was passed on.
    pub fn count(&mut self, event: &Event<'_>) {
        if !is_token(event) {
            return;
        }
        self.board.tokens.fetch_add(1, Ordering::Relaxed);
        let mut slow = self.board.lock();
        if std::mem::take(&mut self.waiting) {
            if slow.times.len() == TIMES {
                slow.times.pop_front();
            }
            slow.times.push_back(self.asked.elapsed());
            self.board.publish(&mut slow);
        } else if slow.published.elapsed() >= EVERY {
            self.board.publish(&mut slow);
        }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.board.ended[self.end as usize].fetch_add(1, Ordering::Relaxed);
        self.board.publish(&mut self.board.lock());
    }
}

/// Whether the event carries text: what providers send for one token, or for a few. Looked for and
/// not parsed: in the text of a JSON string the quotes would have backslashes.
fn is_token(event: &Event<'_>) -> bool {
    if event.event_type() == "content_block_delta" {
        return true;
    }
    ["\"content\"", "\"reasoning_content\"", "\"arguments\""]
        .iter()
        .filter_map(|key| event.data.split_once(key))
        .filter_map(|(_, value)| value.trim_start().strip_prefix(':'))
        .filter_map(|value| value.trim_start().strip_prefix('"'))
        .any(|text| !text.starts_with('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_with_text_is_a_token() {
        for data in [
            r#"{"choices":[{"delta":{"content":"a"}}]}"#,
            r#"{"choices": [{"delta": {"content" : "\""}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}]}"#,
        ] {
            assert!(is_token(&Event::new(data)), "{data}");
        }
        for data in [
            "[DONE]",
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"delta":{"content":null}}]}"#,
            r#"{"choices":[{"delta":{"refusal":"\"content\":\"a\""}}]}"#,
        ] {
            assert!(!is_token(&Event::new(data)), "{data}");
        }
        assert!(is_token(&Event::new("{}").with_name("content_block_delta")));
        assert!(!is_token(&Event::new("{}").with_name("ping")));
    }
}

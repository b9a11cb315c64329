//! The target `reader`: a `BufRead` that does all that it may, against the reference.

use std::io::{self, BufRead, ErrorKind, Read};

use sse_io::Reader;

use crate::plan::{Plan, Step};
use crate::util::readers::{What, owned, show, too_large};
use crate::util::reference::Reference;

/// What `fill_buf` may fail with.
const KINDS: [ErrorKind; 5] = [
    ErrorKind::WouldBlock,
    ErrorKind::Interrupted,
    ErrorKind::TimedOut,
    ErrorKind::ConnectionReset,
    ErrorKind::Other,
];

/// Gives the stream out in pieces, and fails in between or with bytes left in its buffer.
struct Hostile<'a> {
    stream: &'a [u8],
    /// The first byte that is not consumed.
    position: usize,
    /// The end of the piece that is in the buffer.
    given: usize,
    plan: Plan<'a>,
    /// How many errors come before the next bytes.
    errors: u8,
    /// The errors so far, for the kind of the next.
    failed: usize,
    /// Fails at any call, also when there are bytes in the buffer, once in so many.
    spite: Option<u8>,
    calls: u8,
}

impl Hostile<'_> {
    fn fails(&mut self) -> io::Error {
        self.failed += 1;
        KINDS[self.failed % KINDS.len()].into()
    }

    fn skip(&mut self, count: usize) -> usize {
        let end = self.stream.len().min(self.position + count);
        self.given = self.given.max(end);
        let skipped = end - self.position;
        self.position = end;
        skipped
    }
}

impl BufRead for Hostile<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.calls = self.calls.wrapping_add(1);
        if self.spite.is_some_and(|every| self.calls % every == 0) {
            return Err(self.fails());
        }
        if self.position == self.given {
            if self.errors > 0 {
                self.errors -= 1;
                return Err(self.fails());
            }
            let step: Step = self.plan.step();
            self.errors = step.action().saturating_sub(3);
            self.given = self.stream.len().min(self.given + step.size());
        }
        Ok(&self.stream[self.position..self.given])
    }

    fn consume(&mut self, count: usize) {
        assert!(count <= self.given - self.position, "more than there is");
        self.position += count;
    }
}

impl Read for Hostile<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("a reader of events fills and consumes")
    }
}

struct Run<'a> {
    stream: &'a [u8],
    /// The first byte that the reference has not seen.
    seen: usize,
    reader: Reader<Hostile<'a>>,
    reference: Reference,
    trailing: bool,
}

/// A reader goes over the stream; the plan says what is called and what the inner reader does.
pub fn reader(input: &[u8]) {
    let (mut plan, stream) = Plan::of(input);
    let limit = plan.limit();
    let options = plan.option();
    let spite = plan.option();
    let stop = usize::from(plan.option());
    let inner = Hostile {
        stream,
        position: 0,
        given: 0,
        plan: plan.clone(),
        errors: 0,
        failed: 0,
        spite: (spite % 4 == 1).then_some(2 + spite / 4 % 8),
        calls: 0,
    };
    let trailing = options % 2 == 1;
    let seed = if options & 2 != 0 { "seed" } else { "" };
    let mut run = Run {
        stream,
        seen: 0,
        reader: Reader::new(inner)
            .with_trailing_event(trailing)
            .with_last_event_id(seed),
        reference: Reference::new(16 << 20),
        trailing,
    };
    run.reference.seed(seed);
    if let Some(limit) = limit {
        assert!(run.reference.set_limit(limit), "nothing has come");
        run.reader = run.reader.with_max_event_size(limit);
    }
    // After an error the same is asked for again: what it kept back may be either.
    let mut again = None;
    for call in 0.. {
        let step = plan.step();
        let wanted = again.unwrap_or(matches!(step.action(), 2 | 4 | 6));
        let comments = run.reference.wants(wanted);
        let done = run.call(comments, !comments && step.action() == 1);
        if run.reference.is_unsettled() {
            return;
        }
        match done {
            Done::Ended => break,
            Done::Failed => again = Some(comments),
            // The iterators are fused, and no call goes on for ever.
            Done::Given if stop > 64 && call == stop - 64 => {
                let position = run.reader.into_inner().position;
                assert_eq!(position, run.seen, "{}", place(stream, run.seen));
                return;
            }
            Done::Given => {
                again = None;
                if step.action() >= 4 {
                    run.take_bytes(step);
                }
            }
        }
    }
    run.ends();
}

enum Done {
    /// An event or a comment.
    Given,
    Failed,
    Ended,
}

impl Run<'_> {
    #[track_caller]
    fn call(&mut self, comments: bool, iterate: bool) -> Done {
        let next = if iterate {
            let event = self.reader.events().next().transpose();
            event.map(|event| event.map(|event| (What::Event(event), None)))
        } else if comments {
            self.reader.read_item().map(|item| item.map(owned))
        } else {
            let event = self.reader.read_event();
            event.map(|event| event.map(|event| (What::Event(event.into_owned()), None)))
        };
        match next {
            Ok(Some((what, id))) => {
                assert!(id.is_none_or(|id| id == self.reader.last_event_id()));
                let expected = self.expect_to_end(comments);
                self.same(Some(what), expected);
                self.same_state();
                Done::Given
            }
            Ok(None) => {
                let expected = self.expect_to_end(comments);
                self.same(None, expected);
                Done::Ended
            }
            Err(error) => {
                self.error(&error, comments);
                Done::Failed
            }
        }
    }

    #[track_caller]
    fn error(&mut self, error: &io::Error, comments: bool) {
        let inner = self.reader.get_ref();
        let (position, given) = (inner.position, inner.given);
        let Some(limit) = too_large(error) else {
            assert_ne!(error.kind(), ErrorKind::Interrupted, "is retried inside");
            assert!(KINDS.contains(&error.kind()), "{error:?}");
            // Nothing was passed over.
            let passed = self.expect(position, comments);
            self.same(None, passed);
            return;
        };
        let what = What::TooLarge { limit };
        match self.expect(given, comments) {
            None if self.reference.may_tell(comments) => self.reference.tell(),
            None if self.trailing && given == self.stream.len() => {
                let told = self.reference.finish();
                self.same(Some(what), told);
            }
            expected => self.same(Some(what), expected),
        }
    }

    /// What the reference comes to in the bytes before `end`.
    fn expect(&mut self, end: usize, comments: bool) -> Option<What> {
        let end = end.max(self.seen);
        let mut input = &self.stream[self.seen..end];
        let told = self.reference.next(&mut input, comments);
        self.seen = end - input.len();
        told
    }

    /// The same up to the end of the stream, and what that completes.
    fn expect_to_end(&mut self, comments: bool) -> Option<What> {
        let told = self.expect(self.stream.len(), comments);
        match told {
            None if self.trailing => self.reference.finish(),
            told => told,
        }
    }

    #[track_caller]
    fn same(&self, got: Option<What>, expected: Option<What>) {
        if !self.reference.is_unsettled() {
            assert_eq!(got, expected, "{}", place(self.stream, self.seen));
        }
    }

    #[track_caller]
    fn same_state(&self) {
        if self.reference.is_unsettled() {
            return;
        }
        let place = || place(self.stream, self.seen);
        let id = self.reader.last_event_id();
        assert_eq!(id, self.reference.last_event_id(), "{}", place());
        if !self.reference.is_retry_unsettled() {
            assert_eq!(self.reader.retry(), self.reference.retry(), "{}", place());
        }
    }

    /// The inner reader stands right after what was given out; some of its bytes are taken.
    #[track_caller]
    fn take_bytes(&mut self, step: Step) {
        let inner = self.reader.get_mut();
        assert_eq!(
            inner.position,
            self.seen,
            "{}",
            place(self.stream, self.seen)
        );
        if step.action() == 5 {
            self.seen += inner.skip(step.size());
        }
    }

    /// The end of the stream, and everything after it.
    #[track_caller]
    fn ends(mut self) {
        let cut_short = match self.trailing {
            true => Some(false),
            false => self.reference.is_cut_short(),
        };
        self.same_state();
        if let Some(cut_short) = cut_short {
            let place = place(self.stream, self.seen);
            assert_eq!(self.reader.is_truncated(), cut_short, "{place}");
        }
        assert!(
            self.reader
                .read_event()
                .expect("no read any more")
                .is_none()
        );
        assert!(self.reader.read_item().expect("no read any more").is_none());
        assert!(self.reader.events().next().is_none());
        assert_eq!(self.reader.into_inner().position, self.stream.len());
    }
}

fn place(stream: &[u8], at: usize) -> String {
    let (before, after) = stream.split_at(at);
    format!("after {} before {}", show(before), show(after))
}

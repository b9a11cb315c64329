//! The target `parser`: any pieces, any calls, against the reference.

use std::io;

use sse_io::Parser;

use crate::plan::Plan;
use crate::util::readers::{What, owned, show, too_large};
use crate::util::reference::Reference;

/// Where the input of each call lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Memory {
    /// In the stream: what is left of one call is where it was.
    InPlace,
    /// In one buffer that is overwritten with each piece.
    Overwritten,
    /// Somewhere else at each call; the old place is overwritten.
    Moved,
}

/// What is left of a stream and of what the parser was given.
struct Run<'a> {
    stream: &'a [u8],
    /// The first byte that the parser has not taken.
    start: usize,
    /// The end of the input.
    end: usize,
    /// The first byte that the reference has not seen.
    seen: usize,
    parser: Parser,
    reference: Reference,
    memory: Memory,
    /// The end of the input that was last written to the buffer.
    written: usize,
    buffers: [Vec<u8>; 2],
}

/// A parser is fed the stream in the pieces of the plan.
pub fn parser(input: &[u8]) {
    let (mut plan, stream) = Plan::of(input);
    let limit = plan.limit();
    let memory = match plan.option() % 3 {
        0 => Memory::InPlace,
        1 => Memory::Overwritten,
        _ => Memory::Moved,
    };
    let seeded = plan.option() % 2 == 1;
    let ends = plan.option() % 2 == 1;
    let mut run = Run {
        stream,
        start: 0,
        end: 0,
        seen: 0,
        parser: Parser::new(),
        reference: Reference::new(16 << 20),
        memory,
        written: 0,
        buffers: [Vec::with_capacity(stream.len()), Vec::new()],
    };
    if let Some(limit) = limit {
        run.limit(limit);
    }
    if seeded {
        run.seed("seed");
    }
    while run.end < stream.len() && !run.reference.is_unsettled() {
        let step = plan.step();
        run.end = stream.len().min(run.end + step.size());
        match step.action() {
            0 => {
                if run.drain(1, |_| step.size() % 2 == 0) {
                    run.reset();
                }
            }
            1 => {
                run.drain(usize::MAX, |_| false);
                run.finish();
            }
            2 => _ = run.drain(usize::MAX, |_| true),
            4 => _ = run.drain(usize::MAX, |call| call % 2 == step.size() % 2),
            5 => {
                run.drain(usize::MAX, |_| true);
                run.seed(["", "1", "é"][step.size() % 3]);
            }
            6 => {
                run.drain(usize::MAX, |_| false);
                run.limit(20 * step.size());
            }
            // More is added behind what is left.
            7 => _ = run.drain(1 + step.size() % 3, |_| false),
            _ => _ = run.drain(usize::MAX, |_| false),
        }
    }
    run.drain(usize::MAX, |_| false);
    if run.reference.is_unsettled() {
        return;
    }
    if ends {
        run.finish();
    } else {
        run.reset();
    }
    run.ends_anew();
}

impl Run<'_> {
    /// Calls the parser until it needs more, at most so many times; whether it stopped before.
    #[track_caller]
    fn drain(&mut self, most: usize, comments: impl Fn(usize) -> bool) -> bool {
        for call in 0..most {
            if !self.call(comments(call)) || self.reference.is_unsettled() {
                return false;
            }
        }
        true
    }

    /// One call, compared with the reference; false when more is needed.
    #[track_caller]
    fn call(&mut self, comments: bool) -> bool {
        let comments = self.reference.wants(comments);
        let piece = &self.stream[self.start..self.end];
        let input = match self.memory {
            Memory::InPlace => piece,
            Memory::Overwritten => {
                let buffer = &mut self.buffers[0];
                // What is left of a piece stays where it was.
                if self.end != self.written {
                    self.written = self.end;
                    buffer.clear();
                    buffer.extend_from_slice(piece);
                }
                &buffer[buffer.len() - piece.len()..]
            }
            Memory::Moved => {
                self.buffers.swap(0, 1);
                self.buffers[0] = piece.to_vec();
                self.buffers[1].fill(b'\n');
                &self.buffers[0]
            }
        };
        let mut rest = input;
        let parsed = match comments {
            true => self
                .parser
                .parse_item(&mut rest)
                .map(|item| item.map(owned)),
            false => self
                .parser
                .parse(&mut rest)
                .map(|event| event.map(|event| (What::Event(event.into_owned()), None))),
        };
        let left = rest.len();
        assert!(input.ends_with(rest));
        self.start = self.end - left;
        let got = match parsed {
            Ok(None) => {
                assert_eq!(left, 0, "None means that all is used up");
                None
            }
            Ok(Some((what, id))) => {
                assert!(id.is_none_or(|id| id == self.parser.last_event_id()));
                Some(what)
            }
            Err(error) => {
                let limit = too_large(&io::Error::from(error)).expect("the only error");
                Some(What::TooLarge { limit })
            }
        };
        let more = got.is_some();
        self.compare(got, comments);
        more
    }

    #[track_caller]
    fn compare(&mut self, got: Option<What>, comments: bool) {
        let mut input = &self.stream[self.seen..self.end];
        let expected = self.reference.next(&mut input, comments);
        self.seen = self.end - input.len();
        if self.reference.is_unsettled() {
            return;
        }
        let is_error = matches!(got, Some(What::TooLarge { .. }));
        if is_error && expected.is_none() && self.reference.may_tell(comments) {
            self.reference.tell();
            return;
        }
        assert_eq!(got, expected, "{}", self.place());
        if !is_error {
            self.same_state();
        }
    }

    /// The last event ID and the reconnection time.
    #[track_caller]
    fn same_state(&self) {
        let id = self.parser.last_event_id();
        assert_eq!(id, self.reference.last_event_id(), "{}", self.place());
        if !self.reference.is_retry_unsettled() {
            assert_eq!(
                self.parser.retry(),
                self.reference.retry(),
                "{}",
                self.place()
            );
        }
    }

    fn place(&self) -> String {
        let (before, after) = self.stream.split_at(self.seen);
        format!("after {} before {}", show(before), show(after))
    }

    /// Ends the stream after what the parser has taken.
    #[track_caller]
    fn finish(&mut self) {
        let got = self.parser.finish().map(|event| event.into_owned());
        let told = self.reference.finish();
        if self.reference.is_unsettled() {
            return;
        }
        // An event that its very last line makes too large is dropped.
        let expected = told.filter(|told| matches!(told, What::Event(_)));
        assert_eq!(got.map(What::Event), expected, "{}", self.place());
        self.same_state();
        assert_eq!(self.parser.finish(), None);
    }

    /// Drops what the parser has not taken, and what it has.
    fn reset(&mut self) {
        self.parser.reset();
        self.reference.reset();
        self.start = self.end;
        self.seen = self.end;
        self.same_state();
    }

    fn seed(&mut self, id: &str) {
        let parser = std::mem::take(&mut self.parser);
        self.parser = parser.with_last_event_id(id);
        self.reference.seed(id);
    }

    fn limit(&mut self, limit: usize) {
        if self.reference.set_limit(limit) {
            let parser = std::mem::take(&mut self.parser);
            self.parser = parser.with_max_event_size(limit);
        }
    }

    /// Nothing of the old stream is in the new one.
    fn ends_anew(&mut self) {
        let mut input = &b"\xef\xbb\xbfdata\n\n"[..];
        if self.reference.limit() > 0 {
            let event = self.parser.parse(&mut input).expect("it is small enough");
            assert_eq!(event.expect("it is whole").data, "");
            assert_eq!(self.parser.parse(&mut input), Ok(None));
        }
    }
}

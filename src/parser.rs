//! The push parser: bytes in, events out, no I/O and no clock.
//!
//! [`Parser::step`] moves over the input up to the next thing worth telling and
//! [`Parser::current`] builds it, in two steps because an event may be lent straight out of the
//! input. A line that lies in the input as a whole is looked at where it is, here and in `block`. A
//! line that the end of the input tears is put together in `torn`. Where short events come one after
//! the other, `ahead` finds many at once, and a step only takes the next of them.

mod ahead;
mod block;
mod field;
mod item;
mod text;
mod torn;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::event::Event;
use crate::scan::{self, Breaks, CR, LF};
use ahead::Ahead;
use block::{Block, Extensions, Place};
use field::Field;
use torn::Torn;

pub(crate) use ahead::Plain;
pub use item::{EventTooLarge, Item};

/// What an event may cost to keep, unless the user says otherwise.
const DEFAULT_MAX_EVENT_SIZE: usize = 16 << 20;

/// A push parser for event streams: bytes in, events out, without I/O, clock or threads.
///
/// It follows the HTML standard, 9.2.5 and 9.2.6, to the letter: the three line endings, the byte
/// order mark, malformed UTF-8 (each maximal subpart becomes U+FFFD), comments, unknown fields
/// (kept as [extensions](Event::extensions)), and an event is out at the very byte that ends it.
///
/// Memory is bounded by [`with_max_event_size`](Parser::with_max_event_size). Time is linear in the
/// input for any chunking. Nothing is allocated per event once the buffers have grown, except for
/// events with extensions or malformed UTF-8.
///
/// [`Reader`](crate::Reader) drives one from a [`BufRead`](std::io::BufRead); use this type where
/// the bytes come by other ways.
///
/// ```
/// use sse_io::Parser;
///
/// let mut parser = Parser::new();
/// let mut seen = Vec::new();
/// for mut chunk in [&b"data: he"[..], b"llo\n\nid: 7\ndata: a", b"\ndata: b\n\ndata"] {
///     while let Some(event) = parser.parse(&mut chunk)? {
///         seen.push(event.into_owned());
///     }
/// }
/// assert_eq!(seen.len(), 2);
/// assert_eq!(seen[0].data, "hello");
/// assert_eq!(seen[1].data, "a\nb");
/// assert_eq!(parser.last_event_id(), "7");
/// # Ok::<(), sse_io::EventTooLarge>(())
/// ```
pub struct Parser {
    max_event_size: usize,

    /// The last byte was a CR: an LF that comes now belongs to it. Not kept up between two blocks.
    after_cr: bool,
    /// The line breaks found in the input and not yet used.
    breaks: Breaks,
    /// The plain blocks found in the same input.
    ahead: Ahead,
    /// Address and length of what the last step left of its input, which `breaks` and `ahead`
    /// describe. An input that is not this one is looked at anew; one that was overwritten in place
    /// cannot be told, so that `parse` asks for its bytes back as they were.
    rest: (usize, usize),
    /// How many bytes of its input the last step used up.
    consumed: usize,

    /// The line that the end of the last input tore.
    torn: Torn,
    /// The text of the torn line, while it is [`Torn::Kept`] and until the next one is.
    carry: Vec<u8>,

    block: Block,
    /// The data lines that are no longer in the input, each with an LF; of a torn one, its beginning.
    data: Vec<u8>,
    /// The last event name; it stays for the next event, since streams repeat a few.
    name: String,
    /// The id of the block, until the blank line makes it the last event ID.
    id: String,
    extensions: Extensions,
    /// The comment that the last step came to.
    comment: Place,
    /// A buffer has grown past what is kept for good.
    grown: bool,

    last_event_id: String,
    retry: Option<Duration>,
}

/// What [`Parser::advance`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The end of the input.
    NeedMore,
    /// An event: [`Parser::current`] has it.
    Event,
    /// A comment: [`Parser::current_comment`] has it.
    Comment,
    /// An event or a comment over the limit; what is left of it will be skipped.
    TooLarge,
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new() -> Self {
        Parser {
            max_event_size: DEFAULT_MAX_EVENT_SIZE,
            after_cr: false,
            breaks: Breaks::default(),
            ahead: Ahead::default(),
            rest: (0, 0),
            consumed: 0,
            torn: Torn::Mark(0),
            carry: Vec::new(),
            block: Block::default(),
            data: Vec::new(),
            name: String::new(),
            id: String::new(),
            extensions: Extensions::default(),
            comment: Place::Carry(0),
            grown: false,
            last_event_id: String::new(),
            retry: None,
        }
    }

    /// Sets the limit for what one event may cost to keep, in bytes: all its values, one more for
    /// each data line, the names of its extensions and 64 for each of those. A comment given out by
    /// [`parse_item`](Parser::parse_item) is held to the same limit. Default: 16 MiB.
    ///
    /// Memory stays within the limit and a constant for data and comments. A name, an id or an
    /// extension whose line comes in pieces is held twice while it is put together, and of malformed
    /// UTF-8 each byte, counted as it comes, becomes the three bytes of U+FFFD beside it.
    #[must_use = "the setter returns the parser"]
    pub fn with_max_event_size(mut self, bytes: usize) -> Self {
        self.max_event_size = bytes;
        self.forget_input();
        self
    }

    /// Seeds the last event ID, for a stream that goes on where an earlier one was lost. Default:
    /// empty.
    #[must_use = "the setter returns the parser"]
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.last_event_id = id.into();
        self.ahead.drop_id();
        self
    }

    /// Takes bytes from the front of `input` up to the end of the next event, and gives that event
    /// out; `None` when all of `input` is used up and more is needed.
    ///
    /// The event borrows from the parser and from the input. What is left in `input` belongs to the
    /// stream: hand it in again with the next call, wherever it lies by then, with the same bytes in
    /// it. To drop it, [`reset`](Parser::reset) the parser.
    ///
    /// # Errors
    ///
    /// [`EventTooLarge`] as soon as an event exceeds the limit. The parser goes on: what is left of
    /// that event is skipped, its id still becomes the last event ID (unless the id alone exceeds
    /// the limit), and the events after it come as ever.
    #[inline]
    pub fn parse<'p, 'i: 'p>(
        &'p mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'p>>, EventTooLarge> {
        let bytes = *input;
        if self.is_at(bytes) {
            if let Some(plain) = self.next_found(false) {
                *input = &bytes[self.consumed..];
                return Ok(Some(self.plain_event(plain)));
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let step = self.advance(bytes, false);
        *input = &bytes[self.consumed..];
        match step {
            Step::NeedMore | Step::Comment => Ok(None),
            Step::Event => Ok(Some(self.current(bytes))),
            Step::TooLarge => Err(self.too_large()),
        }
    }

    /// Like [`parse`](Parser::parse), but gives the comments out as well, in the order of the
    /// stream: one inside a block comes before its event.
    ///
    /// # Errors
    ///
    /// [`EventTooLarge`] as for `parse`, and for a comment over the limit.
    ///
    /// ```
    /// use sse_io::{Item, Parser};
    ///
    /// let mut parser = Parser::new();
    /// let mut input = &b": ping\n\nid: 3\ndata: x\n\n"[..];
    /// assert_eq!(parser.parse_item(&mut input)?, Some(Item::Comment("ping".into())));
    /// match parser.parse_item(&mut input)? {
    ///     Some(Item::Event { event, last_event_id, .. }) => {
    ///         assert_eq!((&*event.data, last_event_id), ("x", "3"));
    ///     }
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), sse_io::EventTooLarge>(())
    /// ```
    #[inline]
    pub fn parse_item<'p, 'i: 'p>(
        &'p mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Item<'p>>, EventTooLarge> {
        let bytes = *input;
        let step = self.step(bytes, true);
        *input = &bytes[self.consumed..];
        match step {
            Step::NeedMore => Ok(None),
            Step::Event => Ok(Some(self.current_item(bytes))),
            Step::Comment => Ok(Some(Item::Comment(self.current_comment(bytes)))),
            Step::TooLarge => Err(self.too_large()),
        }
    }

    /// Ends the stream as if a blank line had come, and gives out the event that this completes.
    /// Then the parser is at the start of a new stream, with the same last event ID.
    ///
    /// The standard discards an event that the end of the stream cuts short (HTML standard, 9.2.6):
    /// use [`reset`](Parser::reset) for that. This call is for servers that leave the last blank
    /// line out; an event that was really cut short cannot be told from theirs. An event that exceeds
    /// the limit by its very last line is dropped like one that was reported.
    ///
    /// ```
    /// use sse_io::Parser;
    ///
    /// let mut parser = Parser::new();
    /// assert_eq!(parser.parse(&mut &b"data: [DONE]"[..])?, None);
    /// assert_eq!(parser.finish().unwrap().data, "[DONE]");
    /// assert_eq!(parser.finish(), None);
    /// # Ok::<(), sse_io::EventTooLarge>(())
    /// ```
    pub fn finish(&mut self) -> Option<Event<'_>> {
        (self.end_of_input() == Step::Event).then(|| self.current(&[]))
    }

    /// Discards the unfinished event with its id, and starts a new stream. The last event ID and
    /// the reconnection time stay: they outlive a connection.
    pub fn reset(&mut self) {
        self.begin_block();
        self.begin_stream();
    }

    /// The last event ID: the id of the newest block that had one and was complete, with an event in
    /// it or not. Empty when there is none.
    pub fn last_event_id(&self) -> &str {
        self.ahead.last_event_id().unwrap_or(&self.last_event_id)
    }

    /// The reconnection time that the stream asked for last, with an event or without.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Moves over `input` to the next thing worth telling; `consumed` says how far that is.
    #[inline]
    pub(crate) fn step(&mut self, input: &[u8], comments: bool) -> Step {
        if self.is_at(input) && self.next_found(comments).is_some() {
            return Step::Event;
        }
        self.advance(input, comments)
    }

    /// Whether the input is what the last step has left of its own.
    #[inline(always)]
    fn is_at(&self, input: &[u8]) -> bool {
        self.rest == (input.as_ptr() as usize, input.len())
    }

    /// A step that does not begin with a block found earlier.
    #[inline(never)]
    pub(crate) fn advance(&mut self, input: &[u8], comments: bool) -> Step {
        if self.block.complete {
            self.begin_block();
        }
        let stale = self.drop_found();
        let same = self.is_at(input);
        if !same {
            self.drop_window();
        }
        if stale || !same {
            self.breaks = Breaks::of(input);
        }
        let mut start = 0;
        if self.torn != Torn::No {
            match self.resume(input, comments) {
                Ok(at) => start = at,
                Err((at, step)) => {
                    self.stop(input, at);
                    return step;
                }
            }
        }
        if self.look_ahead(input, start, comments) {
            return Step::Event;
        }
        if !comments && !self.block.begun && !self.grown {
            start = self.pass_idle(input, start);
        }
        let mut after_cr = self.after_cr;
        let step = loop {
            let from = start;
            let Some(end) = self.breaks.next(input) else {
                self.keep_lent(input);
                after_cr &= from == input.len();
                start = input.len();
                match self.tear(&input[from..], comments) {
                    true => break Step::NeedMore,
                    false => break Step::TooLarge,
                }
            };
            let line = &input[from..end];
            let cr = input[end] == CR;
            start = end + 1;
            if line.is_empty() {
                if cr || !after_cr {
                    after_cr = cr;
                    if self.block.begun && self.end_block() {
                        self.foresee();
                        break Step::Event;
                    }
                    if self.grown && !self.block.begun {
                        // An idle stream does not hold on to what a giant has left.
                        self.begin_block();
                    }
                } else {
                    after_cr = false;
                }
                continue;
            }
            after_cr = cr;
            match Field::of(line) {
                Field::Data(value) => {
                    if !self.data_line(input, end - value.len(), end) {
                        break Step::TooLarge;
                    }
                }
                Field::Comment(_) if !comments => {}
                field => {
                    if let Some(step) = self.field(field, Some(end)) {
                        self.keep_lent(input);
                        break step;
                    }
                }
            }
        };
        self.after_cr = after_cr;
        self.stop(input, start);
        step
    }

    /// Moves over the comments between two blocks, where they mean nothing (but to who has memory to
    /// give back).
    #[inline]
    fn pass_idle(&mut self, input: &[u8], start: usize) -> usize {
        if input.get(start) != Some(&b':') {
            return start;
        }
        let at = start + scan::idle(&input[start..]);
        if at > start {
            self.breaks = Breaks::of(&input[at..]);
            self.after_cr = input[at - 1] == CR;
        }
        at
    }

    /// How many bytes of its input the last step used up.
    #[inline]
    pub(crate) fn consumed(&self) -> usize {
        self.consumed
    }

    /// The event that the last step completed. `input` is what that step was given.
    ///
    /// Inlined wherever an event is given out: a caller that looks at two fields of it then never
    /// sees the other hundred bytes copied.
    #[inline(always)]
    pub(crate) fn current<'a>(&'a self, input: &'a [u8]) -> Event<'a> {
        if let Some(plain) = self.ahead.taken() {
            return self.plain_event(plain);
        }
        let data = match self.block.lent {
            None => text::decode(self.data.strip_suffix(&[LF]).unwrap_or_default()),
            Some((from, end)) => text::decode(input.get(from..end).unwrap_or_default()),
        };
        Event {
            name: self.block.has_name.then_some(Cow::Borrowed(&self.name)),
            id: self
                .block
                .has_id
                .then_some(Cow::Borrowed(&self.last_event_id)),
            retry: self.block.retry,
            data,
            extensions: if self.extensions.ends.is_empty() {
                Vec::new()
            } else {
                self.extensions.to_vec()
            },
        }
    }

    pub(crate) fn current_item<'a>(&'a self, input: &'a [u8]) -> Item<'a> {
        Item::Event {
            event: self.current(input),
            last_event_id: self.last_event_id().into(),
        }
    }

    /// The comment that the last step came to. `input` is what that step was given.
    pub(crate) fn current_comment<'a>(&'a self, input: &'a [u8]) -> Cow<'a, str> {
        text::decode(match self.comment {
            Place::Input(from, end) => input.get(from..end).unwrap_or_default(),
            Place::Carry(length) => {
                let from = self.carry.len().saturating_sub(length);
                &self.carry[from..]
            }
        })
    }

    pub(crate) fn too_large(&self) -> EventTooLarge {
        EventTooLarge {
            limit: self.max_event_size,
        }
    }

    /// Whether there is an unfinished event to lose, or a line that may belong to one.
    pub(crate) fn is_unfinished(&self) -> bool {
        let Block {
            complete,
            has_data,
            has_id,
            has_name,
            oversize,
            ..
        } = self.block;
        let extended = !self.extensions.ends.is_empty();
        let in_block = !complete && (has_data || has_id || has_name || extended || oversize);
        let in_line = match self.torn {
            Torn::Kept => self.carry.first() != Some(&b':'),
            Torn::Data => true,
            Torn::Mark(_) | Torn::No | Torn::Skipped => false,
        };
        in_block || in_line
    }

    /// Whether what the last step came to is lent out of the input.
    #[inline]
    pub(crate) fn needs_input(&self, step: Step) -> bool {
        match step {
            Step::Event => self.block.lent.is_some(),
            Step::Comment => matches!(self.comment, Place::Input(..)),
            Step::NeedMore | Step::TooLarge => false,
        }
    }

    /// Forgets what it knows of bytes not used up: they may have been changed.
    pub(crate) fn forget_input(&mut self) {
        self.drop_found();
        self.rest = (0, 0);
    }

    /// Ends the line and the block, as if a blank line had come.
    pub(crate) fn end_of_input(&mut self) -> Step {
        self.drop_found();
        if self.block.complete {
            self.begin_block();
        }
        let ended = self.end_torn();
        let event = self.block.begun && self.end_block();
        self.begin_stream();
        match ended {
            Some(Step::TooLarge) => Step::TooLarge,
            _ if event => Step::Event,
            _ => Step::NeedMore,
        }
    }

    /// Notes how far a step came.
    #[inline]
    fn stop(&mut self, input: &[u8], at: usize) {
        self.rest = (input.as_ptr() as usize + at, input.len() - at);
        self.consumed = at;
    }

    fn begin_stream(&mut self) {
        self.forget_input();
        self.after_cr = false;
        self.torn = Torn::Mark(0);
    }
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser")
            .field("max_event_size", &self.max_event_size)
            .field("last_event_id", &self.last_event_id())
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl Default for Parser {
    fn default() -> Self {
        Parser::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::count;

    /// Feeds a stream in chunks and gives how many bytes were scanned and copied.
    fn work(stream: &[u8], chunk: usize, comments: bool) -> (usize, usize) {
        let mut parser = Parser::new().with_max_event_size(2 * stream.len());
        let mut found = 0;
        count::take();
        for mut rest in stream.chunks(chunk) {
            loop {
                let step = parser.step(rest, comments);
                rest = &rest[parser.consumed()..];
                match step {
                    Step::NeedMore => break,
                    Step::Event | Step::Comment => found += 1,
                    Step::TooLarge => panic!("the limit is above the event"),
                }
            }
        }
        assert!(found > 0, "the stream holds something");
        count::take()
    }

    #[test]
    fn scanning_and_copying_grow_in_proportion_to_the_event() {
        const MIB: usize = 1 << 20;
        // Name, beginning, what is repeated, whether comments are kept.
        let rows: [(&str, &str, &str, bool); 7] = [
            ("one line", "data: ", "x", false),
            ("one-byte lines", "", "data: x\n", false),
            ("empty data lines", "", "data\r\n", false),
            ("one name", "event: ", "x", false),
            ("one comment, passed over", ": ", "x", false),
            ("one comment, kept", ": ", "x", true),
            ("short comments, kept", "", ":\n", true),
        ];
        for (name, beginning, repeated, comments) in rows {
            for chunk in [1, 7, 64, 1460, 16 << 10, 64 << 10] {
                let [(scanned, copied), (scanned_twice, copied_twice)] =
                    [4 * MIB, 8 * MIB].map(|size| {
                        let body = repeated.repeat(size / repeated.len());
                        let stream = format!("{beginning}{body}\ndata: end\n\n");
                        work(stream.as_bytes(), chunk, comments)
                    });
                let told = format!("{name} in pieces of {chunk}");
                assert!(scanned <= 5 * MIB, "{told}: {scanned} scanned");
                assert!(copied <= 9 * MIB, "{told}: {copied} copied");
                let doubled = |once: usize, twice: usize| twice.abs_diff(2 * once) <= MIB / 8;
                assert!(
                    doubled(scanned, scanned_twice),
                    "{told}: {scanned}, then {scanned_twice}"
                );
                assert!(
                    doubled(copied, copied_twice),
                    "{told}: {copied}, then {copied_twice}"
                );
            }
        }
    }

    #[test]
    fn only_short_plain_events_are_worth_looking_ahead() {
        const CHUNK: usize = 16 << 10;
        let short = "id: 1\ndata: x\n\n".repeat(10_000);
        let (scanned, copied) = work(short.as_bytes(), CHUNK, false);
        assert!(scanned <= 5 * short.len() / 2, "{scanned}");
        let all = 19 * short.len() / 20..=11 * short.len() / 10;
        assert!(all.contains(&copied), "{copied} of {}", short.len());

        let long = format!("data: {}\n\n", "x".repeat(5_000)).repeat(200);
        let (scanned, copied) = work(long.as_bytes(), CHUNK, false);
        assert!(scanned <= 11 * long.len() / 10, "{scanned}");
        // The events that the end of a chunk tears.
        assert!(copied <= 2 * long.len() / 5, "{copied} of {}", long.len());

        let lines = "id: 1\ndata: a\ndata: b\n\n".repeat(10_000);
        let (scanned, copied) = work(lines.as_bytes(), CHUNK, false);
        assert!(scanned <= 5 * lines.len(), "{scanned} of {}", lines.len());
        assert!(copied <= 2 * lines.len(), "{copied} of {}", lines.len());
    }

    #[test]
    fn calls_for_events_and_for_items_in_turns_cost_no_more() {
        let stream = "id: 1\ndata: x\n\n".repeat(1_000);
        let mut parser = Parser::new();
        let mut rest = stream.as_bytes();
        let mut events = 0;
        count::take();
        while parser.step(rest, events % 2 == 0) == Step::Event {
            rest = &rest[parser.consumed()..];
            events += 1;
        }
        assert_eq!(events, 1_000);
        let (scanned, copied) = count::take();
        assert!(scanned <= 5 * stream.len() / 2 + 3 * (8 << 10), "{scanned}");
        assert!(copied <= 11 * stream.len() / 10, "{copied}");
    }
}

//! The push parser: bytes in, events out, no I/O and no clock.
//!
//! ```text
//!   input ──▶ Decoder ──▶ piece ──▶ Interpreter ──▶ event, comment
//!             UTF-8       &str      lines, fields     │
//!                           │                         │ the first of a piece
//!                           ▼                         ▼
//!                         Marks                     window: the piece, copied once
//!                         line breaks               ├────────────┬──────────┬───────┤
//!                                                    given out    the event  to come
//!                                                                            ▲ cursor
//! ```
//!
//! - **A piece** is what one step takes from the front of the input: a chunk of it, decoded where it
//!   lies, with all its line breaks marked. The walk of the interpreter goes over it line by line.
//! - **The window** holds what is lent. When a walk over a piece comes to an event, the whole piece
//!   is copied there, and the walks for the events after it go on in the window, from the cursor.
//!   Values are spans of the text that the walk is in, until that goes. A short input, which is likely
//!   to end an event, is copied first and decoded there ([`Parser::take_short`]).
//! - **At the end of a piece** nothing but a block that is not over is kept: its values move into the
//!   buffers of the interpreter ([`Interpreter::keep`]). A line that is not over (a partial line) is
//!   data, whose bytes go straight to the data buffer, or it is passed over, or it is held in the
//!   window, where the next piece is appended ([`Interpreter::cut_off`]).
//! - **Nothing is looked at twice**: a byte is decoded once, marked once, and walked over once, in
//!   the piece or in the window. A data line of a block with several is copied once, into the data
//!   buffer. Three things are looked at again: the head of a held line, eight bytes, with each piece;
//!   the piece that ends a line of several long ones ([`Marks::can_skip`]); and a short input that turns
//!   out to be malformed, which is rare ([`Decoder::expected_text`]).
//!
//! Every rule of the format stands once: what is a line, what a field and where its value starts in
//! `line`, what they mean in `interpreter`, malformed bytes in `decode`. After a change run the unit
//! tests (they count the bytes looked at and copied), `tests/parser` and `tests/reader`, those of
//! `tests/memory` (peaks, allocations), the fuzz targets `parser` and `reader`, and
//! `tests/bench read`.

mod decode;
mod interpreter;
mod item;
mod line;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::mem;
use std::time::Duration;

use crate::buffer;
use crate::event::Event;
use crate::scan::{self, Marks, count};
use decode::Decoder;
use interpreter::{Interpreter, Rest};
use line::Cursor;

pub use item::{EventTooLarge, Item};

/// What an event may cost to keep, unless the user says otherwise.
const DEFAULT_MAX_EVENT_SIZE: usize = 16 << 20;

/// How much is decoded at a time, at most: input and window stay in the first-level cache.
const CHUNK: usize = 8 << 10;

/// An input up to this size is copied before it is decoded.
const SHORT: usize = 1 << 10;

const BYTE_ORDER_MARK: char = '\u{feff}';

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
    line: Line,
    decoder: Decoder,
    /// The line breaks of the last piece.
    marks: Marks,
    /// The text that events are lent from: the last piece, or the beginning of a line.
    window: String,
    /// How far the walk has come in the window.
    cursor: Cursor,
    interpreter: Interpreter,
}

/// Where in a line the input goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// At the start of a line, and of a character.
    Start,
    /// At the start of a line, where this character is passed over: a byte order mark at the start of
    /// the stream, an LF behind a CR.
    Before(char),
    /// In a line whose beginning came with earlier input.
    Partial(Rest),
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The end of the input.
    NeedMore,
    /// An event: [`Parser::event`] has it.
    Event,
    /// A comment: [`Parser::item`] has it.
    Comment,
    /// An event or a comment over the limit; what is left of it will be skipped.
    TooLarge,
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new() -> Self {
        Parser {
            line: Line::Before(BYTE_ORDER_MARK),
            decoder: Decoder::default(),
            marks: Marks::default(),
            window: String::new(),
            cursor: Cursor::default(),
            interpreter: Interpreter::new(DEFAULT_MAX_EVENT_SIZE),
        }
    }

    /// Sets the limit for what one event may cost to keep, in bytes of its text: all its values, one
    /// more for each data line, the names of its extensions and 64 for each of those. A comment given
    /// out by [`parse_item`](Parser::parse_item) is held to the same limit. Default: 16 MiB.
    ///
    /// Memory stays within the limit and a constant for data and comments. A name, an id or an
    /// extension whose line comes in pieces is held twice while it is put together.
    ///
    /// ```
    /// # use sse_io::Parser;
    /// let mut parser = Parser::new().with_max_event_size(8);
    /// let mut input = &b"data: far too long\n\ndata: ok\n\n"[..];
    /// assert_eq!(parser.parse(&mut input).unwrap_err().limit(), 8);
    /// assert_eq!(parser.parse(&mut input).unwrap().unwrap().data, "ok");
    /// ```
    #[must_use = "the setter returns the parser"]
    pub fn with_max_event_size(mut self, bytes: usize) -> Self {
        self.interpreter.set_limit(bytes);
        self
    }

    /// Sets the last event ID, for a stream that goes on where an earlier one was lost. Default:
    /// empty.
    ///
    /// ```
    /// # use sse_io::Parser;
    /// assert_eq!(Parser::new().with_last_event_id("7").last_event_id(), "7");
    /// ```
    #[must_use = "the setter returns the parser"]
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.interpreter.set_last_id(id.into());
        self
    }

    /// Gives out the next event; `None` when all of `input` is taken and more is needed.
    ///
    /// Takes as much from the front of `input` as it likes, which may be more than the event: what
    /// was taken is the parser's, so call again with what is left, until the answer is `None`. The
    /// event borrows from the parser alone.
    ///
    /// # Errors
    ///
    /// [`EventTooLarge`] as soon as an event exceeds the limit. The parser goes on: what is left of
    /// that event is skipped, its id still becomes the last event ID (unless the id alone exceeds
    /// the limit), and the events after it come as ever.
    ///
    /// ```
    /// # use sse_io::Parser;
    /// let mut parser = Parser::new();
    /// let mut input = &b"data: a\n\ndata: b\n\ndata: to be contin"[..];
    /// assert_eq!(parser.parse(&mut input)?.unwrap().data, "a");
    /// assert_eq!(parser.parse(&mut input)?.unwrap().data, "b");
    /// assert_eq!((parser.parse(&mut input)?, input.len()), (None, 0));
    /// # Ok::<(), sse_io::EventTooLarge>(())
    /// ```
    #[inline(always)]
    pub fn parse(&mut self, input: &mut &[u8]) -> Result<Option<Event<'_>>, EventTooLarge> {
        match self.step(input, false) {
            Step::NeedMore | Step::Comment => Ok(None),
            Step::Event => Ok(Some(self.event())),
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
    ///         assert_eq!((&*event.data, &*last_event_id), ("x", "3"));
    ///     }
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), sse_io::EventTooLarge>(())
    /// ```
    #[inline]
    pub fn parse_item(&mut self, input: &mut &[u8]) -> Result<Option<Item<'_>>, EventTooLarge> {
        match self.step(input, true) {
            Step::TooLarge => Err(self.too_large()),
            step => Ok(self.item(step)),
        }
    }

    /// Ends the stream as if a blank line had come, and gives out the event that this completes,
    /// after those that were not given out before: call it until the answer is `None`. Then the parser
    /// is at the start of a new stream, with the same last event ID.
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
        let mut end = Parser::END;
        loop {
            match self.step(&mut end, false) {
                Step::Event => break,
                Step::NeedMore => {
                    self.reset();
                    return None;
                }
                Step::Comment | Step::TooLarge => {}
            }
        }
        if end.is_empty() {
            self.begin_stream();
        }
        Some(self.event())
    }

    /// Discards what was not given out, the unfinished event with its id too, and starts a new
    /// stream. The last event ID and the reconnection time stay: they outlive a connection.
    ///
    /// ```
    /// # use sse_io::Parser;
    /// let mut parser = Parser::new();
    /// assert_eq!(parser.parse(&mut &b"data: lost with its conn"[..])?, None);
    /// parser.reset();
    /// assert_eq!(parser.parse(&mut &b"data: anew\n\n"[..])?.unwrap().data, "anew");
    /// # Ok::<(), sse_io::EventTooLarge>(())
    /// ```
    pub fn reset(&mut self) {
        self.interpreter.keep(&self.window);
        self.begin_stream();
        self.interpreter.begin_block();
    }

    /// The last event ID: the id of the newest block that had one and was complete, with an event in
    /// it or not. Empty when there is none.
    ///
    /// ```
    /// # use sse_io::Parser;
    /// let mut parser = Parser::new();
    /// assert_eq!(parser.parse(&mut &b"id: 7\n\n"[..])?, None); // no data, so no event
    /// assert_eq!(parser.last_event_id(), "7");
    /// # Ok::<(), sse_io::EventTooLarge>(())
    /// ```
    pub fn last_event_id(&self) -> &str {
        self.interpreter.last_id(&self.window)
    }

    /// The reconnection time that the stream asked for last, with an event or without.
    ///
    /// ```
    /// # use sse_io::Parser;
    /// let mut parser = Parser::new();
    /// assert_eq!(parser.parse(&mut &b"retry: 2000\n"[..])?, None);
    /// assert_eq!(parser.retry().unwrap().as_secs(), 2);
    /// # Ok::<(), sse_io::EventTooLarge>(())
    /// ```
    pub fn retry(&self) -> Option<Duration> {
        self.interpreter.retry()
    }

    /// What ends a stream as a blank line does, wherever in a line it is.
    pub(crate) const END: &'static [u8] = b"\n\n";

    /// Goes on to the next thing worth telling, in the window and then in the input.
    #[inline(always)]
    pub(crate) fn step(&mut self, input: &mut &[u8], comments: bool) -> Step {
        let mut step = self.resume(comments);
        while step == Step::NeedMore && !input.is_empty() {
            step = self.feed(input, comments);
        }
        step
    }

    /// Goes on in the window.
    #[inline(always)]
    pub(crate) fn resume(&mut self, comments: bool) -> Step {
        if self.cursor.at == self.window.len() {
            return Step::NeedMore;
        }
        self.walk_window(comments)
    }

    /// Goes on in the input, which is not empty, from its front: takes one piece.
    #[inline(never)]
    pub(crate) fn feed(&mut self, input: &mut &[u8], comments: bool) -> Step {
        // No line goes on here, no CR waits for its LF, and there is no memory to give back.
        let is_plain = self.line == Line::Start
            && !self.window.ends_with('\r')
            && self.window.capacity() <= buffer::KEEP;
        if is_plain && !comments && self.interpreter.may_pass(input) {
            self.line = Line::behind(mem::take(input));
            return Step::NeedMore;
        }
        self.interpreter.keep(&self.window);
        if is_plain && input.len() <= SHORT && self.take_short(input) {
            return self.walk_window(comments);
        }
        self.take_piece(input, comments)
    }

    /// Takes a chunk of the input, or a character, and walks over it where it lies.
    #[inline(never)]
    fn take_piece(&mut self, input: &mut &[u8], comments: bool) -> Step {
        if self.line == Line::Start {
            self.line = Line::behind(self.window.as_bytes());
        }
        let completes = self.decoder.has_partial();
        let mut character = [0; 4];
        let chunk = &input[..input.len().min(CHUNK)];
        let (mut piece, taken) = self.decoder.decode(chunk, &mut character);
        *input = &input[taken..];
        if let Line::Before(character) = self.line {
            if piece.is_empty() {
                // A partial character, which may be this one.
                return Step::NeedMore;
            }
            piece = piece.strip_prefix(character).unwrap_or(piece);
            self.line = Line::Start;
            self.interpreter.reserve();
        }
        if let Line::Partial(rest @ (Rest::Data | Rest::Skipped)) = self.line {
            // A character whose bytes came with several inputs is no line break.
            if completes || self.marks.can_skip(piece.as_bytes()) {
                return self.more(rest, piece);
            }
        }
        let base = match self.line {
            Line::Partial(Rest::Held) => self.window.len(),
            _ => 0,
        };
        self.marks.set(piece.as_bytes(), base);
        self.cursor = Cursor::default();
        match self.line {
            Line::Partial(Rest::Held) => self.walk_joined(piece, comments),
            Line::Partial(rest) => self.walk_rest(piece, rest, comments),
            Line::Start | Line::Before(_) => self.walk_piece(piece, comments),
        }
    }

    /// Has the window be this input, which begins a line, unless something in it is malformed. What is
    /// needed of the window is kept by now.
    ///
    /// The copy is validated, not the original: it starts at a word and is padded to whole words,
    /// because std looks at bytes beside whole words one by one. The line breaks are marked in the
    /// original, because a load waits for a store of another width to the same place.
    #[inline(always)]
    fn take_short(&mut self, input: &mut &[u8]) -> bool {
        const WORDS: usize = 16;
        let text = self.decoder.expected_text(input);
        if text.is_empty() {
            return false;
        }
        let mut bytes = mem::take(&mut self.window).into_bytes();
        bytes.clear();
        bytes.reserve(text.len() + WORDS);
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(&[b' '; WORDS]);
        bytes.truncate(bytes.len() / WORDS * WORDS);
        count::copied(text.len());
        let Ok(padded) = String::from_utf8(bytes) else {
            self.cursor.at = 0;
            return false;
        };
        self.window = padded;
        self.window.truncate(text.len());
        self.marks.set(text, 0);
        self.cursor = Cursor::default();
        *input = &input[text.len()..];
        true
    }

    #[inline(always)]
    fn walk_window(&mut self, comments: bool) -> Step {
        let Parser {
            interpreter,
            window,
            marks,
            cursor,
            ..
        } = self;
        match interpreter.walk(window, marks.blocks(), cursor, comments) {
            Step::NeedMore => self.end_window(comments),
            step => step,
        }
    }

    /// The walk has come to the last line break of the window.
    #[inline(never)]
    fn end_window(&mut self, comments: bool) -> Step {
        let mut window = mem::take(&mut self.window);
        let step = self.end_text(&window, comments);
        if self.line == Line::Partial(Rest::Held) {
            if self.cursor.at > 0 {
                window.drain(..self.cursor.at);
                count::copied(window.len());
            }
        } else {
            window.clear();
            buffer::shrink(&mut window);
        }
        self.cursor.at = window.len();
        self.window = window;
        step
    }

    /// Walks over a piece where it lies; it goes into the window if there is something to lend.
    #[inline(always)]
    fn walk_piece(&mut self, piece: &str, comments: bool) -> Step {
        let marks = self.marks.blocks();
        let mut step = (self.interpreter).walk(piece, marks, &mut self.cursor, comments);
        if step != Step::NeedMore {
            self.lend(piece);
            return step;
        }
        step = self.end_text(piece, comments);
        self.window.clear();
        buffer::shrink(&mut self.window);
        if self.line == Line::Partial(Rest::Held) {
            buffer::replace(&mut self.window, &piece[self.cursor.at..]);
        }
        self.cursor.at = self.window.len();
        step
    }

    /// Has the window be the piece that the walk is in.
    #[inline(always)]
    fn lend(&mut self, piece: &str) {
        buffer::replace(&mut self.window, piece);
        buffer::shrink(&mut self.window);
    }

    /// A piece that begins with more of a line that is held.
    #[inline(never)]
    fn walk_joined(&mut self, piece: &str, comments: bool) -> Step {
        self.line = Line::Start;
        let limit = self.interpreter.limit().saturating_add(2 * CHUNK);
        buffer::append(&mut self.window, piece, limit);
        self.walk_window(comments)
    }

    /// More of a line that is not held.
    #[inline(always)]
    fn more(&mut self, rest: Rest, text: &str) -> Step {
        let (rest, step) = self.interpreter.more(rest, text);
        self.line = Line::Partial(rest);
        step
    }

    /// A piece that begins with more of a line that is not held.
    #[inline(never)]
    fn walk_rest(&mut self, piece: &str, rest: Rest, comments: bool) -> Step {
        let end = self.cursor.next_break(self.marks.blocks());
        let more = &piece[..end.unwrap_or(piece.len())];
        let step = self.more(rest, more);
        let Some(end) = end else {
            return step;
        };
        self.line = Line::Start;
        let marks = self.marks.blocks();
        self.cursor.pass_break(marks, piece.as_bytes(), end);
        if step != Step::NeedMore {
            self.lend(piece);
            return step;
        }
        self.walk_piece(piece, comments)
    }

    /// The walk has come to the last line break of a text, which goes.
    #[inline(always)]
    fn end_text(&mut self, text: &str, comments: bool) -> Step {
        self.interpreter.keep(text);
        let begun = &text[self.cursor.at..];
        if begun.is_empty() && !self.decoder.has_partial() {
            self.line = Line::behind(text.as_bytes());
            return Step::NeedMore;
        }
        let (rest, step) = self.interpreter.cut_off(begun, comments);
        self.line = Line::Partial(rest);
        step
    }

    /// Whether there is an unfinished event to lose, or a line that may belong to one.
    pub(crate) fn is_unfinished(&self) -> bool {
        let in_line = match self.line {
            Line::Start | Line::Before(_) => self.decoder.has_partial(),
            Line::Partial(Rest::Skipped) => false,
            Line::Partial(Rest::Data) => true,
            Line::Partial(Rest::Held) => !self.window.starts_with(':'),
        };
        in_line || self.interpreter.is_in_block()
    }

    /// Forgets what comes after the last thing told; gives how many bytes of the input that is.
    pub(crate) fn rewind(&mut self) -> usize {
        let end = self.window.len();
        if self.window[..self.cursor.at].ends_with("\r\n") {
            // It was told at the CR, with or without the LF.
            self.cursor.at -= 1;
        }
        self.window.truncate(self.cursor.at);
        end - self.cursor.at
    }

    /// The event that the last step came to.
    #[inline(always)]
    pub(crate) fn event(&self) -> Event<'_> {
        self.interpreter.event(&self.window, Cow::Borrowed)
    }

    /// A copy of the event that the last step came to, made without lending it first.
    #[inline(always)]
    pub(crate) fn owned_event(&self) -> Event<'static> {
        let own = |text: &str| Cow::Owned(text.to_owned());
        self.interpreter.event(&self.window, own)
    }

    /// Whether the event that the last step came to has an id of its own.
    #[inline(always)]
    pub(crate) fn has_id(&self) -> bool {
        self.interpreter.has_id()
    }

    /// The event or the comment that the last step came to.
    #[inline(always)]
    pub(crate) fn item(&self, step: Step) -> Option<Item<'_>> {
        match step {
            Step::Event => Some(Item::Event {
                event: self.event(),
                last_event_id: Cow::Borrowed(self.last_event_id()),
            }),
            Step::Comment => Some(Item::Comment(Cow::Borrowed(
                self.interpreter.comment_text(&self.window),
            ))),
            Step::NeedMore | Step::TooLarge => None,
        }
    }

    /// Whether this is the data of the event that the last step came to.
    #[inline(always)]
    pub(crate) fn data_is(&self, data: &str) -> bool {
        self.interpreter.data_is(&self.window, data)
    }

    pub(crate) fn too_large(&self) -> EventTooLarge {
        EventTooLarge::new(self.interpreter.limit())
    }

    fn begin_stream(&mut self) {
        self.rewind();
        self.line = Line::Before(BYTE_ORDER_MARK);
        self.decoder.reset();
    }
}

impl Line {
    /// At the start of the line behind this text, which ends with a line break, if it is not empty.
    #[inline(always)]
    fn behind(text: &[u8]) -> Self {
        match text.ends_with(&[scan::CR]) {
            true => Line::Before('\n'),
            false => Line::Start,
        }
    }
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser")
            .field("max_event_size", &self.interpreter.limit())
            .field("last_event_id", &self.last_event_id())
            .field("retry", &self.retry())
            .finish_non_exhaustive()
    }
}

impl Default for Parser {
    fn default() -> Self {
        Parser::new()
    }
}

//! What lines mean (HTML standard, 9.2.6): the grammar, which stands here and nowhere else, and what
//! the lines of a block add up to.

use std::borrow::Cow;
use std::time::Duration;

use super::Step;
use super::line::{self, Cursor, Field, Head};
use crate::buffer;
use crate::digits::whole_number;
use crate::event::{Event, Extensions, Fields};
use crate::scan::{Marked, count};

/// The lines of a stream, interpreted.
///
/// A walk goes over a text line by line, and stops at what is worth telling. Values stay in that text
/// as spans as long as it does; before the text goes, [`keep`](Interpreter::keep) moves them into the
/// buffers.
#[derive(Debug)]
pub(super) struct Interpreter {
    /// What an event may cost to keep.
    limit: usize,
    block: Block,
    /// The comment that the walk has come to.
    comment: Span,
    /// The buffers for values that are no longer in one piece in the text.
    data: String,
    name: String,
    id: String,
    unknown: Fields,
    /// There is something to tidy up between two blocks: unknown fields, or a buffer that has grown past
    /// what is kept for good.
    untidy: bool,
    /// The last event ID: in the text, while there is a span for it.
    last_id_span: Option<Span>,
    last_id: String,
    retry: Option<Duration>,
}

/// A range of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    from: usize,
    end: usize,
}

impl Span {
    #[inline(always)]
    fn of(self, text: &str) -> &str {
        &text[self.from..self.end]
    }
}

/// Where the value of a field is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Value {
    #[default]
    Missing,
    Text(Span),
    /// In the buffer of its field; a committed id, in that of the last event ID.
    Kept,
}

/// How far a block has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// No field was seen: a blank line has nothing to end.
    #[default]
    Idle,
    Begun,
    /// The event is out: the next walk starts a new block.
    Complete,
}

/// The block that is being read.
#[derive(Debug, Default)]
struct Block {
    progress: Progress,
    data: Value,
    name: Value,
    id: Value,
    retry: Option<Duration>,
    /// What the event costs to keep, or [`OVERSIZE`].
    size: usize,
}

/// The event was too large: only its `id` and `retry` still count.
const OVERSIZE: usize = 1 << (usize::BITS - 1);

/// What becomes of a line that the end of the text cuts off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It waits for its end.
    Held,
    /// It is data: what is still to come of it goes straight to its buffer.
    Data,
    /// It is passed over.
    Skipped,
}

impl Interpreter {
    pub(super) fn new(limit: usize) -> Self {
        Interpreter {
            limit,
            block: Block::default(),
            comment: Span::default(),
            data: String::new(),
            name: String::new(),
            id: String::new(),
            unknown: Fields::default(),
            untidy: false,
            last_id_span: None,
            last_id: String::new(),
            retry: None,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn set_limit(&mut self, bytes: usize) {
        // No text is longer than this, so that nothing that fits costs as much as [`OVERSIZE`].
        self.limit = bytes.min(isize::MAX.unsigned_abs());
    }

    pub(super) fn set_last_id(&mut self, id: String) {
        self.last_id = id;
        self.last_id_span = None;
    }

    pub(super) fn last_id<'a>(&'a self, text: &'a str) -> &'a str {
        match self.last_id_span {
            Some(span) => span.of(text),
            None => &self.last_id,
        }
    }

    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Has room in every buffer for a short value, so that it makes no difference which of them is
    /// needed first, and when.
    #[cold]
    pub(super) fn reserve(&mut self) {
        const SHORT: usize = 64;
        for buffer in self.buffers() {
            buffer.reserve(SHORT.saturating_sub(buffer.len()));
        }
    }

    fn buffers(&mut self) -> [&mut String; 4] {
        [
            &mut self.data,
            &mut self.name,
            &mut self.id,
            &mut self.last_id,
        ]
    }

    /// How much is kept for values.
    #[cfg(test)]
    pub(super) fn capacity(&mut self) -> usize {
        let buffers = self.buffers();
        buffers.iter().map(|buffer| buffer.capacity()).sum()
    }

    /// Whether there is an unfinished event to lose.
    pub(super) fn is_in_block(&self) -> bool {
        let Block { data, name, id, .. } = self.block;
        let any_value = [data, name, id].iter().any(|&it| it != Value::Missing);
        let any = any_value || self.block.size == OVERSIZE || !self.unknown.is_empty();
        any && self.block.progress != Progress::Complete
    }

    /// Walks over the lines of a text up to the next thing worth telling, or to its last line break.
    #[inline(never)]
    pub(super) fn walk(
        &mut self,
        text: &str,
        marks: &[Marked],
        cursor: &mut Cursor,
        comments: bool,
    ) -> Step {
        // A copy, so that it stays in registers.
        let mut here = *cursor;
        let step = self.walk_from(text, marks, &mut here, comments);
        *cursor = here;
        step
    }

    #[inline(always)]
    fn walk_from(
        &mut self,
        text: &str,
        marks: &[Marked],
        cursor: &mut Cursor,
        comments: bool,
    ) -> Step {
        let bytes = text.as_bytes();
        if self.block.progress == Progress::Complete {
            self.begin_block();
        }
        while let Some(end) = cursor.next_break(marks) {
            let from = cursor.at;
            cursor.pass_break(marks, bytes, end);
            if from == end {
                if self.end_block() {
                    return Step::Event;
                }
            } else {
                let value = |skipped| Span {
                    from: from + skipped,
                    end,
                };
                let fits = match Field::of(Head::of(&bytes[from..])) {
                    Field::Data(skipped) => self.data(text, value(skipped)),
                    Field::Comment(_) if !comments && self.is_idle() => {
                        *cursor = cursor.behind_idle(marks, bytes);
                        true
                    }
                    Field::Comment(_) if !comments => true,
                    Field::Comment(skipped) => return self.comment(value(skipped)),
                    Field::Event(skipped) => self.name(value(skipped)),
                    Field::Id(skipped) => self.id(text, value(skipped)),
                    Field::Retry(skipped) => self.retry_time(value(skipped).of(text)),
                    Field::Unknown => self.extension(&text[from..end]),
                };
                if !fits && self.give_up() {
                    return Step::TooLarge;
                }
            }
        }
        Step::NeedMore
    }

    /// Whether blank lines and comments mean nothing now, not even that memory is to be given back.
    #[inline(always)]
    fn is_idle(&self) -> bool {
        self.block.progress == Progress::Idle && !self.untidy
    }

    /// Whether the input is a heartbeat, and that means nothing now: it need not be decoded.
    #[inline(always)]
    pub(super) fn may_pass(&self, input: &[u8]) -> bool {
        let idle = self.block.progress != Progress::Begun && !self.untidy;
        idle && line::is_heartbeat(input)
    }

    /// A data line. False, as for every field, when the event becomes too large by it or was that
    /// before.
    #[inline(always)]
    fn data(&mut self, text: &str, value: Span) -> bool {
        let fits = self.charge(value.end - value.from + 1);
        if fits && self.block.data == Value::Missing {
            self.block.data = Value::Text(value);
        } else if fits {
            self.append_line(text, value);
        }
        fits
    }

    #[inline(always)]
    fn name(&mut self, value: Span) -> bool {
        self.block.name = match value.end - value.from {
            0 => Value::Missing,
            _ => Value::Text(value),
        };
        self.charge(value.end - value.from)
    }

    /// An id takes effect even if its event is too large to be given out.
    #[inline(always)]
    fn id(&mut self, text: &str, value: Span) -> bool {
        let length = value.end - value.from;
        count::scanned(length);
        if length <= self.limit && !line::holds_nul(text.as_bytes(), value.from, length) {
            self.block.id = Value::Text(value);
        }
        self.charge(length)
    }

    #[cold]
    fn retry_time(&mut self, value: &str) -> bool {
        if let Some(millis) = whole_number(value.as_bytes()).filter(|_| value.len() <= self.limit) {
            self.block.retry = Some(Duration::from_millis(millis));
            self.retry = self.block.retry;
        }
        self.charge(value.len())
    }

    #[cold]
    fn extension(&mut self, line: &str) -> bool {
        let (name, value) = line::split(line);
        let fits = self.charge(name.len() + value.len() + Fields::COST);
        if fits {
            self.unknown.push((name, value), self.limit);
            self.untidy = true;
        }
        fits
    }

    fn comment(&mut self, value: Span) -> Step {
        if value.end - value.from > self.limit {
            return Step::TooLarge;
        }
        self.comment = value;
        Step::Comment
    }

    /// The blank line: the id takes effect; true when there is an event to give out.
    #[inline(always)]
    fn end_block(&mut self) -> bool {
        match self.block.id {
            Value::Missing => {}
            Value::Text(span) => self.last_id_span = Some(span),
            Value::Kept => {
                std::mem::swap(&mut self.id, &mut self.last_id);
                self.last_id_span = None;
            }
        }
        if self.block.data == Value::Missing {
            if self.block.progress == Progress::Begun || self.untidy {
                // An idle stream does not hold on to what a giant has left.
                self.begin_block();
            }
            return false;
        }
        self.block.progress = Progress::Complete;
        true
    }

    #[inline(always)]
    pub(super) fn begin_block(&mut self) {
        if self.untidy {
            self.tidy_up();
        }
        self.block = Block::default();
    }

    /// Between two blocks: forgets the unknown fields, and shrinks the buffers of which the last block
    /// used little, so that one giant is not paid for by the rest of the stream, while a stream of
    /// giants does not allocate for each.
    #[cold]
    #[inline(never)]
    fn tidy_up(&mut self) {
        // What is left of earlier blocks does not count as used.
        if self.block.data != Value::Kept {
            self.data.clear();
        }
        if self.block.name != Value::Kept {
            self.name.clear();
        }
        self.id.clear();
        self.unknown.clear();
        let mut untidy = false;
        for buffer in self.buffers() {
            buffer::shrink(buffer);
            untidy |= buffer.capacity() > buffer::KEEP;
        }
        self.untidy = untidy;
    }

    /// Begins the block, if need be, and adds to what its event costs; false when it is too large, by
    /// this or before.
    #[inline(always)]
    fn charge(&mut self, cost: usize) -> bool {
        self.block.progress = Progress::Begun;
        let size = self.block.size + cost;
        let fits = size <= self.limit;
        if fits {
            self.block.size = size;
        }
        fits
    }

    /// Turns the event into one that is skipped; true when it was not that already, and is to be
    /// told.
    #[cold]
    #[inline(never)]
    fn give_up(&mut self) -> bool {
        self.block.progress = Progress::Begun;
        self.block.name = Value::Missing;
        self.block.data = Value::Missing;
        self.data = String::new();
        self.unknown = Fields::default();
        std::mem::replace(&mut self.block.size, OVERSIZE) != OVERSIZE
    }

    /// Another data line of the block, which was charged for.
    #[inline(never)]
    fn append_line(&mut self, text: &str, value: Span) {
        self.begin_line(text);
        self.append(value.of(text));
    }

    /// Has the data lines so far in their buffer, with an LF if one is to come behind them.
    #[inline(always)]
    fn begin_line(&mut self, text: &str) {
        self.keep_data(text);
        match self.block.data {
            Value::Missing => {
                self.data.clear();
                self.block.data = Value::Kept;
            }
            _ => self.append("\n"),
        }
    }

    #[inline(always)]
    fn append(&mut self, text: &str) {
        self.untidy |= buffer::append(&mut self.data, text, self.limit);
    }

    #[inline(always)]
    fn keep_data(&mut self, text: &str) {
        if let Value::Text(span) = self.block.data {
            self.data.clear();
            self.append(span.of(text));
            self.block.data = Value::Kept;
        }
    }

    /// Before another text takes the place of this one: keeps what is still needed of it.
    #[inline(always)]
    pub(super) fn keep(&mut self, text: &str) {
        if let Some(span) = self.last_id_span.take() {
            self.untidy |= buffer::replace(&mut self.last_id, span.of(text));
        }
        if self.block.progress == Progress::Begun {
            self.keep_block(text);
        }
    }

    #[inline(never)]
    fn keep_block(&mut self, text: &str) {
        self.keep_data(text);
        let Block { name, id, .. } = &mut self.block;
        for (value, buffer) in [(name, &mut self.name), (id, &mut self.id)] {
            if let Value::Text(span) = *value {
                self.untidy |= buffer::replace(buffer, span.of(text));
                *value = Value::Kept;
            }
        }
    }

    /// Decides what becomes of a line that is not over at the end of a text, so that what is held of
    /// it is bounded; `begun` is all there is of it.
    #[inline(never)]
    pub(super) fn cut_off(&mut self, begun: &str, comments: bool) -> (Rest, Step) {
        let length = begun.len();
        match Field::of(Head::of(begun.as_bytes())) {
            Field::Comment(_) if !comments => (Rest::Skipped, Step::NeedMore),
            Field::Comment(_) if length > self.limit.saturating_add(": ".len()) => {
                (Rest::Skipped, Step::TooLarge)
            }
            Field::Comment(_) => (Rest::Held, Step::NeedMore),
            Field::Data(skipped) if length >= Field::DATA => {
                // One for the LF to come.
                if !self.charge(length - skipped + 1) {
                    return self.skip();
                }
                self.begin_line("");
                self.append(&begun[skipped..]);
                (Rest::Data, Step::NeedMore)
            }
            _ => {
                let left = self.limit.saturating_sub(self.block.size);
                if length <= left.saturating_add(Field::LONGEST) {
                    return (Rest::Held, Step::NeedMore);
                }
                let (_, step) = self.skip();
                // It may be an id.
                let may_be_id = length <= self.limit.saturating_add(Field::LONGEST);
                (if may_be_id { Rest::Held } else { Rest::Skipped }, step)
            }
        }
    }

    /// More of a line that was cut off and is not held.
    #[inline(always)]
    pub(super) fn more(&mut self, rest: Rest, text: &str) -> (Rest, Step) {
        if rest == Rest::Data {
            if !self.charge(text.len()) {
                return self.skip();
            }
            self.append(text);
        }
        (rest, Step::NeedMore)
    }

    #[cold]
    fn skip(&mut self) -> (Rest, Step) {
        let step = match self.give_up() {
            true => Step::TooLarge,
            false => Step::NeedMore,
        };
        (Rest::Skipped, step)
    }

    /// The event that the walk over this text has come to, of strings made by `make`.
    ///
    /// Inlined wherever an event is given out: a caller that looks at two fields of it then never
    /// sees the other hundred bytes copied.
    #[inline(always)]
    pub(super) fn event<'a, 'e>(
        &'a self,
        text: &'a str,
        make: impl Fn(&'a str) -> Cow<'e, str>,
    ) -> Event<'e> {
        let value = |value, kept: &'a String| match value {
            Value::Missing => None,
            Value::Text(span) => Some(span.of(text)),
            Value::Kept => Some(&**kept),
        };
        Event {
            name: value(self.block.name, &self.name).map(&make),
            id: value(self.block.id, &self.last_id).map(&make),
            retry: self.block.retry,
            data: make(value(self.block.data, &self.data).expect("an event has data")),
            extensions: match self.unknown.is_empty() {
                true => Extensions::default(),
                false => self.unknown.to_extensions(),
            },
        }
    }

    /// Whether the event that the walk has come to has an id of its own.
    #[inline(always)]
    pub(super) fn has_id(&self) -> bool {
        self.block.id != Value::Missing
    }

    /// The comment that the walk over this text has come to.
    pub(super) fn comment_text<'a>(&self, text: &'a str) -> &'a str {
        self.comment.of(text)
    }

    /// Whether the data of the event that the walk has come to is this.
    #[inline(always)]
    pub(super) fn data_is(&self, text: &str, data: &str) -> bool {
        match self.block.data {
            Value::Missing => false,
            // The length decides nearly always.
            Value::Text(span) => span.end - span.from == data.len() && span.of(text) == data,
            Value::Kept => self.data == data,
        }
    }
}

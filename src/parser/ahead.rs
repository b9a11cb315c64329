//! The plain blocks ahead in the input, found and decoded many at a time.
//!
//! Where events are short, most of the time goes to the steps between them: to validate each value
//! for itself costs more than all the rest, and what is known of a block has to be put away and taken
//! up again. So once an input has given out a short event, the next kilobytes of it are validated at
//! once and copied, and a walk through them notes where the values of each block lie. The blocks are
//! then given out one by one.
//!
//! Only plain blocks are noted: one data line, at most one name and one id, nothing malformed.
//! Whatever else comes ends the walk, and is left to [`Parser::advance`] as it is.

use std::borrow::Cow;

use super::Parser;
use crate::event::Event;
use crate::scan::{self, Breaks, CR, LF, count};

/// How many bytes are decoded at a time: few enough to stay in the first-level cache with the input.
const WINDOW: usize = 8 << 10;
const _: () = assert!(WINDOW <= u16::MAX as usize);

/// How many blocks are noted at a time.
const BLOCKS: usize = 128;

/// Longer events are better off lent straight from the input.
const SHORT: usize = 1 << 10;

/// Less input than this is not worth the trouble, nor is less than so many events take.
const WORTHWHILE: (usize, usize) = (512, 4);

/// Where blocks are no longer than this, nearly every 64 bytes hold a line break.
const DENSE: usize = 128;

/// Ids up to this length are kept without an allocation once the first window is there.
const SHORT_ID: usize = 64;

/// What was found, and the window that it was found in.
///
/// The blocks found are dropped when they are all given out, and when the input or what is wanted of
/// it changes ([`Parser::drop_found`]); the window, when the input changes ([`Parser::drop_window`])
/// or has been used up to its end.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The window: some of the input, as far as it is valid.
    text: String,
    /// All its line breaks, if those before were dense.
    breaks: Vec<u64>,
    dense: bool,
    /// How far from the end of the input the window starts, which stays the same while the front of
    /// the input is used up.
    origin: usize,
    /// The blocks found, of which so many were given out.
    found: Vec<Plain>,
    given: usize,
    /// There is a NUL in the window, once that is known: an id with one does not count.
    nul: Option<bool>,
    /// Comments of this input were wanted, so that no block with one is plain.
    comments: bool,
    /// The last event ID, while it is that of a block given out.
    id: Span,
    /// How large the events of this input are; 0 when none was seen.
    event: usize,
}

/// A plain block: where its values lie in the window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plain {
    data: Span,
    /// An empty name is none, and not plain.
    name: Span,
    id: Span,
    /// The block itself, with what was passed over in front of it.
    whole: Span,
}

/// A range of the window. None ends at 0, since the name of the field stands in front of a value:
/// that is for a field that is missing.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    from: u16,
    end: u16,
}

impl Span {
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // see WINDOW
    fn new(from: usize, end: usize) -> Self {
        Span {
            from: from as u16,
            end: end as u16,
        }
    }

    #[inline(always)]
    fn is_missing(self) -> bool {
        self.end == 0
    }

    /// Fills in a field that was missing.
    #[inline(always)]
    fn set(&mut self, from: usize, end: usize) -> Result<(), End> {
        if !self.is_missing() {
            return Err(End::NotPlain);
        }
        *self = Span::new(from, end);
        Ok(())
    }
}

impl Plain {
    /// How much of the input the block takes.
    #[inline(always)]
    fn len(self) -> usize {
        usize::from(self.whole.end - self.whole.from)
    }
}

impl Parser {
    /// Takes the next of the blocks found.
    #[inline(always)]
    pub(crate) fn next_found(&mut self, comments: bool) -> Option<Plain> {
        let &plain = self.ahead.found.get(self.ahead.given)?;
        if comments && !self.ahead.comments {
            return None;
        }
        self.ahead.given += 1;
        if !plain.id.is_missing() {
            self.ahead.id = plain.id;
        }
        let length = plain.len();
        self.rest.0 += length;
        self.rest.1 -= length;
        self.consumed = length;
        Some(plain)
    }

    /// The event of one of the blocks found.
    #[inline(always)]
    pub(crate) fn plain_event(&self, plain: Plain) -> Event<'_> {
        Event {
            name: self.ahead.text(plain.name).map(Cow::Borrowed),
            id: self.ahead.text(plain.id).map(Cow::Borrowed),
            retry: None,
            data: Cow::Borrowed(self.ahead.text(plain.data).unwrap_or_default()),
            extensions: Vec::new(),
        }
    }

    /// Looks for the plain blocks ahead, if that is worthwhile, and takes the first; `start` is the
    /// start of a line in the input.
    #[inline]
    pub(super) fn look_ahead(&mut self, input: &[u8], start: usize, comments: bool) -> bool {
        let (bytes, events) = WORTHWHILE;
        let worthwhile = (1..=SHORT).contains(&self.ahead.event)
            && input.len() - start >= bytes.max(events * self.ahead.event)
            // No block in the window can exceed the limit then.
            && self.max_event_size >= WINDOW;
        if !worthwhile || self.block.begun || self.grown {
            return false;
        }
        self.find_ahead(input, start, comments);
        self.stop(input, start);
        let Some(plain) = self.next_found(comments) else {
            return false;
        };
        self.consumed = start + plain.len();
        true
    }

    #[inline(never)]
    fn find_ahead(&mut self, input: &[u8], start: usize, comments: bool) {
        self.ahead.comments |= comments;
        let at = self.ahead.position(input.len() - start);
        let end = at.map_or(End::Window, |at| self.ahead.walk(at));
        // A block that only goes on behind the window: it may fit if the window starts with it.
        if end == End::Window && self.ahead.found.is_empty() && at != Some(0) {
            self.settle_id();
            for id in [&mut self.id, &mut self.last_event_id] {
                id.reserve(SHORT_ID.saturating_sub(id.len()));
            }
            self.ahead.fill(input, start);
            self.ahead.walk(0);
        }
        self.ahead.measure();
    }

    /// Notes how large an event is that was not found ahead.
    #[inline]
    pub(super) fn foresee(&mut self) {
        self.ahead.event = self.block.size;
    }

    /// Forgets the blocks found; false when there were none.
    ///
    /// If some were given out, the input is at the start of a block, where it makes no difference
    /// whether an LF is half of a CRLF or a blank line: `after_cr` need not be right.
    #[inline]
    pub(super) fn drop_found(&mut self) -> bool {
        let any = !self.ahead.found.is_empty();
        if any {
            self.ahead.found.clear();
            self.ahead.given = 0;
        }
        any
    }

    /// Forgets the window: the input is another.
    #[inline]
    pub(super) fn drop_window(&mut self) {
        self.ahead.event = 0;
        if self.ahead.origin > 0 {
            self.settle_id();
            self.ahead.text.clear();
            self.ahead.origin = 0;
            self.ahead.comments = false;
        }
    }

    /// Keeps the last event ID before the window goes.
    #[inline]
    fn settle_id(&mut self) {
        if let Some(id) = self.ahead.last_event_id() {
            self.last_event_id.clear();
            self.last_event_id.push_str(id);
            self.ahead.drop_id();
        }
    }
}

impl Ahead {
    /// The block given out last, if that was one of those found.
    #[inline(always)]
    pub(super) fn taken(&self) -> Option<Plain> {
        self.found.get(self.given.wrapping_sub(1)).copied()
    }

    /// The last event ID, where it is that of a block given out.
    #[inline]
    pub(super) fn last_event_id(&self) -> Option<&str> {
        self.text(self.id)
    }

    /// The last event ID is another from now on.
    #[inline]
    pub(super) fn drop_id(&mut self) {
        self.id = Span::default();
    }

    #[inline(always)]
    fn text(&self, span: Span) -> Option<&str> {
        if span.is_missing() {
            return None;
        }
        self.text.get(usize::from(span.from)..usize::from(span.end))
    }

    /// Where the last `left` bytes of the input start in the window.
    fn position(&self, left: usize) -> Option<usize> {
        let at = self.origin.checked_sub(left)?;
        (at < self.text.len()).then_some(at)
    }

    /// Has the window start there in the input.
    fn fill(&mut self, input: &[u8], from: usize) {
        let mut end = input.len().min(from + WINDOW);
        // Not in the middle of a character, of which at most three bytes are none that starts it.
        for _ in 0..3 {
            let inside = input.get(end).is_some_and(|&byte| byte as i8 <= -0x41);
            end -= usize::from(inside && end > from);
        }
        let ahead = &input[from..end];
        let valid = std::str::from_utf8(ahead).unwrap_or_else(|error| {
            std::str::from_utf8(&ahead[..error.valid_up_to()]).unwrap_or_default()
        });
        self.text.clear();
        self.text.reserve_exact(WINDOW);
        self.text.push_str(valid);
        self.breaks.clear();
        if self.dense {
            scan::find_all(valid.as_bytes(), &mut self.breaks);
        }
        self.origin = input.len() - from;
        self.nul = None;
        count::copied(valid.len());
    }

    /// Notes the plain blocks from there on, up to the first that is not plain or not in the window
    /// as a whole.
    fn walk(&mut self, at: usize) -> End {
        let mut walk = Walk {
            text: self.text.as_bytes(),
            known: &self.breaks,
            breaks: Breaks::default(),
            at,
            comments: self.comments,
            nul: &mut self.nul,
        };
        walk.go_on_at(at);
        self.found.reserve_exact(BLOCKS);
        while self.found.len() < BLOCKS {
            self.found.push(Plain::default());
            let Some(block) = self.found.last_mut() else {
                break;
            };
            if let Err(end) = walk.block(block) {
                self.found.pop();
                return end;
            }
        }
        End::Enough
    }

    /// Notes how large the events found are, on average.
    fn measure(&mut self) {
        if let (Some(first), Some(last)) = (self.found.first(), self.found.last()) {
            let size = usize::from(last.whole.end - first.whole.from);
            self.event = size / self.found.len();
            self.dense = self.event <= DENSE;
        }
    }
}

/// Why a walk ended.
#[derive(PartialEq, Eq)]
enum End {
    Enough,
    NotPlain,
    Window,
}

/// A walk through the window, block by block.
struct Walk<'w> {
    text: &'w [u8],
    /// All breaks, or none when they are to be searched for.
    known: &'w [u64],
    breaks: Breaks,
    /// Where the next line starts.
    at: usize,
    comments: bool,
    nul: &'w mut Option<bool>,
}

impl Walk<'_> {
    /// Moves over the next block, if it is a plain one, and notes where its values lie.
    #[inline(always)]
    fn block(&mut self, block: &mut Plain) -> Result<(), End> {
        let start = self.at;
        self.pass_idle();
        loop {
            let end = self.next_break().ok_or(End::Window)?;
            let line = self.at;
            self.at = end + 1;
            if line == end {
                if self.text[end] == LF && self.text[end - 1] == CR {
                    continue;
                }
                if block.data.is_missing() {
                    return Err(End::NotPlain);
                }
                block.whole = Span::new(start, self.at);
                return Ok(());
            }
            let head = self.text.get(line..).and_then(<[u8]>::first_chunk);
            let head = head.ok_or(End::Window)?;
            if let Some(skipped) = prefix(b"data:", head) {
                block.data.set(line + skipped, end)?;
            } else if head[0] == b':' && !self.comments {
                continue;
            } else if let Some(skipped) = prefix(b"event:", head) {
                block.name.set(line + skipped, end)?;
                if line + skipped == end {
                    return Err(End::NotPlain);
                }
            } else if let Some(skipped) = prefix(b"id:", head) {
                block.id.set(line + skipped, end)?;
                if self.has_nul() {
                    return Err(End::NotPlain);
                }
            } else {
                return Err(End::NotPlain);
            }
        }
    }

    /// Moves over blank lines and comments: between two blocks, they mean nothing.
    #[inline(always)]
    fn pass_idle(&mut self) {
        while let Some(&(CR | LF)) = self.text.get(self.at) {
            self.next_break();
            self.at += 1;
        }
        if self.text.get(self.at) == Some(&b':') && !self.comments {
            self.go_on_at(self.at + scan::idle(&self.text[self.at..]));
        }
    }

    fn go_on_at(&mut self, at: usize) {
        self.at = at;
        self.breaks = match self.known {
            [] => Breaks::of(&self.text[at..]),
            known => Breaks::known(known, self.text, at),
        };
    }

    #[inline(always)]
    fn next_break(&mut self) -> Option<usize> {
        match self.known {
            [] => self.breaks.next(self.text),
            known => self.breaks.next_known(known, self.text),
        }
    }

    fn has_nul(&mut self) -> bool {
        *self.nul.get_or_insert_with(|| {
            count::scanned(self.text.len());
            let least = self
                .text
                .iter()
                .fold(u8::MAX, |least, &byte| least.min(byte));
            least == 0
        })
    }
}

/// How much comes before the value in a line with this beginning, if the line has this name: that and
/// one space. A line ends with a break, so that no length needs to be looked at.
#[inline(always)]
fn prefix<const N: usize>(name: &[u8; N], head: &[u8; 8]) -> Option<usize> {
    head.starts_with(name)
        .then(|| N + usize::from(head[N] == b' '))
}

//! Lines that the end of the input tears, and the start of a stream, where a byte order mark may be
//! torn as well.

use super::field::Field;
use super::{Parser, Step};
use crate::buffer;
use crate::scan::{CR, LF};

/// The byte order mark in UTF-8, dropped once at the start of a stream.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The longest overhead of a line around its value: `retry: `.
const LONGEST_FIELD: usize = 7;

/// A line whose beginning came with earlier input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Torn {
    /// At the start of a stream: so many bytes of a byte order mark came.
    Mark(usize),
    /// There is none: the input goes on at the start of a line.
    No,
    /// `carry` holds the line so far.
    Kept,
    /// A data line: its value goes straight to `data`.
    Data,
    /// A line of no interest.
    Skipped,
}

impl Parser {
    /// The start of a stream, and the rest of a torn line. Gives where the next line starts, or how
    /// far the step came and to what.
    #[cold]
    pub(super) fn resume(&mut self, input: &[u8], comments: bool) -> Result<usize, (usize, Step)> {
        let start = match self.torn {
            Torn::Mark(seen) => self
                .skip_bom(seen, input)
                .ok_or((input.len(), Step::NeedMore))?,
            _ => 0,
        };
        if self.torn == Torn::No {
            return Ok(start);
        }
        let Some(end) = self.breaks.peek(input) else {
            let fits = self.tear(&input[start..], comments);
            return Err((
                input.len(),
                if fits { Step::NeedMore } else { Step::TooLarge },
            ));
        };
        if !self.tear(&input[start..end], comments) {
            // The line is not over yet: its end is for the next step.
            return Err((end, Step::TooLarge));
        }
        self.breaks.next(input);
        self.after_cr = input[end] == CR;
        match self.end_torn() {
            None => Ok(end + 1),
            Some(step) => Err((end + 1, step)),
        }
    }

    /// Gives where the stream goes on behind a byte order mark; None when that is not known yet.
    fn skip_bom(&mut self, seen: usize, input: &[u8]) -> Option<usize> {
        let more = input
            .iter()
            .zip(&BOM[seen..])
            .take_while(|(a, b)| a == b)
            .count();
        if seen + more == BOM.len() {
            self.torn = Torn::No;
            return Some(more);
        }
        if more == input.len() {
            self.torn = Torn::Mark(seen + more);
            return None;
        }
        self.torn = Torn::No;
        if seen > 0 {
            // It was the beginning of the first line after all.
            self.carry.clear();
            self.carry.extend_from_slice(&BOM[..seen]);
            self.torn = Torn::Kept;
        }
        Some(0)
    }

    /// Takes a piece of a line that is not complete; false when that made something too large.
    #[inline]
    pub(super) fn tear(&mut self, piece: &[u8], comments: bool) -> bool {
        match self.torn {
            Torn::Skipped => true,
            Torn::Data => self.tear_data(piece),
            Torn::Mark(_) | Torn::No if piece.is_empty() => true,
            Torn::Mark(_) | Torn::No | Torn::Kept => self.tear_head(piece, comments),
        }
    }

    /// Takes a piece of a line that is not known to be data.
    fn tear_head(&mut self, piece: &[u8], comments: bool) -> bool {
        if self.torn != Torn::Kept {
            // Six bytes tell a data line, and whether its value has a space in front.
            if let (6.., Field::Data(value)) = (piece.len(), Field::of(piece)) {
                self.torn = Torn::Data;
                return self.tear_data(value);
            }
            self.carry.clear();
            self.torn = Torn::Kept;
        }
        let missing = 6usize.saturating_sub(self.carry.len()).min(piece.len());
        let (head, rest) = piece.split_at(missing);
        self.carry.extend_from_slice(head);
        let comment = self.carry.first() == Some(&b':');
        if comment && !comments {
            self.torn = Torn::Skipped;
            return true;
        }
        if let [b'd', b'a', b't', b'a', b':', first] = self.carry[..] {
            self.torn = Torn::Data;
            let first = if first == b' ' { &[][..] } else { &[first] };
            return self.tear_data(first) && self.tear_data(rest);
        }
        if comment {
            self.tear_comment(rest)
        } else {
            self.tear_kept(rest)
        }
    }

    #[inline]
    fn tear_data(&mut self, piece: &[u8]) -> bool {
        self.block.begun = true;
        // One more for the LF to come.
        let fits = self.charge(piece.len()) && self.block.size < self.max_event_size;
        if fits {
            self.extend_data(piece);
            return true;
        }
        self.torn = Torn::Skipped;
        !self.give_up()
    }

    /// A comment that is wanted: colon, space and a text within the limit.
    fn tear_comment(&mut self, rest: &[u8]) -> bool {
        let fits = self.carry_within(rest, self.max_event_size.saturating_add(2));
        if !fits {
            self.torn = Torn::Skipped;
        }
        fits
    }

    /// A field other than data: a name, what separates it, and a value within the limit.
    fn tear_kept(&mut self, rest: &[u8]) -> bool {
        let left = self.max_event_size.saturating_sub(self.block.size);
        if !self.block.oversize && self.carry_within(rest, left.saturating_add(LONGEST_FIELD)) {
            return true;
        }
        let told = self.give_up();
        // It may be an id, which takes effect even if its event is too large.
        let alone = self.max_event_size.saturating_add(LONGEST_FIELD);
        if !self.carry_within(rest, alone) {
            self.torn = Torn::Skipped;
        }
        !told
    }

    /// Adds to the carry unless it would be longer than `limit`.
    fn carry_within(&mut self, rest: &[u8], limit: usize) -> bool {
        let fits = self.carry.len() + rest.len() <= limit;
        if fits {
            self.grown |= buffer::append(&mut self.carry, rest, limit);
        }
        fits
    }

    /// The end of a torn line.
    pub(super) fn end_torn(&mut self) -> Option<Step> {
        match std::mem::replace(&mut self.torn, Torn::No) {
            Torn::Mark(_) | Torn::No | Torn::Skipped => None,
            Torn::Data => {
                self.block.has_data = true;
                self.block.size += 1;
                self.extend_data(&[LF]);
                None
            }
            Torn::Kept => {
                let line = std::mem::take(&mut self.carry);
                let step = self.field(Field::of(&line), None);
                self.grown |= line.capacity() > buffer::KEEP;
                self.carry = line;
                step
            }
        }
    }
}

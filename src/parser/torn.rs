//! Lines that the end of the input tears, and the start of a stream, where a byte order mark may be
//! torn as well.

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
        let start = match self.bom {
            Some(seen) => self
                .skip_bom(seen, input)
                .ok_or((input.len(), Step::NeedMore))?,
            None => 0,
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
            self.bom = None;
            return Some(more);
        }
        if more == input.len() {
            self.bom = Some(seen + more);
            return None;
        }
        self.bom = None;
        if seen > 0 {
            // It was the beginning of the first line after all.
            self.carry.clear();
            self.carry.extend_from_slice(&BOM[..seen]);
            self.torn = Torn::Kept;
        }
        Some(0)
    }

    /// Takes a piece of a line that is not complete; false when that made something too large.
    pub(super) fn tear(&mut self, piece: &[u8], comments: bool) -> bool {
        match self.torn {
            Torn::Skipped => return true,
            Torn::Data => return self.tear_data(piece),
            Torn::No if piece.is_empty() => return true,
            Torn::No => {
                self.carry.clear();
                self.torn = Torn::Kept;
            }
            Torn::Kept => {}
        }
        // Six bytes tell a data line, and whether its value has a space in front.
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
        self.tear_kept(rest, comment)
    }

    fn tear_data(&mut self, piece: &[u8]) -> bool {
        self.block.begun = true;
        // One more for the LF to come.
        let fits = self.charge(piece.len()) && self.block.size < self.max_event_size;
        if fits {
            self.extend_data(piece);
            return true;
        }
        self.torn = Torn::Skipped;
        self.overflow()
    }

    /// Adds to `carry` what may still turn out to be a line within the limit.
    fn tear_kept(&mut self, rest: &[u8], comment: bool) -> bool {
        let length = self.carry.len() + rest.len();
        let value_limit = if comment || self.block.oversize {
            self.max_event_size
        } else {
            self.max_event_size.saturating_sub(self.block.size)
        };
        let mut fits = true;
        if length > value_limit.saturating_add(if comment { 2 } else { LONGEST_FIELD }) {
            fits = !comment && self.overflow();
            // An id takes effect even if it belongs to an event that is too large.
            if comment || length > self.max_event_size.saturating_add(LONGEST_FIELD) {
                self.torn = Torn::Skipped;
                return fits;
            }
        }
        let limit = self.max_event_size.saturating_add(LONGEST_FIELD);
        self.grown |= buffer::append(&mut self.carry, rest, limit);
        fits
    }

    /// The end of a torn line.
    pub(super) fn end_torn(&mut self) -> Option<Step> {
        match std::mem::replace(&mut self.torn, Torn::No) {
            Torn::No | Torn::Skipped => None,
            Torn::Data => {
                self.block.has_data = true;
                self.block.size += 1;
                self.extend_data(&[LF]);
                None
            }
            Torn::Kept => {
                let line = std::mem::take(&mut self.carry);
                let step = self.field(&line, None);
                self.carry = line;
                step
            }
        }
    }
}

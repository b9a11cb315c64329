//! The input ahead, decoded in one go.
//!
//! Where events are short, to validate each value for itself costs more than all the rest: a call,
//! and two loops that the processor mispredicts, for a few words. So the next kilobytes are
//! validated at once and copied into a `String`, and values are lent from there. Long values are
//! better off lent out of the input.

/// How much is decoded at a time: little enough to stay in the first-level cache with the input.
const WINDOW: usize = 8 << 10;

/// Longer values are not worth a copy.
const SHORT: usize = 1 << 10;

#[derive(Debug, Default)]
pub(super) struct Window {
    text: String,
    /// The offset in the input that `text` starts at; wraps below zero after `consume`.
    start: usize,
    /// This input has had a value before: there may be more to come.
    used: bool,
}

impl Window {
    /// Makes sure that `input[from..end]` can be had as text, if that is worth it, and says whether
    /// it can: not for the first value of an input, since to callers that move their bytes after
    /// each event every one is the first.
    #[inline]
    pub(super) fn cover(&mut self, input: &[u8], from: usize, end: usize) -> bool {
        // Values come front to back: what ends in the window starts in it.
        let covered = end.wrapping_sub(self.start) <= self.text.len();
        if !covered && self.used && end - from <= SHORT && input.len() - end > end - from {
            self.fill(input, from);
        }
        self.used = true;
        self.get(from, end).is_some()
    }

    /// The text of `input[from..end]`; None where it is not covered, or is not UTF-8.
    #[inline]
    pub(super) fn get(&self, from: usize, end: usize) -> Option<&str> {
        let at = from.wrapping_sub(self.start);
        self.text.get(at..at.wrapping_add(end - from))
    }

    /// Tells the window that the first `count` bytes are gone from the input.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.wrapping_sub(count);
    }

    /// Forgets everything: the input is another.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.start = 0;
        self.used = false;
    }

    #[inline(never)]
    fn fill(&mut self, input: &[u8], from: usize) {
        let mut end = input.len().min(from + WINDOW);
        // Not in the middle of a character.
        while input.get(end).is_some_and(|&byte| byte as i8 <= -0x41) && end > from {
            end -= 1;
        }
        let ahead = &input[from..end];
        let valid = std::str::from_utf8(ahead).unwrap_or_else(|error| {
            std::str::from_utf8(&ahead[..error.valid_up_to()]).unwrap_or_default()
        });
        self.text.clear();
        self.text.push_str(valid);
        self.start = from;
    }
}

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
    /// How far from the end of the input `text` starts, which stays the same while the front of the
    /// input is used up.
    ahead: usize,
    /// This input has had a value before: there may be more to come.
    used: bool,
}

impl Window {
    /// Makes sure that `input[from..end]`, a value, can be had as text, if that is worth it: not for
    /// the first value of an input, since to callers that move their bytes after each event every
    /// one is the first. Gives where the value starts in the window.
    #[inline]
    pub(super) fn cover(&mut self, input: &[u8], from: usize, end: usize) -> Option<usize> {
        let at = self.find(input, from, end);
        let used = std::mem::replace(&mut self.used, true);
        if at.is_none() && used && end - from <= SHORT && input.len() - end > end - from {
            self.fill(input, from);
            return self.find(input, from, end);
        }
        at
    }

    /// Where `input[from..end]` starts in the window; None when it is not covered, or not UTF-8.
    #[inline]
    pub(super) fn find(&self, input: &[u8], from: usize, end: usize) -> Option<usize> {
        let at = self.ahead.checked_sub(input.len() - from)?;
        (at + (end - from) <= self.text.len()).then_some(at)
    }

    /// The text that was found at `at`.
    #[inline]
    pub(super) fn text(&self, at: usize, length: usize) -> &str {
        self.text
            .get(at..at.wrapping_add(length))
            .unwrap_or_default()
    }

    /// Forgets everything: the input is another.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ahead = 0;
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
        self.ahead = input.len() - from;
    }
}

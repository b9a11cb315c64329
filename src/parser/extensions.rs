//! The unknown fields of a block.

use std::borrow::Cow;

use crate::buffer;

/// The unknown fields of a block: their text end to end, and where each name and value ends in it.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    text: String,
    ends: Vec<(usize, usize)>,
}

impl Extensions {
    /// What an extension costs to keep beside its text: two ends here, two strings in the event.
    pub(super) const COST: usize = 64;

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// True when more is kept than what is kept for good.
    pub(super) fn push(&mut self, (name, value): (&str, &str), limit: usize) -> bool {
        let mut grown = buffer::append(&mut self.text, name, limit);
        let name_end = self.text.len();
        grown |= buffer::append(&mut self.text, value, limit);
        self.ends.push((name_end, self.text.len()));
        grown || self.ends.len() > buffer::KEEP / Extensions::COST
    }

    /// Names and values, as strings made by `make`.
    #[cold]
    #[inline(never)]
    pub(super) fn to_vec<'a, 'e>(
        &'a self,
        make: impl Fn(&'a str) -> Cow<'e, str>,
    ) -> Vec<(Cow<'e, str>, Cow<'e, str>)> {
        let mut start = 0;
        let pairs = self.ends.iter().map(|&(name_end, end)| {
            let pair = (&self.text[start..name_end], &self.text[name_end..end]);
            start = end;
            (make(pair.0), make(pair.1))
        });
        pairs.collect()
    }

    #[cold]
    #[inline(never)]
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

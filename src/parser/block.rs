//! The block being read: what its lines add up to, and what that costs.

use std::borrow::Cow;
use std::time::Duration;

use super::field::Field;
use super::torn::Torn;
use super::{Parser, Step, text};
use crate::buffer;
use crate::scan::LF;

/// What an extension costs to keep beside its text: two spans inside, two strings in the event.
const EXTENSION_COST: usize = 64;

/// What is known of the block being read, beside the buffers.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// A field was seen: the blank line has something to end.
    pub(super) begun: bool,
    /// The event is out: the next step starts a new block.
    pub(super) complete: bool,
    /// The event was too large: only its `id` and `retry` still count.
    pub(super) oversize: bool,
    pub(super) has_name: bool,
    pub(super) has_id: bool,
    pub(super) has_data: bool,
    /// The only data line so far, while it need not be copied: from here to there in the input.
    pub(super) lent: Option<(usize, usize)>,
    pub(super) retry: Option<Duration>,
    /// What the event costs to keep.
    pub(super) size: usize,
}

/// Where a text lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Input(usize, usize),
    /// So many bytes at the end of the carry.
    Carry(usize),
}

impl Parser {
    #[inline]
    pub(super) fn begin_block(&mut self) {
        if self.grown {
            self.give_back();
        }
        self.block = Block::default();
        self.data.clear();
        self.extensions.clear();
    }

    /// Between two blocks: shrinks the buffers of which the last used little, so that one giant is
    /// not paid for by the rest of the stream, while a stream of giants does not allocate for each.
    #[cold]
    fn give_back(&mut self) {
        // What is left of earlier lines and blocks does not count as used.
        if self.torn != Torn::Kept {
            self.carry.clear();
        }
        if !self.block.has_name {
            self.name.clear();
        }
        if !self.block.has_id || self.block.complete {
            self.id.clear();
        }
        buffer::shrink(&mut self.data);
        buffer::shrink(&mut self.carry);
        for kept in [&mut self.name, &mut self.id, &mut self.last_event_id] {
            if buffer::is_sparse(kept.len(), kept.capacity()) {
                kept.shrink_to_fit();
            }
        }
        self.extensions = Extensions::default();
        let texts = [
            &self.name,
            &self.id,
            &self.last_event_id,
            &self.extensions.text,
        ];
        let largest = texts.into_iter().map(String::capacity).max().unwrap_or(0);
        self.grown = largest.max(self.data.capacity()).max(self.carry.capacity()) > buffer::KEEP;
    }

    /// The blank line: the id takes effect; true when there is an event to give out.
    #[inline]
    pub(super) fn end_block(&mut self) -> bool {
        if self.block.has_id {
            std::mem::swap(&mut self.last_event_id, &mut self.id);
            self.ahead.drop_id();
        }
        if !self.block.has_data {
            self.begin_block();
            return false;
        }
        self.block.complete = true;
        true
    }

    /// Adds to what the event costs; false when it is too large, by this or before.
    #[inline]
    pub(super) fn charge(&mut self, cost: usize) -> bool {
        self.block.size = self.block.size.saturating_add(cost);
        self.block.size <= self.max_event_size && !self.block.oversize
    }

    /// Turns the event into one that is skipped; true when it was not that already, and is to be
    /// told.
    #[cold]
    pub(super) fn give_up(&mut self) -> bool {
        if self.block.oversize {
            return false;
        }
        let Block { has_id, retry, .. } = self.block;
        self.block.has_name = false;
        self.begin_block();
        self.data = Vec::new();
        self.block = Block {
            begun: true,
            oversize: true,
            has_id,
            retry,
            ..Block::default()
        };
        true
    }

    /// A whole data line; its value is `input[from..end]`. False when the event became too large by
    /// it.
    #[inline]
    pub(super) fn data_line(&mut self, input: &[u8], from: usize, end: usize) -> bool {
        self.block.begun = true;
        if !self.charge(end - from + 1) {
            return !self.give_up();
        }
        if self.block.has_data {
            self.append_data_line(input, from, end);
        } else {
            self.block.has_data = true;
            self.block.lent = Some((from, end));
        }
        true
    }

    /// Not the first data line: from here on they are put together in `data`.
    #[inline(never)]
    fn append_data_line(&mut self, input: &[u8], from: usize, end: usize) {
        self.keep_lent(input);
        self.push_data(&input[from..end]);
    }

    /// Copies the data line that still lies in the input, before the input goes.
    #[inline]
    pub(super) fn keep_lent(&mut self, input: &[u8]) {
        if let Some((from, end)) = self.block.lent.take() {
            self.push_data(&input[from..end]);
        }
    }

    #[inline]
    pub(super) fn extend_data(&mut self, bytes: &[u8]) {
        self.grown |= buffer::append(&mut self.data, bytes, self.max_event_size);
    }

    /// Any other whole line; its value ends there in the input, None for the carry. None: go on.
    #[inline(always)]
    pub(super) fn field(&mut self, field: Field<'_>, end: Option<usize>) -> Option<Step> {
        let cost = match field {
            Field::Comment(value) => return Some(self.comment(value, end)),
            Field::Data(value) => value.len() + 1,
            Field::Event(value) | Field::Id(value) | Field::Retry(value) => value.len(),
            Field::Unknown(name, value) => name.len() + value.len() + EXTENSION_COST,
        };
        self.block.begun = true;
        let told = !self.charge(cost) && self.give_up();
        match field {
            // These two take effect even if their event is too large to be given out.
            Field::Id(value) | Field::Retry(value) if value.len() > self.max_event_size => {}
            Field::Id(value) => self.set_id(value),
            Field::Retry(value) => self.set_retry(value),
            _ if self.block.oversize => {}
            Field::Event(value) => self.set_name(value),
            Field::Data(value) => self.push_data(value),
            Field::Unknown(name, value) => self.grown |= self.extensions.push(name, value),
            Field::Comment(_) => {}
        }
        told.then_some(Step::TooLarge)
    }

    fn comment(&mut self, value: &[u8], end: Option<usize>) -> Step {
        if value.len() > self.max_event_size {
            return Step::TooLarge;
        }
        self.comment = match end {
            Some(end) => Place::Input(end - value.len(), end),
            None => Place::Carry(value.len()),
        };
        Step::Comment
    }

    fn set_name(&mut self, value: &[u8]) {
        self.block.has_name = !value.is_empty();
        if self.block.has_name && self.name.as_bytes() != value {
            self.name.clear();
            self.grown |= text::push_decoded(&mut self.name, value);
        }
    }

    fn set_id(&mut self, value: &[u8]) {
        if value.contains(&0) {
            return;
        }
        self.block.has_id = true;
        self.id.clear();
        self.grown |= text::push_decoded(&mut self.id, value);
    }

    fn set_retry(&mut self, value: &[u8]) {
        if let Some(millis) = whole_number(value) {
            self.block.retry = Some(Duration::from_millis(millis));
            self.retry = self.block.retry;
        }
    }

    /// A whole data line, copied.
    fn push_data(&mut self, value: &[u8]) {
        self.block.has_data = true;
        self.extend_data(value);
        self.extend_data(&[LF]);
    }
}

/// The unknown fields of a block: their text end to end, and where each name and value ends.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) text: String,
    pub(super) ends: Vec<(usize, usize)>,
}

impl Extensions {
    /// True when the text has grown past what is kept for good.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) -> bool {
        let mut grown = text::push_decoded(&mut self.text, name);
        let name_end = self.text.len();
        grown |= text::push_decoded(&mut self.text, value);
        self.ends.push((name_end, self.text.len()));
        grown || self.ends.len() > buffer::KEEP / size_of::<(usize, usize)>()
    }

    #[cold]
    pub(super) fn to_vec(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        let mut start = 0;
        let spans = self.ends.iter().map(|&(name_end, end)| {
            let pair = (&self.text[start..name_end], &self.text[name_end..end]);
            start = end;
            (Cow::Borrowed(pair.0), Cow::Borrowed(pair.1))
        });
        spans.collect()
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        if !self.ends.is_empty() {
            self.text.clear();
            self.ends.clear();
        }
    }
}

/// One or more ASCII digits; what does not fit is the largest number.
fn whole_number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |number: u64, &b: &u8| number.saturating_mul(10).saturating_add((b - b'0').into());
    Some(value.iter().fold(0, digit))
}

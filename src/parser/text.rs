//! UTF-8 as the standard decodes it: each maximal subpart of a malformed sequence is one U+FFFD.
//!
//! CR, LF and the colon are never part of a longer sequence, so that cutting the raw bytes into
//! values and decoding each comes to the same as decoding the stream first.

use std::borrow::Cow;

use crate::buffer::KEEP;
use crate::scan::count;

/// The text of a value; allocates only where that is malformed.
#[inline(always)]
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(replace_malformed(bytes)),
    }
}

#[cold]
fn replace_malformed(bytes: &[u8]) -> String {
    let mut text = String::new();
    push_replaced(&mut text, bytes);
    text
}

/// The text of a value, appended; true when the buffer has grown past what is kept for good.
#[inline]
pub(super) fn push_decoded(text: &mut String, bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(valid) => text.push_str(valid),
        Err(_) => push_replaced(text, bytes),
    }
    count::copied(bytes.len());
    text.capacity() > KEEP
}

#[cold]
fn push_replaced(text: &mut String, bytes: &[u8]) {
    const REPLACEMENT: &str = "\u{fffd}";
    // Measured first: a buffer that doubles would be twice the largest size there is.
    let parts = bytes.utf8_chunks().map(|chunk| {
        let malformed = !chunk.invalid().is_empty();
        chunk.valid().len() + if malformed { REPLACEMENT.len() } else { 0 }
    });
    text.reserve_exact(parts.sum());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push_str(REPLACEMENT);
        }
    }
}

//! How buffers grow, and when they are given back.

use crate::scan::count;

/// Buffers up to this capacity are kept for good.
pub(crate) const KEEP: usize = 128 << 10;

/// Appends without growing past `limit` by doubling; true when the buffer has grown past what is
/// kept for good.
#[inline]
pub(crate) fn append(buffer: &mut String, text: &str, limit: usize) -> bool {
    let needed = buffer.len() + text.len();
    if needed > buffer.capacity() {
        grow(buffer, needed, limit);
    }
    buffer.push_str(text);
    count::copied(text.len());
    needed > KEEP
}

#[cold]
fn grow(buffer: &mut String, needed: usize, limit: usize) {
    let target = (2 * buffer.capacity()).max(64).min(limit).max(needed);
    buffer.reserve_exact(target - buffer.len());
}

/// Replaces what the buffer holds; true when it has grown past what is kept for good.
#[inline]
pub(crate) fn replace(buffer: &mut String, text: &str) -> bool {
    buffer.clear();
    buffer.push_str(text);
    count::copied(text.len());
    text.len() > KEEP
}

/// Gives a buffer back if little of it is used, down to half of what is kept for good: there are
/// several.
pub(crate) fn shrink(buffer: &mut String) {
    if buffer.capacity() > KEEP && buffer.len() < buffer.capacity() / 4 {
        buffer.shrink_to(KEEP / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_given_back_when_little_of_it_is_used() {
        let with = |used: usize| {
            let mut buffer = "x".repeat(used);
            buffer.reserve_exact(8 * KEEP - used);
            shrink(&mut buffer);
            assert_eq!(buffer.len(), used);
            buffer.capacity()
        };
        assert!(with(0) <= KEEP / 2);
        assert!(with(KEEP) < 2 * KEEP);
        for used in [2 * KEEP, 4 * KEEP] {
            assert!(with(used) >= 8 * KEEP, "{used}");
        }
    }
}

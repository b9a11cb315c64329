//! Finds the next CR or LF, fast; nothing else.
//!
//! The bytes are looked at in blocks of 64. A block without a break costs one vectorised test; a
//! block with breaks is turned into a bit mask once, and the mask is kept as a cursor, so that the
//! next short line in the same block costs a few instructions instead of a new search.

pub(crate) const CR: u8 = b'\r';
pub(crate) const LF: u8 = b'\n';

const BLOCK: usize = 64;

/// A cursor over the line breaks of one buffer, front to back.
///
/// Every call must be handed the same buffer, shortened at the front only by what
/// [`consume`](Breaks::consume) was told.
#[derive(Debug, Default)]
pub(crate) struct Breaks {
    /// A bit for each break found and not yet returned.
    hits: u64,
    /// The position that bit 0 of `hits` stands for. Positions count from the start of the first
    /// buffer.
    base: usize,
    /// The position of the first byte not yet looked at.
    ahead: usize,
    /// The position at which the buffer starts now.
    origin: usize,
}

impl Breaks {
    /// The offset of the next CR or LF; None when the rest of `bytes` holds none.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        let at = self.peek(bytes)?;
        self.hits &= self.hits - 1;
        Some(at)
    }

    /// The same, without moving past it.
    #[inline]
    pub(crate) fn peek(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.hits == 0 && !self.search(bytes) {
            return None;
        }
        let position = self.base + self.hits.trailing_zeros() as usize;
        Some(position - self.origin)
    }

    /// Tells the cursor that the first `count` bytes are gone from the buffer.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        self.origin += count;
    }

    /// Goes on to the next block with a break in it; false at the end of `bytes`.
    #[inline]
    fn search(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes.get(self.ahead - self.origin..).unwrap_or_default();
        count::scanned(rest.len());
        while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
            self.base = self.ahead;
            self.ahead += BLOCK;
            if has_break(block) {
                self.hits = mask(block);
                count::not_scanned(after.len());
                return true;
            }
            rest = after;
        }
        self.search_tail(bytes, rest)
    }

    /// The last, partial block.
    fn search_tail(&mut self, bytes: &[u8], rest: &[u8]) -> bool {
        let end = self.ahead + rest.len();
        self.ahead = end;
        if let (Some(block), false) = (bytes.last_chunk::<BLOCK>(), rest.is_empty()) {
            // The last whole block overlaps what was searched already: those bits go.
            self.base = end - BLOCK;
            self.hits = mask(block) & (u64::MAX << (BLOCK - rest.len()));
        } else {
            self.base = end - rest.len();
            self.hits = if rest.len() < 16 {
                rest.iter()
                    .rev()
                    .fold(0, |hits, &b| hits << 1 | u64::from(is_break(b)))
            } else {
                let mut block = [0; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                mask(&block)
            };
        }
        self.hits != 0
    }
}

/// The offset of the first CR or LF.
pub(crate) fn find(bytes: &[u8]) -> Option<usize> {
    Breaks::default().next(bytes)
}

#[inline]
fn is_break(byte: u8) -> bool {
    (byte == LF) | (byte == CR)
}

/// Whether a block holds a break: `u8 |=` is what the compiler turns into vector code, `bool |=` is not.
#[inline]
fn has_break(block: &[u8; BLOCK]) -> bool {
    let mut any = 0;
    for &byte in block {
        any |= u8::from(is_break(byte));
    }
    any != 0
}

/// One bit per byte of the block, bit 0 for the first, set where the byte is a break.
#[inline]
fn mask(block: &[u8; BLOCK]) -> u64 {
    let mut flags = [0u8; BLOCK];
    for (flag, &byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(is_break(byte));
    }
    let mut mask = 0;
    for (eight, lane) in flags.chunks_exact(8).zip(0u32..) {
        // Eight bytes of 0 or 1 become eight bits: the product gathers them in its top byte.
        let lanes = u64::from_le_bytes(eight.try_into().unwrap_or_default());
        mask |= (lanes.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * lane);
    }
    mask
}

/// Counts the bytes looked at and copied, for the tests that prove linear time.
pub(crate) mod count {
    #[cfg(test)]
    use std::cell::Cell;

    #[cfg(test)]
    thread_local! {
        static SCANNED: Cell<usize> = const { Cell::new(0) };
        static COPIED: Cell<usize> = const { Cell::new(0) };
    }

    #[inline]
    pub(crate) fn scanned(_bytes: usize) {
        #[cfg(test)]
        SCANNED.set(SCANNED.get() + _bytes);
    }

    #[inline]
    pub(crate) fn not_scanned(_bytes: usize) {
        #[cfg(test)]
        SCANNED.set(SCANNED.get() - _bytes);
    }

    #[inline]
    pub(crate) fn copied(_bytes: usize) {
        #[cfg(test)]
        COPIED.set(COPIED.get() + _bytes);
    }

    /// The bytes scanned and copied on this thread since the last call.
    #[cfg(test)]
    pub(crate) fn take() -> (usize, usize) {
        (SCANNED.take(), COPIED.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<usize> {
        let mut breaks = Breaks::default();
        std::iter::from_fn(|| breaks.next(bytes)).collect()
    }

    fn expected(bytes: &[u8]) -> Vec<usize> {
        (0..bytes.len()).filter(|&at| is_break(bytes[at])).collect()
    }

    #[test]
    fn a_break_is_found_at_every_offset_of_every_length() {
        for length in 0..200 {
            for at in 0..length {
                for byte in [CR, LF] {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    assert_eq!(all(&bytes), [at], "length {length}");
                    assert_eq!(find(&bytes), Some(at), "length {length}");
                }
            }
            assert_eq!(find(&vec![b'x'; length]), None, "length {length}");
        }
    }

    #[test]
    fn no_other_byte_is_a_break() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(all(&bytes), [usize::from(LF), usize::from(CR)]);
    }

    #[test]
    fn every_break_of_a_dense_text_is_found_once() {
        let mut seed = 1u32;
        for length in 0..300 {
            let mut bytes = vec![0; length];
            for byte in &mut bytes {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = b"\r\nx:"[(seed >> 30) as usize];
            }
            assert_eq!(all(&bytes), expected(&bytes), "{bytes:?}");
        }
    }

    #[test]
    fn consuming_the_front_moves_the_offsets() {
        let bytes = b"ab\ncd\r\nef".repeat(40);
        for step in [1, 7, 63, 64, 65] {
            let mut breaks = Breaks::default();
            let mut found = Vec::new();
            let mut gone = 0;
            while let Some(at) = breaks.next(&bytes[gone..]) {
                found.push(gone + at);
                let count = step.min(at + 1);
                breaks.consume(count);
                gone += count;
            }
            assert_eq!(found, expected(&bytes), "step {step}");
        }
    }
}

//! Finds the next CR or LF, fast; nothing else.
//!
//! The bytes are looked at in blocks of 64. A block without a break costs one vectorised test; a
//! block with breaks is turned into a bit mask once, and the mask is kept as a cursor, so that the
//! next short line in the same block costs a few instructions instead of a new search.
//!
//! The loops are written so that the compiler turns them into vector code, which it does for loops
//! over sixteen lanes without a way out in between.

pub(crate) const CR: u8 = b'\r';
pub(crate) const LF: u8 = b'\n';

const BLOCK: usize = 64;

/// A cursor over the line breaks of one buffer, front to back.
///
/// Between two calls the buffer may lose bytes at the front that the cursor has passed: positions
/// are kept as distances from its end.
#[derive(Debug, Default)]
pub(crate) struct Breaks {
    /// A bit for each break found and not yet returned.
    hits: u64,
    /// How far from the end the byte lies that bit 0 of `hits` stands for.
    base: usize,
    /// How many bytes at the end have not been looked at yet.
    ahead: usize,
}

impl Breaks {
    /// A cursor at the start of a buffer.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Breaks {
            hits: 0,
            base: 0,
            ahead: bytes.len(),
        }
    }

    /// The offset of the next CR or LF; None when the rest of `bytes` holds none.
    #[inline]
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        let at = self.peek(bytes)?;
        self.pass();
        Some(at)
    }

    /// Moves past the break that [`peek`](Breaks::peek) has found.
    #[inline]
    pub(crate) fn pass(&mut self) {
        self.hits &= self.hits.wrapping_sub(1);
    }

    /// The offset of the next break, without moving past it.
    #[inline]
    pub(crate) fn peek(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.hits == 0 && !self.search(bytes) {
            return None;
        }
        Some(bytes.len() + self.hits.trailing_zeros() as usize - self.base)
    }

    /// Goes on to the next block with a break in it; false at the end of `bytes`.
    #[inline]
    fn search(&mut self, bytes: &[u8]) -> bool {
        let mut rest = &bytes[bytes.len() - self.ahead..];
        count::scanned(rest.len());
        while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
            if may_break(block) {
                self.hits = mask(block);
                if self.hits != 0 {
                    self.base = rest.len();
                    self.ahead = after.len();
                    count::not_scanned(after.len());
                    return true;
                }
            }
            rest = after;
        }
        self.search_tail(bytes, rest)
    }

    /// The last, partial block.
    fn search_tail(&mut self, bytes: &[u8], rest: &[u8]) -> bool {
        self.ahead = 0;
        if let (Some(block), false) = (bytes.last_chunk::<BLOCK>(), rest.is_empty()) {
            // The last whole block overlaps what was searched already: those bits go.
            self.base = BLOCK;
            self.hits = mask(block) & (u64::MAX << (BLOCK - rest.len()));
        } else {
            self.base = rest.len();
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
    Breaks::of(bytes).next(bytes)
}

#[inline]
fn is_break(byte: u8) -> bool {
    (byte == LF) | (byte == CR)
}

/// Whether a block may hold a break: whether the least byte of some column, the block being four
/// rows of sixteen, is no greater than a CR. Of what else that lets through, text holds only tabs.
#[inline]
fn may_break(block: &[u8; BLOCK]) -> bool {
    let mut any = 0;
    for i in 0..16 {
        let least = block[i]
            .min(block[i + 16])
            .min(block[i + 32].min(block[i + 48]));
        any |= u8::from(least <= CR);
    }
    any != 0
}

/// One bit per byte of the block, bit 0 for the first, set where the byte is a break.
#[inline]
fn mask(block: &[u8; BLOCK]) -> u64 {
    // The block as eight rows of eight: byte `c` of the matrix gets a bit for each row, set where
    // the byte in column `c` of that row is a break. The rows are taken in pairs.
    let mut pairs = [0u8; 16];
    for (i, pair) in pairs.iter_mut().enumerate() {
        let flag = |at: usize| u8::from(is_break(block[at]));
        *pair = flag(i) | flag(i + 16) << 2 | flag(i + 32) << 4 | flag(i + 48) << 6;
    }
    let pairs = u128::from_le_bytes(pairs);
    let (upper, lower) = ((pairs << 64 >> 64) as u64, (pairs >> 64) as u64);
    transpose(upper | lower << 1)
}

/// Turns a matrix of eight by eight bits, a row in each byte, on its diagonal: first within squares
/// of two by two, then these within squares of four by four, then those.
#[inline]
fn transpose(mut rows: u64) -> u64 {
    for (distance, upper) in [
        (7, 0x00aa_00aa_00aa_00aa),
        (14, 0x0000_cccc_0000_cccc),
        (28, 0x0000_0000_f0f0_f0f0),
    ] {
        let differing = (rows ^ rows >> distance) & upper;
        rows ^= differing ^ differing << distance;
    }
    rows
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
        let mut breaks = Breaks::of(bytes);
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
        for byte in bytes.into_iter().filter(|&byte| !is_break(byte)) {
            assert_eq!(find(&[byte; 200]), None, "{byte}");
        }
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
            let mut breaks = Breaks::of(&bytes);
            let mut found = Vec::new();
            let mut gone = 0;
            while let Some(at) = breaks.next(&bytes[gone..]) {
                found.push(gone + at);
                gone += step.min(at + 1);
            }
            assert_eq!(found, expected(&bytes), "step {step}");
        }
    }
}

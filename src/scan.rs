//! Finds CR and LF, fast: the next one, all of them, and whether there is any.
//!
//! The bytes are looked at in blocks of 64. A block without a break costs one vectorised test; a
//! block with breaks is turned into a bit mask once, and the mask is kept as a cursor, so that the
//! next short line in the same block costs a few instructions instead of a new search.
//!
//! The loops are written so that the compiler turns them into vector code, which it does for loops
//! over sixteen lanes without a way out in between.

pub(crate) const CR: u8 = b'\r';
pub(crate) const LF: u8 = b'\n';

/// As many bytes as a word of marks has bits.
pub(crate) const BLOCK: usize = 64;

/// A one in each byte of a word.
pub(crate) const EACH: u64 = u64::MAX / 0xff;

/// A cursor over the line breaks of one buffer, front to back.
///
/// Between two calls the buffer may lose bytes at the front that the cursor has passed: positions
/// are kept as distances from its end.
#[derive(Debug, Default)]
pub(crate) struct Breaks {
    /// A bit for each break found and not yet returned.
    hits: u64,
    /// How far from the end the byte lies that bit 0 of `hits` stands for. What lies behind those 64
    /// bytes has not been looked at yet.
    base: usize,
}

impl Breaks {
    /// A cursor at the start of a buffer.
    #[inline]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Breaks {
            hits: 0,
            base: bytes.len() + BLOCK,
        }
    }

    /// The offset of the next CR or LF; None when the rest of `bytes` holds none.
    #[inline(always)]
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.hits == 0 {
            (self.hits, self.base) = search(bytes, self.base.saturating_sub(BLOCK));
            if self.hits == 0 {
                return None;
            }
        }
        let at = bytes.len() + self.hits.trailing_zeros() as usize - self.base;
        self.hits &= self.hits - 1;
        Some(at)
    }
}

/// The first breaks among the last `ahead` bytes, as [`Breaks`] keeps them.
#[inline(never)]
fn search(bytes: &[u8], ahead: usize) -> (u64, usize) {
    let mut rest = &bytes[bytes.len() - ahead..];
    count::scanned(rest.len());
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
        if may_break(block) {
            let hits = mask(block);
            if hits != 0 {
                count::not_scanned(after.len());
                return (hits, rest.len());
            }
        }
        rest = after;
    }
    (rest_hits(bytes, rest), rest.len())
}

/// All line breaks of a text.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    blocks: Vec<Marked>,
    /// How many blocks hold breaks. There is room for more, which is filled once.
    len: usize,
    /// Most blocks of the last text that was long enough to tell held a break.
    dense: bool,
    /// No block of that text did.
    none: bool,
}

/// A block that holds breaks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marked {
    /// A bit for each byte, set where it is a break.
    pub(crate) hits: u64,
    /// Where in the text the block begins.
    pub(crate) base: usize,
}

impl Marks {
    /// So many blocks tell whether breaks are dense.
    const TELLING: usize = 16;

    /// Marks the breaks of a text that begins at `base` of another one.
    #[inline(always)]
    pub(crate) fn set(&mut self, text: &[u8], base: usize) {
        count::scanned(text.len());
        self.len = 0;
        let blocks = text.len().div_ceil(BLOCK);
        if blocks > self.blocks.len() {
            self.blocks.resize(blocks, Marked::default());
        }
        if blocks > 1 {
            self.set_blocks(text, base);
            return;
        }
        // As for most inputs of one event.
        let hits = match text.first_chunk() {
            Some(block) => mask(block),
            None => short_hits(text),
        };
        self.add(hits, base);
    }

    #[inline(never)]
    fn set_blocks(&mut self, text: &[u8], mut base: usize) {
        let blocks = text.chunks_exact(BLOCK);
        let rest = blocks.remainder();
        for block in blocks {
            let block = block.first_chunk().expect("the chunks are exact");
            // Where breaks are dense, a block is not tested first.
            if self.dense || may_break(block) {
                self.add(mask(block), base);
            }
            base += BLOCK;
        }
        if !rest.is_empty() {
            self.add(rest_hits(text, rest), base);
        }
        let blocks = text.len() / BLOCK;
        if blocks >= Marks::TELLING {
            self.dense = 3 * self.len > blocks;
            self.none = self.len == 0;
        }
    }

    /// Adds a block, if it holds breaks: without a branch, because nobody could tell where it goes.
    #[inline(always)]
    fn add(&mut self, hits: u64, base: usize) {
        if let Some(block) = self.blocks.get_mut(self.len) {
            *block = Marked { hits, base };
        }
        self.len += usize::from(hits != 0);
    }

    /// Whether a text need not be marked, since it holds no break; true is certain. Asks only where that
    /// is likely: where the last long text held none.
    #[inline(always)]
    pub(crate) fn can_skip(&self, text: &[u8]) -> bool {
        self.none && !may_hold_break(text)
    }

    /// The blocks that hold breaks, front to back.
    #[inline(always)]
    pub(crate) fn blocks(&self) -> &[Marked] {
        &self.blocks[..self.len]
    }
}

/// The breaks among the last bytes of a text, which are fewer than a block.
#[inline(always)]
fn rest_hits(text: &[u8], rest: &[u8]) -> u64 {
    match text.last_chunk() {
        _ if rest.is_empty() => 0,
        // The last whole block overlaps what comes before: those bits go.
        Some(block) => mask(block) >> (BLOCK - rest.len()),
        None => short_hits(rest),
    }
}

/// The breaks of fewer bytes than a block, eight at a time.
#[inline(always)]
fn short_hits(bytes: &[u8]) -> u64 {
    let Some(last) = bytes.last_chunk() else {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        return word_hits(&padded);
    };
    // The last word may overlap the one before.
    let before = bytes.len() - last.len();
    let mut hits = word_hits(last) << before;
    for (number, word) in bytes[..before + 7].chunks_exact(8).enumerate() {
        hits |= word_hits(word.first_chunk().expect("the chunks are exact")) << (8 * number);
    }
    hits
}

/// The breaks of eight bytes.
#[inline(always)]
fn word_hits(word: &[u8; 8]) -> u64 {
    let word = u64::from_le_bytes(*word);
    // The highest bit of each byte: whether the byte is another one.
    let differs = |byte: u8| {
        let bits = word ^ (EACH * u64::from(byte));
        ((bits & (EACH * 0x7f)) + EACH * 0x7f) | bits
    };
    let hits = !(differs(LF) & differs(CR)) >> 7 & EACH;
    hits.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// The offset of the first CR or LF.
pub(crate) fn find(bytes: &[u8]) -> Option<usize> {
    Breaks::of(bytes).next(bytes)
}

/// Whether a text may hold a break or a NUL; false is certain. True is also for the other control
/// characters up to CR, of which text holds only tabs.
///
/// To ask this first is cheaper than to look for where the break is, which is seldom there.
#[inline]
pub(crate) fn may_hold_break(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<BLOCK>() else {
        return match text.last_chunk() {
            Some(last) => {
                text.chunks_exact(8)
                    .any(|word| word.first_chunk().is_some_and(any_low))
                    || any_low(last)
            }
            None => text.iter().any(|&byte| byte <= CR),
        };
    };
    // A kibibyte at a time, so that a break at the beginning of a long text does not cost a pass.
    text.chunks(1 << 10).any(|piece| {
        count::scanned(piece.len());
        let mut rest = piece;
        let mut least = [u8::MAX; 16];
        while let Some((block, after)) = rest.split_first_chunk() {
            least = least_of(block, least);
            rest = after;
        }
        least_of(last, least)
            .iter()
            .fold(false, |any, &least| any | (least <= CR))
    })
}

/// Whether one of eight bytes is no greater than a CR: whether it borrows when one more than that is
/// taken away, without having had the highest bit itself.
#[inline(always)]
fn any_low(word: &[u8; 8]) -> bool {
    let word = u64::from_le_bytes(*word);
    word.wrapping_sub(EACH * (CR as u64 + 1)) & !word & (EACH * 0x80) != 0
}

#[inline]
fn is_break(byte: u8) -> bool {
    (byte == LF) | (byte == CR)
}

/// Whether a block may hold a break: whether its least byte is no greater than a CR. See
/// [`may_hold_break`].
#[inline(always)]
fn may_break(block: &[u8; BLOCK]) -> bool {
    least_of(block, [u8::MAX; 16])
        .iter()
        .fold(false, |any, &least| any | (least <= CR))
}

/// The least byte of each column, the block being four rows of sixteen, and what was the least before.
#[inline(always)]
fn least_of(block: &[u8; BLOCK], mut least: [u8; 16]) -> [u8; 16] {
    for (i, least) in least.iter_mut().enumerate() {
        let rows = block[i]
            .min(block[i + 16])
            .min(block[i + 32].min(block[i + 48]));
        *least = rows.min(*least);
    }
    least
}

/// One bit per byte of the block, bit 0 for the first, set where the byte is a break.
#[inline(always)]
fn mask(block: &[u8; BLOCK]) -> u64 {
    // The block as eight rows of eight: byte `c` of the matrix gets a bit for each row, set where
    // the byte in column `c` of that row is one of those. The rows are taken in pairs.
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

    /// The next of a row of numbers that look random; the upper bits are good ones.
    fn advance(seed: &mut u32) {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
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
                advance(&mut seed);
                *byte = b"\r\nx:"[(seed >> 30) as usize];
            }
            assert_eq!(all(&bytes), expected(&bytes), "{bytes:?}");
        }
    }

    #[test]
    fn all_breaks_of_a_text_are_marked() {
        let mut seed = 3u32;
        let mut marks = Marks::default();
        for letters in [&b"\r\nxx"[..], b"\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"] {
            for length in (0..300).chain([4096, 5000, 3000]) {
                let mut bytes = vec![0; length];
                for byte in &mut bytes {
                    advance(&mut seed);
                    *byte = letters[(seed >> 27) as usize % letters.len()];
                }
                marks.set(&bytes, 7);
                let found = marks.blocks().iter().flat_map(|&Marked { hits, base }| {
                    let bits = (0..BLOCK).filter(move |bit| hits >> bit & 1 == 1);
                    bits.map(move |bit| base + bit - 7)
                });
                assert!(found.eq(expected(&bytes)), "{length} bytes");
            }
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

    #[test]
    fn a_text_without_control_characters_holds_no_break() {
        for length in 0..200 {
            for filler in [b'x', b' ', 0x0e, 0x7f, 0x80, 0x8d, 0x8e, 0xff] {
                let mut bytes = vec![filler; length];
                assert!(!may_hold_break(&bytes), "{length} of {filler}");
                for at in 0..length {
                    for byte in [CR, LF, 0] {
                        bytes[at] = byte;
                        assert!(may_hold_break(&bytes), "{byte} at {at} of {length}");
                    }
                    bytes[at] = filler;
                }
            }
        }
        for at in (0..5000).step_by(13) {
            let mut bytes = vec![b'x'; 5000];
            bytes[at] = LF;
            assert!(may_hold_break(&bytes), "{at}");
        }
    }
}

//! UTF-8 as the standard decodes it: each maximal subpart of a malformed sequence is one U+FFFD.
//!
//! Bytes become text in pieces that need no copy. A piece is either the valid beginning of the input,
//! where it lies, so that places in the piece are places in the input; or it is one character that
//! the input does not hold as such: U+FFFD, or a character whose bytes came with several inputs.

/// Decodes the bytes of a stream, and keeps the partial character that the input ends with.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    bytes: [u8; 4],
    len: usize,
    /// How many valid bytes must come before an input is expected to be valid as a whole.
    wary: usize,
}

const REPLACEMENT: &str = "\u{fffd}";

impl Decoder {
    /// Whether some bytes of a partial character are kept.
    #[inline(always)]
    pub(super) fn has_partial(&self) -> bool {
        self.len > 0
    }

    /// The part of the input that is expected to be valid. Nothing is expected for some time after
    /// malformed bytes, so that wrong guesses cost less than what was decoded in between.
    #[inline(always)]
    pub(super) fn expected_text<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        match self.wary {
            0 => whole_characters(input),
            _ => &[],
        }
    }

    /// Forgets the partial character.
    pub(super) fn reset(&mut self) {
        self.len = 0;
    }

    /// The next piece of text, and how many bytes of the input it takes. It is empty when the input
    /// is nothing but a partial character. `character` is room for one that is completed.
    #[inline(always)]
    pub(super) fn decode<'a>(
        &mut self,
        input: &'a [u8],
        character: &'a mut [u8; 4],
    ) -> (&'a str, usize) {
        if self.len > 0 {
            return self.complete(input, character);
        }
        let whole = whole_characters(input);
        match std::str::from_utf8(whole) {
            Ok(text) if !text.is_empty() => {
                self.wary = self.wary.saturating_sub(text.len());
                (text, text.len())
            }
            Ok(_) => self.begin(input),
            Err(error) => match whole.split_at(error.valid_up_to()) {
                // Without a length, the malformed sequence goes on to where another character begins.
                ([], rest) => self.malformed(error.error_len().unwrap_or(rest.len())),
                (valid, _) => {
                    let text = std::str::from_utf8(valid).expect("it was found valid");
                    (text, text.len())
                }
            },
        }
    }

    #[cold]
    fn malformed(&mut self, taken: usize) -> (&'static str, usize) {
        const WARY: usize = 8 << 10;
        (self.len, self.wary) = (0, WARY);
        (REPLACEMENT, taken)
    }

    /// Keeps the input, which is a partial character, or malformed as far as it goes.
    #[cold]
    fn begin(&mut self, input: &[u8]) -> (&'static str, usize) {
        let error = std::str::from_utf8(input).expect_err("a partial character is none");
        if let Some(malformed) = error.error_len() {
            return self.malformed(malformed);
        }
        self.bytes[..input.len()].copy_from_slice(input);
        self.len = input.len();
        ("", input.len())
    }

    /// Completes the partial character, or finds that it is malformed.
    #[cold]
    fn complete<'a>(&mut self, input: &[u8], character: &'a mut [u8; 4]) -> (&'a str, usize) {
        let more = input.len().min(self.bytes.len() - self.len);
        let end = self.len + more;
        self.bytes[self.len..end].copy_from_slice(&input[..more]);
        *character = self.bytes;
        let length = match std::str::from_utf8(&character[..end]) {
            Err(error) if error.valid_up_to() == 0 => match error.error_len() {
                // A character may begin behind those bytes.
                Some(malformed) => return self.malformed(malformed - self.len),
                None => {
                    self.len = end;
                    return ("", more);
                }
            },
            _ => character_length(character[0]),
        };
        let text = std::str::from_utf8(&character[..length]).expect("it was found valid");
        (text, length - std::mem::take(&mut self.len))
    }
}

/// The input without the partial character that it may end with.
#[inline]
fn whole_characters(input: &[u8]) -> &[u8] {
    for (behind, &byte) in (1..=3).zip(input.iter().rev()) {
        match byte {
            0..0x80 => return input,
            0x80..0xc0 => continue,
            _ => {}
        }
        return match behind < character_length(byte) {
            true => &input[..input.len() - behind],
            false => input,
        };
    }
    input
}

/// How long a character is that begins with this byte.
#[inline(always)]
fn character_length(first: u8) -> usize {
    match first {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

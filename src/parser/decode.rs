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
}

const REPLACEMENT: &str = "\u{fffd}";

impl Decoder {
    /// Whether some bytes of a partial character are kept.
    #[inline(always)]
    pub(super) fn has_partial(&self) -> bool {
        self.len > 0
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
        let whole = &input[..whole_characters(input)];
        match std::str::from_utf8(whole) {
            Ok(text) if !text.is_empty() => (text, text.len()),
            Ok(_) => self.begin(input),
            Err(error) => match whole.split_at(error.valid_up_to()) {
                // Without a length, the malformed sequence goes on to where another character begins.
                ([], rest) => (REPLACEMENT, error.error_len().unwrap_or(rest.len())),
                (valid, _) => {
                    let text = std::str::from_utf8(valid).expect("it was found valid");
                    (text, text.len())
                }
            },
        }
    }

    /// Keeps the input, which is a partial character, or malformed as far as it goes.
    #[cold]
    fn begin(&mut self, input: &[u8]) -> (&'static str, usize) {
        let error = std::str::from_utf8(input).expect_err("a partial character is none");
        if let Some(malformed) = error.error_len() {
            return (REPLACEMENT, malformed);
        }
        self.bytes[..input.len()].copy_from_slice(input);
        self.len = input.len();
        ("", input.len())
    }

    /// Completes the partial character, or finds that it is malformed.
    #[cold]
    fn complete<'a>(&mut self, input: &[u8], character: &'a mut [u8; 4]) -> (&'a str, usize) {
        for (taken, &byte) in input.iter().enumerate() {
            self.bytes[self.len] = byte;
            let error = std::str::from_utf8(&self.bytes[..=self.len]).err();
            match error.map(|error| error.error_len()) {
                Some(None) => self.len += 1,
                Some(Some(_)) => {
                    // Up to that byte, which may begin a character.
                    self.len = 0;
                    return (REPLACEMENT, taken);
                }
                None => {
                    *character = self.bytes;
                    let bytes = &character[..=std::mem::take(&mut self.len)];
                    let text = std::str::from_utf8(bytes).expect("it was found valid");
                    return (text, taken + 1);
                }
            }
        }
        ("", input.len())
    }
}

/// How long the input is without the partial character that it may end with.
#[inline]
fn whole_characters(input: &[u8]) -> usize {
    for (behind, &byte) in (1..=3).zip(input.iter().rev()) {
        let length = match byte {
            0..0x80 => return input.len(),
            0x80..0xc0 => continue,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
        };
        return input.len() - if behind < length { behind } else { 0 };
    }
    input.len()
}

//! Lines: where they end in a text, and which field their beginning names.

use crate::scan::{self, BLOCK, CR, EACH, LF, Marked};

/// Where a walk over the lines of a text has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    /// The start of the next line.
    pub(super) at: usize,
    /// The breaks still to come in a block.
    hits: u64,
    /// Which byte of the text bit 0 of `hits` stands for.
    base: usize,
    /// The number of the next block that holds breaks.
    next: usize,
}

impl Cursor {
    /// The next line break.
    #[inline(always)]
    pub(super) fn next_break(&mut self, marks: &[Marked]) -> Option<usize> {
        self.look_ahead(marks)?;
        let bit = self.hits.trailing_zeros() as usize;
        self.hits &= self.hits - 1;
        Some(self.base + bit)
    }

    /// Has hits, unless there are none to come.
    #[inline(always)]
    fn look_ahead(&mut self, marks: &[Marked]) -> Option<()> {
        if self.hits == 0 {
            let block = marks.get(self.next)?;
            (self.hits, self.base) = (block.hits, block.base);
            self.next += 1;
        }
        Some(())
    }

    /// Passes over lines that are blank or comments.
    #[inline(never)]
    pub(super) fn behind_idle(self, marks: &[Marked], text: &[u8]) -> Self {
        let mut here = self;
        while text.get(here.at).is_some_and(|&first| is_idle(first)) {
            if here.look_ahead(marks).is_none() {
                break;
            }
            // Where breaks follow each other, all of them are passed: the carry runs through them.
            let behind = here.hits.wrapping_add(here.hits & here.hits.wrapping_neg());
            here.hits &= behind;
            here.at = here.base + behind.trailing_zeros() as usize;
        }
        here
    }

    /// Passes the break at `end`, which is the next one; it may be a CRLF.
    #[inline(always)]
    pub(super) fn pass_break(&mut self, marks: &[Marked], text: &[u8], end: usize) {
        self.at = end + 1;
        if text.get(end) == Some(&CR) && text.get(end + 1) == Some(&LF) {
            self.next_break(marks);
            self.at = end + 2;
        }
    }
}

/// The first bytes of a line, NUL where the text ends before: enough to tell its field. A number, so
/// that it stays in a register.
#[derive(Clone, Copy)]
pub(super) struct Head(u64);

impl Head {
    /// The head of the line at the start of this text.
    #[inline(always)]
    pub(super) fn of(text: &[u8]) -> Self {
        Head(match text.first_chunk() {
            Some(head) => u64::from_le_bytes(*head),
            None => Head::short(text),
        })
    }

    #[cold]
    fn short(text: &[u8]) -> u64 {
        let mut head = [0; 8];
        head[..text.len()].copy_from_slice(text);
        u64::from_le_bytes(head)
    }

    #[inline(always)]
    fn starts_with<const N: usize>(self, name: &[u8; N]) -> bool {
        let mut expected = [0; 8];
        expected[..N].copy_from_slice(name);
        self.0 << (64 - 8 * N) == u64::from_le_bytes(expected) << (64 - 8 * N)
    }

    #[inline(always)]
    fn byte(self, at: usize) -> u8 {
        self.0.to_le_bytes()[at]
    }
}

/// The field that a line sets, and how much of the line comes before its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Data(usize),
    Comment(usize),
    Event(usize),
    Id(usize),
    Retry(usize),
    /// The line has to be split at its colon.
    Unknown,
}

impl Field {
    /// The longest that comes before a value of a known field: `retry: `.
    pub(super) const LONGEST: usize = 7;

    /// The shortest beginning that is known to be of a data line, and where its value starts.
    pub(super) const DATA: usize = "data: ".len();

    /// The names are tried one after the other, which takes one comparison each: to find the colon
    /// first would take longer.
    #[inline(always)]
    pub(super) fn of(head: Head) -> Self {
        if let Some(skipped) = before_value(b"data", head) {
            Field::Data(skipped)
        } else if head.byte(0) == COMMENT {
            Field::Comment(1 + usize::from(head.byte(1) == b' '))
        } else if let Some(skipped) = before_value(b"event", head) {
            Field::Event(skipped)
        } else if let Some(skipped) = before_value(b"id", head) {
            Field::Id(skipped)
        } else if let Some(skipped) = before_value(b"retry", head) {
            Field::Retry(skipped)
        } else {
            Field::Unknown
        }
    }
}

/// How much comes before the value, if the line has this very name: the name, a colon and one space.
/// A line without a colon is a name with an empty value.
#[inline(always)]
fn before_value<const N: usize>(name: &[u8; N], head: Head) -> Option<usize> {
    if !head.starts_with(name) {
        return None;
    }
    let behind = [head.byte(N), head.byte(N + 1)];
    // Compared as one number.
    if u16::from_le_bytes(behind) == u16::from_le_bytes(*b": ") {
        return Some(N + 2);
    }
    match behind[0] {
        b':' => Some(N + 1),
        CR | LF => Some(N),
        _ => None,
    }
}

/// What a comment begins with.
const COMMENT: u8 = b':';

/// Whether a line that begins with this byte is blank or a comment: between two blocks, such a line
/// means nothing.
#[inline(always)]
fn is_idle(first: u8) -> bool {
    matches!(first, COMMENT | CR | LF)
}

/// Whether this is a comment, with blank lines behind it or without, as a heartbeat is; false is always
/// right.
#[inline(always)]
pub(super) fn is_heartbeat(lines: &[u8]) -> bool {
    if lines.first() != Some(&COMMENT) || lines.len() > BLOCK {
        return false;
    }
    let mut comment = lines;
    while let [before @ .., CR | LF] = comment {
        comment = before;
    }
    comment.len() < lines.len() && !scan::may_hold_break(comment)
}

/// Whether so many bytes from there on hold a NUL. Those of most ids fit into a head, which takes one
/// step.
#[inline(always)]
pub(super) fn holds_nul(text: &[u8], from: usize, length: usize) -> bool {
    match length {
        0..8 => {
            // The bytes behind get their lowest bit set: they are none.
            let Head(head) = Head::of(&text[from..]);
            let head = head | EACH << (8 * length);
            head.wrapping_sub(EACH) & !head & (EACH * 0x80) != 0
        }
        _ => holds_nul_anywhere(&text[from..from + length]),
    }
}

/// Not inlined, so that the walk keeps its registers.
#[inline(never)]
fn holds_nul_anywhere(text: &[u8]) -> bool {
    text.contains(&0)
}

/// Name and value of a line with an unknown field.
pub(super) fn split(line: &str) -> (&str, &str) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name, value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_counts_from_the_first_byte_to_the_last() {
        for length in 0..20 {
            for filler in [1, b'x', 0x80, 0xff] {
                // What lies around is NUL.
                let mut text = [0; 40];
                for behind in [0, 4, 15] {
                    let text = &mut text[..5 + length + behind];
                    text[5..5 + length].fill(filler);
                    assert!(!holds_nul(text, 5, length), "{length} of {filler}");
                    for at in 5..5 + length {
                        text[at] = 0;
                        assert!(holds_nul(text, 5, length), "at {at} of {length}");
                        text[at] = filler;
                    }
                }
            }
        }
    }

    #[test]
    fn a_heartbeat_is_one_comment_and_the_blank_lines_behind_it() {
        for lines in [
            ":\n",
            ": ping\n\n",
            ":\r",
            ": ping\r\n\r\n",
            ":\u{7f}é\n\r\n\r",
        ] {
            assert!(is_heartbeat(lines.as_bytes()), "{lines:?}");
        }
        let long = format!(":{}\n", "x".repeat(BLOCK));
        for lines in [
            "",
            "\n",
            ":",
            ": ping",
            ":a\n:b\n",
            ":a\ndata: x\n",
            "x\n",
            &long,
        ] {
            assert!(!is_heartbeat(lines.as_bytes()), "{lines:?}");
        }
    }
}

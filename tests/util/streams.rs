//! What random streams are made of.

use super::Rng;

/// Whole lines and blocks, so that random streams hold events.
pub const LINES: &[&[u8]] = &[
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\r\r",
    b"\r\n\r\n",
    b"data: a\n",
    b"data:b\r",
    b"data\n",
    b"data:\r\n",
    b"data: 12345678\n\n",
    b"data: c\r\n\r\n",
    b"data: d\r\r",
    b"event: n\n",
    b"event: message\r\n",
    b"event\n",
    b"id: 1\n",
    b"id: 234\r",
    b"id\n",
    b"id: \0\n",
    b"retry: 7\n",
    b"retry: 0015\r\n",
    b"retry: +7\n",
    b"x: y\n",
    b": c\n",
    b":\r",
];

/// What lines are made of, whole or not.
pub const PIECES: &[&[u8]] = &[
    b"data",
    b"event",
    b"id",
    b"retry",
    b":",
    b": ",
    b" ",
    b"data:",
    b"data: ",
    b"event: ",
    b"id: ",
    b"retry: ",
    b"0",
    b"7",
    b"1500",
    b"+",
    b"18446744073709551616",
    b"\0",
    b"\t",
    b"\x0b",
    b"x",
    b"abc",
    b"Data",
    b"dat",
    b"a",
    b"\xef\xbb\xbf",
    b"\xef",
    b"\xbb",
    b"\xbf",
    b"\xc3\xa9",
    b"\xe2\x82\xac",
    b"\xf0\x9f\x98\x80",
    b"\xf0\x9f",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xff",
    b"\x80",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"0123456789012345678901234567890123456789012345678901234567890123456789",
];

/// A random stream of so many pieces.
pub fn random(rng: &mut Rng, pieces: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    if rng.below(8) == 0 {
        stream.extend_from_slice(b"\xef\xbb\xbf");
    }
    for _ in 0..pieces {
        let choice = if rng.below(8) < 5 { LINES } else { PIECES };
        stream.extend_from_slice(choice[rng.below(choice.len())]);
    }
    stream
}

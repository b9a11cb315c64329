//! The least that a reader has to do, without a reader.

use std::cell::RefCell;
use std::hint::black_box;

use bytes::Bytes;

use super::{BUFFER, Inputs, Pieces};
use crate::measure::{Contender, Role};
use crate::sink::Tally;

/// The floor that a reader cannot be expected to pass: every byte looked at for line ends, validated
/// and copied, one after the other.
pub const LIMIT: &str = "floor: all three in sequence";

const PAGE: usize = 4096;

pub(super) fn contenders<'s>(inputs: &Inputs<'s>) -> Vec<Contender<'s>> {
    let pieces: Pieces = at_characters(inputs).into();
    let floor = |name, work: fn(&[u8], &mut [u8]) -> u64| {
        let pieces = pieces.clone();
        let buffer = RefCell::new(vec![0; BUFFER + PAGE]);
        Contender {
            role: Role::Floor,
            name,
            setup: "16 KiB chunks",
            timed: Box::new(move || {
                let buffer = &mut *buffer.borrow_mut();
                let found = pieces.iter().map(|piece| work(piece, buffer)).sum();
                Tally {
                    fields: found,
                    ..Tally::default()
                }
            }),
            check: Box::new(|_| Ok(())),
        }
    };
    vec![
        floor("floor: memcpy", copy),
        floor("floor: memchr2 at line ends", line_ends),
        floor("floor: std from_utf8", validate),
        floor(LIMIT, |piece, buffer| {
            line_ends(piece, buffer) + validate(piece, buffer) + copy(piece, buffer)
        }),
    ]
}

/// Pieces of about the buffer's size, none of which ends within a character.
fn at_characters(inputs: &Inputs<'_>) -> Vec<Bytes> {
    let mut rest = inputs.whole.clone();
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let within = |byte: Option<&u8>| byte.is_some_and(|byte| byte & 0xC0 == 0x80);
        let mut end = rest.len().min(BUFFER);
        while within(rest.get(end)) {
            end -= 1;
        }
        pieces.push(rest.split_to(end));
    }
    pieces
}

/// Copies to a place half a page off. A copy between equal offsets into pages can be twenty times as
/// slow on x86-64, because each load waits for the store that seems to overlap it: no floor.
fn copy(piece: &[u8], buffer: &mut [u8]) -> u64 {
    let apart = buffer.as_ptr().addr().wrapping_sub(piece.as_ptr().addr());
    let start = (PAGE / 2).wrapping_sub(apart) % PAGE;
    let buffer = &mut buffer[start..][..piece.len()];
    buffer.copy_from_slice(piece);
    black_box(&*buffer).len() as u64
}

fn line_ends(piece: &[u8], _: &mut [u8]) -> u64 {
    let (mut found, mut rest) = (0, piece);
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        found += 1;
        rest = &rest[at + 1..];
    }
    found
}

fn validate(piece: &[u8], _: &mut [u8]) -> u64 {
    std::str::from_utf8(black_box(piece)).map_or(0, str::len) as u64
}

//! How buffers grow, and when they are given back.

use crate::scan::count;

/// Buffers up to this capacity are kept for good.
pub(crate) const KEEP: usize = 128 << 10;

/// Appends without growing past `limit` by doubling; true when the buffer has grown past what is
/// kept for good.
#[inline]
pub(crate) fn append(buffer: &mut Vec<u8>, bytes: &[u8], limit: usize) -> bool {
    let needed = buffer.len() + bytes.len();
    if needed > buffer.capacity() {
        grow(buffer, needed, limit);
    }
    buffer.extend_from_slice(bytes);
    count::copied(bytes.len());
    needed > KEEP
}

#[cold]
fn grow(buffer: &mut Vec<u8>, needed: usize, limit: usize) {
    let target = (2 * buffer.capacity()).max(64).min(limit).max(needed);
    buffer.reserve_exact(target - buffer.len());
}

/// Whether a buffer is larger than what is kept for good and little of it was used.
pub(crate) fn is_sparse(length: usize, capacity: usize) -> bool {
    capacity > KEEP && length < capacity / 4
}

/// Gives a sparse buffer back, down to what is kept for good.
pub(crate) fn shrink(buffer: &mut Vec<u8>) {
    if is_sparse(buffer.len(), buffer.capacity()) {
        buffer.shrink_to(KEEP);
    }
}

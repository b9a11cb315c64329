//! The ids that a hub assigns: `<epoch>-<sequence>`, each of 16 hexadecimal digits.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many digits the epoch and the sequence have each.
const DIGITS: usize = 16;

/// Where the ids of a hub's events come from.
#[derive(Debug)]
pub(super) enum Ids {
    /// The hub gives them: the id of sequence zero, which no event has.
    Assigned(String),
    /// Each event carries its own, or none.
    Own,
}

impl Ids {
    /// Assigned ids, with an epoch that no other hub has.
    pub(super) fn assigned(hasher: &RandomState) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let epoch = hasher.hash_one(since.unwrap_or_default().as_nanos());
        Ids::Assigned(format!("{epoch:016x}-{:016x}", 0))
    }

    /// Turns the id of sequence zero into the one of this sequence.
    pub(super) fn assign(id: &mut [u8], mut sequence: u64) {
        // This runs under the hub's lock: the zeros in front are there already.
        for digit in id.iter_mut().rev() {
            if sequence == 0 {
                return;
            }
            *digit = b"0123456789abcdef"[(sequence % 16) as usize];
            sequence /= 16;
        }
    }

    /// The id of this sequence.
    pub(super) fn of(zero: &str, sequence: u64) -> String {
        format!("{}{sequence:016x}", &zero[..=DIGITS])
    }

    /// The sequence in an id like this one, if it is of the same epoch.
    pub(super) fn sequence(zero: &str, id: &str) -> Option<u64> {
        let (epoch, digits) = id.as_bytes().split_at_checked(DIGITS + 1)?;
        let known = zero.as_bytes().get(..=DIGITS) == Some(epoch);
        read_hex(digits).filter(|_| known)
    }
}

/// The value of digits as [`Ids::assign`] writes them, and of nothing else.
fn read_hex(digits: &[u8]) -> Option<u64> {
    if digits.len() != DIGITS {
        return None;
    }
    digits.iter().try_fold(0, |value, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

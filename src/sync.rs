//! Locks that ignore poison: what they guard stays consistent when a user's code panics.

use std::sync::PoisonError;

/// The guard, whether or not another thread panicked while it held the lock.
pub(crate) fn ignore_poison<G>(result: Result<G, PoisonError<G>>) -> G {
    result.unwrap_or_else(PoisonError::into_inner)
}

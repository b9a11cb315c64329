//! One stream, many threads: emitting, heartbeats, the end.

#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

mod contract;

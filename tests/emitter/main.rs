//! One stream, many threads: emitting, heartbeats, the end.

#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

mod abort;
mod contract;
mod endings;
mod fields;
mod watch;

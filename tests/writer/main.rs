//! The writer, and what it writes: one frame, one write; and back through a reader.

#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

mod frames;
mod round_trip;

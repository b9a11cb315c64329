//! The reader: how it takes bytes from its source, and when it gives events out.

#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

mod one_read;
mod promptness;

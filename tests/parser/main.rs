//! What a stream means, and what it costs: the standard's rules, for the parser and the reader alike.

#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

mod ahead;
mod conformance;
mod limits;
mod oracle;

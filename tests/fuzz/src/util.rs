//! What the root's tests have as well.
#![allow(dead_code, unreachable_pub)]

#[path = "../../util/readers.rs"]
pub mod readers;
#[path = "../../util/reference.rs"]
pub mod reference;
#[path = "../../util/rng.rs"]
mod rng;
#[path = "../../util/streams.rs"]
pub mod streams;

pub use rng::Rng;

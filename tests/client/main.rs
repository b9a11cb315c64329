//! The reconnecting client, over bodies in memory and over real sockets.

#[doc(hidden)]
#[path = "../util/connectors.rs"]
pub mod connectors;
#[doc(hidden)]
#[path = "../util/over_ureq.rs"]
pub mod over_ureq;
#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

mod close;
mod contract;
mod faults;
mod listeners;
mod surface;

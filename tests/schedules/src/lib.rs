//! The sources of sse-io with the locks, threads and the clock of `shim`: see the README and the
//! models in `models`.
#![allow(
    missing_docs,
    unused,
    unreachable_pub,
    missing_debug_implementations,
    clippy::all
)]

pub mod shim;

include!(concat!(env!("OUT_DIR"), "/src/lib.rs"));

#[cfg(test)]
mod models;

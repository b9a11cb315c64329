//! Broadcast: publishing, resuming, lag, history, serving.

#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

mod contract;
mod edges;
mod fanout;
mod history;
mod lessons;
mod serve;

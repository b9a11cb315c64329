//! Broadcast: publishing, resuming, lag, history, serving.

#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

mod ahead;
mod busy;
mod contract;
mod edges;
mod fanout;
mod history;
mod lessons;
mod resume_point;
mod serve;
mod surface;

//! The programs under `examples/` as their users meet them, over real sockets.
#![expect(clippy::duplicate_mod, reason = "programs include what they share")]

#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

#[doc(hidden)]
#[expect(dead_code, reason = "`main` is for who runs it")]
#[path = "../../examples/agent.rs"]
pub mod agent;
#[doc(hidden)]
#[expect(dead_code, reason = "`main` is for who runs it")]
#[path = "../../examples/chat.rs"]
pub mod chat;
#[doc(hidden)]
#[expect(dead_code, reason = "`main` is for who runs it")]
#[path = "../../examples/dashboard.rs"]
pub mod dashboard;
#[doc(hidden)]
#[expect(dead_code, reason = "`main` is for who runs it")]
#[path = "../../examples/fanout.rs"]
pub mod fanout;
#[doc(hidden)]
#[expect(dead_code, reason = "`main` is for who runs it")]
#[path = "../../examples/server.rs"]
pub mod server;
#[doc(hidden)]
#[expect(dead_code, reason = "`main` is for who runs it")]
#[path = "../../examples/std_tcp.rs"]
pub mod std_tcp;
#[doc(hidden)]
#[expect(dead_code, reason = "`main` is for who runs it")]
#[path = "../../examples/sse-tail.rs"]
pub mod tail;

mod end_to_end;
mod guarded;
mod hub_pages;
mod lifecycle;
mod many_streams;

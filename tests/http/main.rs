//! What HTTP asks for around a stream: requests, heads, framing, bodies that are pulled.

#[doc(hidden)]
#[path = "../util/mod.rs"]
pub mod util;

mod body;
mod guard;
mod head;
mod requests;

//! Server-Sent Events for blocking Rust: over `std::io`, with no dependencies and no unsafe code.

mod buffer;
mod encode;
mod event;
mod parser;
mod reader;
mod scan;
mod writer;

pub use encode::InvalidField;
pub use event::{Event, ParseEventError};
pub use parser::{EventTooLarge, Item, Parser};
pub use reader::{Events, IntoEvents, Reader};
pub use writer::{DataWriter, Writer};

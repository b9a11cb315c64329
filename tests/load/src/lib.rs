//! Many streams at once: servers whose costs are read from their process, and clients that check
//! every event and time it.

pub mod clients;
pub mod first_event;
pub mod server;
pub mod usage;

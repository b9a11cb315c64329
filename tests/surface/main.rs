//! What holds of all public types together.

mod auto_traits;
mod debug;
mod defaults;
mod sources;

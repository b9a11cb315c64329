//! What holds of all public types together.

mod auto_traits;
mod defaults;
mod sources;

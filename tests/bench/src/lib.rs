//! What `main.rs` puts together: streams, contenders, the method and the tables.

pub mod allocations;
pub mod go;
pub mod goals;
pub mod measure;
pub mod options;
pub mod random;
pub mod reading;
pub mod report;
pub mod serving;
pub mod sink;
pub mod statistics;
pub mod streams;
pub mod table;
pub mod writing;

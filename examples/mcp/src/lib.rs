//! The Model Context Protocol over Streamable HTTP: a server on `tiny_http` and a client on ureq.
//!
//! There are two eras of it. Up to 2025-11-25 a client begins a session, and a stream that breaks can be
//! resumed by `Last-Event-ID`. From 2026-07-28 on each request stands for itself, there are no sessions,
//! and who hangs up cancels the request. Server and client speak both.

pub mod app;
pub mod client;
pub mod message;
pub mod server;
pub mod session;

//! A real browser against real streams: Chromium, and a server with a stream for each promise.

pub mod chromium;
pub mod example;
pub mod look;
pub mod scenarios;

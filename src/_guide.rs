//! The guide: how to serve, read and broadcast event streams with this crate, and how it works inside.
//!
//! These modules hold documentation only.
//!
//! For users:
//!
//! | page | answers |
//! |---|---|
//! | [`serving`] | which server, heartbeats, shutting down, load balancing, CORS, authentication |
//! | [`reading`] | borrowed or owned, what the standard says, time-outs |
//! | [`client`] | which loop, which numbers, going on after a restart |
//! | [`broadcast`] | threads or a fan-out, topics, gaps, several processes |
//! | [`llm`] | streams of language models: relays, errors, cancelling |
//! | [`agents`] | the Model Context Protocol over HTTP |
//! | [`hypermedia`] | htmx and Datastar: pages that the server pushes |
//! | [`proxies`] | nginx, Apache, Caddy, `HAProxy` |
//! | [`limits`] | every bound, and how to set it |
//! | [`errors`] | every kind, and what follows |
//! | [`security`] | injection, other sites, DNS rebinding |
//! | [`evidence`] | which test shows what, and what a stream costs |
//! | [`migrating`] | your library's names, and ours |
//!
//! For those who change the crate: [`internals`], [`changelog`].

#[doc = include_str!("guide/agents.md")]
pub mod agents {}
#[doc = include_str!("guide/broadcast.md")]
pub mod broadcast {}
#[doc = include_str!("guide/changelog.md")]
pub mod changelog {}
#[doc = include_str!("guide/client.md")]
pub mod client {}
#[doc = include_str!("guide/errors.md")]
pub mod errors {}
#[doc = include_str!("guide/evidence.md")]
pub mod evidence {}
#[doc = include_str!("guide/hypermedia.md")]
pub mod hypermedia {}
#[doc = include_str!("guide/internals.md")]
pub mod internals {}
#[doc = include_str!("guide/limits.md")]
pub mod limits {}
#[doc = include_str!("guide/llm.md")]
pub mod llm {}
#[doc = include_str!("guide/migrating.md")]
pub mod migrating {}
#[doc = include_str!("guide/proxies.md")]
pub mod proxies {}
#[doc = include_str!("guide/reading.md")]
pub mod reading {}
#[doc = include_str!("guide/security.md")]
pub mod security {}
#[doc = include_str!("guide/serving.md")]
pub mod serving {}

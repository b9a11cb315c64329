//! The older store behind the log.

use std::io;

use crate::event::Event;

/// An older store behind a hub's log, such as a table or a Redis Stream: a client that was away for
/// longer than the log remembers is served from here, then from the log, with no hole and nothing
/// twice.
///
/// What the hub relies on:
///
/// - **Store before publishing.** An event is in the store before it is published to the hub, with
///   the same id.
/// - **No id comes twice.** What follows an event is asked for by its id. A page with an id that it had
///   before is refused. In a later page that is not noticed, and a subscriber may get events twice; but
///   a store that leads in a circle is found out, before the third time around: the subscriber
///   gets an error, and then what the log has.
/// - **One order.** The store has the events in the order in which they are published: one thread
///   does both, or follows the store and publishes what it finds.
/// - A process publishes the newest events of the store (a few hundred) into the hub before it
///   subscribes clients, and puts a first one into a store that is empty. The newest event published
///   tells the hub how far it has come in the store; without one, a client that saw events which this
///   process has yet to publish might get events twice.
/// - Every event can be encoded. One that cannot fails the page for everybody: leave it out.
///
/// The store may be ahead of the hub and may forget its oldest events. Pages are read on the
/// subscriber's thread, when it subscribes and when it lags, with no lock held; so blocking is fine.
pub trait History: Send + Sync {
    /// The events that follow the one with this id, oldest first: at most `max`, and none only when it
    /// is the newest. Only those that reach a subscriber of these topics; with none named, all. Each
    /// carries its id. (A subscription to a list of topics that is empty never asks.)
    ///
    /// `None` when the store does not know the id (any more): what followed it cannot be told, which
    /// is a gap.
    ///
    /// # Errors
    ///
    /// What the store failed with. The subscriber gets it, as
    /// [`SubscribeError::History`](super::SubscribeError::History),
    /// [`RecvError::History`](super::RecvError::History) or
    /// [`Ending::History`](super::Ending::History).
    fn after(
        &self,
        id: &str,
        topics: &[&str],
        max: usize,
    ) -> io::Result<Option<Vec<Event<'static>>>>;
}

//! The hub that this process has at the moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use sse_io::Hub;

/// The hub, once it is filled; and another one, should the stream be another one.
#[derive(Debug)]
pub struct Feed {
    hub: Mutex<Option<Hub>>,
    has_redis: AtomicBool,
    max_subscribers: usize,
}

impl Feed {
    /// One without a hub, whose hubs will admit so many.
    pub fn new(max_subscribers: usize) -> Self {
        Feed {
            hub: Mutex::new(None),
            has_redis: AtomicBool::new(false),
            max_subscribers,
        }
    }

    /// How many subscribers there may be.
    pub fn max_subscribers(&self) -> usize {
        self.max_subscribers
    }

    /// Whether Redis answered when it was last asked for news.
    pub fn has_redis(&self) -> bool {
        self.has_redis.load(Ordering::Relaxed)
    }

    /// Notes whether Redis has answered.
    pub fn note_redis(&self, is_there: bool) {
        self.has_redis.store(is_there, Ordering::Relaxed);
    }

    /// The hub; `None` while there is none that could be relied on.
    pub fn hub(&self) -> Option<Hub> {
        self.lock().clone()
    }

    /// Admits subscribers to this hub.
    pub fn open(&self, hub: Hub) {
        *self.lock() = Some(hub);
    }

    /// Ends the hub, and the streams of its subscribers when they have what is in it.
    pub fn close(&self) {
        if let Some(hub) = self.lock().take() {
            hub.close();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Hub>> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What the log of a process does not have any more, the stream may.

use std::io;

use sse_io::Event;
use sse_io::hub;

use crate::entry::{Entry, EntryId};
use crate::store::Store;

/// How many entries are asked for at a time.
const COUNT: usize = 256;

/// The stream behind a hub's log.
#[derive(Clone, Debug)]
pub struct History(pub Store);

impl hub::History for History {
    fn after(
        &self,
        id: &str,
        topics: &[&str],
        max: usize,
    ) -> io::Result<Option<Vec<Event<'static>>>> {
        let Ok(mut last) = id.parse::<EntryId>() else {
            return Ok(None);
        };
        let mut events = Vec::new();
        // Redis does not know topics: for a rare one, this reads the stream to its end.
        while events.len() < max {
            let Some(page) = self.0.after(last, COUNT.min(max))? else {
                // Trimmed away meanwhile. What was found so far is without a hole; whoever asks on
                // from there is told.
                return Ok((!events.is_empty()).then_some(events));
            };
            last = page.last;
            let wanted = page
                .entries
                .iter()
                .filter(|entry| entry.post.is_for(topics));
            events.extend(wanted.map(Entry::event).map(Event::into_owned));
            if page.is_end {
                break;
            }
        }
        events.truncate(max);
        Ok(Some(events))
    }
}

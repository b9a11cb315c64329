//! How a subscription goes through the history into the log.
//!
//! The store has the order of the log, and what the log has was in the store before. A page joins the
//! log at its first event that the log still has. Where there is none, the newest event published before
//! the page was read is the border: what the store has behind it, the log will bring.
//!
//! The client may have come further than this hub (it saw the rest elsewhere). What is published here
//! then may be old or new to it, and only the store can tell: the subscription reads the store, not
//! the log, until both meet.

use std::collections::HashSet;
use std::io;

use super::frame::Frame;
use super::history::History;
use super::interest::Interest;
use super::shared::{Shared, State};
use crate::event::Event;

/// How many events a page has.
const PAGE: usize = 256;

/// How far a subscription has come in the store.
#[derive(Debug)]
pub(super) struct Trail {
    /// The id of the last event that was passed on or that the client has; empty where that is unknown.
    pub(super) last: String,
    /// The id at the end of a page that was read before.
    mark: String,
    /// How many pages were read since, and how many are read until another one is the mark.
    pages: u64,
    reach: u64,
}

impl Trail {
    pub(super) fn new(last: String) -> Self {
        Trail {
            last,
            mark: String::new(),
            pages: 0,
            reach: 1,
        }
    }

    /// Takes note of a page with this id at its end. False when the store leads in a circle: what comes
    /// behind that id was read before. With one id kept, this is found out before the third time
    /// around, as the distance from mark to mark doubles (Brent's algorithm).
    fn goes_on(&mut self, end: &str) -> bool {
        if self.mark == end {
            return false;
        }
        self.pages += 1;
        if self.pages == self.reach {
            self.mark.replace_range(.., end);
            self.pages = 0;
            self.reach *= 2;
        }
        true
    }

    /// The store was left; whoever comes back to it comes for something else.
    fn leave(&mut self) {
        *self = Trail::new(std::mem::take(&mut self.last));
    }
}

/// What follows an event in the store.
#[derive(Debug)]
pub(super) enum Page {
    /// The store does not know the event.
    Unknown,
    /// These, and then the next page.
    Some(Vec<Frame>),
    /// These, and then the log from here.
    Joined(Vec<Frame>, u64),
    /// Nothing. All that the log has before this sequence came before the event; what it brings from
    /// here on might have as well.
    Nothing(u64),
}

impl Page {
    /// Reads what follows the last event.
    ///
    /// # Errors
    ///
    /// That of the store, or what is wrong with the page. Where it leads in a circle, the last event is
    /// unknown from then on, so that nobody goes around again.
    pub(super) fn next(
        shared: &Shared,
        history: &dyn History,
        interest: &Interest,
        trail: &mut Trail,
    ) -> io::Result<Page> {
        let page = Page::read(shared, history, interest, &trail.last)?;
        match &page {
            Page::Some(frames) => {
                let end = frames.last().and_then(Frame::id).unwrap_or_default();
                if !trail.goes_on(end) {
                    trail.leave();
                    trail.last.clear();
                    return Err(invalid("the history leads in a circle"));
                }
            }
            Page::Unknown | Page::Joined(..) | Page::Nothing(_) => trail.leave(),
        }
        Ok(page)
    }

    fn read(
        shared: &Shared,
        history: &dyn History,
        interest: &Interest,
        last: &str,
    ) -> io::Result<Page> {
        // Looked at before the store, which has at least as much then.
        let state = shared.lock();
        let border = newest(&state);
        let next = state.log.next();
        drop(state);

        let topics: Vec<&str> = interest.topics().iter().map(|(_, name)| &**name).collect();
        let Some(events) = history.after(last, &topics, PAGE)? else {
            return Ok(Page::Unknown);
        };
        let mut frames = Vec::with_capacity(events.len());
        let mut ids = HashSet::with_capacity(events.len());
        for event in &events {
            // Going on after one that comes twice would never end.
            let is_new = ids.insert(&event.id);
            frames.push(encode(event, last, is_new)?);
        }
        if frames.is_empty() {
            return match border {
                Some((id, sequence)) if is_newest(history, &id)? => {
                    Ok(Page::Joined(frames, sequence + 1))
                }
                _ => Ok(Page::Nothing(next)),
            };
        }
        if let Some((index, sequence)) = first_in_log(shared, &frames) {
            frames.truncate(index + 1);
            return Ok(Page::Joined(frames, sequence + 1));
        }
        let Some((id, sequence)) = border else {
            return Ok(Page::Some(frames));
        };
        let behind = history.after(&id, &topics, 1)?.unwrap_or_default();
        let first = behind.first().and_then(|event| event.id.as_deref());
        match frames.iter().position(|frame| frame.id() == first) {
            Some(at) => {
                frames.truncate(at);
                Ok(Page::Joined(frames, sequence + 1))
            }
            None => Ok(Page::Some(frames)),
        }
    }
}

/// The first of these that the log has: its index and its sequence.
fn first_in_log(shared: &Shared, frames: &[Frame]) -> Option<(usize, u64)> {
    let state = shared.lock();
    frames.iter().enumerate().find_map(|(index, frame)| {
        let sequence = shared.find(&state, frame.id()?)?;
        Some((index, sequence))
    })
}

/// Whether the store has nothing behind this event, of any topic.
fn is_newest(history: &dyn History, id: &str) -> io::Result<bool> {
    let behind = history.after(id, &[], 1)?;
    Ok(behind.is_some_and(|events| events.is_empty()))
}

/// The id and the sequence of the newest event that was published with an id.
fn newest(state: &State) -> Option<(String, u64)> {
    let (id, sequence) = state.log.newest_id()?;
    Some((id.to_owned(), sequence))
}

/// The frame of an event from the history, which is to carry an id, new and not the one asked for.
fn encode(event: &Event<'_>, asked: &str, is_new: bool) -> io::Result<Frame> {
    let problem = match event.id.as_deref() {
        None | Some("") => "the history gave an event without an id",
        Some(id) if id == asked => "the history gave the event it was to go on after",
        Some(_) if !is_new => "the history gave an event twice",
        Some(_) => return Frame::of(event),
    };
    Err(invalid(problem))
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

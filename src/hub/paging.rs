//! How a subscription goes through the history into the log.
//!
//! The store has the order of the log, and is never behind it. A page joins the log at its first
//! event that the log still has. Where there is none, the newest event published before the page was
//! read is the border: what the store has behind it, the log will bring.

use std::collections::VecDeque;
use std::io;
use std::iter;

use super::frame::Frame;
use super::history::History;
use super::log::{Entry, Key};
use super::roster::Interest;
use super::shared::{Shared, State};
use crate::event::Event;

/// How many events a page has.
const PAGE: usize = 256;

/// How many ids are remembered where no event was published yet.
const REMEMBERED: usize = 4 * PAGE;

/// Where a subscription stands with respect to the history.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The id of the last event that was passed on, or that the client has.
    last: String,
    /// It reads pages; and what it missed, if the store does not know `last`.
    pub(super) paging: Option<u64>,
    /// What the client knows although the log has yet to bring it, in that order: it saw that
    /// elsewhere, or it was read before anything was published.
    known: VecDeque<Key>,
}

/// What a page came to.
#[derive(Debug)]
pub(super) enum Page {
    /// Its events are to be passed on. A cursor: the log goes on from there.
    Read(Vec<Frame>, Option<u64>),
    /// The store does not know the id.
    Unknown,
}

impl Past {
    /// The one of a client that has this event.
    pub(super) fn of(id: &str) -> Self {
        let mut past = Past::default();
        past.passed(id);
        past
    }

    /// This event was passed on.
    pub(super) fn passed(&mut self, id: &str) {
        if !id.is_empty() {
            self.last.clear();
            self.last.push_str(id);
        }
    }

    /// After a lag: goes back to the history, if it is known from where.
    pub(super) fn go_back(&mut self, missed: u64) -> bool {
        let known = !self.last.is_empty();
        if known {
            self.paging = Some(missed);
        }
        known
    }

    /// Whether an entry of the log is new to the client.
    pub(super) fn is_new(&mut self, entry: &Entry) -> bool {
        if self.known.is_empty() {
            return true;
        }
        let is = |known: &Key| entry.id == Some(*known);
        match self.known.iter().position(is) {
            Some(at) => {
                self.known.drain(..=at);
                false
            }
            None => {
                // They come in order: from here on, all is new.
                self.known = VecDeque::new();
                true
            }
        }
    }

    /// For a client that comes back: whether it has seen more than was published here so far. Then
    /// the log goes on from the cursor that is returned, once it has come that far.
    pub(super) fn look_ahead(
        &mut self,
        shared: &Shared,
        history: &dyn History,
    ) -> io::Result<Option<u64>> {
        let Some((mut from, sequence)) = newest(&shared.lock()) else {
            return Ok(None);
        };
        let mut known = VecDeque::new();
        // Of all topics: it may have come here with others.
        while let Some(page) = history.after(&from, &[], PAGE)? {
            for id in page.iter().filter_map(|event| event.id.as_deref()) {
                known.push_back(shared.key(id));
                if id == self.last {
                    self.known = known;
                    return Ok(Some(sequence + 1));
                }
            }
            match page.last().and_then(|event| event.id.as_deref()) {
                Some(id) if id != from => from = id.to_owned(),
                _ => break,
            }
        }
        Ok(None)
    }

    /// Reads the next page.
    pub(super) fn page(
        &mut self,
        shared: &Shared,
        history: &dyn History,
        interest: &Interest,
    ) -> io::Result<Page> {
        if !self.known.is_empty() {
            // The log may be behind `last`, whose followers it will bring.
            if let Some(cursor) = self.look_ahead(shared, history)? {
                self.paging = None;
                return Ok(Page::Read(Vec::new(), Some(cursor)));
            }
        }
        let state = shared.lock();
        let newest = newest(&state);
        let next = state.log.next();
        drop(state);

        let topics = names(interest);
        let Some(events) = history.after(&self.last, &topics, PAGE)? else {
            return Ok(Page::Unknown);
        };
        let mut frames = Vec::with_capacity(events.len());
        for event in &events {
            frames.push(encode(event, &self.last)?);
        }
        let mut cursor = match &newest {
            // Nothing follows up to here.
            _ if frames.is_empty() => Some(newest.as_ref().map_or(next, |(_, s)| s + 1)),
            _ => None,
        };

        let state = shared.lock();
        let joined = frames.iter().enumerate().find_map(|(index, frame)| {
            let sequence = shared.find(&state, frame.id()?)?;
            Some((index, sequence))
        });
        drop(state);
        if let Some((index, sequence)) = joined {
            frames.truncate(index + 1);
            cursor = Some(sequence + 1);
        } else if let (Some((border, sequence)), None) = (&newest, cursor) {
            let behind = history.after(border, &topics, 1)?.unwrap_or_default();
            let first = behind.first().and_then(|event| event.id.as_deref());
            if let Some(at) = frames.iter().position(|frame| frame.id() == first) {
                frames.truncate(at);
                cursor = Some(sequence + 1);
            }
        }
        match &newest {
            Some(_) => self.known = VecDeque::new(),
            None => self.remember(shared, &frames),
        }
        if let Some(id) = frames.last().and_then(Frame::id) {
            self.last = id.to_owned();
        }
        if cursor.is_some() {
            self.paging = None;
        }
        Ok(Page::Read(frames, cursor))
    }

    fn remember(&mut self, shared: &Shared, frames: &[Frame]) {
        let ids = [&*self.last].into_iter();
        let ids = ids.chain(frames.iter().filter_map(Frame::id));
        self.known.extend(ids.map(|id| shared.key(id)));
        let excess = self.known.len().saturating_sub(REMEMBERED);
        self.known.drain(..excess);
    }
}

/// The id and the sequence of the newest event that was published with an id.
fn newest(state: &State) -> Option<(String, u64)> {
    let (id, sequence) = state.log.newest_id()?;
    Some((id.to_owned(), sequence))
}

fn names(interest: &Interest) -> Vec<&str> {
    interest.topics().iter().map(|(_, name)| &**name).collect()
}

/// The frame of an event from the history, which is to carry an id, and not the one asked for.
fn encode(event: &Event<'_>, asked: &str) -> io::Result<Frame> {
    let problem = match event.id.as_deref() {
        None | Some("") => "the history gave an event without an id",
        Some(id) if id == asked => "the history gave the event it was to go on after",
        Some(_) => {
            return Frame::encode(
                event,
                None::<iter::Empty<&str>>.into_iter().flatten(),
                |f, e| f.event(e),
            );
        }
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

//! The boards: a list and a job for each room, every change in the journal, and from there in the hubs.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sse_io::hub::{GapPolicy, IdPolicy, Resumption, SubscribeError, Subscription};
use sse_io::{Event, Hub};

use crate::page::{self, Dialect};

const MAX_ROOMS: usize = 100;
const MAX_ITEMS: usize = 200;
/// How many changes a page may be behind, in all rooms together, and still get each one.
const LOG_EVENTS: usize = 1000;
const MAX_STREAMS: usize = 200;

/// What is in a room.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) items: BTreeMap<u64, Item>,
    /// How far the job has come, in percent, once there was one.
    pub(crate) job: Option<u8>,
    next: u64,
}

#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) text: String,
    pub(crate) done: bool,
}

/// What can happen in a room.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Add(String),
    Toggle(u64),
    Remove(u64),
    Job(u8),
    Notice(String),
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// There is no such item, the job runs already, or there is no place.
    Refused,
}

impl Board {
    fn takes(&self, change: &Change) -> bool {
        match change {
            Change::Add(_) => self.items.len() < MAX_ITEMS,
            Change::Toggle(id) | Change::Remove(id) => self.items.contains_key(id),
            Change::Job(percent) => *percent > 0 || !self.is_busy(),
            Change::Notice(_) => true,
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.job.is_some_and(|percent| percent < 100)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Add(text) => {
                let (text, done) = (text.clone(), false);
                self.items.insert(self.next, Item { text, done });
                self.next += 1;
            }
            Change::Toggle(id) => {
                let item = self.items.get_mut(id);
                item.into_iter().for_each(|item| item.done = !item.done);
            }
            Change::Remove(id) => drop(self.items.remove(id)),
            Change::Job(percent) => self.job = Some(*percent),
            Change::Notice(_) => {}
        }
    }
}

impl Change {
    /// A line of the journal. Texts have no control characters, so a tab ends one.
    fn to_line(&self, room: &str) -> String {
        match self {
            Change::Add(text) => format!("{room}\tadd\t{text}\n"),
            Change::Toggle(id) => format!("{room}\ttoggle\t{id}\n"),
            Change::Remove(id) => format!("{room}\tremove\t{id}\n"),
            Change::Job(percent) => format!("{room}\tjob\t{percent}\n"),
            Change::Notice(text) => format!("{room}\tnotice\t{text}\n"),
        }
    }

    fn from_line(line: &str) -> Option<(&str, Change)> {
        let mut fields = line.splitn(3, '\t');
        let (room, kind, value) = (fields.next()?, fields.next()?, fields.next()?);
        let change = match kind {
            "add" => Change::Add(value.to_owned()),
            "toggle" => Change::Toggle(value.parse().ok()?),
            "remove" => Change::Remove(value.parse().ok()?),
            "job" => Change::Job(value.parse().ok()?),
            "notice" => Change::Notice(value.to_owned()),
            _ => return None,
        };
        Some((room, change))
    }
}

/// All rooms. There is a hub for each library, as each takes events of its own; rooms are topics.
#[derive(Debug)]
pub(crate) struct Boards {
    state: Mutex<State>,
    hubs: [Hub; 2],
}

#[derive(Debug)]
struct State {
    rooms: BTreeMap<String, Board>,
    journal: Option<File>,
    /// When the journal was begun: an id of another journal is not taken for one of this.
    epoch: u64,
    /// How many changes there were.
    changes: u64,
}

impl State {
    /// Makes the change that a line of the journal tells of.
    fn replay<'a>(&mut self, line: &'a str) -> Option<(&'a str, Change)> {
        let (room, change) = Change::from_line(line)?;
        self.rooms
            .entry(room.to_owned())
            .or_default()
            .apply(&change);
        self.changes += 1;
        Some((room, change))
    }

    fn id(&self) -> String {
        format!("{:x}-{}", self.epoch, self.changes)
    }
}

impl Boards {
    /// The boards that the journal tells of; without one, those of this process alone.
    pub(crate) fn open(journal: Option<&Path>) -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default();
        let hub = || {
            Hub::builder()
                .with_max_events(LOG_EVENTS)
                .with_max_subscribers(MAX_STREAMS)
                .with_id_policy(IdPolicy::Own)
                .build()
        };
        let mut state = State {
            rooms: BTreeMap::new(),
            journal: None,
            epoch: now,
            changes: 0,
        };
        let hubs = [hub(), hub()];
        let mut lines = Vec::new();
        if let Some(path) = journal {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).open(path)?;
            lines = BufReader::new(&file).lines().collect::<io::Result<_>>()?;
            match lines.first() {
                Some(first) => state.epoch = first.parse().map_err(|_| damaged(1))?,
                None => writeln!(file, "{now}")?,
            }
            state.journal = Some(file);
        }
        // What the log has no place for need not be rendered. The log begins with an id to go on from.
        let quiet = lines.len().saturating_sub(LOG_EVENTS - 1).max(1);
        let mut numbered = (1..).zip(&lines).skip(1);
        for (n, line) in numbered.by_ref().take(quiet - 1) {
            state.replay(line).ok_or_else(|| damaged(n))?;
        }
        for hub in &hubs {
            hub.publish(&Event::new("").with_name("begin").with_id(state.id()))?;
        }
        for (n, line) in numbered {
            let (room, change) = state.replay(line).ok_or_else(|| damaged(n))?;
            publish(&hubs, &state, room, &change)?;
        }
        let state = Mutex::new(state);
        Ok(Boards { state, hubs })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change: first in the journal, then in the room, then in all pages that show it.
    pub(crate) fn change(&self, room: &str, change: &Change) -> io::Result<Outcome> {
        let mut state = self.lock();
        let state = &mut *state;
        let is_new = !state.rooms.contains_key(room);
        let takes = match state.rooms.get(room) {
            Some(board) => board.takes(change),
            None => state.rooms.len() < MAX_ROOMS && Board::default().takes(change),
        };
        if !takes {
            return Ok(Outcome::Refused);
        }
        if let Some(journal) = &mut state.journal {
            journal.write_all(change.to_line(room).as_bytes())?;
        }
        if is_new {
            state.rooms.insert(room.to_owned(), Board::default());
        }
        let board = state.rooms.get_mut(room).expect("it was just inserted");
        board.apply(change);
        state.changes += 1;
        publish(&self.hubs, state, room, change)?;
        Ok(Outcome::Done)
    }

    /// The page of a room. Its stream goes on from this very state: the id is in the address.
    pub(crate) fn page(&self, room: &str, dialect: Dialect) -> String {
        let state = self.lock();
        let empty = Board::default();
        let board = state.rooms.get(room).unwrap_or(&empty);
        page::whole(dialect, room, board, &state.id())
    }

    /// What happens in a room after the last event that the client has. If that is not known any more,
    /// the events that bring the page up to date come first.
    pub(crate) fn subscribe(
        &self,
        room: &str,
        dialect: Dialect,
        last_event_id: &str,
    ) -> Result<(Subscription, Vec<Event<'static>>), SubscribeError> {
        // Under the lock nothing happens between the two.
        let state = self.lock();
        let subscription = self.hubs[dialect as usize]
            .subscribe()
            .with_topics([room])
            .with_last_event_id(last_event_id)
            .with_gap_policy(GapPolicy::Live)
            .start()?;
        let mut first = Vec::new();
        if matches!(
            subscription.resumption(),
            Resumption::New | Resumption::Gap { .. }
        ) {
            let empty = Board::default();
            let board = state.rooms.get(room).unwrap_or(&empty);
            first.push(page::list_event(dialect, room, board));
            first.push(page::job_event(dialect, room, board).with_id(state.id()));
        }
        Ok((subscription, first))
    }

    /// The rooms whose jobs had not ended when the journal did, and how far they had come.
    pub(crate) fn interrupted(&self) -> Vec<(String, u8)> {
        let state = self.lock();
        let busy = state.rooms.iter().filter(|(_, board)| board.is_busy());
        busy.map(|(room, board)| (room.clone(), board.job.unwrap_or_default()))
            .collect()
    }
}

/// Tells the pages of both libraries of the newest change.
fn publish(hubs: &[Hub; 2], state: &State, room: &str, change: &Change) -> io::Result<()> {
    let board = &state.rooms[room];
    for dialect in Dialect::ALL {
        let event = match change {
            Change::Add(_) | Change::Toggle(_) | Change::Remove(_) => {
                page::list_event(dialect, room, board)
            }
            Change::Job(_) => page::job_event(dialect, room, board),
            Change::Notice(text) => page::notice_event(dialect, text),
        };
        hubs[dialect as usize].publish_to([room], &event.with_id(state.id()))?;
    }
    Ok(())
}

fn damaged(line: usize) -> io::Error {
    let message = format!("line {line} of the journal cannot be read");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

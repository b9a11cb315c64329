//! The rooms of the example `chat`: each is a hub, and the list of who is in it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Write as _};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sse_io::hub::Subscription;
use sse_io::{Event, Hub};

/// What a room remembers.
const LOG_EVENTS: usize = 500;
const LOG_BYTES: usize = 1 << 20;

/// How much there may be at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rooms.
    pub rooms: usize,
    /// Members of one room.
    pub members_of_a_room: usize,
    /// Members of all rooms together: each has a thread and two file descriptors (see the example `server`).
    pub members: usize,
    /// How long a room is kept that nobody is in, nor has said anything in.
    pub idle: Duration,
}

/// The rooms that there are. Each is opened by the first who comes in.
#[derive(Debug)]
pub struct Rooms {
    limits: Limits,
    open: Mutex<HashMap<String, Room>>,
    connections: AtomicU64,
}

#[derive(Debug)]
struct Room {
    hub: Hub,
    present: Vec<Present>,
    used: Instant,
}

/// A page, or another client, that has come in.
#[derive(Debug)]
struct Present {
    /// Who it is: a name may be here several times, which is the same person then.
    name: String,
    /// What the page calls itself, by which it is known when it comes back; may be empty.
    page: String,
    /// Its newest connection.
    connection: u64,
    leaving: bool,
}

/// Somebody in a room; leaves it when dropped.
#[derive(Debug)]
pub struct Member {
    rooms: Arc<Rooms>,
    room: String,
    connection: u64,
    /// What happens in the room.
    pub subscription: Subscription,
}

/// What is told when the list of those who are here changes.
#[derive(Clone, Copy)]
enum Change<'a> {
    Joined(&'a str),
    Left(&'a str),
    Renamed(&'a str, &'a str),
    /// The names are the same.
    Still(&'a str),
}

impl Rooms {
    /// No room yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Rooms {
            limits,
            open: Mutex::default(),
            connections: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room of this name; None if there are too many. Drops those that are idle.
    fn room<'a>(&self, open: &'a mut HashMap<String, Room>, name: &str) -> Option<&'a mut Room> {
        open.retain(|_, room| !room.present.is_empty() || room.used.elapsed() < self.limits.idle);
        if open.len() >= self.limits.rooms && !open.contains_key(name) {
            return None;
        }
        let room = open.entry(name.to_owned()).or_insert_with(|| Room {
            hub: Hub::builder()
                .with_max_events(LOG_EVENTS)
                .with_max_bytes(LOG_BYTES)
                .with_max_subscribers(self.limits.members_of_a_room)
                .build(),
            present: Vec::new(),
            used: Instant::now(),
        });
        Some(room)
    }

    /// None if there is no place. All under the lock, so that a room with somebody in it stays, and so
    /// that the last word on who is here is the truth; nothing of this waits for a client.
    pub fn enter(
        self: &Arc<Self>,
        room: &str,
        name: String,
        page: String,
        last_event_id: &str,
    ) -> Option<Member> {
        let mut open = self.lock();
        let present: usize = open.values().map(|room| room.present.len()).sum();
        if present >= self.limits.members {
            return None;
        }
        let entered = self.room(&mut open, room)?;
        let subscription = entered.hub.subscribe();
        let subscription = subscription
            .with_last_event_id(last_event_id)
            .with_replay(usize::MAX)
            .with_gap_event(Event::new("").with_name("gap"))
            .start()
            .ok()?;
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        // Behind what is replayed, the newcomer gets this as well.
        entered.enter(Present {
            name,
            page,
            connection,
            leaving: false,
        });
        Some(Member {
            rooms: Arc::clone(self),
            room: room.to_owned(),
            connection,
            subscription,
        })
    }

    /// Notes that a page was closed. Returns its connection, if the page is there.
    pub fn leaving(&self, room: &str, page: &str) -> Option<u64> {
        let mut open = self.lock();
        let mut present = open.get_mut(room)?.present.iter_mut();
        let closed = present.find(|p| !p.leaving && !page.is_empty() && p.page == page)?;
        closed.leaving = true;
        Some(closed.connection)
    }

    /// Takes a connection off the list, unless its page has come back by another one.
    pub fn left(&self, room: &str, connection: u64) {
        if let Some(room) = self.lock().get_mut(room) {
            room.leave(connection);
        }
    }

    /// Says something in a room; false if nobody has opened it.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::publish`].
    pub fn say(&self, room: &str, name: &str, text: &str) -> io::Result<bool> {
        let hub = match self.lock().get_mut(room) {
            Some(room) => {
                room.used = Instant::now();
                room.hub.clone()
            }
            None => return Ok(false),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis();
        hub.publish_with(&Event::default(), |data| {
            let (name, text) = (Json(name), Json(text));
            write!(data, r#"{{"name":{name},"text":{text},"at":{now}}}"#)
        })?;
        Ok(true)
    }
}

impl Room {
    fn is_here(&self, name: &str) -> bool {
        self.present.iter().any(|present| present.name == name)
    }

    fn enter(&mut self, newcomer: Present) {
        self.used = Instant::now();
        let name = newcomer.name.clone();
        let known = |p: &Present| !p.page.is_empty() && p.page == newcomer.page;
        let before = self.present.iter().position(known);
        let before = before.map(|at| self.present.remove(at).name);
        let change = match &before {
            Some(old) if *old != name && !self.is_here(old) => Change::Renamed(old, &name),
            Some(old) if *old == name => Change::Still(&name),
            // A page that is loaded again may be there as the one before, which is leaving.
            _ if self.is_here(&name) => Change::Still(&name),
            _ => Change::Joined(&name),
        };
        self.present.push(newcomer);
        self.tell(change);
    }

    fn leave(&mut self, connection: u64) {
        let mut present = self.present.iter();
        let Some(at) = present.position(|present| present.connection == connection) else {
            return;
        };
        let name = self.present.remove(at).name;
        self.used = Instant::now();
        match self.is_here(&name) {
            true => self.tell(Change::Still(&name)),
            false => self.tell(Change::Left(&name)),
        }
    }

    /// Tells everybody who is here now.
    fn tell(&self, change: Change<'_>) {
        let event = Event::new("").with_name("here");
        let told = self.hub.publish_with(&event, |data| {
            match change {
                Change::Joined(name) => write!(data, r#"{{"joined":{}"#, Json(name)),
                Change::Left(name) => write!(data, r#"{{"left":{}"#, Json(name)),
                Change::Renamed(was, now) => {
                    write!(data, r#"{{"was":{},"now":{}"#, Json(was), Json(now))
                }
                Change::Still(name) => write!(data, r#"{{"still":{}"#, Json(name)),
            }?;
            write!(data, r#","names":["#)?;
            let names: BTreeSet<&str> = self.present.iter().map(|p| &*p.name).collect();
            for (n, name) in names.into_iter().enumerate() {
                write!(data, "{}{}", if n > 0 { "," } else { "" }, Json(name))?;
            }
            write!(data, "]}}")
        });
        if let Err(error) = told {
            eprintln!("{error}");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.rooms.left(&self.room, self.connection);
    }
}

/// A text as JSON has it, quotes included.
struct Json<'a>(&'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

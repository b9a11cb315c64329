//! The rooms of the example `chat`: each is a hub, and the list of who is in it.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io;
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
    /// How long a room is kept that nobody is in.
    pub idle: Duration,
}

/// The rooms that there are. Each is made when it is first asked for.
#[derive(Debug)]
pub struct Rooms {
    limits: Limits,
    open: Mutex<HashMap<String, Room>>,
}

#[derive(Debug)]
struct Room {
    hub: Hub,
    /// A name for each connection: who has two tabs is here twice.
    members: Vec<String>,
    used: Instant,
}

/// Somebody in a room; leaves it when dropped.
#[derive(Debug)]
pub struct Member {
    rooms: Arc<Rooms>,
    room: String,
    name: String,
    /// What happens in the room.
    pub subscription: Subscription,
}

impl Rooms {
    /// No room yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        let open = Mutex::default();
        Arc::new(Rooms { limits, open })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room of this name; None if there are too many. Drops those that are idle.
    fn room<'a>(&self, open: &'a mut HashMap<String, Room>, name: &str) -> Option<&'a mut Room> {
        open.retain(|_, room| !room.members.is_empty() || room.used.elapsed() < self.limits.idle);
        if open.len() >= self.limits.rooms && !open.contains_key(name) {
            return None;
        }
        let room = open.entry(name.to_owned()).or_insert_with(|| Room {
            hub: Hub::builder()
                .with_max_events(LOG_EVENTS)
                .with_max_bytes(LOG_BYTES)
                .with_max_subscribers(self.limits.members_of_a_room)
                .build(),
            members: Vec::new(),
            used: Instant::now(),
        });
        room.used = Instant::now();
        Some(room)
    }

    /// None if there is no place. All under the lock, so that a room with somebody in it stays, and so
    /// that the last word on who is here is the truth; nothing of this waits for a client.
    pub fn enter(
        self: &Arc<Self>,
        room: &str,
        name: String,
        last_event_id: &str,
    ) -> Option<Member> {
        let mut open = self.lock();
        let members: usize = open.values().map(|room| room.members.len()).sum();
        if members >= self.limits.members {
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
        let change = entered.change(&name, "joined");
        entered.members.push(name.clone());
        // Behind what is replayed, the newcomer gets this as well.
        entered.tell(change, &name);
        Some(Member {
            rooms: Arc::clone(self),
            room: room.to_owned(),
            name,
            subscription,
        })
    }

    /// Says something in a room; false if there is no place for such a room.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::publish`].
    pub fn say(&self, room: &str, name: &str, text: &str) -> io::Result<bool> {
        let hub = match self.room(&mut self.lock(), room) {
            Some(room) => room.hub.clone(),
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
    /// What it is when somebody of this name comes or goes: nothing if there is another one, such as
    /// the connection before, of which it is not known yet that it is gone.
    fn change(&self, name: &str, change: &'static str) -> &'static str {
        match self.members.iter().any(|member| member == name) {
            true => "still",
            false => change,
        }
    }

    /// Tells everybody who is here now.
    fn tell(&self, change: &str, name: &str) {
        let told = self
            .hub
            .publish_with(&Event::new("").with_name("here"), |data| {
                write!(data, r#"{{"{change}":{},"names":["#, Json(name))?;
                for (n, member) in self.members.iter().enumerate() {
                    write!(data, "{}{}", if n > 0 { "," } else { "" }, Json(member))?;
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
        let mut open = self.rooms.lock();
        let Some(room) = open.get_mut(&self.room) else {
            return;
        };
        if let Some(at) = room.members.iter().position(|name| *name == self.name) {
            room.members.remove(at);
        }
        room.used = Instant::now();
        room.tell(room.change(&self.name, "left"), &self.name);
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

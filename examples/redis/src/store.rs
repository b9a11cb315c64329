//! The Redis Stream: everything that is asked of Redis is asked here.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Client, Cmd, Connection, FromRedisValue, RedisError, RedisResult, Value, cmd};

use crate::entry::{Entry, EntryId, Post};

/// How long a connection may take to come about, and Redis to answer or to take a command.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long a read waits for news before it looks whether the stream is still the same.
const BLOCK: Duration = Duration::from_secs(5);

/// How many connections are kept for the next request.
const MAX_IDLE: usize = 8;

/// How long a post is known by its key, in seconds.
const KEY_TTL: u32 = 600;

/// Adds an entry unless the key says that this was done: then its id is the answer, or nothing if the
/// key was used for another post.
const ADD_ONCE: &str = "\
local post = redis.sha1hex(table.concat(ARGV, '\\0', 3))
local kept = redis.call('GET', KEYS[2])
if kept then
    local id, other = kept:match('^(%S+) (%S+)$')
    return other == post and id or ''
end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], id .. ' ' .. post, 'EX', ARGV[2])
return id";

/// Adds the event `begin`, unless there is something newer than the caller has seen.
const BEGIN: &str = "\
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if (newest and newest[1] or '0-0') == ARGV[1] then
    redis.call('XADD', KEYS[1], '*', 'name', 'begin', 'data', '')
end";

/// An entry as Redis gives it.
type Raw = (String, Vec<Vec<u8>>);

/// Entries that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Those that can be sent.
    pub entries: Vec<Entry>,
    /// The id of the last one, or of the one they follow.
    pub last: EntryId,
    /// Nothing followed when this was read.
    pub is_end: bool,
}

/// The stream, with connections for those who ask now and then. Cloning gives another handle.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    client: Client,
    /// For messages.
    address: String,
    stream: String,
    max_len: usize,
    idle: Mutex<Vec<Connection>>,
}

impl Store {
    /// The stream of this name in the Redis at this address, bounded to about so many entries.
    /// Does not connect yet.
    ///
    /// # Errors
    ///
    /// The address is none.
    pub fn new(url: &str, stream: &str, max_len: usize) -> io::Result<Self> {
        let address = without_password(url);
        let client = Client::open(url).map_err(|error| {
            let message = format!("{address} is no address of Redis: {error}");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        Ok(Store(Arc::new(Inner {
            client,
            address,
            stream: stream.to_owned(),
            max_len,
            idle: Mutex::default(),
        })))
    }

    /// Where this Redis is, without the password.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Appends an entry. With a key, it is appended once, however often this is called with the same
    /// key within ten minutes; without one, a call that failed may have appended it or not.
    ///
    /// # Errors
    ///
    /// Redis is down, or refuses; [`AlreadyExists`](io::ErrorKind::AlreadyExists) if the key was used for
    /// another post.
    pub fn add(&self, post: &Post, key: Option<&str>) -> io::Result<EntryId> {
        let stream = &*self.0.stream;
        let mut command = Cmd::new();
        match key {
            Some(key) => command
                .arg(&["EVAL", ADD_ONCE, "2", stream])
                .arg(format!("{{{stream}}}:key:{key}"))
                .arg(self.0.max_len)
                .arg(KEY_TTL),
            None => command
                .arg(&["XADD", stream, "MAXLEN", "~"])
                .arg(self.0.max_len)
                .arg("*"),
        };
        command.arg(post.fields());
        let id: String = self.ask(&command, key.is_some())?;
        if id.is_empty() {
            let message = "the key was used for another post";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        parse(&id)
    }

    /// Appends an event `begin`, if this is still the newest entry; an id of zeros, if there is none.
    ///
    /// # Errors
    ///
    /// Redis is down, or refuses.
    pub fn begin(&self, newest: EntryId) -> io::Result<()> {
        let mut command = cmd("EVAL");
        command
            .arg(&[BEGIN, "1", &*self.0.stream])
            .arg(newest.to_string());
        self.ask(&command, true)
    }

    /// The newest entries, oldest first, at most so many.
    ///
    /// # Errors
    ///
    /// Redis is down, or refuses.
    pub fn newest(&self, count: usize) -> io::Result<Page> {
        let mut command = cmd("XREVRANGE");
        command
            .arg(&[&*self.0.stream, "+", "-", "COUNT"])
            .arg(count);
        let mut raw: Vec<Raw> = self.ask(&command, true)?;
        raw.reverse();
        page(raw, EntryId::default(), count)
    }

    /// The entries behind this one, at most so many; `None` if it cannot be told which those are.
    ///
    /// # Errors
    ///
    /// Redis is down, or refuses.
    pub fn after(&self, id: EntryId, count: usize) -> io::Result<Option<Page>> {
        // From the entry itself on: if it is there, nothing behind it was trimmed, as that goes from
        // the oldest on. A look at the first entry beforehand would not prove that.
        let mut command = cmd("XRANGE");
        command.arg(&self.0.stream).arg(id.to_string());
        command.arg("+").arg("COUNT").arg(count + 1);
        let mut raw: Vec<Raw> = self.ask(&command, true)?;
        match raw.first() {
            Some((first, _)) if parse(first)? == id => {
                raw.remove(0);
            }
            // It is gone by itself, and was the last one of this page.
            _ if self.is_complete_after(id)? => raw.truncate(count),
            _ => return Ok(None),
        }
        page(raw, id, count).map(Some)
    }

    /// A connection for one who follows the stream.
    ///
    /// # Errors
    ///
    /// Redis is down, or refuses.
    pub fn tail(&self) -> io::Result<Tail> {
        let connection = self.connect().map_err(io::Error::other)?;
        let patience = Some(BLOCK + TIMEOUT);
        connection
            .set_read_timeout(patience)
            .map_err(io::Error::other)?;
        Ok(Tail {
            store: self.clone(),
            connection,
            waits: false,
        })
    }

    /// Of an entry that is not in the stream: whether all that followed it still is. To be asked after
    /// those were read.
    fn is_complete_after(&self, id: EntryId) -> io::Result<bool> {
        let mut command = cmd("XINFO");
        command.arg("STREAM").arg(&self.0.stream);
        let info: HashMap<String, Value> = match self.ask(&command, true) {
            Ok(info) => info,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let id_of = |field| match info.get(field) {
            Some(value) => parse(&String::from_redis_value_ref(value).map_err(io::Error::other)?),
            None => Ok(EntryId::default()),
        };
        if id_of("last-generated-id")? == id {
            // It was the newest, and was deleted or trimmed.
            return Ok(true);
        }
        // One that was deleted with XDEL, which trimming does not count as: there are older ones, so
        // the trimming has not come as far, and the newest deleted one is this one or a newer one.
        // Otherwise this stream never had it: it is from before Redis lost its data, or made up.
        let first = match info.get("first-entry") {
            None | Some(Value::Nil) => return Ok(false),
            Some(value) => {
                Raw::from_redis_value_ref(value)
                    .map_err(io::Error::other)?
                    .0
            }
        };
        Ok(parse(&first)? < id && id <= id_of("max-deleted-entry-id")?)
    }

    /// Asks over a connection that is kept. It may have died since it was used, so what can be asked
    /// twice is asked again over a new one.
    fn ask<T: FromRedisValue>(&self, command: &Cmd, again: bool) -> io::Result<T> {
        let idle = self.idle(Vec::pop);
        let kept = idle.is_some();
        let mut result = self.ask_over(idle, command);
        if again && kept && result.as_ref().is_err_and(RedisError::is_io_error) {
            // The others are as old.
            self.idle(Vec::clear);
            result = self.ask_over(None, command);
        }
        result.map_err(|error| match error.detail() {
            Some("no such key") => io::Error::new(io::ErrorKind::NotFound, error),
            _ => io::Error::other(error),
        })
    }

    fn ask_over<T: FromRedisValue>(
        &self,
        connection: Option<Connection>,
        command: &Cmd,
    ) -> RedisResult<T> {
        let mut connection = match connection {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let answer = command.query(&mut connection)?;
        self.idle(|idle| {
            if idle.len() < MAX_IDLE {
                idle.push(connection);
            }
        });
        Ok(answer)
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = self.0.client.get_connection_with_timeout(TIMEOUT)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection.set_write_timeout(Some(TIMEOUT))?;
        Ok(connection)
    }

    fn idle<T>(&self, change: impl FnOnce(&mut Vec<Connection>) -> T) -> T {
        change(&mut self.0.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("stream", &self.0.stream)
            .field("max_len", &self.0.max_len)
            .finish_non_exhaustive()
    }
}

/// Follows the stream over a connection of its own, as a read that waits occupies it.
pub struct Tail {
    store: Store,
    connection: Connection,
    /// The first read does not wait: the stream may be another one by now.
    waits: bool,
}

impl Tail {
    /// The entries behind this one. Waits for some if there are none, but not for ever: then it is
    /// empty. `None` if it cannot be told which those are, as in [`Store::after`].
    ///
    /// # Errors
    ///
    /// Redis is gone, or refuses. This is of no use any more then.
    pub fn after(&mut self, id: EntryId, count: usize) -> io::Result<Option<Page>> {
        let stream = &*self.store.0.stream;
        let text = id.to_string();
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(count);
        if self.waits {
            read.arg("BLOCK").arg(BLOCK.as_secs() * 1000);
        }
        read.arg(&["STREAMS", stream, &text]);
        let mut look = cmd("XRANGE");
        look.arg(&[stream, &text, &text]);
        let (streams, this): (Vec<(String, Vec<Raw>)>, Vec<Raw>) = redis::pipe()
            .add_command(read)
            .add_command(look)
            .query(&mut self.connection)
            .map_err(io::Error::other)?;
        self.waits = true;
        // It was there after the read, so nothing behind it had been trimmed.
        if this.is_empty() && !self.store.is_complete_after(id)? {
            return Ok(None);
        }
        let raw = streams.into_iter().flat_map(|(_, raw)| raw).collect();
        page(raw, id, count).map(Some)
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// `redis://name:password@host` is told as `redis://host`.
fn without_password(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None => ("", url),
    };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}{host}")
}

fn page(raw: Vec<Raw>, after: EntryId, count: usize) -> io::Result<Page> {
    let mut page = Page {
        is_end: raw.len() < count,
        entries: Vec::with_capacity(raw.len()),
        last: after,
    };
    for (id, fields) in raw {
        let post = Post::from_fields(&fields);
        page.last = parse(&id)?;
        if post.check().is_ok() {
            let id = page.last;
            page.entries.push(Entry { id, post });
        }
    }
    Ok(page)
}

fn parse(id: &str) -> io::Result<EntryId> {
    let malformed = |_| io::Error::new(io::ErrorKind::InvalidData, format!("{id:?} is no id"));
    id.parse().map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_is_not_told() {
        for (url, told) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            (":secret@redis.example", "redis.example"),
            ("redis://:secret@redis.example/1", "redis://redis.example/1"),
            (
                "rediss://me:se@cret@redis.example",
                "rediss://redis.example",
            ),
        ] {
            assert_eq!(without_password(url), told);
        }
    }
}

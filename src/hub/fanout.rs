//! Many connections on few threads.
//!
//! A thread for each connection costs its wake-up for each event, several times what the write costs.
//! Here a [pilot] is woken once for all of its connections that an event is for, and writes to them one
//! after the other, without blocking. The hub tells it which those are, so that an event costs nothing
//! to those that do not take it. What would block is the [slow lane's](slow).
//!
//! A connection is with one thread at a time: the handler's until it has caught up, then the pilot's or
//! one of the slow lane's. It is handed on as a whole, through a lock that is held for a few
//! instructions, so a connection itself needs none.

mod connection;
mod pilot;
mod slow;

use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use self::connection::Connection;
use self::pilot::Pilot;
use self::slow::SlowLane;
use super::serve::Ending;
use super::subscription::Subscription;
use crate::emitter::{Emitter, Heartbeat, Socket};
use crate::sync::{Lane, ignore_poison};

/// How many threads there are for those that block.
const SLOW_THREADS: usize = 2;

/// How many threads there are at most for the others, unless more are asked for.
const DEFAULT_THREADS: usize = 4;

/// Serves any number of connections from a few threads, with sockets that do not block; see
/// [`Subscription::serve_in`].
///
/// One fan-out serves the subscriptions of any number of hubs. Cloning gives another handle to it.
/// Its threads end when the last handle is dropped and the last connection has ended.
///
/// **Threads.** As many as there are processors, four at most, share the connections. One that is woken
/// for many of them costs the least, so each takes a thousand before the next one gets any. When a
/// thread is behind, it joins events into fewer writes.
///
/// Two more threads are there for clients that do not keep up. A connection that is full is waited for
/// there, holds up nobody, and comes back when it has caught up; it ends as [`Gone`](Ending::Gone) when it
/// takes nothing for 20 seconds, and as [`Lagged`](Ending::Lagged) when there are 1,024 such connections
/// already.
///
/// **Filters** run on those threads: one that takes long holds up other connections, and belongs with
/// [`serve`](Subscription::serve). A panic in a filter ends its subscription alone.
///
/// ```
/// use std::io::Read;
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
/// use sse_io::hub::Fanout;
/// use sse_io::{Event, Heartbeat, Hub, ResponseHead};
///
/// let hub = Hub::new();
/// let fanout = Fanout::new()?;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// // What a handler does, when it has read the request:
/// let subscription = hub.subscribe().start()?;
/// let emitter = ResponseHead::new().start(listener.accept()?.0)?;
/// let handed_over = subscription.serve_in(&fanout, emitter, Heartbeat::every(Duration::from_secs(15)));
/// assert!(handed_over.is_ok());
///
/// hub.publish(&Event::new("hello"))?;
/// hub.close();
/// let mut response = String::new();
/// client.read_to_string(&mut response)?;
/// assert!(response.ends_with("data: hello\n\n\r\n0\r\n\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Fanout {
    handles: Arc<Handles>,
}

/// A look at a [`Fanout`]; see [`Fanout::stats`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FanoutStats {
    /// How many connections there are.
    pub connections: usize,
    /// How many of them are waited for, as their clients do not keep up.
    pub slow: usize,
}

/// A [`Fanout`] to be; see [`Fanout::builder`].
#[derive(Clone, Debug)]
#[must_use = "it has no threads before it is built"]
pub struct FanoutBuilder {
    threads: Option<usize>,
    per_thread: usize,
    max_slow: usize,
    write_timeout: Duration,
}

/// What the handles and the threads of a fan-out share.
struct Pool {
    homes: Box<[Home]>,
    /// How many connections a home takes before the next one gets any.
    per_home: usize,
    slow: SlowLane,
    max_slow: usize,
    write_timeout: Duration,
    /// How many there are, wherever they are.
    connections: AtomicUsize,
    /// There is no handle any more, so no connection will be added.
    is_closed: AtomicBool,
}

/// What others see of a pilot.
#[derive(Default)]
struct Home {
    lane: Arc<Lane>,
    /// Connections for it to take in. It is nudged for them.
    arrived: Mutex<Vec<Connection>>,
    /// How many belong to it, the slow ones included.
    connections: AtomicUsize,
}

/// What the handles have in common. With the last of them it is dropped.
struct Handles(Arc<Pool>);

impl Drop for Handles {
    fn drop(&mut self) {
        self.0.is_closed.store(true, SeqCst);
        self.0.nudge();
    }
}

impl Fanout {
    /// A fan-out with the default limits. Starts its threads.
    ///
    /// # Errors
    ///
    /// What the system answers when it has no thread to give.
    ///
    /// ```
    /// use sse_io::hub::Fanout;
    ///
    /// let fanout = Fanout::new()?;
    /// assert_eq!(fanout.clone().stats().connections, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Self> {
        Fanout::builder().build()
    }

    /// A fan-out with other limits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_io::hub::Fanout;
    ///
    /// let fanout = Fanout::builder()
    ///     .with_threads(2)
    ///     .with_max_slow(100)
    ///     .with_write_timeout(Duration::from_secs(5))
    ///     .build()?;
    /// assert_eq!(fanout.stats().connections, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> FanoutBuilder {
        FanoutBuilder {
            threads: None,
            per_thread: 1024,
            max_slow: 1024,
            write_timeout: Duration::from_secs(20),
        }
    }

    /// How many connections there are at this moment; of use as a metric.
    ///
    /// ```
    /// use sse_io::hub::Fanout;
    ///
    /// let stats = Fanout::new()?.stats();
    /// assert_eq!((stats.connections, stats.slow), (0, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stats(&self) -> FanoutStats {
        let pool = &self.handles.0;
        FanoutStats {
            connections: pool.connections.load(SeqCst),
            slow: pool.slow.len(),
        }
    }
}

impl FanoutBuilder {
    /// Sets how many threads share the connections; at least one. Default: as many as there are
    /// processors, four at most.
    ///
    /// ```
    /// use sse_io::hub::Fanout;
    ///
    /// let fanout = Fanout::builder().with_threads(8).build()?;
    /// assert_eq!(fanout.stats().connections, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// Sets how many connections a thread takes before the next one gets any; beyond that, the threads
    /// share them evenly. With zero they do so from the first on, which is for filters that take long
    /// and for events that are large. Default: 1,024.
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use std::sync::mpsc;
    /// use std::thread;
    /// use sse_io::hub::Fanout;
    /// use sse_io::{Emitter, Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let fanout = Fanout::builder().with_threads(2).with_connections_per_thread(0).build()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let (asked, filters) = mpsc::channel();
    /// for _ in 0..2 {
    ///     # let _client = TcpStream::connect(listener.local_addr()?)?;
    ///     # std::mem::forget(_client);
    ///     let emitter = Emitter::new(listener.accept()?.0);
    ///     let asked = asked.clone();
    ///     let subscribe = hub.subscribe().with_filter(move |_| {
    ///         asked.send(thread::current().id()).is_ok()
    ///     });
    ///     assert!(subscribe.start()?.serve_in(&fanout, emitter, None).is_ok());
    /// }
    /// hub.publish(&Event::new("x"))?;
    /// assert_ne!(filters.recv()?, filters.recv()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_connections_per_thread(mut self, connections: usize) -> Self {
        self.per_thread = connections;
        self
    }

    /// Sets how many connections may wait for their clients at once. Each keeps up to 16 KiB, or one
    /// event where that is longer. One more ends as [`Lagged`](Ending::Lagged), in the middle of what it
    /// was sent, and its client comes back with its last event ID. Default: 1,024.
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use std::sync::mpsc;
    /// use sse_io::hub::{Ending, Fanout};
    /// use sse_io::{Emitter, Event, Hub};
    ///
    /// let (hub, fanout) = (Hub::new(), Fanout::builder().with_max_slow(0).build()?);
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let does_not_read = TcpStream::connect(listener.local_addr()?)?;
    /// let emitter = Emitter::new(listener.accept()?.0);
    /// let (left, leaving) = mpsc::channel();
    /// let subscription = hub.subscribe().start()?.on_ended(move |ended| left.send(ended).unwrap());
    /// assert!(subscription.serve_in(&fanout, emitter, None).is_ok());
    ///
    /// // More than the system takes in.
    /// let large = "x".repeat(1 << 20);
    /// let ended = loop {
    ///     hub.publish(&Event::new(&large))?;
    ///     if let Ok(ended) = leaving.try_recv() {
    ///         break ended;
    ///     }
    /// };
    /// assert!(matches!(ended, Ending::Lagged { .. }));
    /// # drop(does_not_read);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_max_slow(mut self, connections: usize) -> Self {
        self.max_slow = connections;
        self
    }

    /// Sets how long a full connection may take nothing before it ends as [`Gone`](Ending::Gone). Half a
    /// second more may go by until that is noticed. Default: 20 seconds.
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    /// use sse_io::hub::{Ending, Fanout};
    /// use sse_io::{Emitter, Event, Hub};
    ///
    /// let (hub, timeout) = (Hub::new(), Duration::from_millis(100));
    /// let fanout = Fanout::builder().with_write_timeout(timeout).build()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let does_not_read = TcpStream::connect(listener.local_addr()?)?;
    /// let emitter = Emitter::new(listener.accept()?.0);
    /// let (left, leaving) = mpsc::channel();
    /// let subscription = hub.subscribe().start()?.on_ended(move |ended| left.send(ended).unwrap());
    /// assert!(subscription.serve_in(&fanout, emitter, None).is_ok());
    ///
    /// // More than the system takes in, and less than the log holds.
    /// hub.publish(&Event::new("x".repeat(7 << 20)))?;
    /// assert!(matches!(leaving.recv()?, Ending::Gone(_)));
    /// # drop(does_not_read);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Starts the threads, named `sse-fanout` and `sse-slow`.
    ///
    /// # Errors
    ///
    /// What the system answers when it has no thread to give.
    ///
    /// ```
    /// use sse_io::hub::Fanout;
    ///
    /// assert!(Fanout::builder().build().is_ok());
    /// ```
    pub fn build(self) -> io::Result<Fanout> {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let threads = self
            .threads
            .unwrap_or_else(|| processors().min(DEFAULT_THREADS));
        let pool = Arc::new(Pool {
            homes: (0..threads).map(|_| Home::default()).collect(),
            per_home: self.per_thread,
            slow: SlowLane::default(),
            max_slow: self.max_slow,
            write_timeout: self.write_timeout,
            connections: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        });
        // If one thread fails to start, dropping this ends the others.
        let handles = Arc::new(Handles(Arc::clone(&pool)));
        for home in 0..threads {
            let pilot = Pilot::new(Arc::clone(&pool), home);
            let thread = thread::Builder::new().name("sse-fanout".into());
            thread.spawn(move || pilot.run())?;
        }
        for _ in 0..SLOW_THREADS {
            let pool = Arc::clone(&pool);
            let thread = thread::Builder::new().name("sse-slow".into());
            thread.spawn(move || pool.slow.run(&pool))?;
        }
        Ok(Fanout { handles })
    }
}

impl Subscription {
    /// Hands a connection over to a fan-out, whose threads send everything to it from then on, until
    /// the client goes, the hub is closed, or the subscription lags. Returns when the connection has
    /// caught up: what is replayed, and the [`History`](super::History), go out on this thread, which
    /// blocks for that as with [`serve`](Subscription::serve).
    ///
    /// All else is as with `serve`: the order of events, topics and filters, what is joined into one
    /// write, heartbeats, what a lag and a gap come to. The differences:
    ///
    /// - The connection is ended properly, with its last chunk, whatever ends it, and its socket and its
    ///   place at the hub are free then. Who wants to know how it ended has
    ///   [`on_ended`](Subscription::on_ended).
    /// - A client that hangs up is noticed within two seconds without an event. What the client
    ///   sends is read and thrown away.
    /// - A heartbeat may come up to a second late, or an interval where that is shorter.
    /// - The connection is the fan-out's: for other handles of the emitter the stream is closed. Do not
    ///   [watch](Emitter::watch) it.
    ///
    /// # Errors
    ///
    /// How it has ended before it was handed over; the connection is ended as well. A socket that
    /// cannot be handed over, as it is watched or cannot be set not to block, is [`Gone`](Ending::Gone).
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use sse_io::hub::Fanout;
    /// use sse_io::{Emitter, Event, Hub, Reader};
    ///
    /// let (hub, fanout) = (Hub::new(), Fanout::new()?);
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut clients = Vec::new();
    /// for topic in ["a", "b"] {
    ///     clients.push(TcpStream::connect(listener.local_addr()?)?);
    ///     let emitter = Emitter::new(listener.accept()?.0);
    ///     let subscription = hub.subscribe().with_topics([topic]).start()?;
    ///     assert!(subscription.serve_in(&fanout, emitter, None).is_ok());
    /// }
    /// hub.publish_to(["a"], &Event::new("for the first"))?;
    /// hub.publish_to(["b"], &Event::new("for the second"))?;
    /// hub.close();
    /// for (client, wanted) in clients.into_iter().zip(["for the first", "for the second"]) {
    ///     let mut reader = Reader::new(std::io::BufReader::new(client));
    ///     assert_eq!(reader.read_event()?.unwrap().data, wanted);
    ///     assert!(reader.read_event()?.is_none());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn serve_in<S: Socket + 'static>(
        mut self,
        fanout: &Fanout,
        emitter: Emitter<S>,
        heartbeat: impl Into<Option<Heartbeat>>,
    ) -> Result<(), Ending> {
        let heartbeat = heartbeat.into();
        self.catch_up(&emitter, heartbeat.as_ref())?;
        let (socket, framing) = match emitter.hand_over() {
            Ok(Some(parts)) => parts,
            Ok(None) => return Err(Ending::Closed),
            Err(error) => return Err(Ending::Gone(error)),
        };
        let pool = &fanout.handles.0;
        let home = pool.next_home();
        let connection = Connection::new(Box::new(socket), framing, self, heartbeat, home);
        connection.set_nonblocking().map_err(Ending::Gone)?;
        pool.connections.fetch_add(1, SeqCst);
        pool.homes[home].connections.fetch_add(1, SeqCst);
        pool.take_back(connection);
        Ok(())
    }
}

impl Pool {
    /// Whether the threads have nothing to do any more.
    fn is_over(&self) -> bool {
        self.is_closed.load(SeqCst) && self.connections.load(SeqCst) == 0
    }

    /// Has all threads look whether it is over.
    fn nudge(&self) {
        self.homes.iter().for_each(|home| home.lane.nudge());
        self.slow.nudge();
    }

    /// The home for one more connection: the first that is not full, or the one with the fewest.
    fn next_home(&self) -> usize {
        let with_it = |home: &usize| {
            let connections = self.homes[*home].connections.load(SeqCst) + 1;
            connections.max(self.per_home)
        };
        let homes = 0..self.homes.len();
        homes.min_by_key(with_it).unwrap_or_default()
    }

    /// Has a connection's home take it in.
    fn take_back(&self, connection: Connection) {
        let home = &self.homes[connection.home];
        ignore_poison(home.arrived.lock()).push(connection);
        home.lane.nudge();
    }

    /// Has the slow lane go on with a connection.
    fn slow_down(&self, connection: Connection) {
        if let Some(connection) = self.slow.push(connection, self.max_slow) {
            let missed = connection.subscription.give_up();
            self.close(connection, Ending::Lagged { missed });
        }
    }

    fn close(&self, mut connection: Connection, ended: Ending) {
        let home = connection.home;
        // What is the user's (hook, filter, socket) may panic.
        if let Ending::Panicked = ended {
            guard(|| connection.try_end());
        }
        let hook = connection.subscription.end_hook.take();
        guard(|| drop(connection));
        self.homes[home].connections.fetch_sub(1, SeqCst);
        let left = self.connections.fetch_sub(1, SeqCst) - 1;
        if left == 0 && self.is_closed.load(SeqCst) {
            self.nudge();
        }
        if let Some(hook) = hook {
            guard(|| hook(ended));
        }
    }
}

impl Home {
    fn take_arrived(&self) -> Vec<Connection> {
        mem::take(&mut *ignore_poison(self.arrived.lock()))
    }
}

impl fmt::Debug for Fanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FanoutStats { connections, slow } = self.stats();
        f.debug_struct("Fanout")
            .field("connections", &connections)
            .field("slow", &slow)
            .finish_non_exhaustive()
    }
}

/// Runs what may run the user's code; None when that panicked. What it changed is given up then.
fn guard<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn hung_up() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the client hung up")
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Instant;

    use super::*;
    use crate::{Event, Hub};

    fn pool(fanout: &Fanout) -> Weak<Pool> {
        Arc::downgrade(&fanout.handles.0)
    }

    /// Waits until all threads have ended.
    fn wait_until_over(pool: &Weak<Pool>) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while pool.strong_count() > 0 {
            assert!(Instant::now() < deadline, "threads are left");
            thread::yield_now();
        }
    }

    #[test]
    fn the_threads_end_with_the_last_handle() {
        let fanout = Fanout::new().unwrap();
        let threads = pool(&fanout);
        drop(fanout.clone());
        assert!(!threads.upgrade().expect("a handle is left").is_over());
        drop(fanout);
        wait_until_over(&threads);
    }

    #[test]
    fn the_threads_end_with_the_last_connection() {
        // Whether they wait by then is chance.
        for _ in 0..20 {
            let (hub, fanout) = (Hub::new(), Fanout::new().unwrap());
            let threads = pool(&fanout);
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let _clients = [(); 2].map(|()| {
                let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let emitter = Emitter::new(listener.accept().unwrap().0);
                let subscription = hub.subscribe().start().unwrap();
                subscription.serve_in(&fanout, emitter, None).unwrap();
                client
            });
            drop(fanout);
            hub.publish(&Event::new("x")).unwrap();
            assert!(!threads.upgrade().expect("connections are left").is_over());
            (0..100).for_each(|_| thread::yield_now());
            hub.close();
            wait_until_over(&threads);
        }
    }
}

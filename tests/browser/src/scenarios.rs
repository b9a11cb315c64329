//! The scenarios: what each stream sends, and a server that plays them to the page.
//!
//! `tiny_http` serves the page, takes its reports and serves most streams. Some streams need what it
//! does not give, the socket itself or header values that are not ASCII: they come from a bare
//! `TcpListener`, which is another origin to the page.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sse_io::hub::{Ending, IdPolicy, Resumption};
use sse_io::{Emitter, Event, Heartbeat, Hub, ResponseHead, http};
use tiny_http::{HTTPVersion, Header, Request, Response, Server};

use crate::chromium::Chromium;

/// How long anything may take before it has hung.
const DEADLINE: Duration = Duration::from_secs(60);

/// The reconnection time of all streams but `patient`.
const RETRY: Duration = Duration::from_millis(50);

/// The reconnection time of `patient`: longer than Chromium's own of 3 seconds.
pub const LONG_RETRY: Duration = Duration::from_secs(5);

/// The steps of the stream `live`.
pub const STEPS: usize = 20;

/// Data that has to arrive as it is.
pub const TEXTS: &[&str] = &[
    "one\ntwo\n\nfour",
    "\n",
    "ends with a break\n",
    "  leading and trailing spaces  ",
    ": no comment",
    "data: no field",
    "{\"json\": [1, 9007199254740993, \"\\n\"]}",
    "🎉 👩\u{200d}👩\u{200d}👧 𝒳",
    "事件流 イベント 이벤트",
    "\u{feff}at the start, \u{feff} inside",
    "line\u{2028}paragraph\u{2029}next\u{85}line",
    "\0 \u{1b} \t",
];

/// An id that a browser sends back as UTF-8.
pub const FOREIGN_ID: &str = "№ 7, ид-日本-🎉";

/// How many events `resumed` and `cut` send altogether, and in each connection.
pub const EVENTS: u64 = 20;
const EVENTS_AT_A_TIME: u64 = 5;

/// The hub of `quiet`: how many events its log has, and how many are for others while the client of the
/// quiet topic is there.
const LOG: usize = 16;
pub const FOR_OTHERS: usize = 50 * LOG;

type Stream = fn(Attempt<'_>) -> io::Result<()>;

/// What serves a stream.
#[derive(Clone, Copy)]
enum By {
    TinyHttp,
    Socket,
}

/// Played beside the others, because it takes its time.
const ASIDE: (&str, By, &[&str], Stream) = ("patient", By::TinyHttp, &["message"], patient);

/// Each stream: its name, the event types that the page listens for, what is sent.
const OTHERS: &[(&str, By, &[&str], Stream)] = &[
    ("live", By::TinyHttp, &["message"], live),
    ("named", By::TinyHttp, &["message", "tick", "Tick"], named),
    ("texts", By::TinyHttp, &["message"], texts),
    ("unknown", By::TinyHttp, &["message"], unknown),
    ("resumed", By::TinyHttp, &["message"], resumed),
    ("cut", By::Socket, &["message"], cut),
    ("quiet", By::TinyHttp, &["message"], quiet),
    ("foreign", By::Socket, &["message"], foreign),
    ("gone", By::TinyHttp, &["message"], gone),
    ("failed", By::TinyHttp, &["message"], failed),
    ("mistyped", By::TinyHttp, &["message"], mistyped),
];

/// The page gets an event only after it has reported the one before.
fn live(mut attempt: Attempt<'_>) -> io::Result<()> {
    let emitter = attempt.start()?;
    for step in 1..=STEPS {
        emitter.emit(&Event::new(step.to_string()))?;
        // The first report is that of the open stream.
        attempt
            .records
            .wait_for(attempt.scenario, |record| record.reports.len() > step)?;
    }
    end(&emitter)
}

fn named(mut attempt: Attempt<'_>) -> io::Result<()> {
    let emitter = attempt.start()?;
    emitter.emit(&Event::new("no name"))?;
    emitter.emit(&Event::new("a tick").with_name("tick"))?;
    emitter.emit(&Event::new("for nobody").with_name("tock"))?;
    emitter.emit(&Event::new("a name of its own").with_name("Tick"))?;
    emitter.emit(&Event::new("the default by name").with_name("message"))?;
    emitter.emit(&Event::new("no name again"))?;
    end(&emitter)
}

fn texts(mut attempt: Attempt<'_>) -> io::Result<()> {
    let emitter = attempt.start()?;
    for text in TEXTS {
        emitter.emit(&Event::new(*text))?;
    }
    end(&emitter)
}

/// Comments and unknown fields between events, and an event without data.
fn unknown(mut attempt: Attempt<'_>) -> io::Result<()> {
    let emitter = attempt.start()?;
    emitter.comment("")?;
    emitter.emit(&Event::new("").with_id("1"))?;
    emitter.comment("data: a comment\n\ndata: and more of it")?;
    let extended = Event::new("extended").with_extension("trace", "abc");
    emitter.emit(&extended.with_extension("Data", "not this"))?;
    emitter.comment("id: 2")?;
    end(&emitter)
}

/// The emitter is dropped after a few events: the response ends properly, and the page comes back.
fn resumed(mut attempt: Attempt<'_>) -> io::Result<()> {
    let emitter = attempt.start()?;
    let last = attempt.emit_some(&emitter)?;
    if last == EVENTS {
        end(&emitter)
    } else {
        Ok(())
    }
}

/// Each connection breaks in another place of an event that is not whole.
fn cut(mut attempt: Attempt<'_>) -> io::Result<()> {
    let emitter = attempt.start()?;
    let last = attempt.emit_some(&emitter)?;
    if last == EVENTS {
        return end(&emitter);
    }
    let mut socket = attempt.socket.as_ref().expect("the stream has a socket");
    let event = format!("id: {}\ndata: never whole\n", last + 1);
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    let broken = match attempt.number {
        1 => chunk[..chunk.len() / 2].to_owned(), // within the chunk
        2 => chunk,                               // between chunks, within the event
        _ => chunk + "0\r\n\r\n",                 // within the event, at a proper end
    };
    socket.write_all(broken.as_bytes())?;
    socket.shutdown(Shutdown::Both)
}

/// One event for the page, then many for others: the log has let go of the page's one long since when it
/// comes back, and has one more for it.
fn quiet(mut attempt: Attempt<'_>) -> io::Result<()> {
    static HUB: LazyLock<Hub> = LazyLock::new(|| {
        let builder = Hub::builder().with_id_policy(IdPolicy::Own);
        builder.with_max_events(LOG).build()
    });
    let publish = |topic, id: usize| {
        let event = Event::new(topic).with_id(id.to_string());
        HUB.publish_to([topic], &event).map_err(io::Error::other)
    };
    let subscribe = HUB.subscribe().with_topics(["quiet"]);
    if attempt.number == 1 {
        let sent = attempt.record_sent();
        let emitter = attempt.start()?;
        let mut subscription = subscribe.start()?;
        return thread::scope(|scope| {
            let often = Heartbeat::every(Duration::from_millis(1));
            let server = emitter.clone();
            scope.spawn(move || subscription.serve(&server, often));
            let steps = || {
                publish("quiet", 1)?;
                attempt
                    .records
                    .wait_for(attempt.scenario, |record| record.reports.len() > 1)?;
                for id in 0..FOR_OTHERS {
                    publish("busy", 2 + id)?;
                }
                sent.wait_for(&format!("id: {}\n\n", 1 + FOR_OTHERS))
            };
            let taken = steps();
            // The connection ends as well, whatever came of them: no step holds up the server's thread.
            emitter.close();
            taken
        });
    }
    publish("quiet", 2 + FOR_OTHERS)?;
    let id = attempt.last_event_id.clone().unwrap_or_default();
    let mut subscription = subscribe.with_last_event_id(id).start()?;
    if !matches!(
        subscription.resumption(),
        Resumption::Resumed { replayed: 1, .. }
    ) {
        let message = format!("{:?}", subscription.resumption());
        return Err(io::Error::other(message));
    }
    HUB.close();
    let emitter = attempt.start()?;
    match subscription.serve(&emitter, None) {
        Ending::Closed => end(&emitter),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

/// An id that is not ASCII has to come back when the connection does.
fn foreign(mut attempt: Attempt<'_>) -> io::Result<()> {
    let emitter = attempt.start()?;
    match attempt.number {
        1 => emitter.emit(&Event::new("").with_id(FOREIGN_ID)).map(drop),
        _ => end(&emitter),
    }
}

/// A reconnection time in the head, then one in an event.
fn patient(mut attempt: Attempt<'_>) -> io::Result<()> {
    match attempt.number {
        1 => attempt.start_with_retry(LONG_RETRY).map(drop),
        2 => {
            let emitter = attempt.start_with_retry(Duration::from_secs(3600))?;
            emitter.emit(&Event::new("sooner").with_retry(RETRY))?;
            Ok(())
        }
        _ => end(&attempt.start()?),
    }
}

/// One event; from the second connection on, the client is told to stop.
fn gone(mut attempt: Attempt<'_>) -> io::Result<()> {
    if attempt.number > 1 {
        return attempt.refuse(204);
    }
    attempt.start()?.emit(&Event::new("the only one"))?;
    Ok(())
}

fn failed(mut attempt: Attempt<'_>) -> io::Result<()> {
    attempt.refuse(500)
}

fn mistyped(mut attempt: Attempt<'_>) -> io::Result<()> {
    attempt.head = attempt.head.with_header("Content-Type", "text/plain");
    end(&attempt.start()?)
}

fn end<W: Write>(emitter: &Emitter<W>) -> io::Result<()> {
    emitter.emit(&Event::new("").with_name("end")).map(drop)
}

/// A request for the stream of a scenario.
struct Attempt<'a> {
    scenario: &'a str,
    records: &'a Records,
    /// Counted from 1.
    number: usize,
    last_event_id: Option<String>,
    head: ResponseHead,
    /// None once the response has begun.
    connection: Option<Box<dyn Write + Send>>,
    /// The connection's socket, where it can be reached.
    socket: Option<TcpStream>,
}

impl Attempt<'_> {
    fn start(&mut self) -> io::Result<Emitter> {
        self.start_with_retry(RETRY)
    }

    fn start_with_retry(&mut self, retry: Duration) -> io::Result<Emitter> {
        let connection = self.connection.take().expect("it is started once");
        self.head.clone().with_retry(retry).start(connection)
    }

    /// Has what is sent from now on be told. To be called before the start.
    fn record_sent(&mut self) -> Sent {
        let (told, writes) = mpsc::channel();
        let connection = self.connection.take().expect("it is not started");
        self.connection = Some(Box::new(Recorded { connection, told }));
        Sent(writes)
    }

    fn refuse(&mut self, status: u16) -> io::Result<()> {
        let connection = self.connection.take().expect("it is answered once");
        self.head.clone().refuse(status, connection)
    }

    /// Emits the events after the client's last one, a few of them. Returns the number of the last.
    fn emit_some(&self, emitter: &Emitter) -> io::Result<u64> {
        let id = self.last_event_id.as_deref().unwrap_or("0");
        let seen: u64 = id
            .parse()
            .map_err(|_| io::Error::other(format!("{id:?} was never sent")))?;
        let last = seen + EVENTS_AT_A_TIME;
        for number in seen + 1..=last {
            emitter.emit(&Event::new(format!("event {number}")).with_id(number.to_string()))?;
        }
        Ok(last)
    }
}

/// A connection whose writes are told.
struct Recorded {
    connection: Box<dyn Write + Send>,
    told: mpsc::Sender<Vec<u8>>,
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.connection.write(bytes)?;
        // Nobody may care any more.
        let _ = self.told.send(bytes[..written].to_vec());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.connection.flush()
    }
}

/// What was written to a connection.
struct Sent(mpsc::Receiver<Vec<u8>>);

impl Sent {
    fn wait_for(&self, wanted: &str) -> io::Result<()> {
        let mut sent = Vec::new();
        while !String::from_utf8_lossy(&sent).contains(wanted) {
            let more = self.0.recv_timeout(DEADLINE).map_err(|error| {
                let sent = String::from_utf8_lossy(&sent);
                io::Error::other(format!("{wanted:?}: {error}, after {sent:?}"))
            })?;
            sent.extend(more);
        }
        Ok(())
    }
}

/// What has happened in one scenario.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The requests for its stream: when each came, and its `Last-Event-ID`.
    pub requests: Vec<(Instant, Option<String>)>,
    /// What the page has seen, in order.
    pub reports: Vec<Value>,
    /// What went wrong on the server's side.
    pub errors: Vec<String>,
}

/// The records of all scenarios, by name.
#[derive(Debug, Default)]
struct Records {
    by_name: Mutex<HashMap<String, Record>>,
    changed: Condvar,
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Record>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a record, a new one if need be.
    fn update<T>(&self, scenario: &str, change: impl FnOnce(&mut Record) -> T) -> T {
        let changed = change(self.lock().entry(scenario.to_owned()).or_default());
        self.changed.notify_all();
        changed
    }

    fn wait_for(&self, scenario: &str, fulfilled: impl Fn(&Record) -> bool) -> io::Result<()> {
        let (_records, waited) = self
            .changed
            .wait_timeout_while(self.lock(), DEADLINE, |records| {
                !records.get(scenario).is_some_and(&fulfilled)
            })
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let message = format!("the page did not get on with {scenario}");
            return Err(io::Error::new(ErrorKind::TimedOut, message));
        }
        Ok(())
    }

    /// Plays a scenario's stream to a client.
    fn serve(&self, scenario: &str, stream: Stream, client: Client) {
        let id = client.last_event_id;
        let number = self.update(scenario, |record| {
            record.requests.push((Instant::now(), id.clone()));
            record.requests.len()
        });
        let attempt = Attempt {
            scenario,
            records: self,
            number,
            last_event_id: id,
            head: client.head,
            connection: Some(client.connection),
            socket: client.socket,
        };
        if let Err(error) = stream(attempt) {
            self.update(scenario, |record| record.errors.push(error.to_string()));
        }
    }
}

/// A client that wants a stream.
struct Client {
    head: ResponseHead,
    last_event_id: Option<String>,
    connection: Box<dyn Write + Send>,
    socket: Option<TcpStream>,
}

/// Plays all scenarios in a browser and returns what happened in each.
pub fn play() -> io::Result<HashMap<String, Record>> {
    let records = Arc::new(Records::default());

    let sockets = TcpListener::bind("127.0.0.1:0")?;
    let sockets_origin = format!("http://{}", sockets.local_addr()?);
    let for_sockets = Arc::clone(&records);
    thread::spawn(move || {
        for connection in sockets.incoming().flatten() {
            let records = Arc::clone(&for_sockets);
            thread::spawn(move || {
                if let Err(error) = answer_socket(connection, &records) {
                    records.update("(all)", |record| record.errors.push(error.to_string()));
                }
            });
        }
    });

    let listener = TcpListener::bind("127.0.0.1:0")?;
    http::tune_listener(&listener, true, Some(DEADLINE))?;
    let page = format!("http://{}/", listener.local_addr()?);
    let server = Server::from_listener(listener, None).map_err(io::Error::other)?;
    let for_server = Arc::clone(&records);
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let records = Arc::clone(&for_server);
            let origin = sockets_origin.clone();
            thread::spawn(move || {
                if let Err(error) = answer(request, &origin, &records) {
                    records.update("(all)", |record| record.errors.push(error.to_string()));
                }
            });
        }
    });

    let mut browser = Chromium::start()?;
    browser.open(&page)?;
    let played = records.wait_for("(all)", |all| {
        !all.reports.is_empty() || !all.errors.is_empty()
    });
    // Before the browser goes: the connections that it takes along would count as errors.
    let by_name = records.lock().clone();
    drop(browser);
    match played {
        Err(error) => Err(io::Error::other(format!("{error}; so far: {by_name:#?}"))),
        Ok(()) => Ok(by_name),
    }
}

fn answer(mut request: Request, sockets: &str, records: &Records) -> io::Result<()> {
    let url = request.url().to_owned();
    match url.split_once('?').unwrap_or((&url, "")) {
        ("/", _) => {
            let html = header("Content-Type: text/html; charset=utf-8");
            request.respond(Response::from_string(include_str!("page.html")).with_header(html))
        }
        ("/scenarios", _) => {
            let describe = |(name, by, types, _): &(&str, By, &[&str], Stream)| match by {
                By::TinyHttp => json!({ "name": name, "types": types, "url": name }),
                By::Socket => {
                    json!({ "name": name, "types": types, "url": format!("{sockets}/{name}") })
                }
            };
            let others: Vec<Value> = OTHERS.iter().map(describe).collect();
            let all = json!({ "aside": describe(&ASIDE), "others": others });
            request.respond(Response::from_string(all.to_string()))
        }
        ("/report", scenario) => {
            let report = serde_json::from_reader(request.as_reader())?;
            records.update(scenario, |record| record.reports.push(report));
            request.respond(Response::empty(204))
        }
        (path, _) => match stream_of(path) {
            Some((name, stream)) => {
                let HTTPVersion(major, minor) = *request.http_version();
                let client = Client {
                    head: ResponseHead::for_version(major, minor),
                    last_event_id: last_event_id(&request),
                    connection: request.into_writer(),
                    socket: None,
                };
                records.serve(name, stream, client);
                Ok(())
            }
            None => request.respond(Response::empty(404)),
        },
    }
}

/// Answers the one request of a connection, whose `Last-Event-ID` may be any UTF-8.
fn answer_socket(connection: TcpStream, records: &Records) -> io::Result<()> {
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(DEADLINE))?;
    let mut reader = BufReader::new((&connection).take(64 << 10));
    if reader.fill_buf().map_or(true, <[u8]>::is_empty) {
        return Ok(()); // a connection that the browser opened in advance, and did not need
    }
    let mut lines = reader.lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut last_event_id = None;
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("Last-Event-ID") => {
                last_event_id = Some(value.to_owned());
            }
            Some(_) => {}
            None => break,
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (name, stream) =
        stream_of(path).ok_or_else(|| io::Error::other(format!("no stream for {request:?}")))?;
    let client = Client {
        head: ResponseHead::new()
            .with_header("Connection", "close")
            .with_header("Access-Control-Allow-Origin", "*"),
        last_event_id,
        connection: Box::new(connection.try_clone()?),
        socket: Some(connection),
    };
    records.serve(name, stream, client);
    Ok(())
}

fn stream_of(path: &str) -> Option<(&'static str, Stream)> {
    let wanted = path.strip_prefix('/')?;
    let mut all = OTHERS.iter().chain([&ASIDE]);
    let (name, _, _, stream) = all.find(|(name, ..)| *name == wanted)?;
    Some((name, *stream))
}

fn last_event_id(request: &Request) -> Option<String> {
    let headers = request.headers();
    let header = headers
        .iter()
        .find(|header| header.field.equiv("Last-Event-ID"))?;
    Some(header.value.to_string())
}

fn header(line: &str) -> Header {
    line.parse().expect("a valid header")
}

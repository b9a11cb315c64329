//! Serving connections from a fan-out: everything that `serve` promises, on a few threads.

use crate::util;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::hub::{
    Ending, Fanout, FanoutBuilder, Frame, GapPolicy, History, IdPolicy, LagPolicy, Peer,
    Resumption, Socket, Subscription,
};
use sse_io::{Emitter, Event, Heartbeat, Hub, Reader, ResponseHead};
use util::writers::DEADLINE;
use util::{Rng, within};

/// Long enough that no heartbeat comes by itself in a test.
const NEVER: Heartbeat = Heartbeat::every(Duration::from_secs(3600));

fn own() -> Hub {
    Hub::builder().with_id_policy(IdPolicy::Own).build()
}

fn publish(hub: &Hub, id: &str) {
    hub.publish(&Event::new(id).with_id(id)).unwrap();
}

fn frame(id: &str) -> String {
    format!("id: {id}\ndata: {id}\n\n")
}

/// A client and its connection.
fn connect() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Hands a connection over; the receiver is told how it ended.
fn hand_over<S: Socket + 'static>(
    subscription: Subscription,
    fanout: &Fanout,
    emitter: Emitter<S>,
    heartbeat: impl Into<Option<Heartbeat>>,
) -> Receiver<Ending> {
    let (told, ended) = mpsc::channel();
    let subscription = subscription.on_ended(move |ended| {
        // The test may be over.
        let _ = told.send(ended);
    });
    subscription.serve_in(fanout, emitter, heartbeat).unwrap();
    ended
}

/// Hands a connection over that takes everything, for a subscription to everything.
fn connect_valve(hub: &Hub, fanout: &Fanout) -> (Valve, Receiver<Ending>) {
    let valve = Valve::open();
    let subscription = hub.subscribe().start().unwrap();
    let end = hand_over(subscription, fanout, valve.emitter(), NEVER);
    (valve, end)
}

fn connect_valves(
    hub: &Hub,
    fanout: &Fanout,
    number: usize,
) -> (Vec<Valve>, Vec<Receiver<Ending>>) {
    (0..number).map(|_| connect_valve(hub, fanout)).unzip()
}

#[track_caller]
fn ended(receiver: &Receiver<Ending>) -> Ending {
    receiver.recv_timeout(DEADLINE).expect("it ends")
}

/// The data of the events that a client gets, to the end of its stream.
fn read_all(client: impl Read + Send + 'static) -> Vec<String> {
    within(DEADLINE, move || {
        let mut reader = Reader::new(BufReader::new(client));
        let events = reader
            .events()
            .map(|event| event.unwrap().data.into_owned());
        events.collect()
    })
}

fn read_text(mut client: impl Read + Send + 'static) -> String {
    within(DEADLINE, move || {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    })
}

/// The body of a chunked response, whose last chunk must have come.
fn body(client: impl Read + Send + 'static) -> String {
    let text = read_text(client);
    let (_, mut rest) = text.split_once("\r\n\r\n").expect("a head");
    let mut body = String::new();
    loop {
        let (size, chunk) = rest.split_once("\r\n").expect("the size of a chunk");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            assert_eq!(chunk, "\r\n", "nothing behind the last chunk");
            return body;
        }
        body.push_str(&chunk[..size]);
        rest = chunk[size..]
            .strip_prefix("\r\n")
            .expect("the end of a chunk");
    }
}

// A connection with a script.

/// A socket that takes what it is told to, and shows what it has taken.
#[derive(Clone, Default)]
struct Valve(Arc<(Mutex<Script>, Condvar)>);

#[derive(Default)]
struct Script {
    taken: Vec<u8>,
    /// How many bytes it still takes.
    room: usize,
    blocks: bool,
    timeout: Option<Duration>,
    has_hung_up: bool,
    fails: Option<ErrorKind>,
    /// So many writes are interrupted before anything is taken.
    interruptions: usize,
    /// How often it was asked whether its peer has hung up.
    looks: usize,
    /// So many bytes it takes after that.
    room_at_a_look: usize,
    panics: bool,
    /// How much of what it has taken was flushed.
    flushed: usize,
    is_dropped: bool,
}

/// The end that a fan-out has.
struct ValveSocket(Valve);

impl Valve {
    fn with<T>(&self, work: impl FnOnce(&mut Script) -> T) -> T {
        let result = work(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
        result
    }

    fn open() -> Self {
        let valve = Valve::default();
        valve.give(usize::MAX);
        valve
    }

    fn give(&self, room: usize) {
        self.with(|script| script.room = room);
    }

    fn text(&self) -> String {
        self.with(|script| String::from_utf8(script.taken.clone()).unwrap())
    }

    fn wait_until(&self, wanted: impl Fn(&Script) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut script = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !wanted(&script) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it did not come");
            let waited = self.0.1.wait_timeout(script, left);
            script = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until this is the last that was taken, and is flushed.
    fn wait_for(&self, text: &str) {
        self.wait_until(|script| script.taken[..script.flushed].ends_with(text.as_bytes()));
    }

    fn socket(&self) -> ValveSocket {
        self.with(|script| script.blocks = true);
        ValveSocket(self.clone())
    }

    fn emitter(&self) -> Emitter<ValveSocket> {
        Emitter::new(self.socket())
    }
}

impl Write for ValveSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mutex, changed) = &*self.0.0;
        let mut script = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = script.timeout.map(|timeout| Instant::now() + timeout);
        while script.room == 0 && script.fails.is_none() {
            if std::mem::take(&mut script.panics) {
                script.room = usize::MAX;
                panic!("it panics on demand, and takes everything from then on");
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if !script.blocks || left.is_some_and(|left| left.is_zero()) {
                return Err(ErrorKind::WouldBlock.into());
            }
            let left = left.unwrap_or(DEADLINE);
            let waited = changed.wait_timeout(script, left);
            script = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(kind) = script.fails {
            return Err(kind.into());
        }
        if script.interruptions > 0 {
            script.interruptions -= 1;
            return Err(ErrorKind::Interrupted.into());
        }
        let count = bytes.len().min(script.room);
        script.room -= if script.room == usize::MAX { 0 } else { count };
        script.taken.extend_from_slice(&bytes[..count]);
        changed.notify_all();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.with(|script| script.flushed = script.taken.len());
        Ok(())
    }
}

impl Socket for ValveSocket {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.with(|script| script.blocks = !nonblocking);
        Ok(())
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.with(|script| script.timeout = timeout);
        Ok(())
    }

    fn has_hung_up(&self) -> bool {
        self.0.with(|script| {
            script.looks += 1;
            script.room = script.room.max(script.room_at_a_look);
            script.has_hung_up
        })
    }

    fn peer(&self) -> io::Result<Peer> {
        Err(ErrorKind::Unsupported.into())
    }
}

impl Drop for ValveSocket {
    fn drop(&mut self) {
        self.0.with(|script| script.is_dropped = true);
    }
}

/// Something of the user's whose end looks at its hub and its fan-out, and is told.
struct Curious(Hub, Fanout, Sender<()>);

impl Drop for Curious {
    fn drop(&mut self) {
        self.0.stats();
        drop(self.0.subscribe().start());
        self.1.stats();
        // The test waits for as many as it needs.
        let _ = self.2.send(());
    }
}

/// A socket that holds one.
struct CuriousSocket {
    socket: ValveSocket,
    _curious: Curious,
}

impl Write for CuriousSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Socket for CuriousSocket {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(timeout)
    }

    fn has_hung_up(&self) -> bool {
        self.socket.has_hung_up()
    }

    fn peer(&self) -> io::Result<Peer> {
        self.socket.peer()
    }
}

#[test]
fn sockets_filters_and_hooks_that_call_back_as_they_are_dropped_find_no_lock_held() {
    let fail = |valve: &Valve| valve.with(|script| script.fails = Some(ErrorKind::BrokenPipe));
    let block = |valve: &Valve| valve.give(0);
    let panic = |valve: &Valve| {
        valve.with(|script| (script.room, script.panics) = (0, true));
    };
    let nothing = |_: &Valve| {};
    let ways: [fn(&Valve); 4] = [nothing, fail, block, panic];
    for (way, prepare) in ways.into_iter().enumerate() {
        let hub = Hub::builder().with_max_subscribers(3).build();
        // One that blocks has no place in the slow lane.
        let fanout = Fanout::builder().with_max_slow(0).build().unwrap();
        let (told, dropped) = mpsc::channel();
        let curious = || Curious(hub.clone(), fanout.clone(), told.clone());
        let valve = Valve::open();
        let (filter, hook) = (curious(), curious());
        let subscription = hub.subscribe().with_filter(move |_| {
            let _held = &filter;
            true
        });
        let subscription = subscription.start().unwrap().on_ended(move |_| drop(hook));
        let emitter = Emitter::new(CuriousSocket {
            socket: valve.socket(),
            _curious: curious(),
        });
        subscription.serve_in(&fanout, emitter, NEVER).unwrap();
        prepare(&valve);
        hub.publish(&Event::new("x")).unwrap();
        hub.close();
        for _ in 0..3 {
            let dropped = dropped.recv_timeout(DEADLINE);
            assert!(dropped.is_ok(), "way {way}");
        }
    }
}

// What is sent.

#[test]
fn every_event_reaches_every_connection_once_and_in_order() {
    let hub = Hub::builder().with_max_events(10_000).build();
    let fanout = Fanout::builder()
        .with_threads(3)
        .with_connections_per_thread(0)
        .build()
        .unwrap();
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let (client, connection) = connect();
            let subscription = hub.subscribe().start().unwrap();
            let emitter = Emitter::new(connection);
            subscription.serve_in(&fanout, emitter, NEVER).unwrap();
            thread::spawn(move || read_all(client))
        })
        .collect();
    assert_eq!(fanout.stats().connections, 40);
    let wanted: Vec<_> = (0..500).map(|n| n.to_string()).collect();
    for (n, data) in wanted.iter().enumerate() {
        hub.publish(&Event::new(data)).unwrap();
        if n % 7 == 0 {
            thread::yield_now();
        }
    }
    hub.close();
    for client in clients {
        assert_eq!(client.join().unwrap(), wanted);
    }
}

/// How many of seven connections each of three threads has, the most first.
fn connections_of_threads(builder: FanoutBuilder) -> Vec<usize> {
    let (hub, fanout) = (own(), builder.with_threads(3).build().unwrap());
    let (asked, filters) = mpsc::channel();
    let clients: Vec<_> = (0..7)
        .map(|_| {
            let (client, connection) = connect();
            let asked = asked.clone();
            let filter = move |_: &Frame| asked.send(thread::current().id()).is_ok();
            let subscription = hub.subscribe().with_filter(filter).start().unwrap();
            let emitter = Emitter::new(connection);
            subscription.serve_in(&fanout, emitter, NEVER).unwrap();
            client
        })
        .collect();
    publish(&hub, "1");
    let mut connections = HashMap::<_, usize>::new();
    for _ in &clients {
        let thread = filters.recv_timeout(DEADLINE).unwrap();
        *connections.entry(thread).or_default() += 1;
    }
    let mut connections: Vec<_> = connections.into_values().collect();
    connections.sort_unstable_by(|one, other| other.cmp(one));
    connections
}

#[test]
fn a_thread_takes_its_share_before_the_next_one_gets_any() {
    let per_thread = |connections| Fanout::builder().with_connections_per_thread(connections);
    assert_eq!(connections_of_threads(Fanout::builder()), [7]);
    assert_eq!(connections_of_threads(per_thread(4)), [4, 3]);
    assert_eq!(connections_of_threads(per_thread(2)), [3, 2, 2]);
    assert_eq!(connections_of_threads(per_thread(0)), [3, 2, 2]);
}

#[test]
fn a_chunked_response_is_chunks_to_its_end() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (client, connection) = connect();
    let emitter = ResponseHead::new().start(connection).unwrap();
    let end = hand_over(hub.subscribe().start().unwrap(), &fanout, emitter, NEVER);
    for id in ["1", "2"] {
        publish(&hub, id);
    }
    hub.close();
    assert_eq!(body(client), [":\n\n", &frame("1"), &frame("2")].concat());
    assert!(matches!(ended(&end), Ending::Closed));
    assert_eq!(
        (hub.stats().subscribers, fanout.stats().connections),
        (0, 0)
    );
}

#[test]
fn events_that_wait_are_joined_into_one_write() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (client, connection) = connect();
    let emitter = ResponseHead::new().start(connection).unwrap();
    for id in ["1", "2", "3"] {
        publish(&hub, id);
    }
    let subscription = hub.subscribe().with_replay(3).start().unwrap();
    let _end = hand_over(subscription, &fanout, emitter, NEVER);
    hub.close();
    let text = read_text(client);
    assert!(text.contains("\r\n2d\r\nid: 1\n"), "{text}");
}

#[test]
fn events_with_many_for_others_between_them_are_joined_into_one_write() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (client, connection) = connect();
    let emitter = ResponseHead::new().start(connection).unwrap();
    let publish_to = |topic: &str, id: &str| {
        let event = Event::new(id.to_owned()).with_id(id.to_owned());
        hub.publish_to([topic], &event).unwrap();
    };
    publish_to("rare", "1");
    // More than are read under one lock.
    for _ in 0..500 {
        publish_to("busy", "another");
    }
    publish_to("rare", "2");
    let subscribe = hub.subscribe().with_topics(["rare"]).with_replay(2);
    let _end = hand_over(subscribe.start().unwrap(), &fanout, emitter, NEVER);
    hub.close();
    let text = read_text(client);
    assert!(text.contains("\r\n1e\r\nid: 1\n"), "{text}");
}

#[test]
fn what_is_replayed_comes_before_what_is_new() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    for id in ["1", "2", "3"] {
        publish(&hub, id);
    }
    let valve = Valve::open();
    let subscription = hub.subscribe().with_last_event_id("1").start().unwrap();
    let _end = hand_over(subscription, &fanout, valve.emitter(), NEVER);
    // Caught up as it was handed over.
    assert_eq!(valve.text(), [frame("2"), frame("3")].concat());
    publish(&hub, "4");
    valve.wait_for(&frame("4"));
    assert_eq!(valve.text(), [frame("2"), frame("3"), frame("4")].concat());
}

#[test]
fn topics_and_filters_are_obeyed() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let valves = [(); 3].map(|()| Valve::open());
    let [weather, sports, short] = &valves;
    let topic = |name: &str| hub.subscribe().with_topics([name]).start().unwrap();
    let _ends = [
        hand_over(topic("weather"), &fanout, weather.emitter(), NEVER),
        hand_over(topic("sports"), &fanout, sports.emitter(), NEVER),
        hand_over(
            hub.subscribe()
                .with_filter(|frame| frame.as_bytes().len() < 20)
                .start()
                .unwrap(),
            &fanout,
            short.emitter(),
            NEVER,
        ),
    ];
    let to = |topic: &str, id: &str| {
        let event = Event::new(id).with_id(id);
        hub.publish_to([topic], &event).unwrap();
    };
    to("weather", "1");
    to("sports", "2");
    to("weather", "a long one");
    publish(&hub, "3");
    for valve in &valves {
        valve.wait_for(&frame("3"));
    }
    let sum = |ids: &[&str]| ids.iter().map(|id| frame(id)).collect::<String>();
    assert_eq!(weather.text(), sum(&["1", "a long one", "3"]));
    assert_eq!(sports.text(), sum(&["2", "3"]));
    assert_eq!(short.text(), sum(&["1", "2", "3"]));
}

#[test]
fn subscriptions_of_several_hubs_share_a_fan_out() {
    let (one, two) = (own(), own());
    let fanout = Fanout::builder().with_threads(1).build().unwrap();
    let (first, second) = (Valve::open(), Valve::open());
    let end = hand_over(
        one.subscribe().start().unwrap(),
        &fanout,
        first.emitter(),
        NEVER,
    );
    let _end = hand_over(
        two.subscribe().start().unwrap(),
        &fanout,
        second.emitter(),
        NEVER,
    );
    publish(&one, "1");
    publish(&two, "2");
    first.wait_for(&frame("1"));
    second.wait_for(&frame("2"));
    one.close();
    assert!(matches!(ended(&end), Ending::Closed));
    publish(&two, "3");
    second.wait_for(&frame("3"));
    assert_eq!(first.text(), frame("1"));
    assert_eq!(fanout.stats().connections, 1);
}

#[test]
fn the_gap_event_comes_first() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    publish(&hub, "1");
    let valve = Valve::open();
    let subscription = hub
        .subscribe()
        .with_last_event_id("?")
        .with_gap_policy(GapPolicy::Live)
        .with_gap_event(Event::new("gap"))
        .start()
        .unwrap();
    let _end = hand_over(subscription, &fanout, valve.emitter(), NEVER);
    publish(&hub, "2");
    valve.wait_for(&frame("2"));
    assert_eq!(valve.text(), format!("data: gap\n\n{}", frame("2")));
}

#[test]
fn a_frame_that_goes_out_in_pieces_is_whole_at_the_end() {
    let mut rng = Rng(7);
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let valve = Valve::open();
    let emitter = ResponseHead::new().start(valve.socket()).unwrap();
    valve.give(0);
    let before = valve.text().len();
    let end = hand_over(hub.subscribe().start().unwrap(), &fanout, emitter, NEVER);
    let mut wanted = String::new();
    for n in 0..200 {
        let id = format!("{n}-{}", "x".repeat(rng.below(300)));
        publish(&hub, &id);
        wanted += &frame(&id);
        valve.give(rng.below(400));
        if rng.below(3) == 0 {
            thread::yield_now();
        }
    }
    hub.close();
    while valve.with(|script| !script.is_dropped) {
        valve.give(1 + rng.below(4_000));
        thread::yield_now();
    }
    assert!(matches!(ended(&end), Ending::Closed));
    let text = valve.text();
    let head = text[..before].to_owned();
    let whole = body(io::Cursor::new(format!("{head}{}", &text[before..])));
    assert_eq!(whole, format!(":\n\n{wanted}"));
}

#[test]
fn the_rest_of_a_frame_goes_out_although_no_event_follows() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let valve = Valve::default();
    let subscription = hub.subscribe().start().unwrap();
    let _end = hand_over(subscription, &fanout, valve.emitter(), NEVER);
    valve.give(10);
    publish(&hub, "1");
    valve.wait_until(|script| script.taken.len() == 10);
    valve.give(usize::MAX);
    valve.wait_for(&frame("1"));
    publish(&hub, "2");
    valve.wait_for(&frame("2"));
    assert_eq!(valve.text(), [frame("1"), frame("2")].concat());
}

#[test]
fn the_last_event_ends_a_connection_with_its_last_chunk() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (client, connection) = connect();
    let emitter = ResponseHead::new().start(connection).unwrap();
    let subscribe = hub.subscribe().with_last(|frame| frame.id() == Some("2"));
    let end = hand_over(subscribe.start().unwrap(), &fanout, emitter, NEVER);
    for id in ["1", "2", "3"] {
        publish(&hub, id);
    }
    assert_eq!(body(client), [":\n\n", &frame("1"), &frame("2")].concat());
    assert!(matches!(ended(&end), Ending::Closed));
    assert!(!hub.is_closed());
    assert_eq!(hub.stats().subscribers, 0);
}

#[test]
fn each_connection_is_told_another_reconnection_time() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (valves, _ends) = connect_valves(&hub, &fanout, 3);
    publish(&hub, "1");
    hub.retry(Duration::from_secs(1)..=Duration::from_secs(100))
        .unwrap();
    publish(&hub, "2");
    let waits: Vec<_> = valves
        .iter()
        .map(|valve| {
            valve.wait_for(&frame("2"));
            let mut reader = Reader::new(io::Cursor::new(valve.text()));
            let ids: Vec<_> = reader.events().map(|event| event.unwrap().data).collect();
            assert_eq!(ids, ["1", "2"]);
            reader.retry().unwrap()
        })
        .collect();
    let (shortest, longest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*shortest >= Duration::from_secs(1) && *longest <= Duration::from_secs(100));
    assert!(*longest - *shortest > Duration::from_secs(30), "{waits:?}");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_served() {
    use std::os::unix::net::UnixStream;
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (client, connection) = UnixStream::pair().unwrap();
    let emitter = Emitter::new(connection);
    let _end = hand_over(hub.subscribe().start().unwrap(), &fanout, emitter, NEVER);
    publish(&hub, "1");
    hub.close();
    assert_eq!(read_text(client), frame("1"));
}

// Heartbeats.

#[test]
fn an_idle_connection_gets_heartbeats() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (comments, events, none) = (Valve::open(), Valve::open(), Valve::open());
    let rare = Valve::open();
    let every = Heartbeat::every(Duration::from_millis(3));
    let event = every.clone().with_event(&Event::new("beat")).unwrap();
    let subscribe = || hub.subscribe().start().unwrap();
    let _ends = [
        hand_over(subscribe(), &fanout, comments.emitter(), every),
        hand_over(subscribe(), &fanout, events.emitter(), event),
        hand_over(subscribe(), &fanout, none.emitter(), None),
        hand_over(subscribe(), &fanout, rare.emitter(), NEVER),
    ];
    comments.wait_for(":\n\n:\n\n:\n\n");
    events.wait_for("data: beat\n\ndata: beat\n\n");
    assert_eq!([none.text(), rare.text()], ["", ""]);
}

#[test]
fn every_connection_gets_heartbeats_however_many_there_are() {
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let valves: Vec<_> = (0..600).map(|_| Valve::open()).collect();
    let hand_over = |valve: &Valve| {
        let subscription = hub.subscribe().start().unwrap();
        let every = Heartbeat::every(Duration::from_millis(3));
        hand_over(subscription, &fanout, valve.emitter(), every)
    };
    let _ends: Vec<_> = valves.iter().map(hand_over).collect();
    for valve in &valves {
        valve.wait_for(":\n\n:\n\n");
    }
}

#[test]
fn a_heartbeat_that_goes_out_in_part_is_ended_without_an_event() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let valve = Valve::open();
    let every = Heartbeat::every(Duration::from_millis(3));
    let every = every.with_event(&Event::new("beat")).unwrap();
    let subscription = hub.subscribe().start().unwrap();
    let _end = hand_over(subscription, &fanout, valve.emitter(), every);
    valve.give(5);
    while fanout.stats().slow == 0 {
        thread::yield_now();
    }
    // The rest of it in parts, too.
    valve.give(2);
    valve.wait_until(|script| script.room == 0);
    valve.give(usize::MAX);
    valve.wait_for("data: beat\n\ndata: beat\n\n");
    assert_eq!(valve.text().replace("data: beat\n\n", ""), "");
}

#[test]
fn a_connection_that_takes_its_heartbeats_needs_no_slow_lane() {
    let (hub, fanout) = (own(), Fanout::builder().with_max_slow(0).build().unwrap());
    let valve = Valve::open();
    let every = Heartbeat::every(Duration::from_millis(3));
    let subscription = hub.subscribe().start().unwrap();
    let _end = hand_over(subscription, &fanout, valve.emitter(), every);
    valve.wait_for(":\n\n:\n\n:\n\n");
}

#[test]
fn a_heartbeat_moves_nobody_past_what_is_yet_to_be_looked_at() {
    let fanout = Fanout::builder().with_threads(1).build().unwrap();
    let valve = Valve::open();
    let idle = own();
    // Handed over before there is anything to refuse.
    let inner = idle.clone();
    let refuse = move |_: &_| {
        drop(inner.publish(&Event::new("another").with_id("another")));
        false
    };
    let subscription = idle.subscribe().with_filter(refuse).start().unwrap();
    let every = Heartbeat::every(Duration::from_millis(3));
    let end = hand_over(subscription, &fanout, valve.emitter(), every);
    publish(&idle, "the first");
    valve.wait_for(":\n\n:\n\n:\n\n");
    idle.close();
    assert!(matches!(ended(&end), Ending::Closed));
    assert_eq!(valve.text().replace(":\n\n", ""), "");
}

#[test]
fn a_heartbeat_on_a_chunked_stream_is_a_chunk() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let valve = Valve::open();
    let emitter = ResponseHead::new().start(valve.socket()).unwrap();
    let every = Heartbeat::every(Duration::from_millis(3));
    let end = hand_over(hub.subscribe().start().unwrap(), &fanout, emitter, every);
    valve.wait_for("3\r\n:\n\n\r\n3\r\n:\n\n\r\n3\r\n:\n\n\r\n");
    hub.close();
    assert!(matches!(ended(&end), Ending::Closed));
}

#[test]
fn a_heartbeat_moves_the_resume_point_past_what_was_for_others() {
    let hub = Hub::builder().with_max_events(4).build();
    let fanout = Fanout::new().unwrap();
    let valve = Valve::open();
    let subscribe = || hub.subscribe().with_topics(["quiet"]);
    let every = Heartbeat::every(Duration::from_millis(3));
    let subscription = subscribe().start().unwrap();
    let end = hand_over(subscription, &fanout, valve.emitter(), every);
    let mut newest = None;
    for n in 0..200 {
        let event = Event::new(n.to_string());
        newest = Some(hub.publish_to(["busy"], &event).unwrap());
    }
    let newest = newest.unwrap();
    // The next heartbeat may come behind it before this thread has looked.
    let position = format!("id: {newest}\n\n:\n\n");
    valve.wait_until(|script| String::from_utf8_lossy(&script.taken).contains(&position));
    valve.with(|script| script.has_hung_up = true);
    assert!(matches!(ended(&end), Ending::Gone(_)));

    let mut reader = Reader::new(io::Cursor::new(valve.text()));
    assert_eq!(reader.events().count(), 0);
    let back = subscribe().with_last_event_id(reader.last_event_id());
    let back = back.start().unwrap();
    assert_eq!(back.resumption(), &Resumption::CaughtUp);
}

// Clients that leave.

#[test]
fn a_client_that_hangs_up_is_noticed_without_an_event_and_its_place_is_free() {
    type Leave = fn(TcpStream) -> Option<TcpStream>;
    let leaves: [Leave; 3] = [
        |client| {
            drop(client);
            None
        },
        |client| {
            client.shutdown(Shutdown::Write).unwrap();
            Some(client)
        },
        // With the head unread, this is a reset.
        |mut client| {
            client.read_exact(&mut [0]).unwrap();
            drop(client);
            None
        },
    ];
    let hub = Hub::builder().with_max_subscribers(1).build();
    let fanout = Fanout::new().unwrap();
    for leave in leaves {
        let (client, connection) = connect();
        let emitter = ResponseHead::new().start(connection).unwrap();
        let end = hand_over(hub.subscribe().start().unwrap(), &fanout, emitter, NEVER);
        hub.subscribe().start().unwrap_err();
        let kept = leave(client);
        assert!(matches!(ended(&end), Ending::Gone(_)));
        assert_eq!(
            (hub.stats().subscribers, fanout.stats().connections),
            (0, 0)
        );
        if let Some(client) = kept {
            // It still reads, and gets a proper end.
            assert_eq!(body(client), ":\n\n");
        }
    }
}

#[test]
fn who_is_there_when_it_is_looked_at_stays() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (valve, _end) = connect_valve(&hub, &fanout);
    valve.wait_until(|script| script.looks > 0);
    publish(&hub, "1");
    valve.wait_for(&frame("1"));
}

#[test]
fn what_a_client_sends_is_no_end() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (mut client, connection) = connect();
    let emitter = Emitter::new(connection);
    let end = hand_over(hub.subscribe().start().unwrap(), &fanout, emitter, NEVER);
    client
        .write_all(b"a second request, which is not answered")
        .unwrap();
    publish(&hub, "1");
    let mut event = vec![0; frame("1").len()];
    client.read_exact(&mut event).unwrap();
    assert_eq!(event, frame("1").as_bytes());
    drop(client);
    assert!(matches!(ended(&end), Ending::Gone(_)));
}

#[test]
fn a_write_that_fails_ends_its_connection_alone() {
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let (broken, whole) = (Valve::open(), Valve::open());
    let end = hand_over(
        hub.subscribe().start().unwrap(),
        &fanout,
        broken.emitter(),
        NEVER,
    );
    let _end = hand_over(
        hub.subscribe().start().unwrap(),
        &fanout,
        whole.emitter(),
        NEVER,
    );
    broken.with(|script| script.fails = Some(ErrorKind::ConnectionReset));
    publish(&hub, "1");
    match ended(&end) {
        Ending::Gone(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        other => panic!("{other:?}"),
    }
    publish(&hub, "2");
    whole.wait_for(&frame("2"));
    assert_eq!(hub.stats().subscribers, 1);
}

#[test]
fn who_leaves_takes_nobody_along() {
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let (valves, ends) = connect_valves(&hub, &fanout, 300);
    valves[7].with(|script| script.fails = Some(ErrorKind::ConnectionReset));
    publish(&hub, "1");
    assert!(matches!(ended(&ends[7]), Ending::Gone(_)));
    publish(&hub, "2");
    for (_, valve) in valves.iter().enumerate().filter(|(n, _)| *n != 7) {
        valve.wait_for(&frame("2"));
    }
    assert_eq!(fanout.stats().connections, 299);
}

#[test]
fn a_write_that_is_interrupted_is_done_again() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let (valve, _end) = connect_valve(&hub, &fanout);
    valve.with(|script| script.interruptions = 3);
    publish(&hub, "1");
    valve.wait_for(&frame("1"));
    assert_eq!(valve.with(|script| script.interruptions), 0);
}

#[cfg(unix)]
#[test]
fn a_unix_socket_tells_whether_its_peer_has_hung_up_and_whether_it_would_block() {
    use std::os::unix::net::UnixStream;
    let (client, mut connection) = UnixStream::pair().unwrap();
    Socket::set_nonblocking(&connection, true).unwrap();
    let full = loop {
        if let Err(error) = connection.write(&[0; 1024]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert!(!connection.has_hung_up());
    Socket::set_nonblocking(&connection, false).unwrap();
    Socket::set_write_timeout(&connection, Some(Duration::from_millis(1))).unwrap();
    let full = within(DEADLINE, {
        let mut connection = connection.try_clone().unwrap();
        move || connection.write_all(&[0; 1024]).unwrap_err()
    });
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    drop(client);
    assert!(connection.has_hung_up());
}

// Clients that do not keep up.

#[test]
fn who_always_has_more_to_send_leaves_the_others_their_turns() {
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let busy = own();
    let inner = busy.clone();
    let endless = move |_: &_| {
        drop(inner.publish(&Event::new("another")));
        true
    };
    let subscription = busy.subscribe().with_filter(endless).start().unwrap();
    let (greedy, other) = (Valve::open(), Valve::open());
    let _end = hand_over(subscription, &fanout, greedy.emitter(), NEVER);
    let subscription = hub.subscribe().start().unwrap();
    let _end = hand_over(subscription, &fanout, other.emitter(), NEVER);
    publish(&busy, "the first");
    greedy.wait_until(|script| script.taken.len() > 1000);
    publish(&hub, "1");
    other.wait_for(&frame("1"));
    busy.close();
}

#[test]
fn who_always_has_more_to_send_does_not_keep_the_slow_lane_to_itself() {
    let hub = own();
    let fanout = Fanout::builder().with_threads(1).build().unwrap();
    let slow_down = |subscription: Subscription, hub: &Hub, slow: usize| {
        let valve = Valve::open();
        let _end = hand_over(subscription, &fanout, valve.emitter(), NEVER);
        valve.give(5);
        publish(hub, "1");
        while fanout.stats().slow < slow {
            thread::yield_now();
        }
        valve
    };
    // More of them than the slow lane has threads.
    let greedy = [1, 2, 3, 4].map(|slow| {
        let busy = own();
        let inner = busy.clone();
        let (refuse, refused) = mpsc::sync_channel(100);
        // Reading stops at an event of that size: nobody has ever read everything.
        let another = Event::new("x".repeat(16 << 10));
        let endless = move |frame: &Frame| {
            drop(inner.publish(&another));
            let _ = refuse.try_send(());
            frame.id().is_some()
        };
        let subscription = busy.subscribe().with_filter(endless).start().unwrap();
        (slow_down(subscription, &busy, slow), busy, refused)
    });
    let other = slow_down(hub.subscribe().start().unwrap(), &hub, 5);
    for (valve, _, refused) in &greedy {
        valve.give(usize::MAX);
        for _ in 0..100 {
            refused.recv_timeout(DEADLINE).unwrap();
        }
    }
    other.give(usize::MAX);
    other.wait_for(&frame("1"));
    greedy.iter().for_each(|(_, busy, _)| busy.close());
}

#[test]
fn who_takes_nothing_at_all_is_gone_after_the_write_timeout() {
    let hub = own();
    let fanout = Fanout::builder()
        .with_write_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let (valve, end) = connect_valve(&hub, &fanout);
    valve.give(5);
    publish(&hub, "1");
    match ended(&end) {
        Ending::Gone(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        other => panic!("{other:?}"),
    }
    assert_eq!(valve.text(), frame("1")[..5]);
}

#[test]
fn who_takes_something_at_each_try_is_not_gone() {
    let hub = own();
    let fanout = Fanout::builder()
        .with_write_timeout(Duration::from_millis(400))
        .build()
        .unwrap();
    let (valve, _end) = connect_valve(&hub, &fanout);
    // Longer than the time-out after the last: the slow lane looks before each try, and is given a byte.
    valve.with(|script| (script.room, script.room_at_a_look) = (5, 1));
    publish(&hub, "1");
    valve.wait_until(|script| script.taken.len() == 7);
    valve.give(usize::MAX);
    valve.wait_for(&frame("1"));
    assert_eq!(valve.text(), frame("1"));
}

#[test]
fn a_client_that_stalls_is_tried_again_and_goes_on() {
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let (valve, _end) = connect_valve(&hub, &fanout);
    valve.give(5);
    publish(&hub, "1");
    while fanout.stats().slow == 0 {
        thread::yield_now();
    }
    // The slow lane looks whether a client has hung up before each try.
    let before = valve.with(|script| script.looks);
    valve.wait_until(|script| script.looks >= before + 2);
    valve.give(usize::MAX);
    valve.wait_for(&frame("1"));
    assert_eq!(valve.text(), frame("1"));
}

#[test]
fn a_client_that_stops_reading_holds_up_nobody_and_is_gone_in_the_end() {
    let hub = Hub::builder().with_max_bytes(64 << 20).build();
    let fanout = Fanout::builder()
        .with_threads(1)
        .with_write_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let subscribe = || hub.subscribe().start().unwrap();
    let stalled: Vec<_> = (0..6)
        .map(|_| {
            let (client, connection) = connect();
            (
                client,
                hand_over(subscribe(), &fanout, Emitter::new(connection), NEVER),
            )
        })
        .collect();
    let (client, connection) = connect();
    let _end = hand_over(subscribe(), &fanout, Emitter::new(connection), NEVER);
    let reader = thread::spawn(move || read_all(client));
    let data = "x".repeat(64 << 10);
    for _ in 0..300 {
        hub.publish(&Event::new(&*data)).unwrap();
    }
    for (_client, end) in &stalled {
        match ended(end) {
            Ending::Gone(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            other => panic!("{other:?}"),
        }
    }
    hub.close();
    let events = reader.join().unwrap();
    assert_eq!(events.len(), 300);
    assert!(events.iter().all(|event| *event == data));
}

#[test]
fn one_of_a_hundred_that_stops_reading_stops_nobody() {
    // On one thread, there is none but that of the stalled client.
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let (valves, _ends) = connect_valves(&hub, &fanout, 100);
    valves[50].give(5);
    let mut all = String::new();
    for n in 1..=100 {
        publish(&hub, &n.to_string());
        all += &frame(&n.to_string());
    }
    let others = valves.iter().enumerate().filter(|(n, _)| *n != 50);
    for (_, valve) in others {
        valve.wait_for(&frame("100"));
        assert_eq!(valve.text(), all);
    }
    assert_eq!(valves[50].text(), all[..5]);
    valves[50].give(usize::MAX);
    valves[50].wait_for(&frame("100"));
    assert_eq!(valves[50].text(), all);
}

#[test]
fn a_client_that_reads_on_gets_all_it_has_yet_to_get() {
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let valve = Valve::open();
    let _end = hand_over(
        hub.subscribe().start().unwrap(),
        &fanout,
        valve.emitter(),
        NEVER,
    );
    let mut wanted = String::new();
    for round in 0..3 {
        valve.give(5);
        for n in 0..50 {
            let id = format!("{round}.{n}");
            publish(&hub, &id);
            wanted += &frame(&id);
        }
        valve.wait_until(|script| script.room == 0);
        while fanout.stats().slow == 0 {
            thread::yield_now();
        }
        valve.give(usize::MAX);
        valve.wait_for(&frame(&format!("{round}.49")));
        assert_eq!(valve.text(), wanted);
        // Back where it came from: the next round begins there.
        while fanout.stats().slow > 0 {
            thread::yield_now();
        }
    }
}

#[test]
fn more_slow_clients_than_there_may_be_end_as_lagged() {
    let hub = own();
    let fanout = Fanout::builder().with_max_slow(1).build().unwrap();
    let (valves, ends) = connect_valves(&hub, &fanout, 3);
    valves[0].give(3);
    publish(&hub, "1");
    while fanout.stats().slow == 0 {
        thread::yield_now();
    }
    valves[1].give(3);
    publish(&hub, "2");
    match ended(&ends[1]) {
        Ending::Lagged { missed, .. } => assert!(missed <= 1, "{missed}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(hub.stats().lagged, 1);
    publish(&hub, "3");
    valves[2].wait_for(&frame("3"));
    valves[0].give(usize::MAX);
    valves[0].wait_for(&frame("3"));
    let all = [frame("1"), frame("2"), frame("3")].concat();
    assert_eq!([valves[0].text(), valves[2].text()], [all.clone(), all]);
}

/// A client that takes part of an event, and the rest when the log has let go of the next ones.
fn lag(policy: LagPolicy) -> (Hub, Valve, Receiver<Ending>) {
    let hub = Hub::builder()
        .with_id_policy(IdPolicy::Own)
        .with_max_events(2)
        .build();
    let fanout = Fanout::new().unwrap();
    let valve = Valve::open();
    let emitter = ResponseHead::new().start(valve.socket()).unwrap();
    let subscription = hub
        .subscribe()
        .with_lag_policy(policy)
        .with_gap_event(Event::new("gap"))
        .start()
        .unwrap();
    let end = hand_over(subscription, &fanout, emitter, NEVER);
    valve.give(5);
    publish(&hub, "0");
    valve.wait_until(|script| script.room == 0);
    for id in 1..=5 {
        publish(&hub, &id.to_string());
    }
    valve.give(usize::MAX);
    (hub, valve, end)
}

#[test]
fn a_lag_ends_the_connection_with_its_last_chunk() {
    let (hub, valve, end) = lag(LagPolicy::End);
    match ended(&end) {
        Ending::Lagged { missed, .. } => assert_eq!(missed, 3),
        other => panic!("{other:?}"),
    }
    assert_eq!(hub.stats().lagged, 1);
    let text = valve.text();
    assert_eq!(body(io::Cursor::new(text)), format!(":\n\n{}", frame("0")));
}

#[test]
fn a_lag_is_told_and_passed_over_on_request() {
    let (hub, valve, end) = lag(LagPolicy::Skip);
    hub.close();
    assert!(matches!(ended(&end), Ending::Closed));
    let body = body(io::Cursor::new(valve.text()));
    let wanted = [
        ":\n\n",
        &frame("0"),
        "data: gap\n\n",
        &frame("4"),
        &frame("5"),
    ];
    assert_eq!(body, wanted.concat());
}

/// A store that has all events, with the numbers from 0 on as their ids. It is read under its lock.
struct Store(Arc<Mutex<usize>>);

impl History for Store {
    fn after(
        &self,
        id: &str,
        _topics: &[&str],
        limit: usize,
    ) -> io::Result<Option<Vec<Event<'static>>>> {
        let Ok(last) = id.parse::<usize>() else {
            return Ok(None);
        };
        let known = *self.0.lock().unwrap();
        let events = (last + 1..known).take(limit).map(|n| {
            let id = n.to_string();
            Event::new(id.clone()).with_id(id)
        });
        Ok(Some(events.collect()))
    }
}

#[test]
fn who_has_lagged_goes_on_in_the_history() {
    let known = Arc::new(Mutex::new(0));
    let hub = Hub::builder()
        .with_id_policy(IdPolicy::Own)
        .with_max_events(4)
        .with_history(Store(Arc::clone(&known)))
        .build();
    let fanout = Fanout::new().unwrap();
    let valve = Valve::open();
    let end = hand_over(
        hub.subscribe().start().unwrap(),
        &fanout,
        valve.emitter(),
        NEVER,
    );
    let append = |n: usize| {
        *known.lock().unwrap() = n + 1;
        publish(&hub, &n.to_string());
    };
    append(0);
    valve.wait_for(&frame("0"));
    valve.give(5);
    append(1);
    valve.wait_until(|script| script.room == 0);
    for n in 2..600 {
        append(n);
    }
    valve.give(usize::MAX);
    valve.wait_for(&frame("599"));
    append(600);
    hub.close();
    assert!(matches!(ended(&end), Ending::Closed));
    let wanted: String = (0..=600).map(|n| frame(&n.to_string())).collect();
    assert_eq!(valve.text(), wanted);
}

// The user's code.

#[test]
fn a_panic_in_a_filter_ends_one_subscription_and_nothing_else() {
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let (client, connection) = connect();
    let emitter = ResponseHead::new().start(connection).unwrap();
    let subscription = hub.subscribe().with_filter(|frame| {
        assert_ne!(frame.id(), Some("2"), "this filter panics on demand");
        true
    });
    let end = hand_over(subscription.start().unwrap(), &fanout, emitter, NEVER);
    let valve = Valve::open();
    let _end = hand_over(
        hub.subscribe().start().unwrap(),
        &fanout,
        valve.emitter(),
        NEVER,
    );
    for id in ["1", "2", "3"] {
        publish(&hub, id);
        valve.wait_for(&frame(id));
    }
    assert!(matches!(ended(&end), Ending::Panicked));
    assert_eq!(body(client), format!(":\n\n{}", frame("1")));
    assert_eq!(
        (hub.stats().subscribers, fanout.stats().connections),
        (1, 1)
    );
}

#[test]
fn nothing_comes_behind_a_frame_that_a_panic_has_cut() {
    let fanout = Fanout::new().unwrap();
    // In the write that cuts it, or in the next.
    for at_once in [true, false] {
        let (hub, valve) = (own(), Valve::open());
        let emitter = ResponseHead::new().start(valve.socket()).unwrap();
        let subscription = hub.subscribe().start().unwrap();
        let end = hand_over(subscription, &fanout, emitter, NEVER);
        let before = valve.text().len();
        valve.with(|script| (script.room, script.panics) = (5, at_once));
        publish(&hub, "1");
        valve.wait_until(|script| script.taken.len() == before + 5);
        valve.with(|script| script.panics = script.room == 0);
        assert!(matches!(ended(&end), Ending::Panicked));
        assert_eq!(valve.text().len(), before + 5);
    }
}

#[test]
fn connections_are_spread_over_the_threads() {
    let fanout = Fanout::builder()
        .with_threads(2)
        .with_connections_per_thread(1);
    let (hub, fanout) = (own(), fanout.build().unwrap());
    let (go_on, gate) = mpsc::channel::<()>();
    let (entered, held) = mpsc::channel();
    // It holds its thread of the fan-out.
    let filter = move |_: &_| entered.send(()).is_ok() && gate.recv().is_ok();
    let (stuck, other) = (Valve::open(), Valve::open());
    let subscription = hub.subscribe().with_filter(filter).start().unwrap();
    let _end = hand_over(subscription, &fanout, stuck.emitter(), NEVER);
    let subscription = hub.subscribe().start().unwrap();
    let _end = hand_over(subscription, &fanout, other.emitter(), NEVER);
    publish(&hub, "1");
    held.recv_timeout(DEADLINE).expect("the filter runs");
    other.wait_for(&frame("1"));
    go_on.send(()).expect("the filter waits");
    stuck.wait_for(&frame("1"));
}

#[test]
fn an_event_wakes_the_threads_and_waits_for_no_look() {
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let (valve, _end) = connect_valve(&hub, &fanout);
    // A look comes once in a second.
    within(DEADLINE, move || {
        for n in 0..100 {
            publish(&hub, &n.to_string());
            valve.wait_for(&frame(&n.to_string()));
        }
    });
}

#[test]
fn a_panic_in_a_socket_or_a_hook_ends_one_connection_and_nothing_else() {
    let (hub, fanout) = (own(), Fanout::builder().with_threads(1).build().unwrap());
    let subscribe = || hub.subscribe().start().unwrap();
    let (panics, hooked, whole) = (Valve::open(), Valve::open(), Valve::open());
    let end = hand_over(subscribe(), &fanout, panics.emitter(), NEVER);
    let with_hook = subscribe().on_ended(|_| panic!("this hook panics on demand"));
    with_hook
        .serve_in(&fanout, hooked.emitter(), NEVER)
        .unwrap();
    let _end = hand_over(subscribe(), &fanout, whole.emitter(), NEVER);
    panics.with(|script| (script.room, script.panics) = (0, true));
    hooked.with(|script| script.fails = Some(ErrorKind::BrokenPipe));
    publish(&hub, "1");
    assert!(matches!(ended(&end), Ending::Panicked));
    publish(&hub, "2");
    whole.wait_for(&frame("2"));
    while fanout.stats().connections > 1 {
        thread::yield_now();
    }
    assert_eq!(hub.stats().subscribers, 1);
}

#[test]
fn a_hook_may_use_the_hub_and_finds_the_place_free() {
    let hub = Hub::builder().with_max_subscribers(1).build();
    let fanout = Fanout::new().unwrap();
    let valve = Valve::open();
    let (told, seen) = mpsc::channel();
    let inner = hub.clone();
    let dropped = valve.clone();
    let subscription = hub.subscribe().start().unwrap().on_ended(move |_| {
        let free = inner.subscribe().start().is_ok();
        let closed = dropped.with(|script| script.is_dropped);
        told.send((free, closed)).unwrap();
    });
    subscription
        .serve_in(&fanout, valve.emitter(), NEVER)
        .unwrap();
    valve.with(|script| script.has_hung_up = true);
    assert_eq!(seen.recv_timeout(DEADLINE), Ok((true, true)));
}

// Handing over.

#[test]
fn the_emitter_is_closed_for_its_other_handles() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let valve = Valve::open();
    let emitter = valve.emitter();
    let other = emitter.clone();
    let _end = hand_over(hub.subscribe().start().unwrap(), &fanout, emitter, NEVER);
    assert!(other.wait_ended(Some(DEADLINE)));
    assert_eq!(other.comment("").unwrap_err().kind(), ErrorKind::BrokenPipe);
    drop(other);
    publish(&hub, "1");
    valve.wait_for(&frame("1"));
    assert!(!valve.with(|script| script.is_dropped));
}

#[test]
fn what_cannot_be_handed_over_is_told() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let subscribe = || {
        hub.subscribe()
            .start()
            .unwrap()
            .on_ended(|_| unreachable!())
    };

    let emitter = Valve::open().emitter();
    emitter.close();
    let told = subscribe().serve_in(&fanout, emitter, NEVER).unwrap_err();
    assert!(matches!(told, Ending::Closed));

    let (client, connection) = connect();
    let emitter = Emitter::new(connection);
    emitter.watch(Duration::from_secs(3600)).unwrap();
    match subscribe().serve_in(&fanout, emitter, NEVER).unwrap_err() {
        Ending::Gone(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), "the fan-out watches its clients itself");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(read_text(client), "");

    publish(&hub, "1");
    let valve = Valve::default();
    valve.with(|script| script.fails = Some(ErrorKind::ConnectionReset));
    let replay = hub.subscribe().with_replay(1).start().unwrap();
    let told = replay
        .serve_in(&fanout, valve.emitter(), NEVER)
        .unwrap_err();
    assert!(matches!(told, Ending::Gone(_)));

    let subscription = subscribe();
    hub.close();
    let valve = Valve::open();
    let told = subscription
        .serve_in(&fanout, valve.emitter(), NEVER)
        .unwrap_err();
    assert!(matches!(told, Ending::Closed));
    assert!(valve.with(|script| script.is_dropped));
    assert_eq!(fanout.stats().connections, 0);
}

#[test]
fn connections_outlive_the_handles_of_the_fan_out() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let valve = Valve::open();
    let end = hand_over(
        hub.subscribe().start().unwrap(),
        &fanout,
        valve.emitter(),
        NEVER,
    );
    drop(fanout);
    publish(&hub, "1");
    valve.wait_for(&frame("1"));
    hub.close();
    assert!(matches!(ended(&end), Ending::Closed));
}

#[test]
fn the_debug_form_tells_how_many_connections_there_are() {
    let (hub, fanout) = (own(), Fanout::new().unwrap());
    let valve = Valve::open();
    let _end = hand_over(
        hub.subscribe().start().unwrap(),
        &fanout,
        valve.emitter(),
        NEVER,
    );
    assert_eq!(
        format!("{fanout:?}"),
        "Fanout { connections: 1, slow: 0, .. }"
    );
}

#[test]
fn what_random_clients_get_is_what_was_published() {
    let mut rng = Rng(11);
    for _ in 0..2 {
        let hub = Hub::builder().with_max_events(100_000).build();
        let fanout = Fanout::builder().with_threads(2).build().unwrap();
        let clients: Vec<_> = (0..24)
            .map(|n| {
                let (client, connection) = connect();
                let topic = format!("{}", n % 3);
                let subscription = hub.subscribe().with_topics([&topic]).start().unwrap();
                let emitter = Emitter::new(connection);
                subscription.serve_in(&fanout, emitter, NEVER).unwrap();
                let pause = rng.below(3);
                let reader = thread::spawn(move || {
                    let mut lines = BufReader::with_capacity(256, client).lines();
                    let mut events = Vec::new();
                    while let Some(line) = lines.next().transpose().unwrap() {
                        if let Some(data) = line.strip_prefix("data: ") {
                            events.push(data.trim_end_matches('x').to_owned());
                        }
                        for _ in 0..pause {
                            thread::yield_now();
                        }
                    }
                    events
                });
                (n % 3, reader)
            })
            .collect();
        let mut wanted = [const { Vec::new() }; 3];
        for n in 0..1_000 {
            let event = Event::new(format!("{n} {}", "x".repeat(rng.below(2_000))));
            let topic = rng.below(4);
            if topic == 3 {
                hub.publish(&event).unwrap();
                wanted
                    .iter_mut()
                    .for_each(|wanted| wanted.push(format!("{n} ")));
            } else {
                hub.publish_to([topic.to_string()], &event).unwrap();
                wanted[topic].push(format!("{n} "));
            }
        }
        hub.close();
        for (topic, reader) in clients {
            let got = within(DEADLINE, move || reader.join().unwrap());
            assert_eq!(got, wanted[topic]);
        }
    }
}

#[test]
fn a_store_that_takes_its_time_holds_up_nobody_else() {
    let known = Arc::new(Mutex::new(0));
    let hub = Hub::builder()
        .with_id_policy(IdPolicy::Own)
        .with_max_events(4)
        .with_history(Store(Arc::clone(&known)))
        .build();
    let fanout = Fanout::builder().with_threads(1).build().unwrap();
    let (waits, gate) = mpsc::channel::<()>();
    let (lagging, other) = (Valve::open(), Valve::open());
    // Its filter holds the thread of the fan-out until it has fallen off the log.
    let (entered, held) = mpsc::channel();
    let filter = move |frame: &_| {
        let frame: &sse_io::hub::Frame = frame;
        if frame.id() == Some("0") {
            entered.send(()).expect("the test waits");
            gate.recv().expect("the test lets it go on");
        }
        true
    };
    let subscription = hub.subscribe().with_filter(filter).start().unwrap();
    let _end = hand_over(subscription, &fanout, lagging.emitter(), NEVER);
    let append = |n: usize| {
        *known.lock().unwrap() = n + 1;
        publish(&hub, &n.to_string());
    };
    append(0);
    held.recv_timeout(DEADLINE).expect("the filter runs");
    for n in 1..20 {
        append(n);
    }
    let quick = own();
    let subscription = quick.subscribe().start().unwrap();
    let _end = hand_over(subscription, &fanout, other.emitter(), NEVER);
    let store = known.lock().unwrap();
    waits.send(()).expect("the filter waits");
    // Off the log: the slow lane waits for the store, which is locked.
    while fanout.stats().slow == 0 {
        thread::yield_now();
    }
    publish(&quick, "1");
    other.wait_for(&frame("1"));
    drop(store);
    lagging.wait_for(&frame("19"));
    let wanted: String = (0..20).map(|n| frame(&n.to_string())).collect();
    assert_eq!(lagging.text(), wanted);
}

//! The target `round_trip`: every way in which an event goes out. Back comes that event and nothing
//! else, or nothing was written.
//!
//! The first line of an input says which fields there are and how the data is cut; the rest is the
//! fields, separated by `|`: name, id, reconnection time, two extensions, data.

#[cfg(unix)]
use std::io::Read;
use std::io::{self, ErrorKind, Write};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(unix)]
use std::sync::LazyLock;
use std::time::Duration;

#[cfg(unix)]
use sse_io::hub::Fanout;
use sse_io::hub::IdPolicy;
use sse_io::{Emitter, Event, Hub, InvalidField, Reader, ResponseHead, Writer};

use crate::plan::Plan;
use crate::util::readers::{What, owned};

/// How the wire form of an event is cut on its way.
struct Cuts<'a> {
    plan: Plan<'a>,
}

/// Takes what it is given in small pieces, with `Interrupted` now and then.
struct Slow<'a> {
    taken: Vec<u8>,
    plan: Plan<'a>,
    interrupted: bool,
}

impl Write for Slow<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let step = self.plan.step();
        if step.action() == 2 && !self.interrupted {
            self.interrupted = true;
            return Err(ErrorKind::Interrupted.into());
        }
        self.interrupted = false;
        let count = step.size().min(bytes.len());
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends the event of the input in every way.
pub fn round_trip(input: &[u8]) {
    let (mut plan, text) = Plan::of(input);
    let event = event(&mut plan, &String::from_utf8_lossy(text));
    let cuts = Cuts { plan };
    let mut wire = b"kept".to_vec();
    let encoded = event.encode(&mut wire);
    assert_eq!(encoded.is_ok(), can_be_sent(&event), "{event:?}");
    match encoded {
        Ok(length) => {
            let wire = &wire[4..];
            assert_eq!(length, wire.len());
            comes_back(&event, wire);
            same_every_way(&event, &cuts, wire);
        }
        Err(error) => {
            assert_eq!(wire, b"kept");
            refused_every_way(&event, &error);
        }
    }
    comments_and_ids(&event);
}

fn event(plan: &mut Plan<'_>, text: &str) -> Event<'static> {
    let (fields, more) = (plan.option(), plan.option());
    let mut parts = text.splitn(6, '|').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let mut event = Event::default();
    let (name, id, retry) = (part(), part(), part());
    let extensions = [part(), part()];
    if fields & 1 != 0 {
        event = event.with_name(name);
    }
    if fields & 2 != 0 {
        event = event.with_id(id);
    }
    if fields & 4 != 0 {
        let nanos = retry.trim().parse().unwrap_or(u128::MAX);
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
        let rest = u32::try_from(nanos % 1_000_000_000).expect("below a second");
        event = event.with_retry(Duration::new(seconds, rest));
    }
    for extension in extensions.into_iter().take(usize::from(more % 3)) {
        let (name, value) = extension.split_once('=').unwrap_or((&extension, ""));
        event = event.with_extension(name, value);
    }
    event.data = part().into();
    event
}

/// By the documentation of `Event` and `InvalidField`.
fn can_be_sent(event: &Event<'_>) -> bool {
    let one_line = |text: &str| !text.contains(['\r', '\n']);
    let known = ["event", "data", "id", "retry"];
    let retry = event.retry.is_none_or(|retry| {
        let millis = retry.as_nanos().div_ceil(1_000_000);
        millis <= u128::from(u64::MAX)
    });
    let extension = |name: &str, value: &str| {
        let good = !name.is_empty() && !known.contains(&name) && !name.starts_with('\u{feff}');
        good && one_line(name) && one_line(value) && !name.contains(':')
    };
    retry
        && event.name.as_deref().is_none_or(one_line)
        && event
            .id
            .as_deref()
            .is_none_or(|id| one_line(id) && !id.contains('\0'))
        && event
            .extensions
            .iter()
            .all(|(name, value)| extension(name, value))
}

/// The event as it is read.
fn as_read(event: &Event<'_>) -> Event<'static> {
    let mut read = event.clone().into_owned();
    read.name = read.name.filter(|name| !name.is_empty());
    read.data = read.data.replace("\r\n", "\n").replace('\r', "\n").into();
    read.retry = read.retry.map(|retry| {
        let millis = retry.as_nanos().div_ceil(1_000_000);
        Duration::from_millis(u64::try_from(millis).expect("it can be sent"))
    });
    read
}

/// Between two others, twice, at the start of a stream: nothing of it is anything else.
#[track_caller]
fn comes_back(event: &Event<'_>, wire: &[u8]) {
    let other = Event::new("other");
    let mut stream = wire.to_vec();
    other.encode(&mut stream).expect("it can be sent");
    stream.extend_from_slice(wire);
    other.encode(&mut stream).expect("it can be sent");
    let expected = as_read(event);
    let what = [&expected, &other, &expected, &other].map(|event| What::Event(event.clone()));
    assert_eq!(read(&stream), what);
    let text = std::str::from_utf8(wire).expect("the wire form is text");
    assert_eq!(text.parse::<Event<'_>>().as_ref(), Ok(&expected));
}

/// All that a stream holds.
#[track_caller]
fn read(stream: &[u8]) -> Vec<What> {
    let mut reader = Reader::new(stream);
    let mut seen = Vec::new();
    while let Some(item) = reader.read_item().expect("a slice does not fail") {
        seen.push(owned(item).0);
    }
    assert!(!reader.is_truncated());
    seen
}

/// Writes the data in pieces that end between any two characters.
fn in_pieces(
    cuts: &Cuts<'_>,
    data: &str,
    mut write: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let mut plan = cuts.plan.clone();
    let mut rest = data;
    while !rest.is_empty() {
        let mut end = plan.step().size().min(rest.len());
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        let (piece, after) = rest.split_at(end);
        write(piece)?;
        rest = after;
    }
    Ok(())
}

#[track_caller]
fn same_every_way(event: &Event<'_>, cuts: &Cuts<'_>, wire: &[u8]) {
    let slow = || Slow {
        taken: Vec::new(),
        plan: cuts.plan.clone(),
        interrupted: false,
    };
    let head = event.data.len() / 2;
    let head = (head..)
        .find(|&at| event.data.is_char_boundary(at))
        .expect("the end is one");
    let (begun, rest) = event.data.split_at(head);
    let started = Event {
        data: begun.into(),
        ..event.clone()
    };

    let mut writer = Writer::new(slow());
    assert_eq!(
        writer.write_event(event).expect("it can be sent"),
        wire.len()
    );
    let length = writer.write_event_with(&started, |data| {
        in_pieces(cuts, rest, |piece| data.write_all(piece.as_bytes()))
    });
    assert_eq!(length.expect("it can be sent"), wire.len());
    assert_eq!(writer.into_inner().taken, [wire, wire].concat());

    let shared = Shared::default();
    let emitter = Emitter::new(shared.clone());
    assert_eq!(emitter.emit(event).expect("it can be sent"), wire.len());
    let length = emitter.emit_with(&started, |data| {
        in_pieces(cuts, rest, |piece| write!(data, "{piece}"))
    });
    assert_eq!(length.expect("it can be sent"), wire.len());
    drop(emitter);
    assert_eq!(shared.take(), [wire, wire].concat());

    let emitter = ResponseHead::new()
        .start(shared.clone())
        .expect("a plain head");
    emitter.emit(event).expect("it can be sent");
    drop(emitter);
    assert_eq!(unchunked(&shared.take()), [b":\n\n", wire].concat());

    let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
    let mut subscription = hub.subscribe().start().expect("the hub is open");
    hub.publish(event).expect("it can be sent");
    let published = hub.publish_with(&started, |data| {
        in_pieces(cuts, rest, |piece| data.write_all(piece.as_bytes()))
    });
    let id = published.expect("it can be sent");
    assert_eq!(id.as_str(), event.id.as_deref().unwrap_or_default());
    for _ in 0..2 {
        let frame = subscription
            .try_recv()
            .expect("the hub is open")
            .expect("it is there");
        assert_eq!(frame.as_bytes(), wire);
        assert_eq!(frame.id(), event.id.as_deref());
    }
    #[cfg(unix)]
    fan_out(event, &started, rest, cuts, wire);

    let hub = Hub::new();
    let mut subscription = hub.subscribe().start().expect("the hub is open");
    let without = Event {
        id: None,
        ..event.clone()
    };
    assert_eq!(hub.publish(event).is_ok(), event.id.is_none());
    let id = hub.publish(&without).expect("it can be sent");
    let mut frame = subscription
        .try_recv()
        .expect("the hub is open")
        .expect("it is there");
    if event.id.is_none() {
        frame = subscription
            .try_recv()
            .expect("the hub is open")
            .expect("it is there");
    }
    assert!(subscription.try_recv().expect("the hub is open").is_none());
    assert_eq!(frame.id(), Some(id.as_str()));
    comes_back(&without.with_id(id.to_string()), frame.as_bytes());
}

/// Over a socket, from the threads that all inputs share.
#[cfg(unix)]
#[track_caller]
fn fan_out(event: &Event<'_>, started: &Event<'_>, rest: &str, cuts: &Cuts<'_>, wire: &[u8]) {
    static FANOUT: LazyLock<Fanout> = LazyLock::new(|| {
        let one = Fanout::builder().with_threads(1);
        one.build().expect("there are threads")
    });
    if wire.len() > 32 << 10 {
        // Nobody reads while it is handed over: what is sent is to fit into the socket.
        return;
    }
    let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    // Nothing takes this long unless it hangs.
    let patience = Some(Duration::from_secs(60));
    client.set_read_timeout(patience).expect("a socket");
    let emitter = ResponseHead::new().start(server).expect("a plain head");
    let subscription = hub.subscribe().start().expect("the hub is open");
    hub.publish(event).expect("it can be sent");
    let served = subscription.serve_in(&FANOUT, emitter, None);
    assert!(served.is_ok(), "{served:?}");
    let published = hub.publish_with(started, |data| {
        in_pieces(cuts, rest, |piece| data.write_all(piece.as_bytes()))
    });
    published.expect("it can be sent");
    hub.close();
    let mut response = Vec::new();
    client.read_to_end(&mut response).expect("it is closed");
    assert_eq!(unchunked(&response), [b":\n\n", wire, wire].concat());
}

/// Bytes that outlive the emitter.
#[derive(Clone, Default)]
struct Shared(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body of a chunked response that ends as it should.
#[track_caller]
fn unchunked(response: &[u8]) -> Vec<u8> {
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|w| w == what);
    let start = find(response, b"\r\n\r\n").expect("the head ends") + 4;
    let mut rest = &response[start..];
    let mut body = Vec::new();
    loop {
        let end = find(rest, b"\r\n").expect("a chunk begins with its size");
        let size = std::str::from_utf8(&rest[..end]).expect("a number");
        let size = usize::from_str_radix(size, 16).expect("a number");
        rest = &rest[end + 2..];
        assert_eq!(&rest[size..size + 2], b"\r\n");
        if size == 0 {
            assert_eq!(rest.len(), 2);
            return body;
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

#[track_caller]
fn refused_every_way(event: &Event<'_>, error: &InvalidField) {
    let refused = |result: io::Result<usize>| {
        let told = result.expect_err("it cannot be sent");
        assert_eq!(told.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            told.get_ref().and_then(|inner| inner.downcast_ref()),
            Some(error)
        );
    };
    let mut writer = Writer::new(Vec::new());
    refused(writer.write_event(event));
    refused(writer.write_event_with(event, |_| Ok(())));
    assert!(writer.get_ref().is_empty());
    writer
        .write_event(&Event::new("x"))
        .expect("it stays usable");
    assert_eq!(writer.get_ref(), b"data: x\n\n");

    let shared = Shared::default();
    let emitter = Emitter::new(shared.clone());
    refused(emitter.emit(event));
    refused(emitter.emit_with(event, |_| Ok(())));
    assert!(shared.take().is_empty());

    let hub = Hub::builder().with_id_policy(IdPolicy::Own).build();
    assert!(hub.publish(event).is_err());
    assert!(hub.publish_to(["x"], event).is_err());
    assert!(hub.publish_with(event, |_| Ok(())).is_err());
    assert_eq!(hub.stats().published, 0);
}

/// What is no event stays none.
#[track_caller]
fn comments_and_ids(event: &Event<'_>) {
    let mut writer = Writer::new(Vec::new());
    writer
        .write_comment(&event.data)
        .expect("any text is a comment");
    let text = as_read(&Event::new(&*event.data)).data;
    let lines: Vec<What> = text
        .split('\n')
        .map(|line| What::Comment(line.into()))
        .collect();
    assert_eq!(read(writer.get_ref()), lines);

    let mut writer = Writer::new(Vec::new());
    let id = event.id.as_deref().unwrap_or(&event.data);
    let good = !id.contains(['\r', '\n', '\0']);
    assert_eq!(writer.write_id(id).is_ok(), good);
    let mut reader = Reader::new(&writer.get_ref()[..]);
    assert!(reader.read_item().expect("a slice does not fail").is_none());
    assert_eq!(reader.last_event_id(), if good { id } else { "" });
}

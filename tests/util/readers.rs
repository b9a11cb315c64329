//! Readers that follow a script, and what is seen of a stream that is fed in a given way.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read};
use std::time::Duration;

use sse_io::{Event, EventTooLarge, Item, Parser, Reader};

/// The errors after which a stream goes on.
pub const PASSING: [ErrorKind; 3] = [
    ErrorKind::WouldBlock,
    ErrorKind::TimedOut,
    ErrorKind::Interrupted,
];

/// One thing that happens to who reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// These bytes lie in the buffer. None at all reads as the end of the stream, once.
    Give(Vec<u8>),
    /// The read fails.
    Fail(ErrorKind),
}

/// A `BufRead` that does what its script says, then is at its end.
#[derive(Debug, Default)]
pub struct Scripted {
    acts: VecDeque<Act>,
    /// How much of the first act is consumed.
    used: usize,
    position: usize,
    panics_at_end: bool,
}

impl Scripted {
    pub fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Scripted {
            acts: acts.into_iter().collect(),
            ..Scripted::default()
        }
    }

    /// One that panics when it is asked for more than the script holds.
    pub fn strict(acts: impl IntoIterator<Item = Act>) -> Self {
        Scripted {
            panics_at_end: true,
            ..Scripted::new(acts)
        }
    }

    /// How many bytes were consumed.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl BufRead for Scripted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while matches!(self.acts.front(), Some(Act::Give(bytes)) if !bytes.is_empty() && bytes.len() == self.used)
        {
            self.acts.pop_front();
            self.used = 0;
        }
        match self.acts.front() {
            Some(&Act::Fail(kind)) => {
                self.acts.pop_front();
                Err(kind.into())
            }
            Some(Act::Give(bytes)) if bytes.is_empty() => {
                self.acts.pop_front();
                Ok(&[])
            }
            None if self.panics_at_end => {
                panic!("a read past byte {}, the last of the script", self.position)
            }
            None => Ok(&[]),
            Some(Act::Give(_)) => match &self.acts[0] {
                Act::Give(bytes) => Ok(&bytes[self.used..]),
                Act::Fail(_) => unreachable!("matched above"),
            },
        }
    }

    fn consume(&mut self, count: usize) {
        let left = match self.acts.front() {
            Some(Act::Give(bytes)) => bytes.len() - self.used,
            _ => 0,
        };
        assert!(count <= left, "consumed {count} of {left} bytes");
        self.used += count;
        self.position += count;
    }
}

/// As a plain source: what one `read` gives never goes over the end of an act.
impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// A line that never ends: `head`, then one byte for ever. Panics once more than `allowed` bytes
/// are consumed.
#[derive(Debug)]
pub struct Endless {
    bytes: Vec<u8>,
    filler: u8,
    chunk: usize,
    left: usize,
}

impl Endless {
    pub fn new(head: &[u8], filler: u8, chunk: usize, allowed: usize) -> Self {
        Endless {
            bytes: head.to_vec(),
            filler,
            chunk,
            left: allowed,
        }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Endless {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() {
            self.bytes.resize(self.chunk, self.filler);
        }
        Ok(&self.bytes[..self.chunk.min(self.bytes.len())])
    }

    fn consume(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.left = self
            .left
            .checked_sub(count)
            .expect("the line should have been given up by now");
    }
}

/// The bytes in pieces of `size`.
pub fn chunks(bytes: &[u8], size: usize) -> Vec<Act> {
    bytes.chunks(size).map(|c| Act::Give(c.to_vec())).collect()
}

/// The bytes in pieces of the given sizes, over and over; zero counts as one.
pub fn pieces<'a>(bytes: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(usize::from(size.max(1)).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    if sizes.is_empty() && !bytes.is_empty() {
        pieces.push(bytes);
    }
    pieces
}

/// Every way in which the conformance tests feed a stream: whole, byte by byte, split at every
/// point, and with each passing error between any two bytes, in front and at the end. The name of
/// the way goes into the failure message.
pub fn feedings(bytes: &[u8]) -> Vec<(String, Vec<Act>)> {
    let give = |part: &[u8]| (!part.is_empty()).then(|| Act::Give(part.to_vec()));
    let mut ways = vec![
        ("whole".to_owned(), give(bytes).into_iter().collect()),
        ("byte by byte".to_owned(), chunks(bytes, 1)),
        ("three by three".to_owned(), chunks(bytes, 3)),
    ];
    for at in 1..bytes.len() {
        let (head, tail) = bytes.split_at(at);
        let acts = give(head).into_iter().chain(give(tail)).collect();
        ways.push((format!("split at {at}"), acts));
    }
    for kind in PASSING {
        let mut acts: Vec<Act> = chunks(bytes, 1)
            .into_iter()
            .flat_map(|byte| [Act::Fail(kind), byte])
            .collect();
        acts.push(Act::Fail(kind));
        ways.push((format!("byte by byte, {kind:?} before each"), acts));
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            let acts = give(head)
                .into_iter()
                .chain([Act::Fail(kind)])
                .chain(give(tail))
                .collect();
            ways.push((format!("split at {at} by {kind:?}"), acts));
        }
    }
    ways
}

/// The pieces of a script without its errors, for a `Parser`. None when it has errors: the parser
/// then sees nothing new.
pub fn without_errors(acts: &[Act]) -> Option<Vec<&[u8]>> {
    let bytes = |act: &'_ Act| match act {
        Act::Give(_) => true,
        Act::Fail(_) => false,
    };
    acts.iter().all(bytes).then(|| {
        acts.iter()
            .filter_map(|act| match act {
                Act::Give(bytes) => Some(&bytes[..]),
                Act::Fail(_) => None,
            })
            .collect()
    })
}

/// What a stream gave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Event(Event<'static>),
    Comment(String),
    TooLarge { limit: usize },
}

impl From<Event<'static>> for What {
    fn from(event: Event<'static>) -> Self {
        What::Event(event)
    }
}

/// What a stream gave out, and what was known at that moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    pub what: What,
    pub last_event_id: String,
    /// Not set for an error: it may come before the end of its line.
    pub retry: Option<Duration>,
}

impl Seen {
    pub fn new(what: What, last_event_id: &str, retry: Option<Duration>) -> Self {
        let retry = retry.filter(|_| !matches!(what, What::TooLarge { .. }));
        Seen {
            what,
            last_event_id: last_event_id.to_owned(),
            retry,
        }
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} (last event id {:?}, retry {:?})",
            self.what, self.last_event_id, self.retry
        )
    }
}

/// All that can be seen of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    pub seen: Vec<Seen>,
    pub last_event_id: String,
    pub retry: Option<Duration>,
}

impl Transcript {
    pub fn what(&self) -> Vec<What> {
        self.seen.iter().map(|seen| seen.what.clone()).collect()
    }

    pub fn push(&mut self, what: What, last_event_id: &str, retry: Option<Duration>) {
        self.seen.push(Seen::new(what, last_event_id, retry));
    }

    pub fn without_comments(mut self) -> Self {
        self.seen
            .retain(|seen| !matches!(seen.what, What::Comment(_)));
        self
    }

    /// For streams in which a reconnection time does not fit the limit.
    pub fn without_retry(mut self) -> Self {
        for seen in &mut self.seen {
            seen.retry = None;
        }
        self.retry = None;
        self
    }
}

/// Reads to the end, with comments or without. After a passing error it calls again.
#[track_caller]
pub fn read_all<R: BufRead>(reader: &mut Reader<R>, comments: bool) -> Transcript {
    let mut transcript = Transcript::default();
    loop {
        let next = if comments {
            reader.read_item().map(|item| item.map(owned))
        } else {
            reader
                .read_event()
                .map(|event| event.map(|event| (What::Event(event.into_owned()), None)))
        };
        let what = match next {
            Ok(None) => break,
            Ok(Some((what, id))) => {
                // The item tells the last event ID too.
                assert!(id.is_none_or(|id| id == reader.last_event_id()));
                what
            }
            Err(error) if PASSING.contains(&error.kind()) => {
                assert_ne!(error.kind(), ErrorKind::Interrupted, "is retried inside");
                continue;
            }
            Err(error) => match too_large(&error) {
                Some(limit) => What::TooLarge { limit },
                None => panic!("{error:?}"),
            },
        };
        transcript.push(what, reader.last_event_id(), reader.retry());
    }
    transcript.last_event_id = reader.last_event_id().to_owned();
    transcript.retry = reader.retry();
    transcript
}

/// Parses all the pieces, with comments or without.
#[track_caller]
pub fn parse_all(parser: &mut Parser, pieces: &[&[u8]], comments: bool) -> Transcript {
    let mut transcript = Transcript::default();
    for mut input in pieces.iter().copied() {
        loop {
            let next = if comments {
                parser.parse_item(&mut input).map(|item| item.map(owned))
            } else {
                parser
                    .parse(&mut input)
                    .map(|event| event.map(|event| (What::Event(event.into_owned()), None)))
            };
            let what = match next {
                Ok(None) => break,
                Ok(Some((what, id))) => {
                    assert!(id.is_none_or(|id| id == parser.last_event_id()));
                    what
                }
                Err(error) => What::TooLarge {
                    limit: error.limit(),
                },
            };
            transcript.push(what, parser.last_event_id(), parser.retry());
        }
        assert!(input.is_empty(), "None means that all is used up");
    }
    transcript.last_event_id = parser.last_event_id().to_owned();
    transcript.retry = parser.retry();
    transcript
}

/// The limit of an `EventTooLarge`; None for any other error.
pub fn too_large(error: &io::Error) -> Option<usize> {
    let inner = EventTooLarge::of(error)?;
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    Some(inner.limit())
}

/// What an item holds, and the last event ID that it tells.
pub fn owned(item: Item<'_>) -> (What, Option<String>) {
    match item {
        Item::Event {
            event,
            last_event_id,
            ..
        } => (
            What::Event(event.into_owned()),
            Some(last_event_id.into_owned()),
        ),
        Item::Comment(text) => (What::Comment(text.into_owned()), None),
        other => panic!("{other:?}"),
    }
}

/// Bytes as they would stand in a source, for failure messages.
pub fn show(bytes: &[u8]) -> String {
    format!("b\"{}\"", bytes.escape_ascii())
}

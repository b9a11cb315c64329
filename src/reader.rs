//! The reader: drives the parser from a `BufRead` and lends events out of its buffer.

use std::io::{self, BufRead};
use std::time::Duration;

use crate::event::Event;
use crate::parser::{EventTooLarge, Item, Parser, Plain, Step};

/// Reads the events of a stream from any [`BufRead`].
///
/// [`read_event`](Reader::read_event) lends: an event is borrowed from the inner buffer, if it has one
/// data line that lies there as a whole, or from buffers that are reused. Nothing is allocated per
/// event once those have grown (extensions and malformed UTF-8 excepted). The iterators give out
/// owned events.
///
/// It blocks as long as the inner reader does and never waits for a byte that it does not need: an
/// event is out at the very CR or LF that ends it.
///
/// **Errors** are not final. After a time-out or [`WouldBlock`](io::ErrorKind::WouldBlock) the next
/// call goes on where this one stopped, in the middle of an event too;
/// [`Interrupted`](io::ErrorKind::Interrupted) is retried inside.
///
/// A `Reader` may sit on anything that hands out bytes: a `BufReader` around a `TcpStream` (after
/// the HTTP head) or around the body of an HTTP client such as ureq, a file, a byte slice.
///
/// ```
/// use sse_io::Reader;
///
/// let stream = b"event: tick\nid: 1\ndata: one\n\n: ping\n\ndata: two\n\n";
/// let mut reader = Reader::new(&stream[..]);
/// while let Some(event) = reader.read_event()? {
///     println!("{}: {}", event.event_type(), event.data);
/// }
/// assert_eq!(reader.last_event_id(), "1");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    parser: Parser,
    /// The bytes of the last event, still in the inner buffer because it is lent from there.
    lent: usize,
    /// An event or comment that could not be given out: the inner reader failed in between.
    pending: Option<Step>,
    trailing: bool,
    ended: bool,
    truncated: bool,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the start of a stream. Reads nothing yet.
    pub fn new(inner: R) -> Self {
        Reader {
            inner,
            parser: Parser::new(),
            lent: 0,
            pending: None,
            trailing: false,
            ended: false,
            truncated: false,
        }
    }

    /// Sets the limit for what one event may cost to keep, in bytes: all its values, one more for
    /// each data line, the names of its extensions and 64 for each of those. A comment is held to
    /// the same limit by [`read_item`](Reader::read_item); otherwise comments are passed over and
    /// not kept. Default: 16 MiB.
    #[must_use = "the setter returns the reader"]
    pub fn with_max_event_size(mut self, bytes: usize) -> Self {
        self.parser = self.parser.with_max_event_size(bytes);
        self
    }

    /// Seeds the last event ID, for a stream that goes on where an earlier one was lost. Default:
    /// empty.
    #[must_use = "the setter returns the reader"]
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        self.parser = self.parser.with_last_event_id(id);
        self
    }

    /// Whether an event that the end of the stream cuts short is delivered, its unterminated last
    /// line included, instead of discarded. Default: `false`, as in the standard (HTML standard,
    /// 9.2.6).
    ///
    /// For servers that leave the last blank line out. A stream that broke in the middle of an
    /// event cannot be told from theirs.
    #[must_use = "the setter returns the reader"]
    pub fn with_trailing_event(mut self, deliver: bool) -> Self {
        self.trailing = deliver;
        self
    }

    /// Reads the next event; `None` is the end of the stream, now and on every later call.
    ///
    /// The event borrows from the reader until the next call. Comments, unknown blocks and blocks
    /// without data are passed over; their ids and reconnection times take effect.
    ///
    /// # Errors
    ///
    /// Whatever the inner reader fails with, but for `Interrupted`: nothing is lost, the next call
    /// goes on. [`InvalidData`](io::ErrorKind::InvalidData) with an
    /// [`EventTooLarge`](crate::EventTooLarge) inside when an event exceeds the limit: the next call
    /// gives the event after it.
    ///
    /// ```
    /// use std::io;
    /// use sse_io::{EventTooLarge, Reader};
    ///
    /// let mut reader = Reader::new(&b"data: far too long\n\ndata: ok\n\n"[..]).with_max_event_size(8);
    /// let error = reader.read_event().unwrap_err();
    /// assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    /// assert!(error.get_ref().unwrap().is::<EventTooLarge>());
    /// assert_eq!(reader.read_event()?.unwrap().data, "ok");
    /// assert_eq!(reader.read_event()?, None);
    /// # Ok::<(), io::Error>(())
    /// ```
    #[inline(always)]
    pub fn read_event(&mut self) -> io::Result<Option<Event<'_>>> {
        if let Some(plain) = self.next_found(false) {
            return Ok(Some(self.parser.plain_event(plain)));
        }
        let step = self.step(false)?;
        if step != Step::Event {
            return Ok(None);
        }
        let length = self.lent_length(step);
        match lent_bytes(&mut self.inner, length) {
            Ok(bytes) => Ok(Some(self.parser.current(bytes))),
            Err(error) => {
                self.pending = Some(step);
                Err(error)
            }
        }
    }

    /// Reads the next event or comment; `None` is the end of the stream.
    ///
    /// Comments come in the order of the stream, one inside a block before the block's event. They
    /// are a sign of life: many servers send one every few seconds.
    ///
    /// # Errors
    ///
    /// As for [`read_event`](Reader::read_event); a comment over the limit is an error as well.
    ///
    /// ```
    /// use sse_io::{Item, Reader};
    ///
    /// let mut reader = Reader::new(&b": ping\n\ndata: x\n\n"[..]);
    /// assert_eq!(reader.read_item()?, Some(Item::Comment("ping".into())));
    /// assert!(matches!(reader.read_item()?, Some(Item::Event { event, .. }) if event.data == "x"));
    /// assert_eq!(reader.read_item()?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_item(&mut self) -> io::Result<Option<Item<'_>>> {
        let step = self.step(true)?;
        let length = self.lent_length(step);
        match lent_bytes(&mut self.inner, length) {
            Ok(bytes) => Ok(match step {
                Step::Event => Some(self.parser.current_item(bytes)),
                Step::Comment => Some(Item::Comment(self.parser.current_comment(bytes))),
                Step::NeedMore | Step::TooLarge => None,
            }),
            Err(error) => {
                self.pending = Some(step);
                Err(error)
            }
        }
    }

    /// An iterator over the events left, each an owned copy. It ends at the end of the stream and
    /// after the first error other than [`EventTooLarge`](crate::EventTooLarge); this reader can
    /// then be asked again.
    ///
    /// ```
    /// use sse_io::Reader;
    ///
    /// let mut reader = Reader::new(&b"id: 1\ndata: a\n\ndata: b\n\n"[..]);
    /// let mut events = reader.events();
    /// assert_eq!(events.next().unwrap()?.data, "a");
    /// assert_eq!(events.last_event_id(), "1");
    /// assert_eq!(events.count(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn events(&mut self) -> Events<'_, R> {
        Events {
            reader: self,
            failed: false,
        }
    }

    /// The last event ID: the id of the newest block that had one and was complete, with an event in
    /// it or not. Empty when there is none.
    pub fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
    }

    /// The reconnection time that the stream asked for last, with an event or without.
    pub fn retry(&self) -> Option<Duration> {
        self.parser.retry()
    }

    /// Whether the stream has ended in the middle of an event, which was discarded.
    ///
    /// ```
    /// # use sse_io::Reader;
    /// let mut reader = Reader::new(&b"data: a\n\ndata: b"[..]);
    /// assert_eq!(reader.events().count(), 1);
    /// assert!(reader.is_truncated());
    /// ```
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The inner reader. The bytes of the last event may still be in its buffer.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The inner reader, at the first byte after the last event. To take bytes from it changes the
    /// stream.
    pub fn get_mut(&mut self) -> &mut R {
        self.settle();
        self.pending = None;
        self.parser.forget_input();
        &mut self.inner
    }

    /// Gives the inner reader back, at the first byte after the last event: the LF of a final CRLF,
    /// for one. What was read of an unfinished event is gone.
    pub fn into_inner(mut self) -> R {
        self.settle();
        self.inner
    }

    /// The event that [`step`](Reader::step) has come to and the last event ID, as often as it
    /// is asked for.
    pub(crate) fn lend(&mut self) -> io::Result<(Event<'_>, &str)> {
        let length = self.lent_length(Step::Event);
        let bytes = lent_bytes(&mut self.inner, length)?;
        Ok((self.parser.current(bytes), self.parser.last_event_id()))
    }

    /// Whether this is the data of the event that [`step`](Reader::step) has come to.
    pub(crate) fn data_is(&mut self, data: &str) -> bool {
        self.lend().is_ok_and(|(event, _)| event.data == data)
    }

    /// What [`step`](Reader::step) has come to.
    pub(crate) fn lend_item(&mut self, step: Step) -> io::Result<Option<Item<'_>>> {
        let length = self.lent_length(step);
        let bytes = lent_bytes(&mut self.inner, length)?;
        Ok(match step {
            Step::Event => Some(self.parser.current_item(bytes)),
            Step::Comment => Some(Item::Comment(self.parser.current_comment(bytes))),
            Step::NeedMore | Step::TooLarge => None,
        })
    }

    /// Takes the next of the events that the parser found ahead, and its bytes out of the inner
    /// buffer: it is not lent from there.
    #[inline(always)]
    fn next_found(&mut self, comments: bool) -> Option<Plain> {
        let plain = self.parser.next_found(comments)?;
        self.inner.consume(self.parser.consumed());
        Some(plain)
    }

    /// Takes the last event's bytes out of the inner buffer.
    #[inline]
    fn settle(&mut self) {
        self.inner.consume(std::mem::take(&mut self.lent));
    }

    /// How many bytes of the inner buffer it takes to give out what the last step came to.
    #[inline]
    fn lent_length(&self, step: Step) -> usize {
        if self.parser.needs_input(step) {
            self.lent
        } else {
            0
        }
    }

    /// Reads on to the next event or comment; `NeedMore` stands for the end of the stream.
    pub(crate) fn step(&mut self, comments: bool) -> io::Result<Step> {
        if self.next_found(comments).is_some() {
            return Ok(Step::Event);
        }
        let pending = self.pending.take();
        if let Some(step) = pending.filter(|step| comments || *step == Step::Event) {
            return Ok(step);
        }
        self.settle();
        while !self.ended {
            let input = match self.inner.fill_buf() {
                Ok(input) => input,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let step = if input.is_empty() {
                match self.end() {
                    Step::NeedMore => break,
                    step => step,
                }
            } else {
                let step = self.parser.advance(input, comments);
                self.lent = self.parser.consumed();
                step
            };
            if step == Step::Event || step == Step::Comment {
                return Ok(step);
            }
            self.settle();
            if step == Step::TooLarge {
                return Err(self.parser.too_large().into());
            }
        }
        Ok(Step::NeedMore)
    }

    #[cold]
    fn end(&mut self) -> Step {
        self.ended = true;
        if self.trailing {
            return self.parser.end_of_input();
        }
        self.truncated = self.parser.is_unfinished();
        self.parser.reset();
        Step::NeedMore
    }
}

/// The bytes that an event or comment is lent from: a `BufRead` owes them until they are consumed.
#[inline]
fn lent_bytes<R: BufRead>(inner: &mut R, length: usize) -> io::Result<&[u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    let bytes = inner.fill_buf()?;
    bytes
        .get(..length)
        .ok_or_else(|| io::Error::other("the inner reader took bytes back"))
}

impl<R: BufRead> IntoIterator for Reader<R> {
    type Item = io::Result<Event<'static>>;
    type IntoIter = IntoEvents<R>;

    fn into_iter(self) -> IntoEvents<R> {
        IntoEvents {
            reader: self,
            failed: false,
        }
    }
}

impl<'r, R: BufRead> IntoIterator for &'r mut Reader<R> {
    type Item = io::Result<Event<'static>>;
    type IntoIter = Events<'r, R>;

    fn into_iter(self) -> Events<'r, R> {
        self.events()
    }
}

/// The events of a [`Reader`], owned: see [`Reader::events`].
#[derive(Debug)]
pub struct Events<'r, R> {
    reader: &'r mut Reader<R>,
    failed: bool,
}

/// The events of a [`Reader`] that was given away: see [`Reader::events`].
#[derive(Debug)]
pub struct IntoEvents<R> {
    reader: Reader<R>,
    failed: bool,
}

impl<R: BufRead> Events<'_, R> {
    /// The last event ID at the event given out last.
    pub fn last_event_id(&self) -> &str {
        self.reader.last_event_id()
    }
}

impl<R: BufRead> IntoEvents<R> {
    /// The last event ID at the event given out last.
    pub fn last_event_id(&self) -> &str {
        self.reader.last_event_id()
    }
}

impl<R: BufRead> Iterator for Events<'_, R> {
    type Item = io::Result<Event<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        next_owned(self.reader, &mut self.failed)
    }
}

impl<R: BufRead> Iterator for IntoEvents<R> {
    type Item = io::Result<Event<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        next_owned(&mut self.reader, &mut self.failed)
    }
}

fn next_owned<R: BufRead>(
    reader: &mut Reader<R>,
    failed: &mut bool,
) -> Option<io::Result<Event<'static>>> {
    if *failed {
        return None;
    }
    let next = reader
        .read_event()
        .map(|event| event.map(Event::into_owned))
        .transpose();
    if let Some(Err(error)) = &next {
        *failed = !is_too_large(error);
    }
    next
}

/// Whether this is the one error that a stream goes on behind.
pub(crate) fn is_too_large(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<EventTooLarge>())
}

impl<R: BufRead> std::iter::FusedIterator for Events<'_, R> {}
impl<R: BufRead> std::iter::FusedIterator for IntoEvents<R> {}

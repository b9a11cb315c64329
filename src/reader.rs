//! The reader: drives the parser from a `BufRead` and lends events out of its buffer.

use std::io::{self, BufRead};
use std::mem;
use std::time::Duration;

use crate::event::Event;
use crate::parser::{EventTooLarge, Item, Parser, Step};

/// Reads the events of a stream from any [`BufRead`].
///
/// [`read_event`](Reader::read_event) lends: an event is borrowed from buffers that are reused.
/// Nothing is allocated per event once those have grown, except for extensions. The iterators give
/// out owned events.
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
    /// How many bytes of the inner buffer the parser has taken and is not done with.
    taken: usize,
    trailing: bool,
    /// The inner reader is at its end, and this much is still to come of what stands for it.
    end: Option<&'static [u8]>,
    truncated: bool,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the start of a stream. Reads nothing yet.
    ///
    /// ```
    /// # use sse_io::Reader;
    /// let mut reader = Reader::new(&b"data: x\n\n"[..]);
    /// assert_eq!(reader.read_event()?.unwrap().data, "x");
    /// assert_eq!(reader.read_event()?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(inner: R) -> Self {
        Reader {
            inner,
            parser: Parser::new(),
            taken: 0,
            trailing: false,
            end: None,
            truncated: false,
        }
    }

    /// Sets the limit for what one event may cost to keep, in bytes: all its values, one more for
    /// each data line, the names of its extensions and 64 for each of those. A comment is held to
    /// the same limit by [`read_item`](Reader::read_item); otherwise comments are passed over and
    /// not kept. Default: 16 MiB.
    ///
    /// ```
    /// # use sse_io::Reader;
    /// let mut reader = Reader::new(&b"data: far too long\n\ndata: ok\n\n"[..]).with_max_event_size(8);
    /// assert!(reader.read_event().is_err());
    /// assert_eq!(reader.read_event()?.unwrap().data, "ok");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "the setter returns the reader"]
    pub fn with_max_event_size(mut self, bytes: usize) -> Self {
        self.parser = self.parser.with_max_event_size(bytes);
        self
    }

    /// Seeds the last event ID, for a stream that goes on where an earlier one was lost. Default:
    /// empty.
    ///
    /// ```
    /// # use sse_io::Reader;
    /// assert_eq!(Reader::new(&b""[..]).with_last_event_id("7").last_event_id(), "7");
    /// ```
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
    ///
    /// ```
    /// # use sse_io::Reader;
    /// let mut reader = Reader::new(&b"data: [DONE]"[..]).with_trailing_event(true);
    /// assert_eq!(reader.read_event()?.unwrap().data, "[DONE]");
    /// # Ok::<(), std::io::Error>(())
    /// ```
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
    /// assert_eq!(EventTooLarge::of(&error).map(EventTooLarge::limit), Some(8));
    /// assert_eq!(reader.read_event()?.unwrap().data, "ok");
    /// assert_eq!(reader.read_event()?, None);
    /// # Ok::<(), io::Error>(())
    /// ```
    #[inline(always)]
    pub fn read_event(&mut self) -> io::Result<Option<Event<'_>>> {
        let step = self.step(false)?;
        Ok((step == Step::Event).then(|| self.parser.event()))
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
    #[inline]
    pub fn read_item(&mut self) -> io::Result<Option<Item<'_>>> {
        let step = self.step(true)?;
        Ok(self.lend_item(step))
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
    ///
    /// ```
    /// # use sse_io::Reader;
    /// let mut reader = Reader::new(&b"id: 7\ndata: x\n\ndata: y\n\n"[..]);
    /// while reader.read_event()?.is_some() {}
    /// assert_eq!(reader.last_event_id(), "7");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
    }

    /// The reconnection time that the stream asked for last, with an event or without.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sse_io::Reader;
    /// let mut reader = Reader::new(&b"retry: 2000\n\n"[..]);
    /// assert_eq!(reader.read_event()?, None);
    /// assert_eq!(reader.retry(), Some(Duration::from_secs(2)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
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

    /// The inner reader. The bytes of the last events may still be in its buffer, and some after them.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The inner reader, at the first byte after the last event. To take bytes from it changes the
    /// stream.
    ///
    /// ```
    /// # use sse_io::Reader;
    /// let mut reader = Reader::new(&b"data: x\n\nand something else"[..]);
    /// assert_eq!(reader.read_event()?.unwrap().data, "x");
    /// assert_eq!(*reader.get_mut(), b"and something else");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_mut(&mut self) -> &mut R {
        self.settle();
        &mut self.inner
    }

    /// Gives the inner reader back, at the first byte after the last event: the LF of a final CRLF,
    /// for one. What was read of an unfinished event is gone.
    ///
    /// ```
    /// # use sse_io::Reader;
    /// let mut reader = Reader::new(&b"data: x\n\nand something else"[..]);
    /// assert_eq!(reader.read_event()?.unwrap().data, "x");
    /// assert_eq!(reader.into_inner(), b"and something else");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(mut self) -> R {
        self.settle();
        self.inner
    }

    /// The event that [`step`](Reader::step) has come to.
    #[inline(always)]
    pub(crate) fn lend(&self) -> Event<'_> {
        self.parser.event()
    }

    /// A copy of the event that [`step`](Reader::step) has come to.
    #[inline(always)]
    pub(crate) fn to_owned_event(&self) -> Event<'static> {
        self.parser.owned_event()
    }

    /// Whether the event that [`step`](Reader::step) has come to has an id of its own.
    #[inline(always)]
    pub(crate) fn has_id(&self) -> bool {
        self.parser.has_id()
    }

    /// What [`step`](Reader::step) has come to.
    #[inline(always)]
    pub(crate) fn lend_item(&self, step: Step) -> Option<Item<'_>> {
        self.parser.item(step)
    }

    /// Whether this is the data of the event that [`step`](Reader::step) has come to.
    #[inline(always)]
    pub(crate) fn data_is(&self, data: &str) -> bool {
        self.parser.data_is(data)
    }

    /// Reads on to the next event or comment; `NeedMore` stands for the end of the stream.
    #[inline(always)]
    pub(crate) fn step(&mut self, comments: bool) -> io::Result<Step> {
        match self.parser.resume(comments) {
            Step::NeedMore => self.read_on(comments),
            Step::TooLarge => Err(self.parser.too_large().into()),
            step => Ok(step),
        }
    }

    /// Fills, parses, consumes, until there is something to give out.
    #[inline(never)]
    fn read_on(&mut self, comments: bool) -> io::Result<Step> {
        loop {
            self.inner.consume(mem::take(&mut self.taken));
            let step = match &mut self.end {
                Some([]) => return Ok(Step::NeedMore),
                // A comment that the end cuts off is none.
                Some(end) => self.parser.feed(end, false),
                None => match self.inner.fill_buf() {
                    Ok([]) => {
                        self.end();
                        continue;
                    }
                    Ok(mut input) => {
                        let length = input.len();
                        let step = self.parser.feed(&mut input, comments);
                        self.taken = length - input.len();
                        step
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                },
            };
            match step {
                Step::NeedMore => {}
                Step::TooLarge => return Err(self.parser.too_large().into()),
                step => return Ok(step),
            }
        }
    }

    #[cold]
    fn end(&mut self) {
        if self.trailing {
            self.end = Some(Parser::END);
        } else {
            self.end = Some(&[]);
            self.truncated = self.parser.is_unfinished();
            self.parser.reset();
        }
    }

    /// Takes the bytes up to the end of the last event out of the inner buffer, and leaves the others
    /// there.
    fn settle(&mut self) {
        if self.taken > 0 {
            let passed = mem::take(&mut self.taken) - self.parser.rewind();
            self.inner.consume(passed);
        }
    }
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
    match reader.step(false) {
        Ok(Step::Event) => Some(Ok(reader.to_owned_event())),
        Ok(_) => None,
        Err(error) => {
            *failed = EventTooLarge::of(&error).is_none();
            Some(Err(error))
        }
    }
}

impl<R: BufRead> std::iter::FusedIterator for Events<'_, R> {}
impl<R: BufRead> std::iter::FusedIterator for IntoEvents<R> {}

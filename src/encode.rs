//! The one encoder: every byte of an event stream comes from here, and so does every refusal.
//!
//! There is no escape mechanism in the format, so a CR or LF inside a field would start a field of
//! the attacker's choosing. Such a field is refused as a whole; nothing is stripped in silence.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Range;
use std::time::Duration;

use crate::event::Event;
use crate::scan::{self, Breaks, CR, LF};

/// The field names that the standard gives a meaning to.
const KNOWN: [&str; 4] = ["event", "id", "retry", "data"];

/// A field of an [`Event`] that cannot be sent: which one, and what is wrong with it.
///
/// Converts into an [`io::Error`] of kind [`InvalidInput`](io::ErrorKind::InvalidInput), in which
/// [`of`](InvalidField::of) finds it.
///
/// ```
/// use sse_io::{Event, InvalidField, Writer};
///
/// let mut writer = Writer::new(Vec::new());
/// let error = writer.write_event(&Event::new("x").with_id("1\r2")).unwrap_err();
/// let invalid = InvalidField::of(&error).unwrap();
/// assert_eq!((invalid.field(), invalid.byte(), invalid.position()), ("id", Some(b'\r'), Some(1)));
/// assert!(writer.get_ref().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    field: &'static str,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    /// This byte, at this offset into the field.
    Byte(u8, usize),
    /// An extension without a name: its line would be a comment.
    Empty,
    /// An extension that would set a field of the standard.
    Known,
    /// An extension whose name starts with U+FEFF, dropped at the start of a stream.
    ByteOrderMark,
    /// A reconnection time of more than `u64::MAX` milliseconds.
    TooLong,
}

impl InvalidField {
    /// The `InvalidField` inside an error, if there is one.
    ///
    /// ```
    /// use sse_io::{Event, InvalidField, Writer};
    ///
    /// let event = Event::new("x").with_id("1\n2");
    /// let error = Writer::new(Vec::new()).write_event(&event).unwrap_err();
    /// assert_eq!(InvalidField::of(&error).map(InvalidField::field), Some("id"));
    /// ```
    pub fn of(error: &io::Error) -> Option<&InvalidField> {
        error.get_ref()?.downcast_ref()
    }

    /// Which field it is: "event name", "id", "retry", "extension name" or "extension value".
    ///
    /// ```
    /// # use sse_io::Event;
    /// let error = Event::new("x").with_id("1\n2").encode(&mut Vec::new()).unwrap_err();
    /// assert_eq!(error.field(), "id");
    /// ```
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// The byte that cannot be sent, where it is a byte: CR, LF, NUL or `:`.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let error = Event::new("x").with_id("1\n2").encode(&mut Vec::new()).unwrap_err();
    /// assert_eq!(error.byte(), Some(b'\n'));
    /// ```
    pub fn byte(&self) -> Option<u8> {
        match self.problem {
            Problem::Byte(byte, _) => Some(byte),
            _ => None,
        }
    }

    /// The offset of that byte in the field's UTF-8 text.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let error = Event::new("x").with_id("1\n2").encode(&mut Vec::new()).unwrap_err();
    /// assert_eq!(error.position(), Some(1));
    /// ```
    pub fn position(&self) -> Option<usize> {
        match self.problem {
            Problem::Byte(_, position) => Some(position),
            _ => None,
        }
    }
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.field;
        match self.problem {
            Problem::Byte(byte, position) => {
                let byte = match byte {
                    CR => "carriage return",
                    LF => "line feed",
                    0 => "null",
                    _ => "colon",
                };
                write!(f, "{byte} at byte {position} of the {field}")
            }
            Problem::Empty => write!(f, "the {field} is empty"),
            Problem::Known => write!(f, "the {field} is a field of the standard"),
            Problem::ByteOrderMark => write!(f, "the {field} starts with a byte order mark"),
            Problem::TooLong => write!(f, "the {field} exceeds {} milliseconds", u64::MAX),
        }
    }
}

impl Error for InvalidField {}

impl From<InvalidField> for io::Error {
    fn from(error: InvalidField) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

impl Event<'_> {
    /// Appends the wire form to `out` and returns its length in bytes. Allocates only where `out`
    /// has to grow.
    ///
    /// The order is `event`, `id`, `retry`, extensions, `data`, blank line. `data` is always
    /// written, so that every event is dispatched.
    ///
    /// # Errors
    ///
    /// [`InvalidField`] when a field cannot be sent; `out` is then as it was.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let mut out = Vec::new();
    /// assert_eq!(Event::new("").encode(&mut out), Ok(7));
    /// assert_eq!(out, b"data:\n\n");
    ///
    /// let error = Event::new("x").with_name("a\nb").encode(&mut out).unwrap_err();
    /// assert_eq!(error.to_string(), "line feed at byte 1 of the event name");
    /// assert_eq!(out.len(), 7);
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<usize, InvalidField> {
        event(self, out)
    }
}

/// Appends a whole event; on an error `out` is as it was.
#[inline]
pub(crate) fn event(event: &Event<'_>, out: &mut Vec<u8>) -> Result<usize, InvalidField> {
    let start = out.len();
    let mut data = begin_event(event, out)?;
    data.push(event.data.as_bytes(), out);
    data.end(out);
    Ok(out.len() - start)
}

/// Appends everything of an event before its data; on an error `out` is as it was.
#[inline(always)]
pub(crate) fn begin_event(event: &Event<'_>, out: &mut Vec<u8>) -> Result<Lines, InvalidField> {
    let millis = check(event)?;
    out.reserve(event.data.len() + 64);
    if let Some(name) = &event.name {
        field("event", name, out);
    }
    if let Some(id) = &event.id {
        field("id", id, out);
    }
    if let Some(millis) = millis {
        number("retry", millis, out);
    }
    for (name, value) in event.extensions.iter() {
        field(name, value, out);
    }
    Ok(Lines::begin(b"data:", out))
}

/// The event in a wire form that [`event`] wrote, and in no other.
pub(crate) fn decode(wire: &str) -> Event<'_> {
    let mut event = Event::default();
    let mut has_data = false;
    for line in wire.split('\n') {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => event.name = Some(value.into()),
            "id" => event.id = Some(value.into()),
            "retry" => event.retry = value.parse().ok().map(Duration::from_millis),
            "data" if !has_data => {
                has_data = true;
                event.data = value.into();
            }
            "data" => {
                let data = event.data.to_mut();
                data.push('\n');
                data.push_str(value);
            }
            _ => event.extensions.push(name, value),
        }
    }
    event
}

/// Where an event's id stands in its wire form.
#[inline]
pub(crate) fn id_span(event: &Event<'_>) -> Option<Range<usize>> {
    let id = event.id.as_deref()?;
    let start = field_len("event", event.name.as_deref()) + "id:".len();
    // The empty id has no space in front of it.
    let start = start + usize::from(!id.is_empty());
    Some(start..start + id.len())
}

/// How long the line of a field is, if it is there.
#[inline]
fn field_len(name: &str, value: Option<&str>) -> usize {
    match value {
        None => 0,
        Some("") => name.len() + 2,
        Some(value) => name.len() + value.len() + 3,
    }
}

/// Appends a comment block: one `:` line for each line of the text.
pub(crate) fn comment(text: &str, out: &mut Vec<u8>) {
    let mut lines = Lines::begin(b":", out);
    lines.push(text.as_bytes(), out);
    lines.end(out);
}

/// Appends a block that sets the last event ID and is no event; on an error `out` is as it was.
pub(crate) fn id(id: &str, out: &mut Vec<u8>) -> Result<(), InvalidField> {
    valid_id(id)?;
    field("id", id, out);
    out.push(LF);
    Ok(())
}

/// Appends a block that sets the reconnection time and is no event.
pub(crate) fn retry(retry: Duration, out: &mut Vec<u8>) -> Result<(), InvalidField> {
    number("retry", whole_millis(retry)?, out);
    out.push(LF);
    Ok(())
}

/// Text being cut into the lines of one field, in any number of pieces.
#[derive(Debug)]
pub(crate) struct Lines {
    /// What each line starts with, colon included.
    prefix: &'static [u8],
    /// The current line holds no more than its prefix: a space goes in front of what comes.
    empty: bool,
    /// The text so far ends in a CR: an LF that comes next belongs to it.
    after_cr: bool,
}

impl Lines {
    #[inline]
    fn begin(prefix: &'static [u8], out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(prefix);
        Lines {
            prefix,
            empty: true,
            after_cr: false,
        }
    }

    /// Appends the next piece of the text; CRLF, CR and LF each start a new line.
    #[inline(always)]
    pub(crate) fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if scan::may_hold_break(text) {
            self.push_lines(text, out);
        } else {
            self.extend(text, out);
        }
    }

    fn push_lines(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut breaks = Breaks::of(text);
        let mut start = 0;
        while let Some(end) = breaks.next(text) {
            let cr = text[end] == CR;
            if cr || end > start || !self.after_cr {
                self.extend(&text[start..end], out);
                out.push(LF);
                out.extend_from_slice(self.prefix);
                self.empty = true;
            }
            self.after_cr = cr;
            start = end + 1;
        }
        self.extend(&text[start..], out);
    }

    #[inline(always)]
    fn extend(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if self.empty {
            out.push(b' ');
            self.empty = false;
        }
        self.after_cr = false;
        out.extend_from_slice(text);
    }

    /// Ends the last line and the block.
    #[inline]
    pub(crate) fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n\n");
    }
}

#[inline(always)]
fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 3);
    out.extend_from_slice(name.as_bytes());
    if value.is_empty() {
        out.extend_from_slice(b":\n");
    } else {
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.push(LF);
    }
}

fn number(name: &str, value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b"0123456789"[(rest % 10) as usize];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(&digits[at..]);
    out.push(LF);
}

/// Checks all that can be wrong with an event and returns its reconnection time.
#[inline]
fn check(event: &Event<'_>) -> Result<Option<u64>, InvalidField> {
    if let Some(name) = &event.name {
        one_line("event name", name)?;
    }
    if let Some(id) = &event.id {
        valid_id(id)?;
    }
    for (name, value) in event.extensions.iter() {
        extension_name(name)?;
        one_line("extension value", value)?;
    }
    event.retry.map(whole_millis).transpose()
}

#[inline]
fn one_line(field: &'static str, value: &str) -> Result<(), InvalidField> {
    if !scan::may_hold_break(value.as_bytes()) {
        return Ok(());
    }
    match scan::find(value.as_bytes()) {
        None => Ok(()),
        Some(at) => Err(InvalidField {
            field,
            problem: Problem::Byte(value.as_bytes()[at], at),
        }),
    }
}

#[inline]
fn valid_id(id: &str) -> Result<(), InvalidField> {
    if !scan::may_hold_break(id.as_bytes()) {
        return Ok(());
    }
    one_line("id", id)?;
    match id.bytes().position(|byte| byte == 0) {
        None => Ok(()),
        Some(at) => Err(InvalidField {
            field: "id",
            problem: Problem::Byte(0, at),
        }),
    }
}

fn extension_name(name: &str) -> Result<(), InvalidField> {
    let field = "extension name";
    one_line(field, name)?;
    let problem = if name.is_empty() {
        Problem::Empty
    } else if name.starts_with('\u{feff}') {
        Problem::ByteOrderMark
    } else if KNOWN.contains(&name) {
        Problem::Known
    } else if let Some(at) = name.find(':') {
        Problem::Byte(b':', at)
    } else {
        return Ok(());
    };
    Err(InvalidField { field, problem })
}

/// Whole milliseconds, rounded up.
fn whole_millis(retry: Duration) -> Result<u64, InvalidField> {
    let millis = retry.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).map_err(|_| InvalidField {
        field: "retry",
        problem: Problem::TooLong,
    })
}

//! A second interpreter, as plain as the standard's text (HTML standard, 9.2.5 and 9.2.6), that the
//! parser and the reader must agree with.
//!
//! It goes over the stream byte by byte and stops at the byte that completes something, so that it
//! can be reset, ended and seeded at every point where the parser can.

use std::time::Duration;

use sse_io::Event;

use super::readers::{Transcript, What};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What an extension costs beside its text.
const EXTENSION: usize = 64;

/// The names that the standard knows.
const NAMES: [&[u8]; 4] = [b"data", b"event", b"id", b"retry"];

/// A size in bytes as they came and in bytes of the text. Only malformed input tells them apart.
type Size = [usize; 2];

#[derive(Debug, Default)]
struct Block {
    event: Event<'static>,
    /// Each data line with its LF.
    data: String,
    size: Size,
    /// The event was too large: only its `id` and `retry` still count.
    oversize: bool,
}

/// The interpreter.
#[derive(Debug)]
pub struct Reference {
    limit: usize,
    /// The unfinished line, as it came.
    line: Vec<u8>,
    in_first_line: bool,
    after_cr: bool,
    /// The unfinished line is a comment; whether the call that met its beginning wanted comments.
    wanted: Option<bool>,
    /// The unfinished line is a comment that is known to be too large.
    told: bool,
    block: Block,
    last_event_id: String,
    retry: Option<Duration>,
    unsettled: bool,
    retry_unsettled: bool,
}

impl Reference {
    pub fn new(limit: usize) -> Self {
        Reference {
            limit,
            line: Vec::new(),
            in_first_line: true,
            after_cr: false,
            wanted: None,
            told: false,
            block: Block::default(),
            last_event_id: String::new(),
            retry: None,
            unsettled: false,
            retry_unsettled: false,
        }
    }

    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn seed(&mut self, id: &str) {
        id.clone_into(&mut self.last_event_id);
    }

    /// Sets the limit for what comes; false where it is not laid down what that means for a line or
    /// a block that has begun.
    pub fn set_limit(&mut self, limit: usize) -> bool {
        let smaller = limit.min(self.limit);
        let line = match self.line.len() {
            0 => 0,
            length => 3 * length + EXTENSION,
        };
        let block = self.block.size[1].saturating_add(line);
        if line > smaller || (block > smaller && !self.block.oversize) {
            return false;
        }
        self.limit = limit;
        true
    }

    /// Whether what came cannot be compared any further: malformed bytes are over the limit in one
    /// way of counting and not in the other.
    pub fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Whether there was a reconnection time whose digits are longer than the limit: it may count or
    /// not.
    pub fn is_retry_unsettled(&self) -> bool {
        self.retry_unsettled
    }

    /// Takes bytes from the front of the input up to what comes next; `None` when there are no more.
    pub fn next(&mut self, input: &mut &[u8], comments: bool) -> Option<What> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    if let Some(told) = self.end_line(comments) {
                        return Some(told);
                    }
                }
                _ => self.line.push(byte),
            }
        }
        if comment(self.unfinished()).is_some() {
            self.wanted.get_or_insert(comments);
        }
        None
    }

    /// What the next call has to ask for: it is not laid down what becomes of a comment of which one
    /// call wants a part and another does not.
    pub fn wants(&self, comments: bool) -> bool {
        self.wanted.unwrap_or(comments)
    }

    /// Whether it is certain by now that the unfinished line makes its event or comment too large.
    pub fn may_tell(&self, comments: bool) -> bool {
        let line = self.unfinished();
        if let Some(value) = comment(line) {
            return comments && !self.told && size(value)[1] > self.limit;
        }
        !self.block.oversize && self.block.size[1].saturating_add(least_cost(line)) > self.limit
    }

    /// The unfinished line was reported as too large before its end.
    pub fn tell(&mut self) {
        if comment(self.unfinished()).is_some() {
            self.told = true;
        } else {
            self.block.oversize = true;
        }
    }

    /// Whether the end of the stream would cut an event short; `None` where it is a question of
    /// words.
    pub fn is_cut_short(&self) -> Option<bool> {
        let line = self.unfinished();
        let data = !self.block.data.is_empty() || line.starts_with(b"data:");
        if data || self.block.oversize {
            return Some(true);
        }
        let begun = self.block.event != Event::default() || self.block.size != [0, 0];
        let idle = line.is_empty() || comment(line).is_some();
        (idle && !begun).then_some(false)
    }

    /// Ends the stream as if a blank line had come.
    pub fn finish(&mut self) -> Option<What> {
        let line = self.unfinished();
        let told = match line.is_empty() || comment(line).is_some() {
            true => None,
            false => self.end_line(false),
        };
        self.line.clear();
        let event = self.end_block();
        self.reset();
        told.or(event)
    }

    /// Drops what is unfinished: a new stream begins.
    pub fn reset(&mut self) {
        self.line.clear();
        self.in_first_line = true;
        self.after_cr = false;
        self.wanted = None;
        self.told = false;
        self.block = Block::default();
    }

    fn too_large(&self) -> What {
        What::TooLarge { limit: self.limit }
    }

    fn unfinished(&self) -> &[u8] {
        match self.line.strip_prefix(BOM) {
            Some(line) if self.in_first_line => line,
            _ => &self.line,
        }
    }

    fn is_over(&mut self, size: Size) -> bool {
        let [raw, text] = size.map(|size| size > self.limit);
        self.unsettled |= raw != text;
        text
    }

    fn end_line(&mut self, comments: bool) -> Option<What> {
        let line = self.unfinished().to_vec();
        self.line.clear();
        self.in_first_line = false;
        self.wanted = None;
        let told = std::mem::take(&mut self.told);
        if line.is_empty() {
            return self.end_block();
        }
        if let Some(value) = comment(&line) {
            let what = match self.is_over(size(value)) {
                true => self.too_large(),
                false => What::Comment(text(value)),
            };
            return (comments && !told).then_some(what);
        }
        let (name, value) = field(&line);
        self.field(name, value).then(|| self.too_large())
    }

    /// True when the event is too large by this line.
    fn field(&mut self, name: &[u8], value: &[u8]) -> bool {
        let [raw, decoded] = cost(name, value);
        let size = self.block.size;
        self.block.size = [size[0].saturating_add(raw), size[1].saturating_add(decoded)];
        let event = &mut self.block.event;
        match name {
            b"event" => event.name = (!value.is_empty()).then(|| text(value).into()),
            b"data" => {
                self.block.data += &text(value);
                self.block.data += "\n";
            }
            b"id" => {
                if !self.is_over(self::size(value)) && !value.contains(&0) {
                    self.block.event.id = Some(text(value).into());
                }
            }
            b"retry" => {
                if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
                    self.retry_unsettled |= value.len() > self.limit;
                    let millis = text(value).parse().unwrap_or(u64::MAX);
                    self.retry = Some(Duration::from_millis(millis));
                    event.retry = self.retry;
                }
            }
            _ => event.extensions.push(&text(name), &text(value)),
        }
        if self.block.oversize {
            return false;
        }
        self.block.oversize = self.is_over(self.block.size);
        self.block.oversize
    }

    fn end_block(&mut self) -> Option<What> {
        let mut block = std::mem::take(&mut self.block);
        if let Some(id) = &block.event.id {
            self.last_event_id = id.to_string();
        }
        if block.data.is_empty() || block.oversize {
            return None;
        }
        block.data.pop();
        block.event.data = block.data.into();
        Some(block.event.into())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn size(bytes: &[u8]) -> Size {
    [bytes.len(), String::from_utf8_lossy(bytes).len()]
}

fn without_space(value: &[u8]) -> &[u8] {
    value.strip_prefix(b" ").unwrap_or(value)
}

/// The text of a comment, if the line is one.
fn comment(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b":").map(without_space)
}

fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&byte| byte == b':') {
        Some(colon) => (&line[..colon], without_space(&line[colon + 1..])),
        None => (line, b""),
    }
}

fn cost(name: &[u8], value: &[u8]) -> Size {
    let more = match name {
        b"data" => [1, 1],
        b"event" | b"id" | b"retry" => [0, 0],
        _ => size(name).map(|size| size + EXTENSION),
    };
    let value = size(value);
    [value[0] + more[0], value[1] + more[1]]
}

/// What the line will cost at least, however it goes on.
fn least_cost(line: &[u8]) -> usize {
    let open = !line.contains(&b':');
    if open && NAMES.iter().any(|name| name.starts_with(line)) {
        return 0;
    }
    let (name, value) = field(line);
    cost(name, value)[1]
}

/// Reads a whole stream, and what is left at its end is discarded. Too large is told at the end of
/// the line that is.
pub fn interpret(stream: &[u8], limit: usize, comments: bool) -> Transcript {
    interpret_with(&mut Reference::new(limit), stream, comments)
}

/// The same with a reference that can be asked afterwards.
pub fn interpret_with(reference: &mut Reference, stream: &[u8], comments: bool) -> Transcript {
    let mut transcript = Transcript::default();
    let mut input = stream;
    while let Some(what) = reference.next(&mut input, comments) {
        transcript.push(what, reference.last_event_id(), reference.retry());
    }
    transcript.last_event_id = reference.last_event_id().to_owned();
    transcript.retry = reference.retry();
    transcript
}

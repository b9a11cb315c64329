//! The target `client`: scripted answers, and a plain model that says what each call gives.
//!
//! The first line of an input has the settings; the rest is the answers, separated by `~`. The first
//! character of each says what it is: `o` a stream, `e` one that fails at its end, `x` and `q` ones at
//! whose end the client is closed or told to reconnect, `n` no content, `5` and `4` statuses, `h` HTML,
//! `z` compressed, `r` refused, `f` fatal, `c` and `k` a close and a reconnect during the attempt.
//! Between two calls, a step of `` ` `` reconnects and one of `p` closes. Behind the last answer the
//! server has no more.

use std::cell::{OnceCell, RefCell};
use std::io::{self, BufRead, ErrorKind as Io, Read};
use std::rc::Rc;
use std::time::Duration;

use sse_io::EventSource;
use sse_io::client::{Closer, ConnectError, Ending, ErrorKind, Response};

use crate::plan::Plan;
use crate::util::readers::{What, owned, show};
use crate::util::reference::Reference;

const TERMINATOR: &str = "[DONE]";

/// Not a wait between attempts, whatever the server asks for.
const NONE: Duration = Duration::ZERO;

#[derive(Clone, Copy)]
struct Settings {
    limit: Option<usize>,
    trailing: bool,
    finite: bool,
    terminator: bool,
    comments: bool,
    initial_retry: bool,
    retries_503: bool,
    healthy_on_event: bool,
    max_attempts: Option<u32>,
}

/// What the connector was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    attempt: u32,
    id: String,
    header: Option<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum Order {
    Close,
    Reconnect,
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    Fails,
    Order(Order),
}

/// An answer as it is written in the input.
#[derive(Clone, Copy)]
struct Answer<'a> {
    kind: u8,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    fn all(text: &'a [u8]) -> impl Iterator<Item = Answer<'a>> {
        text.split(|&byte| byte == b'~')
            .filter_map(|answer| answer.split_first())
            .map(|(&kind, body)| Answer { kind, body })
    }

    fn end(self) -> End {
        match self.kind {
            b'e' => End::Fails,
            b'x' => End::Order(Order::Close),
            b'q' => End::Order(Order::Reconnect),
            _ => End::Whole,
        }
    }
}

/// Gives an answer out in pieces.
struct Body<'a> {
    bytes: &'a [u8],
    position: usize,
    given: usize,
    plan: Plan<'a>,
    end: End,
    closer: Rc<OnceCell<Closer>>,
}

impl BufRead for Body<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.given && self.given < self.bytes.len() {
            let step = self.plan.step();
            self.given = self.bytes.len().min(self.given + step.size());
            if step.action() == 5 {
                return Err(Io::Interrupted.into());
            }
        }
        if self.position == self.bytes.len() {
            match self.end {
                End::Whole => {}
                End::Fails => return Err(Io::ConnectionReset.into()),
                End::Order(order) => give(&self.closer, order),
            }
        }
        Ok(&self.bytes[self.position..self.given])
    }

    fn consume(&mut self, count: usize) {
        assert!(count <= self.given - self.position, "more than there is");
        self.position += count;
    }
}

impl Read for Body<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("a client fills and consumes")
    }
}

fn give(closer: &OnceCell<Closer>, order: Order) {
    let closer = closer.get().expect("it is set before the first call");
    match order {
        Order::Close => closer.close(),
        Order::Reconnect => closer.reconnect(),
    }
}

/// What a call gives.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Item(What, String),
    Nothing(&'static str),
    Failed(ErrorKind),
}

/// Reads until the end, with the model beside it.
pub fn client(input: &[u8]) {
    let (mut plan, text) = Plan::of(input);
    let limit = plan.limit();
    let (how, more, attempts) = (plan.option(), plan.option(), plan.option());
    let settings = Settings {
        limit,
        trailing: how & 1 != 0,
        finite: how & 2 != 0,
        terminator: how & 4 != 0,
        comments: how & 8 != 0,
        initial_retry: more & 1 == 0,
        retries_503: more & 2 != 0,
        healthy_on_event: more & 4 == 0,
        max_attempts: (attempts % 16 % 5).checked_sub(1).map(u32::from),
    };
    let seed = if more & 8 != 0 { "seed" } else { "" };
    let closer = Rc::new(OnceCell::new());
    let asked = Rc::new(RefCell::new(Vec::new()));
    let mut source = source(text, &plan, settings, &closer, &asked).with_last_event_id(seed);
    closer.set(source.closer()).expect("once");
    let mut model = Model {
        settings,
        answers: Answer::all(text).collect::<Vec<_>>().into_iter(),
        open: None,
        last_id: seed.to_owned(),
        retry: Some(Duration::from_secs(3)),
        given: Given::Nothing,
        failures: 0,
        was_open: false,
        order: None,
        over: None,
        asked: Vec::new(),
        cut_short: None,
        unsettled: false,
    };
    let place = || show(input);
    loop {
        let step = plan.step();
        match (step.action(), step.size()) {
            (6, 1) => model.gets(Order::Reconnect, &closer),
            (7, 1) => model.gets(Order::Close, &closer),
            _ => {}
        }
        let got = call(&mut source, settings.comments);
        let too_large = got == Told::Failed(ErrorKind::EventTooLarge);
        let expected = model.next(too_large.then(|| asked.borrow().len()));
        if model.unsettled {
            return;
        }
        assert_eq!(got, expected, "{}", place());
        assert_eq!(*asked.borrow(), model.asked, "{}", place());
        if !too_large {
            assert_eq!(source.last_event_id(), model.last_event_id(), "{}", place());
        }
        if let (Told::Item(..), Some(retry)) = (&got, model.reconnection_time()) {
            source = source.with_reconnection_limits(NONE, Duration::MAX);
            assert_eq!(source.reconnection_time(), retry, "{}", place());
            source = source.with_reconnection_limits(NONE, NONE);
        }
        if model.over.is_some() {
            break;
        }
    }
    if let (Some("finished"), Some(cut_short)) = (model.over, model.cut_short) {
        assert_eq!(source.is_truncated(), cut_short, "{}", place());
    }
    // Nothing changes that any more.
    give(&closer, Order::Reconnect);
    give(&closer, Order::Close);
    for _ in 0..2 {
        let over = model.over.expect("it has ended");
        assert_eq!(call(&mut source, true), Told::Nothing(over), "{}", place());
    }
    assert_eq!(*asked.borrow(), model.asked, "{}", place());
}

type Connect<'a> =
    Box<dyn FnMut(&sse_io::client::Request<'_>) -> Result<Response<Body<'a>>, ConnectError> + 'a>;

fn source<'a>(
    text: &'a [u8],
    plan: &Plan<'a>,
    settings: Settings,
    closer: &Rc<OnceCell<Closer>>,
    asked: &Rc<RefCell<Vec<Asked>>>,
) -> EventSource<Connect<'a>> {
    let (closer, asked, plan) = (Rc::clone(closer), Rc::clone(asked), plan.clone());
    let mut answers = Answer::all(text).collect::<Vec<_>>().into_iter();
    let connect: Connect<'a> = Box::new(move |request| {
        let header = request.headers().find(|(name, _)| *name == "Last-Event-ID");
        asked.borrow_mut().push(Asked {
            attempt: request.attempt(),
            id: request.last_event_id().to_owned(),
            header: header.map(|(_, value)| value.to_vec()),
        });
        let none = Answer {
            kind: b'n',
            body: b"",
        };
        let answer = answers.next().unwrap_or(none);
        let body = Body {
            bytes: answer.body,
            position: 0,
            given: 0,
            plan: plan.clone(),
            end: answer.end(),
            closer: Rc::clone(&closer),
        };
        let (status, media_type): (u16, _) = match answer.kind {
            b'r' => return Err(Io::ConnectionRefused.into()),
            b'f' => return Err(ConnectError::fatal("no such host")),
            b'n' => (204, ""),
            b'5' => (503, "text/plain"),
            b'4' => (404, "text/event-stream"),
            b'h' => (200, "text/html"),
            _ => (200, "text/event-stream; charset=utf-8"),
        };
        match answer.kind {
            b'c' => give(&closer, Order::Close),
            b'k' => give(&closer, Order::Reconnect),
            _ => {}
        }
        let header = |name: &str| match name {
            "Content-Type" => Some(media_type),
            "Content-Encoding" => (answer.kind == b'z').then_some("gzip"),
            "Retry-After" => Some("60"),
            _ => None,
        };
        Ok(Response::from_head(status, header, body))
    });
    let mut source = EventSource::with_connect(connect)
        .with_reconnection_limits(NONE, NONE)
        // Only an event makes a connection a healthy one: there is no clock here.
        .with_healthy_after(Duration::MAX, settings.healthy_on_event)
        .with_trailing_event(settings.trailing)
        .with_finite(settings.finite)
        .with_initial_retry(settings.initial_retry);
    if settings.retries_503 {
        source = source.with_retried_statuses([503]);
    }
    if settings.terminator {
        source = source.with_terminator(TERMINATOR);
    }
    if let Some(limit) = settings.limit {
        source = source.with_max_event_size(limit);
    }
    if let Some(attempts) = settings.max_attempts {
        source = source.with_max_attempts(attempts);
    }
    source
}

fn call(source: &mut EventSource<Connect<'_>>, comments: bool) -> Told {
    let next = match comments {
        true => source.next_item().map(|item| item.map(owned)),
        false => source
            .next_event()
            .map(|event| event.map(|event| (What::Event(event.into_owned()), None))),
    };
    match next {
        Ok(Some((what, id))) => {
            assert!(id.is_none_or(|id| id == source.last_event_id()));
            assert!(source.ending().is_none());
            Told::Item(what, source.last_event_id().to_owned())
        }
        Ok(None) => Told::Nothing(match source.ending() {
            Some(Ending::Closer) => "closed",
            Some(Ending::NoContent) => "no content",
            Some(Ending::Finished) => "finished",
            Some(Ending::Terminated) => "terminated",
            Some(Ending::Failed(_)) => "failed",
            other => panic!("{other:?}"),
        }),
        Err(error) => Told::Failed(error.kind()),
    }
}

/// What the caller has been given.
#[derive(Clone, Copy)]
enum Given {
    Nothing,
    Numbered,
    Unnumbered,
}

/// A connection as the model sees it: all of its bytes at once.
struct Open<'a> {
    reference: Reference,
    rest: &'a [u8],
    end: End,
    gave_event: bool,
}

/// What the documentation says of a client.
struct Model<'a> {
    settings: Settings,
    answers: std::vec::IntoIter<Answer<'a>>,
    open: Option<Open<'a>>,
    last_id: String,
    /// None where it is not laid down.
    retry: Option<Duration>,
    given: Given,
    failures: u32,
    was_open: bool,
    order: Option<Order>,
    over: Option<&'static str>,
    asked: Vec<Asked>,
    /// Whether the last body ended in the middle of an event, where that is laid down.
    cut_short: Option<bool>,
    /// What comes next is not laid down.
    unsettled: bool,
}

impl Model<'_> {
    fn gets(&mut self, order: Order, closer: &OnceCell<Closer>) {
        give(closer, order);
        self.order = Some(order);
    }

    fn last_event_id(&self) -> &str {
        match &self.open {
            Some(open) => open.reference.last_event_id(),
            None => &self.last_id,
        }
    }

    /// None where it is not laid down.
    fn reconnection_time(&self) -> Option<Duration> {
        match &self.open {
            Some(open) if open.reference.is_retry_unsettled() => None,
            Some(open) => open.reference.retry().or(self.retry),
            None => self.retry,
        }
    }

    /// What the next call gives. That an event is too large may be told before the end of its line:
    /// `too_large` is after how many requests it was.
    fn next(&mut self, too_large: Option<usize>) -> Told {
        loop {
            if let Some(over) = self.over {
                return Told::Nothing(over);
            }
            match self.order.take() {
                Some(Order::Close) => {
                    self.ends("closed");
                    continue;
                }
                Some(Order::Reconnect) => self.disconnect(),
                None => {}
            }
            let told = match self.open {
                Some(_) => self.read(too_large),
                None => self.connect(),
            };
            if let Some(told) = told {
                return told;
            }
        }
    }

    /// Makes an attempt, which gives nothing unless it is the last.
    fn connect(&mut self) -> Option<Told> {
        self.asked.push(Asked {
            attempt: self.failures + 1,
            id: self.last_id.clone(),
            header: can_be_sent(&self.last_id).then(|| self.last_id.as_bytes().to_vec()),
        });
        let Some(answer) = self.answers.next() else {
            self.ends("no content");
            return None;
        };
        match answer.kind {
            b'c' => self.order = Some(Order::Close),
            b'k' => self.order = Some(Order::Reconnect),
            b'n' => self.ends("no content"),
            b'r' => return self.attempt_failed(ErrorKind::Connect),
            b'5' if self.settings.retries_503 => {
                return self.attempt_failed(ErrorKind::Status(503));
            }
            b'f' => return Some(self.fails(ErrorKind::Connect)),
            b'5' => return Some(self.fails(ErrorKind::Status(503))),
            b'4' => return Some(self.fails(ErrorKind::Status(404))),
            b'h' => return Some(self.fails(ErrorKind::MediaType)),
            b'z' => return Some(self.fails(ErrorKind::ContentEncoding)),
            _ => {
                let mut reference = Reference::new(self.settings.limit.unwrap_or(16 << 20));
                reference.seed(&self.last_id);
                self.was_open = true;
                self.open = Some(Open {
                    reference,
                    rest: answer.body,
                    end: answer.end(),
                    gave_event: false,
                });
            }
        }
        None
    }

    fn attempt_failed(&mut self, kind: ErrorKind) -> Option<Told> {
        if !self.was_open && !self.settings.initial_retry {
            return Some(self.fails(kind));
        }
        self.failures += 1;
        self.gives_up()
    }

    /// One item of the open connection, or its end, which gives nothing unless it is the last.
    fn read(&mut self, too_large: Option<usize>) -> Option<Told> {
        let Settings {
            comments, trailing, ..
        } = self.settings;
        let too_large = too_large == Some(self.asked.len());
        let open = self.open.as_mut()?;
        let mut what = open.reference.next(&mut open.rest, comments);
        if what.is_none() && too_large && open.reference.may_tell(comments) {
            open.reference.tell();
            return Some(Told::Failed(ErrorKind::EventTooLarge));
        }
        if what.is_none() {
            self.cut_short = match trailing {
                true => Some(false),
                false => open.reference.is_cut_short(),
            };
            if trailing && matches!(open.end, End::Whole) {
                what = open.reference.finish();
            }
        }
        if open.reference.is_unsettled() {
            self.unsettled = true;
            return Some(Told::Nothing("unsettled"));
        }
        let Some(what) = what else {
            let (end, gave_event) = (open.end, open.gave_event);
            self.disconnect();
            return self.lost(end, gave_event);
        };
        match &what {
            What::TooLarge { .. } => return Some(Told::Failed(ErrorKind::EventTooLarge)),
            What::Event(event) if self.settings.terminator && event.data == TERMINATOR => {
                self.disconnect();
                self.ends("terminated");
                return None;
            }
            What::Event(event) => {
                open.gave_event = true;
                self.given = match event.id {
                    Some(_) => Given::Numbered,
                    None => Given::Unnumbered,
                };
            }
            What::Comment(_) => {}
        }
        Some(Told::Item(what, self.last_event_id().to_owned()))
    }

    fn lost(&mut self, end: End, gave_event: bool) -> Option<Told> {
        let settings = self.settings;
        let is_whole = match end {
            End::Order(order) => {
                self.order = Some(order);
                return None;
            }
            End::Whole => !settings.terminator,
            End::Fails => false,
        };
        if settings.finite || settings.terminator {
            if is_whole {
                self.ends("finished");
                return None;
            }
            match self.given {
                Given::Nothing => {}
                Given::Numbered if can_be_sent(&self.last_id) => {}
                Given::Numbered | Given::Unnumbered => {
                    return Some(self.fails(ErrorKind::Disconnected));
                }
            }
        }
        self.failures = match gave_event && settings.healthy_on_event {
            true => 0,
            false => self.failures + 1,
        };
        self.gives_up()
    }

    fn gives_up(&mut self) -> Option<Told> {
        let max = self.settings.max_attempts?;
        (self.failures >= max).then(|| self.fails(ErrorKind::RetriesExhausted))
    }

    /// What the stream has said outlasts its connection.
    fn disconnect(&mut self) {
        self.retry = self.reconnection_time();
        if let Some(open) = self.open.take() {
            open.reference.last_event_id().clone_into(&mut self.last_id);
        }
    }

    fn fails(&mut self, kind: ErrorKind) -> Told {
        self.ends("failed");
        Told::Failed(kind)
    }

    fn ends(&mut self, how: &'static str) {
        self.disconnect();
        self.over = Some(how);
    }
}

/// Whether a header can carry the id.
fn can_be_sent(id: &str) -> bool {
    let control = |c: char| c.is_ascii_control() && c != '\t';
    !id.is_empty() && id.len() <= 4096 && !id.contains(control)
}

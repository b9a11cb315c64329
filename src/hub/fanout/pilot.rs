//! A thread of a fan-out: it waits for events once for all its connections, and writes to those that
//! are due.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Turn};
use super::{Pool, guard};
use crate::hub::serve::Ending;
use crate::sync::{Lane, Token};
use crate::writer::FrameBuffer;

/// How often each connection is looked at: whether its peer has hung up.
const LOOK: Duration = Duration::from_secs(1);

/// How many are looked at before those that are due have their turn.
const AT_ONCE: usize = 256;

pub(super) struct Pilot {
    pool: Arc<Pool>,
    lane: Arc<Lane>,
    home: usize,
    places: Vec<Place>,
    /// Places without a connection.
    free: Vec<usize>,
    due: Vec<Token>,
    buffer: FrameBuffer,
    rounds: Rounds,
}

/// Where a connection stands.
#[derive(Default)]
struct Place {
    connection: Option<Box<Connection>>,
    /// How many have stood here before: a token is for one of them.
    generation: u32,
}

/// When all connections are looked at, one after the other.
struct Rounds {
    /// When this round began.
    began: Instant,
    /// The next place to look at; None between two rounds.
    at: Option<usize>,
    /// How long from one round to the next: not longer than the shortest heartbeat.
    every: Duration,
    /// This round looks whether peers have hung up; and when the last one began that did.
    hang_ups: bool,
    last_hang_ups: Instant,
}

impl Pilot {
    pub(super) fn new(pool: Arc<Pool>, home: usize) -> Self {
        let lane = Arc::clone(&pool.homes[home].lane);
        let now = Instant::now();
        Pilot {
            pool,
            lane,
            home,
            places: Vec::new(),
            free: Vec::new(),
            due: Vec::new(),
            buffer: FrameBuffer::default(),
            rounds: Rounds {
                began: now,
                at: None,
                every: LOOK,
                hang_ups: false,
                last_hang_ups: now,
            },
        }
    }

    pub(super) fn run(mut self) {
        while !self.pool.is_over() {
            let deadline = self.deadline();
            let mut due = mem::take(&mut self.due);
            if self.lane.wait(deadline, &mut due) {
                self.take_in();
            }
            for token in due.drain(..) {
                if let Some(place) = self.place_of(token) {
                    self.give_turn(place);
                }
            }
            self.due = due;
            self.look();
            // The memory of a giant is given back when all have it.
            self.buffer = mem::take(&mut self.buffer).recycle();
        }
    }

    /// Until when to wait for events. A thread without connections waits without a limit.
    fn deadline(&self) -> Option<Instant> {
        if self.rounds.at.is_some() {
            return Some(self.rounds.began);
        }
        let any = self.free.len() < self.places.len();
        any.then(|| self.rounds.began + self.rounds.every)
    }

    /// Takes those in that were handed over, and those that have caught up.
    fn take_in(&mut self) {
        let arrived = self.pool.homes[self.home].take_arrived();
        for connection in arrived {
            if let Some(heartbeat) = &connection.heartbeat {
                self.rounds.every = self.rounds.every.min(heartbeat.interval());
            }
            let place = self.free.pop().unwrap_or_else(|| {
                self.places.push(Place::default());
                self.places.len() - 1
            });
            let token = token(place, self.places[place].generation);
            connection.subscription.board(&self.lane, token);
            self.places[place].connection = Some(Box::new(connection));
            // What was published on its way here.
            self.give_turn(place);
        }
    }

    /// The place of a connection that is still there.
    fn place_of(&self, Token(token): Token) -> Option<usize> {
        let place = usize::try_from(token & u64::from(u32::MAX)).ok()?;
        let there = self.places.get(place)?;
        let same = u64::from(there.generation) == token >> 32;
        (same && there.connection.is_some()).then_some(place)
    }

    fn give_turn(&mut self, place: usize) {
        let buffer = &mut self.buffer;
        let Some(connection) = &mut self.places[place].connection else {
            return;
        };
        let turn = guard(|| connection.turn(buffer, false));
        match turn.unwrap_or(Turn::Ended(Ending::Panicked)) {
            Turn::Waits => {}
            // When the others have had their turn.
            Turn::More => self.lane.push(token(place, self.places[place].generation)),
            Turn::Blocks => self.let_go(place),
            Turn::Ended(ended) => self.close(place, ended),
        }
    }

    /// Has the slow lane go on with a connection.
    fn let_go(&mut self, place: usize) {
        if let Some(connection) = self.vacate(place) {
            self.pool.slow_down(connection);
        }
    }

    fn close(&mut self, place: usize, ended: Ending) {
        if let Some(connection) = self.vacate(place) {
            self.pool.close(connection, ended);
        }
    }

    fn vacate(&mut self, place: usize) -> Option<Connection> {
        let there = &mut self.places[place];
        let connection = there.connection.take()?;
        there.generation = there.generation.wrapping_add(1);
        self.free.push(place);
        if self.free.len() == self.places.len() {
            // The last one: what thousands needed is given back.
            let generation = self.places.iter().map(|place| place.generation).max();
            self.rounds.every = LOOK;
            if self.places.len() > AT_ONCE {
                self.places = vec![Place {
                    connection: None,
                    generation: generation.unwrap_or_default(),
                }];
                self.free = vec![0];
            }
        }
        Some(*connection)
    }

    /// Looks at some connections, if it is time: sends the heartbeats that are due, and ends those
    /// whose peer has hung up.
    fn look(&mut self) {
        let now = Instant::now();
        let rounds = &mut self.rounds;
        let start = match rounds.at {
            Some(at) => at,
            None if now < rounds.began + rounds.every => return,
            None => {
                rounds.began = now;
                rounds.hang_ups = now >= rounds.last_hang_ups + LOOK;
                if rounds.hang_ups {
                    rounds.last_hang_ups = now;
                }
                0
            }
        };
        let end = self.places.len().min(start + AT_ONCE);
        for place in start..end {
            self.look_at(place, now);
        }
        self.rounds.at = (end < self.places.len()).then_some(end);
    }

    fn look_at(&mut self, place: usize, now: Instant) {
        let (buffer, hang_ups) = (&mut self.buffer, self.rounds.hang_ups);
        let there = self.places.get_mut(place);
        let Some(connection) = there.and_then(|there| there.connection.as_mut()) else {
            return;
        };
        let seen = guard(|| {
            if hang_ups && connection.has_hung_up() {
                connection.try_end();
                return Err(super::hung_up());
            }
            connection.beat(buffer, now)
        });
        match seen {
            Some(Ok(())) if connection.is_blocked() => self.let_go(place),
            Some(Ok(())) => {}
            Some(Err(error)) => self.close(place, Ending::Gone(error)),
            None => self.close(place, Ending::Panicked),
        }
    }
}

fn token(place: usize, generation: u32) -> Token {
    let place = u32::try_from(place).expect("fewer connections than that");
    Token(u64::from(generation) << 32 | u64::from(place))
}

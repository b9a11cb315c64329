//! Emit, close, heartbeats, failure, the drop of the last handle, and waiting for all that.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;

use super::{LONG, check, check_all, once_in};
use crate::shim;
use crate::{Emitter, Event, ResponseHead};

/// What was written, and whether the writer was dropped.
#[derive(Clone, Default)]
pub(super) struct Out {
    written: Arc<Mutex<Written>>,
    /// The write that fails, from 1.
    fails_at: Option<usize>,
}

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    writes: usize,
    dropped: bool,
}

impl Out {
    pub(super) fn text(&self) -> String {
        let written = self.written.lock().expect("no panic");
        String::from_utf8(written.bytes.clone()).expect("text")
    }

    fn is_dropped(&self) -> bool {
        self.written.lock().expect("no panic").dropped
    }

    /// The end that writes. It takes half of what it gets, so that a frame is several writes.
    pub(super) fn writer(&self) -> End {
        End(self.clone())
    }
}

pub(super) struct End(Out);

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        thread::yield_now();
        let mut written = self.0.written.lock().expect("no panic");
        written.writes += 1;
        if let Some(fails_at) = self.0.fails_at {
            assert!(written.writes <= fails_at, "a write after one that failed");
            if written.writes == fails_at {
                return Err(ErrorKind::ConnectionReset.into());
            }
        }
        let count = bytes.len().div_ceil(2);
        written.bytes.extend_from_slice(&bytes[..count]);
        drop(written);
        thread::yield_now();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.written.lock().expect("no panic").dropped = true;
    }
}

/// The chunks of a response that has ended as it should.
fn chunks(text: &str) -> Vec<&str> {
    let (_, mut rest) = text.split_once("\r\n\r\n").expect("the head ends");
    let mut chunks = Vec::new();
    loop {
        let (size, after) = rest.split_once("\r\n").expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a number");
        let (chunk, after) = after.split_at(size);
        rest = after.strip_prefix("\r\n").expect("the chunk ends");
        if size == 0 {
            assert_eq!(rest, "", "behind the last chunk");
            return chunks;
        }
        chunks.push(chunk);
    }
}

/// Threads that emit, one that closes, heartbeats: each event is whole or was refused, and nothing
/// is written once the end was waited for.
fn emits(timeouts: u32, fails: bool) {
    check(timeouts, LONG, move || {
        let fails_at = (fails && once_in(2)).then(|| if once_in(2) { 14 } else { 25 });
        let out = Out {
            fails_at,
            ..Out::default()
        };
        let Ok(emitter) = ResponseHead::new().start(out.writer()) else {
            assert!(fails);
            return;
        };
        let beats = emitter
            .spawn_heartbeats(Duration::from_secs(1))
            .expect("a thread");
        let emits = |number: usize| {
            let emitter = emitter.clone();
            let closes = once_in(4);
            thread::spawn(move || {
                let name = |event: usize| format!("{number}.{event}");
                let emit = |event: &usize| emitter.emit(&Event::new(name(*event))).is_ok();
                let sent: Vec<String> = (0..2).take_while(emit).map(name).collect();
                if closes {
                    emitter.close();
                }
                sent
            })
        };
        let threads: Vec<_> = (0..2).map(emits).collect();
        let waiter = {
            let emitter = emitter.clone();
            let out = out.clone();
            thread::spawn(move || {
                assert!(emitter.wait_closed(None));
                assert!(emitter.wait_ended(None));
                out.text().len()
            })
        };
        if once_in(2) {
            emitter.close();
            assert!(emitter.is_closed());
        }
        let sent: Vec<String> = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect();
        emitter.close();
        drop(emitter);
        let length = waiter.join().expect("no panic");
        match once_in(2) {
            true => _ = beats.join(),
            false => drop(beats),
        }
        let text = out.text();
        assert_eq!(text.len(), length, "written after the end");
        assert!(out.is_dropped(), "the writer goes at the end");
        if fails_at.is_none() {
            let events = chunks(&text)
                .into_iter()
                .filter_map(|chunk| chunk.strip_prefix("data: "));
            let mut events: Vec<_> = events.map(str::trim_end).collect();
            events.sort();
            let mut sent = sent;
            sent.sort();
            assert_eq!(events, sent);
        }
    });
}

#[test]
fn events_are_whole_and_end_with_the_stream() {
    emits(0, false);
}

#[test]
fn heartbeats_stay_between_the_events() {
    emits(4, false);
}

#[test]
fn nothing_follows_a_write_that_failed() {
    emits(3, true);
}

/// Heartbeats do not keep a stream open, whoever is in a write when the last handle goes.
#[test]
fn the_last_handle_ends_the_stream_under_a_heartbeat() {
    check(3, LONG, || {
        let out = Out::default();
        let emitter = ResponseHead::new()
            .start(out.writer())
            .expect("it is taken");
        let beats = emitter
            .spawn_heartbeats(Duration::from_secs(1))
            .expect("a thread");
        let other = emitter.clone();
        let emitting = thread::spawn(move || other.emit(&Event::new("x")).is_ok());
        drop(emitter);
        assert!(emitting.join().expect("no panic"));
        // The heartbeats are stopped last: that would wake whoever was forgotten.
        while !out.is_dropped() {
            thread::yield_now();
        }
        drop(beats);
        assert_eq!(
            chunks(&out.text())
                .iter()
                .filter(|chunk| chunk.contains("data"))
                .count(),
            1
        );
    });
}

/// A wait with a limit runs out or ends, and a close is heard in both.
#[test]
fn waiting_with_a_limit_hears_the_close() {
    check(2, LONG, || {
        let out = Out::default();
        let emitter = Emitter::new(out.writer());
        let other = emitter.clone();
        let waiter = thread::spawn(move || {
            while !other.wait_closed(Some(Duration::from_secs(1))) {}
            assert!(other.is_closed());
            other.wait_ended(None)
        });
        emitter.emit(&Event::new("x")).expect("it is open");
        emitter.close();
        assert!(waiter.join().expect("no panic"));
        assert_eq!(out.text(), "data: x\n\n");
    });
}

/// The first write stays under way until it is let go of.
struct Gated {
    writes: Arc<Mutex<usize>>,
    entered: Sender<()>,
    opened: Receiver<()>,
}

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut writes = self.writes.lock().expect("no panic");
        *writes += 1;
        let first = *writes == 1;
        drop(writes);
        if first {
            self.entered.send(()).expect("the model waits");
            self.opened.recv().expect("the model lets it go");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A close during a write: what is queued behind that write is refused.
#[test]
fn nothing_goes_out_behind_a_write_that_was_under_way_at_the_close() {
    check(0, LONG, || {
        let (enter, entered) = channel();
        let (open, opened) = channel();
        let writes = Arc::<Mutex<usize>>::default();
        let emitter = Emitter::new(Gated {
            writes: Arc::clone(&writes),
            entered: enter,
            opened,
        });
        let threads = [(); 3].map(|()| {
            let emitter = emitter.clone();
            thread::spawn(move || emitter.emit(&Event::new("x")).is_ok())
        });
        entered.recv().expect("one writes");
        emitter.close();
        open.send(()).expect("it waits");
        let sent = threads.map(|thread| thread.join().expect("no panic"));
        assert_eq!(sent.into_iter().filter(|sent| *sent).count(), 1);
        assert_eq!(*writes.lock().expect("no panic"), 1);
    });
}

/// The heartbeats' thread wakes for a heartbeat and for the end, whatever time it is when it looks: it
/// does not spin.
#[test]
fn each_wait_of_the_heartbeats_that_runs_out_is_a_heartbeat() {
    check(4, LONG, || {
        let out = Out::default();
        let emitter = Emitter::new(out.writer());
        let beats = emitter
            .spawn_heartbeats(Duration::from_secs(1))
            .expect("a thread");
        shim::time::advance(Duration::from_millis(600));
        beats.join().expect("nothing fails");
        let sent = u32::try_from(out.text().matches(":\n\n").count()).expect("few");
        // One may have run out as the thread was stopped.
        assert!(shim::ran_out() <= sent + 1, "{sent} heartbeats");
    });
}

#[test]
fn small_close_and_wait() {
    check_all(|| {
        let emitter = Emitter::new(Vec::new());
        let other = emitter.clone();
        let waiter = thread::spawn(move || other.wait_ended(None));
        emitter.close();
        assert!(waiter.join().expect("no panic"));
    });
}

#[test]
fn small_stop_of_heartbeats() {
    check_all(|| {
        let emitter = Emitter::new(Vec::new());
        let beats = emitter
            .spawn_heartbeats(Duration::from_secs(1))
            .expect("a thread");
        beats.join().expect("nothing fails");
    });
}

//! The emitter: one stream for many threads, heartbeats on idle streams, and a proper end.

use crate::util;

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::{Emitter, Event, Heartbeat, HeartbeatThread, Item, Reader, ResponseHead};
use util::writers::{Call, DEADLINE, Fault, Record, Short, What, gated, writes};
use util::{repeats, within};

/// Long enough that no heartbeat comes by itself in a test.
const NEVER: Duration = Duration::from_secs(3600);

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

fn write(bytes: impl AsRef<[u8]>) -> What {
    What::Write(bytes.as_ref().to_vec())
}

fn is_heartbeat(call: &Call) -> bool {
    call.what == write(":\n\n")
}

/// A chunked stream whose head has been sent.
fn chunked(record: &Record) -> Emitter<impl Write + Send + 'static> {
    ResponseHead::new().start(record.writer()).unwrap()
}

fn last_chunks(record: &Record) -> usize {
    record.count(&write(LAST_CHUNK))
}

#[track_caller]
fn assert_closed<W: Write>(emitter: &Emitter<W>) {
    assert!(emitter.is_closed());
    assert!(emitter.wait_closed(None));
    assert!(emitter.wait_closed(Some(Duration::ZERO)));
    for result in [
        emitter.emit(&Event::new("late")),
        emitter.emit_with(&Event::new("late"), |_| Ok(())),
        emitter.comment("late"),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn each_emit_is_one_write_and_one_flush() {
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    assert_eq!(record.whats(), []);
    let event = Event::new("a\nb").with_name("n").with_id("1");
    assert_eq!(emitter.emit(&event).unwrap(), 32);
    assert_eq!(emitter.comment("a\nb").unwrap(), 9);
    let length = emitter.emit_with(&Event::new("n = "), |data| write!(data, "{}\n{}", 1, 2));
    assert_eq!(length.unwrap(), 21);
    assert_eq!(
        record.whats(),
        [
            write("event: n\nid: 1\ndata: a\ndata: b\n\n"),
            What::Flush,
            write(": a\n: b\n\n"),
            What::Flush,
            write("data: n = 1\ndata: 2\n\n"),
            What::Flush,
        ]
    );
}

#[test]
fn clones_share_one_stream_that_the_last_one_ends() {
    let record = Record::new();
    let first = chunked(&record);
    let second = first.clone();
    first.emit(&Event::new("1")).unwrap();
    drop(first);
    assert_eq!(record.drops(), 0);
    assert_eq!(last_chunks(&record), 0);
    second.emit(&Event::new("2")).unwrap();
    drop(second);
    let calls = record.whats();
    assert_eq!(
        calls[2..],
        [
            write("9\r\ndata: 1\n\n\r\n"),
            What::Flush,
            write("9\r\ndata: 2\n\n\r\n"),
            What::Flush,
            write(LAST_CHUNK),
            What::Flush,
            What::Drop,
        ]
    );
}

#[test]
fn closing_one_clone_closes_all() {
    let emitter = Emitter::new(Vec::new());
    let other = emitter.clone();
    assert!(!other.is_closed());
    emitter.close();
    assert_closed(&other);
    assert_closed(&emitter);
}

#[test]
fn frames_of_many_threads_never_interleave() {
    const THREADS: usize = 16;
    const EVENTS: usize = repeats(150);
    let record = Record::new();
    let emitter = Emitter::new(Short::new(record.writer(), 5));
    let barrier = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let emitter = emitter.clone();
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                for n in 0..EVENTS {
                    let line = format!("{thread}.{n}");
                    let event = Event::new(format!("{line}\n{line}")).with_id(&*line);
                    match n % 3 {
                        0 => emitter.emit(&event),
                        1 => emitter.emit_with(&event, |_| Ok(())),
                        _ => emitter.comment(&line).and_then(|_| emitter.emit(&event)),
                    }
                    .unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let wire = record.bytes();
    let mut next = [0; THREADS];
    let mut reader = Reader::new(&wire[..]);
    let mut comments = 0;
    while let Some(item) = reader.read_item().unwrap() {
        match item {
            Item::Event { event, .. } => {
                let id = event.id.as_deref().unwrap();
                let (thread, n) = id.split_once('.').unwrap();
                let thread: usize = thread.parse().unwrap();
                assert_eq!(
                    n,
                    next[thread].to_string(),
                    "the order of one thread stands"
                );
                next[thread] += 1;
                assert_eq!(event.data, format!("{id}\n{id}"));
                assert!(event.extensions.is_empty());
            }
            Item::Comment(text) => {
                let (thread, n) = text.split_once('.').unwrap();
                assert!(thread.parse::<usize>().unwrap() < THREADS);
                assert_eq!(n.parse::<usize>().unwrap() % 3, 2);
                comments += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next, [EVENTS; THREADS]);
    assert_eq!(comments, THREADS * (EVENTS / 3));
}

#[test]
fn the_closure_of_emit_with_may_use_the_emitter() {
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let text = within(DEADLINE, move || {
        emitter
            .emit_with(&Event::new("outer "), |data| {
                emitter.emit(&Event::new("inner"))?;
                emitter.emit_with(&Event::new("deep"), |_| emitter.comment("c").map(drop))?;
                write!(data, "done")
            })
            .unwrap();
        record.text()
    });
    assert_eq!(
        text,
        "data: inner\n\n: c\n\ndata: deep\n\ndata: outer done\n\n"
    );
}

#[test]
fn a_closure_that_closes_the_emitter_sends_nothing() {
    let record = Record::new();
    let emitter = chunked(&record);
    let error = within(DEADLINE, move || {
        emitter
            .emit_with(&Event::new("x"), |_| {
                emitter.close();
                Ok(())
            })
            .unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(record.writes()[1..], [LAST_CHUNK]);
}

#[test]
fn a_refused_or_failed_event_leaves_the_stream_open() {
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let error = emitter.emit(&Event::new("x").with_id("\n")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = emitter
        .emit_with(&Event::new("x"), |data| {
            data.write_all(b"half")?;
            Err(ErrorKind::NotFound.into())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = emitter
        .emit_with(&Event::new("x"), |data| data.write_all(b"\xff"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        emitter.emit_with(&Event::new("x"), |_| panic!("on purpose"))
    }));
    assert!(panic.is_err());
    assert_eq!(record.whats(), []);
    assert!(!emitter.is_closed());
    emitter.emit(&Event::new("ok")).unwrap();
    assert_eq!(record.text(), "data: ok\n\n");
}

#[test]
fn close_ends_a_chunked_stream_once_and_drops_the_writer() {
    let record = Record::new();
    let emitter = chunked(&record);
    let other = emitter.clone();
    emitter.close();
    let ended = [write(LAST_CHUNK), What::Flush, What::Drop];
    assert_eq!(record.whats()[2..], ended);
    assert_closed(&other);
    other.close();
    emitter.close();
    drop(emitter);
    drop(other);
    assert_eq!(record.whats()[2..], ended);
}

#[test]
fn a_plain_stream_ends_without_a_last_chunk() {
    for close in [true, false] {
        let record = Record::new();
        let emitter = Emitter::new(record.writer());
        emitter.emit(&Event::new("x")).unwrap();
        if close {
            emitter.close();
        }
        drop(emitter);
        assert_eq!(record.text(), "data: x\n\n");
        assert_eq!(record.drops(), 1);
    }
}

#[test]
fn the_first_failure_closes_the_stream_and_nothing_follows() {
    // The head is call 0 and 1: its write and its flush.
    for fault in [
        Fault::Call(2, ErrorKind::TimedOut),
        Fault::Call(3, ErrorKind::TimedOut),
    ] {
        for drop_only in [true, false] {
            let record = Record::new();
            let emitter = ResponseHead::new()
                .start(record.writer().with_fault(fault))
                .unwrap();
            let other = emitter.clone();
            let error = emitter.emit(&Event::new("x")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            let calls = record.whats();
            assert_eq!(
                calls[calls.len() - 2..],
                [What::Failure, What::Drop],
                "the writer is dropped at the failure"
            );
            if !drop_only {
                assert_closed(&other);
                other.close();
            }
            drop((emitter, other));
            assert_eq!(record.whats(), calls, "{fault:?}");
        }
    }
}

#[test]
fn a_failure_in_the_middle_of_a_frame_is_the_end() {
    let record = Record::new();
    let fault = Fault::Bytes(4, ErrorKind::ConnectionReset);
    let emitter = Emitter::new(record.writer().with_fault(fault));
    let error = emitter.comment("too long").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_closed(&emitter);
    drop(emitter);
    assert_eq!(record.text(), ": to");
}

#[test]
fn a_broken_pipe_says_that_the_stream_is_closed() {
    let emitter = Emitter::new(Vec::new());
    emitter.close();
    let error = emitter.comment("").unwrap_err();
    assert_eq!(error.to_string(), "the event stream is closed");
}

#[test]
fn a_panic_in_the_inner_write_or_flush_is_the_end_too() {
    for fault in [Fault::Panic(2), Fault::Panic(3)] {
        let record = Record::new();
        let emitter = ResponseHead::new()
            .start(record.writer().with_fault(fault))
            .unwrap();
        let panic = catch_unwind(AssertUnwindSafe(|| emitter.emit(&Event::new("x"))));
        assert!(panic.is_err());
        assert_closed(&emitter);
        assert_eq!(record.drops(), 1, "the connection is let go: {fault:?}");
        let before = record.bytes();
        let error = emitter.emit(&Event::new("y")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{fault:?}");
        assert_closed(&emitter);
        drop(emitter);
        assert_eq!(record.bytes(), before, "{fault:?}");
        assert_eq!(record.drops(), 1);
    }
}

#[test]
fn a_stream_has_ended_once_its_last_chunk_is_out() {
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    let emitter = ResponseHead::new().start(writer).unwrap();
    assert!(!emitter.wait_ended(Some(Duration::ZERO)));
    gate.shut();
    let closer = thread::spawn({
        let emitter = emitter.clone();
        move || emitter.close()
    });
    gate.wait_blocked();

    // In the middle of the last chunk: closed, and not ended.
    assert!(emitter.wait_closed(None));
    assert!(!emitter.wait_ended(Some(Duration::from_millis(1))));
    let waiter = thread::spawn({
        let (emitter, record) = (emitter.clone(), record.clone());
        move || {
            assert!(emitter.wait_ended(None));
            record.bytes()
        }
    });
    gate.open();
    let seen = within(DEADLINE, move || waiter.join().unwrap());
    assert!(seen.ends_with(b"0\r\n\r\n"));
    closer.join().unwrap();
}

#[test]
fn a_stream_has_ended_after_a_failed_write_too() {
    for fault in [Fault::Call(2, ErrorKind::ConnectionReset), Fault::Panic(2)] {
        let record = Record::new();
        let emitter = ResponseHead::new()
            .start(record.writer().with_fault(fault))
            .unwrap();
        let _ = catch_unwind(AssertUnwindSafe(|| emitter.emit(&Event::new("x"))));
        assert!(emitter.wait_ended(Some(DEADLINE)), "{fault:?}");
    }
}

/// 64 threads that emit, heartbeats as fast as they go, threads that close, and a client that stays,
/// goes or makes the writer panic: frames stay whole and everybody comes back.
#[test]
fn a_stream_under_contention_ends_once_and_in_order() {
    const THREADS: usize = 64;
    let faults = [
        None,
        Some(Fault::Bytes(3_000, ErrorKind::BrokenPipe)),
        Some(Fault::Panic(90)),
        None,
    ];
    for (round, fault) in faults.into_iter().cycle().take(12).enumerate() {
        let record = Record::new();
        let writer = match fault {
            Some(fault) => record.writer().with_fault(fault),
            None => record.writer(),
        };
        let emitter = ResponseHead::new().start(writer).unwrap();
        let beats = [(); 2].map(|()| emitter.spawn_heartbeats(Duration::from_micros(50)).unwrap());
        let barrier = Arc::new(Barrier::new(THREADS + 2));
        let together = |work: Box<dyn FnOnce(&Emitter<_>) + Send>| {
            let (emitter, barrier) = (emitter.clone(), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                work(&emitter);
            })
        };
        let mut threads = Vec::new();
        for thread in 0..THREADS {
            threads.push(together(Box::new(move |emitter| {
                for n in 0.. {
                    let event = Event::new(format!("{thread}\n{n}"));
                    if emitter.emit(&event).is_err() {
                        break;
                    }
                }
            })));
        }
        for _ in 0..2 {
            let record = record.clone();
            threads.push(together(Box::new(move |emitter| {
                while record.bytes().len() < 20_000 && !emitter.is_closed() {
                    thread::yield_now();
                }
                emitter.close();
            })));
        }
        let waiting = emitter.clone();
        within(DEADLINE, move || assert!(waiting.wait_ended(None)));
        let wire = record.bytes();
        let joined = within(DEADLINE, move || {
            threads
                .into_iter()
                .map(thread::JoinHandle::join)
                .filter(Result::is_err)
                .count()
        });
        // Only the thread that met the panic has panicked with it, if it was not a heartbeat.
        let panics = usize::from(matches!(fault, Some(Fault::Panic(_))));
        assert!(joined <= panics, "round {round}");
        for beat in beats {
            let _ = within(DEADLINE, move || beat.join());
        }
        drop(emitter);
        assert!(
            record.bytes() == wire,
            "nothing comes behind the end: round {round}"
        );
        assert_eq!(record.drops(), 1, "round {round}");
        assert_eq!(
            wire.ends_with(b"0\r\n\r\n"),
            fault.is_none(),
            "round {round}"
        );
        if fault.is_none() {
            whole_frames(&wire);
        }
    }
}

/// Checks that a chunked response is whole and that each chunk is one frame.
fn whole_frames(wire: &[u8]) {
    let text = std::str::from_utf8(wire).unwrap();
    let (_, mut rest) = text.split_once("\r\n\r\n").unwrap();
    loop {
        let (size, behind) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let frame = &behind[..size];
        assert_eq!(&behind[size..size + 2], "\r\n");
        rest = &behind[size + 2..];
        if size == 0 {
            break;
        }
        let event = frame.starts_with("data: ") && frame.matches("data: ").count() == 2;
        assert!(
            frame == ":\n\n" || event && frame.ends_with("\n\n"),
            "{frame:?}"
        );
    }
    assert_eq!(rest, "");
}

#[test]
fn close_does_not_wait_for_a_write_that_is_stuck() {
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    let emitter = ResponseHead::new().start(writer).unwrap();
    gate.shut();
    let stuck = thread::spawn({
        let emitter = emitter.clone();
        move || emitter.emit(&Event::new("x"))
    });
    gate.wait_blocked();

    let emitter = within(DEADLINE, move || {
        emitter.close();
        emitter.close();
        emitter
    });
    assert!(emitter.is_closed());
    assert!(emitter.wait_closed(Some(Duration::ZERO)));
    assert_eq!(record.drops(), 0, "the stuck thread still has the writer");
    // Refused before the lock: it does not queue up behind the stuck write.
    let emitter = within(DEADLINE, move || {
        let error = emitter.emit(&Event::new("late")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        emitter
    });

    gate.open();
    assert_eq!(stuck.join().unwrap().unwrap(), 9);
    // The handle is still there: it was the stuck thread that ended the stream.
    assert_eq!(
        record.whats()[2..],
        [
            write("9\r\ndata: x\n\n\r\n"),
            What::Flush,
            write(LAST_CHUNK),
            What::Flush,
            What::Drop,
        ]
    );
    drop(emitter);
    assert_eq!(last_chunks(&record), 1);
}

#[test]
fn threads_that_queue_behind_a_stuck_write_are_refused_after_close() {
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    let emitter = ResponseHead::new().start(writer).unwrap();
    gate.shut();
    let stuck = thread::spawn({
        let emitter = emitter.clone();
        move || emitter.emit(&Event::new("x"))
    });
    gate.wait_blocked();
    let (encoded, ready) = mpsc::channel();
    let queued: Vec<_> = (0..4)
        .map(|_| {
            let (emitter, encoded) = (emitter.clone(), encoded.clone());
            thread::spawn(move || {
                emitter.emit_with(&Event::new("y"), |_| {
                    encoded.send(()).expect("the test waits for it");
                    Ok(())
                })
            })
        })
        .collect();
    for _ in &queued {
        ready.recv_timeout(DEADLINE).unwrap();
    }
    emitter.close();
    gate.open();
    stuck.join().unwrap().unwrap();
    for thread in queued {
        let error = thread.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
    assert_eq!(record.drops(), 1);
    assert_eq!(
        record.writes().len(),
        3,
        "the head, the event, the last chunk"
    );
    assert_eq!(record.writes()[2], LAST_CHUNK);
    drop(emitter);
    assert_eq!(last_chunks(&record), 1);
}

#[test]
fn many_closers_and_emitters_end_the_stream_exactly_once() {
    for _ in 0..repeats(200) {
        let record = Record::new();
        let emitter = chunked(&record);
        let barrier = Arc::new(Barrier::new(6));
        let threads: Vec<_> = (0..6)
            .map(|n| {
                let (emitter, barrier) = (emitter.clone(), Arc::clone(&barrier));
                thread::spawn(move || {
                    barrier.wait();
                    if n % 2 == 0 {
                        let _ = emitter.emit(&Event::new("x"));
                    }
                    emitter.close();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        // A handle is left: the stream has ended all the same.
        assert_eq!(last_chunks(&record), 1);
        assert_eq!(record.drops(), 1);
        assert_eq!(record.writes().last().unwrap(), LAST_CHUNK);
        drop(emitter);
        assert_eq!(last_chunks(&record), 1);
    }
}

/// A writer whose end uses its emitter.
struct Nosy(Arc<Mutex<Option<Emitter<Nosy>>>>);

impl Write for Nosy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes {
            b"data: fail\n\n" => Err(ErrorKind::TimedOut.into()),
            _ => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        let emitter = self.0.lock().unwrap().take().expect("it has one");
        assert_closed(&emitter);
        emitter.close();
    }
}

#[test]
fn the_inner_writer_may_use_the_emitter_when_it_is_dropped() {
    let close = |emitter: Emitter<Nosy>| emitter.close();
    let abort = |emitter: Emitter<Nosy>| emitter.abort();
    let fail = |emitter: Emitter<Nosy>| drop(emitter.emit(&Event::new("fail")));
    let beat = |emitter: Emitter<Nosy>| {
        let heartbeat = Heartbeat::every(Duration::from_millis(1)).with_event(&Event::new("fail"));
        emitter.serve_heartbeats(heartbeat.unwrap()).unwrap_err();
    };
    let ways: [fn(Emitter<Nosy>); 4] = [close, abort, fail, beat];
    for end in ways {
        within(DEADLINE, move || {
            let slot = Arc::default();
            let emitter = Emitter::new(Nosy(Arc::clone(&slot)));
            *slot.lock().unwrap() = Some(emitter.clone());
            end(emitter);
            assert!(slot.lock().unwrap().is_none(), "it was dropped");
        });
    }
}

#[test]
fn what_a_closure_holds_may_use_the_emitter_when_it_is_dropped() {
    struct Held(Emitter<Vec<u8>>);
    impl Drop for Held {
        fn drop(&mut self) {
            // The second time round it is closed.
            let _ = self.0.comment("");
        }
    }
    within(DEADLINE, || {
        let emitter = Emitter::new(Vec::new());
        for _ in 0..2 {
            let held = Held(emitter.clone());
            let _ = emitter.emit_with(&Event::new("x"), move |_| {
                let _held = held;
                Ok(())
            });
            emitter.close();
        }
    });
}

#[test]
fn wait_closed_with_a_time_out_tells_an_open_stream() {
    let emitter = Emitter::new(Vec::new());
    let start = Instant::now();
    assert!(!emitter.wait_closed(Some(Duration::from_millis(20))));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(!emitter.wait_closed(Some(Duration::ZERO)));
}

#[test]
fn wait_closed_wakes_at_close_and_at_a_failure() {
    for timeout in [None, Some(NEVER), Some(Duration::MAX)] {
        for fail in [true, false] {
            let record = Record::new();
            let fault = Fault::Call(0, ErrorKind::TimedOut);
            let emitter = Emitter::new(record.writer().with_fault(fault));
            let other = emitter.clone();
            let (begun, ready) = mpsc::channel();
            let waiter = thread::spawn(move || {
                begun.send(()).expect("the test waits for it");
                other.wait_closed(timeout)
            });
            ready.recv_timeout(DEADLINE).unwrap();
            if fail {
                emitter.comment("").unwrap_err();
            } else {
                emitter.close();
            }
            assert!(within(DEADLINE, move || waiter.join().unwrap()));
        }
    }
}

#[test]
fn the_default_emitter_holds_a_boxed_writer() {
    let record = Record::new();
    let stream: Box<dyn Write + Send> = Box::new(record.writer());
    let emitter: Emitter = ResponseHead::new().start(stream).unwrap();
    let heartbeat: HeartbeatThread = emitter.spawn_heartbeats(NEVER).unwrap();
    drop(emitter);
    heartbeat.join().unwrap();
    assert_eq!(last_chunks(&record), 1);
}

#[test]
fn the_debug_form_tells_whether_it_is_closed() {
    let emitter = Emitter::new(Vec::new());
    assert_eq!(format!("{emitter:?}"), "Emitter { closed: false, .. }");
    emitter.close();
    assert_eq!(format!("{emitter:?}"), "Emitter { closed: true, .. }");
}

/// Tells when the thread ends that wrote last.
struct ToldAtExit<W> {
    inner: W,
    ended: Sender<()>,
}

struct AtExit(Sender<()>);

impl Drop for AtExit {
    fn drop(&mut self) {
        // The test may be over already.
        let _ = self.0.send(());
    }
}

thread_local! {
    static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) };
}

impl<W: Write> Write for ToldAtExit<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if thread::current().name() == Some("sse-heartbeat") {
            AT_EXIT.with_borrow_mut(|at_exit| {
                at_exit.get_or_insert_with(|| AtExit(self.ended.clone()));
            });
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[test]
fn an_idle_stream_gets_heartbeats_on_a_named_thread() {
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let heartbeat = emitter.spawn_heartbeats(Duration::from_millis(2)).unwrap();
    record.wait_until(|calls| writes(calls).len() >= 5);
    heartbeat.join().unwrap();
    let calls = record.calls();
    let kinds: Vec<_> = calls.iter().map(|call| call.what.clone()).collect();
    for pair in kinds.chunks(2) {
        assert_eq!(pair, [write(":\n\n"), What::Flush]);
    }
    for call in calls {
        assert_eq!(call.thread.as_deref(), Some("sse-heartbeat"));
    }
    assert!(!emitter.is_closed());
}

#[test]
fn a_heartbeat_on_a_chunked_stream_is_a_chunk() {
    let record = Record::new();
    let emitter = chunked(&record);
    let _heartbeat = emitter.spawn_heartbeats(Duration::from_millis(1)).unwrap();
    record.wait_until(|calls| writes(calls).len() >= 2);
    assert_eq!(record.writes()[1], b"3\r\n:\n\n\r\n");
}

/// A heartbeat comes no sooner than `every` after the flush before it.
#[track_caller]
fn assert_only_when_idle(calls: &[Call], every: Duration) {
    let mut flushed = None;
    for call in calls {
        if let (true, Some(flushed)) = (is_heartbeat(call), flushed) {
            assert!(call.at.duration_since(flushed) >= every);
        }
        if call.what == What::Flush {
            flushed = Some(call.at);
        }
    }
}

#[test]
fn heartbeats_come_only_when_nothing_was_written_for_the_interval() {
    let every = Duration::from_millis(10);
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let heartbeat = emitter.spawn_heartbeats(every).unwrap();
    let start = Instant::now();
    while start.elapsed() < 30 * every {
        emitter.emit(&Event::new("busy")).unwrap();
        thread::yield_now();
    }
    let busy = record.calls();
    record.wait_until(|calls| {
        calls[busy.len()..]
            .iter()
            .filter(|c| is_heartbeat(c))
            .count()
            >= 3
    });
    heartbeat.join().unwrap();
    assert_only_when_idle(&record.calls(), every);
}

#[test]
fn an_event_puts_the_next_heartbeat_off() {
    let every = Duration::from_millis(15);
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let heartbeat = emitter.spawn_heartbeats(every).unwrap();
    for _ in 0..12 {
        // Some of the interval goes by between two events.
        assert!(!emitter.wait_closed(Some(every / 2)));
        emitter.comment("sign of life").unwrap();
    }
    record.wait_until(|calls| calls.iter().any(is_heartbeat));
    heartbeat.join().unwrap();
    assert_only_when_idle(&record.calls(), every);
}

#[test]
fn two_heartbeats_on_one_stream_count_as_writes_for_each_other() {
    let every = Duration::from_millis(5);
    let record = Record::new();
    let emitter = Emitter::new(record.writer());
    let heartbeats = [0; 3].map(|_| emitter.spawn_heartbeats(every).unwrap());
    record.wait_until(|calls| writes(calls).len() >= 10);
    for heartbeat in heartbeats {
        heartbeat.join().unwrap();
    }
    assert_only_when_idle(&record.calls(), every);
}

/// A stream with short heartbeats, the first of which has come.
fn beating(
    record: &Record,
) -> (
    Emitter<impl Write + Send + 'static>,
    HeartbeatThread,
    mpsc::Receiver<()>,
) {
    let (ended, end) = mpsc::channel();
    let writer = ToldAtExit {
        inner: record.writer(),
        ended,
    };
    let emitter = ResponseHead::new().start(writer).unwrap();
    let heartbeat = emitter.spawn_heartbeats(Duration::from_millis(1)).unwrap();
    record.wait_until(|calls| writes(calls).len() >= 2);
    (emitter, heartbeat, end)
}

#[test]
fn dropping_the_guard_stops_the_heartbeats_and_not_the_stream() {
    let record = Record::new();
    let (emitter, heartbeat, end) = beating(&record);
    drop(heartbeat);
    end.recv_timeout(DEADLINE).expect("the thread ends");
    let writes = record.writes().len();
    emitter.emit(&Event::new("x")).unwrap();
    assert_eq!(record.writes().len(), writes + 1);
    assert_eq!(last_chunks(&record), 0);
}

#[test]
fn close_ends_the_heartbeat_thread() {
    let record = Record::new();
    let (emitter, heartbeat, end) = beating(&record);
    emitter.close();
    end.recv_timeout(DEADLINE).expect("the thread ends");
    heartbeat.join().unwrap();
    assert_eq!(last_chunks(&record), 1);
    assert_eq!(record.drops(), 1);
}

#[test]
fn heartbeats_never_keep_a_stream_open() {
    let record = Record::new();
    let (emitter, heartbeat, end) = beating(&record);
    drop(emitter);
    end.recv_timeout(DEADLINE).expect("the thread ends");
    assert_eq!(last_chunks(&record), 1);
    assert_eq!(record.whats().last(), Some(&What::Drop));
    heartbeat.join().unwrap();
}

#[test]
fn join_wakes_a_heartbeat_that_waits() {
    for every in [NEVER, Duration::MAX] {
        let emitter = Emitter::new(Vec::new());
        let heartbeat = emitter.spawn_heartbeats(every).unwrap();
        within(DEADLINE, || heartbeat.join()).unwrap();
        assert!(!emitter.is_closed());
    }
}

#[test]
fn join_waits_for_a_heartbeat_that_is_stuck() {
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    let emitter = Emitter::new(writer);
    gate.shut();
    let heartbeat = emitter.spawn_heartbeats(Duration::from_millis(1)).unwrap();
    gate.wait_blocked();
    let (joined, done) = mpsc::channel();
    let joiner = thread::spawn(move || {
        let result = heartbeat.join();
        joined.send(()).expect("the test waits for it");
        result
    });
    assert!(done.try_recv().is_err());
    assert_eq!(record.whats(), []);
    gate.open();
    done.recv_timeout(DEADLINE).unwrap();
    joiner.join().unwrap().unwrap();
    // More than one heartbeat, if the joiner was slow to begin.
    assert_eq!(record.whats()[..2], [write(":\n\n"), What::Flush]);
}

#[test]
fn a_stream_dropped_during_a_heartbeat_is_ended_by_its_thread() {
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    let emitter = ResponseHead::new().start(writer).unwrap();
    gate.shut();
    let _heartbeat = emitter.spawn_heartbeats(Duration::from_millis(1)).unwrap();
    gate.wait_blocked();
    within(DEADLINE, move || drop(emitter));
    assert_eq!(record.drops(), 0);
    gate.open();
    record.wait_until(|calls| calls.last().is_some_and(|call| call.what == What::Drop));
    assert_eq!(last_chunks(&record), 1);
    assert_eq!(
        record.calls().last().unwrap().thread.as_deref(),
        Some("sse-heartbeat")
    );
}

#[test]
fn a_stream_closed_during_a_heartbeat_is_ended_by_its_thread() {
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    let emitter = ResponseHead::new().start(writer).unwrap();
    gate.shut();
    let heartbeat = emitter.spawn_heartbeats(Duration::from_millis(1)).unwrap();
    gate.wait_blocked();
    let emitter = within(DEADLINE, move || {
        emitter.close();
        emitter
    });
    gate.open();
    within(DEADLINE, || heartbeat.join()).unwrap();
    assert_eq!(last_chunks(&record), 1);
    assert_eq!(record.drops(), 1);
    assert_closed(&emitter);
}

#[test]
fn a_heartbeat_that_fails_closes_the_stream_and_join_tells() {
    for call in [2, 3] {
        let record = Record::new();
        let fault = Fault::Call(call, ErrorKind::TimedOut);
        let emitter = ResponseHead::new()
            .start(record.writer().with_fault(fault))
            .unwrap();
        let heartbeat = emitter.spawn_heartbeats(Duration::from_millis(1)).unwrap();
        let emitter = within(DEADLINE, move || {
            assert!(emitter.wait_closed(None));
            emitter
        });
        assert_eq!(heartbeat.join().unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(record.drops(), 1);
        assert_closed(&emitter);
        drop(emitter);
        assert_eq!(last_chunks(&record), 0);
    }
}

#[test]
fn a_heartbeat_that_panics_is_an_error_of_join_and_not_of_the_process() {
    let record = Record::new();
    let emitter = Emitter::new(record.writer().with_fault(Fault::Panic(0)));
    let heartbeat = emitter.spawn_heartbeats(Duration::from_millis(1)).unwrap();
    record.wait_until(|calls| !calls.is_empty());
    let error = within(DEADLINE, || heartbeat.join()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert_eq!(
        error.to_string(),
        "the inner writer panicked in a heartbeat"
    );
    let error = emitter.comment("").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn serve_heartbeats_beats_until_the_stream_is_closed() {
    let record = Record::new();
    let emitter = chunked(&record);
    let other = emitter.clone();
    let server = thread::spawn(move || emitter.serve_heartbeats(Duration::from_millis(1)));
    record.wait_until(|calls| writes(calls).len() >= 4);
    other.close();
    within(DEADLINE, || server.join().unwrap()).unwrap();
    assert_eq!(last_chunks(&record), 1);
    assert_eq!(record.drops(), 1);
}

#[test]
fn serve_heartbeats_wakes_at_close_and_at_the_last_drop() {
    for round in 0..40 {
        let record = Record::new();
        let emitter = chunked(&record);
        let other = emitter.clone();
        let (begun, ready) = mpsc::channel();
        let server = thread::spawn(move || {
            begun.send(()).expect("the test waits for it");
            emitter.serve_heartbeats(NEVER)
        });
        ready.recv_timeout(DEADLINE).unwrap();
        for _ in 0..round {
            thread::yield_now();
        }
        if round % 2 == 0 {
            other.close();
        } else {
            drop(other);
        }
        within(DEADLINE, || server.join().unwrap()).unwrap();
        assert_eq!(last_chunks(&record), 1);
    }
}

#[test]
fn serve_heartbeats_gives_its_handle_up() {
    let record = Record::new();
    let emitter = chunked(&record);
    let other = emitter.clone();
    let server = thread::spawn(move || emitter.serve_heartbeats(Duration::from_millis(1)));
    record.wait_until(|calls| writes(calls).len() >= 3);
    drop(other);
    within(DEADLINE, || server.join().unwrap()).unwrap();
    assert_eq!(last_chunks(&record), 1);
    assert_eq!(record.drops(), 1);
}

#[test]
fn serve_heartbeats_alone_ends_the_stream_at_once() {
    let record = Record::new();
    let emitter = chunked(&record);
    within(DEADLINE, || emitter.serve_heartbeats(NEVER)).unwrap();
    assert_eq!(last_chunks(&record), 1);
}

#[test]
fn serve_heartbeats_returns_what_a_heartbeat_failed_with() {
    let record = Record::new();
    let fault = Fault::Call(4, ErrorKind::ConnectionReset);
    let emitter = Emitter::new(record.writer().with_fault(fault));
    let other = emitter.clone();
    let error = within(DEADLINE, move || {
        emitter
            .serve_heartbeats(Duration::from_millis(1))
            .unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_closed(&other);
    assert_eq!(record.text(), ":\n\n:\n\n");
}

#[test]
fn serve_heartbeats_returns_when_another_write_fails() {
    let record = Record::new();
    let fault = Fault::Call(0, ErrorKind::ConnectionReset);
    let emitter = Emitter::new(record.writer().with_fault(fault));
    let other = emitter.clone();
    let server = thread::spawn(move || emitter.serve_heartbeats(NEVER));
    other.comment("").unwrap_err();
    within(DEADLINE, || server.join().unwrap()).unwrap();
}

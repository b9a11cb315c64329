//! How a stream ends while others write to it, wait for it, or keep it alive.

use crate::util;

use std::io::ErrorKind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sse_io::{Emitter, Event, ResponseHead};
use util::within;
use util::writers::{DEADLINE, Record, gated};

const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn close_is_heard_while_a_write_is_stuck_and_nothing_goes_out_behind_it() {
    let record = Record::new();
    let (writer, gate) = gated(record.writer());
    let emitter = ResponseHead::new().start(writer).unwrap();
    gate.shut();
    let stuck = emitter.clone();
    let first = thread::spawn(move || stuck.emit(&Event::new("first")));
    gate.wait_blocked();

    let (encoded, ready) = mpsc::channel();
    let behind: Vec<_> = (0..3)
        .map(|_| {
            let (emitter, encoded) = (emitter.clone(), encoded.clone());
            thread::spawn(move || {
                emitter.emit_with(&Event::new("behind"), |_| {
                    encoded.send(()).expect("the test waits for it");
                    Ok(())
                })
            })
        })
        .collect();
    for _ in &behind {
        // Open when they came: from here on they wait for the write that is stuck.
        ready.recv_timeout(DEADLINE).unwrap();
    }
    let waiting = emitter.clone();
    let waiter = thread::spawn(move || waiting.wait_closed(None));
    emitter.close();
    assert!(within(DEADLINE, || waiter.join().unwrap()));
    assert!(!emitter.wait_ended(Some(Duration::ZERO)));

    gate.open();
    within(DEADLINE, || first.join().unwrap()).unwrap();
    for thread in behind {
        let error = within(DEADLINE, || thread.join().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
    assert!(emitter.wait_ended(Some(DEADLINE)));
    let text = record.text();
    assert!(text.ends_with("data: first\n\n\r\n0\r\n\r\n"), "{text}");
    assert_eq!(text.matches("behind").count(), 0);
}

#[test]
fn join_is_prompt_beside_other_heartbeats() {
    let emitter = Emitter::new(Vec::new());
    // Whichever of them a single wake-up would reach, another is joined.
    let threads = [(); 8].map(|()| emitter.spawn_heartbeats(NEVER).unwrap());
    for thread in threads.into_iter().rev() {
        within(DEADLINE, || thread.join()).unwrap();
    }
    let mut threads = [(); 8]
        .map(|()| emitter.spawn_heartbeats(NEVER).unwrap())
        .into_iter();
    let last = threads.next_back().unwrap();
    within(DEADLINE, || last.join()).unwrap();
    assert!(!emitter.is_closed());
    drop(threads);
}

/// Tells which thread writes.
#[cfg(target_os = "linux")]
struct TellsThread {
    task: mpsc::Sender<std::path::PathBuf>,
}

#[cfg(target_os = "linux")]
impl std::io::Write for TellsThread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // The test may have what it wants.
        let _ = self.task.send(std::fs::canonicalize("/proc/thread-self")?);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_heartbeat_thread_does_not_spin() {
    use std::time::Instant;
    let (task, tasks) = mpsc::channel();
    let emitter = Emitter::new(TellsThread { task });
    let start = Instant::now();
    let thread = emitter.spawn_heartbeats(Duration::from_millis(20)).unwrap();
    let mut task = None;
    for _ in 0..10 {
        task = Some(tasks.recv_timeout(DEADLINE).unwrap());
    }
    // The first number is the time on a processor, in nanoseconds.
    let times = std::fs::read_to_string(task.unwrap().join("schedstat")).unwrap();
    let taken = times.split(' ').next().and_then(|time| time.parse().ok());
    let taken = Duration::from_nanos(taken.unwrap());
    let elapsed = start.elapsed();
    within(DEADLINE, || thread.join()).unwrap();
    assert!(!taken.is_zero());
    assert!(taken < elapsed / 4, "{taken:?} of {elapsed:?}");
}

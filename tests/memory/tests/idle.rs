//! A stream that sent a giant and is idle since holds little. One test: it counts all threads.

use std::io::{self, Write};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use sse_io::{Emitter, Event};
use sse_io_memory::held_by_all;

/// Tells of each write.
struct Told(Sender<()>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The test may have seen enough.
        let _ = self.0.send(());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_idle_emitter_gives_a_giants_memory_back_with_its_heartbeats() {
    let (told, writes) = mpsc::channel();
    let before = held_by_all();
    let emitter = Emitter::new(Told(told));
    emitter.emit(&Event::new("x".repeat(8 << 20))).unwrap();
    let heartbeat = emitter.spawn_heartbeats(Duration::from_millis(1)).unwrap();
    for _ in 0..10 {
        writes
            .recv_timeout(Duration::from_secs(30))
            .expect("heartbeats come");
    }
    let held = held_by_all() - before;
    assert!(held <= 512 << 10, "{held} bytes held");
    heartbeat.join().unwrap();
}

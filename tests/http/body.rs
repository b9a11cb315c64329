//! The body in memory: a bounded pipe between an emitter and whoever pulls, and its padding.

use crate::util;

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use sse_io::body::{Body, channel};
use sse_io::{Emitter, Event, Item, Reader, Writer};
use util::writers::DEADLINE;
use util::{Rng, repeats, within};

/// The endings of a stream meet a peer that waits already or not yet: both are seen in so many runs.
const RUNS: usize = repeats(200);

fn reader(body: Body) -> Reader<BufReader<Body>> {
    Reader::new(BufReader::new(body))
}

fn read_all(mut body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).unwrap();
    bytes
}

fn text(length: usize) -> String {
    "abcdefghij".chars().cycle().take(length).collect()
}

// The pipe.

#[test]
fn bytes_of_any_size_come_out_as_they_went_in() {
    for capacity in [0, 1, 2, 7, 64, 1000, 1 << 16] {
        within(DEADLINE, move || {
            let mut random = Rng(capacity as u64);
            let bytes: Vec<u8> = (0..repeats(8_000))
                .map(|_| random.next().to_le_bytes()[0])
                .collect();
            let sent = bytes.clone();
            let (mut writer, mut body) = channel(capacity);
            let producer = thread::spawn(move || {
                let mut rest = &sent[..];
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(rest.len().min(1 + random.below(300)));
                    writer.write_all(piece).unwrap();
                    if random.below(3) == 0 {
                        writer.flush().unwrap();
                    }
                    rest = after;
                }
            });
            let mut random = Rng(capacity as u64 + 1);
            let mut received = Vec::new();
            loop {
                let mut buffer = vec![0; 1 + random.below(300)];
                match body.read(&mut buffer).unwrap() {
                    0 => break,
                    count => received.extend_from_slice(&buffer[..count]),
                }
            }
            producer.join().unwrap();
            assert!(received == bytes, "at a capacity of {capacity}");
        });
    }
}

#[test]
fn a_write_takes_what_fits_and_a_read_what_is_there() {
    let (mut writer, mut body) = channel(5);
    assert_eq!(writer.write(b"abc").unwrap(), 3);
    assert_eq!(writer.write(b"defg").unwrap(), 2);
    let mut buffer = [0; 4];
    assert_eq!(body.read(&mut buffer).unwrap(), 4);
    assert_eq!(writer.write(b"fghij").unwrap(), 4);
    // Across the end of the ring in one go.
    let mut buffer = [0; 9];
    assert_eq!(body.read(&mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"efghi");
}

#[test]
fn reading_or_writing_nothing_never_waits() {
    within(DEADLINE, || {
        let (mut writer, mut body) = channel(1);
        assert_eq!(body.read(&mut []).unwrap(), 0);
        assert_eq!(writer.write(b"x").unwrap(), 1);
        assert_eq!(writer.write(b"").unwrap(), 0);
    });
}

#[test]
fn a_capacity_of_zero_holds_one_byte() {
    let (writer, mut body) = channel(0);
    let mut writer = writer.with_timeout(Duration::ZERO);
    assert_eq!(writer.write(b"ab").unwrap(), 1);
    assert_eq!(writer.write(b"b").unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(body.read(&mut [0; 8]).unwrap(), 1);
    assert_eq!(writer.write(b"b").unwrap(), 1);
}

#[test]
fn a_capacity_without_limit_is_not_reserved() {
    let (mut writer, mut body) = channel(usize::MAX);
    writer.write_all(&[7; 100_000]).unwrap();
    drop(writer);
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, [7; 100_000]);
}

/// Each byte that the writer has got rid of is reported. At no time may there be more reports than
/// bytes read plus the capacity, and each byte read makes room for one.
#[test]
fn a_full_pipe_holds_the_writer_back() {
    within(DEADLINE, || {
        const CAPACITY: usize = 3;
        const BYTES: usize = repeats(256);
        let (mut writer, mut body) = channel(CAPACITY);
        let (report, reports) = mpsc::channel();
        let producer = thread::spawn(move || {
            for byte in (0..=255).take(BYTES) {
                writer.write_all(&[byte]).unwrap();
                report.send(()).unwrap();
            }
        });
        for _ in 0..CAPACITY {
            reports.recv_timeout(DEADLINE).unwrap();
        }
        for byte in (0..=255).take(BYTES) {
            assert!(reports.try_recv().is_err(), "a write past the capacity");
            let mut buffer = [0];
            body.read_exact(&mut buffer).unwrap();
            assert_eq!(buffer, [byte]);
            if usize::from(byte) + CAPACITY < BYTES {
                reports.recv_timeout(DEADLINE).unwrap();
            }
        }
        producer.join().unwrap();
        assert_eq!(body.read(&mut [0]).unwrap(), 0);
    });
}

// Time-outs.

#[test]
fn a_write_without_room_times_out_and_takes_nothing() {
    let timeout = Duration::from_millis(20);
    let (writer, mut body) = channel(3);
    let mut writer = writer.with_timeout(timeout);
    writer.write_all(b"abc").unwrap();
    let start = Instant::now();
    let error = writer.write(b"d").unwrap_err();
    assert!(start.elapsed() >= timeout);
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "nobody has read the body within the time-out"
    );
    // It goes on once there is room.
    let mut buffer = [0; 2];
    body.read_exact(&mut buffer).unwrap();
    writer.write_all(b"de").unwrap();
    drop(writer);
    assert_eq!(read_all(body), b"cde");
}

#[test]
fn a_time_out_past_the_end_of_time_is_none() {
    within(DEADLINE, || {
        let (writer, body) = channel(1);
        let mut writer = writer.with_timeout(Duration::MAX);
        let consumer = thread::spawn(move || read_all(body));
        writer.write_all(b"more than one").unwrap();
        drop(writer);
        assert_eq!(consumer.join().unwrap(), b"more than one");
    });
}

#[test]
fn a_time_out_ends_the_stream_of_an_emitter() {
    let (writer, body) = channel(16);
    let emitter = Emitter::new(writer.with_timeout(Duration::from_millis(1)));
    emitter.emit(&Event::new("one")).unwrap();
    let error = emitter.emit(&Event::new("two, unread")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(emitter.is_closed());
    // What was sent before is whole, and the end is seen although a handle is left.
    let mut reader = reader(body);
    assert_eq!(reader.read_event().unwrap().unwrap().data, "one");
    assert_eq!(reader.read_event().unwrap(), None);
    assert!(reader.is_truncated());
}

// The ends.

#[test]
fn without_a_writer_the_body_gives_out_the_rest_and_ends() {
    within(DEADLINE, || {
        let (mut writer, mut body) = channel(16);
        writer.write_all(b"the rest").unwrap();
        drop(writer);
        let mut buffer = [0; 5];
        body.read_exact(&mut buffer).unwrap();
        assert_eq!(body.read(&mut buffer).unwrap(), 3);
        for _ in 0..3 {
            assert_eq!(body.read(&mut buffer).unwrap(), 0);
        }
    });
}

#[test]
fn without_a_body_the_writer_fails() {
    let (mut writer, body) = channel(16);
    writer.write_all(b"unread").unwrap();
    drop(body);
    let error = writer.write(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(error.to_string(), "the reader of the body has dropped it");
    assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// Runs the work on a thread of its own and comes back when that is about to begin.
fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (ready, started) = mpsc::channel();
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        ready.send(()).unwrap();
        done.send(work())
    });
    started.recv_timeout(DEADLINE).unwrap();
    result
}

#[test]
fn the_end_of_the_writer_wakes_a_read_that_waits() {
    for _ in 0..RUNS {
        let (writer, mut body) = channel(16);
        let read = start(move || body.read(&mut [0; 8]));
        drop(writer);
        assert_eq!(read.recv_timeout(DEADLINE).unwrap().unwrap(), 0);
    }
}

#[test]
fn the_end_of_the_body_wakes_a_write_that_waits() {
    for _ in 0..RUNS {
        let (mut writer, body) = channel(1);
        writer.write_all(b"x").unwrap();
        let write = start(move || writer.write(b"y"));
        drop(body);
        let error = write.recv_timeout(DEADLINE).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_byte_wakes_a_read_that_waits() {
    for _ in 0..RUNS {
        let (mut writer, mut body) = channel(1);
        let read = start(move || {
            let mut buffer = [0; 8];
            body.read(&mut buffer).map(|count| buffer[..count].to_vec())
        });
        writer.write_all(b"x").unwrap();
        assert_eq!(read.recv_timeout(DEADLINE).unwrap().unwrap(), b"x");
    }
}

#[test]
fn a_writer_that_panics_ends_the_body() {
    let (mut writer, body) = channel(16);
    let producer = thread::spawn(move || {
        writer.write_all(b"data: a\n\n").unwrap();
        panic!("as it should");
    });
    assert_eq!(within(DEADLINE, || read_all(body)), b"data: a\n\n");
    assert!(producer.join().is_err());
}

// With an emitter and a reader.

#[test]
fn each_event_is_read_before_the_next_is_sent() {
    for padding in [0, 8192] {
        let (writer, body) = channel(1 << 14);
        let emitter = Emitter::new(writer);
        let (report, reports) = mpsc::channel();
        thread::spawn(move || {
            let mut reader = reader(body.with_padding(padding));
            while let Some(event) = reader.read_event().unwrap() {
                report.send(event.into_owned()).unwrap();
            }
        });
        for n in 0..repeats(100) {
            let event = Event::new(format!("event {n}")).with_id(n.to_string());
            emitter.emit(&event).unwrap();
            assert_eq!(reports.recv_timeout(DEADLINE).unwrap(), event);
        }
        drop(emitter);
        let end = reports.recv_timeout(DEADLINE).unwrap_err();
        assert_eq!(end, mpsc::RecvTimeoutError::Disconnected);
    }
}

#[test]
fn many_threads_share_a_pipe_smaller_than_a_frame() {
    const THREADS: usize = 8;
    const EVENTS: usize = repeats(100);
    for padding in [0, 50] {
        within(DEADLINE, move || {
            let (writer, body) = channel(10);
            let emitter = Emitter::new(writer);
            for thread in 0..THREADS {
                let emitter = emitter.clone();
                thread::spawn(move || {
                    for n in 0..EVENTS {
                        let event = Event::new(format!("{n}\nof {EVENTS}"));
                        emitter.emit(&event.with_name(thread.to_string())).unwrap();
                    }
                });
            }
            drop(emitter);
            let mut next = [0; THREADS];
            let mut reader = reader(body.with_padding(padding));
            while let Some(event) = reader.read_event().unwrap() {
                let thread: usize = event.event_type().parse().unwrap();
                assert_eq!(event.data, format!("{}\nof {EVENTS}", next[thread]));
                next[thread] += 1;
            }
            assert_eq!(next, [EVENTS; THREADS]);
        });
    }
}

#[test]
fn a_dropped_body_closes_the_emitter() {
    let (writer, body) = channel(16);
    let emitter = Emitter::new(writer);
    drop(body);
    let error = emitter.emit(&Event::new("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(emitter.is_closed());
}

#[test]
fn a_closed_emitter_ends_the_body() {
    let (writer, body) = channel(64);
    let emitter = Emitter::new(writer);
    emitter.emit(&Event::new("a")).unwrap();
    emitter.close();
    assert_eq!(within(DEADLINE, || read_all(body)), b"data: a\n\n");
}

#[test]
fn heartbeats_come_through() {
    within(DEADLINE, || {
        let (writer, body) = channel(64);
        let emitter = Emitter::new(writer);
        let _heartbeat = emitter.spawn_heartbeats(Duration::from_millis(1)).unwrap();
        let mut reader = reader(body.with_padding(100));
        for _ in 0..10 {
            let item = reader.read_item().unwrap();
            assert!(matches!(item, Some(Item::Comment(_))), "{item:?}");
        }
    });
}

// Padding.

/// The padding that brings a total to 1 (mod `block`), found by trying: none, or a comment.
fn wanted(total: usize, block: usize) -> Vec<u8> {
    let comment = |length: usize| [b":", &b" ".repeat(length - 2)[..], b"\n"].concat();
    std::iter::once(Vec::new())
        .chain((2..).map(comment))
        .find(|padding| (total + padding.len()) % block == 1)
        .unwrap()
}

fn read_exactly(body: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    body.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn after_every_flush_the_total_is_1_mod_block() {
    let blocks = [2, 3, 5, 16, 61, 512, 8192];
    for block in blocks.into_iter().take(repeats(200)) {
        within(DEADLINE, move || {
            let mut random = Rng(block as u64);
            let (writer, body) = channel(1 << 20);
            let mut body = body.with_padding(block);
            let emitter = Emitter::new(writer);
            let mut stream = Vec::new();
            let mut events = Vec::new();
            // Every remainder comes up for the small blocks, and many for the large.
            for n in 0..repeats(150) {
                let length = match n % 3 {
                    0 => random.below(3 * block),
                    1 => random.below(20),
                    _ => n,
                };
                let event = Event::new(text(length)).with_id(n.to_string());
                let mut frame = Vec::new();
                event.encode(&mut frame).unwrap();
                emitter.emit(&event).unwrap();
                let padding = wanted(stream.len() + frame.len(), block);
                let bytes = read_exactly(&mut body, frame.len() + padding.len());
                assert!(
                    bytes == [frame, padding].concat(),
                    "block {block}, event {n}"
                );
                stream.extend_from_slice(&bytes);
                assert_eq!(stream.len() % block, 1);
                events.push(event);
            }
            drop(emitter);
            // The flush at the end has nothing to push out.
            assert_eq!(read_all(body), b"");
            let read: io::Result<Vec<_>> = Reader::new(&stream[..]).events().collect();
            assert!(read.unwrap() == events, "block {block}");
        });
    }
}

#[test]
fn when_one_byte_is_missing_a_whole_block_is_added() {
    within(DEADLINE, || {
        let (mut writer, body) = channel(64);
        let mut body = body.with_padding(10);
        writer.write_all(b"data: 23\n\n").unwrap();
        writer.flush().unwrap();
        drop(writer);
        let bytes = read_exactly(&mut body, 21);
        assert_eq!(bytes, b"data: 23\n\n:         \n");
        assert_eq!(read_all(body), b"");
    });
}

#[test]
fn a_total_that_fits_already_is_left_alone() {
    let (mut writer, body) = channel(64);
    writer.write_all(b"data: 234\n\n").unwrap();
    writer.flush().unwrap();
    writer.flush().unwrap();
    drop(writer);
    assert_eq!(read_all(body.with_padding(10)), b"data: 234\n\n");
}

#[test]
fn blocks_of_0_and_1_and_an_empty_body_are_not_padded() {
    for block in [0, 1] {
        let (writer, body) = channel(64);
        Emitter::new(writer).emit(&Event::new("a")).unwrap();
        assert_eq!(read_all(body.with_padding(block)), b"data: a\n\n");
    }
    let (mut writer, body) = channel(64);
    writer.flush().unwrap();
    drop(writer);
    assert_eq!(read_all(body.with_padding(8192)), b"");
}

#[test]
fn flushes_that_the_reader_is_behind_are_padded_together() {
    let (writer, body) = channel(1024);
    let emitter = Emitter::new(writer);
    for data in ["a", "b", "c"] {
        emitter.emit(&Event::new(data)).unwrap();
    }
    drop(emitter);
    let frames = b"data: a\n\ndata: b\n\ndata: c\n\n";
    let wanted = [&frames[..], &wanted(frames.len(), 100)].concat();
    assert_eq!(read_all(body.with_padding(100)), wanted);
}

#[test]
fn what_was_flushed_is_pushed_out_although_half_a_frame_follows() {
    within(DEADLINE, || {
        let (mut writer, body) = channel(1024);
        let mut body = body.with_padding(20);
        writer.write_all(b"data: a\n\n").unwrap();
        writer.flush().unwrap();
        writer.write_all(b"data: ").unwrap();
        let pushed = b"data: a\n\n:          \n";
        assert_eq!(read_exactly(&mut body, pushed.len()), pushed);
        // Nothing in the middle of the second one.
        writer.write_all(b"b\n\n").unwrap();
        assert_eq!(read_exactly(&mut body, 9), b"data: b\n\n");
        writer.flush().unwrap();
        assert_eq!(read_exactly(&mut body, 11), b":         \n");
    });
}

#[test]
fn without_a_flush_there_is_no_padding() {
    let (writer, body) = channel(1024);
    let mut writer = Writer::new(writer);
    writer.write_event(&Event::new("a")).unwrap();
    writer.write_event(&Event::new("b")).unwrap();
    drop(writer);
    assert_eq!(read_all(body.with_padding(100)), b"data: a\n\ndata: b\n\n");
}

#[test]
fn a_flush_wakes_a_padded_read_that_waits() {
    for _ in 0..RUNS {
        let (mut writer, body) = channel(64);
        let mut body = body.with_padding(10);
        writer.write_all(b": a\n").unwrap();
        assert_eq!(read_exactly(&mut body, 4), b": a\n");
        let read = start(move || read_exactly(&mut body, 7));
        writer.flush().unwrap();
        assert_eq!(read.recv_timeout(DEADLINE).unwrap(), b":     \n");
    }
}

/// The writer fills the pipe while the body is read with buffers of any size: whatever the flushes
/// that meet, each frame is whole, what is between frames is padding, and each padding ends at 1.
#[test]
fn padding_never_comes_inside_a_frame() {
    for (capacity, block) in [(3, 7), (20, 16), (64, 100), (300, 64), (1 << 16, 8192)] {
        within(DEADLINE, move || {
            let (writer, body) = channel(capacity);
            let mut body = body.with_padding(block);
            let mut random = Rng(capacity as u64);
            let events: Vec<_> = (0..repeats(300))
                .map(|n| Event::new(text(random.below(200))).with_id(n.to_string()))
                .collect();
            let sent = events.clone();
            let producer = thread::spawn(move || {
                let emitter = Emitter::new(writer);
                for event in &sent {
                    emitter.emit(event).unwrap();
                }
            });
            let mut stream = Vec::new();
            loop {
                let mut buffer = vec![0; 1 + random.below(150)];
                match body.read(&mut buffer).unwrap() {
                    0 => break,
                    count => stream.extend_from_slice(&buffer[..count]),
                }
            }
            producer.join().unwrap();
            let mut rest = &stream[..];
            for event in &events {
                let mut frame = Vec::new();
                event.encode(&mut frame).unwrap();
                rest = rest.strip_prefix(&frame[..]).expect("a frame, whole");
                let total = stream.len() - rest.len();
                if rest.starts_with(b":") || rest.is_empty() {
                    let padding = wanted(total, block);
                    rest = rest.strip_prefix(&padding[..]).expect("padding to 1");
                }
            }
            assert_eq!(rest, b"");
            let mut reader = Reader::new(&stream[..]);
            assert!(reader.events().map(Result::unwrap).eq(events));
        });
    }
}

/// The server for which there is padding: it sends what it reads in chunks of 8 KiB.
#[test]
fn a_padded_body_is_live_through_tiny_http() {
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let address = server.server_addr().to_ip().unwrap();
    let (writer, body) = channel(1 << 14);
    let (report, reports) = mpsc::channel();
    thread::spawn(move || {
        let request = server.recv().unwrap();
        let body = body.with_padding(8192);
        let status = tiny_http::StatusCode(200);
        request.respond(tiny_http::Response::new(status, vec![], body, None, None))
    });
    thread::spawn(move || {
        let response = ureq::get(format!("http://{address}/")).call().unwrap();
        report.send("the head".to_owned()).unwrap();
        let mut reader = Reader::new(BufReader::new(response.into_body().into_reader()));
        while let Some(event) = reader.read_event().unwrap() {
            report.send(event.data.into_owned()).unwrap();
        }
    });
    let emitter = Emitter::new(writer.with_timeout(DEADLINE));
    emitter.comment("").unwrap();
    assert_eq!(reports.recv_timeout(DEADLINE).unwrap(), "the head");
    for length in [0, 1, 100, 5000, 8181, 8182, 8183, 20_000, 3] {
        let data = text(length);
        emitter.emit(&Event::new(&data[..])).unwrap();
        assert!(reports.recv_timeout(DEADLINE).unwrap() == data);
    }
    drop(emitter);
    let end = reports.recv_timeout(DEADLINE).unwrap_err();
    assert_eq!(end, mpsc::RecvTimeoutError::Disconnected);
}

// What the types are.

#[test]
fn both_ends_go_to_other_threads() {
    fn pulled(_: impl Read + Send + 'static) {}
    pulled(channel(1).1);
    fn lines(_: impl BufRead + Send + 'static) {}
    lines(BufReader::new(channel(1).1));
}

#[test]
fn a_dropped_body_frees_what_nobody_will_read() {
    let (mut writer, body) = channel(1024);
    writer.write_all(&[b'x'; 1000]).unwrap();
    drop(body);
    let told = format!("{writer:?}");
    assert!(told.contains("waiting: 0,"), "{told}");
}

#[test]
fn debug_tells_sizes_and_no_bytes() {
    let (mut writer, body) = channel(1024);
    writer.write_all(b"secret").unwrap();
    let writer = writer.with_timeout(Duration::from_secs(5));
    assert_eq!(
        format!("{writer:?}"),
        "BodyWriter { capacity: 1024, waiting: 6, timeout: Some(5s), .. }"
    );
    assert_eq!(
        format!("{:?}", body.with_padding(8192)),
        "Body { capacity: 1024, waiting: 6, block: 8192, .. }"
    );
}

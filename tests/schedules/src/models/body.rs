//! The pipe: what goes in comes out, and each end notices that the other has gone.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use shuttle::thread;

use super::{LONG, check, check_all, once_in};
use crate::body;

#[test]
fn bytes_come_out_as_they_went_in() {
    const TEXT: &[u8] = b"data: one\n\ndata: two\n\n";
    for capacity in [1, 3, 64] {
        check(0, LONG, move || {
            let (mut writer, mut body) = body::channel(capacity);
            let sender = thread::spawn(move || {
                for piece in TEXT.chunks(4) {
                    writer.write_all(piece).expect("the body is there");
                    writer.flush().expect("the body is there");
                }
                // Until all was read, so that the end wakes nobody who was forgotten.
                writer
            });
            let mut got = [0; TEXT.len()];
            body.read_exact(&mut got).expect("a read never fails");
            assert_eq!(got, TEXT);
            drop(sender.join().expect("no panic"));
            assert_eq!(body.read(&mut got).expect("a read never fails"), 0);
        });
    }
}

#[test]
fn either_end_notices_that_the_other_has_gone() {
    check(1, LONG, || {
        let (writer, mut body) = body::channel(2);
        let mut writer = writer.with_timeout(Duration::from_secs(1));
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while sent < 6 {
                match writer.write(b"abc") {
                    Ok(count) => sent += count,
                    Err(error) if error.kind() == ErrorKind::TimedOut => {}
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                        return (sent, false);
                    }
                }
            }
            (sent, true)
        });
        let mut got = 0;
        let leaves = once_in(2);
        while let count @ 1.. = body.read(&mut [0; 4]).expect("a read never fails") {
            got += count;
            if leaves {
                drop(body);
                let (sent, done) = sender.join().expect("no panic");
                assert!(sent >= got && (done || sent < 6));
                return;
            }
        }
        let (sent, done) = sender.join().expect("no panic");
        assert!(done && sent == got, "{sent} in, {got} out");
    });
}

#[test]
fn small_pipe() {
    check_all(|| {
        let (mut writer, mut body) = body::channel(1);
        let sender = thread::spawn(move || {
            writer.write_all(b"ab").expect("the body is there");
            writer
        });
        let mut got = [0; 2];
        body.read_exact(&mut got).expect("a read never fails");
        assert_eq!(&got, b"ab");
        drop(sender.join().expect("no panic"));
        assert_eq!(body.read(&mut got).expect("a read never fails"), 0);
    });
}

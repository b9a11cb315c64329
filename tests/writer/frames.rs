//! The writer: one frame is one write, nothing half-written, and an end after a failure.

use crate::util;

use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sse_io::{DataWriter, Event, InvalidField, Writer};
use util::writers::{Fault, Record, Short, What};

/// Each kind of frame once, with what it must look like.
fn every_frame(writer: &mut Writer<impl Write>) -> Vec<(io::Result<usize>, &'static str)> {
    vec![
        (
            writer.write_event(&Event::new("a\nb").with_name("n").with_id("1")),
            "event: n\nid: 1\ndata: a\ndata: b\n\n",
        ),
        (writer.write_comment("x\ny"), ": x\n: y\n\n"),
        (
            writer.write_retry(Duration::from_millis(1500)),
            "retry: 1500\n\n",
        ),
        (
            writer.write_event_with(&Event::new("n = "), |data| {
                data.write_all(b"1")?;
                data.flush()?;
                write!(data, "{}\n{}", 2, 3)
            }),
            "data: n = 12\ndata: 3\n\n",
        ),
    ]
}

#[track_caller]
fn assert_broken(writer: &mut Writer<impl Write>) {
    for (result, _) in every_frame(writer) {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
    assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_frame_is_one_write_and_no_flush() {
    let record = Record::new();
    let mut writer = Writer::new(record.writer());
    let frames = every_frame(&mut writer);
    let wanted: Vec<_> = frames
        .iter()
        .map(|(_, wire)| What::Write(wire.as_bytes().to_vec()))
        .collect();
    assert_eq!(record.whats(), wanted);
    for (length, wire) in frames {
        assert_eq!(length.unwrap(), wire.len());
    }
}

#[test]
fn a_huge_event_is_one_write_too() {
    let record = Record::new();
    let mut writer = Writer::new(record.writer());
    let text = "0123456789\n".repeat(100_000);
    let length = writer.write_event(&Event::new(&text)).unwrap();
    assert_eq!(record.writes().len(), 1);
    assert_eq!(record.bytes().len(), length);
    assert_eq!(record.text().parse::<Event<'_>>().unwrap().data, text);
}

#[test]
fn flush_reaches_the_inner_writer_once() {
    let record = Record::new();
    let mut writer = Writer::new(record.writer());
    writer.write_comment("").unwrap();
    writer.flush().unwrap();
    assert_eq!(
        record.whats(),
        [What::Write(b":\n\n".to_vec()), What::Flush]
    );
}

#[test]
fn a_new_writer_writes_nothing() {
    let record = Record::new();
    drop(Writer::new(record.writer()));
    assert_eq!(record.whats(), [What::Drop]);
}

#[test]
fn dropping_a_writer_neither_writes_nor_flushes() {
    let record = Record::new();
    let mut writer = Writer::new(record.writer());
    writer.write_event(&Event::new("x")).unwrap();
    drop(writer);
    assert_eq!(
        record.whats(),
        [What::Write(b"data: x\n\n".to_vec()), What::Drop]
    );
}

#[test]
fn short_writes_and_interruptions_are_gone_through() {
    for most in [1, 2, 3, 7, 1000] {
        let mut writer = Writer::new(Short::new(Vec::new(), most));
        let mut wanted = String::new();
        for (length, wire) in every_frame(&mut writer) {
            assert_eq!(length.unwrap(), wire.len());
            wanted.push_str(wire);
        }
        writer.flush().unwrap();
        assert_eq!(writer.into_inner().inner, wanted.as_bytes());
    }
}

#[test]
fn get_ref_get_mut_and_into_inner_give_the_inner_writer() {
    let mut writer = Writer::new(Vec::new());
    writer.write_comment("a").unwrap();
    assert_eq!(writer.get_ref(), b": a\n\n");
    writer.get_mut().extend_from_slice(b"data: raw\n\n");
    writer.write_comment("b").unwrap();
    assert_eq!(writer.into_inner(), b": a\n\ndata: raw\n\n: b\n\n");
}

#[test]
fn a_refused_event_leaves_nothing_written_and_the_writer_usable() {
    let record = Record::new();
    let mut writer = Writer::new(record.writer());
    let bad = Event::new("x").with_name("a\nb");
    let too_long = Duration::from_secs(u64::MAX);
    for result in [
        writer.write_event(&bad),
        writer.write_event_with(&bad, |_| panic!("the closure is not asked for a bad event")),
        writer.write_retry(too_long),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.get_ref().unwrap().is::<InvalidField>());
    }
    assert_eq!(record.whats(), []);
    writer.write_event(&Event::new("ok")).unwrap();
    assert_eq!(record.text(), "data: ok\n\n");
}

#[test]
fn an_error_of_the_closure_comes_back_and_nothing_is_written() {
    let record = Record::new();
    let mut writer = Writer::new(record.writer());
    let error = writer
        .write_event_with(&Event::new("begun").with_id("1"), |data| {
            data.write_all(b"half")?;
            Err(io::Error::new(ErrorKind::NotFound, "no such row"))
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "no such row");
    assert_eq!(record.whats(), []);
    writer.write_event(&Event::new("ok")).unwrap();
    assert_eq!(record.text(), "data: ok\n\n");
}

#[test]
fn bytes_that_are_not_utf_8_leave_nothing_written() {
    let rows: &[&[&[u8]]] = &[
        &[b"\xff"],
        &[b"a", b"\xc3"],
        &[b"\xc3", b"("],
        &[b"\xe2\x82", b"\n", b"\xac"],
        &[b"\xe2\x82\r\n\xac"],
        &[b"\xed\xa0\x80"],
        &[b"\xc0\x80"],
        &[b"\xf4\x90", b"\x80\x80"],
    ];
    for pieces in rows {
        let record = Record::new();
        let mut writer = Writer::new(record.writer());
        let error = writer
            .write_event_with(&Event::default(), |data| {
                pieces.iter().try_for_each(|piece| data.write_all(piece))
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{pieces:?}");
        assert_eq!(record.whats(), [], "{pieces:?}");
        writer.write_event(&Event::new("ok")).unwrap();
        assert_eq!(record.text(), "data: ok\n\n");
    }
}

#[test]
fn a_character_may_be_torn_over_writes() {
    let text = "é€\u{1F980}\u{feff}";
    for at in 0..=text.len() {
        let (front, back) = text.as_bytes().split_at(at);
        let mut writer = Writer::new(Vec::new());
        writer
            .write_event_with(&Event::default(), |data| {
                data.write_all(front)?;
                data.write_all(&[])?;
                data.write_all(back)
            })
            .unwrap();
        assert_eq!(writer.into_inner(), format!("data: {text}\n\n").as_bytes());
    }
}

#[test]
fn a_line_break_may_be_torn_over_writes() {
    let rows: &[(&str, &[&str], &str)] = &[
        ("", &["a\r", "\nb"], "data: a\ndata: b\n\n"),
        ("", &["a", "\r", "", "\n", "b"], "data: a\ndata: b\n\n"),
        ("", &["a\r", "\r\nb"], "data: a\ndata:\ndata: b\n\n"),
        ("", &["a\n", "\nb"], "data: a\ndata:\ndata: b\n\n"),
        ("", &["a\n", "\rb"], "data: a\ndata:\ndata: b\n\n"),
        ("", &["a\r", "b\n", "c"], "data: a\ndata: b\ndata: c\n\n"),
        ("a\r", &["\nb"], "data: a\ndata: b\n\n"),
        ("a\r\n", &["\nb"], "data: a\ndata:\ndata: b\n\n"),
        ("a\r", &[], "data: a\ndata:\n\n"),
        ("a", &["b", "c"], "data: abc\n\n"),
        (" ", &[" a"], "data:   a\n\n"),
        ("", &[], "data:\n\n"),
        ("", &["", ""], "data:\n\n"),
    ];
    for (start, pieces, wire) in rows {
        let mut writer = Writer::new(Vec::new());
        let length = writer
            .write_event_with(&Event::new(*start), |data| {
                for piece in *pieces {
                    assert_eq!(data.write(piece.as_bytes())?, piece.len());
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(length, wire.len());
        assert_eq!(
            String::from_utf8(writer.into_inner()).unwrap(),
            *wire,
            "{start:?} {pieces:?}"
        );
    }
}

#[test]
fn after_a_failed_write_everything_is_a_broken_pipe() {
    let faults = [
        Fault::Call(0, ErrorKind::TimedOut),
        Fault::Bytes(0, ErrorKind::TimedOut),
        Fault::Bytes(1, ErrorKind::TimedOut),
        Fault::Bytes(8, ErrorKind::TimedOut),
    ];
    for fault in faults {
        let record = Record::new();
        let mut writer = Writer::new(record.writer().with_fault(fault));
        let error = writer.write_event(&Event::new("x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let before = record.whats();
        assert_broken(&mut writer);
        assert_eq!(record.whats(), before, "{fault:?}");
    }
}

#[test]
fn a_write_of_zero_bytes_is_a_failure() {
    let mut room = [0; 4];
    let mut writer = Writer::new(&mut room[..]);
    let error = writer.write_event(&Event::new("x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WriteZero);
    assert_broken(&mut writer);
}

#[test]
fn after_a_failed_flush_everything_is_a_broken_pipe() {
    let record = Record::new();
    let fault = Fault::Call(1, ErrorKind::WouldBlock);
    let mut writer = Writer::new(record.writer().with_fault(fault));
    writer.write_event(&Event::new("x")).unwrap();
    assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::WouldBlock);
    let before = record.whats();
    assert_broken(&mut writer);
    assert_eq!(record.whats(), before);
}

#[test]
fn the_broken_pipe_says_why() {
    let record = Record::new();
    let fault = Fault::Call(0, ErrorKind::TimedOut);
    let mut writer = Writer::new(record.writer().with_fault(fault));
    writer.write_comment("").unwrap_err();
    assert_eq!(
        writer.write_comment("").unwrap_err().to_string(),
        "an earlier write to the event stream failed"
    );
}

#[test]
fn a_panic_in_the_closure_leaves_nothing_written_and_the_writer_usable() {
    let record = Record::new();
    let mut writer = Writer::new(record.writer());
    let panic = catch_unwind(AssertUnwindSafe(|| {
        writer.write_event_with(&Event::new("begun"), |_| panic!("on purpose"))
    }));
    assert!(panic.is_err());
    assert_eq!(record.whats(), []);
    assert_eq!(writer.write_event(&Event::new("ok")).unwrap(), 10);
    assert_eq!(record.text(), "data: ok\n\n");
}

#[test]
fn a_panic_in_the_inner_write_counts_as_a_failed_write() {
    let record = Record::new();
    let mut writer = Writer::new(record.writer().with_fault(Fault::Panic(0)));
    let panic = catch_unwind(AssertUnwindSafe(|| writer.write_comment("")));
    assert!(panic.is_err());
    assert_broken(&mut writer);
    assert_eq!(record.whats(), [What::Failure]);
}

#[test]
fn a_panic_in_the_inner_flush_counts_as_a_failed_flush() {
    let record = Record::new();
    let mut writer = Writer::new(record.writer().with_fault(Fault::Panic(1)));
    writer.write_comment("").unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| writer.flush()));
    assert!(panic.is_err());
    assert_broken(&mut writer);
    assert_eq!(record.writes().len(), 1);
}

#[test]
fn small_events_are_intact_after_a_huge_one() {
    let huge = "x".repeat(3 << 20);
    let mut writer = Writer::new(Vec::new());
    for round in 0..3 {
        writer.write_event(&Event::new(&huge)).unwrap();
        for n in 0..5 {
            writer.get_mut().clear();
            let data = format!("{round}.{n}");
            writer.write_event(&Event::new(&data)).unwrap();
            assert_eq!(writer.get_ref(), format!("data: {data}\n\n").as_bytes());
        }
    }
}

#[test]
fn a_failed_formatting_is_an_error_and_nothing_is_written() {
    struct Unprintable;
    impl std::fmt::Display for Unprintable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }
    let record = Record::new();
    let mut writer = Writer::new(record.writer());
    let result = catch_unwind(AssertUnwindSafe(|| {
        writer.write_event_with(&Event::default(), |data| write!(data, "a{Unprintable}"))
    }));
    // A formatting that fails of its own is an error or, in some releases of std, a panic.
    assert!(!matches!(result, Ok(Ok(_))));
    assert_eq!(record.whats(), []);
}

#[test]
fn the_data_writer_has_a_debug_form() {
    let mut writer = Writer::new(Vec::new());
    writer
        .write_event_with(&Event::default(), |data: &mut DataWriter<'_>| {
            assert_eq!(format!("{data:?}"), "DataWriter { .. }");
            Ok(())
        })
        .unwrap();
}

/// Nothing of `std::io` is in scope here.
mod without_the_write_trait {
    use sse_io::{Event, Writer};

    #[test]
    fn write_works_on_the_data_writer() {
        let mut writer = Writer::new(Vec::new());
        writer
            .write_event_with(&Event::default(), |data| {
                write!(data, "{}", 1)?;
                writeln!(data)?;
                write!(data, "two")
            })
            .unwrap();
        assert_eq!(writer.into_inner(), b"data: 1\ndata: two\n\n");
    }
}

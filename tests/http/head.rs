//! The response head, its framing, refusals, media types and socket options.

use crate::util;

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use sse_io::http::{HEADERS, is_event_stream, retry_after};
use sse_io::{Emitter, Event, ResponseHead};
use util::writers::{Fault, Record, Short, What};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                    Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";

fn sent(head: ResponseHead) -> String {
    let mut stream = Vec::new();
    let emitter = head.start(&mut stream).unwrap();
    drop(emitter);
    String::from_utf8(stream).unwrap()
}

/// Splits a response at the end of its head.
fn split(response: &[u8]) -> (&str, &[u8]) {
    let end = response
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head has an end");
    let (head, body) = response.split_at(end + 4);
    (std::str::from_utf8(head).unwrap(), body)
}

/// The chunks of a body that is chunked to the letter, the last one included.
#[track_caller]
fn chunks(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    loop {
        let end = body
            .windows(2)
            .position(|window| window == b"\r\n")
            .expect("a size line has an end");
        let size = std::str::from_utf8(&body[..end]).unwrap();
        assert!(
            size.bytes().all(|b| b.is_ascii_hexdigit()) && (size == "0" || !size.starts_with('0')),
            "{size:?}"
        );
        let size = usize::from_str_radix(size, 16).unwrap();
        let (chunk, rest) = body[end + 2..].split_at(size);
        body = rest.strip_prefix(b"\r\n").expect("a chunk has an end");
        if size == 0 {
            assert_eq!(body, b"", "nothing follows the last chunk");
            return chunks;
        }
        chunks.push(chunk.to_vec());
    }
}

#[test]
fn a_refusal_has_the_reason_phrase_of_its_status() {
    for (status, reason) in [
        (200, "OK"),
        (204, "No Content"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (304, "Not Modified"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (406, "Not Acceptable"),
        (408, "Request Timeout"),
        (409, "Conflict"),
        (410, "Gone"),
        (413, "Content Too Large"),
        (415, "Unsupported Media Type"),
        (421, "Misdirected Request"),
        (422, "Unprocessable Content"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (505, "HTTP Version Not Supported"),
        (299, ""),
        (599, ""),
    ] {
        let mut stream = Vec::new();
        ResponseHead::new().refuse(status, &mut stream).unwrap();
        let (head, _) = split(&stream);
        let line = format!("HTTP/1.1 {status} {reason}");
        assert_eq!(head.lines().next(), Some(&*line));
    }
}

#[test]
fn the_head_for_1_1_is_chunked() {
    let wanted = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\n:\n\n\r\n0\r\n\r\n");
    assert_eq!(sent(ResponseHead::new()), wanted);
    assert_eq!(sent(ResponseHead::default()), wanted);
}

#[test]
fn the_head_for_1_0_closes_the_connection_and_is_not_chunked() {
    assert_eq!(
        sent(ResponseHead::for_version(1, 0)),
        format!("{HEAD}Connection: close\r\n\r\n:\n\n")
    );
}

#[test]
fn the_framing_goes_by_the_version() {
    for (major, minor, chunked) in [
        (0, 9, false),
        (1, 0, false),
        (1, 1, true),
        (1, 2, true),
        (2, 0, true),
        (3, 0, true),
    ] {
        let response = sent(ResponseHead::for_version(major, minor));
        assert_eq!(
            response.contains("\r\nTransfer-Encoding: chunked\r\n"),
            chunked
        );
        assert_eq!(response.contains("\r\nConnection: close\r\n"), !chunked);
        assert_eq!(response.ends_with("\r\n0\r\n\r\n"), chunked);
    }
}

#[test]
fn head_and_first_block_are_one_write_and_a_flush() {
    for head in [
        ResponseHead::new(),
        ResponseHead::for_version(1, 0),
        ResponseHead::new().with_retry(Duration::from_secs(2)),
    ] {
        let record = Record::new();
        let _emitter = head.start(record.writer()).unwrap();
        assert_eq!(record.whats(), [What::Write(record.bytes()), What::Flush]);
        assert!(record.text().ends_with("\n\n\r\n") || record.text().ends_with("\n\n"));
    }
}

#[test]
fn a_retry_is_the_first_block() {
    let retry = Duration::from_micros(2_000_001);
    assert_eq!(
        sent(ResponseHead::new().with_retry(retry)),
        format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nd\r\nretry: 2001\n\n\r\n0\r\n\r\n")
    );
    assert_eq!(
        sent(ResponseHead::for_version(1, 0).with_retry(retry)),
        format!("{HEAD}Connection: close\r\n\r\nretry: 2001\n\n")
    );
}

#[test]
fn a_retry_that_is_too_long_is_refused() {
    let record = Record::new();
    let head = ResponseHead::new().with_retry(Duration::MAX);
    let error = head.start(record.writer()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.get_ref().unwrap().is::<sse_io::InvalidField>());
    assert_eq!(record.whats(), [What::Drop]);
}

#[test]
fn a_header_is_added() {
    assert_eq!(
        sent(ResponseHead::for_version(1, 0).with_header("Access-Control-Allow-Origin", "*")),
        format!("{HEAD}Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n:\n\n")
    );
}

#[test]
fn a_header_replaces_one_of_the_same_name_in_any_case() {
    let head = ResponseHead::for_version(1, 0)
        .with_header("cache-CONTROL", "no-store")
        .with_header("X-One", "1")
        .with_header("x-one", "2")
        .with_header("content-type", "text/event-stream; charset=utf-8")
        .with_header("CONNECTION", "Close");
    assert_eq!(
        sent(head),
        "HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\ncache-CONTROL: no-store\r\nx-one: 2\r\n\
         content-type: text/event-stream; charset=utf-8\r\nCONNECTION: Close\r\n\r\n:\n\n"
    );
}

#[test]
fn the_answer_to_head_is_the_head_of_the_stream() {
    for head in [
        ResponseHead::new(),
        ResponseHead::for_version(1, 0),
        ResponseHead::new()
            .with_cors("*")
            .with_retry(Duration::from_secs(1)),
    ] {
        let record = Record::new();
        head.clone().respond_to_head(record.writer()).unwrap();
        let wanted = sent(head);
        let (wanted, _) = split(wanted.as_bytes());
        assert_eq!(
            record.whats(),
            [What::Write(wanted.into()), What::Flush, What::Drop]
        );
    }
}

#[test]
fn an_answer_to_head_that_fails_is_an_error() {
    for call in [0, 1] {
        let record = Record::new();
        let stream = record
            .writer()
            .with_fault(Fault::Call(call, ErrorKind::TimedOut));
        let error = ResponseHead::new().respond_to_head(stream).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    let record = Record::new();
    let head = ResponseHead::new().with_header("X", "a\nb");
    let error = head.respond_to_head(record.writer()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(record.whats(), [What::Drop]);
}

#[test]
fn cors_names_the_origin_and_varies_by_it() {
    let head = || ResponseHead::for_version(1, 0);
    let origin = "https://example.org";
    for (head, wanted) in [
        (head().with_cors("*"), "Access-Control-Allow-Origin: *\r\n"),
        (
            head().with_cors(origin),
            "Access-Control-Allow-Origin: https://example.org\r\nVary: Origin\r\n",
        ),
        (
            head().with_cors("https://other.example").with_cors(origin),
            "Vary: Origin\r\nAccess-Control-Allow-Origin: https://example.org\r\n",
        ),
        (
            head().with_header("vary", "Accept").with_cors(origin),
            "Access-Control-Allow-Origin: https://example.org\r\nVary: Accept, Origin\r\n",
        ),
        (
            head()
                .with_header("Vary", "Accept, origin")
                .with_cors(origin),
            "Vary: Accept, origin\r\nAccess-Control-Allow-Origin: https://example.org\r\n",
        ),
        (
            head().with_header("Vary", "*").with_cors(origin),
            "Vary: *\r\nAccess-Control-Allow-Origin: https://example.org\r\n",
        ),
        (
            head().with_header("Vary", "Accept").with_cors("*"),
            "Vary: Accept\r\nAccess-Control-Allow-Origin: *\r\n",
        ),
    ] {
        assert_eq!(
            sent(head),
            format!("{HEAD}{wanted}Connection: close\r\n\r\n:\n\n")
        );
    }
}

#[test]
fn an_origin_cannot_inject_a_header() {
    let record = Record::new();
    let head = ResponseHead::new().with_cors("https://a\r\nSet-Cookie: evil=1");
    let error = head.start(record.writer()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(record.whats(), [What::Drop]);
}

#[test]
fn a_header_that_cannot_be_sent_is_refused_with_nothing_written() {
    let rows = [
        ("X-A", "a\rSet-Cookie: evil=1"),
        ("X-A", "a\nSet-Cookie: evil=1"),
        ("X-A", "a\r\n\r\ndata: evil"),
        ("X-A", "\0"),
        ("X-A\r\nX-B", "v"),
        ("X-A\n", "v"),
        ("X-A\r", "v"),
        ("X-A\0", "v"),
        ("", "v"),
        ("X A", "v"),
        (" X-A", "v"),
        ("X-A ", "v"),
        ("X-A\t", "v"),
        ("X-A:", "v"),
        ("X:A", "v"),
        ("X-É", "v"),
        ("(X)", "v"),
        ("Content-Length", "5"),
        ("content-length", "5"),
        ("CONTENT-LENGTH", "5"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("tRANSFER-eNCODING", "gzip, chunked"),
        // Replacing one of the defaults is no way around the check.
        ("Cache-Control", "no-cache\r\nX: y"),
        ("Connection", "close\nX: y"),
    ];
    for (name, value) in rows {
        for version in [(1, 1), (1, 0)] {
            let head = ResponseHead::for_version(version.0, version.1).with_header(name, value);
            let record = Record::new();
            let error = head.clone().start(record.writer()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}: {value:?}");
            assert_eq!(record.whats(), [What::Drop], "{name:?}: {value:?}");
            let record = Record::new();
            let error = head.refuse(503, record.writer()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}: {value:?}");
            assert_eq!(record.whats(), [What::Drop], "{name:?}: {value:?}");
        }
    }
}

#[test]
fn a_refused_header_says_why() {
    for (name, value, message) in [
        (
            "X-A",
            "ab\r",
            "line break or null at byte 2 of the header X-A",
        ),
        ("X A", "v", "\"X A\" is not a header name"),
        (
            "content-length",
            "5",
            "the header content-length is not the user's to set",
        ),
    ] {
        let head = ResponseHead::new().with_header(name, value);
        let error = head.start(Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_value_may_hold_anything_else() {
    let value = "a:b; c=\"d\", \t\u{e9}";
    let response = sent(ResponseHead::new().with_header("X!#$%&'*+-.^_`|~9", value));
    assert!(response.contains(&format!("\r\nX!#$%&'*+-.^_`|~9: {value}\r\n")));
}

#[test]
fn a_stream_that_fails_at_the_head_is_an_error_and_gets_no_more() {
    for fault in [
        Fault::Call(0, ErrorKind::TimedOut),
        Fault::Call(1, ErrorKind::TimedOut),
        Fault::Bytes(10, ErrorKind::TimedOut),
    ] {
        let record = Record::new();
        let stream = record.writer().with_fault(fault);
        let error = ResponseHead::new().start(stream).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let calls = record.whats();
        assert_eq!(calls[calls.len() - 2..], [What::Failure, What::Drop]);
    }
}

#[test]
fn interruptions_and_short_writes_do_not_tear_the_stream() {
    let mut whole = Vec::new();
    let mut torn = Short::new(Vec::new(), 3);
    for stream in [&mut whole as &mut dyn Write, &mut torn] {
        let emitter = ResponseHead::new().start(stream).unwrap();
        emitter.emit(&Event::new("hello")).unwrap();
    }
    assert_eq!(torn.inner, whole);
    let mut torn = Short::new(Vec::new(), 3);
    ResponseHead::new().refuse(204, &mut torn).unwrap();
    assert!(torn.inner.ends_with(b"\r\n\r\n"));
}

/// Events and comments of many lengths, around the sizes where a size line grows too.
fn emit_all<W: Write>(emitter: &Emitter<W>) -> io::Result<usize> {
    let mut blocks = 0;
    let lengths = (0..40)
        .chain(240..280)
        .chain(4070..4110)
        .chain([65_520, 65_536, 1 << 20]);
    for length in lengths {
        let text = "x".repeat(length);
        assert_eq!(
            emitter.emit(&Event::new(&text))?,
            length + if length == 0 { 7 } else { 8 }
        );
        emitter.emit_with(&Event::new("").with_id("7"), |data| {
            data.write_all(text.as_bytes())
        })?;
        emitter.comment(&text)?;
        blocks += 3;
    }
    Ok(blocks)
}

#[test]
fn the_chunks_of_a_stream_are_its_frames() {
    let plain = Record::new();
    let emitter = ResponseHead::for_version(1, 0)
        .start(plain.writer())
        .unwrap();
    let blocks = emit_all(&emitter).unwrap();
    drop(emitter);

    let chunked = Record::new();
    let emitter = ResponseHead::new().start(chunked.writer()).unwrap();
    assert_eq!(emit_all(&emitter).unwrap(), blocks);
    drop(emitter);

    let bytes = chunked.bytes();
    let chunks = chunks(split(&bytes).1);
    let mut frames = plain.writes();
    frames[0] = split(&frames[0]).1.to_vec();
    assert_eq!(frames.len(), blocks + 1);
    assert_eq!(chunks, frames);

    // One write per chunk, and one for the last.
    let writes = chunked.writes();
    assert_eq!(writes.len(), blocks + 2);
    for (write, frame) in writes[1..].iter().zip(&frames[1..]) {
        let wanted = [format!("{:x}\r\n", frame.len()).as_bytes(), frame, b"\r\n"].concat();
        assert_eq!(*write, wanted);
    }
    assert_eq!(writes[blocks + 1], b"0\r\n\r\n");
}

#[test]
fn a_refusal_is_one_write_without_a_body() {
    let rows = [
        (
            404,
            "HTTP/1.1 404 Not Found\r\nCache-Control: no-cache\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            503,
            "HTTP/1.1 503 Service Unavailable\r\nCache-Control: no-cache\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            599,
            "HTTP/1.1 599 \r\nCache-Control: no-cache\r\nContent-Length: 0\r\n\r\n",
        ),
        // RFC 9110, 8.6: no Content-Length in a 204.
        (
            204,
            "HTTP/1.1 204 No Content\r\nCache-Control: no-cache\r\n\r\n",
        ),
        (
            304,
            "HTTP/1.1 304 Not Modified\r\nCache-Control: no-cache\r\n\r\n",
        ),
    ];
    for (status, wanted) in rows {
        let record = Record::new();
        ResponseHead::new().refuse(status, record.writer()).unwrap();
        assert_eq!(record.text(), wanted);
        assert_eq!(
            record.whats(),
            [What::Write(wanted.into()), What::Flush, What::Drop]
        );
    }
}

#[test]
fn a_refusal_keeps_the_headers_that_were_set() {
    let mut stream = Vec::new();
    ResponseHead::for_version(1, 0)
        .with_header("Access-Control-Allow-Origin", "https://example.org")
        .with_header("Retry-After", "5")
        .with_header("Cache-Control", "no-store")
        .with_retry(Duration::from_secs(1))
        .refuse(503, &mut stream)
        .unwrap();
    assert_eq!(
        String::from_utf8(stream).unwrap(),
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\
         Access-Control-Allow-Origin: https://example.org\r\nRetry-After: 5\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn a_status_that_ends_no_request_is_refused() {
    for status in [0, 99, 100, 101, 199, 600, 999, u16::MAX] {
        let record = Record::new();
        let error = ResponseHead::new()
            .refuse(status, record.writer())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            format!("{status} is not the status of a final response")
        );
        assert_eq!(record.whats(), [What::Drop]);
    }
}

#[test]
fn a_refusal_that_fails_is_an_error() {
    for call in [0, 1] {
        let record = Record::new();
        let stream = record
            .writer()
            .with_fault(Fault::Call(call, ErrorKind::TimedOut));
        let error = ResponseHead::new().refuse(404, stream).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}

#[test]
fn the_headers_are_those_of_every_stream() {
    assert_eq!(
        HEADERS,
        [
            ("Content-Type", "text/event-stream"),
            ("Cache-Control", "no-cache"),
            ("X-Accel-Buffering", "no"),
        ]
    );
}

#[test]
fn an_event_stream_is_known_by_its_media_type() {
    for content_type in [
        "text/event-stream",
        "TEXT/EVENT-STREAM",
        "Text/Event-Stream",
        "text/event-stream;",
        "text/event-stream ; charset=utf-8",
        "text/event-stream;charset=utf-8",
        "text/event-stream; charset=latin1",
        "text/event-stream;garbage;;=",
        "text/event-stream;a=\"b, c\"",
        "text/event-stream;a=\"bb, c\"",
        " \ttext/event-stream\t ",
    ] {
        assert!(is_event_stream(content_type), "{content_type:?}");
    }
    for content_type in [
        "",
        ";",
        "text",
        "text/",
        "text/plain",
        "text/event-streams",
        "xtext/event-stream",
        "text/event-stream, text/plain",
        "text/event-stream;a=b, text/plain",
        "text/event-stream;a=bb, text/plain",
        "text/event-stream;a=\"b\", text/plain",
        "text/ event-stream",
        "text /event-stream",
        "text/event stream",
        "application/json; text/event-stream",
        "text/x-dom-event-stream",
        "\u{a0}text/event-stream",
        "text/event-\u{17f}tream",
    ] {
        assert!(!is_event_stream(content_type), "{content_type:?}");
    }
}

#[test]
fn retry_after_is_whole_seconds_and_nothing_else() {
    let largest = u64::MAX.to_string();
    for (value, seconds) in [
        ("0", 0),
        ("120", 120),
        (" \t007 ", 7),
        (&largest, u64::MAX),
        // Longer than any time: as long as there is.
        ("99999999999999999999999", u64::MAX),
    ] {
        assert_eq!(retry_after(value), Some(Duration::from_secs(seconds)));
    }
    for value in [
        "",
        " ",
        "+1",
        "-1",
        "1.5",
        "1e3",
        "0x10",
        "1 2",
        "1, 2",
        "10s",
        "\u{661}",
        "Fri, 31 Dec 1999 23:59:59 GMT",
    ] {
        assert_eq!(retry_after(value), None, "{value:?}");
    }
    assert_eq!(retry_after(b"1\xff"), None);
}

#[cfg(target_os = "linux")]
mod listener {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use sse_io::http::tune_listener;

    fn accepted(listener: &TcpListener) -> TcpStream {
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap().0
    }

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = accepted(&listener);
        assert!(!socket.nodelay().unwrap());
        assert_eq!(socket.write_timeout().unwrap(), None);

        let timeout = Some(Duration::from_secs(20));
        tune_listener(&listener, true, timeout).unwrap();
        let socket = accepted(&listener);
        assert!(socket.nodelay().unwrap());
        assert_eq!(socket.write_timeout().unwrap(), timeout);
        assert_eq!(socket.read_timeout().unwrap(), None);

        tune_listener(&listener, false, None).unwrap();
        let socket = accepted(&listener);
        assert!(!socket.nodelay().unwrap());
        assert_eq!(socket.write_timeout().unwrap(), None);
    }

    #[test]
    fn a_write_time_out_of_zero_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = tune_listener(&listener, true, Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_connection_that_stays_open_is_refused_where_it_is_the_end_of_the_body() {
    let head = |value: &str| ResponseHead::for_version(1, 0).with_header("Connection", value);
    let mut out = Vec::new();
    let error = head("keep-alive").start(&mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "a body that is not chunked ends with the connection: close it"
    );
    assert!(out.is_empty());
    assert!(head("*").start(&mut out).is_err());
    head("Foo, Close").start(&mut out).unwrap();
    assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

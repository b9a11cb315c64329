//! The readers in Go, where there is Go.

use sse_io_bench::go::Go;
use sse_io_bench::streams;

#[test]
fn readers_in_go_are_right() {
    let go = match Go::build() {
        Ok(go) => go,
        Err(missing) => return eprintln!("not tested, {missing}"),
    };
    for stream in streams::all(16 << 10) {
        let measured = go.measure_stream(&stream, 1).unwrap();
        assert_eq!(measured.len(), 2);
        for one in measured {
            // go.jetify.com/sse has no text for what is JSON.
            let json = stream.sent[0].data.starts_with('{');
            let known = one.name.starts_with("go.jetify.com") && json;
            assert_eq!(one.wrong.is_some(), known, "{}: {one:?}", stream.name);
        }
    }
}

//! The readers in Go, where there is Go.

use sse_io_bench::go::Go;
use sse_io_bench::streams;

#[test]
fn readers_in_go_are_right() {
    let directory = std::env::temp_dir().join(format!("sse-io-bench-test-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    match Go::build(&directory) {
        Ok(go) => {
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
        Err(missing) => eprintln!("not tested, {missing}"),
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

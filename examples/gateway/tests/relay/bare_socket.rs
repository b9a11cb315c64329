//! A server that owns its sockets hears at once that a client hung up.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use gateway::{Answer, Gateway, provider};
use sse_io::ResponseHead;
use sse_io::http::Guard;

/// What the provider says of its streams.
fn state(provider: &str) -> String {
    let mut answer = ureq::get(provider).call().expect("an answer");
    answer.body_mut().read_to_string().expect("its body")
}

#[test]
fn a_client_that_hangs_up_cancels_a_request_whose_reply_has_not_begun() {
    let provider = format!("http://{}", provider::serve().expect("a provider"));
    let gateway = Gateway::new(&provider, Guard::new());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut client =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("a client");
    let (connection, _) = listener.accept().expect("a connection");
    let (ended, end) = mpsc::channel();
    thread::spawn(move || -> io::Result<()> {
        let asked = Instant::now();
        let body = r#"{"model": "made-up,think=600000", "stream": true}"#;
        let answer = gateway.ask("/v1/messages", [].into_iter(), body.as_bytes());
        let Ok((_, Answer::Stream(upstream))) = answer else {
            panic!("the provider answers with a stream");
        };
        let emitter = ResponseHead::new()
            .with_header("Connection", "close")
            .start(connection)?;
        gateway.stream(&emitter, upstream, asked, |emitter| {
            // It would be noticed without a single heartbeat.
            emitter.watch(Duration::from_secs(600)).expect("a thread");
            emitter.wait_closed(None);
        })?;
        ended.send(()).expect("the test waits");
        Ok(())
    });
    let mut seen = String::new();
    while !seen.contains("content_block_start") {
        let mut piece = [0; 1024];
        let count = client.read(&mut piece).expect("the stream begins");
        seen += std::str::from_utf8(&piece[..count]).expect("text");
    }
    drop(client);
    let gone = Instant::now();
    end.recv_timeout(Duration::from_secs(60))
        .expect("the relay ends");
    println!("the request was cancelled after {:?}", gone.elapsed());
    while !state(&provider).contains(r#""cancelled":1"#) {
        assert!(gone.elapsed() < Duration::from_secs(60), "not cancelled");
        thread::yield_now();
    }
}

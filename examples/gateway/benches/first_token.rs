//! cargo bench --manifest-path examples/gateway/Cargo.toml
//!
//! The time to the first token through the gateway, beside that of a direct connection to the same
//! provider, in turns and in one run: one stream at a time, then 200.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use gateway::{Gateway, provider};
use sse_io::http::{self, Guard};
use tiny_http::Server;

const ROUNDS: usize = 1000;
const STREAMS: usize = 200;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let direct = provider::serve()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let relayed = listener.local_addr()?;
    http::tune_listener(&listener, true, None)?;
    let server = Server::from_listener(listener, None)?;
    let gateway = Arc::new(Gateway::new(&format!("http://{direct}"), Guard::new()));
    thread::spawn(move || gateway.serve(&server));

    let mut times = [Vec::new(), Vec::new()];
    let mut connections = [TcpStream::connect(direct)?, TcpStream::connect(relayed)?];
    for round in 0..ROUNDS + 50 {
        for (connection, times) in connections.iter_mut().zip(&mut times) {
            let time = stream(connection, "made-up,tokens=3,pace=1")?;
            // The first rounds warm up.
            times.extend((round >= 50).then_some(time));
        }
    }
    print("one stream at a time", &mut times);

    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (address, times) in [direct, relayed].into_iter().zip(&mut times) {
            times.extend(many(address)?);
        }
    }
    print("200 streams at a time", &mut times);
    Ok(())
}

/// So many streams at a time, of 100 tokens in 2 s each; they ask within half a second.
fn many(address: SocketAddr) -> io::Result<Vec<Duration>> {
    let ready = Arc::new(Barrier::new(STREAMS));
    let threads: Vec<_> = (0..STREAMS)
        .map(|number| {
            let ready = Arc::clone(&ready);
            thread::spawn(move || {
                let mut connection = TcpStream::connect(address)?;
                ready.wait();
                thread::sleep(Duration::from_micros(2500) * number as u32);
                stream(&mut connection, "made-up,tokens=100,pace=20")
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"))
        .collect()
}

/// Asks for a stream, reads it to its end, and gives the time to the first token.
fn stream(connection: &mut TcpStream, model: &str) -> io::Result<Duration> {
    let body = format!(r#"{{"model":"{model}","stream":true}}"#);
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    connection.set_nodelay(true)?;
    let asked = Instant::now();
    connection.write_all(request.as_bytes())?;
    let (mut answer, mut first) = (Vec::new(), None);
    let mut piece = [0; 16 << 10];
    loop {
        let count = connection.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..count]);
        let has = |text: &[u8]| answer.windows(text.len()).any(|window| window == text);
        if first.is_none() && has(b"\"content\":\"token 0") {
            first = Some(asked.elapsed());
        }
        if answer.ends_with(b"0\r\n\r\n") {
            assert!(has(b"[DONE]"), "the reply is not complete");
            return Ok(first.expect("a complete reply has a first token"));
        }
    }
}

fn print(what: &str, [direct, relayed]: &mut [Vec<Duration>; 2]) {
    println!("{what}: time to first token, ms");
    let mut at = |share: f64| {
        [&mut *direct, &mut *relayed].map(|times| {
            times.sort_unstable();
            times[(times.len() as f64 * share) as usize].as_secs_f64() * 1000.0
        })
    };
    for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        let [direct, relayed] = at(share);
        let more = relayed - direct;
        println!("  {name}  direct {direct:7.3}  gateway {relayed:7.3}  more {more:7.3}");
    }
}

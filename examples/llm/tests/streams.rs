//! Completions as services send them, well and badly.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use llm::{Failure, canned, complete};

fn read(url: &str) -> (Result<usize, Failure>, String) {
    let mut out = Vec::new();
    let result = complete(url, None, "a model", "hello", &mut out);
    (result, String::from_utf8(out).expect("tokens are text"))
}

/// Answers one request with these bytes, then closes; gives the URL.
fn once(response: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    thread::spawn(move || -> io::Result<()> {
        let (mut connection, _) = listener.accept()?;
        let mut request = Vec::new();
        while !request.ends_with(b"}]}") && !request.ends_with(b"true}") {
            let mut piece = [0; 1024];
            match connection.read(&mut piece)? {
                0 => break,
                n => request.extend_from_slice(&piece[..n]),
            }
        }
        connection.write_all(response.as_bytes())
    });
    url
}

macro_rules! stream {
    ($body:literal) => {
        concat!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
            $body
        )
    };
}

#[test]
fn the_canned_reply_arrives_whole() {
    let address = canned::serve(Duration::ZERO).expect("a server");
    let (result, text) = read(&format!("http://{address}/"));
    assert_eq!(result.expect("a reply"), canned::tokens().count());
    assert_eq!(text, canned::tokens().collect::<String>());
    assert!(text.ends_with("🎉"));
}

#[test]
fn a_space_after_the_colon_is_optional_and_so_is_the_last_blank_line() {
    let (result, text) = read(&once(stream!(
        ": OPENROUTER PROCESSING\n\ndata:{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n\
         data: {\"choices\":[],\"error\":null}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\ndata: [DONE]"
    )));
    assert_eq!((result.expect("a reply"), text.as_str()), (2, "ab"));
}

#[test]
fn a_reply_cut_short_is_an_error() {
    let (result, text) = read(&once(stream!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
    )));
    assert!(matches!(result, Err(Failure::Cut)), "{result:?}");
    assert_eq!(text, "a");
}

#[test]
fn an_error_in_the_stream_is_reported() {
    let (result, _) = read(&once(stream!(
        "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"
    )));
    assert_eq!(
        result.unwrap_err().to_string(),
        "the service reports: overloaded"
    );
}

#[test]
fn what_is_not_json_is_reported() {
    let (result, _) = read(&once(stream!("data: <html>\n\n")));
    assert!(matches!(result, Err(Failure::Json(_))), "{result:?}");
}

#[test]
fn another_status_is_reported_with_what_the_server_says() {
    let (result, _) = read(&once(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\nno key!",
    ));
    let message = result.unwrap_err().to_string();
    assert_eq!(
        message,
        "the server answered 401, application/json: no key!"
    );
}

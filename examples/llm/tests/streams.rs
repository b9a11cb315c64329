//! Completions as services send them, well and badly.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use llm::{Api, Failure, Question, Reply, canned};

fn ask(url: &str) -> Reply {
    Reply::to(Question {
        api: Api::of(url),
        url: url.to_owned(),
        key: Some("a key".into()),
        model: "a model".into(),
        prompt: "hello".into(),
    })
}

fn read(url: &str) -> (Result<usize, Failure>, String) {
    let mut out = Vec::new();
    let result = ask(url).print(&mut out);
    (result, String::from_utf8(out).expect("tokens are text"))
}

/// Answers one request with these bytes, then closes; gives the URL.
fn once(response: &'static str) -> String {
    serve(response, "/")
}

fn serve(response: &'static str, path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!(
        "http://{}{path}",
        listener.local_addr().expect("an address")
    );
    thread::spawn(move || -> io::Result<()> {
        let (mut connection, _) = listener.accept()?;
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut piece = [0; 1024];
            // The length of the body is not looked at: it is JSON, in one piece or in several.
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
fn the_canned_reply_arrives_whole_in_both_shapes() {
    let address = canned::serve(Duration::ZERO).expect("a server");
    for path in ["/v1/chat/completions", "/v1/messages"] {
        let (result, text) = read(&format!("http://{address}{path}"));
        assert_eq!(result.expect("a reply"), canned::tokens().count());
        assert_eq!(text, canned::tokens().collect::<String>());
        assert!(text.ends_with("🎉"));
    }
}

/// Somewhere to print to that closes the reply when something is printed.
struct Closing(sse_io::client::Closer);

impl Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let closer = self.0.clone();
        thread::spawn(move || closer.close())
            .join()
            .expect("no panic");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reply_can_be_cut_short_from_another_thread() {
    // One token, then silence until the client goes.
    let address = canned::serve(Duration::from_secs(3_600)).expect("a server");
    let mut reply = ask(&format!("http://{address}/"));
    let mut out = Closing(reply.closer());
    assert_eq!(reply.print(&mut out).expect("no error"), 1);
}

#[test]
fn an_error_event_is_reported_and_escaped() {
    let body = stream!(
        "event: ping\ndata: {}\n\nevent: error\n\
         data: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"Over\\u001b[2Jloaded\"}}\n\n"
    );
    let (result, _) = read(&serve(body, "/v1/messages"));
    let message = result.unwrap_err().to_string();
    assert_eq!(message, "the service reports: Over\\u{1b}[2Jloaded");
}

#[test]
fn a_message_without_its_stop_is_cut() {
    let body = stream!("event: content_block_delta\ndata: {\"delta\":{\"text\":\"a\\u001b\"}}\n\n");
    let (result, text) = read(&serve(body, "/v1/messages"));
    assert!(matches!(result, Err(Failure::Cut)), "{result:?}");
    assert_eq!(text, "a\\u{1b}");
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
    assert_eq!(message, "the server answered with status 401: no key!");
}

//! Recipes to copy: how an [`EventSource`](sse_io::EventSource) connects through HTTP libraries other
//! than ureq, and events as lines of JSON. None is longer than twelve lines.
//!
//! All connectors send the headers that the client asks for, return a response of any status, give up
//! on a peer that is silent for 45 s, and tell what no other attempt would mend ([`ConnectError`]).
//! Only [`tcp`] has a way to end a read from another thread; with the others a close is heard after the
//! read that is under way, with the next event or comment.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use attohttpc::ErrorKind::Io;
use attohttpc::Method;
use curl::easy::Easy;
use minreq::Error::{AddressNotFound, IoError};
use reqwest::blocking::Client;
use serde_json::json;
use sse_io::client::{ConnectError, Request, Response};
use sse_io::{Item, Parser};

/// What a connector returns.
pub type Connected<B> = Result<Response<BufReader<B>>, ConnectError>;

/// Three heartbeats of most servers: a connection that is silent for so long is lost.
const SILENCE: Duration = Duration::from_secs(45);

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(10);

/// `reqwest::blocking`, whose time-out is for connecting and for each read, not for the whole.
pub fn reqwest(url: &str, request: &Request<'_>) -> Connected<reqwest::blocking::Response> {
    let client = Client::builder().timeout(SILENCE).build();
    let call = client.map_err(ConnectError::fatal)?.get(url);
    let headers = request.headers();
    let call = headers.fold(call, |call, (name, v)| call.header(name, v));
    let passes = |e: &reqwest::Error| !e.is_builder() && !e.is_redirect();
    let result = call.send();
    let response = result.map_err(|e| ConnectError::retry_if(passes(&e), e))?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = BufReader::new(response);
    Ok(Response::from_head(status, |name| headers.get(name), body))
}

/// `attohttpc`, whose `get` would panic over a bad URL.
pub fn attohttpc(url: &str, request: &Request<'_>) -> Connected<attohttpc::ResponseReader> {
    let result = attohttpc::RequestBuilder::try_new(Method::GET, url);
    let call = result.map_err(ConnectError::fatal)?.read_timeout(SILENCE);
    let call = call.connect_timeout(PATIENCE);
    let headers = request.headers();
    let call = headers.fold(call, |call, (name, v)| call.header(name, v));
    let result = call.send();
    let response = result.map_err(|e| ConnectError::retry_if(matches!(e.kind(), Io(_)), e))?;
    let (status, headers, body) = response.split();
    let body = BufReader::new(body);
    Ok(Response::from_head(status, |name| headers.get(name), body))
}

/// `minreq`, whose headers are text. Its time-out is for the whole request, body included, so there is
/// none here, and a peer that vanished without a word is not noticed: for streams that end.
pub fn minreq(url: &str, request: &Request<'_>) -> Connected<minreq::ResponseLazy> {
    let mut call = minreq::get(url);
    for (name, value) in request.headers() {
        call = call.with_header(name, String::from_utf8_lossy(value));
    }
    let passes = |e: &minreq::Error| matches!(e, IoError(_) | AddressNotFound);
    let result = call.send_lazy();
    let body = result.map_err(|e| ConnectError::retry_if(passes(&e), e))?;
    let (status, headers) = (body.status_code, body.headers.clone());
    let header = |name| field(&headers, name);
    Ok(Response::from_head(status, header, BufReader::new(body)))
}

/// A bare socket, for devices: HTTP/1.0, so that the body is in no chunks and ends with its connection;
/// no TLS, no redirects. A close ends a read at once.
pub fn tcp(host: &str, path: &str, request: &Request<'_>) -> Connected<TcpStream> {
    let mut socket = TcpStream::connect(host)?;
    socket.set_read_timeout(Some(SILENCE))?;
    let ended = socket.try_clone()?;
    request.on_close(move || drop(ended.shutdown(Shutdown::Both)));
    socket.write_all(&head(host, path, request))?;
    let mut body = BufReader::new(socket);
    let (status, fields) = read_head(&mut body)?;
    let header = |name| field(&fields, name);
    Ok(Response::from_head(status, header, body))
}

/// The head of a request.
fn head(host: &str, path: &str, request: &Request<'_>) -> Vec<u8> {
    let mut head = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n").into_bytes();
    for (name, value) in request.headers() {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    head
}

type Fields = Vec<(String, String)>;

/// The status and the fields of a response's head, which may have 64 KiB.
fn read_head(from: &mut impl BufRead) -> io::Result<(u16, Fields)> {
    let mut lines = from.take(64 << 10).lines();
    let mut next = || lines.next().ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = next()?.split(' ').nth(1).and_then(|code| code.parse().ok());
    let mut fields = Fields::new();
    while let Some((name, value)) = next()?.split_once(':') {
        fields.push((name.into(), value.trim().into()));
    }
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, fields))
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a String> {
    let mut fields = fields.iter();
    let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name))?;
    Some(&found.1)
}

/// The `curl` crate hands bytes over in a callback, so its events come out of a [`Parser`]: one
/// connection, which ends with an error when `each` says `false`. The URL and the headers
/// (`Accept: text/event-stream`) are in `easy`. To curl's limit for low speed a heartbeat is silence:
/// hence the progress function, which curl calls about once a second.
pub fn curl(mut easy: Easy, mut each: impl FnMut(Item<'_>) -> bool) -> Result<(), curl::Error> {
    let (mut parser, heard) = (Parser::new(), Cell::new(Instant::now()));
    easy.fail_on_error(true)?; // a status of 400 or more
    easy.progress(true)?;
    let mut transfer = easy.transfer();
    transfer.progress_function(|_, _, _, _| heard.get().elapsed() < SILENCE)?;
    transfer.write_function(|bytes| {
        heard.set(Instant::now());
        Ok(feed(&mut parser, bytes, &mut each))
    })?;
    transfer.perform()
}

/// How many of the bytes were taken: all, or none when `each` says `false`.
fn feed(parser: &mut Parser, bytes: &[u8], mut each: impl FnMut(Item<'_>) -> bool) -> usize {
    let mut rest = bytes;
    while let Some(item) = parser.parse_item(&mut rest).transpose() {
        // What is too large is skipped.
        if item.is_ok_and(|item| !each(item)) {
            return 0;
        }
    }
    bytes.len()
}

/// An item as one line of JSON: the output of the example `sse-tail`, for other programs.
pub fn json_line(item: &Item<'_>, out: &mut impl Write) -> io::Result<()> {
    let value = match item {
        Item::Event {
            event,
            last_event_id,
            ..
        } => json!({ "event": event.event_type(), "data": event.data, "id": last_event_id }),
        Item::Comment(text) => json!({ "comment": text }),
        _ => return Ok(()), // what later versions may add
    };
    writeln!(out, "{value}")
}

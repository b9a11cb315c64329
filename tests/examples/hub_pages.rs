//! The examples of the hub over real HTTP: `chat` and `dashboard`, read by ureq.

use crate::{chat, dashboard, util};

use std::io::{BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chat::Limits;
use dashboard::{Counters, Dashboard};
use sse_io::http::Guard;
use sse_io::{Event, Reader};
use tiny_http::Server;
use util::within;

const DEADLINE: Duration = Duration::from_secs(30);

const LIMITS: Limits = Limits {
    rooms: 10,
    members_of_a_room: 10,
    members: 20,
    idle: DEADLINE,
};

type Stream = Reader<BufReader<ureq::BodyReader<'static>>>;
type Response = ureq::http::Response<ureq::Body>;

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .build()
        .new_agent()
}

/// A server on a free port, stopped when dropped.
struct Running {
    address: SocketAddr,
    server: Arc<Server>,
    accepting: Option<JoinHandle<()>>,
}

impl Running {
    fn start(serve: impl FnOnce(&Server) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = Arc::new(Server::from_listener(listener, None).expect("a server"));
        let accepting = Arc::clone(&server);
        Running {
            address,
            server,
            accepting: Some(thread::spawn(move || serve(&accepting))),
        }
    }

    fn chat(limits: Limits) -> Self {
        Running::start(move |server| chat::serve(server, Guard::new(), limits))
    }

    fn dashboard(events: usize, streams: usize) -> (Self, Arc<Dashboard>) {
        let dashboard = Arc::new(Dashboard::new(events, streams));
        let served = Arc::clone(&dashboard);
        let running = Running::start(move |server| dashboard::serve(server, Guard::new(), &served));
        (running, dashboard)
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let agent = agent();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            "" => agent.run(request.body(()).expect("a request")),
            body => agent.run(request.body(body.to_owned()).expect("a request")),
        };
        response.expect("a response")
    }

    fn events(&self, path: &str, last_event_id: &str) -> Stream {
        let id = [("Last-Event-ID", last_event_id)];
        let headers = if last_event_id.is_empty() {
            &[]
        } else {
            &id[..]
        };
        let response = self.request("GET", path, headers, "");
        assert_eq!(response.status(), 200, "{path}");
        Reader::new(BufReader::new(response.into_body().into_reader()))
    }

    /// Comes into a room, and waits for the word of it.
    fn enter(&self, room: &str, name: &str) -> Stream {
        let mut stream = self.events(&format!("/rooms/{room}/events?name={name}"), "");
        let mine = format!(r#"{{"joined":"{name}""#);
        while !next(&mut stream).data.starts_with(&mine) {}
        stream
    }

    fn post(&self, room: &str, form: &str) -> u16 {
        let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
        let path = format!("/rooms/{room}/messages");
        let response = self.request("POST", &path, &form_type, form);
        response.status().as_u16()
    }

    #[track_caller]
    fn say(&self, room: &str, name: &str, text: &str) {
        assert_eq!(self.post(room, &format!("name={name}&text={text}")), 204);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.unblock();
        let ended = self.accepting.take().map(JoinHandle::join);
        let ended = ended.is_none_or(|ended| ended.is_ok());
        assert!(thread::panicking() || ended, "the server has panicked");
    }
}

#[track_caller]
fn next(stream: &mut Stream) -> Event<'static> {
    let event = stream.read_event().expect("a whole stream");
    event.expect("another event").into_owned()
}

/// The next message, without the time; what else happens in the room is passed over.
#[track_caller]
fn said(stream: &mut Stream) -> String {
    loop {
        let event = next(stream);
        if event.name.is_none() {
            let (said, time) = event.data.rsplit_once(r#","at":"#).expect("a time");
            assert!(time.trim_end_matches('}').parse::<u64>().is_ok(), "{time}");
            return said.to_owned();
        }
    }
}

fn message(name: &str, text: &str) -> String {
    format!(r#"{{"name":"{name}","text":"{text}""#)
}

#[test]
fn what_is_said_reaches_everyone_in_the_room_once_and_nobody_elsewhere() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        let here = ["Ada", "Bob", "Eve"].map(|name| chat.enter("lobby", name));
        let mut elsewhere = chat.enter("other", "Mallory");
        chat.say("lobby", "Ada", "one");
        chat.say("other", "Mallory", "elsewhere");
        chat.say("lobby", "Bob", "two");
        for mut stream in here {
            assert_eq!(said(&mut stream), message("Ada", "one"));
            assert_eq!(said(&mut stream), message("Bob", "two"));
        }
        assert_eq!(said(&mut elsewhere), message("Mallory", "elsewhere"));
    });
}

#[test]
fn who_comes_in_gets_what_was_said_before() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        let _ada = chat.enter("lobby", "Ada");
        for text in ["one", "two", "three"] {
            chat.say("lobby", "Ada", text);
        }
        let mut late = chat.events("/rooms/lobby/events?name=Bob", "");
        assert_eq!(next(&mut late).data, r#"{"joined":"Ada","names":["Ada"]}"#);
        for text in ["one", "two", "three"] {
            let event = next(&mut late);
            assert!(event.data.starts_with(&message("Ada", text)), "{event:?}");
        }
        let here = next(&mut late);
        assert_eq!(here.name.as_deref(), Some("here"));
        assert_eq!(here.data, r#"{"joined":"Bob","names":["Ada","Bob"]}"#);
    });
}

#[test]
fn who_comes_back_gets_what_was_missed_and_nothing_twice() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        let mut stream = chat.enter("lobby", "Ada");
        chat.say("lobby", "Bob", "seen");
        assert_eq!(said(&mut stream), message("Bob", "seen"));
        let last = stream.last_event_id().to_owned();
        drop(stream);
        for n in 1..=20 {
            chat.say("lobby", "Bob", &n.to_string());
        }
        let by_header = chat.events("/rooms/lobby/events?name=Ada", &last);
        let query = format!("/rooms/lobby/events?name=Ada&lastEventId={last}");
        for mut stream in [by_header, chat.events(&query, "")] {
            for n in 1..=20 {
                assert_eq!(said(&mut stream), message("Bob", &n.to_string()));
            }
        }
    });
}

#[test]
fn an_id_from_another_time_is_told_as_a_gap_before_what_there_is() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        let _ada = chat.enter("lobby", "Ada");
        chat.say("lobby", "Ada", "one");
        let mut stream = chat.events("/rooms/lobby/events", "0123456789abcdef-0000000000000001");
        assert_eq!(next(&mut stream), Event::new("").with_name("gap"));
        assert_eq!(said(&mut stream), message("Ada", "one"));
    });
}

#[test]
fn who_is_here_is_told_as_they_come_and_go() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        let mut bob = chat.enter("lobby", "Bob");
        let ada = chat.enter("lobby", "Ada");
        let again = chat.events("/rooms/lobby/events?name=Ada", "");
        let joined = r#"{"joined":"Ada","names":["Ada","Bob"]}"#;
        assert_eq!(next(&mut bob).data, joined);
        // The same name once more is nobody new, be it a tab or a connection that is not yet lost.
        let still = r#"{"still":"Ada","names":["Ada","Bob"]}"#;
        assert_eq!(next(&mut bob).data, still);
        drop((ada, again));
        // That they are gone is noticed by what is sent to them.
        let mut gone = Vec::new();
        while gone.len() < 2 {
            chat.say("lobby", "Bob", "hello?");
            let event = next(&mut bob);
            gone.extend(event.name.map(|_| event.data));
        }
        assert_eq!(gone[0], still);
        assert_eq!(gone[1], r#"{"left":"Ada","names":["Bob"]}"#);
    });
}

#[test]
fn whatever_is_said_arrives_as_text() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        let mut stream = chat.enter("lobby", "Eve");
        let form = "name=%3Ci%3E&text=%3Cscript%3Ealert(%22%5C%22)%3C/script%3E+%26amp;%0d%0adata:+x%0a%0a%F0%9F%8E%89+1%2B1";
        assert_eq!(chat.post("lobby", form), 204);
        let text = r#"<script>alert(\"\\\")</script> &amp;\u000adata: x\u000a\u000a🎉 1+1"#;
        assert_eq!(said(&mut stream), message("<i>", text));
    });
}

#[test]
fn the_name_of_a_room_is_decoded() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        let mut stream = chat.enter("caf%C3%A9%2f%31", "Ada");
        chat.say("caf%c3%a9%2F1", "Bob", "here");
        assert_eq!(said(&mut stream), message("Bob", "here"));
    });
}

#[test]
fn what_the_chat_does_not_take_is_refused() {
    let long = |n| "x".repeat(n);
    let forms = [
        (format!("name=Ada&text={}", long(2000)), 204),
        (format!("name=Ada&text={}", long(2001)), 400),
        (format!("name={}&text=x", long(30)), 204),
        (format!("name={}&text=x", long(31)), 400),
        (format!("name=Ada&text=x&more={}", long(40_000)), 413),
        ("name=Ada".to_owned(), 400),
        ("text=x".to_owned(), 400),
        ("name=Ada&text=+%0A".to_owned(), 400),
        ("name=A%0Ada&text=x".to_owned(), 400),
        ("name=Ada&text=%00".to_owned(), 400),
        ("name=Ada&text=%1b".to_owned(), 400),
        ("name=Ada&text=%ff".to_owned(), 400),
        ("name=Ada&text=%+1".to_owned(), 400),
        ("name=Ada&text=%e".to_owned(), 400),
    ];
    let page = "/rooms/lobby";
    let events = "/rooms/lobby/events";
    let messages = "/rooms/lobby/messages";
    let too_long = format!("/rooms/{}", long(41));
    let requests = [
        ("GET", page, 200),
        ("HEAD", page, 200),
        ("HEAD", events, 200),
        ("GET", "/", 302),
        ("OPTIONS", events, 204),
        ("OPTIONS", messages, 204),
        ("DELETE", page, 405),
        ("DELETE", events, 405),
        ("GET", messages, 405),
        ("GET", "/rooms/lobby/leave", 405),
        ("GET", "/rooms/lobby/events?name=%0A", 400),
        ("GET", "/nothing", 404),
        ("GET", "/rooms/lobby/nothing", 404),
        ("GET", "/rooms/", 404),
        ("GET", "/rooms/%ff", 404),
        ("GET", "/rooms/%0a", 404),
        ("GET", &too_long, 404),
    ]
    .map(|(method, path, status)| (method, path.to_owned(), status));
    within(DEADLINE, move || {
        let chat = Running::chat(LIMITS);
        let _eve = chat.enter("lobby", "Eve");
        for (form, status) in forms {
            assert_eq!(chat.post("lobby", &form), status, "{form:.60}");
        }
        for (method, path, status) in requests {
            let response = chat.request(method, &path, &[], "");
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(
                response.headers().contains_key("Allow"),
                status == 405 || method == "OPTIONS",
                "{method} {path}"
            );
        }
        let html = [("Accept", "text/html")];
        let refused = chat.request("GET", "/rooms/lobby/events", &html, "");
        assert_eq!(refused.status(), 406);
        let json = [("Content-Type", "application/json")];
        let refused = chat.request("POST", "/rooms/lobby/messages", &json, "{}");
        assert_eq!(refused.status(), 415);
        // A length that is not announced is counted.
        let url = format!("http://{}/rooms/lobby/messages", chat.address);
        let long = std::io::repeat(b'x').take(40_000);
        let chunked = agent()
            .post(url)
            .content_type("application/x-www-form-urlencoded")
            .send(ureq::SendBody::from_owned_reader(long));
        assert_eq!(chunked.expect("a response").status(), 413);
    });
}

#[track_caller]
fn assert_busy(response: &Response) {
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["Retry-After"], "5");
}

#[test]
fn more_rooms_and_members_than_there_may_be_are_put_off() {
    within(DEADLINE, || {
        let chat = Running::chat(Limits {
            rooms: 2,
            members_of_a_room: 2,
            members: 4,
            idle: DEADLINE,
        });
        let enter = |room| chat.request("GET", &format!("/rooms/{room}/events"), &[], "");
        let _two = [chat.enter("one", "Ada"), chat.enter("one", "Bob")];
        assert_busy(&enter("one"));
        let _third = chat.enter("two", "Ada");
        assert_busy(&enter("three"));
        let _fourth = chat.enter("two", "Bob");
        assert_busy(&enter("two"));
    });
}

#[test]
fn a_room_is_opened_by_who_comes_in_and_not_by_a_message() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        assert_eq!(chat.post("lobby", "name=Ada&text=x"), 404);
        let _ada = chat.enter("lobby", "Ada");
        assert_eq!(chat.post("lobby", "name=Ada&text=x"), 204);
    });
}

#[test]
fn an_idle_room_makes_place_and_one_with_somebody_in_it_stays() {
    within(DEADLINE, || {
        let chat = Running::chat(Limits {
            rooms: 1,
            idle: Duration::ZERO,
            ..LIMITS
        });
        let one = chat.enter("one", "Ada");
        let two = "/rooms/two/events?name=Ada";
        assert_busy(&chat.request("GET", two, &[], ""));
        drop(one);
        // That she has gone is noticed by what is sent to her.
        let stream = loop {
            chat.post("one", "name=Ada&text=hello");
            let response = chat.request("GET", two, &[], "");
            if response.status() == 200 {
                break response;
            }
        };
        let mut stream = Reader::new(BufReader::new(stream.into_body().into_reader()));
        assert_eq!(chat.post("one", "name=Ada&text=x"), 404);
        chat.say("two", "Bob", "hello");
        assert_eq!(said(&mut stream), message("Bob", "hello"));
    });
}

/// The next word on who is here.
#[track_caller]
fn here(stream: &mut Stream) -> String {
    loop {
        let event = next(stream);
        if event.name.as_deref() == Some("here") {
            return event.data.into_owned();
        }
    }
}

#[test]
fn a_page_that_takes_another_name_is_the_same_person() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        let mut bob = chat.enter("lobby", "Bob");
        let page = |name| chat.events(&format!("/rooms/lobby/events?page=p1&name={name}"), "");
        let _before = page("Ada");
        assert_eq!(here(&mut bob), r#"{"joined":"Ada","names":["Ada","Bob"]}"#);
        let _after = page("Eve");
        let renamed = r#"{"was":"Ada","now":"Eve","names":["Bob","Eve"]}"#;
        assert_eq!(here(&mut bob), renamed);
        // The same page and name again, as after a connection that was lost.
        let _again = page("Eve");
        assert_eq!(here(&mut bob), r#"{"still":"Eve","names":["Bob","Eve"]}"#);
    });
}

#[test]
fn a_page_that_says_that_it_goes_is_gone_unless_it_comes_back() {
    within(DEADLINE, || {
        let chat = Running::chat(LIMITS);
        let mut bob = chat.enter("lobby", "Bob");
        let page = |page| chat.events(&format!("/rooms/lobby/events?page={page}&name=Ada"), "");
        let leave = |page| {
            let form = [("Content-Type", "application/x-www-form-urlencoded")];
            let left = chat.request("POST", "/rooms/lobby/leave", &form, &format!("page={page}"));
            assert_eq!(left.status(), 204);
        };
        let _before = page("p1");
        assert_eq!(here(&mut bob), r#"{"joined":"Ada","names":["Ada","Bob"]}"#);
        // A page that is loaded again goes, and is back at once as another one.
        leave("p1");
        let _after = page("p2");
        let still = r#"{"still":"Ada","names":["Ada","Bob"]}"#;
        assert_eq!(here(&mut bob), still);
        assert_eq!(here(&mut bob), still, "once more, without the page before");
        // Nobody has to miss it: its stream is open all the time.
        leave("nobody");
        leave("p2");
        assert_eq!(here(&mut bob), r#"{"left":"Ada","names":["Bob"]}"#);
    });
}

/// The topic and the value of the next sample.
#[track_caller]
fn sample(stream: &mut Stream) -> (String, String) {
    let event = next(stream);
    let (_, value) = event.data.split_once(r#""value":"#).expect("a value");
    let value = value.split(',').next().unwrap_or_default().to_owned();
    (event.name.expect("a topic").into_owned(), value)
}

fn pair(topic: &str, value: &str) -> (String, String) {
    (topic.to_owned(), value.to_owned())
}

#[test]
fn a_chart_has_the_topics_that_it_asks_for_from_the_past_on() {
    within(DEADLINE, || {
        let (running, dashboard) = Running::dashboard(100, 10);
        let publish = |topic, value| dashboard.publish(topic, Some(value), None).unwrap();
        publish("cpu", 1.0);
        publish("memory", 2.0);
        publish("switches", 3.0);
        let mut one = running.events("/events?topics=memory", "");
        let mut two = running.events("/events?topics=cpu%2Cmemory", "");
        let mut all = running.events("/events", "");
        publish("events", 4.0);
        publish("memory", 5.0);
        for value in ["2.0", "5.0"] {
            assert_eq!(sample(&mut one), pair("memory", value));
        }
        for (topic, value) in [("cpu", "1.0"), ("memory", "2.0"), ("memory", "5.0")] {
            assert_eq!(sample(&mut two), pair(topic, value));
        }
        for topic in ["cpu", "memory", "switches", "events"] {
            assert_eq!(sample(&mut all).0, topic);
        }
    });
}

#[test]
fn one_id_resumes_all_series_without_a_hole() {
    within(DEADLINE, || {
        let (running, dashboard) = Running::dashboard(100, 10);
        let publish = |topic, value| dashboard.publish(topic, Some(value), None).unwrap();
        publish("cpu", 1.0);
        let mut stream = running.events("/events?topics=cpu,memory", "");
        assert_eq!(sample(&mut stream), pair("cpu", "1.0"));
        let last = stream.last_event_id().to_owned();
        drop(stream);
        publish("memory", 2.0);
        publish("switches", 3.0);
        publish("cpu", 4.0);
        let mut stream = running.events("/events?topics=cpu,memory", &last);
        assert_eq!(sample(&mut stream), pair("memory", "2.0"));
        assert_eq!(sample(&mut stream), pair("cpu", "4.0"));
        dashboard.publish("cpu", None, Some(100.0)).unwrap();
        assert_eq!(sample(&mut stream), pair("cpu", "null"));
    });
}

#[test]
fn a_gap_is_told_with_what_is_known_of_it() {
    within(DEADLINE, || {
        let (running, dashboard) = Running::dashboard(2, 10);
        let publish = |value| dashboard.publish("cpu", Some(value), None).unwrap();
        publish(1.0);
        let mut stream = running.events("/events", "");
        assert_eq!(sample(&mut stream), pair("cpu", "1.0"));
        let last = stream.last_event_id().to_owned();
        drop(stream);
        for value in [2.0, 3.0, 4.0, 5.0] {
            publish(value);
        }
        for (id, missed) in [(&*last, "2"), ("made up", "null")] {
            let mut stream = running.events("/events", id);
            assert_eq!(next(&mut stream), Event::new(missed).with_name("gap"));
            assert_eq!(sample(&mut stream), pair("cpu", "4.0"));
            assert_eq!(sample(&mut stream), pair("cpu", "5.0"));
        }
    });
}

#[test]
fn what_the_dashboard_does_not_have_is_refused() {
    within(DEADLINE, || {
        let (running, _dashboard) = Running::dashboard(10, 1);
        for (method, path, status) in [
            ("GET", "/", 200),
            ("HEAD", "/events", 200),
            ("OPTIONS", "/events", 204),
            ("DELETE", "/events", 405),
            ("DELETE", "/", 405),
            ("GET", "/events?topics=cpu,secrets", 400),
            ("GET", "/events?topics=", 400),
            ("GET", "/events?topics=cpu,cpu,cpu,cpu,cpu", 400),
            ("GET", "/nothing", 404),
        ] {
            let response = running.request(method, path, &[], "");
            assert_eq!(response.status(), status, "{method} {path}");
        }
        let html = [("Accept", "text/html")];
        let refused = running.request("GET", "/events", &html, "");
        assert_eq!(refused.status(), 406);
        let _stream = running.events("/events", "");
        assert_busy(&running.request("GET", "/events", &[], ""));
    });
}

#[test]
fn the_machine_is_read_as_linux_writes_it_and_nothing_elsewhere() {
    let memory = "MemTotal:        1000 kB\nMemFree:  1 kB\nMemAvailable:     400 kB\n";
    let before = "cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1 1 1 1 1 1 1 1 1 1\nctxt 100\n";
    let after = "cpu  20 5 20 130 20 3 2 0 5 0\ncpu0 1 1 1 1 1 1 1 1 1 1\nctxt 900\n";
    let before = Counters::parse(before, memory, 1);
    let [cpu, taken, switches, _] = Counters::parse(after, memory, 1).since(&before);
    assert_eq!(cpu, ("cpu", Some(30.0), Some(100.0)));
    assert_eq!(taken, ("memory", Some(614_400.0), Some(1_024_000.0)));
    assert!(switches.1.is_some_and(|rate| rate > 0.0), "{switches:?}");
    for (stat, memory) in [("", ""), ("cpu  1 2 x\nctxt\n", "MemTotal: much\n")] {
        let elsewhere = Counters::parse(stat, memory, 7);
        let [cpu, taken, switches, sent] = elsewhere.since(&before);
        assert_eq!((cpu.1, taken.1, switches.1), (None, None, None));
        assert!(sent.1.is_some(), "{sent:?}");
    }
}

/// The pages ask nobody but their own server for anything.
#[test]
fn the_pages_need_nothing_from_the_network() {
    for page in [
        include_str!("../../examples/chat/page.html"),
        include_str!("../../examples/chat/page.css"),
        include_str!("../../examples/chat/page.js"),
        include_str!("../../examples/dashboard/page.html"),
        include_str!("../../examples/dashboard/page.css"),
        include_str!("../../examples/dashboard/page.js"),
    ] {
        for outside in ["http:", "https:", "//cdn", "@import", "innerHTML"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}

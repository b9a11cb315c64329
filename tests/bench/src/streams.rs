//! The streams that everything is measured on: generated, and the same in every run.

use crate::random::Random;
use crate::sink::{Digest, Sink, Tally};

/// An event as the generator sent it.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// The `event` field.
    pub name: Option<String>,
    /// The `id` field.
    pub id: Option<String>,
    /// The payload.
    pub data: String,
}

/// A stream, and what is in it.
#[derive(Debug)]
pub struct Stream {
    /// What `--stream` calls it.
    pub name: &'static str,
    /// What it stands for.
    pub about: &'static str,
    /// The bytes on the wire.
    pub bytes: Vec<u8>,
    /// The events, in order.
    pub sent: Vec<Sent>,
    /// Where each event's or comment's block ends.
    pub ends: Vec<usize>,
    /// What a reader has to come to.
    pub expected: Digest,
}

impl Stream {
    /// What a reader has to count.
    pub fn tally(&self) -> Tally {
        self.expected.tally()
    }
}

/// What makes a stream: its seed is its place in [`KINDS`].
struct Kind {
    name: &'static str,
    about: &'static str,
    line_end: &'static str,
    /// Adds the next block, the number of which is given.
    block: fn(&mut Builder, &mut Random, usize),
    /// Adds what comes at the end.
    last: fn(&mut Builder),
}

const KINDS: [Kind; 9] = [
    Kind {
        name: "openai",
        about: "chat completion chunks, 3 % of the tokens not ASCII",
        line_end: "\n",
        block: |builder, random, _| openai(builder, random, token),
        last: done,
    },
    Kind {
        name: "openai-crlf",
        about: "the same with CRLF",
        line_end: "\r\n",
        block: |builder, random, _| openai(builder, random, token),
        last: done,
    },
    Kind {
        name: "openai-cjk",
        about: "the same with Chinese, Japanese and Korean tokens",
        line_end: "\n",
        block: |builder, random, _| openai(builder, random, cjk_token),
        last: done,
    },
    Kind {
        name: "anthropic",
        about: "event: content_block_delta and data:, now and then a ping",
        line_end: "\n",
        block: anthropic,
        last: |_| {},
    },
    Kind {
        name: "tiny",
        about: "data: x",
        line_end: "\n",
        block: |builder, _, _| builder.event(None, None, "x".into()),
        last: |_| {},
    },
    Kind {
        name: "id-event",
        about: "id:, event: and short data",
        line_end: "\n",
        block: |builder, random, number| {
            let text = token(random);
            let data = format!(r#"{{"seq":{number},"text":"{text}"}}"#);
            builder.event(Some("update"), Some((1_000_000 + number).to_string()), data);
        },
        last: |_| {},
    },
    Kind {
        name: "heartbeats",
        about: "19 comments for each event",
        line_end: "\n",
        block: heartbeats,
        last: |_| {},
    },
    Kind {
        name: "long-lines",
        about: "64 KiB events, each of 64 lines of 1 KiB",
        line_end: "\n",
        block: |builder, random, _| builder.event(None, None, lines(random)),
        last: |_| {},
    },
    Kind {
        name: "1mib-line",
        about: "1 MiB of base64 in one line",
        line_end: "\n",
        block: |builder, random, _| builder.event(None, None, base64(random)),
        last: |_| {},
    },
];

/// The names of all streams.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// All streams, each of this size or up to one event longer.
pub fn all(size: usize) -> Vec<Stream> {
    names().filter_map(|name| named(name, size)).collect()
}

/// One stream; `None` when there is none of that name.
pub fn named(name: &str, size: usize) -> Option<Stream> {
    let seed = KINDS.iter().position(|kind| kind.name == name)?;
    let kind = &KINDS[seed];
    let mut random = Random::new(seed as u64);
    let mut builder = Builder::new(kind.line_end);
    let mut number = 0;
    while builder.bytes.len() < size {
        (kind.block)(&mut builder, &mut random, number);
        number += 1;
    }
    (kind.last)(&mut builder);
    let mut expected = Digest::default();
    for sent in &builder.sent {
        let (name, id) = (sent.name.as_deref(), sent.id.as_deref());
        expected.take(
            name.unwrap_or_default(),
            id.unwrap_or_default(),
            sent.data.as_bytes(),
        );
    }
    Some(Stream {
        name: kind.name,
        about: kind.about,
        bytes: builder.bytes,
        sent: builder.sent,
        ends: builder.ends,
        expected,
    })
}

struct Builder {
    bytes: Vec<u8>,
    sent: Vec<Sent>,
    ends: Vec<usize>,
    line_end: &'static str,
}

impl Builder {
    fn new(line_end: &'static str) -> Self {
        Builder {
            bytes: Vec::new(),
            sent: Vec::new(),
            ends: Vec::new(),
            line_end,
        }
    }

    fn line(&mut self, start: &str, value: &str) {
        for part in [start, value, self.line_end] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }

    fn end_block(&mut self) {
        self.line("", "");
        self.ends.push(self.bytes.len());
    }

    fn comment(&mut self, text: &str) {
        self.line(": ", text);
        self.end_block();
    }

    fn event(&mut self, name: Option<&str>, id: Option<String>, data: String) {
        if let Some(id) = &id {
            self.line("id: ", id);
        }
        if let Some(name) = name {
            self.line("event: ", name);
        }
        for line in data.split('\n') {
            self.line("data: ", line);
        }
        self.end_block();
        self.sent.push(Sent {
            name: name.map(str::to_owned),
            id,
            data,
        });
    }
}

const TOKENS: [&str; 30] = [
    " the",
    " of",
    " and",
    " a",
    " to",
    " is",
    " that",
    " because",
    " however",
    " server",
    "-sent",
    " event",
    " stream",
    "ing",
    "ization",
    " parser",
    " latency",
    " token",
    " model",
    "s",
    ",",
    ".",
    r"\n\n",
    r#" \"so-called\""#,
    " function",
    "()",
    " return",
    " x",
    " =",
    " 42",
];
const NOT_ASCII: [&str; 8] = [
    " é",
    " naïve",
    " —",
    " “quoted”",
    " 😀",
    " 你好",
    " café",
    " …",
];
const CJK: [&str; 16] = [
    "流",
    "式",
    "解析",
    "服务器",
    "发送",
    "事件",
    "的",
    "。",
    "，",
    "性能",
    "测试",
    "数据",
    "ストリーム",
    "テスト",
    "한국어",
    "모델",
];

fn token(random: &mut Random) -> String {
    let tokens = if random.below(100) < 3 {
        &NOT_ASCII[..]
    } else {
        &TOKENS[..]
    };
    random.one_of(tokens).to_owned()
}

fn cjk_token(random: &mut Random) -> String {
    let count = 1 + random.below(4);
    (0..count).map(|_| random.one_of(&CJK)).collect()
}

/// What the API sends: one event in four has the longer tail of newer versions.
fn openai(builder: &mut Builder, random: &mut Random, token: fn(&mut Random) -> String) {
    let token = token(random);
    let (fingerprint, tail) = if random.below(4) == 0 {
        let noise = &"aBcDeFgHiJkLmN"[..random.below(14)];
        (
            r#","service_tier":"default","system_fingerprint":"fp_1bb46167f9""#,
            format!(r#","usage":null,"obfuscation":"{noise}""#),
        )
    } else {
        ("", String::new())
    };
    let data = format!(
        "{{\"id\":\"chatcmpl-BvT5nQx0aZ3kLw8RyUe2PdMf\",\"object\":\"chat.completion.chunk\",\
         \"created\":1723456789,\"model\":\"gpt-4o-2024-08-06\"{fingerprint},\"choices\":[{{\"index\":0,\
         \"delta\":{{\"content\":\"{token}\"}},\"logprobs\":null,\"finish_reason\":null}}]{tail}}}"
    );
    builder.event(None, None, data);
}

fn done(builder: &mut Builder) {
    builder.event(None, None, "[DONE]".into());
}

fn anthropic(builder: &mut Builder, random: &mut Random, number: usize) {
    if number % 200 == 199 {
        builder.event(Some("ping"), None, r#"{"type": "ping"}"#.into());
        return;
    }
    let text = token(random);
    let data = format!(
        r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
    );
    builder.event(Some("content_block_delta"), None, data);
}

fn heartbeats(builder: &mut Builder, random: &mut Random, number: usize) {
    if number % 20 == 19 {
        let text = token(random);
        builder.event(None, None, format!(r#"{{"text":"{text}"}}"#));
    } else if number % 3 == 0 {
        builder.comment("ping - 2026-07-26 19:11:49.346444+00:00");
    } else {
        builder.comment("keepalive");
    }
}

/// 64 lines that take up 1 KiB each on the wire.
fn lines(random: &mut Random) -> String {
    let mut data = String::with_capacity(64 << 10);
    for number in 0..64 {
        if number > 0 {
            data.push('\n');
        }
        let printable = |_| char::from(b' ' + random.below(95) as u8);
        data.extend((0..1024 - "data: \n".len()).map(printable));
    }
    data
}

fn base64(random: &mut Random) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |_| char::from(DIGITS[random.below(64)]);
    (0..1 << 20).map(digit).collect()
}

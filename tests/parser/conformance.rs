//! The rules of the standard, one row each: bytes in, events and comments out, however they come.

use crate::util;

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::time::Duration;

use sse_io::{Event, EventTooLarge, Item, Parser, Reader};
use util::readers::{
    Act, Scripted, Transcript, What, chunks, feedings, parse_all, read_all, show, without_errors,
};

fn event(data: &'static str) -> Event<'static> {
    Event::new(data)
}

fn comment(text: &str) -> What {
    What::Comment(text.to_owned())
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A stream and all that must be seen of it.
struct Row {
    input: &'static [u8],
    what: Vec<What>,
    last_event_id: &'static str,
    retry: Option<Duration>,
    seed: &'static str,
}

impl Row {
    fn new(input: &'static [u8], what: Vec<What>) -> Self {
        Row {
            input,
            what,
            last_event_id: "",
            retry: None,
            seed: "",
        }
    }

    fn id(mut self, id: &'static str) -> Self {
        self.last_event_id = id;
        self
    }

    fn retry(mut self, count: u64) -> Self {
        self.retry = Some(millis(count));
        self
    }

    fn seed(mut self, id: &'static str) -> Self {
        self.seed = id;
        self
    }

    #[track_caller]
    fn check(&self, seen: &Transcript, comments: bool, way: &str) {
        let row = show(self.input);
        let mut expected = self.what.clone();
        expected.retain(|what| comments || !matches!(what, What::Comment(_)));
        assert_eq!(seen.what(), expected, "{row} {way}");
        assert_eq!(seen.last_event_id, self.last_event_id, "id: {row} {way}");
        assert_eq!(seen.retry, self.retry, "retry: {row} {way}");
        for seen in &seen.seen {
            if let What::Event(Event { id: Some(id), .. }) = &seen.what {
                assert_eq!(*id, *seen.last_event_id, "id at its event: {row} {way}");
            }
        }
    }

    /// Feeds the row in every way, through everything that reads.
    #[track_caller]
    fn run(&self) {
        for (way, acts) in feedings(self.input) {
            for comments in [false, true] {
                let mut reader =
                    Reader::new(Scripted::new(acts.clone())).with_last_event_id(self.seed);
                let seen = read_all(&mut reader, comments);
                self.check(
                    &seen,
                    comments,
                    &format!("{way}, reader, comments {comments}"),
                );
                assert!(matches!(reader.read_event(), Ok(None)), "the end stays");

                if let Some(pieces) = without_errors(&acts) {
                    let mut parser = Parser::new().with_last_event_id(self.seed);
                    let seen = parse_all(&mut parser, &pieces, comments);
                    self.check(
                        &seen,
                        comments,
                        &format!("{way}, parser, comments {comments}"),
                    );
                }
            }
        }
        for capacity in [1, 2, 5] {
            let inner = BufReader::with_capacity(capacity, self.input);
            let mut reader = Reader::new(inner).with_last_event_id(self.seed);
            let seen = read_all(&mut reader, true);
            self.check(&seen, true, &format!("buffered by {capacity}"));
        }
    }
}

/// Each row is a test: input => what is seen of it, the last event ID and the reconnection time at
/// the end (empty and none unless said otherwise), and the seed of the last event ID.
macro_rules! rows {
    ($($name:ident: $input:expr => [$($what:expr),* $(,)?]
        $(, id $id:expr)? $(, retry $retry:expr)? $(, seed $seed:expr)?;)*) => {
        $(#[test]
        fn $name() {
            Row::new($input, vec![$($what.into()),*])
                $(.id($id))? $(.retry($retry))? $(.seed($seed))?
                .run();
        })*
    };
}

rows! {
    // F1: always UTF-8
    text_is_utf_8: "data: æøå €\u{1f600}\nevent: ñ\nid: ✓\n\n".as_bytes()
        => [event("æøå €\u{1f600}").with_name("ñ").with_id("✓")], id "✓";
    latin_1_is_not_guessed: b"data: \xe6\xf8\n\n" => [event("\u{fffd}\u{fffd}")];

    // F2: everything but CR and LF is content
    nul_in_data_is_content: b"data: a\0b\n\n" => [event("a\0b")];
    nul_in_a_name_is_content: b"event: a\0b\ndata: x\n\n" => [event("x").with_name("a\0b")];
    controls_are_content: b"data: \x01\x07\x08\x0b\x0c\x1b\x1f\x7f\n\n"
        => [event("\x01\x07\x08\x0b\x0c\x1b\x1f\x7f")];
    vertical_tab_and_form_feed_end_no_line: b"data: a\x0bdata: b\x0cdata: c\n\n"
        => [event("a\x0bdata: b\x0cdata: c")];
    unicode_line_breaks_end_no_line: "data: a\u{85}b\u{2028}c\u{2029}d\n\n".as_bytes()
        => [event("a\u{85}b\u{2028}c\u{2029}d")];
    bom_in_a_value_is_content: "data: \u{feff}a\u{feff}\nevent: \u{feff}n\n\n".as_bytes()
        => [event("\u{feff}a\u{feff}").with_name("\u{feff}n")];
    there_is_no_escape: b"data: a\\nb\\r%0A&#10;\n\n" => [event("a\\nb\\r%0A&#10;")];

    // F3: a block ends with a blank line; data lines are joined by LF
    data_lines_are_joined_by_lf: b"data: a\ndata: b\ndata: c\n\n" => [event("a\nb\nc")];
    data_lines_are_joined_over_other_fields: b"data: a\nevent: n\n: c\ndata: b\nx: y\ndata: c\n\n"
        => [comment("c"), event("a\nb\nc").with_name("n").with_extension("x", "y")];
    data_lines_that_end_in_cr_are_joined_by_lf: b"data: a\rdata: b\r\ndata: c\n\n"
        => [event("a\nb\nc")];
    blank_line_parts_events: b"data: a\n\ndata: b\n\n" => [event("a"), event("b")];
    several_blank_lines_part_as_one: b"\n\ndata: a\n\n\n\r\r\n\r\ndata: b\n\n\n"
        => [event("a"), event("b")];
    line_of_spaces_is_not_blank: b"data: a\n \ndata: b\n\n"
        => [event("a\nb").with_extension(" ", "")];
    empty_stream_has_no_events: b"" => [];
    blank_stream_has_no_events: b"\n\r\n\r\r\n\n" => [];

    // D1: one byte order mark, at the start of the stream, is dropped
    bom_before_data_is_dropped: b"\xef\xbb\xbfdata: x\n\n" => [event("x")];
    bom_before_a_bare_field_is_dropped: b"\xef\xbb\xbfdata\n\n" => [event("")];
    bom_before_an_id_is_dropped: b"\xef\xbb\xbfid: 1\n\ndata: x\n\n" => [event("x")], id "1";
    bom_before_a_retry_is_dropped: b"\xef\xbb\xbfretry: 5\n" => [], retry 5;
    bom_before_a_comment_is_dropped: b"\xef\xbb\xbf: hi\ndata: x\n\n" => [comment("hi"), event("x")];
    bom_before_an_empty_comment_is_dropped: b"\xef\xbb\xbf:\ndata: x\n\n"
        => [comment(""), event("x")];
    bom_before_a_blank_line_is_dropped: b"\xef\xbb\xbf\ndata: x\n\n" => [event("x")];
    bom_before_a_cr_is_dropped: b"\xef\xbb\xbf\rdata: x\n\n" => [event("x")];
    bom_before_a_crlf_is_dropped: b"\xef\xbb\xbf\r\ndata: x\n\n" => [event("x")];
    bom_before_an_unknown_field_is_dropped: b"\xef\xbb\xbfabc: d\ndata: x\n\n"
        => [event("x").with_extension("abc", "d")];
    bom_alone_has_no_events: b"\xef\xbb\xbf" => [];
    second_bom_is_text: b"\xef\xbb\xbf\xef\xbb\xbfdata: x\ndata: y\n\n"
        => [event("y").with_extension("\u{feff}data", "x")];
    second_bom_before_a_colon_makes_no_comment: b"\xef\xbb\xbf\xef\xbb\xbf: x\ndata: y\n\n"
        => [event("y").with_extension("\u{feff}", "x")];
    bom_at_the_second_line_is_text: b"data: a\n\xef\xbb\xbfdata: b\n\n"
        => [event("a").with_extension("\u{feff}data", "b")];
    bom_after_a_blank_line_is_text: b"\n\xef\xbb\xbfdata: a\ndata: b\n\n"
        => [event("b").with_extension("\u{feff}data", "a")];
    bom_at_the_second_event_is_text: b"data: a\n\n\xef\xbb\xbfdata: b\ndata: c\n\n"
        => [event("a"), event("c").with_extension("\u{feff}data", "b")];
    bom_after_a_bom_and_a_blank_line_is_text: b"\xef\xbb\xbf\n\xef\xbb\xbfdata: a\ndata: b\n\n"
        => [event("b").with_extension("\u{feff}data", "a")];
    bom_after_a_space_is_text: b" \xef\xbb\xbfdata: a\ndata: b\n\n"
        => [event("b").with_extension(" \u{feff}data", "a")];
    first_byte_of_a_bom_is_malformed: b"\xefdata: a\ndata: b\n\n"
        => [event("b").with_extension("\u{fffd}data", "a")];
    two_bytes_of_a_bom_are_malformed: b"\xef\xbbdata: a\ndata: b\n\n"
        => [event("b").with_extension("\u{fffd}data", "a")];
    two_bytes_of_a_bom_and_a_break_are_malformed: b"\xef\xbb\ndata: b\n\n"
        => [event("b").with_extension("\u{fffd}", "")];
    one_byte_of_a_bom_and_a_crlf_are_malformed: b"\xef\r\ndata: b\n\n"
        => [event("b").with_extension("\u{fffd}", "")];
    two_bytes_of_a_bom_and_a_colon_are_malformed: b"\xef\xbb: v\ndata: b\n\n"
        => [event("b").with_extension("\u{fffd}", "v")];
    almost_a_bom_is_text: b"\xef\xbb\xbedata: a\ndata: b\n\n"
        => [event("b").with_extension("\u{fefe}data", "a")];
    torn_bom_then_a_whole_one_is_text: b"\xef\xbb\xef\xbb\xbfdata: a\ndata: b\n\n"
        => [event("b").with_extension("\u{fffd}\u{feff}data", "a")];
    utf_16_bom_is_malformed: b"\xff\xfedata: a\ndata: b\n\n"
        => [event("b").with_extension("\u{fffd}\u{fffd}data", "a")];

    // D2: malformed bytes become U+FFFD, one for each maximal subpart
    cut_character_is_one_replacement: b"data: \xe2\x82A\n\n" => [event("\u{fffd}A")];
    cut_character_of_four_is_one_replacement: b"data: \xf0\x9f\x98A\n\n" => [event("\u{fffd}A")];
    surrogate_is_three_replacements: b"data: \xed\xa0\x80\n\n"
        => [event("\u{fffd}\u{fffd}\u{fffd}")];
    overlong_nul_is_two_replacements: b"data: \xc0\x80\n\n" => [event("\u{fffd}\u{fffd}")];
    overlong_slash_is_three_replacements: b"data: \xe0\x80\xaf\n\n"
        => [event("\u{fffd}\u{fffd}\u{fffd}")];
    too_large_character_is_four_replacements: b"data: \xf4\x90\x80\x80\n\n"
        => [event("\u{fffd}\u{fffd}\u{fffd}\u{fffd}")];
    bytes_that_never_occur_are_replaced: b"data: \xff\xfe\xf5\xc1\n\n"
        => [event("\u{fffd}\u{fffd}\u{fffd}\u{fffd}")];
    lone_continuation_is_replaced: b"data: \x80a\xbf\n\n" => [event("\u{fffd}a\u{fffd}")];
    malformed_byte_swallows_no_lf: b"data: \xe2\x82\n\n" => [event("\u{fffd}")];
    malformed_byte_swallows_no_cr: b"data: \xf0\x9f\r\r" => [event("\u{fffd}")];
    malformed_byte_swallows_no_crlf: b"data: \xf0\r\ndata: \xe2\r\n\r\n"
        => [event("\u{fffd}\n\u{fffd}")];
    malformed_byte_swallows_no_colon: b"data\xe2: a\ndata: b\n\n"
        => [event("b").with_extension("data\u{fffd}", "a")];
    malformed_byte_swallows_no_space: b"data:\xe2 a\n\n" => [event("\u{fffd} a")];
    character_cut_by_a_line_break_stays_cut: b"data: \xe2\x82\ndata: \xac\n\n"
        => [event("\u{fffd}\n\u{fffd}")];
    malformed_name_is_decoded: b"event: a\xe2\x82\ndata: x\n\n" => [event("x").with_name("a\u{fffd}")];
    malformed_id_is_decoded: b"id: \xed\xa0\x80\ndata: x\n\n"
        => [event("x").with_id("\u{fffd}\u{fffd}\u{fffd}")], id "\u{fffd}\u{fffd}\u{fffd}";
    overlong_nul_in_an_id_is_no_nul: b"id: a\xc0\x80\ndata: x\n\n"
        => [event("x").with_id("a\u{fffd}\u{fffd}")], id "a\u{fffd}\u{fffd}";
    malformed_comment_is_decoded: b": \xf0\x9f\x98\n" => [comment("\u{fffd}")];
    malformed_extension_is_decoded: b"a\xff: \xe2\x82b\ndata: x\n\n"
        => [event("x").with_extension("a\u{fffd}", "\u{fffd}b")];
    malformed_retry_is_ignored: b"retry: 1\xff\ndata: x\n\n" => [event("x")];
    malformed_name_is_told_from_its_replacement:
        b"event: \xff\ndata: x\n\nevent: \xef\xbf\xbd\ndata: y\n\nevent: \xfe\xfe\ndata: z\n\n"
        => [event("x").with_name("\u{fffd}"), event("y").with_name("\u{fffd}"),
            event("z").with_name("\u{fffd}\u{fffd}")];
    replacement_character_itself_is_text: "data: \u{fffd}\n\n".as_bytes() => [event("\u{fffd}")];
    non_characters_are_text: "data: \u{fffe}\u{ffff}\u{10ffff}\n\n".as_bytes()
        => [event("\u{fffe}\u{ffff}\u{10ffff}")];

    // D3: characters are torn anywhere (every row is split at every point)
    characters_of_every_length_may_be_torn: "é€😀: é€😀\ndata: é€😀\nid: é€😀\n: é€😀\n\n".as_bytes()
        => [comment("é€😀"), event("é€😀").with_id("é€😀").with_extension("é€😀", "é€😀")],
        id "é€😀";
    malformed_bytes_may_be_torn: b"data: \xf0\x9f\x98\xe2\x82\xed\xa0\x80\xc0\x80\n\n"
        => [event("\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}")];

    // L1: CRLF, LF and CR each end a line
    lf_ends_a_line: b"event: n\ndata: x\n\n" => [event("x").with_name("n")];
    cr_ends_a_line: b"event: n\rdata: x\r\r" => [event("x").with_name("n")];
    crlf_ends_a_line: b"event: n\r\ndata: x\r\n\r\n" => [event("x").with_name("n")];
    crlf_is_one_end: b"data: a\r\ndata: b\r\n\r\n" => [event("a\nb")];
    cr_then_lf_is_one_end_after_every_field: b"id: 1\r\nevent: n\r\nretry: 5\r\nx: y\r\n: c\r\ndata\r\n\r\n"
        => [comment("c"), event("").with_id("1").with_name("n").with_retry(millis(5))
            .with_extension("x", "y")], id "1", retry 5;
    lf_cr_is_two_ends: b"data: a\n\rdata: b\n\r" => [event("a"), event("b")];
    lf_then_crlf_is_a_blank_line: b"data: a\n\r\ndata: b\n\r\n" => [event("a"), event("b")];
    crlf_then_lf_is_a_blank_line: b"data: a\r\n\ndata: b\r\n\n" => [event("a"), event("b")];
    crlf_then_cr_is_a_blank_line: b"data: a\r\n\rdata: b\r\n\r" => [event("a"), event("b")];
    cr_then_crlf_is_a_blank_line: b"data: a\r\r\ndata: b\r\r\n" => [event("a"), event("b")];
    cr_lf_after_a_blank_cr_is_its_own: b"data: a\r\r\n\ndata: b\r\r" => [event("a"), event("b")];
    line_endings_mix: b"data: a\rdata: b\ndata: c\r\ndata: d\n\n" => [event("a\nb\nc\nd")];
    lf_after_the_cr_of_a_blank_line_is_swallowed_once: b"data: a\r\n\r\n\ndata: b\r\n\r\n"
        => [event("a"), event("b")];
    cr_at_the_start_is_a_blank_line: b"\rdata: a\r\r" => [event("a")];
    lf_after_a_comment_that_ends_in_cr_is_swallowed: b"data: a\r\n:\r\ndata: b\r\n\r\n"
        => [comment(""), event("a\nb")];

    // L2: dispatch at the CR (see tests/reader/promptness.rs for the byte)
    cr_cr_then_silence_is_an_event: b"data: a\r\r" => [event("a")];
    crlf_cr_then_silence_is_an_event: b"data: a\r\n\r" => [event("a")];

    // L3: what the end of the stream cuts short is discarded
    block_without_a_blank_line_is_discarded: b"data: a\n\ndata: b\n" => [event("a")];
    line_without_an_end_is_no_line: b"data: a\n\ndata: b" => [event("a")];
    blank_line_that_never_comes_commits_no_id: b"id: 1\ndata: a\n\nid: 2\ndata: b\n"
        => [event("a").with_id("1")], id "1";
    id_without_a_line_end_is_not_committed: b"id: 1\n\nid: 2" => [], id "1";
    id_in_a_discarded_block_is_not_committed: b"id: 1\n" => [];
    retry_in_a_discarded_block_takes_effect: b"retry: 7\ndata: a" => [], retry 7;
    retry_without_a_line_end_is_no_retry: b"retry: 7" => [];
    retry_without_a_line_end_keeps_the_earlier_one: b"retry: 7\nretry: 8" => [], retry 7;
    retry_that_ends_in_cr_takes_effect: b"retry: 7\r" => [], retry 7;
    comment_without_a_line_end_is_no_comment: b": a\n: b" => [comment("a")];
    event_without_data_at_the_end_is_discarded: b"event: n\n" => [];

    // P1: an empty line dispatches
    empty_line_dispatches: b"data: a\n\n" => [event("a")];
    empty_line_without_a_block_does_nothing: b"\n\n\ndata: a\n\n\n\n" => [event("a")];

    // P2: comments
    comment_is_no_event: b": hi\n\n" => [comment("hi")];
    comment_loses_one_space: b":  hi \n:hi\n:\n: \n:\thi\n"
        => [comment(" hi "), comment("hi"), comment(""), comment(""), comment("\thi")];
    comment_that_looks_like_a_field_is_a_comment: b":data: a\n::data: b\n: id: 1\n\n"
        => [comment("data: a"), comment(":data: b"), comment("id: 1")];
    comment_inside_a_block_does_not_end_it: b"data: a\n: hi\ndata: b\n\n"
        => [comment("hi"), event("a\nb")];
    comments_and_events_keep_their_order: b": 1\ndata: a\n: 2\n\n: 3\n\ndata: b\n\n: 4\n"
        => [comment("1"), comment("2"), event("a"), comment("3"), event("b"), comment("4")];
    comment_may_hold_anything: b": \0\x1b\xc3\xa9:x\n" => [comment("\0\x1bé:x")];
    comments_pass_with_the_blank_lines_behind_them:
        b": a\r\n\r\n: b\n\n\n: c\r\r: d\n\r\ndata: x\r\n\r\n\r\n: e\n\r\n: f\n\ndata: y\r\r"
        => [comment("a"), comment("b"), comment("c"), comment("d"), event("x"),
            comment("e"), comment("f"), event("y")];
    comment_in_a_stream_of_cr: b": a\r: b\r\r: c\r" => [comment("a"), comment("b"), comment("c")];
    long_comment_keeps_its_text:
        b": 0123456789012345678901234567890123456789012345678901234567890123456789\ndata: x\n\n"
        => [comment("0123456789012345678901234567890123456789012345678901234567890123456789"),
            event("x")];

    // P3: the first colon splits; one space goes
    value_starts_after_the_first_colon: b"data: a: b:c\n\n" => [event("a: b:c")];
    value_may_be_a_colon: b"data::\ndata: :\ndata:::\n\n" => [event(":\n:\n::")];
    value_without_a_space_is_whole: b"data:a\nevent:n\nid:1\nretry:5\nx:y\n\n"
        => [event("a").with_name("n").with_id("1").with_retry(millis(5)).with_extension("x", "y")],
        id "1", retry 5;
    value_loses_one_space_only: b"data:  a\nevent:  n\nid:  1\nx:  y\n\n"
        => [event(" a").with_name(" n").with_id(" 1").with_extension("x", " y")], id " 1";
    value_of_one_space_is_empty: b"data: \n\n" => [event("")];
    value_of_two_spaces_is_one: b"data:  \n\n" => [event(" ")];
    tab_is_not_dropped: b"data:\ta\ndata: \tb\n\n" => [event("\ta\n\tb")];
    other_spaces_are_not_dropped: "data:\u{a0}a\ndata:\u{3000}b\n\n".as_bytes()
        => [event("\u{a0}a\n\u{3000}b")];
    nothing_is_dropped_at_the_end: b"data: a \ndata: b\t\nevent: n \n\n"
        => [event("a \nb\t").with_name("n ")];
    id_with_a_colon_is_whole: b"id: a:b: c\ndata: x\n\n"
        => [event("x").with_id("a:b: c")], id "a:b: c";

    // P4: no colon: the line is the name
    line_without_a_colon_is_a_name: b"data\n\n" => [event("")];
    bare_event_resets_the_name: b"event: n\nevent\ndata: x\n\n" => [event("x")];
    bare_id_clears_the_id: b"id: 1\n\nid\ndata: x\n\n" => [event("x").with_id("")];
    bare_retry_is_ignored: b"retry\ndata: x\n\n" => [event("x")];
    bare_unknown_line_is_an_extension: b"abc\ndata: x\n\n" => [event("x").with_extension("abc", "")];

    // P5: names compare literally; here what is unknown is an extension
    capitals_are_another_field: b"Data: a\nEVENT: b\nId: 1\nRetry: 5\ndata: x\n\n"
        => [event("x").with_extension("Data", "a").with_extension("EVENT", "b")
            .with_extension("Id", "1").with_extension("Retry", "5")];
    space_before_the_colon_is_another_field: b"data : a\nid : 1\ndata: x\n\n"
        => [event("x").with_extension("data ", "a").with_extension("id ", "1")];
    space_before_the_name_is_another_field: b" data: a\n id: 1\n : c\ndata: x\n\n"
        => [event("x").with_extension(" data", "a").with_extension(" id", "1")
            .with_extension(" ", "c")];
    prefix_of_a_name_is_another_field: b"dat: a\ni: 1\nretr: 5\neven: n\ndata: x\n\n"
        => [event("x").with_extension("dat", "a").with_extension("i", "1")
            .with_extension("retr", "5").with_extension("even", "n")];
    longer_name_is_another_field: b"datas: a\nids: 1\nretrys: 5\nevents: n\ndataset\ndata: x\n\n"
        => [event("x").with_extension("datas", "a").with_extension("ids", "1")
            .with_extension("retrys", "5").with_extension("events", "n")
            .with_extension("dataset", "")];
    name_with_nul_is_another_field: b"data\0: a\ndata: x\n\n"
        => [event("x").with_extension("data\0", "a")];
    extensions_keep_order_and_repeats: b"b: 1\na: 2\nb: 3\nb: 3\na\ndata: x\n\n"
        => [event("x").with_extension("b", "1").with_extension("a", "2").with_extension("b", "3")
            .with_extension("b", "3").with_extension("a", "")];
    extensions_belong_to_their_event: b"a: 1\ndata: x\n\ndata: y\n\na: 2\ndata: z\n\n"
        => [event("x").with_extension("a", "1"), event("y"), event("z").with_extension("a", "2")];
    extensions_of_a_block_without_data_are_dropped: b"a: 1\n\ndata: x\n\n" => [event("x")];
    extensions_stand_around_the_data: b"a: 1\ndata: x\nb: 2\ndata: y\nc: 3\n\n"
        => [event("x\ny").with_extension("a", "1").with_extension("b", "2")
            .with_extension("c", "3")];
    last_block_of_the_stream_is_no_json: b"{\"a\": 1}\ndata: x\n\n"
        => [event("x").with_extension("{\"a\"", "1}")];

    // P6: the event field
    last_name_wins: b"event: a\nevent: b\ndata: x\n\n" => [event("x").with_name("b")];
    empty_name_is_the_default: b"event: \ndata: x\n\nevent:\ndata: y\n\n" => [event("x"), event("y")];
    empty_name_resets_an_earlier_one: b"event: a\nevent:\ndata: x\n\n" => [event("x")];
    name_after_a_reset_counts: b"event: a\nevent:\nevent: b\ndata: x\n\n"
        => [event("x").with_name("b")];
    name_may_come_after_the_data: b"data: x\nevent: n\n\n" => [event("x").with_name("n")];
    name_is_of_one_event_only: b"event: n\ndata: x\n\ndata: y\n\nevent: n\ndata: z\n\n"
        => [event("x").with_name("n"), event("y"), event("z").with_name("n")];
    name_of_a_block_without_data_is_dropped: b"event: n\n\ndata: x\n\n" => [event("x")];
    name_message_is_kept: b"event: message\ndata: x\n\n" => [event("x").with_name("message")];
    names_alternate: b"event: a\ndata: 1\n\nevent: bb\ndata: 2\n\nevent: a\ndata: 3\n\n"
        => [event("1").with_name("a"), event("2").with_name("bb"), event("3").with_name("a")];

    // P7: the data field
    bare_data_counts: b"data\ndata\n\n" => [event("\n")];
    bare_data_between_lines_is_an_empty_line: b"data: a\ndata\ndata: b\n\n" => [event("a\n\nb")];
    empty_data_lines_are_kept: b"data:\ndata: a\ndata:\ndata:\n\n" => [event("\na\n\n")];
    data_is_not_interpreted: b"data: 12345678901234567890\ndata: {\"a\": [1, 2]}\n\n"
        => [event("12345678901234567890\n{\"a\": [1, 2]}")];
    long_data_is_whole:
        b"data: 0123456789012345678901234567890123456789012345678901234567890123456789\ndata: x\n\n"
        => [event("0123456789012345678901234567890123456789012345678901234567890123456789\nx")];

    // P8: the id field
    id_is_of_its_event: b"id: 1\ndata: x\n\n" => [event("x").with_id("1")], id "1";
    last_id_wins: b"id: 1\nid: 2\ndata: x\n\n" => [event("x").with_id("2")], id "2";
    id_may_come_after_the_data: b"data: x\nid: 1\n\n" => [event("x").with_id("1")], id "1";
    id_with_nul_is_ignored: b"id: a\0b\ndata: x\n\n" => [event("x")];
    id_of_nul_is_ignored: b"id: \0\ndata: x\n\n" => [event("x")];
    id_with_nul_at_the_end_is_ignored: b"id: ab\0\ndata: x\n\n" => [event("x")];
    id_with_nul_leaves_the_earlier_value: b"id: 1\ndata: x\n\nid: 2\0\ndata: y\n\n"
        => [event("x").with_id("1"), event("y")], id "1";
    id_with_nul_leaves_the_value_of_the_block: b"id: 1\nid: 2\0\ndata: x\n\n"
        => [event("x").with_id("1")], id "1";
    id_after_one_with_nul_counts: b"id: 1\0\nid: 2\ndata: x\n\n" => [event("x").with_id("2")], id "2";
    id_with_nul_and_no_data_is_no_event: b"id: 1\n\nid: \0\n\n" => [], id "1";
    empty_id_clears: b"id: 1\ndata: x\n\nid:\ndata: y\n\n"
        => [event("x").with_id("1"), event("y").with_id("")];
    empty_id_with_a_space_clears: b"id: 1\n\nid: \n\n" => [];
    id_after_an_empty_one_counts: b"id:\nid: 2\ndata: x\n\n" => [event("x").with_id("2")], id "2";
    id_is_any_text: b"id: 1, 2; \"3\"\t\x01\ndata: x\n\n"
        => [event("x").with_id("1, 2; \"3\"\t\x01")], id "1, 2; \"3\"\t\x01";

    // P9: the retry field
    retry_is_milliseconds: b"retry: 1500\ndata: x\n\n"
        => [event("x").with_retry(millis(1500))], retry 1500;
    retry_needs_no_event: b"retry: 5\n\n" => [], retry 5;
    retry_of_zero_counts: b"retry: 0\ndata: x\n\n" => [event("x").with_retry(millis(0))], retry 0;
    retry_with_leading_zeros_counts: b"retry: 00042\ndata: x\n\n"
        => [event("x").with_retry(millis(42))], retry 42;
    retry_with_a_sign_is_ignored: b"retry: +7\nretry: -7\ndata: x\n\n" => [event("x")];
    retry_that_is_empty_is_ignored: b"retry:\nretry: \ndata: x\n\n" => [event("x")];
    retry_with_spaces_is_ignored: b"retry:  7\nretry: 7 \nretry: 7 8\ndata: x\n\n" => [event("x")];
    retry_with_a_fraction_is_ignored: b"retry: 1.5\nretry: 1e3\nretry: 0x10\nretry: 7s\ndata: x\n\n"
        => [event("x")];
    retry_in_other_digits_is_ignored: "retry: \u{663}\u{ff13}\ndata: x\n\n".as_bytes()
        => [event("x")];
    retry_with_nul_is_ignored: b"retry: 7\0\ndata: x\n\n" => [event("x")];
    retry_with_punctuation_is_ignored: b"retry: 7:\nretry: 7/\nretry: ;7\ndata: x\n\n" => [event("x")];
    retry_that_is_ignored_leaves_the_earlier_one: b"retry: 5\nretry: x\ndata: x\n\nretry: -1\n\n"
        => [event("x").with_retry(millis(5))], retry 5;
    last_retry_wins: b"retry: 5\nretry: 6\ndata: x\n\n" => [event("x").with_retry(millis(6))], retry 6;
    largest_retry_is_kept: b"retry: 18446744073709551615\n" => [], retry u64::MAX;
    retry_past_the_largest_saturates: b"retry: 18446744073709551616\n" => [], retry u64::MAX;
    huge_retry_saturates: b"retry: 99999999999999999999999999999999999999999999999999\ndata: x\n\n"
        => [event("x").with_retry(millis(u64::MAX))], retry u64::MAX;
    huge_retry_that_ends_in_zeros_saturates: b"retry: 340282366920938463463374607431768211456\n"
        => [], retry u64::MAX;
    long_retry_of_zeros_is_small: b"retry: 0000000000000000000000000000000000000000000009\n"
        => [], retry 9;
    retry_of_an_earlier_event_is_not_of_this: b"retry: 5\ndata: x\n\ndata: y\n\n"
        => [event("x").with_retry(millis(5)), event("y")], retry 5;
    retry_of_a_block_without_data_is_not_of_the_next: b"retry: 5\n\ndata: y\n\n"
        => [event("y")], retry 5;

    // X1: dispatch
    id_without_data_moves_the_resume_point: b"id: 7\n\n" => [], id "7";
    id_and_name_without_data_are_no_event: b"id: 7\nevent: n\n\ndata: x\n\n" => [event("x")], id "7";
    name_without_data_is_no_event: b"event: n\n\n" => [];
    retry_without_data_is_no_event: b"retry: 1\n\n" => [], retry 1;
    extension_without_data_is_no_event: b"x: y\n\n" => [];
    comment_without_data_is_no_event: b": c\n\n\n" => [comment("c")];
    empty_data_is_an_event: b"data:\n\n" => [event("")];
    empty_data_after_data_is_an_event: b"data: a\n\ndata:\n\ndata\n\n"
        => [event("a"), event(""), event("")];
    one_trailing_lf_is_dropped: b"data: a\ndata:\ndata:\n\n" => [event("a\n\n")];
    two_empty_data_lines_are_one_lf: b"data:\ndata:\n\n" => [event("\n")];
    data_is_cleared: b"data: long\n\ndata: a\n\ndata: b\ndata: c\n\ndata: d\n\n"
        => [event("long"), event("a"), event("b\nc"), event("d")];

    // I1: the id stays, of the stream and not of the event
    id_persists_over_later_events: b"id: 1\ndata: x\n\ndata: y\n\ndata: z\n\n"
        => [event("x").with_id("1"), event("y"), event("z")], id "1";
    id_persists_over_later_blocks: b"id: 1\n\nevent: n\n\n: c\n\ndata: x\n\n"
        => [comment("c"), event("x")], id "1";
    ids_follow_each_other: b"id: 1\ndata: x\n\nid: 22\ndata: y\n\nid: 3\n\ndata: z\n\n"
        => [event("x").with_id("1"), event("y").with_id("22"), event("z")], id "3";

    // I2: open and error are plain names
    open_and_error_are_plain_names: b"event: open\ndata: x\n\nevent: error\ndata: y\n\n"
        => [event("x").with_name("open"), event("y").with_name("error")];

    // I4: the last event ID is seeded
    seed_stays_until_an_id_comes: b"data: x\n\nretry: 1\n\n" => [event("x")],
        id "41", retry 1, seed "41";
    seed_gives_way_to_an_id: b"data: x\n\nid: 42\ndata: y\n\n"
        => [event("x"), event("y").with_id("42")], id "42", seed "41";
    seed_gives_way_to_the_empty_id: b"id\n\n" => [], id "", seed "41";
    seed_stays_over_an_id_with_nul: b"id: \0\ndata: x\n\n" => [event("x")], id "41", seed "41";
    seed_stays_over_an_id_cut_short: b"id: 42\ndata: x\n" => [], id "41", seed "41";

    // The examples of the standard, 9.2.6
    example_of_three_data_lines: b"data: YHOO\ndata: +2\ndata: 10\n\n" => [event("YHOO\n+2\n10")];
    example_of_four_blocks: b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"
        => [comment("test stream"), event("first event").with_id("1"),
            event("second event").with_id("")];
    example_of_bare_data: b"data\n\ndata\ndata\n\ndata:\n" => [event(""), event("\n")];
    example_of_one_space: b"data:test\n\ndata: test\n\n" => [event("test"), event("test")];
}

/// What a stream that is cut short reads as, with the trailing event discarded and delivered.
struct Ending {
    input: &'static [u8],
    complete: Vec<Event<'static>>,
    truncated: bool,
    trailing: Option<Event<'static>>,
    /// The last event ID when the trailing event is discarded, and when it is delivered.
    ids: (&'static str, &'static str),
}

impl Ending {
    #[track_caller]
    fn run(&self) {
        let row = show(self.input);
        let standard: Vec<What> = self.complete.iter().cloned().map(What::from).collect();
        let sloppy: Vec<What> = self
            .complete
            .iter()
            .chain(&self.trailing)
            .cloned()
            .map(What::from)
            .collect();
        for (way, acts) in feedings(self.input) {
            for comments in [false, true] {
                let way = format!("{row} {way}, comments {comments}");
                let mut reader = Reader::new(Scripted::new(acts.clone()));
                let seen = read_all(&mut reader, comments).without_comments();
                assert_eq!(seen.what(), standard, "{way}");
                assert_eq!(seen.last_event_id, self.ids.0, "{way}");
                assert_eq!(reader.is_truncated(), self.truncated, "truncated: {way}");

                let mut reader = Reader::new(Scripted::new(acts.clone())).with_trailing_event(true);
                assert!(!reader.is_truncated(), "not yet: {way}");
                let seen = read_all(&mut reader, comments).without_comments();
                assert_eq!(seen.what(), sloppy, "trailing: {way}");
                assert_eq!(seen.last_event_id, self.ids.1, "trailing: {way}");
                assert!(!reader.is_truncated(), "nothing was discarded: {way}");
                assert!(matches!(reader.read_event(), Ok(None)), "once: {way}");

                let Some(pieces) = without_errors(&acts) else {
                    continue;
                };
                let mut parser = Parser::new();
                let seen = parse_all(&mut parser, &pieces, comments).without_comments();
                assert_eq!(seen.what(), standard, "parser: {way}");
                assert_eq!(seen.last_event_id, self.ids.0, "parser: {way}");
                let trailing = parser.finish().map(Event::into_owned);
                assert_eq!(trailing, self.trailing, "finish: {way}");
                assert_eq!(parser.last_event_id(), self.ids.1, "finish: {way}");
                assert_eq!(parser.finish(), None, "finish twice: {way}");
                // It is at the start of a new stream.
                let next = parse_all(&mut parser, &[b"\xef\xbb\xbfdata: next\n\n"], false);
                assert_eq!(next.what(), [event("next").into()], "after finish: {way}");

                let mut parser = Parser::new();
                parse_all(&mut parser, &pieces, comments);
                parser.reset();
                assert_eq!(parser.last_event_id(), self.ids.0, "reset: {way}");
                assert_eq!(parser.finish(), None, "finish after reset: {way}");
                let next = parse_all(&mut parser, &[b"\xef\xbb\xbfdata: next\n\n"], false);
                assert_eq!(next.what(), [event("next").into()], "after reset: {way}");
                assert_eq!(next.last_event_id, self.ids.0, "after reset: {way}");
            }
        }
    }
}

/// Each row is a test: input => complete events, truncated or not, the trailing event, and the last
/// event IDs without and with it.
macro_rules! endings {
    ($($name:ident: $input:expr
        => [$($what:expr),*], $truncated:ident, $trailing:expr, $ids:expr;)*) => {
        $(#[test]
        fn $name() {
            Ending {
                input: $input,
                complete: vec![$($what),*],
                truncated: stringify!($truncated) == "truncated",
                trailing: $trailing,
                ids: $ids,
            }
            .run();
        })*
    };
}

endings! {
    // L3, and the switch that goes beyond it
    end_of_nothing: b"" => [], clean, None, ("", "");
    end_after_a_bom: b"\xef\xbb\xbf" => [], clean, None, ("", "");
    end_after_a_blank_line: b"data: a\n\n" => [event("a")], clean, None, ("", "");
    end_after_the_cr_of_a_blank_line: b"data: a\r\n\r" => [event("a")], clean, None, ("", "");
    end_after_several_blank_lines: b"data: a\n\n\n\n" => [event("a")], clean, None, ("", "");
    end_after_a_block_without_data: b"event: n\n\n" => [], clean, None, ("", "");
    end_after_a_comment: b"data: a\n\n: c\n" => [event("a")], clean, None, ("", "");
    end_inside_a_comment: b"data: a\n\n: c" => [event("a")], clean, None, ("", "");
    end_after_a_data_line: b"data: a\n\ndata: b\n"
        => [event("a")], truncated, Some(event("b")), ("", "");
    end_after_the_cr_of_a_data_line: b"data: b\r" => [], truncated, Some(event("b")), ("", "");
    end_after_the_crlf_of_a_data_line: b"data: b\r\n" => [], truncated, Some(event("b")), ("", "");
    end_inside_a_data_line: b"data: a\n\ndata: [DO"
        => [event("a")], truncated, Some(event("[DO")), ("", "");
    end_inside_a_second_data_line: b"data: a\ndata: b" => [], truncated, Some(event("a\nb")), ("", "");
    end_after_the_colon_of_a_data_line: b"data:" => [], truncated, Some(event("")), ("", "");
    end_after_the_space_of_a_data_line: b"data: a\ndata: "
        => [], truncated, Some(event("a\n")), ("", "");
    end_after_bare_data: b"data" => [], truncated, Some(event("")), ("", "");
    end_inside_a_name: b"dat" => [], truncated, None, ("", "");
    end_inside_a_character: b"data: \xe2\x82" => [], truncated, Some(event("\u{fffd}")), ("", "");
    end_after_an_empty_data_line: b"data: a\ndata:\n" => [], truncated, Some(event("a\n")), ("", "");
    end_after_an_id: b"id: 1\ndata: a\n\nid: 2\n"
        => [event("a").with_id("1")], truncated, None, ("1", "2");
    end_inside_an_id: b"data: a\nid: 2" => [], truncated, Some(event("a").with_id("2")), ("", "2");
    end_inside_a_field_name: b"data: a\neve"
        => [], truncated, Some(event("a").with_extension("eve", "")), ("", "");
    end_after_every_field: b"event: n\nid: 1\nretry: 5\nx: y\ndata: a\n"
        => [], truncated,
        Some(event("a").with_name("n").with_id("1").with_retry(millis(5)).with_extension("x", "y")),
        ("", "1");
    end_inside_a_comment_of_a_block: b"data: a\n: c"
        => [], truncated, Some(event("a")), ("", "");
    end_after_an_extension: b"x: y\n" => [], truncated, None, ("", "");
    end_of_a_stream_of_cr: b"data: a\r\rdata: b\rdata: c"
        => [event("a")], truncated, Some(event("b\nc")), ("", "");
}

#[test]
fn retry_in_an_unfinished_last_line_counts_with_the_trailing_event_only() {
    let mut reader = Reader::new(&b"data: a\nretry: 5"[..]);
    assert_eq!(reader.read_event().unwrap(), None);
    assert_eq!(reader.retry(), None);

    let mut reader = Reader::new(&b"data: a\nretry: 5"[..]).with_trailing_event(true);
    let event = reader.read_event().unwrap().unwrap();
    assert_eq!(event.retry, Some(millis(5)));
    assert_eq!(reader.retry(), Some(millis(5)));
}

#[test]
fn a_stream_that_ends_behind_a_retry_line_has_lost_nothing() {
    let mut reader = Reader::new(&b"data: a\n\nretry: 5\n"[..]);
    assert_eq!(reader.read_event().unwrap().unwrap().data, "a");
    assert_eq!(reader.read_event().unwrap(), None);
    assert_eq!(reader.retry(), Some(millis(5)));
    assert!(!reader.is_truncated());
}

#[test]
fn bytes_that_get_mut_has_changed_are_read_as_they_are() {
    let stream = b"data: a\n\ndata: b\n\ndata: c\n\n".to_vec();
    let mut reader = Reader::new(std::io::Cursor::new(stream));
    assert_eq!(reader.read_event().unwrap().unwrap().data, "a");
    assert_eq!(reader.read_event().unwrap().unwrap().data, "b");
    reader.get_mut().get_mut()[24] = b'd';
    assert_eq!(reader.read_event().unwrap().unwrap().data, "d");
    assert_eq!(reader.read_event().unwrap(), None);
}

#[test]
fn trailing_event_switch_is_off_unless_asked_for() {
    let mut reader = Reader::new(&b"data: a"[..]).with_trailing_event(false);
    assert_eq!(reader.read_event().unwrap(), None);
    assert!(reader.is_truncated());
}

#[test]
fn reader_asks_no_more_after_the_end() {
    // An empty buffer is the end, once; a second look would panic.
    let script = [
        Act::Give(b"data: a\n\ndata: b".to_vec()),
        Act::Give(Vec::new()),
    ];
    let mut reader = Reader::new(Scripted::strict(script));
    assert_eq!(reader.read_event().unwrap().unwrap().data, "a");
    assert!(!reader.is_truncated());
    for _ in 0..3 {
        assert_eq!(reader.read_event().unwrap(), None);
        assert_eq!(reader.read_item().unwrap(), None);
        assert!(reader.is_truncated());
    }
}

#[test]
fn parser_reset_keeps_id_and_retry_but_not_the_block() {
    let mut parser = Parser::new();
    let torn = b"id: 1\nretry: 5\ndata: a\n\nid: 2\nevent: n\nx: y\ndata: lost\ndata: lo";
    let first = parse_all(&mut parser, &[torn], false);
    assert_eq!(first.seen.len(), 1);
    parser.reset();
    let second = parse_all(&mut parser, &[b"st\n\ndata: b\n\n"], false);
    // `st` is a line of the new stream.
    assert_eq!(second.what(), [event("b").into()]);
    assert_eq!(second.last_event_id, "1");
    assert_eq!(second.retry, Some(millis(5)));
}

#[test]
fn parser_reset_after_a_cr_swallows_no_lf() {
    // An LF at the start of the new stream is a blank line, and no harm; but a BOM is dropped again
    // and a torn one is forgotten.
    let mut parser = Parser::new();
    parse_all(&mut parser, &[b"\xef\xbb"], false);
    parser.reset();
    let seen = parse_all(&mut parser, &[b"\xef\xbb\xbfdata: a\r"], false);
    assert_eq!(seen.what(), []);
    parser.reset();
    let seen = parse_all(&mut parser, &[b"\ndata: b\n\n"], false);
    assert_eq!(seen.what(), [event("b").into()]);
}

#[test]
fn parser_finds_its_place_in_bytes_that_were_moved() {
    // The rest is copied to the front of the same buffer, so that the addresses repeat.
    let mut parser = Parser::new();
    let mut buffer = *b"data: a\n\ndata: b\n\ndata: c\n\n";
    let mut length = buffer.len();
    for data in ["a", "b", "c"] {
        let mut input = &buffer[..length];
        assert_eq!(parser.parse(&mut input), Ok(Some(event(data))));
        let left = input.len();
        buffer.copy_within(length - left..length, 0);
        length = left;
    }
    assert_eq!(length, 0);
}

#[test]
fn comments_can_be_asked_for_at_any_call() {
    let stream = b": 1\n: 2\ndata: a\n: 3\n\n: 4\ndata: b\n\n: 5\n";
    for size in [1, 4, 64] {
        let mut reader = Reader::new(Scripted::new(chunks(stream, size)));
        assert_eq!(reader.read_item().unwrap(), Some(Item::Comment("1".into())));
        assert_eq!(reader.read_event().unwrap(), Some(event("a")));
        assert_eq!(reader.read_item().unwrap(), Some(Item::Comment("4".into())));
        assert_eq!(reader.read_event().unwrap(), Some(event("b")));
        assert_eq!(reader.read_item().unwrap(), Some(Item::Comment("5".into())));
        assert_eq!(reader.read_item().unwrap(), None);
    }
}

#[test]
fn item_tells_the_last_event_id_at_its_event() {
    let mut reader =
        Reader::new(&b"data: a\n\nid: 1\ndata: b\n\ndata: c\n\nid: 2\n\ndata: d\n\n"[..])
            .with_last_event_id("0");
    let mut seen = Vec::new();
    while let Some(item) = reader.read_item().unwrap() {
        match item {
            Item::Event {
                event,
                last_event_id,
                ..
            } => seen.push((event.data.into_owned(), last_event_id.into_owned())),
            other => panic!("{other:?}"),
        }
    }
    let expected = [("a", "0"), ("b", "1"), ("c", "1"), ("d", "2")];
    assert_eq!(seen, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

/// The rest of the stream, after `count` events were read one way or the other.
#[track_caller]
fn rest_after<R: BufRead>(inner: R, count: usize) -> String {
    let mut reader = Reader::new(inner);
    for _ in 0..count {
        assert!(reader.read_event().unwrap().is_some());
    }
    let mut rest = String::new();
    reader.into_inner().read_to_string(&mut rest).unwrap();
    rest
}

#[test]
fn into_inner_goes_on_after_the_last_event() {
    let stream = b"data: a\n\ndata: b\ndata: c\n\nrest\n";
    for (count, rest) in [
        (0, "data: a\n\ndata: b\ndata: c\n\nrest\n"),
        (1, "data: b\ndata: c\n\nrest\n"),
        (2, "rest\n"),
    ] {
        assert_eq!(rest_after(&stream[..], count), rest);
        for capacity in [1, 3, 10, 100] {
            let buffered = BufReader::with_capacity(capacity, &stream[..]);
            assert_eq!(rest_after(buffered, count), rest, "buffer of {capacity}");
            let scripted = Scripted::new(chunks(stream, capacity));
            assert_eq!(rest_after(scripted, count), rest, "chunks of {capacity}");
        }
    }
}

#[test]
fn into_inner_leaves_the_lf_of_a_final_crlf() {
    assert_eq!(rest_after(&b"data: a\r\n\r\nrest"[..], 1), "\nrest");
    assert_eq!(rest_after(&b"data: a\r\rrest"[..], 1), "rest");
}

#[test]
fn into_inner_after_an_error_has_lost_the_half_event_only() {
    let script = [
        Act::Give(b"data: a\n\ndata: ha".to_vec()),
        Act::Fail(ErrorKind::TimedOut),
        Act::Give(b"lf\n\n".to_vec()),
    ];
    let mut reader = Reader::new(Scripted::new(script));
    assert_eq!(reader.read_event().unwrap().unwrap().data, "a");
    assert_eq!(reader.read_event().unwrap_err().kind(), ErrorKind::TimedOut);
    let mut rest = String::new();
    reader.into_inner().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "lf\n\n");
}

#[test]
fn get_mut_stands_after_the_last_event_and_loses_nothing() {
    let stream = b"data: a\n\ndata: b\n\ndata: c\n\n";
    for size in [1, 2, 5, 9, 100] {
        let mut reader = Reader::new(Scripted::new(chunks(stream, size)));
        for (data, position) in [("a", 9), ("b", 18), ("c", 27)] {
            assert_eq!(reader.read_event().unwrap().unwrap().data, data);
            assert_eq!(reader.get_mut().position(), position, "chunks of {size}");
            // Twice is as good as once.
            assert_eq!(reader.get_mut().position(), position, "chunks of {size}");
            assert_eq!(reader.get_ref().position(), position, "chunks of {size}");
        }
        assert_eq!(reader.read_event().unwrap(), None);
    }
}

#[test]
fn bytes_taken_by_get_mut_are_no_part_of_the_stream() {
    let mut reader = Reader::new(&b"data: a\n\nBINARYdata: b\n\n"[..]);
    assert_eq!(reader.read_event().unwrap().unwrap().data, "a");
    let mut binary = [0; 6];
    reader.get_mut().read_exact(&mut binary).unwrap();
    assert_eq!(&binary, b"BINARY");
    assert_eq!(reader.read_event().unwrap(), Some(event("b")));
}

#[test]
fn other_errors_are_handed_on_and_lose_nothing() {
    for kind in [
        ErrorKind::ConnectionReset,
        ErrorKind::UnexpectedEof,
        ErrorKind::Other,
        ErrorKind::InvalidData,
    ] {
        let script = [
            Act::Give(b"id: 1\ndata: a".to_vec()),
            Act::Fail(kind),
            Act::Give(b"b\n\n".to_vec()),
        ];
        let mut reader = Reader::new(Scripted::new(script));
        assert_eq!(reader.read_event().unwrap_err().kind(), kind);
        assert_eq!(reader.last_event_id(), "");
        assert!(!reader.is_truncated());
        assert_eq!(reader.read_event().unwrap(), Some(event("ab").with_id("1")));
        assert_eq!(reader.read_event().unwrap(), None);
    }
}

/// Two events, an error, and a third; then one too large and a fifth.
fn eventful() -> Scripted {
    Scripted::new([
        Act::Give(b"data: a\n\nid: 7\ndata: b\n\nda".to_vec()),
        Act::Fail(ErrorKind::TimedOut),
        Act::Give(b"ta: c\n\ndata: far too long\n\ndata: e\n\n".to_vec()),
    ])
}

/// The data, or what the error is.
fn outcome(item: io::Result<Event<'static>>) -> String {
    match item {
        Ok(event) => event.data.into_owned(),
        Err(error) if EventTooLarge::of(&error).is_some() => "large".into(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

#[test]
fn events_end_after_an_error_and_the_reader_goes_on() {
    let mut reader = Reader::new(eventful()).with_max_event_size(8);
    let mut events = reader.events();
    assert_eq!(events.next().map(outcome).as_deref(), Some("a"));
    assert_eq!(events.last_event_id(), "");
    assert_eq!(events.next().map(outcome).as_deref(), Some("b"));
    assert_eq!(events.last_event_id(), "7");
    assert_eq!(events.next().map(outcome).as_deref(), Some("TimedOut"));
    for _ in 0..3 {
        assert!(events.next().is_none(), "ended for good");
    }
    assert_eq!(events.last_event_id(), "7");

    let rest: Vec<String> = reader.events().map(outcome).collect();
    assert_eq!(rest, ["c", "large", "e"]);
}

#[test]
fn owned_events_end_after_an_error() {
    let mut events = Reader::new(eventful()).with_max_event_size(8).into_iter();
    let seen: Vec<String> = events.by_ref().map(outcome).collect();
    assert_eq!(seen, ["a", "b", "TimedOut"]);
    assert!(events.next().is_none());
    assert_eq!(events.last_event_id(), "7");
}

#[test]
fn events_do_not_end_after_one_too_large() {
    let stream = b"data: a\n\ndata: far too long\n\ndata: b\n\ndata: too long too\n\ndata: c\n\n";
    let expected = ["a", "large", "b", "large", "c"];
    let reader = Reader::new(&stream[..]).with_max_event_size(8);
    let owned: Vec<String> = reader.into_iter().map(outcome).collect();
    assert_eq!(owned, expected);

    let mut reader = Reader::new(&stream[..]).with_max_event_size(8);
    let mut lent = Vec::new();
    for item in &mut reader {
        lent.push(outcome(item));
    }
    assert_eq!(lent, expected);
    assert_eq!(reader.read_event().unwrap(), None);
}

#[test]
fn events_can_be_taken_in_turns() {
    let mut reader = Reader::new(&b"data: a\n\ndata: b\n\ndata: c\n\n"[..]);
    assert_eq!(reader.events().next().unwrap().unwrap().data, "a");
    assert_eq!(reader.read_event().unwrap().unwrap().data, "b");
    assert_eq!(reader.events().map(outcome).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn event_from_text_is_the_first_complete_one() {
    let text = "\u{feff}: c\nid: 1\n\nevent: n\rdata: a\r\rdata: b\n\n";
    assert_eq!(text.parse(), Ok(event("a").with_name("n")));
    assert!("data: a\n".parse::<Event<'_>>().is_err());
    assert!("".parse::<Event<'_>>().is_err());
}

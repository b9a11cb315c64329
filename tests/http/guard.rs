//! Which requests a `Guard` lets pass, by their headers.

use std::collections::HashSet;

use sse_io::http::{Guard, Refusal};

const PASSES: Result<(), Refusal> = Ok(());
const MALFORMED: Result<(), Refusal> = Err(Refusal::MalformedHost);
const UNKNOWN: Result<(), Refusal> = Err(Refusal::UnknownHost);
const OTHER: Result<(), Refusal> = Err(Refusal::OtherSite);

fn guard() -> Guard {
    Guard::new()
        .with_host("example.org")
        .with_origin("https://app.example.org")
}

#[test]
fn a_host_is_known_by_its_name_and_whatever_its_port() {
    for (host, expected) in [
        ("localhost", PASSES),
        ("LocalHost:8080", PASSES),
        ("localhost.", PASSES),
        ("app.localhost:1", PASSES),
        ("127.0.0.1", PASSES),
        ("192.168.1.20:80", PASSES),
        ("[::1]", PASSES),
        ("[2001:db8::1]:8080", PASSES),
        ("example.org", PASSES),
        ("EXAMPLE.org.:443", PASSES),
        ("example.org:", PASSES),
        (" example.org\t", PASSES),
        ("www.example.org", UNKNOWN),
        ("example.org.evil.example", UNKNOWN),
        ("notlocalhost", UNKNOWN),
        ("127.0.0.1.evil.example", UNKNOWN),
        ("127.1", UNKNOWN),
    ] {
        assert_eq!(guard().check("GET", [("Host", host)]), expected, "{host:?}");
    }
}

#[test]
fn a_host_that_is_none_is_malformed_and_so_are_two() {
    for host in [
        "",
        " ",
        ":80",
        "a b",
        "localhost:80:80",
        "localhost:-1",
        "localhost:65536",
        "localhost:http",
        "user@localhost",
        "localhost/",
        "localhost,localhost",
        "[::1",
        "[::1]x",
        "[localhost]",
        "::1",
        "[]",
    ] {
        assert_eq!(
            guard().check("GET", [("Host", host)]),
            MALFORMED,
            "{host:?}"
        );
    }
    let bytes = [("Host", &b"local\xffhost"[..])];
    assert_eq!(guard().check("GET", bytes), MALFORMED);
    let none: [(&str, &str); 0] = [];
    assert_eq!(guard().check("GET", none), MALFORMED);
    let twice = [("Host", "localhost"), ("host", "localhost")];
    assert_eq!(guard().check("GET", twice), MALFORMED);
}

/// `Sec-Fetch-Site`, `Origin`, and whether the request may change something.
type Row = (
    &'static [&'static str],
    &'static [&'static str],
    Result<(), Refusal>,
);

const SITES: &[Row] = &[
    (&[], &[], PASSES),
    (&["same-origin"], &[], PASSES),
    (&["none"], &[], PASSES),
    (&["same-site"], &[], OTHER),
    (&["cross-site"], &[], OTHER),
    (&["whatever"], &[], OTHER),
    (&["same-origin", "cross-site"], &[], OTHER),
    (&[], &["http://localhost:8080"], PASSES),
    (&[], &["https://LOCALHOST:8080"], PASSES),
    (&[], &["http://localhost:8081"], OTHER),
    (&[], &["http://localhost"], OTHER),
    (&[], &["http://evil.example"], OTHER),
    (&[], &["http://localhost:8080.evil.example"], OTHER),
    (&[], &["localhost:8080"], OTHER),
    (&[], &["null"], OTHER),
    (
        &[],
        &["http://localhost:8080", "http://evil.example"],
        OTHER,
    ),
    // Behind a proxy the Host may be another one, and the browser knows better.
    (&["same-origin"], &["https://example.org"], PASSES),
    (&["cross-site"], &["http://localhost:8080"], OTHER),
    (&["cross-site"], &["https://app.example.org"], PASSES),
    (&[], &["https://app.example.org"], PASSES),
    (&[], &["http://app.example.org"], OTHER),
    (
        &[],
        &["https://app.example.org", "https://app.example.org"],
        OTHER,
    ),
];

#[test]
fn a_change_passes_only_from_a_page_of_the_same_origin_or_from_no_page() {
    for (sites, origins, expected) in SITES {
        let sites = sites.iter().map(|site| ("sec-fetch-site", *site));
        let origins = origins.iter().map(|origin| ("ORIGIN", *origin));
        let host = [("host", "localhost:8080")].into_iter();
        let headers: Vec<(&str, &str)> = host.chain(sites).chain(origins).collect();
        let pairs = || headers.iter().map(|(name, value)| (*name, *value));
        for method in ["POST", "PUT", "DELETE", "PATCH", "get", "BREW"] {
            assert_eq!(
                guard().check(method, pairs()),
                *expected,
                "{method} {headers:?}"
            );
        }
        assert_eq!(guard().check_change(pairs()), *expected, "{headers:?}");
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert_eq!(
                guard().check(method, pairs()),
                PASSES,
                "{method} {headers:?}"
            );
        }
    }
}

#[test]
fn the_host_is_judged_before_the_origin() {
    let headers = [("Host", "evil.example"), ("Origin", "http://evil.example")];
    assert_eq!(guard().check("POST", headers), UNKNOWN);
}

#[test]
fn each_refusal_has_a_status_and_a_sentence() {
    let refusals = [
        (
            Refusal::MalformedHost,
            400,
            "the request does not have exactly one well-formed Host header",
        ),
        (
            Refusal::UnknownHost,
            421,
            "the request is for a host that this server does not know",
        ),
        (
            Refusal::OtherSite,
            403,
            "the request comes from a page of another site",
        ),
    ];
    let mut statuses = HashSet::new();
    for (refusal, status, text) in refusals {
        assert_eq!(refusal.status(), status);
        assert_eq!(refusal.to_string(), text);
        assert!(statuses.insert(status));
    }
}

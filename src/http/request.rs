//! What a handler asks of a request before it starts a stream.

use std::borrow::Cow;

/// The longest last event ID that a client sends or a server takes, in bytes: about what a header can
/// hold anywhere.
pub(crate) const MAX_LAST_EVENT_ID: usize = 4 << 10;

/// The last event ID that a client resumes after: the request's `Last-Event-ID` header, else the
/// `lastEventId` parameter in the query of the request target (`/events?lastEventId=7`), for clients
/// that cannot set the header: polyfills, and a page that goes on where another one stopped.
///
/// Whoever sends the request chooses this text. It is taken only as UTF-8 without CR, LF and NUL
/// and with at most 4 KiB, so that it can be the id of an event; whether there is such an event is
/// yours to check. An empty one is none. A header that is not empty decides, even if it is not taken.
/// The parameter is percent-decoded, `+` is a space, and the first one counts.
///
/// The header is anything that gives bytes (`&str`, `&[u8]`, an `http::HeaderValue`) because its
/// value is UTF-8 on the wire (HTML standard, 9.2.3), which some libraries hand out as bytes alone.
/// One that hands out Latin-1, each byte as a char of the same number, takes
/// `value.chars().map(|c| c as u8).collect::<Vec<u8>>()` first. `tiny_http`, and so rouille, drops a
/// connection whose request has a byte outside ASCII in a header: keep to ASCII ids there.
///
/// ```
/// use sse_io::http::last_event_id;
///
/// assert_eq!(last_event_id(Some("7"), "/events").as_deref(), Some("7"));
/// assert_eq!(last_event_id(Some(b"\xc3\xa9"), "/events").as_deref(), Some("é"));
/// assert_eq!(last_event_id(Some(b"\xe9"), "/events"), None);
///
/// let header: Option<&str> = None;
/// let target = "/events?topic=news&lastEventId=a%2Fb+c";
/// assert_eq!(last_event_id(header, target).as_deref(), Some("a/b c"));
/// assert_eq!(last_event_id(header, "/events?lastEventId=%0D%0Adata:x"), None);
/// ```
pub fn last_event_id<'a, H>(header: Option<&'a H>, target: &'a str) -> Option<Cow<'a, str>>
where
    H: AsRef<[u8]> + ?Sized,
{
    let id = match header.map(AsRef::as_ref) {
        Some(value) if !value.is_empty() => Cow::Borrowed(value),
        _ => parameter("lastEventId", target)?,
    };
    let breaks_out = |b: &u8| matches!(b, b'\r' | b'\n' | 0);
    if id.is_empty() || id.len() > MAX_LAST_EVENT_ID || id.iter().any(breaks_out) {
        return None;
    }
    match id {
        Cow::Borrowed(id) => std::str::from_utf8(id).ok().map(Cow::Borrowed),
        Cow::Owned(id) => String::from_utf8(id).ok().map(Cow::Owned),
    }
}

/// The first parameter of this name in the query of a request target, decoded.
fn parameter<'a>(name: &str, target: &'a str) -> Option<Cow<'a, [u8]>> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (*decode(key) == *name.as_bytes()).then(|| decode(value))
    })
}

/// Undoes the encoding of a form (URL standard, 5.1): what is no `%` and two digits stays.
fn decode(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text.as_bytes());
    }
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)),
            _ => None,
        };
        decoded.push(match (first, escaped) {
            (_, Some((high, low))) => {
                rest = &after[2..];
                high << 4 | low
            }
            (b'+', None) => b' ',
            (other, None) => *other,
        });
    }
    Cow::Owned(decoded)
}

/// Whether a request's `Accept` header allows an event stream as the response: by `text/event-stream`,
/// `text/*` or `*/*`, in any case, or because there is none. Of several that fit, the one that says
/// most decides, and a weight of `q=0` means no (RFC 9110, 12.5.1).
///
/// A request may have several `Accept` lines, which are one list: join their values with commas first
/// (RFC 9110, 5.3). The first line alone may lack the range that decides.
///
/// Where this is false, answer 406 ([`ResponseHead::refuse`](crate::ResponseHead::refuse)): a client
/// that asked for JSON would wait for the end of a stream that has none.
///
/// ```
/// use sse_io::http::accepts_event_stream;
///
/// assert!(accepts_event_stream(Some("text/event-stream")));
/// assert!(accepts_event_stream(Some("text/html, */*;q=0.1")));
/// assert!(accepts_event_stream(None));
/// assert!(!accepts_event_stream(Some("application/json")));
/// assert!(!accepts_event_stream(Some("*/*, text/event-stream;q=0")));
///
/// let lines = ["text/html", "text/event-stream"];
/// assert!(accepts_event_stream(Some(&lines.join(", "))));
/// ```
pub fn accepts_event_stream(accept: Option<&str>) -> bool {
    let Some(accept) = accept.map(str::trim).filter(|accept| !accept.is_empty()) else {
        return true;
    };
    // How much the range says, and whether it is wanted; the greatest decides.
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next()?.to_ascii_lowercase();
        let says = ["*/*", "text/*", "text/event-stream"]
            .iter()
            .position(|known| *known == media_type)?;
        Some((says, !parts.any(is_weight_of_zero)))
    });
    ranges.max().is_some_and(|(_, wanted)| wanted)
}

fn is_weight_of_zero(parameter: &str) -> bool {
    let weight = match parameter.split_once('=') {
        Some((name, weight)) if name.eq_ignore_ascii_case("q") => weight,
        _ => return false,
    };
    weight.parse().is_ok_and(|weight: f32| weight <= 0.0)
}

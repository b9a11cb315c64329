//! An event out of a text.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::event::Event;
use crate::parser::{EventTooLarge, Parser};

/// The first complete event in a text, read as a stream of its own.
///
/// Blocks without data are passed over, and so are comments. What follows the first event is not
/// looked at.
///
/// ```
/// use sse_io::Event;
///
/// let event: Event = ": hello\n\nid: 1\ndata: x\n\n".parse()?;
/// assert_eq!(event, Event::new("x").with_id("1"));
/// # Ok::<(), sse_io::ParseEventError>(())
/// ```
impl FromStr for Event<'static> {
    type Err = ParseEventError;

    fn from_str(text: &str) -> Result<Self, ParseEventError> {
        match Parser::new().parse(&mut text.as_bytes()) {
            Ok(Some(event)) => Ok(event.into_owned()),
            Ok(None) => Err(ParseEventError { too_large: None }),
            Err(error) => Err(ParseEventError {
                too_large: Some(error),
            }),
        }
    }
}

/// Why a text could not be read as an event: it holds no complete one, or the first is too large.
///
/// ```
/// use sse_io::Event;
///
/// let error = "data: no blank line follows".parse::<Event<'static>>().unwrap_err();
/// assert_eq!(error.to_string(), "no complete event in the text");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseEventError {
    too_large: Option<EventTooLarge>,
}

impl fmt::Display for ParseEventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.too_large {
            None => f.write_str("no complete event in the text"),
            Some(_) => f.write_str("the first event in the text is too large"),
        }
    }
}

impl Error for ParseEventError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.too_large.as_ref().map(|error| error as _)
    }
}

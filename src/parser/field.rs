//! What a line says: the field it sets and the value.

/// A line that is not empty, taken apart. The value is always the end of the line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Data(&'a [u8]),
    Event(&'a [u8]),
    Id(&'a [u8]),
    Retry(&'a [u8]),
    Comment(&'a [u8]),
    Unknown(&'a [u8], &'a [u8]),
}

impl<'a> Field<'a> {
    /// The four names are tried one after the other, which takes one comparison each: to find the
    /// colon first would take longer.
    #[inline(always)]
    pub(super) fn of(line: &'a [u8]) -> Self {
        if let Some(value) = value_of(b"data", line) {
            Field::Data(value)
        } else if let Some(value) = value_of(b"", line) {
            Field::Comment(value)
        } else if let Some(value) = value_of(b"event", line) {
            Field::Event(value)
        } else if let Some(value) = value_of(b"id", line) {
            Field::Id(value)
        } else if let Some(value) = value_of(b"retry", line) {
            Field::Retry(value)
        } else {
            Field::unknown(line)
        }
    }

    #[cold]
    fn unknown(line: &'a [u8]) -> Self {
        let colon = line.iter().position(|&b| b == b':');
        let (name, rest) = line.split_at(colon.unwrap_or(line.len()));
        Field::Unknown(name, value_of(b"", rest).unwrap_or_default())
    }
}

/// The value, if the line has this very name. It loses one space in front; a line without a colon
/// is a name with an empty value.
#[inline(always)]
fn value_of<'a>(name: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

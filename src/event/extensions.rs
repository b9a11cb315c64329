//! The fields of an event that the standard does not know.

use std::fmt;

use crate::buffer;

/// The fields of an [`Event`](crate::Event) that the standard does not know: names and values, in the
/// order of the stream. Clients that follow the standard ignore them.
///
/// A name may come more than once. Nearly every event has no such field: then this is one word, does
/// not allocate, and costs nothing to drop. Otherwise it owns its strings, in three allocations.
///
/// ```
/// use sse_io::Event;
///
/// let event: Event = "trace: abc\nspan: 7\ndata: x\n\n".parse()?;
/// assert_eq!(event.extensions.get("trace"), Some("abc"));
/// for (name, value) in event.extensions.iter() {
///     println!("{name} is {value}");
/// }
/// # Ok::<(), sse_io::ParseEventError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Extensions {
    /// None where there are none.
    fields: Option<Box<Fields>>,
}

/// The text of all fields end to end, and where each name and value ends in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fields {
    text: String,
    ends: Vec<(usize, usize)>,
}

impl Extensions {
    /// Adds a copy of a field behind the others.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let mut event = Event::new("x");
    /// event.extensions.push("trace", "abc");
    /// assert_eq!(event, Event::new("x").with_extension("trace", "abc"));
    /// ```
    pub fn push(&mut self, name: &str, value: &str) {
        let fields = self.fields.get_or_insert_default();
        fields.push((name, value), usize::MAX);
    }

    /// The value of the first field with this name.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let event = Event::new("x").with_extension("k", "1").with_extension("k", "2");
    /// assert_eq!(event.extensions.get("k"), Some("1"));
    /// assert_eq!(event.extensions.get("K"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|field| field.0 == name)
            .map(|field| field.1)
    }

    /// Names and values, in order.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let event = Event::new("x").with_extension("b", "1").with_extension("a", "2");
    /// assert!(event.extensions.iter().eq([("b", "1"), ("a", "2")]));
    /// ```
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().flat_map(|fields| fields.iter())
    }

    /// How many fields there are.
    ///
    /// ```
    /// # use sse_io::Event;
    /// assert_eq!(Event::new("x").with_extension("k", "1").extensions.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.fields.as_ref().map_or(0, |fields| fields.ends.len())
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use sse_io::Event;
    /// assert!(Event::new("x").extensions.is_empty());
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.fields.is_none()
    }

    /// Removes them all.
    ///
    /// ```
    /// # use sse_io::Event;
    /// let mut event = Event::new("x").with_extension("trace", "abc");
    /// event.extensions.clear();
    /// assert_eq!(event, Event::new("x"));
    /// ```
    pub fn clear(&mut self) {
        self.fields = None;
    }
}

impl Fields {
    /// What a field costs to keep beside its text: its two ends, and as much again in the event.
    pub(crate) const COST: usize = 64;

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a field, without growing past `limit` by doubling.
    pub(crate) fn push(&mut self, (name, value): (&str, &str), limit: usize) {
        buffer::append(&mut self.text, name, limit);
        let name_end = self.text.len();
        buffer::append(&mut self.text, value, limit);
        self.ends.push((name_end, self.text.len()));
    }

    /// Removes them all, and keeps room for a few.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        buffer::shrink(&mut self.text);
        self.ends.clear();
        self.ends.shrink_to(buffer::KEEP / Fields::COST);
    }

    /// A copy for an event; there are some.
    #[cold]
    #[inline(never)]
    pub(crate) fn to_extensions(&self) -> Extensions {
        Extensions {
            fields: Some(Box::new(self.clone())),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(name_end, end)| {
            let field = (&self.text[start..name_end], &self.text[name_end..end]);
            start = end;
            field
        })
    }
}

impl Drop for Extensions {
    /// Stands here so that the drop of an event is short enough to be inlined, and comes to nothing
    /// where the event was lent.
    #[inline(always)]
    fn drop(&mut self) {
        #[cold]
        #[inline(never)]
        fn drop_fields(fields: Option<Box<Fields>>) {
            drop(fields);
        }

        if self.fields.is_some() {
            drop_fields(self.fields.take());
        }
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Extensions {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut extensions = Extensions::default();
        for (name, value) in fields {
            extensions.push(name.as_ref(), value.as_ref());
        }
        extensions
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

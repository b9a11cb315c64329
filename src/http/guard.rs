//! Which requests a server answers: those that are meant for it, and changes only from its own pages.

use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Refuses what a page of another site makes a visitor's browser send.
///
/// A server on `127.0.0.1` or in a private network is not out of reach of the web: any page that is
/// open in a browser beside it can send requests to it. The guard refuses three kinds:
///
/// - A request without exactly one well-formed `Host` header (RFC 9112, 3.2).
/// - A request for a host that is not known. A site can point its own name at the address of your server
///   (DNS rebinding), and its pages could read everything there; but the browser still sends that name
///   as the `Host`. Known are `localhost`, names that end in `.localhost`, every IP address, since
///   nobody can point one elsewhere, and the names set with [`with_host`](Self::with_host).
/// - A request that may change something, by any method but `GET`, `HEAD` and `OPTIONS`, from a page of
///   another origin. `Sec-Fetch-Site` tells, where a browser sends it: anything but `same-origin` and
///   `none` is refused. Elsewhere the `Origin`, if there is one, must be that of the `Host`. A request with
///   neither does not come from a page, and passes.
///
/// That is no authentication: a program that is not a browser sends what it likes.
///
/// ```
/// use sse_io::http::{Guard, Refusal};
///
/// let guard = Guard::new().with_host("example.org");
/// let own = [("Host", "example.org"), ("Sec-Fetch-Site", "same-origin")];
/// assert_eq!(guard.check("POST", own), Ok(()));
///
/// let other = [("Host", "example.org"), ("Sec-Fetch-Site", "cross-site")];
/// assert_eq!(guard.check("POST", other), Err(Refusal::OtherSite));
/// assert_eq!(Refusal::OtherSite.status(), 403);
///
/// let rebound = [("Host", "evil.example:8080")];
/// assert_eq!(guard.check("GET", rebound), Err(Refusal::UnknownHost));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a guard refuses nothing until a request is checked"]
pub struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Why a [`Guard`] refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no `Host` header, or there are several, or it is not a host.
    MalformedHost,
    /// The host is not one of this server.
    UnknownHost,
    /// A page of another origin sent it.
    OtherSite,
}

impl Guard {
    /// A guard that knows `localhost` and IP addresses, and trusts no other origin.
    ///
    /// ```
    /// use sse_io::http::Guard;
    ///
    /// assert!(Guard::new().check("GET", [("Host", "127.0.0.1:8080")]).is_ok());
    /// assert!(Guard::new().check("GET", [("Host", "localhost")]).is_ok());
    /// ```
    pub fn new() -> Self {
        Guard::default()
    }

    /// Adds a name under which the server is reached, without a port: `example.org`. Default: none.
    ///
    /// ```
    /// use sse_io::http::Guard;
    ///
    /// let guard = Guard::new().with_host("example.org");
    /// assert!(guard.check("GET", [("Host", "Example.org:8443")]).is_ok());
    /// assert!(guard.check("GET", [("Host", "www.example.org")]).is_err());
    /// ```
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Lets the pages of another origin send requests that change something: `https://app.example.org`,
    /// as browsers write it. Default: none.
    ///
    /// Reading the answers is another question, which [`with_cors`](crate::ResponseHead::with_cors)
    /// answers.
    ///
    /// ```
    /// use sse_io::http::Guard;
    ///
    /// let guard = Guard::new().with_origin("https://app.example.org");
    /// let headers = [("Host", "127.0.0.1"), ("Origin", "https://app.example.org")];
    /// assert!(guard.check("POST", headers).is_ok());
    /// ```
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Checks a request by its method and all of its headers.
    ///
    /// # Errors
    ///
    /// Why to refuse it; [`Refusal::status`] has the status to answer with.
    ///
    /// ```
    /// use sse_io::http::{Guard, Refusal};
    ///
    /// let twice = [("Host", "localhost"), ("Host", "localhost")];
    /// assert_eq!(Guard::new().check("GET", twice), Err(Refusal::MalformedHost));
    /// ```
    pub fn check<'a, N, V>(
        &self,
        method: &str,
        headers: impl IntoIterator<Item = (&'a N, &'a V)>,
    ) -> Result<(), Refusal>
    where
        N: AsRef<str> + ?Sized + 'a,
        V: AsRef<[u8]> + ?Sized + 'a,
    {
        self.judge(!["GET", "HEAD", "OPTIONS"].contains(&method), headers)
    }

    /// Checks a request that changes something whatever its method is, such as the `GET` of a stream
    /// that announces its reader to others.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    ///
    /// ```
    /// use sse_io::http::{Guard, Refusal};
    ///
    /// let headers = [("Host", "localhost:8081"), ("Origin", "https://example.org")];
    /// assert_eq!(Guard::new().check("GET", headers), Ok(()));
    /// assert_eq!(Guard::new().check_change(headers), Err(Refusal::OtherSite));
    /// ```
    pub fn check_change<'a, N, V>(
        &self,
        headers: impl IntoIterator<Item = (&'a N, &'a V)>,
    ) -> Result<(), Refusal>
    where
        N: AsRef<str> + ?Sized + 'a,
        V: AsRef<[u8]> + ?Sized + 'a,
    {
        self.judge(true, headers)
    }

    fn judge<'a, N, V>(
        &self,
        changes: bool,
        headers: impl IntoIterator<Item = (&'a N, &'a V)>,
    ) -> Result<(), Refusal>
    where
        N: AsRef<str> + ?Sized + 'a,
        V: AsRef<[u8]> + ?Sized + 'a,
    {
        let (mut hosts, mut sites, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref().trim_ascii());
            let values = match name {
                _ if name.eq_ignore_ascii_case("Host") => &mut hosts,
                _ if name.eq_ignore_ascii_case("Sec-Fetch-Site") => &mut sites,
                _ if name.eq_ignore_ascii_case("Origin") => &mut origins,
                _ => continue,
            };
            values.push(value);
        }
        let &[authority] = &*hosts else {
            return Err(Refusal::MalformedHost);
        };
        let host = host(authority).ok_or(Refusal::MalformedHost)?;
        if !self.knows(host) {
            return Err(Refusal::UnknownHost);
        }
        if !changes || self.trusts(&origins) {
            return Ok(());
        }
        let own = match &*sites {
            [] => origins.iter().all(|origin| is_of(origin, authority)),
            sites => sites.iter().all(|s| matches!(*s, b"same-origin" | b"none")),
        };
        own.then_some(()).ok_or(Refusal::OtherSite)
    }

    fn knows(&self, host: &str) -> bool {
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_local = name == "localhost" || name.ends_with(".localhost");
        let is_address = name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok();
        is_local
            || is_address
            || self
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(&name))
    }

    fn trusts(&self, origins: &[&[u8]]) -> bool {
        matches!(origins, [origin] if self.origins.iter().any(|known| known.as_bytes() == *origin))
    }
}

impl Refusal {
    /// The status to answer with: 400, 421 (RFC 9110, 15.5.20) or 403.
    ///
    /// ```
    /// use sse_io::{ResponseHead, http::Refusal};
    ///
    /// let mut connection = Vec::new();
    /// ResponseHead::new().refuse(Refusal::UnknownHost.status(), &mut connection)?;
    /// assert!(connection.starts_with(b"HTTP/1.1 421 Misdirected Request\r\n"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Refusal::MalformedHost => 400,
            Refusal::UnknownHost => 421,
            Refusal::OtherSite => 403,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::MalformedHost => {
                "the request does not have exactly one well-formed Host header"
            }
            Refusal::UnknownHost => "the request is for a host that this server does not know",
            Refusal::OtherSite => "the request comes from a page of another site",
        })
    }
}

impl Error for Refusal {}

/// The host in a `Host` header, without the port (RFC 9110, 7.2).
fn host(authority: &[u8]) -> Option<&str> {
    let authority = std::str::from_utf8(authority).ok()?;
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let is_host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            !host.is_empty() && host.bytes().all(allowed)
        }
    };
    let is_port = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => {
            digits.bytes().all(|b| b.is_ascii_digit())
                && (digits.is_empty() || digits.parse::<u16>().is_ok())
        }
    };
    (is_host && is_port).then_some(host)
}

/// Whether this `Origin` is that of a page which this host served. The scheme does not count: behind a
/// proxy that ends TLS, only the browser knows it.
fn is_of(origin: &[u8], authority: &[u8]) -> bool {
    let prefix = [&b"https://"[..], b"http://"];
    let mut rests = prefix
        .iter()
        .filter_map(|scheme| origin.strip_prefix(*scheme));
    rests.any(|rest| rest.eq_ignore_ascii_case(authority))
}

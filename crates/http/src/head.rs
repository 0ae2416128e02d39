use std::fmt;

use http::Uri;
use http::uri::PathAndQuery;

use crate::encode::Exchange;
use crate::framing::Framing;

/// The protocol version of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl From<Version> for http::Version {
    fn from(version: Version) -> Self {
        match version {
            Version::Http10 => Self::HTTP_10,
            Version::Http11 => Self::HTTP_11,
        }
    }
}

/// Where the parts of a request head are, as offsets into its bytes, and what they mean for the connection.
///
/// It has no lifetime, so it can be kept beside the buffer it describes, and its memory is used again for the next
/// request.  [`view`](Self::view) joins the two.
#[derive(Clone, Debug)]
pub struct HeadIndex {
    /// How many bytes of empty lines stand before the head. The offsets are counted from behind them.
    pub(crate) skipped: usize,
    pub(crate) version: Version,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) is_head: bool,
    pub(crate) line: Span,
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    pub(crate) fields: Vec<(Span, Span)>,
}

/// A range that costs eight bytes: heads are smaller than 4 GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes of `whole` in this range.
    pub(crate) fn of(self, whole: &[u8]) -> &[u8] {
        &whole[self.start as usize..self.end as usize]
    }
}

impl HeadIndex {
    pub(crate) fn new() -> Self {
        Self {
            skipped: 0,
            version: Version::Http11,
            framing: Framing::None,
            keep_alive: false,
            expects_continue: false,
            is_head: false,
            line: Span::default(),
            method: Span::default(),
            target: Span::default(),
            path: Span::default(),
            query: None,
            fields: Vec::new(),
        }
    }

    /// The head itself.  `bytes` must begin with what was `input[..used]` when the decoder returned
    /// [`Event::Head`](crate::Event::Head); with other bytes the view shows nonsense or its methods panic.
    pub fn view<'a>(&'a self, bytes: &'a [u8]) -> Head<'a> {
        Head { index: self, bytes: &bytes[self.skipped..] }
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the end of the body is found.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client allows another request on this connection (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client may wait for [`CONTINUE`](crate::CONTINUE) before it sends the body it announced.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether the method is HEAD, whose response has no body.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// What [`encode_head`](crate::encode_head) must know of this request.
    pub fn exchange(&self) -> Exchange {
        Exchange { version: self.version, is_head: self.is_head, keep_alive: self.keep_alive }
    }
}

/// A request head: borrowed, parsed, nothing copied.
///
/// ```
/// use rserve_http::{Decoder, Limits};
///
/// let bytes = b"GET /search?q=rust HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n";
/// let mut decoder = Decoder::new(Limits::default());
/// decoder.decode(bytes)?;
/// let head = decoder.head().view(bytes);
/// assert_eq!((head.method(), head.path(), head.query()), ("GET", "/search", Some("q=rust")));
/// assert_eq!(head.header("accept"), Some(&b"*/*"[..]));
/// # Ok::<(), rserve_http::Refusal>(())
/// ```
#[derive(Clone, Copy)]
pub struct Head<'a> {
    index: &'a HeadIndex,
    bytes: &'a [u8],
}

impl<'a> Head<'a> {
    /// The offsets behind this view.
    pub fn index(&self) -> &'a HeadIndex {
        self.index
    }

    /// The method: a token, case-sensitive.
    pub fn method(&self) -> &'a str {
        match self.slice(self.index.method) {
            // Nearly all, without a second look at each byte.
            b"GET" => "GET",
            b"HEAD" => "HEAD",
            b"POST" => "POST",
            _ => self.text(self.index.method),
        }
    }

    /// The request target as it was sent.
    pub fn target(&self) -> &'a str {
        self.text(self.index.target)
    }

    /// The path of the target, not decoded: begins with `/`, or is `*` for an OPTIONS request about the server itself.
    pub fn path(&self) -> &'a str {
        str::from_utf8(self.path_bytes()).expect("invariant: the parser let only text through")
    }

    /// The bytes of [`path`](Self::path): cheaper, where it is only compared.
    pub fn path_bytes(&self) -> &'a [u8] {
        match self.slice(self.index.path) {
            // `http://example.com` and `http://example.com?q` (RFC 9112 section 3.2.1).
            b"" => b"/",
            path => path,
        }
    }

    /// What follows the first `?` of the target, not decoded.
    pub fn query(&self) -> Option<&'a str> {
        self.index.query.map(|query| self.text(query))
    }

    /// The target, typed. The characters that browsers send but `http::Uri` does not take are percent-encoded in it.
    ///
    /// ```
    /// use rserve_http::{Decoder, Limits};
    ///
    /// let bytes = b"GET /`a` HTTP/1.1\r\nHost: a\r\n\r\n";
    /// let mut decoder = Decoder::new(Limits::default());
    /// decoder.decode(bytes)?;
    /// assert_eq!(decoder.head().view(bytes).uri().path(), "/%60a%60");
    /// # Ok::<(), rserve_http::Refusal>(())
    /// ```
    pub fn uri(&self) -> Uri {
        if let Ok(uri) = Uri::try_from(self.target()) {
            return uri;
        }
        let mut path = escape(self.path());
        if let Some(query) = self.query() {
            path.push('?');
            path.push_str(&escape(query));
        }
        Uri::from(PathAndQuery::try_from(path).expect("invariant: an escaped path is a path"))
    }

    /// The protocol version.
    pub const fn version(&self) -> Version {
        self.index.version
    }

    /// The value of the first field of this name, in any case of letters, without the white space around it.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.spans().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// All fields in the order they came.  Names have the client's case; values have no white space around them.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let view = *self;
        view.index.fields.iter().map(move |(name, value)| (view.text(*name), view.slice(*value)))
    }

    /// The first line without its CRLF, for logs.
    pub fn request_line(&self) -> &'a [u8] {
        self.slice(self.index.line)
    }

    fn spans(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let view = *self;
        view.index.fields.iter().map(move |(name, value)| (view.slice(*name), view.slice(*value)))
    }

    fn slice(&self, span: Span) -> &'a [u8] {
        span.of(self.bytes)
    }

    fn text(&self, span: Span) -> &'a str {
        str::from_utf8(self.slice(span)).expect("invariant: the parser let only text through")
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Field values may be credentials, so a debug print names the fields only.
        f.debug_struct("Head")
            .field("method", &self.method())
            .field("target", &self.target())
            .field("version", &self.version())
            .field("fields", &self.headers().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}

/// Percent-encodes what RFC 3986 does not allow in a path or query.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | ..=b' ' | 0x7f.. => {
                escaped.push_str(&format!("%{byte:02X}"));
            }
            _ => escaped.push(char::from(byte)),
        }
    }
    escaped
}

/// Bounds on what a client may send, with gunicorn's names and defaults.
///
/// Sizes are in bytes and do not count the CRLF of the line.  Zero is not a way to say "unlimited".
///
/// ```
/// let limits = rserve_http::Limits { fields: 50, ..Default::default() };
/// assert_eq!(limits.request_line, 4094);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest request line.  4094 by default; more than 16384 counts as 16384.
    pub request_line: usize,
    /// The most header fields, and the most trailer fields.  100 by default; more than 16384 counts as 16384.
    pub fields: usize,
    /// The longest field line: name, colon, space and value.  8190 by default; more than 65535 counts as 65535.
    ///
    /// It also bounds all the chunk extensions of one body together.
    pub field_size: usize,
    /// The largest request body, counted after chunked decoding.  Without a bound by default.
    pub body: Option<u64>,
}

/// No head may be larger than this, whatever the other limits allow together.
pub(crate) const MAX_HEAD: usize = 1 << 20;

impl Limits {
    /// What `http::Request` cannot hold is refused at the door, so that the conversion cannot fail.
    ///
    /// Percent-encoding may triple a target (a `http::Uri` ends at 65534 bytes), a `HeaderMap` holds 24576 entries, and
    /// a `HeaderName` 65535 bytes.
    pub(crate) fn capped(self) -> Self {
        Self {
            request_line: self.request_line.min(16_384),
            fields: self.fields.min(16_384),
            field_size: self.field_size.min(65_535),
            body: self.body,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_line: 4094, fields: 100, field_size: 8190, body: None }
    }
}

use std::io::Write;
use std::time::SystemTime;

use http::StatusCode;

use crate::framing::parse_length;
use crate::head::Version;

/// The interim response that a client with `Expect: 100-continue` waits for (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What the encoder must know of the request it answers; [`HeadIndex::exchange`](crate::HeadIndex::exchange) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The version of the request.
    pub version: Version,
    /// Whether the method was HEAD.
    pub is_head: bool,
    /// Whether the connection may persist: what the client asked for, and what the server allows.
    pub keep_alive: bool,
}

/// How the body follows the head that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// No body is sent, whatever the app gave.
    None,
    /// Exactly this many bytes, as they are.  If the body turns out shorter or longer, the connection must be cut.
    Length(u64),
    /// Each piece by [`encode_chunk`], then [`encode_last_chunk`].
    Chunked,
    /// As it is; the end of the connection is the end of the body.
    UntilClose,
}

/// A response that cannot be sent.  The client is to get a 500 instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The status is below 200: interim responses are the server's to send.
    #[error("the app answered with the interim status {0}; answer with 200 or above")]
    Interim(StatusCode),
    /// The status is not three digits and a reason phrase.
    #[error("the status is not like '200 OK'")]
    Status,
    /// A field's name is not a token.
    #[error("the name of a field is not a token")]
    Name,
    /// A field's value has control characters.
    #[error("the value of a field has characters that cannot be sent")]
    Value,
    /// The Content-Length is no number, or there are two that differ.
    #[error("the app set a malformed or repeated Content-Length; leave it out, the server sets it")]
    Length,
    /// The Content-Length is not the length of the body.
    #[error("the app set Content-Length {stated} for a body of {actual} bytes; leave it out, the server sets it")]
    LengthMismatch {
        /// What the field says.
        stated: u64,
        /// What the body has.
        actual: u64,
    },
    /// A Transfer-Encoding that the server did not apply.
    #[error("the app set a Transfer-Encoding; leave it out, the server frames the body")]
    TransferEncoding,
}

/// Appends the status line and the fields to `out`; says how the body goes and whether the connection persists.
///
/// Date and Server are added unless the app set them.  The server owns the framing and the connection: `length` (what
/// [`Body::len`](crate::Body::len) tells) decides between Content-Length and, for a body of unknown length, chunks or,
/// to an HTTP/1.0 client, the end of the connection.
///
/// Of the app's own fields about them, `Connection: close` and a true Content-Length are honoured; the other hop-by-hop
/// fields (RFC 9110 section 7.6.1) and `Transfer-Encoding: chunked` are dropped.  A HEAD or 304 response keeps the
/// Content-Length the app states; a HEAD response without one gets that of the body the app gave, if there is any; a
/// 204 has none (RFC 9110 section 8.6).
///
/// # Errors
///
/// A [`ResponseError`] if the head cannot be sent; `out` is as it was before.
///
/// ```
/// use rserve_http::{Decoder, Limits, Outgoing, encode_head};
///
/// let mut decoder = Decoder::new(Limits::default());
/// decoder.decode(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")?;
/// let (parts, ()) = http::Response::new(()).into_parts();
/// let mut out = Vec::new();
/// let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
/// let (outgoing, persist) = encode_head(&parts, Some(5), &decoder.head().exchange(), date, &mut out)?;
/// assert_eq!((outgoing, persist), (Outgoing::Length(5), true));
/// assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n") && out.ends_with(b"\r\nContent-Length: 5\r\n\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode_head(
    response: &http::response::Parts,
    length: Option<u64>,
    exchange: &Exchange,
    date: &[u8; 29],
    out: &mut Vec<u8>,
) -> Result<(Outgoing, bool), ResponseError> {
    let before = out.len();
    let result = write_head(response, length, exchange, date, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

fn write_head(
    response: &http::response::Parts,
    length: Option<u64>,
    exchange: &Exchange,
    date: &[u8; 29],
    out: &mut Vec<u8>,
) -> Result<(Outgoing, bool), ResponseError> {
    let status = response.status;
    if status.is_informational() {
        return Err(ResponseError::Interim(status));
    }
    write_status_line(status, out);
    let said = write_app_fields(&response.headers, out)?;
    write_rest(status, &said, length, exchange, date, out)
}

/// What the server has to say, after the status line and the app's fields.
pub(crate) fn write_rest(
    status: StatusCode,
    said: &Said,
    length: Option<u64>,
    exchange: &Exchange,
    date: &[u8; 29],
    out: &mut Vec<u8>,
) -> Result<(Outgoing, bool), ResponseError> {
    let (outgoing, content_length) = if status == StatusCode::NO_CONTENT {
        (Outgoing::None, None)
    } else if exchange.is_head && status != StatusCode::NOT_MODIFIED {
        // An app that answers HEAD with an empty body has not said what GET would send.
        (Outgoing::None, said.length.or_else(|| length.filter(|length| *length > 0)))
    } else if status == StatusCode::NOT_MODIFIED {
        (Outgoing::None, said.length)
    } else {
        match (said.length, length) {
            (Some(stated), Some(actual)) if stated != actual => {
                return Err(ResponseError::LengthMismatch { stated, actual });
            }
            (Some(0), _) | (None, Some(0)) => (Outgoing::None, Some(0)),
            (Some(length), _) | (None, Some(length)) => (Outgoing::Length(length), Some(length)),
            (None, None) if exchange.version == Version::Http10 => (Outgoing::UntilClose, None),
            (None, None) => (Outgoing::Chunked, None),
        }
    };
    let persist = exchange.keep_alive && !said.close && outgoing != Outgoing::UntilClose;

    if !said.server {
        out.extend_from_slice(b"Server: rserve\r\n");
    }
    if !said.date {
        write_date(date, out);
    }
    match (persist, exchange.version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
    if let Some(length) = content_length {
        write_content_length(length, out);
    }
    if outgoing == Outgoing::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok((outgoing, persist))
}

/// What the app's fields say that concerns the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    date: bool,
    server: bool,
    pub(crate) close: bool,
    pub(crate) length: Option<u64>,
}

impl Said {
    /// Takes note of a field, by its name in lower case; false if it is not to be sent as it is.
    pub(crate) fn note(&mut self, name: &[u8], value: &[u8]) -> Result<bool, ResponseError> {
        match name {
            b"date" => self.date = true,
            b"server" => self.server = true,
            b"content-length" => {
                let length = parse_length(value).ok_or(ResponseError::Length)?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(ResponseError::Length);
                }
                self.length = Some(length);
                return Ok(false);
            }
            b"connection" => {
                let mut tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                self.close |= tokens.any(|token| token.eq_ignore_ascii_case(b"close"));
                return Ok(false);
            }
            b"transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") => return Ok(false),
            b"transfer-encoding" => return Err(ResponseError::TransferEncoding),
            b"keep-alive" | b"proxy-connection" | b"te" | b"trailer" | b"upgrade" => return Ok(false),
            _ => {}
        }
        Ok(true)
    }
}

fn write_app_fields(headers: &http::HeaderMap, out: &mut Vec<u8>) -> Result<Said, ResponseError> {
    let mut said = Said::default();
    for (name, value) in headers {
        let (name, value) = (name.as_str(), value.as_bytes());
        if !said.note(name.as_bytes(), value)? {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    Ok(said)
}

/// Appends one chunk of a chunked body.  Empty data appends nothing, since an empty chunk would end the body.
pub fn encode_chunk(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        chunk_head(data.len(), out);
        out.extend_from_slice(data);
        out.extend_from_slice(CHUNK_END);
    }
}

/// Appends what goes before the `length` bytes of a chunk, for data that is sent from where it lies.  [`CHUNK_END`]
/// goes after them.  `length` must not be 0: that would end the body.
pub fn chunk_head(length: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let significant = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..significant).rev().map(|digit| DIGITS[length >> (digit * 4) & 0xf]));
    out.extend_from_slice(b"\r\n");
}

/// What goes after the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends the end of a chunked body.
pub fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Appends a whole response with `text` and a line feed as its `text/plain` body.
///
/// Pass `close` as true if the connection will be closed, and always in answer to HEAD, since there is a body.
///
/// ```
/// let mut out = Vec::new();
/// rserve_http::encode_error(http::StatusCode::GATEWAY_TIMEOUT, "too slow", true, &[b'-'; 29], &mut out);
/// assert!(out.starts_with(b"HTTP/1.1 504 Gateway Timeout\r\n") && out.ends_with(b"\r\n\r\ntoo slow\n"));
/// ```
pub fn encode_error(status: StatusCode, text: &str, close: bool, date: &[u8; 29], out: &mut Vec<u8>) {
    write_status_line(status, out);
    out.extend_from_slice(b"Server: rserve\r\n");
    write_date(date, out);
    if close {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    write_content_length(text.len() as u64 + 1, out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

/// Writes `time` in the one form an HTTP date is sent in (RFC 9110 section 5.6.7), in seconds, for the Date field.
///
/// # Panics
///
/// After the year 9999, and before 1970.
///
/// ```
/// let mut date = [0; 29];
/// rserve_http::format_date(std::time::UNIX_EPOCH, &mut date);
/// assert_eq!(&date, b"Thu, 01 Jan 1970 00:00:00 GMT");
/// ```
pub fn format_date(time: SystemTime, date: &mut [u8; 29]) {
    write!(&mut date[..], "{}", httpdate::HttpDate::from(time)).expect("invariant: an HTTP date has 29 bytes");
}

fn write_status_line(status: StatusCode, out: &mut Vec<u8>) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_date(date: &[u8; 29], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
}

fn write_content_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;

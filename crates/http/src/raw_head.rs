use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::encode::{Exchange, Outgoing, ResponseError, Said, write_rest};
use crate::octets::{is_field_value, is_token_byte};

/// The head of a response as its app wrote it: with its own reason phrase, and the fields in their order and case.
///
/// It costs less than the typed one, and is held to the same rules: what an app may not say is found out as it is put in, and
/// the server has its say about framing and connection when it is sent.
///
/// ```
/// use rserve_http::RawHead;
///
/// let mut head = RawHead::new(b"200 All Is Well")?;
/// assert!(head.field(b"X-sHoUt", b"yes")?);
/// assert!(!head.field(b"Keep-Alive", b"timeout=5")?, "this is the server's");
/// assert!(head.field(b"X-Split", b"a\r\nb").is_err());
/// assert_eq!(head.fields()["x-shout"], "yes");
/// # Ok::<(), rserve_http::ResponseError>(())
/// ```
///
/// Of a head that is the same for many responses each may have a clone.
#[derive(Clone, Debug)]
pub struct RawHead {
    status: StatusCode,
    /// From the start of the status line to the end of the last field.
    bytes: Vec<u8>,
    said: Said,
}

/// Enough for the fields of most responses, and for what their memory is at least.
const USUAL: usize = 240;

/// What the server has to know of has a name of no more bytes.
const LONGEST: usize = "transfer-encoding".len();

impl RawHead {
    /// A head without fields. `status` is three digits, a space and the reason phrase, or the digits alone.
    ///
    /// # Errors
    ///
    /// It is not that, or below 200.
    pub fn new(status: &[u8]) -> Result<Self, ResponseError> {
        let (code, reason) = status.split_at_checked(3).ok_or(ResponseError::Status)?;
        let code = StatusCode::from_bytes(code).map_err(|_| ResponseError::Status)?;
        if !(reason.is_empty() || (reason[0] == b' ' && is_field_value(reason))) {
            return Err(ResponseError::Status);
        }
        if code.is_informational() {
            return Err(ResponseError::Interim(code));
        }
        let mut bytes = Vec::with_capacity(USUAL);
        bytes.extend_from_slice(b"HTTP/1.1 ");
        bytes.extend_from_slice(status);
        bytes.extend_from_slice(if reason.is_empty() { b" \r\n" } else { b"\r\n" });
        Ok(Self { status: code, bytes, said: Said::default() })
    }

    /// Adds a field; false if it is one of the server's, which is left out. Content-Length is [kept](Self::content_length),
    /// and so is that `Connection` says `close`.
    ///
    /// # Errors
    ///
    /// The name is not a token, or the value has bytes that may not be sent; what [`encode_head`](crate::encode_head) says
    /// of fields.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<bool, ResponseError> {
        if name.is_empty() || !name.iter().copied().all(is_token_byte) {
            return Err(ResponseError::Name);
        }
        if !is_field_value(value) {
            return Err(ResponseError::Value);
        }
        if name.len() <= LONGEST {
            let mut lower = [0; LONGEST];
            let lower = &mut lower[..name.len()];
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            if !self.said.note(lower, value)? {
                return Ok(lower == b"content-length" || (lower == b"connection" && self.said.close));
            }
        }
        for part in [name, b": ", value, b"\r\n"] {
            self.bytes.extend_from_slice(part);
        }
        Ok(true)
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What the app says that the length of the body is.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        self.said.length
    }

    /// The fields, Content-Length included.
    #[must_use]
    pub fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::new();
        let lines = self.bytes.split(|byte| *byte == b'\n').skip(1);
        for line in lines.filter_map(|line| line.strip_suffix(b"\r")) {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.get(colon + 2..).unwrap_or_default();
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value)) {
                fields.append(name, value);
            }
        }
        if let Some(length) = self.said.length {
            fields.insert(http::header::CONTENT_LENGTH, length.into());
        }
        fields
    }

    pub(crate) fn encode(
        &self,
        length: Option<u64>,
        exchange: &Exchange,
        date: &[u8; 29],
        out: &mut Vec<u8>,
    ) -> Result<(Outgoing, bool), ResponseError> {
        let before = out.len();
        out.extend_from_slice(&self.bytes);
        let result = write_rest(self.status, &self.said, length, exchange, date, out);
        if result.is_err() {
            out.truncate(before);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Version;

    fn head(status: &str, fields: &[(&str, &str)]) -> Result<RawHead, ResponseError> {
        let mut head = RawHead::new(status.as_bytes())?;
        for (name, value) in fields {
            head.field(name.as_bytes(), value.as_bytes())?;
        }
        Ok(head)
    }

    fn sent(head: &RawHead, length: Option<u64>) -> Result<(String, Outgoing, bool), ResponseError> {
        let exchange = Exchange { version: Version::Http11, is_head: false, keep_alive: true };
        let mut out = b"before ".to_vec();
        let encoded = head.encode(length, &exchange, &[b'-'; 29], &mut out);
        if encoded.is_err() {
            assert_eq!(out, b"before ");
        }
        let (outgoing, persist) = encoded?;
        Ok((String::from_utf8(out[7..].to_vec()).unwrap(), outgoing, persist))
    }

    #[test]
    fn it_is_sent_as_it_was_written() {
        let head =
            head("404 Not Here", &[("x-A", "1"), ("X-a", "\u{e9}"), ("SERVER", "mine"), ("Date", "then")]).unwrap();
        let (text, outgoing, persist) = sent(&head, Some(3)).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 404 Not Here\r\nx-A: 1\r\nX-a: \u{e9}\r\nSERVER: mine\r\nDate: then\r\nContent-Length: 3\r\n\r\n"
        );
        assert_eq!((outgoing, persist), (Outgoing::Length(3), true));
    }

    #[test]
    fn what_is_the_servers_is_left_out() {
        let head = head("200", &[("TE", "x"), ("Connection", "x, Close"), ("uPgrade", "h2c")]).unwrap();
        let (text, outgoing, persist) = sent(&head, None).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 \r\nServer: rserve\r\nDate: "), "{text}");
        assert_eq!((outgoing, persist), (Outgoing::Chunked, false));
    }

    #[test]
    fn what_may_not_be_said_is_found_out() {
        for status in ["", "20", "2000", "abc", "200OK", "200 O\rK", "099 Low"] {
            assert_eq!(head(status, &[]).unwrap_err(), ResponseError::Status, "{status:?}");
        }
        assert!(matches!(head("101 Go", &[]).unwrap_err(), ResponseError::Interim(_)));
        for (name, value, error) in [
            ("", "a", ResponseError::Name),
            ("a b", "a", ResponseError::Name),
            ("a:", "a", ResponseError::Name),
            ("a", "a\nb", ResponseError::Value),
            ("a", "a\0", ResponseError::Value),
            ("content-Length", "x", ResponseError::Length),
            ("Transfer-Encoding", "gzip", ResponseError::TransferEncoding),
        ] {
            assert_eq!(head("200 OK", &[(name, value)]).unwrap_err(), error, "{name:?} {value:?}");
        }
        let twice = head("200 OK", &[("Content-Length", "1"), ("content-length", "2")]);
        assert_eq!(twice.unwrap_err(), ResponseError::Length);
        let long = head("200 OK", &[("Content-Length", "1")]).unwrap();
        assert_eq!(long.content_length(), Some(1));
        assert_eq!(sent(&long, Some(2)).unwrap_err(), ResponseError::LengthMismatch { stated: 1, actual: 2 });
    }

    #[test]
    fn it_can_be_typed() {
        let head = head("200 OK", &[("A", "1"), ("a", "2"), ("Empty", ""), ("Content-Length", "7")]).unwrap();
        let fields = head.fields();
        assert_eq!(fields.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(
            (&fields["empty"], &fields["content-length"], fields.len()),
            (&"".parse().unwrap(), &"7".parse().unwrap(), 4)
        );
    }
}

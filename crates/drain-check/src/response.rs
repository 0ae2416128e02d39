/// A whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    /// The status code.
    pub status: u16,
    /// Whether the connection may be used for another request.
    pub keep_alive: bool,
}

/// Reads a response to a GET or POST from its beginning; `None` while it is not whole. `ended`: the server has closed its
/// side, which is how a response without a length says that it is whole.
///
/// ```
/// use rserve_drain_check::{Complete, complete};
///
/// let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// assert_eq!(complete(response, false), Some(Complete { status: 200, keep_alive: true }));
/// assert_eq!(complete(&response[..39], true), None);
/// ```
#[must_use]
pub fn complete(received: &[u8], ended: bool) -> Option<Complete> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(head)) = response.parse(received) else { return None };
    let (status, body) = (response.code?, &received[head..]);
    let field = |name: &str| {
        let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        found.map(|field| String::from_utf8_lossy(field.value).trim().to_ascii_lowercase())
    };
    let says_close = field("connection").map_or_else(|| response.version == Some(0), |value| value.contains("close"));
    let (whole, framed) = if matches!(status, 204 | 304) {
        (true, true)
    } else if field("transfer-encoding").is_some_and(|value| value.ends_with("chunked")) {
        (chunks_end(body), true)
    } else if let Some(length) = field("content-length") {
        (body.len() >= length.parse().ok()?, true)
    } else {
        (ended, false)
    };
    whole.then_some(Complete { status, keep_alive: framed && !says_close })
}

/// Whether the last chunk has come, and the end of the trailer.
fn chunks_end(mut body: &[u8]) -> bool {
    loop {
        let Ok(httparse::Status::Complete((size_line, size))) = httparse::parse_chunk_size(body) else { return false };
        if size == 0 {
            let trailer = &body[size_line..];
            return trailer.starts_with(b"\r\n") || trailer.windows(4).any(|bytes| bytes == b"\r\n\r\n");
        }
        let next = usize::try_from(size).ok().and_then(|size| size_line.checked_add(size)?.checked_add(2));
        match next.and_then(|next| body.get(next..)) {
            Some(rest) => body = rest,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_at_its_last_byte_and_not_before() {
        for (text, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", true),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n", true),
            ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ] {
            for cut in 0..text.len() {
                assert_eq!(complete(&text.as_bytes()[..cut], true), None, "{cut} bytes of {text:?}");
            }
            let whole = complete(text.as_bytes(), false).unwrap();
            assert_eq!(whole.keep_alive, keep_alive, "{text:?}");
        }
    }

    #[test]
    fn without_a_length_the_end_of_the_connection_is_the_end() {
        let text = b"HTTP/1.1 200 OK\r\n\r\nabc";
        assert_eq!(complete(text, false), None);
        assert_eq!(complete(text, true), Some(Complete { status: 200, keep_alive: false }));
    }
}

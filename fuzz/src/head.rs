use rserve_http::{ConnectInfo, Decoder, Event, Framing, Head, Limits, Refusal, Request, RequestBody, Version};

/// What the decoder lets through as a head is one by the letter of the RFC, by checks that share nothing with its code.
///
/// It can be made into an `http::Request`; and written down plainly and read again, it is the same.
pub fn head(data: &[u8]) {
    let mut decoder = Decoder::new(Limits::default());
    match decoder.decode(data) {
        Ok((used, Event::Head)) => {
            let head = decoder.head().view(&data[..used]);
            check_lines(&data[..used]);
            check_parts(head);
            check_fields(head);
            check_conversion(head);
            check_again(head);
        }
        Ok((used, Event::NeedMore)) => assert!(used <= data.len()),
        Ok((_, event)) => panic!("{event:?} before a head"),
        Err(refusal) => check_refusal(refusal),
    }
}

/// CRLF ends each line, and neither byte stands alone; no NUL; the blank line comes last, or before the first line.
fn check_lines(bytes: &[u8]) {
    let text = bytes.escape_ascii();
    assert!(bytes.ends_with(b"\r\n\r\n"), "{text}");
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes.get(at + 1), Some(&b'\n'), "{text}"),
            b'\n' => assert!(at > 0 && bytes[at - 1] == b'\r', "{text}"),
            byte => assert!(*byte == b'\t' || (*byte >= b' ' && *byte != 0x7f), "{text}"),
        }
    }
    let from_line = &bytes[bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or_default()..];
    let blank = from_line.windows(4).position(|four| four == b"\r\n\r\n");
    assert_eq!(blank, Some(from_line.len() - 4), "{text}");
    let obsolete_fold = from_line.windows(3).any(|three| matches!(three, [b'\r', b'\n', b' ' | b'\t']));
    assert!(!obsolete_fold, "{text}");
}

fn check_parts(head: Head<'_>) {
    let version = if head.version() == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let line = format!("{} {} {version}", head.method(), head.target());
    assert_eq!(head.request_line(), line.as_bytes());
    assert!(http::Method::from_bytes(head.method().as_bytes()).is_ok(), "{line}");
    assert!(head.target().bytes().all(|byte| byte.is_ascii_graphic()), "{line}");
    assert!(!head.target().contains('#') && !head.path().contains('?'), "{line}");
    assert!(head.path().starts_with('/') || (head.path() == "*" && head.method() == "OPTIONS"), "{line}");
    let mut end = if head.path() == "/" { String::new() } else { head.path().to_owned() };
    if let Some(query) = head.query() {
        end += &format!("?{query}");
    }
    assert!(head.target().ends_with(&end), "{line}: {end}");
    if !head.target().starts_with(['/', '*']) {
        let scheme = head.target().to_ascii_lowercase();
        assert!(scheme.starts_with("http://") || scheme.starts_with("https://"), "{line}");
    }
}

fn check_fields(head: Head<'_>) {
    let values = |wanted: &str| -> Vec<&[u8]> {
        head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value).collect()
    };
    for (name, value) in head.headers() {
        assert!(http::HeaderName::from_bytes(name.as_bytes()).is_ok(), "{name}");
        assert!(http::HeaderValue::from_bytes(value).is_ok(), "{name}");
        assert!(!matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']), "{name}");
    }
    let hosts = values("host").len();
    assert!(hosts == 1 || (hosts == 0 && head.version() == Version::Http10), "{head:?}");
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match (&lengths[..], &codings[..], head.index().framing()) {
        ([], [], Framing::None) => {}
        ([length], [], Framing::Length(found)) => {
            let text = std::str::from_utf8(length).expect("digits");
            assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
            assert_eq!(text.parse(), Ok(found));
        }
        ([], [coding], Framing::Chunked) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && head.version() == Version::Http11, "{head:?}");
        }
        (.., framing) => panic!("{lengths:?} and {codings:?} are {framing:?}"),
    }
}

fn check_conversion(head: Head<'_>) {
    let fields = head.headers().len();
    let request = Request::new(head, RequestBody::Empty, ConnectInfo::default()).into_http();
    assert_eq!(request.method().as_str(), head.method());
    assert_eq!(request.headers().len(), fields);
}

fn check_again(head: Head<'_>) {
    let mut text = [head.request_line(), b"\r\n"].concat();
    for (name, value) in head.headers() {
        text.extend([name.as_bytes(), b":", value, b"\r\n"].concat());
    }
    text.extend(b"\r\n");
    let mut decoder = Decoder::new(Limits::default());
    assert_eq!(decoder.decode(&text), Ok((text.len(), Event::Head)), "{}", text.escape_ascii());
    let again = decoder.head().view(&text);
    assert_eq!((again.method(), again.path(), again.query()), (head.method(), head.path(), head.query()));
    assert!(again.headers().eq(head.headers()));
    assert_eq!(again.index().exchange(), head.index().exchange());
    assert_eq!(again.index().framing(), head.index().framing());
    assert_eq!(again.index().expects_continue(), head.index().expects_continue());
}

fn check_refusal(refusal: Refusal) {
    let status = refusal.status().as_u16();
    assert!((400..500).contains(&status) || matches!(status, 501 | 505), "{refusal:?}");
    let mut out = Vec::new();
    refusal.encode(b"Sun, 06 Nov 1994 08:49:37 GMT", &mut out);
    let mut slots = [httparse::EMPTY_HEADER; 8];
    let mut response = httparse::Response::new(&mut slots);
    let end = response.parse(&out).expect("a response").unwrap();
    assert_eq!(response.code, Some(status));
    let field = |name: &str| response.headers.iter().find(|header| header.name == name).map(|header| header.value);
    assert_eq!(field("Connection"), Some(&b"close"[..]));
    assert_eq!(field("Content-Length"), Some((out.len() - end).to_string().as_bytes()));
}

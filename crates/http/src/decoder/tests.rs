use arbtest::arbitrary::{self, Unstructured};
use arbtest::arbtest;

use super::*;

const SMALL: Limits = Limits { request_line: 40, fields: 4, field_size: 30, body: Some(20) };

/// Feeds the pieces as a connection would and writes down what comes out, a line per head, body and refusal.
pub(crate) fn transcript(limits: Limits, pieces: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::new(limits);
    let mut buffer = Vec::new();
    let mut body = Vec::new();
    let mut lines = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let (used, event) = match decoder.decode(&buffer) {
                Ok(decoded) => decoded,
                Err(refusal) => {
                    assert_eq!(decoder.decode(b"GET"), Err(refusal), "a refusal is final");
                    lines.push(format!("refused: {refusal}"));
                    return lines;
                }
            };
            match event {
                Event::NeedMore => {}
                Event::Head => lines.push(describe(&decoder, &buffer[..used])),
                Event::Data(ref range) => {
                    assert!(!range.is_empty() && range.end == used);
                    body.extend_from_slice(&buffer[range.clone()]);
                }
                Event::End => {
                    lines.push(format!("body: {}", body.escape_ascii()));
                    body.clear();
                    decoder.next_request();
                }
            }
            buffer.drain(..used);
            if event == Event::NeedMore {
                break;
            }
        }
    }
    let rest = if decoder.is_idle() { "idle" } else { "unfinished" };
    lines.push(rest.to_owned());
    lines
}

fn describe(decoder: &Decoder, bytes: &[u8]) -> String {
    let index = decoder.head();
    let head = index.view(bytes);
    let fields: Vec<_> = head.headers().map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect();
    assert!(bytes.trim_ascii_start().starts_with(head.request_line()));
    format!(
        "{} {} {:?} path={} query={:?} [{}] {:?}{}{}",
        head.method(),
        head.target(),
        head.version(),
        head.path(),
        head.query(),
        fields.join(" "),
        index.framing(),
        if index.keep_alive() { "" } else { " close" },
        if index.expects_continue() { " continue" } else { "" },
    )
}

fn refusal(limits: Limits, input: &[u8]) -> Option<Refusal> {
    let mut decoder = Decoder::new(limits);
    let mut input = input;
    loop {
        match decoder.decode(input) {
            Err(refusal) => return Some(refusal),
            Ok((_, Event::NeedMore)) => return None,
            Ok((used, _)) => input = &input[used..],
        }
    }
}

#[test]
fn pipelined_requests_come_out_one_by_one() {
    let input = b"\r\nGET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n\
        PUT /0 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n\
        POST /b HTTP/1.1\r\nHost:x\r\nContent-Length: 3\r\n\r\nabc\
        PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n\
        \r\n\r\nHEAD http://x HTTP/1.0\r\n\r\n\
        OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(
        transcript(Limits::default(), &[input]),
        [
            "GET /a?b=c Http11 path=/a query=Some(\"b=c\") [Host=x] None",
            "body: ",
            "PUT /0 Http11 path=/0 query=None [Host=x Content-Length=0] Length(0)",
            "body: ",
            "POST /b Http11 path=/b query=None [Host=x Content-Length=3] Length(3)",
            "body: abc",
            "PUT /c Http11 path=/c query=None [Host=x Transfer-Encoding=chunked] Chunked",
            "body: abcde",
            "HEAD http://x Http10 path=/ query=None [] None close",
            "body: ",
            "OPTIONS * Http11 path=* query=None [Host=x] None",
            "body: ",
            "idle",
        ]
    );
}

#[test]
fn heads_are_refused() {
    use Refusal::*;
    for (head, expected) in [
        (&b"\x16\x03\x01"[..], RequestLine),
        (b" GET / HTTP/1.1\r\n", RequestLine),
        (b"GET /\r\n\r\n", RequestLine),
        (b"GET  / HTTP/1.1\r\n\r\n", RequestLine),
        (b"GET /  HTTP/1.1\r\n\r\n", RequestLine),
        (b"GET /\tHTTP/1.1\r\n\r\n", RequestLine),
        (b"GET / HTTP/1.1 \r\n\r\n", RequestLine),
        (b"GET / http/1.1\r\n\r\n", RequestLine),
        (b"GET / HTTP/11\r\n\r\n", RequestLine),
        (b"GET / a HTTP/1.1\r\n\r\n", RequestLine),
        (b"GET /\r HTTP/1.1\r\n\r\n", RequestLine),
        (b"GET /\0 HTTP/1.1\r\n\r\n", RequestLine),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b"G(T / HTTP/1.1\r\n\r\n", RequestLine),
        (b"GET / HTTP/1.2\r\n\r\n", Version),
        (b"PRI * HTTP/2.0\r\n\r\n", Version),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", Target),
        (b"GET /#b HTTP/1.1\r\nHost: a\r\n\r\n", Target),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes(), Target),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", Target),
        (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Target),
        (b"GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", Target),
        (b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Target),
        (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Target),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", Connect),
        (b"GET / HTTP/1.1\r\n\r\n", HostMissing),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", HostRepeated),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", HostRepeated),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HostInvalid),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HostInvalid),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HostInvalid),
        (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", HostMismatch),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", BareLineFeed),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", BareLineFeed),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", BareLineFeed),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BareLineFeed),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BareCarriageReturn),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", BareCarriageReturn),
        (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", FieldValue),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n", FieldValue),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x7f\r\n\r\n", FieldValue),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", Folding),
        (b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", Folding),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", FieldName),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", FieldName),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", FieldName),
        (b"GET / HTTP/1.1\r\nX\xe9: a\r\n\r\n", FieldName),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", Expectation),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nExpect: 100-continue\r\n\r\n", Expectation),
        (&b"\r\n".repeat(9), EmptyLines),
    ] {
        assert_eq!(refusal(Limits::default(), head), Some(expected), "{}", head.escape_ascii());
    }
}

#[test]
fn limits_hold_exactly_and_at_once() {
    use Refusal::*;
    let head = |line: usize, fields: usize, size: usize| {
        let fields = format!("X: {}\r\n", "v".repeat(size - 3)).repeat(fields - 1);
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n{fields}", "p".repeat(line - 14))
    };
    let whole = |line, fields, size| head(line, fields, size) + "\r\n";
    for (input, expected) in [
        (whole(40, 4, 30), None),
        (whole(41, 4, 30), Some(RequestLineTooLong)),
        (whole(40, 5, 30), Some(TooManyFields)),
        (whole(40, 4, 31), Some(FieldTooLarge)),
        // As soon as the bytes are there that are too many, without the end of the line.
        ("G".repeat(40), None),
        ("G".repeat(41), Some(RequestLineTooLong)),
        (head(40, 2, 30) + &"X".repeat(30), None),
        (head(40, 2, 30) + &"X".repeat(31), Some(FieldTooLarge)),
        (head(40, 4, 30) + "\r", None),
        (head(40, 4, 30) + "X", Some(TooManyFields)),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n".to_owned(), None),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 21\r\n\r\n".to_owned(), Some(BodyTooLarge)),
    ] {
        assert_eq!(refusal(SMALL, input.as_bytes()), expected, "{input:?}");
    }
}

#[test]
fn limits_end_where_the_http_types_do() {
    let limits = Limits { request_line: usize::MAX, fields: usize::MAX, field_size: usize::MAX, body: None };
    let field = |size: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "v".repeat(size - 3));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X:\r\n".repeat(count - 1));
    for (input, expected) in [
        ("G".repeat(16_384), None),
        ("G".repeat(16_385), Some(Refusal::RequestLineTooLong)),
        (fields(16_384), None),
        (fields(16_385), Some(Refusal::TooManyFields)),
        (field(65_535), None),
        (field(65_536), Some(Refusal::FieldTooLarge)),
    ] {
        assert_eq!(refusal(limits, input.as_bytes()), expected, "{} bytes", input.len());
    }
}

#[test]
fn the_sum_of_the_limits_is_bounded_too() {
    const MAX: usize = 1 << 20;
    let limits = Limits { fields: 1000, ..Limits::default() };
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    while head.len() <= MAX {
        head.extend_from_slice(format!("X: {}\r\n", "v".repeat(8000)).as_bytes());
    }
    assert_eq!(refusal(limits, &head[..MAX]), None);
    assert_eq!(refusal(limits, &head[..=MAX]), Some(Refusal::HeadTooLarge));
    head.extend_from_slice(b"\r\n");
    assert_eq!(refusal(limits, &head), Some(Refusal::HeadTooLarge));
}

#[test]
fn persistence_follows_version_and_connection_tokens() {
    for (version, fields, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive\r\nConnection: close\r\n", false),
    ] {
        let mut decoder = Decoder::new(Limits::default());
        decoder.decode(format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
        assert_eq!(decoder.head().keep_alive(), expected, "HTTP/{version} {fields:?}");
    }
}

#[test]
fn only_a_client_with_a_body_to_send_waits_for_100() {
    for (version, fields, expected) in [
        ("1.1", "Expect: 100-Continue\r\nContent-Length: 5\r\n", true),
        ("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Content-Length: 5\r\n", false),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n", false),
        ("1.0", "Expect: tea\r\nContent-Length: 5\r\n", false),
    ] {
        let mut decoder = Decoder::new(Limits::default());
        decoder.decode(format!("PUT / HTTP/{version}\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
        assert_eq!(decoder.head().expects_continue(), expected, "HTTP/{version} {fields:?}");
    }
}

#[test]
fn idle_means_nothing_of_the_next_request_was_seen() {
    let mut decoder = Decoder::new(Limits::default());
    assert!(decoder.is_idle());
    assert_eq!(decoder.decode(b"\r\n\r\n"), Ok((4, Event::NeedMore)));
    assert!(decoder.is_idle());
    assert_eq!(decoder.decode(b"G"), Ok((0, Event::NeedMore)));
    assert!(!decoder.is_idle());
}

#[test]
#[should_panic(expected = "after Event::End only")]
fn the_rest_of_a_body_is_never_taken_for_a_request() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.decode(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nGET / HTT").unwrap();
    decoder.next_request();
}

/// Pieces that requests, good and bad, are put together from.
const PIECES: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /p?q=r HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Connection: close\r\n",
    "4\r\nbody\r\n",
    "a;x=y\r\n0123456789\r\n",
    "0\r\n\r\n",
    "0\r\nTrailer: x\r\n\r\n",
    "\r\n",
    "\r",
    "\n",
    " ",
    "X: y",
    "ffffffffffffffff\r\n",
    "padding-padding-padding-padding-padding",
    "\0",
    "\u{e9}",
];

fn input(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let mut input = Vec::new();
    for _ in 0..u.int_in_range(1..=8)? {
        input.extend_from_slice(u.choose(PIECES)?.as_bytes());
    }
    Ok(input)
}

#[test]
fn any_split_of_the_same_bytes_gives_the_same_events() {
    arbtest(|u| {
        let input = input(u)?;
        let limits = if u.arbitrary()? { SMALL } else { Limits::default() };
        let whole = transcript(limits, &[&input]);

        let mut pieces = Vec::new();
        let mut rest = &input[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(u.int_in_range(1..=rest.len())?);
            pieces.push(piece);
            rest = after;
        }
        assert_eq!(transcript(limits, &pieces), whole, "{} as {pieces:?}", input.escape_ascii());

        let bytes: Vec<_> = input.chunks(1).collect();
        assert_eq!(transcript(limits, &bytes), whole, "{} byte by byte", input.escape_ascii());
        Ok(())
    });
}

/// Whatever a decoder lets through can be made into an `http::Request`: the conversion must not panic.
#[test]
fn what_is_accepted_can_be_converted() {
    arbtest(|u| {
        let mut target: Vec<u8> = u.arbitrary()?;
        target.retain(|byte| *byte > b' ');
        let mut head = [b"GET /", &target[..], b" HTTP/1.1\r\nHost: a\r\n"].concat();
        head.extend_from_slice(&u.arbitrary::<Vec<u8>>()?);
        head.extend_from_slice(b"\r\n\r\n");
        let mut decoder = Decoder::new(Limits::default());
        if let Ok((used, Event::Head)) = decoder.decode(&head) {
            let view = decoder.head().view(&head[..used]);
            let request =
                crate::Request::new(view, crate::RequestBody::Empty, crate::ConnectInfo::default()).into_http();
            assert!(request.uri().path().starts_with('/'));
        }
        Ok(())
    });
}

use super::*;

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";
const GET: Exchange = Exchange { version: Version::Http11, is_head: false, keep_alive: true };
const HEAD: Exchange = Exchange { is_head: true, ..GET };
const CLOSING: Exchange = Exchange { keep_alive: false, ..GET };
const OLD: Exchange = Exchange { version: Version::Http10, ..GET };

/// The head for a status and fields, `Server` and `Date` left out where they are what they should be.
fn encode(
    status: u16,
    fields: &[(&str, &str)],
    length: Option<u64>,
    exchange: Exchange,
) -> Result<(String, Outgoing, bool), ResponseError> {
    let mut response = http::Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    let (parts, ()) = response.body(()).unwrap().into_parts();
    let mut out = b"before".to_vec();
    let result = encode_head(&parts, length, &exchange, DATE, &mut out);
    let written = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
    if result.is_err() {
        assert_eq!(written, "", "nothing is written for an error");
    }
    let (outgoing, persist) = result?;
    Ok((written.replace("Server: rserve\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", ""), outgoing, persist))
}

#[test]
fn a_response_byte_for_byte() {
    let (parts, ()) = http::Response::builder().header("content-type", "text/plain").body(()).unwrap().into_parts();
    let mut out = Vec::new();
    assert_eq!(encode_head(&parts, Some(13), &GET, DATE, &mut out), Ok((Outgoing::Length(13), true)));
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 200 OK\r\n\
         content-type: text/plain\r\n\
         Server: rserve\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Length: 13\r\n\r\n"
    );
}

/// Each line: status, the app's fields, body length, exchange; then the fields written, how the body goes, persistence.
#[test]
fn framing_and_persistence() {
    use Outgoing::{Chunked, Length, UntilClose};
    let close = ("connection", "close");
    let length = |value| ("content-length", value);
    for (status, fields, body, exchange, written, outgoing, persist) in [
        (200, &[][..], Some(0), GET, "Content-Length: 0\r\n", Outgoing::None, true),
        (200, &[], Some(7), GET, "Content-Length: 7\r\n", Length(7), true),
        (200, &[], None, GET, "Transfer-Encoding: chunked\r\n", Chunked, true),
        (200, &[length("7")], Some(7), GET, "Content-Length: 7\r\n", Length(7), true),
        (200, &[length("7")], None, GET, "Content-Length: 7\r\n", Length(7), true),
        (200, &[length("7"), length("07")], None, GET, "Content-Length: 7\r\n", Length(7), true),
        (200, &[length("0")], None, GET, "Content-Length: 0\r\n", Outgoing::None, true),
        // Closing, whoever wants it.
        (200, &[], Some(7), CLOSING, "Connection: close\r\nContent-Length: 7\r\n", Length(7), false),
        (200, &[close], Some(7), GET, "Connection: close\r\nContent-Length: 7\r\n", Length(7), false),
        (
            200,
            &[("connection", "x, Close")],
            Some(0),
            GET,
            "Connection: close\r\nContent-Length: 0\r\n",
            Outgoing::None,
            false,
        ),
        // HTTP/1.0 clients know no chunks, and want to be told that the connection stays.
        (200, &[], Some(7), OLD, "Connection: keep-alive\r\nContent-Length: 7\r\n", Length(7), true),
        (200, &[], None, OLD, "Connection: close\r\n", UntilClose, false),
        (200, &[length("7")], None, OLD, "Connection: keep-alive\r\nContent-Length: 7\r\n", Length(7), true),
        // Responses without a body.
        (200, &[], Some(7), HEAD, "Content-Length: 7\r\n", Outgoing::None, true),
        (200, &[], Some(0), HEAD, "", Outgoing::None, true),
        (200, &[], None, HEAD, "", Outgoing::None, true),
        (200, &[length("7")], Some(0), HEAD, "Content-Length: 7\r\n", Outgoing::None, true),
        (204, &[], Some(0), GET, "", Outgoing::None, true),
        (204, &[length("0")], Some(7), GET, "", Outgoing::None, true),
        (204, &[length("0")], Some(0), HEAD, "", Outgoing::None, true),
        (304, &[], Some(0), GET, "", Outgoing::None, true),
        (304, &[], Some(7), GET, "", Outgoing::None, true),
        (304, &[length("7")], Some(0), GET, "Content-Length: 7\r\n", Outgoing::None, true),
        (304, &[], None, OLD, "Connection: keep-alive\r\n", Outgoing::None, true),
        // The server's own fields are dropped, the app's Date and Server kept.
        (200, &[("transfer-encoding", "Chunked")], None, GET, "Transfer-Encoding: chunked\r\n", Chunked, true),
        (200, &[("keep-alive", "timeout=5")], Some(0), GET, "Content-Length: 0\r\n", Outgoing::None, true),
        (
            200,
            &[("upgrade", "h2c"), ("connection", "upgrade")],
            Some(0),
            GET,
            "Content-Length: 0\r\n",
            Outgoing::None,
            true,
        ),
        (
            200,
            &[("server", "s"), ("date", "d")],
            Some(0),
            GET,
            "server: s\r\ndate: d\r\nContent-Length: 0\r\n",
            Outgoing::None,
            true,
        ),
        (
            200,
            &[("set-cookie", "a"), ("set-cookie", "b")],
            Some(0),
            GET,
            "set-cookie: a\r\nset-cookie: b\r\nContent-Length: 0\r\n",
            Outgoing::None,
            true,
        ),
    ] {
        let case = format!("{status} {fields:?} {body:?} {exchange:?}");
        let (head, ..) = encode(status, fields, body, exchange).unwrap();
        let (_, fields_written) = head.split_once("\r\n").unwrap();
        assert_eq!(fields_written, format!("{written}\r\n"), "{case}");
        assert_eq!(encode(status, fields, body, exchange), Ok((head, outgoing, persist)), "{case}");
    }
}

#[test]
fn responses_that_cannot_be_sent() {
    use ResponseError::*;
    for (status, fields, expected) in [
        (100, &[][..], Interim(StatusCode::CONTINUE)),
        (101, &[], Interim(StatusCode::SWITCHING_PROTOCOLS)),
        (200, &[("x", "y"), ("content-length", "8")], LengthMismatch { stated: 8, actual: 7 }),
        (200, &[("content-length", "+7")], Length),
        (200, &[("content-length", "7"), ("content-length", "8")], Length),
        (200, &[("transfer-encoding", "gzip, chunked")], TransferEncoding),
    ] {
        assert_eq!(encode(status, fields, Some(7), GET), Err(expected), "{status} {fields:?}");
    }
}

/// The fence against response splitting is in the type of a field: there is no way past it without `unsafe`.
#[test]
fn a_line_end_cannot_be_built_into_a_field() {
    for value in ["a\r\nb: c", "a\nb: c", "a\rb", "\r\n", "a\0"] {
        assert!(http::HeaderValue::from_str(value).is_err(), "{value:?}");
        assert!(http::HeaderValue::from_bytes(value.as_bytes()).is_err(), "{value:?}");
        assert!(http::HeaderName::from_bytes(value.as_bytes()).is_err(), "{value:?}");
        assert!(http::Response::builder().header("x", value).body(()).is_err(), "{value:?}");
    }
    assert!(http::HeaderName::from_bytes(b"a: b").is_err());
}

#[test]
fn every_status_has_a_line() {
    for (status, line) in [(200, "200 OK"), (404, "404 Not Found"), (299, "299 "), (999, "999 ")] {
        let (head, ..) = encode(status, &[], Some(0), GET).unwrap();
        assert_eq!(head.split("\r\n").next(), Some(&*format!("HTTP/1.1 {line}")));
    }
}

#[test]
fn chunks_byte_for_byte() {
    let mut out = Vec::new();
    encode_chunk(b"", &mut out);
    encode_chunk(b"hello", &mut out);
    encode_chunk(&[b'.'; 16], &mut out);
    encode_last_chunk(&mut out);
    assert_eq!(out, b"5\r\nhello\r\n10\r\n................\r\n0\r\n\r\n");

    for length in [1, 9, 15, 16, 255, 256, 0x1234_abcd, usize::MAX] {
        let mut out = Vec::new();
        chunk_head(length, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{length:x}\r\n"));
    }
}

#[test]
fn a_refusal_byte_for_byte() {
    let mut out = Vec::new();
    crate::Refusal::FieldTooLarge.encode(DATE, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "HTTP/1.1 431 Request Header Fields Too Large\r\n\
         Server: rserve\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Connection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 28\r\n\r\n\
         a header field is too large\n"
    );
}

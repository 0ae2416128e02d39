//! The requests and the response that the codec is measured with, shared by the benches and the instruction counts.

use rserve_http::{Decoder, Event, Exchange, Outgoing, encode_head};

/// What a health checker or a load generator sends.
pub(crate) const SMALL: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost:8000\r\n\r\n";

/// What a browser sends: nine fields.
pub(crate) const BROWSER: &[u8] = b"GET /assets/app.css?v=3 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/css,*/*;q=0.1\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Referer: https://www.example.com/articles/2026\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Sec-Fetch-Mode: no-cors\r\n\r\n";

/// The date of every response.
pub(crate) const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// The body of every response.
pub(crate) const BODY: &[u8] = b"Hello, world!";

/// What a small app answers.
pub(crate) fn response() -> http::response::Parts {
    let response = http::Response::builder().header("content-type", "text/plain; charset=utf-8").body(());
    response.expect("invariant: the field is well-formed").into_parts().0
}

/// Decodes the one request at the front of `input`, which has no body; how many bytes it took.
pub(crate) fn decode(decoder: &mut Decoder, input: &[u8]) -> usize {
    let (used, event) = decoder.decode(input).expect("invariant: the request is well-formed");
    assert_eq!(event, Event::Head);
    let (_, event) = decoder.decode(&input[used..]).expect("invariant: the request is well-formed");
    assert_eq!(event, Event::End);
    used
}

/// Appends the whole response to `out`.
pub(crate) fn encode(parts: &http::response::Parts, exchange: &Exchange, out: &mut Vec<u8>) {
    let encoded = encode_head(parts, Some(BODY.len() as u64), exchange, DATE, out);
    assert_eq!(encoded, Ok((Outgoing::Length(BODY.len() as u64), true)));
    out.extend_from_slice(BODY);
}

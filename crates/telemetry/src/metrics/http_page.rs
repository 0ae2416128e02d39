use std::time::SystemTime;

use http::StatusCode;
use rserve_arbiter::Status;
use rserve_http::{Decoder, Event, Limits, encode_error, format_date};

use super::page::page;

/// Answers somebody who asks for the metrics over HTTP, as far as what they have `asked` is whole: the page at `/metrics`.
///
/// For [`Program::inform`](rserve_arbiter::Program::inform).
pub fn answer(asked: &[u8], status: &mut dyn FnMut() -> Status) -> Option<Vec<u8>> {
    let (mut date, mut reply, mut decoder) = ([0; 29], Vec::new(), Decoder::new(Limits::default()));
    format_date(SystemTime::now(), &mut date);
    let used = match decoder.decode(asked) {
        Ok((used, Event::Head)) => used,
        Ok(_) => return None,
        Err(refusal) => {
            refusal.encode(&date, &mut reply);
            return Some(reply);
        }
    };
    let head = decoder.head().view(&asked[..used]);
    match (head.method(), head.path()) {
        (method @ ("GET" | "HEAD"), "/metrics") => {
            let page = page(&status());
            let length = page.len();
            let fields = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {length}\r\n\
                 Connection: close\r\nDate: {}\r\nServer: rserve\r\n\r\n",
                String::from_utf8_lossy(&date)
            );
            reply.extend_from_slice(fields.as_bytes());
            if method == "GET" {
                reply.extend_from_slice(page.as_bytes());
            }
        }
        (_, "/metrics") => encode_error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD", true, &date, &mut reply),
        _ => encode_error(StatusCode::NOT_FOUND, "there is only /metrics", true, &date, &mut reply),
    }
    Some(reply)
}

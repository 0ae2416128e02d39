//! The app that is served when there is no other: to see that the server runs, and to try it by hand.

use std::{
    io::{Cursor, Read},
    os::unix::process::parent_id,
    process, thread,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use rserve_http::{Answer, App, Body, Handler, RawHead, Request, Response};

pub(crate) const NAME: &str = "demo";

/// Where health checks are answered, before it is asked, unless others are named.
pub(crate) const HEALTH_PATH: &str = "/healthz";

const TEXT: &str = "text/plain; charset=utf-8";

const PAGE: &str = include_str!("demo/page.html");

/// Longer than any time limit that somebody would try out by hand.
const LONGEST_SLEEP: u64 = 600_000;

const MOST_BYTES: u64 = 1 << 30;

/// The demo app, which answers `/`, `/hello`, `/echo`, `/sleep/MILLISECONDS` and `/bytes/N`.
pub(crate) fn app() -> App {
    App::blocking(Demo { hello: hello() })
}

struct Demo {
    /// Always the same, so that it is made once.
    hello: RawHead,
}

impl Handler for Demo {
    fn handle(&self, request: Request<'_>) -> Response {
        self.answer(request).into_response()
    }

    fn answer(&self, request: Request<'_>) -> Answer {
        match (request.head().path_bytes(), request.head().method()) {
            (b"/hello", "GET" | "HEAD") => Answer::new(self.hello.clone(), "Hello, World!".into()),
            _ => respond_to(request).into(),
        }
    }
}

fn hello() -> RawHead {
    let head = RawHead::new(b"200 OK").and_then(|mut head| head.field(b"Content-Type", TEXT.as_bytes()).map(|_| head));
    head.expect("invariant: a field that may be sent")
}

fn respond_to(request: Request<'_>) -> Response {
    let (head, method) = (request.head(), request.head().method());
    match (head.path_bytes(), method) {
        (b"/", "GET" | "HEAD") => page(request.draining()),
        (b"/echo", _) => echo(request),
        (b"/" | b"/hello", _) => method_not_allowed(),
        _ => match head.path()[1..].split_once('/') {
            Some(("sleep", milliseconds)) => sleep(milliseconds),
            Some(("bytes", number)) if matches!(method, "GET" | "HEAD") => bytes(number),
            Some(("bytes", _)) => method_not_allowed(),
            _ => text(StatusCode::NOT_FOUND, "404: the demo app has nothing here; see /\n"),
        },
    }
}

fn page(draining: bool) -> Response {
    let page = PAGE
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{pid}", &process::id().to_string())
        .replace("{arbiter}", &parent_id().to_string())
        .replace("{state}", if draining { "draining" } else { "serving" });
    respond(StatusCode::OK, "text/html; charset=utf-8", page)
}

/// The request as the app sees it: its head, who sent it, then its body, which goes back without being held in memory.
fn echo(request: Request<'_>) -> Response {
    let (head, client) = (request.head(), request.client());
    let mut seen = head.request_line().to_vec();
    for (name, value) in head.headers() {
        seen.extend([b"\n", name.as_bytes(), b": ", value].concat());
    }
    let peer = request.peer().map_or_else(|| "a Unix socket".to_owned(), |peer| peer.to_string());
    let ip = client.ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
    seen.extend(format!("\n\npeer {peer}, client {ip}, scheme {}", client.scheme).bytes());
    let body = request.into_body();
    seen.extend(format!("\n{} bytes of body\n", body.len()).bytes());
    let length = seen.len() as u64 + body.len();
    respond(StatusCode::OK, TEXT, Body::reader(Cursor::new(seen).chain(body), length))
}

fn sleep(milliseconds: &str) -> Response {
    match milliseconds.parse() {
        Ok(milliseconds @ 0..=LONGEST_SLEEP) => {
            tracing::debug!(milliseconds, "sleeping");
            thread::sleep(Duration::from_millis(milliseconds));
            text(StatusCode::OK, format!("slept {milliseconds} ms\n"))
        }
        _ => text(StatusCode::BAD_REQUEST, format!("400: milliseconds from 0 to {LONGEST_SLEEP} are needed\n")),
    }
}

/// `number` bytes, of which the one at `i` is `i % 251`: a prime, so that no loss or repetition of a block goes unseen.
fn bytes(number: &str) -> Response {
    const BLOCK: usize = 251 * 256;
    static BYTES: [u8; BLOCK] = {
        let mut bytes = [0; BLOCK];
        let mut index = 0;
        while index < BLOCK {
            bytes[index] = (index % 251) as u8;
            index += 1;
        }
        bytes
    };
    let Some(number) = number.parse().ok().filter(|number| *number <= MOST_BYTES) else {
        return text(StatusCode::BAD_REQUEST, format!("400: a number of bytes from 0 to {MOST_BYTES} is needed\n"));
    };
    let pieces = (0..number).step_by(BLOCK).map(move |start| {
        let length = (number - start).min(BLOCK as u64) as usize;
        Ok(Bytes::from_static(&BYTES[..length]))
    });
    respond(StatusCode::OK, "application/octet-stream", Body::sized_stream(pieces, number))
}

fn method_not_allowed() -> Response {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "405: only GET and HEAD\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn text(status: StatusCode, text: impl Into<Body>) -> Response {
    respond(status, TEXT, text)
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;

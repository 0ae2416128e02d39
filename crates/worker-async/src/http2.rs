use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::header::{COOKIE, HOST};
use http::request::Parts;
use http::{HeaderValue, Method};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rserve_event_loop::HttpSettings;
use rserve_http::{Decoder, Event, Limits, Refusal};

use crate::answer::answer_http2;
use crate::connection::{Connection, Verdict};
use crate::gate::Gate;
use crate::serve::guard;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// What a client that knows beforehand that we speak HTTP/2 begins with (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests of one connection at a time.
const STREAMS: u32 = 128;

/// After this long without a word from the client it is asked whether it is there.
const PING: Duration = Duration::from_secs(30);

/// What the bytes at the beginning of a connection speak; `None`: more are needed to tell.
pub(crate) fn tell(first: &[u8]) -> Option<Version> {
    if !first.iter().zip(PREFACE).all(|(byte, expected)| byte == expected) {
        return Some(Version::One);
    }
    (first.len() >= PREFACE.len()).then_some(Version::Two)
}

/// Serves HTTP/2 to its end.
pub(crate) async fn serve_http2(connection: &Arc<Connection>, first: Vec<u8>) -> Verdict {
    connection.begin_streams();
    let owner = Arc::clone(connection);
    let service = service_fn(move |request| answer_http2(Arc::clone(&owner), request));
    let mut http = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(largest_head(connection.shared.settings.limits))
            .keep_alive_interval(PING)
            .serve_connection(Gate::open(connection, first), service)
    );
    let mut told = false;
    let served = guard(connection, |cx| {
        loop {
            if let Poll::Ready(done) = http.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            if told || !connection.is_leaving() {
                return Poll::Pending;
            }
            told = true;
            http.as_mut().graceful_shutdown();
        }
    });
    match served.await {
        Ok(result) => connection.reason_of_end(result),
        Err(verdict) => verdict,
    }
}

/// What the codec says of a head.
pub(crate) struct Checked {
    /// As HTTP/1.1 would say it.
    pub(crate) head: Vec<u8>,
    pub(crate) health_check: bool,
}

/// Has the codec look at a head, in the words of HTTP/1.1.
pub(crate) fn check(parts: &Parts, settings: &HttpSettings) -> Result<Checked, Refusal> {
    let head = encode(parts)?;
    let mut decoder = Decoder::new(settings.limits);
    match decoder.decode(&head)? {
        (used, Event::Head) if used == head.len() => {}
        _ => return Err(Refusal::RequestLine),
    }
    let health_check = settings.is_health_check(&decoder.head().view(&head));
    Ok(Checked { head, health_check })
}

fn encode(parts: &Parts) -> Result<Vec<u8>, Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.1\r\n", parts.method).into_bytes();
    let mut field = |name: &[u8], value: &[u8]| {
        head.extend_from_slice(name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    // RFC 9113 section 8.3.1: the one stands for the other, and where both are there they are the same.
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let mut hosts = parts.headers.get_all(HOST).iter();
    if let Some(authority) = authority {
        field(b"host", authority.as_bytes());
        if let Some(host) = hosts.next()
            && !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())
        {
            return Err(Refusal::HostMismatch);
        }
    }
    for host in hosts {
        field(b"host", host.as_bytes());
    }
    // RFC 9113 section 8.2.3: pieces of one field.
    let cookies: Vec<_> = parts.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if !cookies.is_empty() {
        field(b"cookie", &cookies.join(&b"; "[..]));
    }
    for (name, value) in parts.headers.iter().filter(|(name, _)| !matches!(**name, HOST | COOKIE)) {
        field(name.as_str().as_bytes(), value.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

/// As RFC 9113 section 6.5.2 counts: 32 bytes for each field beside its name and value. The codec looks at the fields
/// themselves.
fn largest_head(limits: Limits) -> u32 {
    let size = limits.request_line + limits.fields.saturating_mul(limits.field_size.saturating_add(32));
    size.clamp(16 * 1024, 1 << 20) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http2_is_told_by_its_preface() {
        for end in 0..PREFACE.len() {
            assert_eq!(tell(&PREFACE[..end]), None);
        }
        assert_eq!(tell(&[PREFACE, b"more"].concat()), Some(Version::Two));
        for other in ["GET / HTTP/1.1\r\n", "POST", "PUT", "PRI * HTTP/1.1", "PRI * HTTP/2.0\r\n\r\nXX", "\r\n"] {
            assert_eq!(tell(other.as_bytes()), Some(Version::One), "{other}");
        }
    }
}

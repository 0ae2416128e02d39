//! The apps under measurement. This program is its own server: the bench starts itself again with a variable set.

use std::{
    convert::Infallible,
    env,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use rserve::{App, RequestBody, Server};

use crate::model;

/// Set in the server, to the name of one of the apps.
pub(crate) const WANTED: &str = "RSERVE_BENCH_SERVER";

/// What the 1 MiB response is.
static MIB: [u8; 1 << 20] = [b'x'; 1 << 20];

pub(crate) fn is_wanted() -> bool {
    env::var_os(WANTED).is_some()
}

/// The server's whole life.
pub(crate) fn main() -> ExitCode {
    model::pin_to_core(0);
    Server::new()
        .app("blocking", App::blocking(blocking))
        .app("waiting", App::service(tower::service_fn(waiting)))
        .main()
}

/// Waits as most code does: its thread does nothing else.
fn blocking(request: http::Request<RequestBody>) -> http::Response<Bytes> {
    match request.uri().path() {
        "/instant" => text("Hello, World!"),
        "/cpu" => {
            spin(Duration::from_millis(1));
            text("worked 1 ms")
        }
        "/mib" => text_of(&MIB),
        "/upload" => text(if request.into_body().len() == MIB.len() as u64 { "1 MiB came" } else { "something came" }),
        path => match milliseconds(path) {
            Some(pause) => {
                thread::sleep(pause);
                text("waited")
            }
            None => not_found(),
        },
    }
}

/// The same, but while it waits its thread serves others.
async fn waiting(request: http::Request<rserve::AsyncBody>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let response = match request.uri().path() {
        "/instant" => text("Hello, World!"),
        "/cpu" => {
            spin(Duration::from_millis(1));
            text("worked 1 ms")
        }
        "/mib" => text_of(&MIB),
        "/upload" => {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(Ok(frame)) = body.frame().await {
                length += frame.data_ref().map_or(0, Bytes::len);
            }
            text(if length == MIB.len() { "1 MiB came" } else { "something came" })
        }
        path => match milliseconds(path) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                text("waited")
            }
            None => not_found(),
        },
    };
    Ok(response.map(Full::new))
}

/// `/wait/10`.
fn milliseconds(path: &str) -> Option<Duration> {
    path.strip_prefix("/wait/")?.parse().ok().map(Duration::from_millis)
}

fn spin(during: Duration) {
    let start = Instant::now();
    while start.elapsed() < during {
        std::hint::spin_loop();
    }
}

fn text(text: &'static str) -> http::Response<Bytes> {
    text_of(text.as_bytes())
}

fn text_of(bytes: &'static [u8]) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::from_static(bytes));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response
}

fn not_found() -> http::Response<Bytes> {
    let mut response = text("nothing here");
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

use std::fmt;
use std::sync::Arc;

use crate::body::Body;
use crate::request::{Request, RequestBody};

/// What a [`Handler`] answers.
pub type Response = http::Response<Body>;

/// An app that takes one whole request and gives a response, on the thread that calls it.
///
/// A function from `http::Request<RequestBody>` to an `http::Response` of anything that can be a [`Body`] is a handler.
/// Implement the trait to work on the borrowed [`Request`] instead, which saves building the typed one.
///
/// ```
/// use rserve_http::{App, Handler, Request, RequestBody, Response};
///
/// fn greet(request: http::Request<RequestBody>) -> http::Response<String> {
///     http::Response::new(format!("hello, {}\n", request.uri().path()))
/// }
///
/// struct Echo;
/// impl Handler for Echo {
///     fn handle(&self, request: Request<'_>) -> Response {
///         match request.into_body().into_bytes() {
///             Ok(bytes) => Response::new(bytes.into()),
///             Err(_) => http::Response::builder().status(500).body("".into()).unwrap(),
///         }
///     }
/// }
///
/// let apps = [App::blocking(greet), App::blocking(Echo)];
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.  It may block; what that costs depends on the worker class.
    fn handle(&self, request: Request<'_>) -> Response;
}

impl<F, B> Handler for F
where
    F: Fn(http::Request<RequestBody>) -> http::Response<B> + Send + Sync + 'static,
    B: Into<Body>,
{
    fn handle(&self, request: Request<'_>) -> Response {
        self(request.into_http()).map(Into::into)
    }
}

/// What a server serves.
///
/// Apps that are tower services will be a variant of their own, `Async`; the enum is open so that it can come.
#[derive(Clone)]
#[non_exhaustive]
pub enum App {
    /// Called with whole requests, one at a time per thread.
    Blocking(Arc<dyn Handler>),
}

impl App {
    /// An app of the kind [`App::Blocking`].
    pub fn blocking(handler: impl Handler) -> Self {
        Self::Blocking(Arc::new(handler))
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocking(_) => f.write_str("App::Blocking"),
        }
    }
}

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tower_service::Service;

use crate::answer::Answer;
use crate::async_app::AsyncApp;
use crate::async_body::AsyncBody;
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

    /// As [`handle`](Self::handle), which it calls: what the event loop calls. To be implemented as well by a handler that
    /// has a response's head as bytes already, and by one that calls another.
    fn answer(&self, request: Request<'_>) -> Answer {
        self.handle(request).into()
    }
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
#[derive(Clone)]
#[non_exhaustive]
pub enum App {
    /// Called with whole requests, one at a time per thread.
    Blocking(Arc<dyn Handler>),
    /// Awaited, many requests at a time on one thread. Only the worker class `async` runs it.
    Async(AsyncApp),
}

impl App {
    /// An app of the kind [`App::Blocking`].
    pub fn blocking(handler: impl Handler) -> Self {
        Self::Blocking(Arc::new(handler))
    }

    /// An app of the kind [`App::Async`]: any tower service, such as an axum `Router` as it is.
    ///
    /// The body of a request arrives while the app runs. Among a request's extensions are a
    /// [`ConnectInfo`](crate::ConnectInfo) and a [`Client`](crate::Client), as [`Request::into_http`] puts them there, and
    /// what an upgrade to a WebSocket needs. A service that can fail must be told first what response its errors are.
    ///
    /// [`AsyncApp`] has an example of a service.
    pub fn service<S, B>(service: S) -> Self
    where
        S: Service<http::Request<AsyncBody>, Response = http::Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self::Async(AsyncApp::new(service))
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocking(_) => f.write_str("App::Blocking"),
            Self::Async(_) => f.write_str("App::Async"),
        }
    }
}

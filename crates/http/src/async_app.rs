use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tower_service::Service;

use crate::async_body::AsyncBody;

/// An app that is a tower service, whatever its type: what [`App::Async`](crate::App::Async) holds.
///
/// A worker class calls it; who writes an app makes one with [`App::service`](crate::App::service).
///
/// ```
/// use std::convert::Infallible;
/// use std::future::{Future, Ready, ready};
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// use rserve_http::{AsyncApp, AsyncBody};
///
/// #[derive(Clone)]
/// struct Hello;
///
/// impl tower_service::Service<http::Request<AsyncBody>> for Hello {
///     type Response = http::Response<AsyncBody>;
///     type Error = Infallible;
///     type Future = Ready<Result<Self::Response, Infallible>>;
///
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
///         Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, _: http::Request<AsyncBody>) -> Self::Future {
///         ready(Ok(http::Response::new("hello".into())))
///     }
/// }
///
/// let answer = pin!(AsyncApp::new(Hello).call(http::Request::default()));
/// let Poll::Ready(response) = answer.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
/// assert_eq!(response.status(), 200);
/// ```
#[derive(Clone)]
pub struct AsyncApp(Arc<dyn Erased>);

/// The answer of an [`AsyncApp`], to be awaited.
pub type AsyncAnswer = Pin<Box<dyn Future<Output = http::Response<AsyncBody>> + Send>>;

impl AsyncApp {
    /// Forgets the type of `service`. Each request is answered by a clone of it.
    pub fn new<S, B>(service: S) -> Self
    where
        S: Service<http::Request<AsyncBody>, Response = http::Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(Known(service)))
    }

    /// Begins to answer `request`. Dropping the future abandons it.
    pub fn call(&self, request: http::Request<AsyncBody>) -> AsyncAnswer {
        self.0.call(request)
    }
}

impl fmt::Debug for AsyncApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsyncApp")
    }
}

trait Erased: Send + Sync {
    fn call(&self, request: http::Request<AsyncBody>) -> AsyncAnswer;
}

struct Known<S>(S);

impl<S, B> Erased for Known<S>
where
    S: Service<http::Request<AsyncBody>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn call(&self, request: http::Request<AsyncBody>) -> AsyncAnswer {
        let mut service = self.0.clone();
        // Most are always ready, and then the request need not be kept in the future.
        if let Poll::Ready(Ok(())) = service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            let answer = service.call(request);
            return Box::pin(async {
                let Ok(response) = answer.await;
                response.map(AsyncBody::new)
            });
        }
        Box::pin(async move {
            let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
            let Ok(response) = service.call(request).await;
            response.map(AsyncBody::new)
        })
    }
}

//! Health checks, answered before the app is asked.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::StatusCode;
use rserve_http::{Answer, App, AsyncApp, AsyncBody, Body, ConnectInfo, Handler, Request, Response};
use tower_service::Service;

/// Whom to answer, and how.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) paths: Vec<String>,
    /// What a check is told while the server stops; before, it is told 200.
    pub(crate) in_a_drain: StatusCode,
}

impl Health {
    /// The app, with the checks taken out of what it is asked. Around the app and not in the worker classes, so that each
    /// class has it, those from elsewhere too.
    pub(crate) fn before(self, app: App) -> App {
        if self.paths.is_empty() {
            return app;
        }
        match app {
            App::Blocking(app) => App::blocking(Checked { health: Arc::new(self), app }),
            App::Async(app) => App::service(Checked { health: Arc::new(self), app }),
            app => app,
        }
    }

    fn is_check(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|health| health.as_bytes() == path)
    }

    fn answer<B: From<&'static str>>(&self, draining: bool) -> http::Response<B> {
        let (status, text) = if draining { (self.in_a_drain, "draining\n") } else { (StatusCode::OK, "ok\n") };
        let mut response = http::Response::new(text.into());
        *response.status_mut() = status;
        response
    }
}

#[derive(Clone)]
struct Checked<A> {
    health: Arc<Health>,
    app: A,
}

impl Service<http::Request<AsyncBody>> for Checked<AsyncApp> {
    type Response = http::Response<AsyncBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<AsyncBody>) -> Self::Future {
        if !self.health.is_check(request.uri().path().as_bytes()) {
            let answer = self.app.call(request);
            return Box::pin(async { Ok(answer.await) });
        }
        let draining = request.extensions().get::<ConnectInfo>().is_some_and(|connect| connect.draining);
        Box::pin(ready(Ok(self.health.answer(draining))))
    }
}

impl Handler for Checked<Arc<dyn Handler>> {
    fn handle(&self, request: Request<'_>) -> Response {
        self.answer(request).into_response()
    }

    fn answer(&self, request: Request<'_>) -> Answer {
        if !self.health.is_check(request.head().path_bytes()) {
            return self.app.answer(request);
        }
        self.health.answer::<Body>(request.draining()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Waker};

    use rserve_http::{Decoder, Limits, RequestBody};

    use super::*;

    /// An app of either kind that has nothing but teapots.
    #[derive(Clone)]
    struct Teapot;

    impl Handler for Teapot {
        fn handle(&self, _: Request<'_>) -> Response {
            http::Response::builder().status(418).body("".into()).unwrap()
        }
    }

    impl Service<http::Request<AsyncBody>> for Teapot {
        type Response = http::Response<AsyncBody>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<AsyncBody>) -> Self::Future {
            ready(Ok(http::Response::builder().status(418).body("".into()).unwrap()))
        }
    }

    fn status(app: &App, target: &str, draining: bool) -> u16 {
        let connect = ConnectInfo { draining, ..ConnectInfo::default() };
        match app {
            App::Blocking(app) => {
                let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
                let mut decoder = Decoder::new(Limits::default());
                decoder.decode(bytes.as_bytes()).unwrap();
                let head = decoder.head().view(bytes.as_bytes());
                app.handle(Request::new(head, RequestBody::Empty, connect)).status().as_u16()
            }
            App::Async(app) => {
                let mut request = http::Request::builder().uri(target).body(AsyncBody::empty()).unwrap();
                request.extensions_mut().insert(connect);
                match pin!(app.call(request)).poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(response) => response.status().as_u16(),
                    Poll::Pending => panic!("there is nothing to wait for"),
                }
            }
            other => panic!("{other:?} is of another kind"),
        }
    }

    #[test]
    fn checks_do_not_reach_the_app() {
        for in_a_drain in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
            let health = Health { paths: vec!["/live".into(), "/ready".into()], in_a_drain };
            for app in [App::blocking(Teapot), App::service(Teapot)] {
                let app = health.clone().before(app);
                for (target, serving, draining) in [
                    ("/live", 200, in_a_drain.as_u16()),
                    ("/ready?full=1", 200, in_a_drain.as_u16()),
                    ("/ready/", 418, 418),
                    ("/", 418, 418),
                ] {
                    assert_eq!(status(&app, target, false), serving, "{target} of {app:?}");
                    assert_eq!(status(&app, target, true), draining, "{target} of {app:?} in a drain");
                }
            }
        }
    }
}

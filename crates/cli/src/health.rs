//! Health checks, answered before the app is asked.

use std::sync::Arc;

use http::StatusCode;
use rserve_http::{App, Handler, Request, Response};

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
            App::Blocking(app) => App::blocking(Checked { health: self, app }),
            app => app,
        }
    }

    fn is_check(&self, path: &str) -> bool {
        self.paths.iter().any(|health| health == path)
    }

    const fn answer(&self, draining: bool) -> (StatusCode, &'static str) {
        if draining { (self.in_a_drain, "draining\n") } else { (StatusCode::OK, "ok\n") }
    }
}

struct Checked {
    health: Health,
    app: Arc<dyn Handler>,
}

impl Handler for Checked {
    fn handle(&self, request: Request<'_>) -> Response {
        if !self.health.is_check(request.head().path()) {
            return self.app.handle(request);
        }
        let (status, text) = self.health.answer(request.draining());
        let mut response = Response::new(text.into());
        *response.status_mut() = status;
        response
    }
}

#[cfg(test)]
mod tests {
    use rserve_http::{ConnectInfo, Decoder, Limits, RequestBody};

    use super::*;

    fn status(app: &App, target: &str, draining: bool) -> u16 {
        let App::Blocking(app) = app else { panic!("the app is a blocking one") };
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut decoder = Decoder::new(Limits::default());
        decoder.decode(bytes.as_bytes()).unwrap();
        let connect = ConnectInfo { draining, ..ConnectInfo::default() };
        app.handle(Request::new(decoder.head().view(bytes.as_bytes()), RequestBody::Empty, connect)).status().as_u16()
    }

    #[test]
    fn checks_do_not_reach_the_app() {
        fn teapot(_: http::Request<RequestBody>) -> http::Response<&'static str> {
            http::Response::builder().status(418).body("").unwrap()
        }
        for in_a_drain in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
            let health = Health { paths: vec!["/live".into(), "/ready".into()], in_a_drain };
            let app = health.before(App::blocking(teapot));
            for (target, serving, draining) in [
                ("/live", 200, in_a_drain.as_u16()),
                ("/ready?full=1", 200, in_a_drain.as_u16()),
                ("/ready/", 418, 418),
                ("/", 418, 418),
            ] {
                assert_eq!(status(&app, target, false), serving, "{target}");
                assert_eq!(status(&app, target, true), draining, "{target} in a drain");
            }
        }
    }
}

use http::StatusCode;
use rserve_http::{Answer, Body, ConnectInfo, Handler, Request, Response};

use crate::app_panic::catch_app_panic;
use crate::incoming::Incoming;

/// A whole request that was taken out of an [`EventLoop`](crate::EventLoop). It can be sent to another thread, and
/// must come back with its response: [`EventLoop::respond`](crate::EventLoop::respond).
#[derive(Debug)]
#[must_use = "the client waits until the request comes back with its response"]
pub struct Taken {
    pub(crate) key: usize,
    pub(crate) incoming: Box<Incoming>,
    pub(crate) connect: ConnectInfo,
    /// Whether the peer may speak for its clients.
    pub(crate) believed: bool,
}

impl Taken {
    /// The first line of the request, for the log.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        self.incoming.head().request_line()
    }

    /// Has the app answer it, on this thread. A panic is logged and answered with a 500.
    ///
    /// The body goes with the first call.
    pub fn answer(&mut self, handler: &dyn Handler) -> Answer {
        let answered = match self.incoming.take_body() {
            Ok(body) => {
                let forwarders = self.believed.then(|| self.incoming.forwarders());
                let request = Request::new(self.incoming.head(), body, self.connect).with_forwarders(forwarders);
                catch_app_panic(|| handler.answer(request)).map_err(|panic| format!("the app panicked: {panic}"))
            }
            Err(error) => Err(format!("the stored request body cannot be read: {error}")),
        };
        answered.unwrap_or_else(|error| {
            tracing::error!(request = %self.incoming.line(), "{error}");
            let mut response = Response::new(Body::from("internal server error\n"));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rserve_http::{Client, Limits, RequestBody};

    use super::*;
    use crate::incoming::Pool;
    use crate::{BodyMemory, HttpSettings};

    fn taken(text: &str) -> Taken {
        let mut incoming = Pool::new(Limits::default(), Arc::default()).take();
        incoming.read_from(text.as_bytes()).unwrap();
        incoming.decode(&BodyMemory::new(&HttpSettings::default())).unwrap();
        Taken { key: 0, incoming, connect: ConnectInfo::default(), believed: false }
    }

    #[test]
    fn the_app_gets_head_and_body() {
        let mut taken = taken("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        let echo = |request: http::Request<RequestBody>| http::Response::new(request.into_body().into_bytes().unwrap());
        assert_eq!(taken.line(), b"POST /a HTTP/1.1");
        assert_eq!(taken.answer(&echo).body_mut().next_chunk().unwrap().unwrap(), "abc");
    }

    #[test]
    fn a_peer_that_is_not_believed_speaks_for_itself() {
        let client = |request: http::Request<RequestBody>| {
            let client = request.extensions().get::<Client>().unwrap();
            http::Response::new(format!("{:?} {}", client.ip, client.scheme))
        };
        for (believed, expected) in [(true, "Some(192.0.2.7) https"), (false, "None http")] {
            let fields = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
            let mut taken = Taken { believed, ..taken(&format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n")) };
            assert_eq!(taken.answer(&client).body_mut().next_chunk().unwrap().unwrap(), expected);
        }
    }

    #[test]
    fn a_panic_of_the_app_is_a_500() {
        fn fails(_: http::Request<RequestBody>) -> http::Response<()> {
            panic!("out of beans")
        }
        let response = taken("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").answer(&fails);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use rserve_event_loop::catch_app_panic;
use rserve_http::{App, AsyncApp, AsyncBody, ConnectInfo};

use crate::blocking;
use crate::connection::{Connection, InHand, Line};
use crate::guarded::{Guard, Guarded};
use crate::http2;
use crate::response::{Sealed, Terms, failure, refusal, seal};

/// Answers a request over HTTP/1, which the codec has looked at.
pub(crate) async fn answer(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Sealed>, Infallible> {
    let (mut in_hand, connect, believed) = connection.take_up(Line::of(&request));
    let (parts, body) = request.into_parts();
    in_hand.keep(&parts);
    let mut terms = Terms { is_head: parts.method == Method::HEAD, upgrades: false, closes: None, is_stream: false };
    let response = match &connection.shared.app {
        App::Async(app) => {
            terms.upgrades = parts.extensions.get::<OnUpgrade>().is_some();
            run(app, &in_hand, parts, AsyncBody::new(body), connect, believed).await
        }
        App::Blocking(handler) => {
            let head = connection.take_head().unwrap_or_default();
            blocking::run(handler, &in_hand, head, body, connect, believed).await
        }
        // A kind of app that this class does not know has been refused when the worker was built.
        _ => failure(),
    };
    Ok(seal(response, in_hand, terms))
}

/// Answers a request over HTTP/2. Its head is held against the rules of HTTP/1: what is said in one is not refused in the
/// other.
pub(crate) async fn answer_http2(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Sealed>, Infallible> {
    let settings = &connection.shared.settings;
    let (mut in_hand, connect, believed) = connection.take_up(Line::of(&request));
    let (parts, body) = request.into_parts();
    in_hand.keep(&parts);
    let terms = Terms { is_head: parts.method == Method::HEAD, upgrades: false, closes: Some(false), is_stream: true };
    let checked = http2::check(&parts, settings);
    connection.count_request(checked.as_ref().is_ok_and(|checked| checked.health_check));
    let head = match checked {
        Ok(checked) => checked.head,
        Err(refused) => return Ok(seal(refusal(refused.status(), &refused.to_string()), in_hand, terms)),
    };
    let guard = Guard::new(settings);
    let body = Guarded::new(body, &guard);
    let response = match &connection.shared.app {
        App::Async(app) => guard.watch(run(app, &in_hand, parts, AsyncBody::new(body), connect, believed)).await,
        App::Blocking(handler) => guard.watch(blocking::run(handler, &in_hand, head, body, connect, believed)).await,
        _ => failure(),
    };
    Ok(seal(response, in_hand, terms))
}

/// Has an async app answer. A panic is logged and answered with a 500.
async fn run(
    app: &AsyncApp,
    in_hand: &InHand,
    parts: Parts,
    body: AsyncBody,
    connect: ConnectInfo,
    believed: bool,
) -> Response<AsyncBody> {
    let client = in_hand.connection.client(&connect, believed, &parts.headers);
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(connect);
    request.extensions_mut().insert(client);
    let answered = match catch_app_panic(|| app.call(request)) {
        Ok(mut answer) => {
            poll_fn(|cx| match catch_app_panic(|| answer.as_mut().poll(cx)) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            })
            .await
        }
        Err(panic) => Err(panic),
    };
    answered.unwrap_or_else(|panic| {
        tracing::error!(request = in_hand.line(), "the app panicked: {panic}");
        failure()
    })
}

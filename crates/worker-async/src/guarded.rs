use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use rserve_event_loop::{CloseReason, HttpSettings};
use rserve_http::{AsyncBody, Refusal};
use tokio::time::{Sleep, sleep};

use crate::response::refusal;

/// The limits of one request over HTTP/2, where several share a connection, and whether they are kept.
#[derive(Clone)]
pub(crate) struct Guard {
    largest: Option<u64>,
    timeout: Duration,
    broken: Arc<OnceLock<Broken>>,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Broken {
    #[error("{}", Refusal::BodyTooLarge)]
    TooLarge,
    #[error("{}", CloseReason::BodyTimeout)]
    Timeout,
}

impl Guard {
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        Self { largest: settings.limits.body, timeout: settings.body_timeout, broken: Arc::default() }
    }

    /// The response, or the refusal of a request whose body has broken a limit: whoever waits for the body is dropped then.
    pub(crate) async fn watch(&self, answer: impl Future<Output = Response<AsyncBody>>) -> Response<AsyncBody> {
        let mut answer = pin!(answer);
        poll_fn(|cx| {
            let poll = answer.as_mut().poll(cx);
            match self.broken.get() {
                Some(broken) => Poll::Ready(broken.refusal()),
                None => poll,
            }
        })
        .await
    }
}

impl Broken {
    fn refusal(self) -> Response<AsyncBody> {
        let status = match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
        };
        refusal(status, &self.to_string())
    }
}

/// A request body that is held against its limits.
pub(crate) struct Guarded {
    body: Incoming,
    guard: Guard,
    seen: u64,
    /// Bytes since the time limit was last moved.
    unmarked: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How much of a body must come in the time limit.
const PROGRESS: usize = 4 * 1024;

impl Guarded {
    pub(crate) fn new(body: Incoming, guard: &Guard) -> Self {
        Self { body, guard: guard.clone(), seen: 0, unmarked: 0, timer: None }
    }

    fn fail<T>(&self, broken: Broken) -> Poll<Option<Result<T, <Self as Body>::Error>>> {
        let _ = self.guard.broken.set(broken);
        Poll::Ready(Some(Err(broken.into())))
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.seen += length as u64;
                self.unmarked += length;
                if self.guard.largest.is_some_and(|largest| self.seen > largest) {
                    return self.fail(Broken::TooLarge);
                }
                if self.unmarked >= PROGRESS {
                    (self.unmarked, self.timer) = (0, None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {
                let timeout = self.guard.timeout;
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
                if timer.as_mut().poll(cx).is_ready() { self.fail(Broken::Timeout) } else { Poll::Pending }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

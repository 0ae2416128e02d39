use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use rserve_event_loop::{BodyMemory, Collect, catch_app_panic};
use rserve_http::{AllowList, AsyncBody, Body, ConnectInfo, Decoder, Handler, Limits, Request, RequestBody};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::connection::InHand;
use crate::response::failure;
use crate::shared::Shared;

/// Has a blocking app answer, on a thread of its own, once the body is there. `head` are the bytes of its head.
pub(crate) async fn run<B>(
    handler: &Arc<dyn Handler>,
    in_hand: &InHand,
    head: Vec<u8>,
    body: B,
    connect: ConnectInfo,
    believed: bool,
) -> Response<AsyncBody>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: ToString,
{
    let shared = &in_hand.connection.shared;
    let body = match collect(body, &shared.body_memory).await {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(request = in_hand.line(), error, "a request body cannot be had; is the disk full?");
            return failure();
        }
    };
    let Ok(permit) = Arc::clone(&shared.blocking).acquire_owned().await else { return failure() };
    let call = Call {
        handler: Arc::clone(handler),
        head,
        limits: shared.settings.limits,
        forwarders: believed.then(|| Arc::clone(&shared.settings.forwarded_allow_ips)),
        connect,
    };
    if let Some(record) = &in_hand.record {
        record.note_call();
    }
    let thread = Thread { shared: Arc::clone(shared), permit: Some(permit) };
    shared.note_threads();
    let answered = spawn_blocking(move || {
        let answered = call.answer(body);
        drop(thread);
        answered
    });
    let error = match answered.await {
        Ok(Ok(response)) => return response.map(pull),
        Ok(Err(panic)) => panic,
        Err(error) => error.to_string(),
    };
    tracing::error!(request = in_hand.line(), "the app panicked: {error}");
    failure()
}

/// One call of a handler, to be made on another thread.
struct Call {
    handler: Arc<dyn Handler>,
    head: Vec<u8>,
    limits: Limits,
    forwarders: Option<Arc<AllowList>>,
    connect: ConnectInfo,
}

impl Call {
    fn answer(&self, body: RequestBody) -> Result<rserve_http::Response, String> {
        let mut decoder = Decoder::new(self.limits);
        // It has been decoded before.
        decoder.decode(&self.head).map_err(|refusal| refusal.to_string())?;
        let head = decoder.head().view(&self.head);
        let request = Request::new(head, body, self.connect).with_forwarders(self.forwarders.as_deref());
        catch_app_panic(|| self.handler.handle(request))
    }
}

/// A thread's worth of permission to run, and what is said when it is given back.
struct Thread {
    shared: Arc<Shared>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.permit = None;
        self.shared.note_threads();
    }
}

/// The whole body: in memory, or in a temporary file, which is written to on another thread.
async fn collect<B>(mut body: B, memory: &BodyMemory) -> Result<RequestBody, String>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: ToString,
{
    let expected = body.size_hint().exact();
    if expected == Some(0) {
        return Ok(RequestBody::Empty);
    }
    let mut collect = Collect::default();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
        collect = if collect.has_room(piece.len(), expected, memory) {
            collect.push(&piece, expected, memory).map_err(|error| error.to_string())?;
            collect
        } else {
            let memory = memory.clone();
            let store = move || collect.push(&piece, expected, &memory).map(|()| collect);
            spawn_blocking(store).await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?
        };
    }
    collect.take().map_err(|error| error.to_string())
}

/// The body of a blocking app's response: asked for on another thread unless it is there.
fn pull(mut body: Body) -> AsyncBody {
    if body.in_memory().is_some() {
        return match body.next_chunk() {
            Some(Ok(bytes)) => bytes.into(),
            _ => AsyncBody::empty(),
        };
    }
    AsyncBody::new(Pulled { left: body.len(), state: State::There(body) })
}

struct Pulled {
    left: Option<u64>,
    state: State,
}

enum State {
    There(Body),
    Asked(JoinHandle<(Body, Option<io::Result<Bytes>>)>),
    Over,
}

impl HttpBody for Pulled {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::There(mut body) => {
                    let ask = move || {
                        let piece = catch_app_panic(|| body.next_chunk());
                        let piece =
                            piece.unwrap_or_else(|panic| Some(Err(io::Error::other(format!("it panicked: {panic}")))));
                        (body, piece)
                    };
                    self.state = State::Asked(spawn_blocking(ask));
                }
                State::Asked(mut asked) => {
                    let Poll::Ready(answered) = Pin::new(&mut asked).poll(cx) else {
                        self.state = State::Asked(asked);
                        return Poll::Pending;
                    };
                    let (body, piece) = answered.map_err(io::Error::other)?;
                    let Some(piece) = piece.transpose()? else { return Poll::Ready(None) };
                    self.left = body.len();
                    self.state = State::There(body);
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, Path, State};
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use futures_util::stream::{self, Stream};
use rserve::Client;

/// What the requests of one worker process share.
#[derive(Default)]
struct Visits(AtomicU64);

pub(crate) fn router() -> Router {
    Router::new()
        .route("/hello", get(async || "Hello, World!"))
        .route("/visits", post(count_visit))
        .route("/me", get(who_asks))
        .route("/slow/{milliseconds}", get(be_slow))
        .route("/countdown/{from}", get(count_down))
        .route("/echo", get(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
        .route("/panic", get(fail))
        .with_state(Arc::new(Visits::default()))
}

async fn count_visit(State(visits): State<Arc<Visits>>) -> String {
    format!("{}\n", visits.0.fetch_add(1, Ordering::Relaxed) + 1)
}

/// Whoever a trusted proxy names, or the peer.
async fn who_asks(Extension(client): Extension<Client>) -> String {
    client.ip.map_or_else(|| "somebody\n".to_owned(), |ip| format!("{ip}\n"))
}

async fn be_slow(Path(milliseconds): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    format!("waited {milliseconds} ms\n")
}

/// Ten numbers a second, as server-sent events.
async fn count_down(Path(from): Path<u32>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold(Some(from), async |number| {
        let number = number?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok(Event::default().data(number.to_string())), number.checked_sub(1)))
    }))
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn fail() -> &'static str {
    panic!("this handler always panics")
}

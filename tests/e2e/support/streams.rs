//! Load over HTTP/2: closed-loop clients with several requests under way on one connection each.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use h2::Reason;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, runtime, task, time};

use super::{Exchange, Loss, Outcome, Tally, Target};

/// How long a client waits for a response before it gives up.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running load.
pub(crate) struct Streams {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Exchange>>,
}

impl Streams {
    /// Has `clients` ask for `path`, each with `depth` requests at a time on one connection. One that is told to leave comes
    /// again, with what it had not sent, and stops when it is refused.
    pub(crate) fn start(target: &Target, path: &str, clients: usize, depth: usize) -> Self {
        let Target::Tcp(address) = target.clone() else { panic!("the listener is TCP") };
        let url: Arc<str> = format!("http://{address}{path}").into();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
            runtime.block_on(async {
                let clients: Vec<_> = (0..clients)
                    .map(|_| {
                        let (url, stopped) = (url.clone(), stopped.clone());
                        task::spawn(async move {
                            let mut exchanges = Vec::new();
                            while !stopped.load(Ordering::Relaxed) {
                                match TcpStream::connect(address).await {
                                    Ok(stream) => exchanges.extend(converse(stream, &url, depth, &stopped).await),
                                    Err(error) => {
                                        exchanges.push(failed_connect(&error));
                                        break;
                                    }
                                }
                            }
                            exchanges
                        })
                    })
                    .collect();
                let mut exchanges = Vec::new();
                for client in clients {
                    exchanges.extend(client.await.expect("no client panics"));
                }
                exchanges
            })
        });
        Self { stop, thread }
    }

    /// Starts no more requests, waits for those under way, and hands over what became of all.
    pub(crate) fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        Tally(self.thread.join().expect("the load does not panic"))
    }
}

fn failed_connect(error: &io::Error) -> Exchange {
    let outcome = match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        _ => Outcome::Lost(Loss::Reset),
    };
    Exchange { outcome, started: Instant::now(), ended: Instant::now() }
}

/// Asks on one connection until it takes no more requests.
async fn converse(stream: TcpStream, url: &Arc<str>, depth: usize, stopped: &Arc<AtomicBool>) -> Vec<Exchange> {
    let started = Instant::now();
    let Ok((sender, connection)) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await else {
        return vec![Exchange { outcome: Outcome::Lost(Loss::Reset), started, ended: Instant::now() }];
    };
    task::spawn(connection);
    let askers: Vec<_> = (0..depth)
        .map(|_| {
            let (mut sender, url, stopped) = (sender.clone(), url.clone(), stopped.clone());
            task::spawn(async move {
                let mut exchanges = Vec::new();
                while !stopped.load(Ordering::Relaxed) && sender.ready().await.is_ok() {
                    let started = Instant::now();
                    let Some(outcome) = ask(&mut sender, &url).await else { break };
                    exchanges.push(Exchange { outcome, started, ended: Instant::now() });
                }
                exchanges
            })
        })
        .collect();
    drop(sender);
    let mut exchanges = Vec::new();
    for asker in askers {
        exchanges.extend(asker.await.expect("no client panics"));
    }
    exchanges
}

/// What became of one request; `None`: it was not sent.
async fn ask(sender: &mut http2::SendRequest<Empty<Bytes>>, url: &str) -> Option<Outcome> {
    let request = Request::get(url).body(Empty::new()).expect("a request");
    let conversation = async {
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(unsent) if unsent.message().is_some() => return None,
            Err(failed) if was_declined(failed.error()) => return None,
            Err(_) => return Some(Outcome::Lost(Loss::Reset)),
        };
        let status = response.status();
        if response.into_body().collect().await.is_err() {
            return Some(Outcome::Lost(Loss::Truncated));
        }
        Some(if status == StatusCode::OK { Outcome::Served } else { Outcome::Status(status.as_u16()) })
    };
    time::timeout(PATIENCE, conversation).await.unwrap_or(Some(Outcome::Lost(Loss::Timeout)))
}

/// Whether the server said that it is going and that it has not begun with this request, which can so be sent again elsewhere
/// (RFC 9113 section 6.8). It was on its way while the server's word came.
fn was_declined(error: &hyper::Error) -> bool {
    let reason = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    reason.is_some_and(|error| error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR))
}

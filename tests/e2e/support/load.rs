//! Load over real sockets: an open loop of new connections, or closed-loop clients on keep-alive connections.
//!
//! A load runs in a thread of its own until it is told to stop, so that a test reads from top to bottom: start the
//! load, signal the server, wait for its end, stop the load, look at what became of each request.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    runtime, task, time,
};

use super::{
    http::{closing_request, request},
    outcome::{Exchange, Loss, Outcome, Tally},
    target::Target,
};

/// How long a client waits for a handshake or a response before it gives up.
const PATIENCE: Duration = Duration::from_secs(40);

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// This many new connections a second, evenly, whatever becomes of them; one request on each.
    Fresh { rate: f64 },
    /// This many clients, each sending requests back to back on one connection, and reconnecting when the server has
    /// closed it. A client that is refused stops.
    KeepAlive { clients: usize },
}

/// A running load.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answers: mpsc::Receiver<()>,
    thread: Option<JoinHandle<Vec<Exchange>>>,
}

impl Load {
    /// Starts asking `target` for `path`.
    pub(crate) fn start(target: &Target, path: &str, shape: Shape) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (answered, answers) = mpsc::channel();
        let client = Client { target: target.clone(), stop: stop.clone(), answered };
        let path = path.to_owned();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
            runtime.block_on(task::LocalSet::new().run_until(async move {
                match shape {
                    Shape::Fresh { rate } => open_loop(client, &path, rate).await,
                    Shape::KeepAlive { clients } => closed_loop(client, &path, clients).await,
                }
            }))
        });
        Self { stop, answers, thread: Some(thread) }
    }

    /// Waits until so many requests have been answered or have failed.
    pub(crate) fn wait_for(&self, exchanges: usize) {
        for _ in 0..exchanges {
            self.answers.recv_timeout(PATIENCE).expect("the load goes on");
        }
    }

    /// Starts no more requests, waits for those under way, and hands over what became of all.
    pub(crate) fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        Tally(self.thread.take().expect("stopped once").join().expect("the load does not panic"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Client {
    target: Target,
    stop: Arc<AtomicBool>,
    answered: mpsc::Sender<()>,
}

impl Client {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, started: Instant, outcome: Outcome) -> Exchange {
        // Nobody listens any more when the test has stopped waiting.
        let _ = self.answered.send(());
        Exchange { outcome, started, ended: Instant::now() }
    }
}

async fn open_loop(client: Client, path: &str, rate: f64) -> Vec<Exchange> {
    let request: Arc<str> = closing_request(path).into();
    let (begin, mut clients) = (time::Instant::now(), Vec::new());
    while !client.stopped() {
        let next = Duration::from_secs_f64(clients.len() as f64 / rate);
        time::sleep_until(begin + next).await;
        let (client, request) = (client.clone(), request.clone());
        clients.push(task::spawn_local(async move {
            let started = Instant::now();
            let outcome = match connect(&client.target).await {
                Ok(mut stream) => exchange(&mut stream, &request).await.0,
                Err(outcome) => outcome,
            };
            client.note(started, outcome)
        }));
    }
    let mut exchanges = Vec::with_capacity(clients.len());
    for client in clients {
        exchanges.push(client.await.expect("no client panics"));
    }
    exchanges
}

async fn closed_loop(client: Client, path: &str, clients: usize) -> Vec<Exchange> {
    let request: Arc<str> = request(path).into();
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (client, request) = (client.clone(), request.clone());
            task::spawn_local(async move { back_to_back(&client, &request).await })
        })
        .collect();
    let mut exchanges = Vec::new();
    for client in clients {
        exchanges.extend(client.await.expect("no client panics"));
    }
    exchanges
}

async fn back_to_back(client: &Client, request: &str) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let mut kept = None;
    while !client.stopped() {
        let started = Instant::now();
        let reused = kept.is_some();
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => match connect(&client.target).await {
                Ok(stream) => stream,
                Err(outcome) => {
                    exchanges.push(client.note(started, outcome));
                    break;
                }
            },
        };
        let (mut outcome, keep) = exchange(&mut stream, request).await;
        if reused && matches!(outcome, Outcome::Lost(Loss::Eof | Loss::Reset)) {
            outcome = Outcome::IdleRace;
        }
        exchanges.push(client.note(started, outcome));
        kept = keep.then_some(stream);
    }
    exchanges
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// Connects, or tells what became of the attempt.
async fn connect(target: &Target) -> Result<Box<dyn Stream>, Outcome> {
    let attempt = async {
        match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            }
            Target::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Stream>),
        }
    };
    match time::timeout(PATIENCE, attempt).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(failed_connect(&error)),
        Err(_) => Err(Outcome::NoAnswer),
    }
}

fn failed_connect(error: &io::Error) -> Outcome {
    match error.kind() {
        // A Unix socket's path is gone once its server is.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Outcome::Refused,
        // The handshake had succeeded, and the connection was reset before we looked.
        io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => Outcome::Lost(Loss::Reset),
        _ => panic!("a client cannot connect: {error}"),
    }
}

/// Sends one request and reads its response; tells also whether the connection may be used again.
async fn exchange(stream: &mut Box<dyn Stream>, request: &str) -> (Outcome, bool) {
    let mut received = Vec::new();
    let conversation = async {
        stream.write_all(request.as_bytes()).await?;
        loop {
            let read = stream.read_buf(&mut received).await?;
            if let Some(done) = complete(&received) {
                return Ok::<_, io::Error>(done);
            }
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    let lost = match time::timeout(PATIENCE, conversation).await {
        Ok(Ok((200, keep))) => return (Outcome::Served, keep),
        Ok(Ok((status, keep))) => return (Outcome::Status(status), keep),
        Ok(Err(_)) if !received.is_empty() => Loss::Truncated,
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Loss::Eof,
        Ok(Err(_)) => Loss::Reset,
        Err(_) => Loss::Timeout,
    };
    (Outcome::Lost(lost), false)
}

/// The status of a complete response with a Content-Length, and whether its connection lives on.
pub(crate) fn complete(received: &[u8]) -> Option<(u16, bool)> {
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).ok()?.to_ascii_lowercase();
    let field = |name: &str| head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()));
    let length: usize = field("content-length").expect("the demo app knows its lengths").parse().ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let keep = field("connection") != Some("close");
    (received.len() >= end + 4 + length).then_some((status, keep))
}

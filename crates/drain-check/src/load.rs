//! Clients over real sockets: an open loop of new connections, or clients that keep theirs.
//!
//! A load runs in a thread of its own until it is told to stop, so that what uses it reads from top to bottom: start the
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

use crate::{
    ask::Ask,
    outcome::{Exchange, Loss, Outcome, Tally},
    response::{Complete, complete},
    target::Target,
};

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// This many new connections a second, evenly, whatever becomes of them; one request on each.
    Fresh {
        /// Connections a second.
        rate: f64,
    },
    /// This many clients, each sending requests back to back on one connection, and reconnecting when the server has
    /// closed it. A client that is refused stops.
    KeepAlive {
        /// How many there are.
        clients: usize,
    },
    /// As `KeepAlive`, but each client sends its requests at set times, or as soon after as the one before is answered.
    Paced {
        /// How many there are.
        clients: usize,
        /// Requests a second, all clients together.
        rate: f64,
    },
}

/// A running load.
///
/// ```no_run
/// use rserve_drain_check::{Load, Shape, Target};
///
/// let target = Target::Tcp(([127, 0, 0, 1], 8000).into());
/// let load = Load::start(&target, "/hello", Shape::Fresh { rate: 50.0 });
/// load.wait_for(100);
/// println!("{}", load.stop());
/// ```
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answers: mpsc::Receiver<()>,
    thread: Option<JoinHandle<Vec<Exchange>>>,
    patience: Duration,
}

impl Load {
    /// Starts asking `target`. Does not block.
    pub fn start<T: Into<Ask>>(target: &Target, ask: T, shape: Shape) -> Self {
        let ask = ask.into();
        let stop = Arc::new(AtomicBool::new(false));
        let (answered, answers) = mpsc::channel();
        let patience = ask.patience;
        let client = Client { target: target.clone(), patience, stop: stop.clone(), answered };
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("invariant: a process with two descriptors to spare can build a runtime");
            runtime.block_on(task::LocalSet::new().run_until(async move {
                match shape {
                    Shape::Fresh { rate } => open_loop(client, &ask, rate).await,
                    Shape::KeepAlive { clients } => kept(client, &ask, clients, None).await,
                    Shape::Paced { clients, rate } => kept(client, &ask, clients, Some(rate)).await,
                }
            }))
        });
        Self { stop, answers, thread: Some(thread), patience }
    }

    /// Blocks until so many requests, counted from the last call, have been answered or have failed.
    ///
    /// # Panics
    ///
    /// If one of them takes longer than the clients' patience: the load has come to a stop.
    pub fn wait_for(&self, exchanges: usize) {
        for _ in 0..exchanges {
            self.answers.recv_timeout(self.patience).expect("invariant: a load goes on until it is stopped");
        }
    }

    /// Starts no more requests. Does not block.
    pub fn no_more(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Starts no more requests, blocks until those under way have ended, and hands over what became of all.
    ///
    /// # Panics
    ///
    /// If the load's thread has panicked.
    #[must_use]
    pub fn stop(mut self) -> Tally {
        self.no_more();
        let thread = self.thread.take().expect("invariant: it is stopped once");
        Tally(thread.join().expect("invariant: the load does not panic"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.no_more();
    }
}

/// An end of file this soon after a request can be the answer to what came before it.
const RACE: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Client {
    target: Target,
    patience: Duration,
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

    /// Connects, or tells what became of the attempt.
    async fn connect(&self) -> Result<Box<dyn Stream>, Outcome> {
        let attempt = async {
            match &self.target {
                Target::Tcp(address) => {
                    let stream = TcpStream::connect(address).await?;
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn Stream>)
                }
                Target::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Stream>),
            }
        };
        match time::timeout(self.patience, attempt).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(failed_connect(&error)),
            Err(_) => Err(Outcome::NoAnswer),
        }
    }

    /// Sends one request and reads its response; tells also whether the connection may be used again.
    async fn exchange(&self, stream: &mut dyn Stream, request: &str) -> (Outcome, bool) {
        let mut received = Vec::new();
        let conversation = async {
            stream.write_all(request.as_bytes()).await?;
            loop {
                let read = stream.read_buf(&mut received).await?;
                if let Some(whole) = complete(&received, read == 0) {
                    return Ok::<_, io::Error>(whole);
                }
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        };
        let lost = match time::timeout(self.patience, conversation).await {
            Ok(Ok(Complete { status: 200, keep_alive })) => return (Outcome::Served, keep_alive),
            Ok(Ok(Complete { status, keep_alive })) => return (Outcome::Status(status), keep_alive),
            Ok(Err(_)) if !received.is_empty() => Loss::Truncated,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Loss::Eof,
            Ok(Err(_)) => Loss::Reset,
            Err(_) => Loss::Timeout,
        };
        (Outcome::Lost(lost), false)
    }
}

async fn open_loop(client: Client, ask: &Ask, rate: f64) -> Vec<Exchange> {
    let request: Arc<str> = ask.request(true).into();
    let (begin, mut clients) = (time::Instant::now(), Vec::new());
    loop {
        time::sleep_until(begin + Duration::from_secs_f64(clients.len() as f64 / rate)).await;
        if client.stopped() {
            break;
        }
        let (client, request) = (client.clone(), request.clone());
        clients.push(task::spawn_local(async move {
            let started = Instant::now();
            let outcome = match client.connect().await {
                Ok(mut stream) => client.exchange(&mut *stream, &request).await.0,
                Err(outcome) => outcome,
            };
            client.note(started, outcome)
        }));
    }
    let mut exchanges = Vec::with_capacity(clients.len());
    for client in clients {
        exchanges.push(client.await.expect("invariant: no client panics"));
    }
    exchanges
}

async fn kept(client: Client, ask: &Ask, clients: usize, rate: Option<f64>) -> Vec<Exchange> {
    let request: Arc<str> = ask.request(false).into();
    let begin = time::Instant::now();
    let clients: Vec<_> = (0..clients)
        .map(|index| {
            let pace = rate.map(|rate| Pace {
                next: begin + Duration::from_secs_f64(index as f64 / rate),
                period: Duration::from_secs_f64(clients as f64 / rate),
            });
            let (client, request) = (client.clone(), request.clone());
            task::spawn_local(async move { one_after_another(&client, &request, pace).await })
        })
        .collect();
    let mut exchanges = Vec::new();
    for client in clients {
        exchanges.extend(client.await.expect("invariant: no client panics"));
    }
    exchanges
}

/// When a client sends its next request.
struct Pace {
    next: time::Instant,
    period: Duration,
}

impl Pace {
    /// Waits for the next time; times that have passed meanwhile are left out.
    async fn wait(&mut self) {
        time::sleep_until(self.next).await;
        self.next = (self.next + self.period).max(time::Instant::now());
    }
}

async fn one_after_another(client: &Client, request: &str, mut pace: Option<Pace>) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    let mut kept = None;
    loop {
        if let Some(pace) = &mut pace {
            pace.wait().await;
        }
        if client.stopped() {
            return exchanges;
        }
        let started = Instant::now();
        let reused = kept.is_some();
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => match client.connect().await {
                Ok(stream) => stream,
                Err(outcome) => {
                    exchanges.push(client.note(started, outcome));
                    return exchanges;
                }
            },
        };
        let (mut outcome, keep) = client.exchange(&mut *stream, request).await;
        // Later than that the server has seen the request, and left it unanswered.
        let may_be_race = reused && started.elapsed() < RACE;
        if may_be_race && matches!(outcome, Outcome::Lost(Loss::Eof | Loss::Reset)) {
            outcome = Outcome::IdleRace;
        }
        exchanges.push(client.note(started, outcome));
        kept = keep.then_some(stream);
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

fn failed_connect(error: &io::Error) -> Outcome {
    match error.kind() {
        // A Unix socket's path is gone once its server is.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Outcome::Refused,
        // And so may be the way to its address.
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Outcome::Refused,
        // The handshake had succeeded, and the connection was reset before we looked.
        io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => Outcome::Lost(Loss::Reset),
        io::ErrorKind::TimedOut => Outcome::NoAnswer,
        _ => Outcome::NotTried,
    }
}

//! Clients over HTTP/2 that do not let a response go on (RFC 9113 section 5.2), while their sockets are read.

use std::time::{Duration, Instant};

use h2::RecvStream;
use h2::client::{Builder, Connection, SendRequest};
use hyper::{Request, body::Bytes};
use nix::sys::signal::Signal::SIGTERM;
use tokio::{net::TcpStream, runtime, task::JoinHandle, time};

use crate::support::{Server, Target};

/// As much of a response as a client of these takes at first.
const WINDOW: usize = 1000;

/// The app gives it in one piece.
const LENGTH: usize = 60_000;

/// More than `--keep-alive` and what an idle client has to notice that it is to leave.
const PAUSE: Duration = Duration::from_secs(4);

fn in_runtime<T>(client: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { time::timeout(Duration::from_secs(30), client).await.expect("the client is stuck") })
}

struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn connect(server: &Server) -> Self {
        let Target::Tcp(address) = server.target() else { panic!("the listener is TCP") };
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection): (_, Connection<_, Bytes>) =
            Builder::new().initial_window_size(WINDOW as u32).handshake(stream).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// The response's body, when its head has come.
    async fn get(&mut self, path: &str) -> Result<RecvStream, h2::Error> {
        let request = Request::get(format!("http://test{path}")).body(()).unwrap();
        self.requests.clone().ready().await?;
        let (response, _) = self.requests.send_request(request, true)?;
        Ok(response.await?.into_body())
    }
}

/// Takes the rest: how long the whole body was.
async fn take(body: &mut RecvStream) -> Result<usize, h2::Error> {
    let mut length = 0;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        length += piece.len();
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok(length)
}

fn server(args: &[&str]) -> Server {
    Server::builder("async").drain(0.2).args(["--keep-alive", "1"]).args(args.iter().copied()).start()
}

#[test]
fn client_that_pauses_gets_all() {
    let server = server(&[]);
    in_runtime(async {
        let mut client = Client::connect(&server).await;
        let mut body = client.get(&format!("/bytes/{LENGTH}")).await.unwrap();
        time::sleep(PAUSE).await;
        assert_eq!(take(&mut body).await.unwrap(), LENGTH);
    });
}

#[test]
fn drain_waits_for_a_client_that_pauses() {
    let mut server = server(&[]);
    in_runtime(async {
        let mut client = Client::connect(&server).await;
        let mut body = client.get(&format!("/bytes/{LENGTH}")).await.unwrap();
        server.signal(SIGTERM);
        time::sleep(PAUSE).await;
        assert_eq!(take(&mut body).await.unwrap(), LENGTH);
        drop((client.requests, body));
        client.connection.await.unwrap().unwrap();
    });
    assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(0));
    server.drain_report().assert_nothing_cut();
}

#[test]
fn client_that_takes_nothing_is_cut_when_nobody_else_is_served() {
    let server = server(&["--write-timeout", "1", "--threads", "2"]);
    in_runtime(async {
        let mut client = Client::connect(&server).await;
        let mut stuck = client.get(&format!("/bytes/{LENGTH}")).await.unwrap();
        // Another request of the connection waits for the app meanwhile, and is not cut with it.
        let began = Instant::now();
        let mut other = client.get("/sleep/2500").await.unwrap();
        assert!(take(&mut other).await.unwrap() > 0);
        let waited = began.elapsed();
        assert!(take_without_release(&mut stuck).await.is_err(), "it goes on");
        let cut = began.elapsed();
        assert!(waited < cut && cut < waited + Duration::from_secs(5), "cut after {cut:?}, the other after {waited:?}");
        assert!(client.connection.await.unwrap().is_err(), "the connection goes on");
    });
}

async fn take_without_release(body: &mut RecvStream) -> Result<(), h2::Error> {
    while let Some(piece) = body.data().await {
        piece?;
    }
    Ok(())
}

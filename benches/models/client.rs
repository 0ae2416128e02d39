//! A load generator: so many clients, each of which sends a request when its last one has been answered.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use crate::model;

/// Clients of one server, whose connections are kept from one measurement to the next.
pub(crate) struct Clients {
    runtime: Runtime,
    address: SocketAddr,
    request: Vec<u8>,
    /// A connection for each request.
    fresh: bool,
    idle: Vec<Option<TcpStream>>,
}

/// What came of a number of requests.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) elapsed: Duration,
    /// Sorted.
    pub(crate) latencies: Vec<Duration>,
}

/// The clients' side of the machine.
pub(crate) fn pin() {
    model::pin_to_core(1);
}

impl Clients {
    pub(crate) fn new(address: SocketAddr, count: usize, path: &str, body: usize, fresh: bool) -> Self {
        let connection = if fresh { "Connection: close\r\n" } else { "" };
        let mut request = match body {
            0 => format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{connection}\r\n"),
            _ => format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{connection}Content-Length: {body}\r\n\r\n"),
        }
        .into_bytes();
        request.extend(std::iter::repeat_n(b'x', body));
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        Self { runtime, address, request, fresh, idle: (0..count).map(|_| None).collect() }
    }

    /// Sends so many requests in all, as fast as they are answered.
    ///
    /// # Panics
    ///
    /// When one is not answered with a 200: what a server does not do cannot be timed.
    pub(crate) fn run(&mut self, requests: u64) -> Run {
        let count = self.idle.len() as u64;
        let start = Instant::now();
        let outcomes = self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for (index, stream) in self.idle.iter_mut().enumerate() {
                let share = requests / count + u64::from((index as u64) < requests % count);
                let client = Client { address: self.address, request: self.request.clone(), fresh: self.fresh };
                tasks.spawn(client.send(stream.take(), share));
            }
            tasks.join_all().await
        });
        let elapsed = start.elapsed();
        let mut latencies = Vec::with_capacity(requests as usize);
        for (place, outcome) in self.idle.iter_mut().zip(outcomes) {
            let (stream, times) = outcome.expect("every request is answered");
            *place = stream;
            latencies.extend(times);
        }
        latencies.sort_unstable();
        Run { elapsed, latencies }
    }
}

impl Run {
    /// The latency that this share of the requests did not exceed.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        self.latencies[((self.latencies.len() - 1) as f64 * share) as usize]
    }
}

struct Client {
    address: SocketAddr,
    request: Vec<u8>,
    fresh: bool,
}

impl Client {
    async fn send(self, stream: Option<TcpStream>, count: u64) -> io::Result<(Option<TcpStream>, Vec<Duration>)> {
        let mut stream = stream;
        let mut buffer = vec![0; 256 * 1024];
        let mut latencies = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let start = Instant::now();
            let mut open = match stream.take() {
                Some(open) => open,
                None => {
                    let open = TcpStream::connect(self.address).await?;
                    open.set_nodelay(true)?;
                    open
                }
            };
            open.write_all(&self.request).await?;
            receive(&mut open, &mut buffer).await?;
            latencies.push(start.elapsed());
            stream = if self.fresh { None } else { Some(open) };
        }
        Ok((stream, latencies))
    }
}

/// Reads one response to its end.
async fn receive(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    let end = loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if let Some(end) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = str::from_utf8(&buffer[..end]).map_err(io::Error::other)?.to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(io::Error::other(head));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let mut left = length.ok_or_else(|| io::Error::other("the response has no length"))?.saturating_sub(filled - end);
    while left > 0 {
        match stream.read(buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}

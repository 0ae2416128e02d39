//! Clients that take their time, stop in the middle, or go away: many of them, while the test asks how others fare.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};

/// How many there are of each kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// They connect, and that is all.
    pub(crate) silent: usize,
    /// They send a head that never ends, a byte a second.
    pub(crate) heads: usize,
    /// They send a body, a byte a second: every other one is small enough for memory.
    pub(crate) bodies: usize,
    /// They read responses of 10 MiB, 64 KiB every tenth of a second.
    pub(crate) readers: usize,
    /// Connections a second that end in the middle of a request, by a reset or by a shut sending direction.
    pub(crate) cuts: usize,
}

impl Crowd {
    /// A thousand silent clients and everybody else who is slow.
    pub(crate) const WHOLE: Self = Self { silent: 1000, heads: 200, bodies: 100, readers: 20, cuts: 100 };

    /// How many connections it holds all the time.
    pub(crate) const fn held(self) -> usize {
        self.silent + self.heads + self.bodies + self.readers
    }

    /// Has them come. They stay until the [`Gathering`] is dropped; all but the silent come again when they were closed.
    pub(crate) fn gather(self, server: SocketAddr) -> io::Result<Gathering> {
        let stop = Arc::new(AtomicBool::new(false));
        let lost = Arc::new(AtomicUsize::new(0));
        let silent = (0..self.silent).map(|_| TcpStream::connect(server)).collect::<io::Result<_>>()?;
        let drips = (0..self.heads + self.bodies)
            .map(|index| match index.checked_sub(self.heads) {
                None => Drip::new(server, HEAD.to_owned()),
                Some(body) => Drip::new(server, slow_upload(if body % 2 == 0 { 50_000 } else { 1_000_000 })),
            })
            .collect::<io::Result<Vec<_>>>()?;
        let readers = (0..self.readers).map(|_| Reader::new(server)).collect::<io::Result<Vec<_>>>()?;
        let threads = vec![
            run(&stop, &lost, Duration::from_secs(1), drips, Drip::send_byte),
            run(&stop, &lost, Duration::from_millis(100), readers, Reader::read_some),
            run(&stop, &lost, Duration::from_secs(1), vec![server; self.cuts], {
                let mut at = 0;
                move |server| {
                    at += 1;
                    let (request, half) = (REQUESTS[at / 2 % 2], at % 2 == 0);
                    let end = at / 4 % request.len() + 1;
                    Cut { sent: &request.as_bytes()[..end], half }.make(*server)
                }
            }),
        ];
        Ok(Gathering { silent, stop, lost, threads })
    }
}

/// A crowd that is there. When it is dropped they all go.
pub(crate) struct Gathering {
    silent: Vec<TcpStream>,
    stop: Arc<AtomicBool>,
    lost: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Gathering {
    /// How often a client could not go on, and could not even come again.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.silent.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One that is slow on purpose, and is answered with nothing.
const HEAD: &str = "GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";

/// A whole GET and a whole POST, to be cut somewhere.
pub(crate) const REQUESTS: [&str; 2] = [
    "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 12\r\n\r\nhello, world",
];

/// The head of an upload, and not more.
pub(crate) fn slow_upload(length: usize) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
}

/// A client that goes away in the middle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut<'a> {
    /// What it sends before.
    pub(crate) sent: &'a [u8],
    /// It shuts its sending direction and reads what comes. Otherwise it resets the connection.
    pub(crate) half: bool,
}

impl Cut<'_> {
    /// Connects, sends, and goes.
    pub(crate) fn make(self, server: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(server)?;
        stream.write_all(self.sent)?;
        self.end(stream)
    }

    /// Ends a connection on which everything has been sent.
    pub(crate) fn end(self, mut stream: TcpStream) -> io::Result<()> {
        if self.half {
            stream.shutdown(Shutdown::Write)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        reset(stream)
    }
}

/// Ends a connection with a reset.
pub(crate) fn reset(stream: TcpStream) -> io::Result<()> {
    setsockopt(&stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?;
    Ok(())
}

/// Gives each of `clients` its turn once in every `period`, evenly spread, in a thread of its own.
fn run<T: Send + 'static>(
    stop: &Arc<AtomicBool>,
    lost: &Arc<AtomicUsize>,
    period: Duration,
    mut clients: Vec<T>,
    mut turn: impl FnMut(&mut T) -> io::Result<()> + Send + 'static,
) -> JoinHandle<()> {
    let (stop, lost) = (stop.clone(), lost.clone());
    thread::spawn(move || {
        let Some(pause) = period.checked_div(clients.len() as u32) else { return };
        while !stop.load(Ordering::Relaxed) {
            for client in &mut clients {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                if turn(client).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(pause);
            }
        }
    })
}

struct Drip {
    server: SocketAddr,
    first: String,
    stream: TcpStream,
}

impl Drip {
    fn new(server: SocketAddr, first: String) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        stream.write_all(first.as_bytes())?;
        Ok(Self { server, first, stream })
    }

    /// A server that has had enough of it has closed the connection.
    fn send_byte(&mut self) -> io::Result<()> {
        if self.stream.write_all(b"a").is_err() {
            *self = Self::new(self.server, self.first.clone())?;
        }
        Ok(())
    }
}

struct Reader {
    server: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Reader {
    fn new(server: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        // Or the kernel would take most of the response at once.
        setsockopt(&stream, sockopt::RcvBuf, &(64 * 1024))?;
        stream.write_all(b"GET /bytes/10485760 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.set_nonblocking(true)?;
        Ok(Self { server, stream, buffer: vec![0; 64 * 1024] })
    }

    fn read_some(&mut self) -> io::Result<()> {
        match self.stream.read(&mut self.buffer) {
            Ok(1..) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(0) | Err(_) => {
                *self = Self::new(self.server)?;
                Ok(())
            }
        }
    }
}

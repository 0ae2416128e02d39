//! A small blocking client that sends bytes as they are and reads one response at a time.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use super::{Target, kernel};

/// How long a client waits for bytes before it gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A complete response.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of the first header field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the server will close the connection after this response.
    pub(crate) fn closes(&self) -> bool {
        match self.header("connection") {
            Some(value) => value.to_ascii_lowercase().contains("close"),
            None => self.head.starts_with("HTTP/1.0"),
        }
    }
}

/// One GET on a connection of its own.
pub(crate) fn get(target: &Target, path: &str) -> io::Result<Response> {
    let mut conn = Conn::open(target)?;
    conn.send(request(path))?;
    conn.response()
}

/// A GET that lets the server choose whether the connection lives on.
pub(crate) fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A GET that asks the server to close after the response.
pub(crate) fn closing_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// One client connection.
pub(crate) struct Conn {
    stream: Stream,
    unread: Vec<u8>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Conn {
    pub(crate) fn open(target: &Target) -> io::Result<Self> {
        let stream = match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Tcp(stream)
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Unix(stream)
            }
        };
        Ok(Self { stream, unread: Vec::new() })
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Stream::Unix(stream) => stream.write_all(bytes.as_ref()),
        }
    }

    /// Whether the server has accepted it and read all that was sent, as the kernel tells; not for Unix sockets.
    pub(crate) fn taken(&self) -> io::Result<bool> {
        match &self.stream {
            Stream::Tcp(stream) => Ok(kernel::taken(stream.local_addr()?, stream.peer_addr()?)),
            Stream::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Ends the sending direction only.
    pub(crate) fn finish_sending(&mut self) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Reads the response to a request that has a body in its response.
    pub(crate) fn response(&mut self) -> io::Result<Response> {
        let head = self.head()?;
        let mut response = Response { status: status(&head)?, head, body: Vec::new() };
        let chunked = response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if chunked {
            response.body = self.chunks()?;
        } else if let Some(length) = response.header("content-length") {
            response.body = self.exactly(length.parse().map_err(io::Error::other)?)?;
        } else if !matches!(response.status, 100..=199 | 204 | 304) {
            response.body = self.rest()?;
        }
        Ok(response)
    }

    /// Reads the head of a response that has no body: an answer to HEAD, or an interim one.
    pub(crate) fn bodiless_response(&mut self) -> io::Result<Response> {
        let head = self.head()?;
        Ok(Response { status: status(&head)?, head, body: Vec::new() })
    }

    /// Everything until the server closes.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.unread))
    }

    /// Whether the server closes in an orderly way, without another byte, within `bound`.
    pub(crate) fn closed_within(&mut self, bound: Duration) -> bool {
        self.unread.is_empty() && matches!(self.fill_within(bound), Ok(false))
    }

    /// Whether the server sends something within `bound`.
    pub(crate) fn readable_within(&mut self, bound: Duration) -> bool {
        !self.unread.is_empty() || matches!(self.fill_within(bound), Ok(true))
    }

    fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).map_err(io::Error::other);
            }
            self.fill_more()?;
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill_more()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|bytes| bytes == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).map_err(io::Error::other);
            }
            self.fill_more()?;
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            self.line()?;
        }
    }

    fn fill_more(&mut self) -> io::Result<()> {
        if self.fill()? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn fill_within(&mut self, bound: Duration) -> io::Result<bool> {
        self.set_patience(bound)?;
        let filled = self.fill();
        self.set_patience(PATIENCE)?;
        filled
    }

    fn set_patience(&self, bound: Duration) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(bound)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(bound)),
        }
    }

    /// Reads what is there; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 64 * 1024];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut buffer),
            Stream::Unix(stream) => stream.read(&mut buffer),
        }?;
        self.unread.extend_from_slice(&buffer[..read]);
        Ok(read > 0)
    }
}

fn status(head: &str) -> io::Result<u16> {
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other(format!("no status in {head:?}")))
}

use std::time::Duration;

/// What the clients of a load ask for.
///
/// ```
/// use rserve_drain_check::{Ask, Method};
///
/// let ask = Ask { method: Method::Post, ..Ask::from("/orders") };
/// ```
#[derive(Clone, Debug)]
pub struct Ask {
    /// GET by default.
    pub method: Method,
    /// The target of each request.
    pub path: String,
    /// How long a client waits for a handshake, and how long for a response. 40 seconds by default.
    pub patience: Duration,
}

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Without a body.
    Get,
    /// With a body of a few bytes. A proxy may not send such a request a second time.
    Post,
}

impl From<&str> for Ask {
    /// A GET for this path.
    fn from(path: &str) -> Self {
        Self { method: Method::Get, path: path.to_owned(), patience: Duration::from_secs(40) }
    }
}

impl Ask {
    /// The request's bytes; `close` asks the server to close the connection after the response.
    pub(crate) fn request(&self, close: bool) -> String {
        let path = &self.path;
        let close = if close { "Connection: close\r\n" } else { "" };
        match self.method {
            Method::Get => format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n"),
            Method::Post => format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n{close}\r\nx=1"),
        }
    }
}

use std::io::{self, Read};
use std::net::SocketAddr;
use std::{fmt, mem};

use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, Method};

use crate::allow_list::AllowList;
use crate::client::Client;
use crate::head::Head;

/// A whole request, as a [`Handler`](crate::Handler) gets it.
///
/// The head is still a view of the bytes that were read; [`into_http`](Self::into_http) builds the owned, typed form
/// for handlers that ask for it.
///
/// ```
/// use rserve_http::{ConnectInfo, Decoder, Limits, Request, RequestBody};
///
/// let bytes = b"GET /hello?name=you HTTP/1.1\r\nHost: example.com\r\n\r\n";
/// let mut decoder = Decoder::new(Limits::default());
/// decoder.decode(bytes)?;
/// let request = Request::new(decoder.head().view(bytes), RequestBody::Empty, ConnectInfo::default());
/// assert_eq!(request.head().path(), "/hello");
///
/// let request = request.into_http();
/// assert_eq!(request.uri().query(), Some("name=you"));
/// assert_eq!(request.headers()["host"], "example.com");
/// assert_eq!(request.extensions().get::<ConnectInfo>().unwrap().peer, None);
/// # Ok::<(), rserve_http::Refusal>(())
/// ```
#[derive(Debug)]
pub struct Request<'a> {
    head: Head<'a>,
    body: RequestBody,
    connect: ConnectInfo,
    forwarders: Option<&'a AllowList>,
}

/// The connection a request came by; an extension of the `http::Request` that [`Request::into_http`] makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectInfo {
    /// The other end's address, or the one that a PROXY protocol header gave; `None` on a Unix socket.  What forwarded
    /// fields say is [`Request::client`].
    pub peer: Option<SocketAddr>,
    /// The address it was connected to: the server's own, or the one that a PROXY protocol header gave; `None` on a Unix
    /// socket.
    pub local: Option<SocketAddr>,
    /// Whether the server is stopping, and not only this worker: the time to answer a readiness check with 503, for a
    /// balancer that is not told otherwise.
    pub draining: bool,
}

impl<'a> Request<'a> {
    /// Joins the parts.
    pub fn new(head: Head<'a>, body: RequestBody, connect: ConnectInfo) -> Self {
        Self { head, body, connect, forwarders: None }
    }

    /// Says that the peer speaks for its clients; `None`, the default: it speaks for itself.
    ///
    /// `forwarders` is the list that the peer was found on.
    #[must_use]
    pub fn with_forwarders(self, forwarders: Option<&'a AllowList>) -> Self {
        Self { forwarders, ..self }
    }

    /// The method, target and fields.
    pub fn head(&self) -> Head<'a> {
        self.head
    }

    /// The body.
    pub fn body(&self) -> &RequestBody {
        &self.body
    }

    /// The body, to read from.
    pub fn body_mut(&mut self) -> &mut RequestBody {
        &mut self.body
    }

    /// The body, to keep.
    pub fn into_body(self) -> RequestBody {
        self.body
    }

    /// The client, by what the proxies in front say of it if they are believed, and by [`peer`](Self::peer) otherwise.
    ///
    /// The fields are looked through anew with each call.
    pub fn client(&self) -> Client {
        Client::find(self.connect.peer.map(|peer| peer.ip()), self.forwarders, self.head.headers())
    }

    /// Whether what the peer says of its clients is believed.
    pub fn is_believed(&self) -> bool {
        self.forwarders.is_some()
    }

    /// [`ConnectInfo::peer`].
    pub fn peer(&self) -> Option<SocketAddr> {
        self.connect.peer
    }

    /// [`ConnectInfo::local`].
    pub fn local(&self) -> Option<SocketAddr> {
        self.connect.local
    }

    /// Whether the server is stopping.
    pub fn draining(&self) -> bool {
        self.connect.draining
    }

    /// The owned form, with a [`ConnectInfo`] and a [`Client`] among its extensions.
    ///
    /// The target is [`Head::uri`].
    pub fn into_http(self) -> http::Request<RequestBody> {
        let client = self.client();
        let mut request = http::Request::new(self.body);
        *request.method_mut() =
            Method::from_bytes(self.head.method().as_bytes()).expect("invariant: the method is a token");
        *request.uri_mut() = self.head.uri();
        *request.version_mut() = self.head.version().into();
        let headers = request.headers_mut();
        headers.reserve(self.head.headers().len());
        for (name, value) in self.head.headers() {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).expect("invariant: the name is a token"),
                HeaderValue::from_bytes(value).expect("invariant: the value has no control characters"),
            );
        }
        request.extensions_mut().insert(self.connect);
        request.extensions_mut().insert(client);
        request
    }
}

/// The body of a request: complete before the handler runs.
///
/// Reading never waits for the client.  `Read` takes bytes off the front, so [`len`](Self::len) shrinks.
///
/// ```
/// use std::io::Read;
///
/// let mut body = rserve_http::RequestBody::from("name=you");
/// let mut key = [0; 5];
/// body.read_exact(&mut key)?;
/// assert_eq!((&key, body.len()), (b"name=", 3));
/// assert_eq!(body.into_bytes()?, "you");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub enum RequestBody {
    /// No bytes.
    #[default]
    Empty,
    /// In memory.
    Bytes(Bytes),
    /// Somewhere else, typically in a temporary file.
    Reader {
        /// Gives the bytes, from the first.
        reader: Box<dyn Read + Send>,
        /// How many there are to be read.
        length: u64,
    },
}

impl RequestBody {
    /// How many bytes are left to be read.
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Reader { length, .. } => *length,
        }
    }

    /// Whether there is nothing left to be read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is left, in memory.  It copies nothing that is there already.
    ///
    /// # Errors
    ///
    /// Those of the reader; `UnexpectedEof` if it has fewer bytes than it should.
    pub fn into_bytes(mut self) -> io::Result<Bytes> {
        self.read_to_bytes()
    }

    /// As [`into_bytes`](Self::into_bytes), for a body that is borrowed; it is empty afterwards.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read_to_bytes(&mut self) -> io::Result<Bytes> {
        match mem::take(self) {
            Self::Empty => Ok(Bytes::new()),
            Self::Bytes(bytes) => Ok(bytes),
            Self::Reader { reader, length } => {
                // Room for all of them, rather than to grow and copy on the way there.
                let mut bytes = Vec::with_capacity(length.min(MOST_AT_ONCE) as usize);
                let read = reader.take(length).read_to_end(&mut bytes)? as u64;
                if read < length { Err(cut_short(length - read)) } else { Ok(bytes.into()) }
            }
        }
    }
}

/// So much memory is taken on the word of whoever said how long a body is.
const MOST_AT_ONCE: u64 = 16 * 1024 * 1024;

impl Read for RequestBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Empty => Ok(0),
            Self::Bytes(bytes) => {
                let read = bytes.len().min(buffer.len());
                bytes.copy_to_slice(&mut buffer[..read]);
                Ok(read)
            }
            Self::Reader { reader, length } => {
                let read = reader.by_ref().take(*length).read(buffer)?;
                if read == 0 && *length > 0 && !buffer.is_empty() {
                    return Err(cut_short(*length));
                }
                *length -= read as u64;
                Ok(read)
            }
        }
    }
}

fn cut_short(missing: u64) -> io::Error {
    let text = format!("the stored request body is {missing} bytes short; was its temporary file cut?");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

impl<T: Into<Bytes>> From<T> for RequestBody {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::Empty } else { Self::Bytes(bytes) }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Empty => "Empty",
            Self::Bytes(_) => "Bytes",
            Self::Reader { .. } => "Reader",
        };
        f.debug_struct(kind).field("len", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests;

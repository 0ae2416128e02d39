use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::{fmt, mem};

use bytes::Bytes;

/// The body of a response.
///
/// It is made from a string, bytes or `()`, from a file, a reader, or an iterator of pieces that is pulled as the client
/// reads.  Whoever sends it calls [`next_chunk`](Self::next_chunk) until there is none.
///
/// ```
/// use bytes::Bytes;
/// use rserve_http::Body;
///
/// let mut body = Body::from("hello");
/// assert_eq!(body.len(), Some(5));
/// assert_eq!(body.next_chunk().unwrap()?, "hello");
/// assert!(body.next_chunk().is_none());
///
/// let mut countdown = Body::stream((0..3).rev().map(|n| Ok(Bytes::from(n.to_string()))));
/// assert_eq!(countdown.len(), None);
/// assert_eq!(countdown.next_chunk().unwrap()?, "2");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Bytes(Bytes),
    Reader {
        reader: Box<dyn Read + Send>,
        left: u64,
    },
    File {
        file: File,
        at: u64,
        left: u64,
    },
    Stream {
        pieces: Box<dyn Iterator<Item = io::Result<Bytes>> + Send>,
        left: Option<u64>,
    },
}

/// How much of a reader is in memory at once.
const PIECE: u64 = 64 * 1024;

impl Body {
    /// A body without bytes.
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// The next `length` bytes of `reader`.  It is read in pieces of 64 KiB, from whatever thread sends the response.
    pub fn reader(reader: impl Read + Send + 'static, length: u64) -> Self {
        Self(Kind::Reader { reader: Box::new(reader), left: length })
    }

    /// The bytes of `file` in `range`. Where it can be, the kernel sends them from the file to the socket, `sendfile(2)`;
    /// otherwise they are read in pieces of 64 KiB. Either blocks for as long as the disk does, on the thread that sends the
    /// response. The file's own position does not matter.
    ///
    /// ```no_run
    /// use std::fs::File;
    /// use rserve_http::Body;
    ///
    /// let file = File::open("index.html")?;
    /// let length = file.metadata()?.len();
    /// let body = Body::file(file, 0..length);
    /// assert_eq!(body.len(), Some(length));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn file(file: File, range: Range<u64>) -> Self {
        Self(Kind::File { file, at: range.start, left: range.end.saturating_sub(range.start) })
    }

    /// The file, and what is still to come of it, for a sender that can do without [`next_chunk`](Self::next_chunk).
    #[must_use]
    pub const fn as_file(&self) -> Option<(&File, Range<u64>)> {
        match &self.0 {
            Kind::File { file, at, left } => Some((file, *at..*at + *left)),
            _ => None,
        }
    }

    /// So many bytes of the [file](Self::as_file) have been sent.
    pub const fn advance(&mut self, sent: u64) {
        if let Kind::File { at, left, .. } = &mut self.0 {
            (*at, *left) = (*at + sent, left.saturating_sub(sent));
        }
    }

    /// Pieces of unknown length altogether; sent chunked, or to an HTTP/1.0 client until the connection closes.
    pub fn stream(pieces: impl Iterator<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Kind::Stream { pieces: Box::new(pieces), left: None })
    }

    /// Pieces that are `length` bytes altogether.
    pub fn sized_stream(pieces: impl Iterator<Item = io::Result<Bytes>> + Send + 'static, length: u64) -> Self {
        Self(Kind::Stream { pieces: Box::new(pieces), left: Some(length) })
    }

    /// How many bytes are still to come, `None` if that is not known.
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Bytes(bytes) => Some(bytes.len() as u64),
            Kind::Reader { left, .. } | Kind::File { left, .. } => Some(*left),
            Kind::Stream { left, .. } => *left,
        }
    }

    /// The bytes that are to come, if all of them are in memory: neither a reader nor a stream has to be asked. A reader
    /// that has given all that was promised is not asked again.
    ///
    /// ```
    /// use rserve_http::Body;
    ///
    /// assert_eq!(Body::from("hello").in_memory(), Some(&b"hello"[..]));
    /// assert_eq!(Body::reader(std::io::repeat(b'a'), 1).in_memory(), None);
    /// assert_eq!(Body::reader(std::io::repeat(b'a'), 0).in_memory(), Some(&b""[..]));
    /// ```
    #[must_use]
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Empty | Kind::Reader { left: 0, .. } | Kind::File { left: 0, .. } => Some(b""),
            Kind::Bytes(bytes) => Some(bytes),
            Kind::Reader { .. } | Kind::File { .. } | Kind::Stream { .. } => None,
        }
    }

    /// Whether it is known that no bytes are to come.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The next piece, never an empty one; `None` at the end.  It blocks for as long as the reader or iterator does.
    ///
    /// # Errors
    ///
    /// Those of the reader or iterator; `UnexpectedEof` if fewer bytes came than were promised and `InvalidData` if
    /// more did.  After an error there are no more pieces, and the response must be cut.
    pub fn next_chunk(&mut self) -> Option<io::Result<Bytes>> {
        let piece = match &mut self.0 {
            Kind::Empty => return None,
            Kind::Bytes(bytes) => {
                let bytes = mem::take(bytes);
                self.0 = Kind::Empty;
                return (!bytes.is_empty()).then_some(Ok(bytes));
            }
            Kind::Reader { reader, left } => read_piece(reader, left),
            Kind::File { file, at, left } => {
                let before = *left;
                let sought = file.seek(SeekFrom::Start(*at));
                let piece = sought.map_or_else(|error| Some(Err(error)), |_| read_piece(file, left));
                *at += before - *left;
                piece
            }
            Kind::Stream { pieces, left } => {
                let piece = pieces.find(|piece| !piece.as_ref().is_ok_and(Bytes::is_empty));
                check_promise(piece, left)
            }
        };
        if !matches!(piece, Some(Ok(_))) {
            self.0 = Kind::Empty;
        }
        piece
    }
}

fn read_piece(reader: &mut dyn Read, left: &mut u64) -> Option<io::Result<Bytes>> {
    if *left == 0 {
        return None;
    }
    let mut piece = Vec::with_capacity((*left).min(PIECE) as usize);
    match reader.take((*left).min(PIECE)).read_to_end(&mut piece) {
        Ok(0) => Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, too_short(*left)))),
        Ok(read) => {
            *left -= read as u64;
            Some(Ok(piece.into()))
        }
        Err(error) => Some(Err(error)),
    }
}

fn check_promise(piece: Option<io::Result<Bytes>>, left: &mut Option<u64>) -> Option<io::Result<Bytes>> {
    let (Some(promised), None | Some(Ok(_))) = (left.as_mut(), &piece) else {
        return piece;
    };
    let given = piece.as_ref().and_then(|piece| piece.as_ref().ok()).map_or(0, Bytes::len) as u64;
    match promised.checked_sub(given) {
        None => {
            let text = format!("the response body is {} bytes longer than promised", given - *promised);
            Some(Err(io::Error::new(io::ErrorKind::InvalidData, text)))
        }
        Some(missing @ 1..) if piece.is_none() => {
            Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, too_short(missing))))
        }
        Some(rest) => {
            *promised = rest;
            piece
        }
    }
}

fn too_short(missing: u64) -> String {
    format!("the response body is {missing} bytes shorter than promised")
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Bytes(bytes)) }
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Empty => "empty",
            Kind::Bytes(_) => "bytes",
            Kind::Reader { .. } => "reader",
            Kind::File { .. } => "file",
            Kind::Stream { .. } => "stream",
        };
        f.debug_struct("Body").field("kind", &kind).field("len", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests;

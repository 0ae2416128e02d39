use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use nix::errno::Errno;
use nix::sys::sendfile::sendfile;
use nix::sys::socket::MsgFlags;
use rserve_http::{Body, CHUNK_END, Outgoing, chunk_head, encode_chunk};
use socket2::Socket;

use crate::app_panic::catch_app_panic;
use crate::feed::{Feed, Portion};

/// A response on its way out. The body is pulled piece by piece as the client takes it.
#[derive(Debug)]
pub(crate) struct Sending {
    queue: VecDeque<Bytes>,
    source: Source,
    framing: Outgoing,
    ended: bool,
    /// A body that is a file is sent by the kernel.
    kernel_reads: bool,
    /// How many bytes the body has given.
    pub(crate) given: u64,
}

/// Where the pieces of a body come from.
#[derive(Debug)]
pub(crate) enum Source {
    Body(Body),
    /// Another thread asks the body.
    Feed(Feed),
}

/// What a body says: its next piece, its end, or why it cannot go on.
pub(crate) type Fetched = Result<Option<Bytes>, String>;

/// How far it got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it is with the kernel.
    All,
    /// The rest must wait until the socket is writable.
    Part,
    /// All that the body has given so far, on another thread, of which the loop will hear.
    Dry,
    /// All that the body has given; a thread is to ask it for more.
    Parked,
}

/// Why a response cannot be finished.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The connection is gone.
    Client,
    /// The body failed: why.
    Body(String),
}

/// Up to here a copy into the head's buffer is cheaper than a second entry for the kernel to walk.
pub(crate) const COPIED: usize = 4 * 1024;

/// So much of a file goes in one write.
const FILE_AT_ONCE: u64 = 64 * 1024;

/// After this many writes, of up to 64 KiB each if the body is a reader, the other connections have their turn. Somebody
/// who asks for little waits for as many turns as there are clients who read much.
const WRITES_PER_TURN: usize = 4;

impl Sending {
    /// Sends a response whose head is in `head`, with the first piece of the body in the same write.
    pub(crate) fn start(
        socket: &Socket,
        head: &mut Vec<u8>,
        source: Source,
        framing: Outgoing,
    ) -> (Self, Result<Sent, Cut>) {
        let mut sending = Self {
            queue: VecDeque::new(),
            source,
            framing,
            ended: framing == Outgoing::None,
            given: 0,
            kernel_reads: true,
        };
        let sent = sending.send_first(socket, head);
        (sending, sent)
    }

    /// Goes on, when the socket is writable. The flag: whether the client has taken anything.
    pub(crate) fn go_on(&mut self, socket: &Socket) -> (bool, Result<Sent, Cut>) {
        let mut moved = false;
        for _ in 0..WRITES_PER_TURN {
            let sends_file = self.queue.is_empty() && self.sends_file();
            if self.queue.is_empty()
                && !sends_file
                && let Some(sent) = self.refill().transpose()
            {
                return (moved, sent);
            }
            match if sends_file { self.send_file(socket) } else { self.send_queue(socket) } {
                Ok(0) => return (moved, Ok(Sent::Part)),
                Ok(_) => moved = true,
                Err(cut) => return (moved, Err(cut)),
            }
        }
        (moved, Ok(Sent::Part))
    }

    /// The body's feed, if another thread asks it.
    pub(crate) const fn feed(&self) -> Option<&Feed> {
        match &self.source {
            Source::Body(_) => None,
            Source::Feed(feed) => Some(feed),
        }
    }

    fn send_first(&mut self, socket: &Socket, head: &mut Vec<u8>) -> Result<Sent, Cut> {
        let mut data = Bytes::new();
        let sends_file = self.sends_file();
        if !self.ended
            && !sends_file
            && let Portion::Piece(piece) = self.pull()?
        {
            match self.framing {
                Outgoing::Chunked if piece.len() <= COPIED => encode_chunk(&piece, head),
                Outgoing::Chunked => {
                    chunk_head(piece.len(), head);
                    data = piece;
                }
                _ if piece.len() <= COPIED => head.extend_from_slice(&piece),
                _ => data = piece,
            }
        }
        let sent = if sends_file {
            // The kernel is to wait for what follows.
            retry(|| socket.send_with_flags(head, NO_SIGNAL | nix::libc::MSG_MORE))?
        } else if data.is_empty() {
            send(socket, head)?
        } else {
            let end: &[u8] = if self.framing == Outgoing::Chunked { CHUNK_END } else { b"" };
            let sent = send_gathered(socket, &[IoSlice::new(head), IoSlice::new(&data), IoSlice::new(end)])?;
            self.queue.extend([data, Bytes::from_static(end)].into_iter().filter(|bytes| !bytes.is_empty()));
            sent
        };
        if sent < head.len() {
            self.queue.push_front(Bytes::copy_from_slice(&head[sent..]));
        } else {
            self.drop_sent(sent - head.len());
        }
        if self.queue.is_empty() { self.go_on(socket).1 } else { Ok(Sent::Part) }
    }

    /// Puts the next piece into the queue; if there is none, why.
    fn refill(&mut self) -> Result<Option<Sent>, Cut> {
        if self.ended {
            return Ok(Some(Sent::All));
        }
        match (self.framing, self.pull()?) {
            (_, Portion::Dry) => return Ok(Some(Sent::Dry)),
            (_, Portion::Parked) => return Ok(Some(Sent::Parked)),
            (Outgoing::Chunked, Portion::Piece(piece)) => {
                let mut head = Vec::with_capacity(18);
                chunk_head(piece.len(), &mut head);
                self.queue.extend([head.into(), piece, Bytes::from_static(CHUNK_END)]);
            }
            (Outgoing::Chunked, Portion::End) => self.queue.push_back(Bytes::from_static(b"0\r\n\r\n")),
            (_, Portion::Piece(piece)) => self.queue.push_back(piece),
            (_, Portion::End) => return Ok(Some(Sent::All)),
        }
        Ok(None)
    }

    /// The next piece of the body, held against the length that was announced.
    fn pull(&mut self) -> Result<Portion, Cut> {
        let portion = match &mut self.source {
            Source::Body(body) => fetch(body).map(|piece| piece.map_or(Portion::End, Portion::Piece)),
            Source::Feed(feed) => feed.take(),
        };
        let portion = portion.map_err(Cut::Body)?;
        if let Portion::Piece(piece) = &portion {
            self.given += piece.len() as u64;
        }
        match (&mut self.framing, &portion) {
            (Outgoing::Length(left), Portion::Piece(piece)) => match left.checked_sub(piece.len() as u64) {
                None => return Err(Cut::Body("the body is longer than its Content-Length".into())),
                Some(rest) => *left = rest,
            },
            (Outgoing::Length(missing @ 1..), Portion::End) => {
                return Err(Cut::Body(format!("the body is {missing} bytes shorter than its Content-Length")));
            }
            (_, Portion::Piece(_) | Portion::End | Portion::Dry | Portion::Parked) => {}
        }
        self.ended = matches!(portion, Portion::End);
        Ok(portion)
    }

    /// Whether the kernel sends the body without us.
    fn sends_file(&self) -> bool {
        let Source::Body(body) = &self.source else { return false };
        self.kernel_reads && !self.ended && matches!(self.framing, Outgoing::Length(_)) && body.as_file().is_some()
    }

    /// Has the kernel send of the file, once; the number of bytes that went, 0 if the socket takes none.
    fn send_file(&mut self, socket: &Socket) -> Result<usize, Cut> {
        let (Source::Body(body), Outgoing::Length(left)) = (&mut self.source, &mut self.framing) else { return Ok(0) };
        let Some((file, range)) = body.as_file() else { return Ok(0) };
        let mut at = range.start as i64;
        let sent = match sendfile(socket, file, Some(&mut at), (*left).min(FILE_AT_ONCE) as usize) {
            Ok(0) => return Err(Cut::Body(format!("the file ends {left} bytes before the response's Content-Length"))),
            Ok(sent) => sent,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            // There are file systems that cannot do this.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                self.kernel_reads = false;
                return Ok(0);
            }
            Err(Errno::EIO) => return Err(Cut::Body("the file cannot be read".into())),
            Err(_) => return Err(Cut::Client),
        };
        body.advance(sent as u64);
        *left -= sent as u64;
        self.ended = *left == 0;
        self.given += sent as u64;
        Ok(sent)
    }

    /// Sends what is in the queue, once; the number of bytes that went, 0 if the socket takes none.
    fn send_queue(&mut self, socket: &Socket) -> Result<usize, Cut> {
        const SLICES: usize = 4;
        let mut slices = [IoSlice::new(b""); SLICES];
        for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(bytes);
        }
        let sent = send_gathered(socket, &slices[..self.queue.len().min(SLICES)])?;
        self.drop_sent(sent);
        Ok(sent)
    }

    fn drop_sent(&mut self, mut sent: usize) {
        while let Some(front) = self.queue.front_mut() {
            let taken = sent.min(front.len());
            front.advance(taken);
            sent -= taken;
            if !front.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
    }
}

/// Asks a body for its next piece: this runs the app, and may block.
pub(crate) fn fetch(body: &mut Body) -> Fetched {
    match catch_app_panic(|| body.next_chunk()) {
        Ok(piece) => piece.transpose().map_err(|error| error.to_string()),
        Err(panic) => Err(format!("it panicked: {panic}")),
    }
}

/// Sends once; the number of bytes that went, 0 if the socket takes none now.
pub(crate) fn send(socket: &Socket, bytes: &[u8]) -> Result<usize, Cut> {
    retry(|| socket.send_with_flags(bytes, NO_SIGNAL))
}

fn send_gathered(socket: &Socket, slices: &[IoSlice<'_>]) -> Result<usize, Cut> {
    retry(|| socket.send_vectored_with_flags(slices, NO_SIGNAL))
}

/// A host that is not a Rust program may not have told the kernel to leave SIGPIPE out.
const NO_SIGNAL: i32 = MsgFlags::MSG_NOSIGNAL.bits();

fn retry(mut send: impl FnMut() -> io::Result<usize>) -> Result<usize, Cut> {
    loop {
        match send() {
            Ok(sent) => return Ok(sent),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(_) => return Err(Cut::Client),
        }
    }
}

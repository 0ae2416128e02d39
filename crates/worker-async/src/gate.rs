mod inspect;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use rserve_event_loop::CloseReason;
use rserve_http::Refusal;

use crate::connection::{Connection, Stage, Verdict};
use inspect::Inspect;

/// A connection as hyper reads and writes it.
///
/// It lets the bytes of HTTP/1 through once the codec has accepted them: a head when it is whole, a body as it comes. Where
/// the codec refuses, or the client leaves, it has the connection end and lets nothing more through.
///
/// ```text
/// waiting   (passed on) │ cleared │ not looked at, or not whole
///                       at        at + cleared
/// ```
pub(crate) struct Gate {
    connection: Arc<Connection>,
    /// Of HTTP/1, until it is upgraded.
    inspect: Option<Box<Inspect>>,
    waiting: Vec<u8>,
    at: usize,
    /// How many bytes may go through.
    cleared: usize,
    /// Something has come since the last look.
    unlooked: bool,
    /// Nothing more goes through: the connection ends.
    stopped: bool,
    /// The client does not take what we send.
    stuck: bool,
}

/// How much is read at once, and so the most that hyper gets at once.
const SCRATCH: usize = 64 * 1024;

/// A waiting buffer larger than this is not kept while there is nothing in it: idle connections are many.
const KEPT: usize = 1024;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// Has `take` look at what one read has brought, `most` bytes at most.
pub(crate) fn receive<T>(
    connection: &Connection,
    cx: &mut Context<'_>,
    most: usize,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    SCRATCH_BUFFER.with_borrow_mut(|scratch| {
        let most = most.min(scratch.len());
        let read = ready!(connection.poll_receive(cx, &mut scratch[..most]))?;
        Poll::Ready(Ok(take(&scratch[..read])))
    })
}

impl Gate {
    /// For HTTP/1; `first` has been read already.
    pub(crate) fn inspecting(connection: &Arc<Connection>, first: Vec<u8>) -> Self {
        let mut gate = Self::open(connection, first);
        gate.inspect = Some(Box::new(Inspect::new(connection)));
        (gate.cleared, gate.unlooked) = (0, true);
        gate
    }

    /// For a protocol that is not looked at; `first` has been read already.
    pub(crate) fn open(connection: &Arc<Connection>, first: Vec<u8>) -> Self {
        Self {
            connection: Arc::clone(connection),
            inspect: None,
            cleared: first.len(),
            waiting: first,
            at: 0,
            unlooked: false,
            stopped: false,
            stuck: false,
        }
    }

    /// Passes on what is cleared, as far as there is room.
    fn pass(&mut self, out: &mut ReadBufCursor<'_>) -> bool {
        let passed = self.cleared.min(out.remaining());
        if passed == 0 {
            return false;
        }
        out.put_slice(&self.waiting[self.at..self.at + passed]);
        (self.at, self.cleared) = (self.at + passed, self.cleared - passed);
        if self.at == self.waiting.len() {
            self.at = 0;
            if self.waiting.capacity() > KEPT {
                self.waiting = Vec::new();
            } else {
                self.waiting.clear();
            }
        }
        true
    }

    /// Has the codec look at what has come; an error ends a connection whose response is on its way.
    fn look(&mut self) -> io::Result<()> {
        self.unlooked = false;
        let Some(inspect) = &mut self.inspect else { return Ok(()) };
        let looked = inspect.look(&self.connection, &mut self.waiting, &mut self.at, &mut self.cleared);
        looked.or_else(|refusal| self.refuse(refusal))
    }

    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        (self.stopped, self.cleared) = (true, 0);
        if self.connection.refuse(refusal) { Ok(()) } else { Err(io::Error::other(refusal)) }
    }

    /// The client has shut its side, or is gone.
    fn end(&mut self) {
        let Some(inspect) = &self.inspect else { return };
        if inspect.is_in_body() && self.connection.is_responding() {
            // The response goes on, if hyper likes.
            return;
        }
        self.stopped = true;
        let reason = self.connection.stage().reason_if_left();
        self.connection.judge(Verdict::Close(reason));
    }

    /// Reads for HTTP/1 until something may go through.
    fn poll_inspected(&mut self, cx: &mut Context<'_>, out: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.pass(out) {
                return Poll::Ready(Ok(()));
            }
            if self.stopped {
                return Poll::Pending;
            }
            let Some(inspect) = &mut self.inspect else { return self.poll_open(cx, out) };
            if inspect.is_over() {
                if let Stage::Upgraded = self.connection.stage() {
                    self.inspect = None;
                    self.cleared = self.waiting.len() - self.at;
                    continue;
                }
                inspect.begin_next(&self.connection);
                self.unlooked = self.at < self.waiting.len();
            }
            if self.unlooked {
                self.look()?;
                continue;
            }
            inspect.await_more(&self.connection);
            let waiting = &mut self.waiting;
            let received = receive(&self.connection, cx, SCRATCH, |bytes| {
                waiting.extend_from_slice(bytes);
                !bytes.is_empty()
            });
            match ready!(received) {
                Ok(true) => self.unlooked = true,
                Ok(false) | Err(_) => {
                    self.end();
                    if !self.stopped {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>, out: &mut ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.pass(out) {
            return Poll::Ready(Ok(()));
        }
        receive(&self.connection, cx, out.remaining(), |bytes| out.put_slice(bytes))
    }
}

impl Read for Gate {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.inspect.is_some() { self.poll_inspected(cx, &mut out) } else { self.poll_open(cx, &mut out) }
    }
}

impl Write for Gate {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = self.connection.poll_send(cx, slices);
        if sent.is_pending() != self.stuck {
            self.stuck = sent.is_pending();
            self.connection.set_stuck(self.stuck);
        }
        sent
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Otherwise whoever serves it knows how it is to end.
        Poll::Ready(if let Stage::Upgraded = self.connection.stage() { self.connection.shut() } else { Ok(()) })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Nobody serves it any more.
        if let Stage::Upgraded = self.connection.stage() {
            self.connection.close(CloseReason::Upgraded);
        }
    }
}

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// A socket of any kind on the runtime: when it can be read from or written to.
///
/// The runtime's own type for that, `AsyncFd`, takes `unsafe` to be made. Its stream types do not mind what their descriptor
/// is as long as only its readiness is asked for, so one of them stands for all.
#[derive(Debug)]
pub(crate) struct Readiness(UnixStream);

impl Readiness {
    /// `fd` must be non-blocking. On the runtime only.
    pub(crate) fn of(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(UnixStream::from_std(net::UnixStream::from(fd))?))
    }

    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }

    /// Whether it may be readable.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    /// Does what reads, if it may be readable. `WouldBlock` has the runtime forget that it was.
    pub(crate) fn try_read<T>(&self, read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.0.try_io(Interest::READABLE, read)
    }

    /// Does what reads, again when it is readable. `is_all`: nothing is left to be read, so that asking would be in vain.
    pub(crate) fn poll_read<T>(
        &self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&SockRef<'_>) -> io::Result<T>,
        is_all: impl Fn(&T) -> bool,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let mut taken = None;
            let tried = self.try_read(|| {
                let taken = taken.insert(read(&self.socket())?);
                if is_all(taken) { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (taken, tried) {
                (Some(taken), _) => return Poll::Ready(Ok(taken)),
                (None, Err(error)) if !is_passing(&error) => return Poll::Ready(Err(error)),
                (None, _) => {}
            }
        }
    }

    /// Does what writes, again when it is writable.
    pub(crate) fn poll_write<T>(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&SockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_io(Interest::WRITABLE, || write(&self.socket())) {
                Err(error) if is_passing(&error) => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

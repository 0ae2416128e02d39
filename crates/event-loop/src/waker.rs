use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// Ends the wait of an [`EventLoop`](crate::EventLoop), from any thread: [`EventLoop::waker`](crate::EventLoop::waker).
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    pub(crate) fn new(epoll: &Epoll, key: u64) -> io::Result<Self> {
        let fd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        // Edge-triggered, so that nobody has to read it: each write is told once.
        epoll.add(fd.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, key))?;
        Ok(Self(Arc::new(fd)))
    }

    /// Ends the wait there is, or else the next one. Does not block.
    pub fn wake(&self) {
        // It cannot fail before it has been called 2^64 times.
        let _ = self.0.write(1);
    }
}

use std::io::{self, ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::sys::socket::MsgFlags;

use super::Connection;

/// A host that is not a Rust program may not have told the kernel to leave SIGPIPE out.
const NO_SIGNAL: i32 = MsgFlags::MSG_NOSIGNAL.bits();

/// Up to here a copy is cheaper than several pieces for the kernel to walk.
const SMALL: usize = 512;

/// Its socket. One task at a time reads, and one writes.
impl Connection {
    /// Reads once; 0 is the end.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = buffer.len();
        // An end is not forgotten: it is read again.
        let is_all = |read: &usize| (1..most).contains(read);
        self.socket.poll_read(cx, |socket| (&**socket).read(buffer), is_all)
    }

    /// Sends once.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut small = [0; SMALL];
        if length > SMALL {
            return self.socket.poll_write(cx, |socket| socket.send_vectored_with_flags(slices, NO_SIGNAL));
        }
        let mut at = 0;
        for slice in slices {
            small[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        self.socket.poll_write(cx, |socket| socket.send_with_flags(&small[..at], NO_SIGNAL))
    }

    /// Whether there is something to be read, the end included.
    pub(super) fn has_input(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        loop {
            match self.socket.socket().peek(&mut byte) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
                Ok(_) => return true,
            }
        }
    }

    /// Ends what we send.
    pub(crate) fn shut(&self) -> io::Result<()> {
        self.socket.socket().shutdown(Shutdown::Write)
    }

    /// Makes the close a reset: the client must not take what it has for a whole response, nor the kernel keep it.
    pub(crate) fn reset_on_close(&self) {
        // If it fails the connection is gone already.
        let _ = self.socket.socket().set_linger(Some(Duration::ZERO));
    }
}

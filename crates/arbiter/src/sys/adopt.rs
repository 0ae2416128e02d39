use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use socket2::Socket;

/// Takes a socket over that this process was started with, and closes it on exec.
///
/// Each descriptor is to be taken once.
pub(crate) fn adopt_socket(descriptor: RawFd) -> io::Result<Socket> {
    // SAFETY: fcntl(2) with F_SETFD touches no memory; of a descriptor that is not open it says so.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, as was just seen, and was opened by whoever started this process, for us: nothing else in here
    // knows of it.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    // Something that is no socket says so.
    socket.r#type()?;
    Ok(socket)
}

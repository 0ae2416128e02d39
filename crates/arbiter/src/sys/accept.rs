use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use socket2::Socket;

/// One connection from the queue and its peer's address, in a single system call; `None`: nobody waits, or nobody
/// ever will (a Unix socket that was shut says `EINVAL`).
///
/// Errors that concern only the one connection (accept(2) lists them) are skipped: the next one is tried.
pub(crate) fn accept(listener: &Socket) -> io::Result<Option<(Socket, Option<SocketAddr>)>> {
    loop {
        // SAFETY: an all-zero sockaddr_storage is a valid value of that plain C struct.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // SAFETY: the pointers are to live locals of the sizes that are said, and the descriptor is open.
        let fd = unsafe {
            libc::accept4(
                listener.as_raw_fd(),
                (&raw mut storage).cast(),
                &raw mut length,
                libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            )
        };
        if fd >= 0 {
            // SAFETY: accept4 has just made it, so it is open and nobody else's.
            let stream = Socket::from(unsafe { OwnedFd::from_raw_fd(fd) });
            return Ok(Some((stream, address(&storage))));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINVAL) => return Ok(None),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EBADF | libc::ENOTSOCK) => {
                return Err(error);
            }
            _ => {}
        }
    }
}

fn address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is what the kernel has written, and the storage is large enough.
            let v4 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
            Some(match ip.to_ipv4_mapped() {
                Some(v4) => SocketAddrV4::new(v4, port).into(),
                None => SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into(),
            })
        }
        _ => None,
    }
}

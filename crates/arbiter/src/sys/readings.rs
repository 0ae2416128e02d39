//! What the kernel tells of a listener without privilege.

use std::io;
use std::os::fd::AsRawFd;

use socket2::Socket;

/// How many connections wait in a TCP listener's accept queue: `TCP_INFO`'s `tcpi_unacked` (tcp(7); for a listener
/// the kernel puts `sk_ack_backlog` there).
pub(crate) fn queue(listener: &Socket) -> io::Result<u32> {
    Ok(tcp_info(listener)?.tcpi_unacked)
}

/// How many may wait in it: likewise `tcpi_sacked`, in which the kernel puts `sk_max_ack_backlog`.
pub(crate) fn queue_limit(listener: &Socket) -> io::Result<u32> {
    Ok(tcp_info(listener)?.tcpi_sacked)
}

/// What the system allows: `net.core.somaxconn`.
pub(crate) fn most_in_queue() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

fn tcp_info(listener: &Socket) -> io::Result<libc::tcp_info> {
    // SAFETY: an all-zero tcp_info is a valid value of that plain C struct.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    get_option(listener, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
    Ok(info)
}

/// How many packets a socket has dropped, held-off SYNs among them: `SO_MEMINFO`'s `SK_MEMINFO_DROPS`.
pub(crate) fn drops(listener: &Socket) -> io::Result<u32> {
    let mut words = [0_u32; 9];
    get_option(listener, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut words)?;
    Ok(words[8])
}

fn get_option<T: Copy>(socket: &Socket, level: libc::c_int, name: libc::c_int, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer is to a live T of the size that is said, and T is made of integers only, so that whatever
    // the kernel writes is a value of it.
    let done = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut *value).cast(), &raw mut length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

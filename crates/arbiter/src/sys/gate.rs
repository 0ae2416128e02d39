//! The gate: no new handshakes on a TCP listener, while its queue and the handshakes under way live on.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use socket2::{SockFilter, Socket};

/// How a listener was gated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// `SO_ATTACH_FILTER`: a socket filter that drops SYN without ACK. Needs `CAP_NET_ADMIN` on some kernels.
    Filter,
    /// `IP_MINTTL` and `IPV6_MINHOPCOUNT` 255: the listener itself hears nobody who is a hop away, nor any ordinary
    /// host, whose packets start at 64 or 128. No privilege needed.
    Ttl,
    /// `shutdown(SHUT_RD)` on a Unix socket: refuses from now on, for every holder, for good.
    Shutdown,
}

const TTL_OF_NOBODY: libc::c_int = 255;

/// Shuts the gate with the best means that this process has.
pub(crate) fn shut(listener: &Socket, local: Option<SocketAddr>) -> io::Result<Gate> {
    let Some(local) = local else {
        listener.shutdown(std::net::Shutdown::Read)?;
        return Ok(Gate::Shutdown);
    };
    match listener.attach_filter(&DROP_SYN) {
        Ok(()) => Ok(Gate::Filter),
        Err(_) => shut_with_ttl(listener, local),
    }
}

pub(crate) fn shut_with_ttl(listener: &Socket, local: SocketAddr) -> io::Result<Gate> {
    set_ttl(listener, local, TTL_OF_NOBODY).map(|()| Gate::Ttl)
}

/// Opens it again. Both means are undone whatever was used: a former life may have used the other.
pub(crate) fn lift(listener: &Socket, local: Option<SocketAddr>) -> io::Result<()> {
    let Some(local) = local else { return Ok(()) };
    match listener.detach_filter() {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
        Err(error) => return Err(error),
    }
    set_ttl(listener, local, 0)
}

/// Clears on an accepted connection what it inherited from a gated listener; until then its data is dropped, and the
/// retransmission gets through.
pub(crate) fn clear_inherited(stream: &Socket, local: Option<SocketAddr>) {
    if let Some(local) = local {
        // It can only fail on a connection that is gone, which its next read tells.
        let _ = set_ttl(stream, local, 0);
    }
}

/// On an IPv6 socket both, since it may be dual-stack.
fn set_ttl(socket: &Socket, local: SocketAddr, ttl: libc::c_int) -> io::Result<()> {
    if local.is_ipv6() {
        set_option(socket, libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT, ttl)?;
    }
    match set_option(socket, libc::IPPROTO_IP, libc::IP_MINTTL, ttl) {
        Err(_) if local.is_ipv6() => Ok(()), // a machine without IPv4
        done => done,
    }
}

fn set_option(socket: &Socket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the pointer is to a live c_int, and its size is said.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const IPV6_MINHOPCOUNT: libc::c_int = 73; // linux/in6.h; the libc crate does not have it

/// Classic BPF over the TCP header: load the flags, keep SYN and ACK, drop what is SYN alone.
const DROP_SYN: [SockFilter; 5] = [
    SockFilter::new((libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, 0, 0, 13),
    SockFilter::new((libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16, 0, 0, 0x12),
    SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, 0x02),
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX),
];

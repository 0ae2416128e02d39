//! What only netlink tells (sock_diag(7)), to anybody and without privilege: how many handshakes are under way on a
//! listening address, and how long a Unix listener's queue is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use socket2::{SockRef, Socket};

/// A netlink socket, kept open.
pub(crate) struct SockDiag {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl SockDiag {
    pub(crate) fn open() -> io::Result<Self> {
        let socket =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
        // The kernel answers at once. A limit all the same: the arbiter must not hang on a diagnosis.
        SockRef::from(&socket).set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self { socket, buffer: vec![0; 32 * 1024] })
    }

    /// How many handshakes on that listening address have their SYN-ACK out and wait for the ACK (`SYN_RECV`).
    pub(crate) fn handshakes(&mut self, local: SocketAddr) -> io::Result<u32> {
        let (family, protocol) = (if local.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET }, libc::IPPROTO_TCP);
        let mut request = vec![family as u8, protocol as u8, 0, 0];
        request.extend(TCPF_SYN_RECV.to_ne_bytes());
        request.extend(local.port().to_be_bytes()); // the kernel leaves out those of other ports
        request.resize(8 + SOCKET_ID, 0);
        let wanted = (!local.ip().is_unspecified()).then(|| octets(local.ip()));
        let mut count = 0;
        self.ask(NLM_F_REQUEST | NLM_F_DUMP, &request, |message| {
            let address = message.get(4 + 4..4 + 4 + 16);
            if wanted.is_none_or(|wanted| address == Some(wanted.as_slice())) {
                count += 1;
            }
        })?;
        Ok(count)
    }

    /// How many connections wait to be accepted on a Unix listener.
    pub(crate) fn unix_queue(&mut self, listener: &Socket) -> io::Result<u32> {
        let inode = nix::sys::stat::fstat(listener.as_fd())?.st_ino as u32;
        let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
        for word in [u32::MAX, inode, UDIAG_SHOW_RQLEN, NO_COOKIE, NO_COOKIE] {
            request.extend(word.to_ne_bytes());
        }
        let mut queue = None;
        self.ask(NLM_F_REQUEST, &request, |message| {
            queue = attributes(message.get(16..).unwrap_or_default())
                .find(|(kind, _)| *kind == UNIX_DIAG_RQLEN)
                .and_then(|(_, value)| value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes)));
        })?;
        queue.ok_or_else(|| io::Error::other("the kernel does not tell a Unix socket's queue"))
    }

    /// Sends one request, and gives every message of the answer to `each`.
    fn ask(&mut self, flags: u16, request: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut message = Vec::with_capacity(HEADER + request.len());
        message.extend(((HEADER + request.len()) as u32).to_ne_bytes());
        message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]); // sequence number and port: only one request is ever under way
        message.extend(request);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        loop {
            let read = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            let mut rest = &self.buffer[..read];
            while let Some((kind, payload, next)) = split_message(rest) {
                match i32::from(kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => {
                        let code = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                        return Err(io::Error::from_raw_os_error(-code));
                    }
                    _ => each(payload),
                }
                rest = next;
            }
            if flags & NLM_F_DUMP != NLM_F_DUMP {
                return Ok(()); // one object, one message, no NLMSG_DONE
            }
        }
    }
}

/// The first message's type and payload, and what follows it.
fn split_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let payload = bytes.get(HEADER..length)?;
    Some((kind, payload, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&v4.octets());
            octets
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, linux/unix_diag.h, net/tcp_states.h
const HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCKET_ID: usize = 48;
const TCPF_SYN_RECV: u32 = 1 << 3;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
const UNIX_DIAG_RQLEN: u16 = 4;
const NO_COOKIE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_unix_listeners_queue_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let listener: Socket = UnixListener::bind(&path).unwrap().into();
        let mut diag = SockDiag::open().unwrap();
        match diag.unix_queue(&listener) {
            Ok(queue) => assert_eq!(queue, 0),
            // Not with println!, which the test runner keeps to itself when a test passes.
            Err(error) => {
                return writeln!(io::stderr(), "skipped: this kernel has no unix_diag: {error}").unwrap();
            }
        }
        let _clients: Vec<_> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
        assert_eq!(diag.unix_queue(&listener).unwrap(), 3);
    }

    /// Loopback handshakes are instantaneous, so there are none to see here; the end-to-end tests make them by hand.
    #[test]
    fn a_dump_without_handshakes_is_empty() {
        let mut diag = SockDiag::open().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(diag.handshakes(listener.local_addr().unwrap()).unwrap(), 0);
    }
}

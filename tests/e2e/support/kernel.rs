//! What the kernel tells of a connection, where neither end does. Asked for one socket (sock_diag(7)): to look for it in
//! `/proc/net/tcp` takes a busy machine seconds when thousands of others are there.

use std::{
    net::{SocketAddr, SocketAddrV4},
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
};

/// Whether the server has accepted the connection between these IPv4 addresses, and read all that was sent on it.
pub(crate) fn taken(client: SocketAddr, server: SocketAddr) -> bool {
    let (SocketAddr::V4(client), SocketAddr::V4(server)) = (client, server) else { panic!("{client} is not IPv4") };
    let (Some(ours), Some(theirs)) = (End::of(client, server), End::of(server, client)) else { return false };
    theirs.is_accepted && ours.unsent == 0 && theirs.unread == 0
}

/// One end of a connection.
struct End {
    /// It belongs to a file.
    is_accepted: bool,
    unread: u32,
    unsent: u32,
}

impl End {
    fn of(local: SocketAddrV4, remote: SocketAddrV4) -> Option<Self> {
        let netlink =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)
                .expect("netlink is for everybody");
        send(netlink.as_raw_fd(), &request(local, remote), MsgFlags::empty()).expect("the kernel takes it");
        let mut answer = [0; 4096];
        let read = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty()).expect("the kernel answers");
        let word =
            |at: usize| answer[..read].get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        if answer[4..6] == NLMSG_ERROR.to_ne_bytes() {
            let error = word(HEADER).map(|code| Errno::from_raw(-code.cast_signed()));
            assert_eq!(error, Some(Errno::ENOENT), "the kernel does not tell of {local} and {remote}");
            return None;
        }
        Some(Self { unread: word(RQUEUE)?, unsent: word(RQUEUE + 4)?, is_accepted: word(INODE)? != 0 })
    }
}

/// A `struct inet_diag_req_v2` behind its header.
fn request(local: SocketAddrV4, remote: SocketAddrV4) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(72_u32.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes()); // in whatever state
    request.extend(local.port().to_be_bytes());
    request.extend(remote.port().to_be_bytes());
    for ip in [local.ip(), remote.ip()] {
        request.extend(ip.octets());
        request.extend([0; 12]);
    }
    request.extend([0; 4]); // on whatever interface
    request.extend([u8::MAX; 8]); // no cookie
    request
}

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const RQUEUE: usize = HEADER + 4 + 48 + 4;
const INODE: usize = RQUEUE + 12;

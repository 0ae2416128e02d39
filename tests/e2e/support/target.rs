//! Where a server listens and how a client reaches it.

use std::net::{Ipv4Addr, Ipv6Addr};

use rserve_drain_check::{Target, free_port};
use tempfile::TempDir;

/// The kinds of listening socket a server can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    V4,
    V6,
    /// An IPv6 wildcard listener, asked over IPv4.
    Dual,
    Unix,
}

impl Socket {
    pub(crate) const ALL: [Self; 4] = [Self::V4, Self::V6, Self::Dual, Self::Unix];
}

/// A free address of the wanted kind: the `--bind` text for the server and the target for its clients.
pub(crate) fn free_address(socket: Socket, dir: &TempDir) -> (String, Target) {
    let v4 = |port| Target::Tcp((Ipv4Addr::LOCALHOST, port).into());
    match socket {
        Socket::V4 => {
            let port = free_port();
            (format!("127.0.0.1:{port}"), v4(port))
        }
        Socket::V6 => {
            let port = free_port();
            (format!("[::1]:{port}"), Target::Tcp((Ipv6Addr::LOCALHOST, port).into()))
        }
        Socket::Dual => {
            let port = free_port();
            (format!("[::]:{port}"), v4(port))
        }
        Socket::Unix => {
            let path = dir.path().join("rserve.sock");
            (format!("unix:{}", path.display()), Target::Unix(path))
        }
    }
}

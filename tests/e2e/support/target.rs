//! Where a server listens and how a client reaches it.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::Mutex,
};

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

/// An address that clients connect to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
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

/// A port that nobody listens on, below the ephemeral range so that no client's own port can be it (nor a client connect
/// to itself). No port is given out twice by one test run.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    loop {
        let port = fastrand::u16(20_000..32_000);
        let fresh = GIVEN.lock().expect("no test panics here").get_or_insert_default().insert(port);
        // Not tried with a listener of our own: a thread that forks at that moment would keep it open until it execs.
        let taken = [Ipv4Addr::LOCALHOST.into(), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .iter()
            .any(|&ip| TcpStream::connect((ip, port)).is_ok());
        if fresh && !taken {
            return port;
        }
    }
}

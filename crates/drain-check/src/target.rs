use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

/// An address that clients connect to.
#[derive(Clone, Debug)]
pub enum Target {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A port on which nobody listens on loopback, below the range from which Linux takes the ports of clients, so that no
/// client gets it (nor connects to itself). No port is given out twice by one process.
///
/// Connects to candidates, which loopback answers at once.
#[must_use]
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    loop {
        let port = fastrand::u16(20_000..32_000);
        let fresh = GIVEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(port);
        // Not tried with a listener of our own: a thread that forks at that moment would keep it open until it execs.
        let taken = [Ipv4Addr::LOCALHOST.into(), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .iter()
            .any(|&ip| TcpStream::connect((ip, port)).is_ok());
        if fresh && !taken {
            return port;
        }
    }
}

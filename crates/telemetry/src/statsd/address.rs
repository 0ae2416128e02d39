use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a statsd server listens: `host:port`, or `unix://PATH`.
///
/// ```
/// use rserve_telemetry::StatsdAddress;
///
/// assert!("localhost:8125".parse::<StatsdAddress>().is_ok());
/// let error = "localhost".parse::<StatsdAddress>().unwrap_err();
/// assert_eq!(error.to_string(), "'localhost' is no address: write host:port or unix://PATH");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatsdAddress {
    /// A UDP port.
    Udp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix datagram socket.
    Unix(PathBuf),
}

/// What is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no address: write host:port or unix://PATH")]
pub struct StatsdAddressError(String);

impl FromStr for StatsdAddress {
    type Err = StatsdAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || StatsdAddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match inside.unwrap_or(host) {
            "" => Err(wrong()),
            host if host.contains(['/', '[', ']']) || (inside.is_none() && host.contains(':')) => Err(wrong()),
            host => Ok(Self::Udp { host: host.to_owned(), port }),
        }
    }
}

impl fmt::Display for StatsdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Udp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// The first address of the host.
pub(super) fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    (host, port).to_socket_addrs()?.next().ok_or_else(|| io::Error::other("the name has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_they_are_written() {
        for text in ["localhost:8125", "[::1]:8125", "127.0.0.1:1", "unix:///run/statsd"] {
            assert_eq!(text.parse::<StatsdAddress>().unwrap().to_string(), text);
        }
        for text in ["", "localhost", ":8125", "::1", "a:b", "unix://", "udp://a:1", "[::1:1"] {
            assert!(text.parse::<StatsdAddress>().is_err(), "{text}");
        }
    }
}

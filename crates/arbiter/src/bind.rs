use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on, as `--bind` takes it.
///
/// | written | means |
/// | --- | --- |
/// | `host:port` | the addresses that `host` resolves to |
/// | `[v6]:port` | an IPv6 address; `[::]` takes IPv4 as well (a dual-stack socket) |
/// | `:port` | every IPv4 interface |
/// | `host` | `host` at port 8000 |
/// | `unix:PATH` | a Unix socket |
///
/// ```
/// use rserve_arbiter::Bind;
///
/// let bind: Bind = "[::1]:8080".parse()?;
/// assert_eq!(bind, Bind::Tcp { host: "::1".into(), port: 8080 });
/// assert_eq!(bind.to_string(), "[::1]:8080");
/// # Ok::<(), rserve_arbiter::BindError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// A TCP address; the host is a name or an IP address, without brackets.
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        /// 0 lets the kernel choose.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// `unix:` with nothing behind it.
    #[error("'unix:' needs a path behind it, like unix:/run/app.sock")]
    NoPath,
    /// Longer than `sockaddr_un` holds (unix(7)).
    #[error("the path of a Unix socket has at most 107 bytes, this one {0}")]
    PathTooLong(usize),
    /// What is behind the colon is no port.
    #[error("'{0}' is not a port: a port is a number from 0 to 65535")]
    Port(String),
    /// A number alone, which getaddrinfo(3) would read as an IPv4 address.
    #[error("'{0}' alone is not an address: write 127.0.0.1:{0}, or :{0} for every IPv4 interface")]
    PortAlone(String),
    /// An IPv6 address without brackets, or with one missing.
    #[error("write an IPv6 address in brackets, like [::1]:8000")]
    Brackets,
    /// Nothing at all.
    #[error("an address is needed: host:port, [v6]:port, :port or unix:PATH")]
    Empty,
}

const DEFAULT_PORT: u16 = 8000;
const LONGEST_PATH: usize = 107;

impl FromStr for Bind {
    type Err = BindError;

    fn from_str(text: &str) -> Result<Self, BindError> {
        if text.is_empty() {
            return Err(BindError::Empty);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                0 => Err(BindError::NoPath),
                1..=LONGEST_PATH => Ok(Self::Unix(PathBuf::from(path))),
                long => Err(BindError::PathTooLong(long)),
            };
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(BindError::Brackets)?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(BindError::Brackets),
            }
        } else {
            match text.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(BindError::Brackets),
                Some((host, port)) => (host, Some(port)),
                None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                    return Err(BindError::PortAlone(text.to_owned()));
                }
                None => (text, None),
            }
        };
        let port = port.map_or(Ok(DEFAULT_PORT), |port| port.parse().map_err(|_| BindError::Port(port.to_owned())))?;
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for (text, written) in [
            ("127.0.0.1:8000", "127.0.0.1:8000"),
            ("localhost:80", "localhost:80"),
            ("localhost", "localhost:8000"),
            (":9000", "0.0.0.0:9000"),
            ("[::]:80", "[::]:80"),
            ("[::1]", "[::1]:8000"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ] {
            assert_eq!(text.parse::<Bind>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!("unix:/{}", "x".repeat(107));
        for (text, error) in [
            ("", BindError::Empty),
            ("unix:", BindError::NoPath),
            (long.as_str(), BindError::PathTooLong(108)),
            ("host:http", BindError::Port("http".into())),
            ("host:70000", BindError::Port("70000".into())),
            ("host:", BindError::Port(String::new())),
            ("8000", BindError::PortAlone("8000".into())),
            ("::1", BindError::Brackets),
            ("[::1", BindError::Brackets),
            ("[::1]80", BindError::Brackets),
        ] {
            assert_eq!(text.parse::<Bind>(), Err(error), "{text}");
        }
    }
}

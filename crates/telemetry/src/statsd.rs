mod address;

use std::fmt::{self, Arguments};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rserve_event_loop::{Answered, Observer};
use tracing::warn;

pub use address::{StatsdAddress, StatsdAddressError};

/// Sends metrics to a statsd server, with gunicorn's names.
///
/// What a server cannot take is dropped: the protocol has no answers. That it could not be sent is logged once.
///
/// ```
/// use rserve_telemetry::Statsd;
///
/// let statsd = Statsd::open(&"127.0.0.1:8125".parse()?, "shop", "env:test,zone:a")?;
/// statsd.gauge("gunicorn.workers", 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Statsd {
    socket: Socket,
    prefix: String,
    tags: String,
    lines: Mutex<Vec<u8>>,
    failed: AtomicBool,
}

enum Socket {
    Udp(UdpSocket),
    /// Not connected: whoever listens there may be started anew.
    Unix(UnixDatagram, PathBuf),
}

/// What surely fits into one packet of an Ethernet.
const DATAGRAM: usize = 1432;

impl Statsd {
    /// Makes the socket. `prefix` stands before each name, with a dot between them; `tags`, as Datadog has them, behind each value.
    ///
    /// # Errors
    ///
    /// That the host's name does not resolve, or there is no descriptor left.
    pub fn open(address: &StatsdAddress, prefix: &str, tags: &str) -> io::Result<Self> {
        let socket = match address {
            StatsdAddress::Udp { host, port } => Socket::Udp(connect(address::resolve(host, *port)?)?),
            StatsdAddress::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                Socket::Unix(socket, path.clone())
            }
        };
        let prefix = prefix.trim_end_matches('.');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}.") };
        let tags = if tags.is_empty() { String::new() } else { format!("|#{tags}") };
        Ok(Self { socket, prefix, tags, lines: Mutex::default(), failed: AtomicBool::new(false) })
    }

    /// Sends what something is now.
    pub fn gauge(&self, name: &str, value: u64) {
        self.send_now(format_args!("{name}:{value}|g"));
    }

    /// Sends that something has happened.
    pub fn increment(&self, name: &str) {
        self.send_now(format_args!("{name}:1|c|@1.0"));
    }

    fn send_now(&self, metric: Arguments<'_>) {
        let mut line = Vec::new();
        self.append(&mut line, metric);
        self.send(&line);
    }

    fn append(&self, lines: &mut Vec<u8>, metric: Arguments<'_>) {
        let Self { prefix, tags, .. } = self;
        let before = lines.len();
        if before > 0 {
            lines.push(b'\n');
        }
        write!(lines, "{prefix}{metric}{tags}").expect("invariant: a vector takes what is written");
        if lines.len() > DATAGRAM && before > 0 {
            let last = lines.split_off(before + 1);
            lines.truncate(before);
            self.send(lines);
            *lines = last;
        }
    }

    fn send(&self, lines: &[u8]) {
        let sent = match &self.socket {
            Socket::Udp(socket) => socket.send(lines),
            Socket::Unix(socket, path) => socket.send_to(lines, path),
        };
        if let Err(error) = sent
            && error.kind() != ErrorKind::WouldBlock
            // First of all: the line about it is counted, and sent here too.
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            warn!("metrics cannot be sent to --statsd-host: {error}; this is said once");
        }
    }
}

impl Observer for Statsd {
    fn answered(&self, answered: &Answered<'_>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let milliseconds = answered.took.as_micros() as f64 / 1000.0;
        self.append(&mut lines, format_args!("gunicorn.request.duration:{milliseconds}|ms"));
        self.append(&mut lines, format_args!("gunicorn.requests:1|c|@1.0"));
        self.append(&mut lines, format_args!("gunicorn.request.status.{}:1|c|@1.0", answered.status.as_u16()));
    }

    fn looks_at_response(&self) -> bool {
        false
    }

    fn flush(&self) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.is_empty() {
            self.send(&lines);
            lines.clear();
        }
    }
}

impl fmt::Debug for Statsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statsd").field("prefix", &self.prefix).field("tags", &self.tags).finish_non_exhaustive()
    }
}

fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(prefix: &str, tags: &str, send: impl FnOnce(&Statsd)) -> String {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string().parse().unwrap();
        send(&Statsd::open(&address, prefix, tags).unwrap());
        let mut bytes = [0; 65536];
        let length = server.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_metric_has_the_prefix_and_the_tags() {
        for (prefix, tags, expected) in [
            ("", "", "gunicorn.workers:3|g"),
            ("shop", "a:b,c:d", "shop.gunicorn.workers:3|g|#a:b,c:d"),
            ("shop.eu..", "", "shop.eu.gunicorn.workers:3|g"),
        ] {
            assert_eq!(received(prefix, tags, |statsd| statsd.gauge("gunicorn.workers", 3)), expected);
        }
        let logged = received("", "", |statsd| statsd.increment("gunicorn.log.error"));
        assert_eq!(logged, "gunicorn.log.error:1|c|@1.0");
    }

    #[test]
    fn metrics_go_together_as_far_as_a_packet_goes() {
        let packet = received("", "", |statsd| {
            let mut lines = Vec::new();
            (0..100).for_each(|number| statsd.append(&mut lines, format_args!("a.metric.with.a.name:{number}|c|@1.0")));
        });
        assert!(packet.len() <= DATAGRAM && packet.len() > DATAGRAM - 40, "{}", packet.len());
        assert!(packet.starts_with("a.metric.with.a.name:0|c|@1.0\na.") && packet.ends_with("|c|@1.0"), "{packet}");
    }

    #[test]
    fn nobody_there_is_no_error() {
        let statsd = Statsd::open(&"unix:///nowhere/at/all".parse().unwrap(), "", "").unwrap();
        statsd.gauge("a", 1);
        assert!(statsd.failed.load(Ordering::Relaxed));
    }
}

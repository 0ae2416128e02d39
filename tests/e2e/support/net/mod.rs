//! A network of the test's own: a namespace with a TUN device, behind which clients are made by hand.
//!
//! Handshakes on loopback take no time, so that a test there cannot see what happens to one that is half done when the
//! server stops. Here each segment passes through the test.

mod crowd;
mod guest;
mod node;
mod peer;
mod segment;

pub(crate) use crowd::{Crowd, Manners};
pub(crate) use node::{Node, on_own_node};
pub(crate) use peer::Peer;
pub(crate) use segment::Segment;

use std::{
    cell::RefCell,
    env, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsFd,
    panic::resume_unwind,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::support::skip;

/// The server's addresses in each test's network.
pub(crate) const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
pub(crate) const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1));

/// Runs `test` in a network namespace of its own, which vanishes with it. Servers that it starts are in that namespace
/// too. Where the machine does not allow that, it prints why and returns; with `E2E_REQUIRE_TUN` set it panics.
pub(crate) fn in_own_network(test: impl FnOnce(Tun) + Send + 'static) {
    let thread = thread::spawn(|| match Tun::in_new_namespace() {
        Ok(tun) => {
            test(tun);
            None
        }
        Err(why) if env::var_os("E2E_REQUIRE_TUN").is_some() => panic!("no network of our own: {why}"),
        Err(why) => Some(why.to_string()),
    });
    match thread.join() {
        Ok(None) => {}
        Ok(Some(why)) => skip(&why),
        Err(panic) => resume_unwind(panic),
    }
}

/// The far end of the device: what the server's kernel sends is read here, and what is written here reaches it.
pub(crate) struct Tun {
    device: SyncDevice,
    next_host: u8,
    /// Segments that have been read by a client they were not meant for.
    stash: RefCell<Vec<Segment>>,
}

impl Tun {
    fn in_new_namespace() -> Result<Self, String> {
        if !geteuid().is_root() {
            return Err("a network namespace takes root".into());
        }
        if !Path::new("/dev/net/tun").exists() {
            return Err("there is no /dev/net/tun".into());
        }
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("unshare: {error}"))?;
        let device = DeviceBuilder::new().name("tun0").build_sync().map_err(|error| format!("TUN device: {error}"))?;
        device.set_nonblocking(true).map_err(|error| error.to_string())?;
        for arguments in [
            "link set lo up",
            "link set tun0 txqueuelen 10000 up",
            "addr add 10.9.0.1/16 dev tun0",
            "-6 addr add fd09::1/64 dev tun0 nodad",
        ] {
            ip(arguments)?;
        }
        Ok(Self { device, next_host: 1, stash: RefCell::default() })
    }

    /// A source address that no client has had yet, in the family of `server`.
    fn new_host(&mut self, server: IpAddr) -> IpAddr {
        let host = self.next_host;
        self.next_host += 1;
        match server {
            IpAddr::V4(_) => Ipv4Addr::new(10, 9, 1, host).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 1, host.into()).into(),
        }
    }

    fn send(&self, packet: &[u8]) {
        self.device.send(packet).expect("the device takes packets");
    }

    /// The next TCP segment from the server, waiting up to `bound`.
    fn receive(&self, bound: Duration) -> Option<Segment> {
        if let Some(segment) = self.receive_now() {
            return Some(segment);
        }
        let milliseconds = u16::try_from(bound.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut device = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
        match poll(&mut device, PollTimeout::from(milliseconds)) {
            Ok(_) | Err(Errno::EINTR) => self.receive_now(),
            Err(error) => panic!("poll: {error}"),
        }
    }

    /// The next segment to this client, waiting up to `bound`; those to others are kept for them.
    fn receive_for(&self, client: SocketAddr, bound: Duration) -> Option<Segment> {
        let deadline = Instant::now() + bound;
        let mut stash = self.stash.borrow_mut();
        if let Some(index) = stash.iter().position(|segment| segment.to == client) {
            return Some(stash.remove(index));
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(left) {
                Some(segment) if segment.to == client => return Some(segment),
                Some(segment) => stash.push(segment),
                None if left.is_zero() => return None,
                None => {}
            }
        }
    }

    fn receive_now(&self) -> Option<Segment> {
        let mut buffer = [0; 2_048];
        loop {
            match self.device.recv(&mut buffer) {
                // The kernel also sends what IPv6 needs to find its neighbours; that is not for us.
                Ok(length) => match Segment::parse(&buffer[..length]) {
                    Some(segment) => return Some(segment),
                    None => continue,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => panic!("the device cannot be read: {error}"),
            }
        }
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

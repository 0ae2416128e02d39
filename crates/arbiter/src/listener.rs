use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::plain;
use crate::inherit::Giver;
use crate::sys::gate::{self, Gate};
use crate::sys::readings;
use crate::{Bind, Error, Identity, Settings};

/// A listening socket, and what belongs to it.
pub(crate) struct Listener {
    socket: Socket,
    address: Address,
    /// The setting that it is there for.
    bind: Option<Bind>,
    /// It was made by somebody else, who may have left it gated.
    giver: Option<Giver>,
}

/// Where it listens, as the kernel has it.
#[derive(Debug)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(SocketFile),
}

/// A Unix socket's file, unlinked when dropped: only in the process that made it, so that a forked worker which drops
/// its copy does no harm, and only if the path still leads to it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: Option<(u64, u64)>,
    owner: u32,
}

impl SocketFile {
    fn ours(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), inode: Some((found.dev(), found.ino())), owner: std::process::id() })
    }

    fn of_others(path: Option<&Path>) -> Self {
        Self { path: path.map(Path::to_owned).unwrap_or_default(), inode: None, owner: 0 }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owner == std::process::id()
            && fs::symlink_metadata(&self.path).is_ok_and(|found| self.inode == Some((found.dev(), found.ino())))
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// The sockets that the address stands for (a host name may resolve to several): those that were inherited, taken
    /// out of `inherited`, or else new ones, bound but not listening yet.
    pub(crate) fn bind(bind: &Bind, settings: &Settings, inherited: &mut Vec<Self>) -> Result<Vec<Self>, Error> {
        let mut adopted: Vec<Self> = inherited.extract_if(.., |listener| listener.answers_to(bind)).collect();
        if !adopted.is_empty() {
            adopted.iter_mut().for_each(|listener| listener.bind = Some(bind.clone()));
            return Ok(adopted);
        }
        let mut listeners = Self::bind_each(bind, settings)?;
        listeners.iter_mut().for_each(|listener| listener.bind = Some(bind.clone()));
        Ok(listeners)
    }

    fn bind_each(bind: &Bind, settings: &Settings) -> Result<Vec<Self>, Error> {
        match bind {
            Bind::Tcp { host, port } => {
                let resolved: Vec<SocketAddr> = (host.as_str(), *port)
                    .to_socket_addrs()
                    .map_err(|source| Error::Resolve { host: host.clone(), source: plain(source) })?
                    .collect();
                let (mut bound, mut absent) = (Vec::new(), None);
                for address in resolved {
                    match Self::bind_tcp(address, settings.reuse_port) {
                        Ok(listener) => bound.push(listener),
                        Err(cause) if is_absent(&cause) => absent = Some(cause),
                        Err(cause) => return Err(bind_error(bind, cause)),
                    }
                }
                // A name may stand for addresses that this machine does not have (localhost, where IPv6 is off).
                match absent {
                    Some(cause) if bound.is_empty() => Err(bind_error(bind, cause)),
                    _ => Ok(bound),
                }
            }
            Bind::Unix(path) => Ok(vec![Self::bind_unix(bind, path, &settings.identity)?]),
        }
    }

    fn bind_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restart need not wait for the old connections' TIME_WAIT; two listeners still cannot share a port.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit it, which saves a system call for each.
        socket.set_tcp_nodelay(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        let local = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { socket, address: Address::Tcp(local), bind: None, giver: None })
    }

    fn bind_unix(bind: &Bind, path: &Path, identity: &Identity) -> Result<Self, Error> {
        let make = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            identity.masked(|| socket.bind(&SockAddr::unix(path)?))?;
            identity.own(path)?;
            Ok(Self { socket, address: Address::Unix(SocketFile::ours(path)?), bind: None, giver: None })
        };
        remove_stale(bind, path)?;
        make().map_err(|cause| bind_error(bind, cause))
    }

    /// Takes over a listening socket from another process, and lifts a gate that it may have left behind: the gate
    /// belongs to the socket and outlives whoever shut it.
    pub(crate) fn adopt(socket: Socket, giver: Giver) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let address = match (local.as_socket(), local.as_pathname()) {
            (Some(address), _) => Address::Tcp(address),
            // It goes from one life of the server to the next, and the last one clears it away.
            (None, Some(path)) if giver == Giver::Predecessor => Address::Unix(SocketFile::ours(path)?),
            (None, path) => Address::Unix(SocketFile::of_others(path)),
        };
        let listener = Self { socket, address, bind: None, giver: Some(giver) };
        listener.lift()?;
        Ok(listener)
    }

    /// The setting that it is there for, if it is there for one.
    pub(crate) const fn bind_setting(&self) -> Option<&Bind> {
        self.bind.as_ref()
    }

    pub(crate) fn listen(&self, backlog: u32) -> io::Result<()> {
        self.socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
    }

    /// One more at the same address, for another worker; the kernel spreads newcomers over them. Only beside one that was
    /// bound with `reuse_port`, by the same user.
    pub(crate) fn beside(&self) -> io::Result<Option<Self>> {
        let Some(address) = self.tcp() else { return Ok(None) };
        Ok(Some(Self { bind: self.bind.clone(), ..Self::bind_tcp(address, true)? }))
    }

    /// Who made it, if not we.
    pub(crate) const fn giver(&self) -> Option<Giver> {
        self.giver
    }

    /// Whether this is where the setting says to listen, and not for another setting already.
    fn answers_to(&self, bind: &Bind) -> bool {
        match (bind, &self.address) {
            (Bind::Unix(path), Address::Unix(file)) => *path == file.path,
            (Bind::Tcp { host, port }, Address::Tcp(address)) => {
                let resolved = (host.as_str(), *port).to_socket_addrs().into_iter().flatten();
                // Of port 0 the kernel had made another.
                resolved.into_iter().any(|wanted| {
                    wanted.ip() == address.ip() && (wanted.port() == address.port() || wanted.port() == 0)
                })
            }
            (Bind::Unix(_), Address::Tcp(_)) | (Bind::Tcp { .. }, Address::Unix(_)) => false,
        }
    }

    /// Leaves a Unix socket's file to those who hold the socket too.
    pub(crate) fn leave_file(&mut self) {
        if let Address::Unix(file) = &mut self.address {
            file.inode = None;
        }
    }

    /// In a worker: the bare socket, and whether it was adopted.
    pub(crate) fn into_parts(self) -> (Socket, bool) {
        (self.socket, self.giver.is_some())
    }

    pub(crate) fn shut(&self) -> io::Result<Gate> {
        gate::shut(&self.socket, self.tcp())
    }

    pub(crate) fn lift(&self) -> io::Result<()> {
        gate::lift(&self.socket, self.tcp())
    }

    /// Its address, if it is TCP.
    pub(crate) const fn tcp(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// How many connections wait to be accepted; `None` on a Unix socket, of which TCP's way does not tell.
    pub(crate) fn queue(&self) -> io::Result<Option<u32>> {
        self.tcp().map(|_| readings::queue(&self.socket)).transpose()
    }

    /// How many may wait: what `listen(2)` was told, within what the system allows.
    pub(crate) fn queue_limit(&self, backlog: u32) -> u32 {
        let told = self.tcp().and_then(|_| readings::queue_limit(&self.socket).ok());
        told.unwrap_or_else(|| readings::most_in_queue().map_or(backlog, |most| most.min(backlog)))
    }

    /// How many packets it has dropped. A rise behind the gate means that somebody knocked.
    pub(crate) fn drops(&self) -> io::Result<u32> {
        readings::drops(&self.socket)
    }

    pub(crate) const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// As it is written in a log line or a URL.
    pub(crate) fn name(&self) -> String {
        match &self.address {
            Address::Tcp(address) => format!("http://{address}"),
            Address::Unix(file) => format!("unix:{}", file.path.display()),
        }
    }
}

/// Removes a socket file that nobody listens on. A live one, or a file of another kind, is an error.
fn remove_stale(bind: &Bind, path: &Path) -> Result<(), Error> {
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(bind_error(bind, cause)),
    };
    if !kind.is_socket() {
        return Err(Error::NotASocket(bind.to_string()));
    }
    let probe = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A live server with a full backlog answers EAGAIN instead of making us wait.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match probe() {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|cause| bind_error(bind, cause))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(bind_error(bind, error)),
        Ok(()) | Err(_) => Err(Error::SocketInUse(bind.to_string())),
    }
}

fn is_absent(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT))
}

fn bind_error(bind: &Bind, cause: io::Error) -> Error {
    let advice = match (cause.kind(), bind) {
        (ErrorKind::AddrInUse, _) => "; stop the program that uses it, or choose another with --bind",
        (ErrorKind::PermissionDenied, Bind::Tcp { .. }) => {
            "; choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE"
        }
        (ErrorKind::PermissionDenied, Bind::Unix(_)) => "; the directory must be writable for this user",
        (ErrorKind::NotFound, Bind::Unix(_)) => "; the directory must exist",
        (ErrorKind::AddrNotAvailable, _) => "; this machine has no such address",
        _ => "",
    };
    Error::Bind { address: bind.to_string(), cause: plain(cause), advice }
}

#[cfg(test)]
mod tests;

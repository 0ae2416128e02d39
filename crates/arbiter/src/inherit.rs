//! Listening sockets that this process was given: by the server that it succeeds, or by systemd.

use std::env;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::unistd::{Pid, getppid};
use socket2::Socket;

use crate::{Error, control, sys};

/// Tells a successor of us what it inherits: our pid, a descriptor to say a word on when it is ready, and the listeners.
pub(crate) const PREDECESSOR: &str = "RSERVE_PREDECESSOR";

/// Who gave us a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Giver {
    /// The server that we succeed.
    Predecessor,
    /// systemd, which keeps it when we go.
    Systemd,
}

/// What was given.
#[derive(Default)]
pub(crate) struct Inheritance {
    pub(crate) sockets: Vec<(Socket, Giver)>,
    pub(crate) predecessor: Option<Predecessor>,
}

/// The server that started us as its successor.
pub(crate) struct Predecessor {
    pid: Pid,
    word: Option<UnixStream>,
}

impl Predecessor {
    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it lives, and holds its listeners still.
    pub(crate) fn is_alive(&self) -> bool {
        getppid() == self.pid
    }

    /// Tells it that we serve.
    pub(crate) fn say_ready(&self) {
        if let Some(word) = &self.word {
            control::wake(word);
        }
    }
}

impl Inheritance {
    /// Reads the environment, and takes the descriptors that it names. To be called once.
    pub(crate) fn take() -> Result<Self, Error> {
        let mut all = Self::default();
        if let Ok(text) = env::var(PREDECESSOR)
            && let Some(will) = Will::parse(&text).filter(|will| will.pid == getppid())
        {
            let word = sys::adopt_socket(will.word).map(|socket| UnixStream::from(std::os::fd::OwnedFd::from(socket)));
            all.predecessor = Some(Predecessor { pid: will.pid, word: word.ok() });
            all.take_sockets(will.listeners, Giver::Predecessor)?;
        } else {
            let descriptors = sd_notify::listen_fds().map_err(Error::system("read LISTEN_FDS"))?;
            all.take_sockets(descriptors.collect(), Giver::Systemd)?;
        }
        Ok(all)
    }

    fn take_sockets(&mut self, descriptors: Vec<RawFd>, giver: Giver) -> Result<(), Error> {
        for descriptor in descriptors {
            let socket = sys::adopt_socket(descriptor).and_then(|socket| {
                if socket.is_listener()? || giver == Giver::Predecessor {
                    Ok(socket)
                } else {
                    Err(std::io::Error::other("it does not listen; a socket unit needs Accept=no"))
                }
            });
            let socket = socket.map_err(|source| Error::Inherit { descriptor, source })?;
            self.sockets.push((socket, giver));
        }
        Ok(())
    }
}

/// What [`PREDECESSOR`] says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) pid: Pid,
    pub(crate) word: RawFd,
    pub(crate) listeners: Vec<RawFd>,
}

impl Will {
    pub(crate) fn new(word: &UnixStream, listeners: impl Iterator<Item = RawFd>) -> Self {
        Self { pid: nix::unistd::getpid(), word: word.as_raw_fd(), listeners: listeners.collect() }
    }

    pub(crate) fn write(&self) -> String {
        let listeners: Vec<String> = self.listeners.iter().map(RawFd::to_string).collect();
        format!("{}:{}:{}", self.pid, self.word, listeners.join(","))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let pid = Pid::from_raw(parts.next()?.parse().ok()?);
        let word = parts.next()?.parse().ok()?;
        let listeners: Result<Vec<_>, _> =
            parts.next()?.split(',').filter(|text| !text.is_empty()).map(str::parse).collect();
        Some(Self { pid, word, listeners: listeners.ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_will_is_read_as_it_was_written() {
        for listeners in [vec![], vec![5], vec![7, 8, 9]] {
            let will = Will { pid: Pid::from_raw(77), word: 4, listeners };
            assert_eq!(Will::parse(&will.write()), Some(will));
        }
        for text in ["", "1", "1:2", "x:2:3", "1:2:3,x"] {
            assert_eq!(Will::parse(text), None, "{text}");
        }
    }
}

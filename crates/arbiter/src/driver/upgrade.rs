//! SIGUSR2: a successor of the whole server is started, which takes the listeners over.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{Pid, getpid};
use tracing::{error, info, warn};

use super::{Driver, now};
use crate::inherit::{Giver, PREDECESSOR, Will};
use crate::machine::{Death, Sig};
use crate::say::died;
use crate::{ListenerId, Program, control};

/// The server that we have started to take our place.
pub(super) struct Successor {
    pub(super) pid: Pid,
    ready: bool,
    word: UnixStream,
    pub(super) listeners: Vec<ListenerId>,
}

impl Driver {
    pub(super) fn upgrade(&mut self, program: &dyn Program) {
        if getpid() == Pid::from_raw(1) {
            warn!(
                "SIGUSR2: not as process 1: when it ends, its container ends with the successor; start another instead"
            );
            return;
        }
        if let Some(successor) = &self.successor {
            warn!(pid = successor.pid.as_raw(), "SIGUSR2: successor {} is there already", successor.pid);
            return;
        }
        match self.start_successor(program) {
            Ok(successor) => {
                info!(pid = successor.pid.as_raw(), "SIGUSR2: successor {} started", successor.pid);
                self.successor = Some(successor);
            }
            Err(cause) => error!("SIGUSR2: cannot start a successor: {cause}; this server serves on"),
        }
    }

    fn start_successor(&self, program: &dyn Program) -> io::Result<Successor> {
        let (ours, theirs) = control::pair()?;
        let open: Vec<(ListenerId, BorrowedFd<'_>)> = self
            .listeners
            .iter()
            .enumerate()
            .filter_map(|(index, open)| Some((ListenerId(index as u16), open.as_ref()?.socket().as_fd())))
            .collect();
        let will = Will::new(&theirs, open.iter().map(|(_, fd)| fd.as_raw_fd()));
        let (name, words) = self.command.split_first().ok_or_else(|| io::Error::other("it is not known how"))?;
        let mut command = Command::new(name);
        command.args(words).env(PREDECESSOR, will.write());
        if let Some(folder) = program.start_folder() {
            command.current_dir(folder);
        }
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        let handed_over: Vec<BorrowedFd<'_>> = open.iter().map(|(_, fd)| *fd).chain([theirs.as_fd()]).collect();
        let spawned = keep_on_exec(&handed_over, true).and_then(|()| command.spawn());
        keep_on_exec(&handed_over, false)?;
        // It is waited for with the workers.
        let pid = Pid::from_raw(spawned?.id() as i32);
        Ok(Successor { pid, ready: false, word: ours, listeners: open.into_iter().map(|(id, _)| id).collect() })
    }

    /// Hears from the successor that it serves.
    pub(super) fn listen_to_successor(&mut self) {
        if let Some(successor) = &mut self.successor
            && !successor.ready
            && control::listen(&successor.word).is_some_and(|words| !words.is_empty())
        {
            successor.ready = true;
            info!(
                pid = successor.pid.as_raw(),
                "successor {} serves; SIGTERM ends this server and leaves the listeners to it", successor.pid
            );
        }
    }

    /// Keeps a SIGTERM until the successor serves or is gone, lest there be nobody who does; at most as long as a stop may
    /// take, and not a second one.
    pub(super) fn hold_stop_back(&mut self, signals: &mut Vec<Sig>) {
        let now = now();
        let booting = self.successor.as_ref().filter(|successor| !successor.ready);
        let term = signals.iter().position(|sig| *sig == Sig::Term);
        match (booting, term, self.stop_waits) {
            (Some(successor), Some(term), None) => {
                info!(
                    pid = successor.pid.as_raw(),
                    "SIGTERM: successor {} does not serve yet: stopping once it does, or at another SIGTERM",
                    successor.pid
                );
                self.stop_waits = Some(now);
                signals.remove(term);
            }
            (_, Some(_), _) => self.stop_waits = None,
            (None, None, Some(_)) => {
                self.stop_waits = None;
                signals.push(Sig::Term);
            }
            (Some(_), None, Some(since)) if now >= since + self.settings.graceful_timeout => {
                self.stop_waits = None;
                signals.push(Sig::Term);
            }
            (_, None, _) => {}
        }
    }

    /// What to wait on for it.
    pub(super) fn successors_word(&self) -> Option<BorrowedFd<'_>> {
        // Its end is told by wait(2); until then it would wake us for ever.
        self.successor.as_ref().filter(|successor| !successor.ready).map(|successor| successor.word.as_fd())
    }

    /// The successor is gone, if it was the one.
    pub(super) fn bury_successor(&mut self, pid: Pid, death: Death) {
        if self.successor.as_ref().is_some_and(|successor| successor.pid == pid) {
            self.successor = None;
            error!(pid = pid.as_raw(), "successor {pid} {}: this server serves on", died(death));
        }
    }

    /// The listeners that another process serves when this one goes.
    pub(super) fn held_by_others(&self) -> Vec<ListenerId> {
        let theirs = self.successor.iter().flat_map(|successor| successor.listeners.iter().copied());
        let predecessor = self.predecessor.as_ref().is_some_and(|predecessor| predecessor.is_alive());
        let given = self.listeners.iter().enumerate().filter_map(|(index, open)| match open.as_ref()?.giver()? {
            Giver::Systemd => Some(ListenerId(index as u16)),
            Giver::Predecessor => predecessor.then_some(ListenerId(index as u16)),
        });
        theirs.chain(given).collect()
    }
}

fn keep_on_exec(descriptors: &[BorrowedFd<'_>], keep: bool) -> io::Result<()> {
    let flag = if keep { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    for descriptor in descriptors {
        fcntl(descriptor, FcntlArg::F_SETFD(flag))?;
    }
    Ok(())
}

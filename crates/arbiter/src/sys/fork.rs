use std::fs;
use std::io;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, Pid, getppid};

/// Which side of a fork this is.
pub(crate) enum Fork {
    /// In the parent, with the child's pid.
    Parent(Pid),
    /// In the child, in which all signals are blocked until it calls [`SignalsBlocked::unblock`].
    Child(SignalsBlocked),
}

/// The child's promise to unblock its signals once its own dispositions stand.
#[must_use]
pub(crate) struct SignalsBlocked {
    before: SigSet,
}

impl SignalsBlocked {
    pub(crate) fn unblock(self) -> io::Result<()> {
        Ok(self.before.thread_set_mask()?)
    }
}

/// How many threads a process may have that forks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Anything else is a mistake of ours.
    MustBeOne,
    /// Others may have been started by the app.
    MayBeMore,
}

/// Forks a child that dies with this process.
///
/// All signals are blocked around it: one that came between the fork and the child's own set-up would be handled by
/// the parent's handlers in the child.
pub(crate) fn fork(allowed: Threads) -> io::Result<Fork> {
    assert!(allowed == Threads::MayBeMore || threads() == 1, "invariant: the arbiter has one thread when it forks");
    let (parent, mut before) = (nix::unistd::getpid(), SigSet::empty());
    nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut before))?;
    // SAFETY: this process has one thread (asserted above), so the child may do whatever its parent might. Or it has
    // threads of an app, which hold no lock of ours; glibc takes and frees its own around the fork.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Parent { child }) => {
            before.thread_set_mask()?;
            Ok(Fork::Parent(child))
        }
        Ok(ForkResult::Child) => {
            die_with(parent)?;
            Ok(Fork::Child(SignalsBlocked { before }))
        }
        Err(error) => {
            before.thread_set_mask()?;
            Err(error.into())
        }
    }
}

/// Has the kernel kill this process when its parent ends. To be said again after the user has changed, which undoes it.
pub(crate) fn die_with(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        // It died before the line above, so that no signal will come.
        std::process::exit(1);
    }
    Ok(())
}

/// How many threads this process has.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

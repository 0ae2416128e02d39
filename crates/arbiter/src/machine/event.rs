//! What the machine is told, and what it asks for.

use std::time::{Duration, Instant};

use super::Rules;
use super::door::{Post, Reading};
use crate::page::{DoorPhase, Stage};
use crate::{Exit, ListenerId};

/// One place for a worker process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotId(pub(crate) u16);

impl SlotId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The signals that mean something to the arbiter, by what they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sig {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP: read the settings again, and replace the workers.
    Hup,
    /// SIGUSR1: open the log files anew.
    Usr1,
    /// SIGUSR2: start a successor of the whole server.
    Usr2,
    /// SIGTTIN: one worker more.
    TtIn,
    /// SIGTTOU: one worker less.
    TtOu,
}

/// Why a worker is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Somebody sent it a SIGTERM.
    Signal,
    /// It has served as many requests as it is to.
    MaxRequests,
    /// There is a listener that no worker has who is to stay.
    Listener,
}

/// What changes when the settings are read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reload {
    pub(crate) rules: Rules,
    /// Listeners that are new. They open with the first new worker.
    pub(crate) added: Vec<(ListenerId, Post)>,
    /// Listeners that are no longer wanted.
    pub(crate) removed: Vec<ListenerId>,
}

/// How a worker process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Code(i32),
    Signal(i32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Signal(Sig),
    /// The worker is built and waits for connections.
    Ready(SlotId),
    /// When it last returned from a step.
    Beat(SlotId, Instant),
    /// It is to be replaced.
    LeaveRequested(SlotId, Leave),
    Exited(SlotId, Death),
    SpawnFailed(SlotId),
    /// The arbiter itself was held up for so long: workers may have been, too.
    Late(Duration),
    /// The settings were read again.
    Reloaded(Reload),
    /// Of all listeners, those that another process holds as well: told before a stop.
    OthersHold(Vec<ListenerId>),
    /// One reading for each listener, and how many requests have been served since the server started.
    Readings {
        served: u64,
        readings: Vec<Reading>,
    },
    /// Time has passed.
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// SIGABRT: die, and leave a trace of where.
    Abort,
    /// SIGKILL.
    Kill,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Spawn(SlotId),
    /// Tell a worker what is wanted of it, and until when.
    Order(SlotId, Stage, Instant),
    Kill(SlotId, Kill),
    /// Begin to listen.
    Listen(ListenerId),
    /// Read the settings again; if anything came of it, [`Event::Reloaded`] tells so before any other event.
    Reread,
    /// Open the log files anew, here and in every worker.
    ReopenLogs,
    /// Start a successor that takes the listeners over.
    Upgrade,
    /// Tell every worker how it stands with a listener.
    SetDoor(ListenerId, DoorPhase),
    Shut(ListenerId),
    Lift(ListenerId),
    Close(ListenerId),
    Say(Notice),
    /// Every worker is gone: end with this exit code.
    Halt(Exit),
}

/// What deserves a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The first worker is ready: the server listens.
    Serving,
    /// A drain begins.
    Draining,
    /// A classic graceful stop begins.
    Leaving,
    /// A quick stop begins.
    Quitting,
    /// A second quick stop: whoever is left is killed.
    Killing(usize),
    /// A signal that changes nothing now.
    Ignored(Sig),
    /// The number of workers to keep was changed.
    Target(u16),
    /// The graceful timeout is over, and so many workers are still at it.
    Deadline(usize),
    /// A worker did not beat within the timeout.
    Stuck(SlotId),
    /// A worker that was asked to leave has not, within the graceful timeout.
    Overdue(SlotId),
    /// A worker ended that was not asked to.
    Died(SlotId, Death),
    /// A worker could not boot.
    BootFailed(SlotId, Death),
    /// So many workers in a row died too soon: the next is started after a while.
    KeepsDying { failures: u32, wait: Duration },
    /// A worker could not be started: tried again after a while.
    SpawnFailed(Duration),
    /// A worker is to leave: it is replaced first.
    LeaveRequested(SlotId, Leave),
    /// The settings were read again: all workers are being replaced.
    Reloading,
    /// All workers have been replaced.
    Reloaded,
    /// The gate was shut; whether for good.
    GateShut(ListenerId, bool),
    /// Somebody knocked at the gate, which was lifted.
    GateReopened(ListenerId),
}

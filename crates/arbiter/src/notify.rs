//! What systemd is told (sd_notify(3)); nothing, where nobody asks.

use std::process;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::debug;

use crate::machine::Notice;

/// The service manager, as far as it wants to hear from us.
pub(crate) struct Manager {
    watchdog: Option<Watchdog>,
}

struct Watchdog {
    every: Duration,
    next: Instant,
}

impl Manager {
    pub(crate) fn new(now: Instant) -> Self {
        // It wants to hear twice in its time, so that one that is late does no harm.
        let watchdog = sd_notify::watchdog_enabled().map(|time| Watchdog { every: time / 2, next: now });
        Self { watchdog }
    }

    /// Says that the arbiter lives, when it is time; and when the next time is.
    pub(crate) fn watch(&mut self, now: Instant) {
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.next <= now
        {
            watchdog.next = now + watchdog.every;
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// When [`watch`](Self::watch) is to be called.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.watchdog.as_ref().map(|watchdog| watchdog.next)
    }

    /// What became of the server.
    pub(crate) fn hear(&self, notice: &Notice) {
        match notice {
            Notice::Serving => tell(&[NotifyState::Ready, NotifyState::Status("serving")]),
            Notice::Reloaded => tell(&[NotifyState::Ready, NotifyState::Status("serving, reloaded")]),
            Notice::Draining => tell(&[NotifyState::Stopping, NotifyState::Status("draining")]),
            Notice::Leaving | Notice::Quitting => tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]),
            Notice::Reloading
            | Notice::Killing(_)
            | Notice::Ignored(_)
            | Notice::Target(_)
            | Notice::Deadline(_)
            | Notice::Stuck(_)
            | Notice::Overdue(_)
            | Notice::Died(..)
            | Notice::BootFailed(..)
            | Notice::LeaveRequested(..)
            | Notice::GateShut(..)
            | Notice::KeepsDying { .. }
            | Notice::SpawnFailed(_)
            | Notice::GateReopened(_) => {}
        }
    }

    /// SIGHUP has come. A `Type=notify-reload` service is watched from then until it is ready again.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
            Err(error) => debug!("no time for systemd: {error}"),
        }
    }

    /// The reload came to nothing.
    pub(crate) fn not_reloaded(&self) {
        tell(&[NotifyState::Ready, NotifyState::Status("serving; the last reload failed, see the log")]);
    }

    /// This process ends, and that one goes on.
    pub(crate) fn succeeded_by(&self, pid: nix::unistd::Pid) {
        tell(&[NotifyState::MainPid(pid.as_raw().unsigned_abs())]);
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        debug!(arbiter = process::id(), "systemd cannot be told: {error}");
    }
}

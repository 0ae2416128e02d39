//! One worker process as the machine sees it.

use std::time::{Duration, Instant};

/// A slot is filled at most once in this time, so that workers that die at once make no storm of forks.
const SPAWN_APART: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// Nobody; and nobody before this moment.
    Vacant {
        not_before: Option<Instant>,
    },
    Taken(Tenant),
}

#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    /// Counts up over all workers: the lowest is the oldest.
    pub(crate) age: u64,
    /// Its place among the workers, which it takes over from whoever had it.
    pub(crate) seat: u16,
    pub(crate) spawned: Instant,
    pub(crate) beat: Instant,
    pub(crate) life: Life,
    /// It has served as many requests as it is to, and is to be replaced from then on.
    pub(crate) replace_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Booting,
    Ready,
    /// To be replaced, but serving until the successor is ready.
    Retiring {
        /// It serves.
        ready: bool,
    },
    /// Told to accept no more and to finish by then.
    Leaving {
        deadline: Instant,
    },
    /// Told to cut, and killed at that time.
    Quitting {
        kill_at: Instant,
    },
    /// Sent a SIGABRT, and killed at that time.
    Aborting {
        kill_at: Instant,
    },
    /// Sent a SIGKILL: only its exit is waited for.
    Killed,
}

impl Slot {
    pub(crate) const VACANT: Self = Self::Vacant { not_before: None };

    pub(crate) const fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Taken(tenant) => Some(tenant),
            Self::Vacant { .. } => None,
        }
    }

    pub(crate) const fn tenant_mut(&mut self) -> Option<&mut Tenant> {
        match self {
            Self::Taken(tenant) => Some(tenant),
            Self::Vacant { .. } => None,
        }
    }

    /// Its tenant is gone.
    pub(crate) fn vacate(&mut self) {
        let not_before = self.tenant().map(|tenant| tenant.spawned + SPAWN_APART);
        *self = Self::Vacant { not_before };
    }

    pub(crate) fn wait_from(&mut self, now: Instant) {
        *self = Self::Vacant { not_before: Some(now + SPAWN_APART) };
    }
}

impl Tenant {
    pub(crate) const fn new(age: u64, seat: u16, now: Instant) -> Self {
        Self { age, seat, spawned: now, beat: now, life: Life::Booting, replace_at: None }
    }

    /// Whether it counts towards the number of workers to keep.
    pub(crate) const fn stays(&self) -> bool {
        match self.life {
            Life::Booting | Life::Ready => true,
            Life::Retiring { .. }
            | Life::Leaving { .. }
            | Life::Quitting { .. }
            | Life::Aborting { .. }
            | Life::Killed => false,
        }
    }

    /// It has served as many requests as it is to: replaced at once, or after a while if that came so soon that
    /// replacing it each time would make a storm of forks.
    pub(crate) fn has_served_enough(&mut self, now: Instant) {
        self.replace_at = Some(now.max(self.spawned + SPAWN_APART));
    }

    /// When something must happen to it if nothing else does.
    pub(crate) fn due(&self, timeout: Option<Duration>) -> Option<Instant> {
        let stuck = timeout.map(|timeout| self.beat + timeout);
        match self.life {
            Life::Booting | Life::Ready => [stuck, self.replace_at].into_iter().flatten().min(),
            Life::Retiring { .. } => stuck,
            Life::Leaving { deadline } => Some(stuck.map_or(deadline, |stuck| stuck.min(deadline))),
            Life::Quitting { kill_at } | Life::Aborting { kill_at } => Some(kill_at),
            Life::Killed => None,
        }
    }
}

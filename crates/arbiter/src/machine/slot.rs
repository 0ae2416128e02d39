//! One worker process as the machine sees it.

use std::time::{Duration, Instant};

/// A slot is filled at most once in this time, so that workers that die at once make no storm of forks. It doubles each
/// time that a worker does not live for as long as that ...
const SPAWN_APART: Duration = Duration::from_secs(1);
/// ... up to this where no worker gets ready, or none can be forked: trying more often would only cost;
const LONGEST_UNREADY: Duration = Duration::from_secs(30);
/// and up to this where one got ready: a request that ends workers must not keep everybody else waiting for long.
const LONGEST_READY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(crate) enum Slot {
    /// Nobody; and nobody before this moment.
    Vacant {
        not_before: Option<Instant>,
        failures: u32,
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
    /// How many before it, in a row, died too soon.
    pub(crate) failures: u32,
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
    pub(crate) const VACANT: Self = Self::Vacant { not_before: None, failures: 0 };

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

    /// Its tenant is gone, as it was to be.
    pub(crate) fn vacate(&mut self) {
        let not_before = self.tenant().map(|tenant| tenant.spawned + SPAWN_APART);
        *self = Self::Vacant { not_before, failures: 0 };
    }

    /// Its tenant is gone, and was not to be: how long the next has to wait if that came too soon, and for which time in a
    /// row it did.
    pub(crate) fn fail(&mut self, now: Instant) -> Option<(u32, Duration)> {
        let tenant = self.tenant()?;
        let (before, spawned) = (tenant.failures, tenant.spawned);
        let (ready, longest) = match tenant.life {
            Life::Booting => (false, LONGEST_UNREADY),
            Life::Ready
            | Life::Retiring { .. }
            | Life::Leaving { .. }
            | Life::Quitting { .. }
            | Life::Aborting { .. }
            | Life::Killed => (true, LONGEST_READY),
        };
        if ready && now >= spawned + apart(before, longest) {
            self.vacate();
            return None;
        }
        let failures = before + 1;
        // One that takes long to fail is not to be tried without a pause.
        let from = if ready { spawned } else { now };
        let not_before = from + apart(failures - 1, longest);
        *self = Self::Vacant { not_before: Some(not_before), failures };
        Some((failures, not_before.saturating_duration_since(now)))
    }

    /// Nobody could be started in it.
    pub(crate) fn could_not_be_filled(&mut self, now: Instant) -> Duration {
        let before = self.tenant().map_or(0, |tenant| tenant.failures);
        let wait = apart(before, LONGEST_READY);
        *self = Self::Vacant { not_before: Some(now + wait), failures: before + 1 };
        wait
    }

    /// There is reason to believe that the next lives longer.
    pub(crate) fn forgive(&mut self) {
        match self {
            Self::Vacant { not_before, failures } => (*not_before, *failures) = (None, 0),
            Self::Taken(tenant) => tenant.failures = 0,
        }
    }

    pub(crate) const fn failures(&self) -> u32 {
        match self {
            Self::Vacant { failures, .. } => *failures,
            Self::Taken(tenant) => tenant.failures,
        }
    }
}

/// The time between two forks after so many short lives.
fn apart(failures: u32, longest: Duration) -> Duration {
    SPAWN_APART.saturating_mul(1 << failures.min(16)).min(longest)
}

impl Tenant {
    pub(crate) const fn new(age: u64, seat: u16, failures: u32, now: Instant) -> Self {
        Self { age, seat, spawned: now, beat: now, life: Life::Booting, replace_at: None, failures }
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

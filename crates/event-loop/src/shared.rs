use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::date::Date;
use crate::incoming::Pool;
use crate::output::OutputPool;
use crate::settings::HttpSettings;

/// What the connections of a loop have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: HttpSettings,
    /// The time as of the last wait or the last response.
    pub(crate) now: Instant,
    pub(crate) date: Date,
    pub(crate) pool: Pool,
    pub(crate) outputs: OutputPool,
    /// Where discarded input is read to.
    pub(crate) scratch: Vec<u8>,
    pub(crate) phase: Phase,
}

/// Whether the worker is finishing, as far as it concerns connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// The doors are open still. An idle connection is closed after `quiet`.
    Draining {
        since: Instant,
        quiet: Duration,
    },
    /// Nobody comes any more. Those who came in a drain may still speak.
    Leaving {
        drained_since: Option<Instant>,
    },
}

/// How long a connection may be silent in a drain. Its first packet may have been dropped behind the gate: TCP sends
/// it again after 1 second, some old stacks after 3.
const SILENCE: Duration = Duration::from_secs(3);

impl Shared {
    pub(crate) fn new(settings: HttpSettings, now: Instant) -> Self {
        let pool = Pool::new(settings.limits, Arc::clone(&settings.forwarded_allow_ips));
        Self {
            settings,
            now,
            date: Date::new(),
            pool,
            outputs: OutputPool::default(),
            scratch: Vec::new(),
            phase: Phase::Serving,
        }
    }

    /// Whether a connection may go on after a response.
    pub(crate) fn keeps_connections(&self) -> bool {
        self.settings.keep_alive.is_some() && self.phase == Phase::Serving
    }

    /// Until when a connection that was accepted then may be silent.
    pub(crate) fn silent_until(&self, accepted: Instant) -> Instant {
        match self.phase {
            Phase::Serving => accepted + self.settings.head_timeout,
            Phase::Draining { since, .. } | Phase::Leaving { drained_since: Some(since) } => {
                accepted.max(since) + SILENCE
            }
            Phase::Leaving { drained_since: None } => accepted,
        }
    }

    /// Until when a connection that was answered then may be idle.
    pub(crate) fn idle_until(&self, answered: Instant) -> Instant {
        let keep_alive = self.settings.keep_alive.unwrap_or_default();
        match self.phase {
            Phase::Serving => answered + keep_alive,
            Phase::Draining { quiet, .. } => answered + keep_alive.min(quiet),
            Phase::Leaving { .. } => answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_with_those_who_wait_depends_on_the_phase() {
        let second = Duration::from_secs(1);
        let accepted = Instant::now();
        let settings = HttpSettings { keep_alive: Some(5 * second), ..HttpSettings::default() };
        let mut shared = Shared::new(settings, accepted);
        let since = accepted + 10 * second;
        for (phase, silent, idle) in [
            (Phase::Serving, 30 * second, 5 * second),
            (Phase::Draining { since, quiet: 2 * second }, 13 * second, 2 * second),
            (Phase::Draining { since: accepted - second, quiet: 9 * second }, 3 * second, 5 * second),
            (Phase::Leaving { drained_since: Some(since) }, 13 * second, Duration::ZERO),
            (Phase::Leaving { drained_since: None }, Duration::ZERO, Duration::ZERO),
        ] {
            shared.phase = phase;
            assert_eq!(shared.silent_until(accepted) - accepted, silent, "{phase:?}");
            assert_eq!(shared.idle_until(accepted) - accepted, idle, "{phase:?}");
            assert_eq!(shared.keeps_connections(), phase == Phase::Serving);
        }
    }
}

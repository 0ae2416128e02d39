use std::time::{Duration, Instant};

use rserve_arbiter::Context;

use crate::settings::HttpSettings;

/// Whether the worker is finishing, as far as it concerns connections: how long they are waited for, and whether they
/// live on after a response.
///
/// ```
/// use std::time::{Duration, Instant};
/// use rserve_event_loop::{HttpSettings, Phase};
///
/// let http = HttpSettings { keep_alive: Some(Duration::from_secs(75)), ..HttpSettings::default() };
/// let (since, quiet) = (Instant::now(), Duration::from_secs(2));
/// assert!(Phase::Serving.keeps_connections(&http));
/// assert_eq!(Phase::Draining { since, quiet }.idle_until(&http, since), since + quiet);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is not.
    Serving,
    /// There is time: the doors are open still, or the server goes on and only this worker is replaced. An idle
    /// connection is closed after `quiet`.
    Draining {
        /// When that began.
        since: Instant,
        /// `--drain-quiet`.
        quiet: Duration,
    },
    /// Nobody comes any more. Those who came in a drain may still speak.
    Leaving {
        /// When the drain began, if there was one.
        drained_since: Option<Instant>,
    },
}

/// How long a connection may be silent in a drain. Its first packet may have been dropped behind the gate: TCP sends
/// it again after 1 second, some old stacks after 3.
const SILENCE: Duration = Duration::from_secs(3);

impl Phase {
    /// Where the worker stands now, where it stood in this phase before.
    #[must_use]
    pub fn next(self, cx: &Context) -> Self {
        let since = match self {
            Self::Serving if !cx.draining() => return self,
            Self::Serving => Some(Instant::now()),
            Self::Draining { since, .. } => Some(since),
            Self::Leaving { drained_since } => drained_since,
        };
        match (cx.settings().drain, since) {
            (drain, Some(since)) if cx.is_replaced() => {
                Self::Draining { since, quiet: drain.unwrap_or_default().quiet }
            }
            // A door may be closed early, to leave those behind it to another server. Those who came in by it get their
            // time all the same.
            (Some(drain), Some(since)) if cx.accepting() || since.elapsed() < drain.quiet => {
                Self::Draining { since, quiet: drain.quiet }
            }
            (Some(_), drained_since) => Self::Leaving { drained_since },
            (None, _) => Self::Leaving { drained_since: None },
        }
    }

    /// Whether a connection may go on after a response.
    #[must_use]
    pub fn keeps_connections(self, settings: &HttpSettings) -> bool {
        settings.keep_alive.is_some() && self == Self::Serving
    }

    /// Until when a connection that was accepted then may be silent.
    #[must_use]
    pub fn silent_until(self, settings: &HttpSettings, accepted: Instant) -> Instant {
        match self {
            Self::Serving => accepted + settings.head_timeout,
            Self::Draining { since, .. } | Self::Leaving { drained_since: Some(since) } => {
                accepted.max(since) + SILENCE
            }
            Self::Leaving { drained_since: None } => accepted,
        }
    }

    /// Until when a connection that was answered then may be idle.
    #[must_use]
    pub fn idle_until(self, settings: &HttpSettings, answered: Instant) -> Instant {
        let keep_alive = settings.keep_alive.unwrap_or_default();
        match self {
            Self::Serving => answered + keep_alive,
            Self::Draining { quiet, .. } => answered + keep_alive.min(quiet),
            Self::Leaving { .. } => answered,
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
        let since = accepted + 10 * second;
        for (phase, silent, idle) in [
            (Phase::Serving, 30 * second, 5 * second),
            (Phase::Draining { since, quiet: 2 * second }, 13 * second, 2 * second),
            (Phase::Draining { since: accepted - second, quiet: 9 * second }, 3 * second, 5 * second),
            (Phase::Leaving { drained_since: Some(since) }, 13 * second, Duration::ZERO),
            (Phase::Leaving { drained_since: None }, Duration::ZERO, Duration::ZERO),
        ] {
            assert_eq!(phase.silent_until(&settings, accepted) - accepted, silent, "{phase:?}");
            assert_eq!(phase.idle_until(&settings, accepted) - accepted, idle, "{phase:?}");
            assert_eq!(phase.keeps_connections(&settings), phase == Phase::Serving);
        }
    }
}

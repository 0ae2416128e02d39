//! What became of each request of a load.

use std::{collections::BTreeMap, fmt, time::Instant};

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// A whole 200.
    Served,
    /// A whole response with another status.
    Status(u16),
    /// The handshake was refused, so that nothing had been taken on.
    Refused,
    /// The handshake was never answered.
    NoAnswer,
    /// The server closed a connection that had been idle just as the next request was sent on it: the race that
    /// RFC 9112 section 9.5 leaves to the client.
    IdleRace,
    /// The handshake had succeeded, and there was no whole response.
    Lost(Loss),
}

/// How a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    Reset,
    /// Closed before the first byte of the response.
    Eof,
    /// Closed or reset inside the response.
    Truncated,
    Timeout,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) outcome: Outcome,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
}

/// All requests of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(pub(crate) Vec<Exchange>);

impl Tally {
    pub(crate) fn count(&self, wanted: impl Fn(Outcome) -> bool) -> usize {
        self.0.iter().filter(|exchange| wanted(exchange.outcome)).count()
    }

    pub(crate) fn served(&self) -> usize {
        self.count(|outcome| outcome == Outcome::Served)
    }

    pub(crate) fn refused(&self) -> usize {
        self.count(|outcome| outcome == Outcome::Refused)
    }

    pub(crate) fn lost(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Lost(_)))
    }

    /// Every request was served or refused; `races` of them may have met the race of an idle connection.
    pub(crate) fn assert_none_lost(&self, races: usize) {
        let others = self.count(|outcome| !matches!(outcome, Outcome::Served | Outcome::Refused | Outcome::IdleRace));
        assert_eq!(others, 0, "{self}: {:?}", self.worst());
        let raced = self.count(|outcome| outcome == Outcome::IdleRace);
        assert!(raced <= races, "{self}: more than {races} met the race of an idle connection");
    }

    /// Nobody who began to connect before `time` was refused.
    pub(crate) fn assert_none_refused_before(&self, time: Instant) {
        let early = self.0.iter().filter(|it| it.outcome == Outcome::Refused && it.started < time);
        let how_early: Vec<_> = early.map(|it| time - it.started).collect();
        assert!(how_early.is_empty(), "{self}: refused while the door was to be open, too early by {how_early:?}");
    }

    /// The requests that were not served, and how long each took: what to look at when a test fails.
    fn worst(&self) -> Vec<String> {
        let bad = self.0.iter().filter(|it| !matches!(it.outcome, Outcome::Served | Outcome::Refused));
        bad.take(10).map(|it| format!("{:?} after {:?}", it.outcome, it.ended - it.started)).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = BTreeMap::<Outcome, usize>::new();
        for exchange in &self.0 {
            *counts.entry(exchange.outcome).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(outcome, count)| format!("{outcome:?} {count}")).collect();
        f.write_str(&counts.join(", "))
    }
}

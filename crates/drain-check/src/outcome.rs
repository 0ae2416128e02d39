use std::{collections::BTreeMap, fmt, time::Instant};

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
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
    /// The client's machine had no descriptor, port or memory left for the connection: nothing is known of the server.
    NotTried,
    /// The handshake had succeeded, and there was no whole response.
    Lost(Loss),
}

/// How a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Reset before the first byte of the response.
    Reset,
    /// Closed before the first byte of the response.
    Eof,
    /// Closed or reset inside the response.
    Truncated,
    /// No whole response within the client's patience.
    Timeout,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// What became of it.
    pub outcome: Outcome,
    /// When its client began to connect, or to send on a connection that it had.
    pub started: Instant,
    /// When the outcome was known.
    pub ended: Instant,
}

/// All requests of a load.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub Vec<Exchange>);

impl Tally {
    /// How many ended in a way that `wanted` accepts.
    pub fn count(&self, wanted: impl Fn(Outcome) -> bool) -> usize {
        self.0.iter().filter(|exchange| wanted(exchange.outcome)).count()
    }

    /// How many got a whole 200.
    #[must_use]
    pub fn served(&self) -> usize {
        self.count(|outcome| outcome == Outcome::Served)
    }

    /// How many handshakes were refused.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.count(|outcome| outcome == Outcome::Refused)
    }

    /// How many were lost.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Lost(_)))
    }

    /// How many met the race of an idle connection.
    #[must_use]
    pub fn raced(&self) -> usize {
        self.count(|outcome| outcome == Outcome::IdleRace)
    }

    /// For a test: every request was served or refused; `races` of them may have met the race of an idle connection.
    ///
    /// # Panics
    ///
    /// Otherwise, with the counts and the first that went wrong.
    #[track_caller]
    pub fn assert_none_lost(&self, races: usize) {
        let others = self.count(|outcome| !matches!(outcome, Outcome::Served | Outcome::Refused | Outcome::IdleRace));
        assert_eq!(others, 0, "{self}: {:?}", self.worst());
        assert!(self.raced() <= races, "{self}: more than {races} met the race of an idle connection");
    }

    /// For a test: nobody who began to connect before `time` was refused.
    ///
    /// # Panics
    ///
    /// Otherwise, with how early they were.
    #[track_caller]
    pub fn assert_none_refused_before(&self, time: Instant) {
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

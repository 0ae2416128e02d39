use std::{fmt, time::Duration};

use crate::{Loss, Outcome, Tally};

/// What became of the requests of each stop. Its `Display` is a table for people.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the order in which they were made.
    pub stops: Vec<Stop>,
}

/// One start, load, SIGTERM and end.
#[derive(Clone, Debug)]
pub struct Stop {
    /// What the clients did with their connections, in a word.
    pub connections: &'static str,
    /// What became of each request.
    pub tally: Tally,
    /// How long the server took to end, from SIGTERM; `None`: it was killed when it did not.
    pub stopped: Option<Duration>,
}

impl Report {
    /// Whether nobody was lost, nobody got an error, and the server ended by itself each time.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.stops.iter().all(|stop| {
            let counts = Counts::of(&stop.tally);
            counts.lost + counts.failed == 0 && stop.stopped.is_some()
        })
    }

    /// How many requests were lost in all stops.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.stops.iter().map(|stop| stop.tally.lost()).sum()
    }
}

impl Stop {
    /// What the progress says of it.
    pub(crate) fn in_brief(&self) -> String {
        let Counts { served, refused, lost, .. } = Counts::of(&self.tally);
        format!("ended {}: {served} served, {refused} refused, {lost} lost", self.when())
    }

    fn when(&self) -> String {
        match self.stopped {
            Some(time) => format!("after {:.1} s", time.as_secs_f64()),
            None => "never".to_owned(),
        }
    }
}

#[derive(Default)]
struct Counts {
    served: usize,
    refused: usize,
    lost: usize,
    raced: usize,
    failed: usize,
}

impl Counts {
    fn of(tally: &Tally) -> Self {
        let mut counts = Self::default();
        for exchange in &tally.0 {
            match exchange.outcome {
                Outcome::Served | Outcome::Status(..500) => counts.served += 1,
                Outcome::Refused => counts.refused += 1,
                Outcome::Lost(_) => counts.lost += 1,
                Outcome::IdleRace => counts.raced += 1,
                Outcome::Status(_) | Outcome::NoAnswer | Outcome::NotTried => counts.failed += 1,
            }
        }
        counts
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, " stop  connections   served  refused     lost    raced   failed  ended")?;
        for (index, stop) in self.stops.iter().enumerate() {
            row(f, &(index + 1).to_string(), stop.connections, &Counts::of(&stop.tally), &stop.when())?;
        }
        let all = Tally(self.stops.iter().flat_map(|stop| stop.tally.0.iter().copied()).collect());
        row(f, "all", "", &Counts::of(&all), "")?;
        writeln!(f)?;
        let count = |wanted: Outcome| all.count(|outcome| outcome == wanted);
        for (number, how) in [
            (count(Outcome::Lost(Loss::Reset)), "lost: reset before the response"),
            (count(Outcome::Lost(Loss::Eof)), "lost: closed before the response"),
            (count(Outcome::Lost(Loss::Truncated)), "lost: cut inside the response"),
            (count(Outcome::Lost(Loss::Timeout)), "lost: no whole response in time"),
            (count(Outcome::NoAnswer), "failed: the handshake was never answered"),
            (count(Outcome::NotTried), "failed: this machine had no descriptor or port left"),
            (all.count(|outcome| matches!(outcome, Outcome::Status(500..))), "failed: a whole response with a 5xx"),
        ] {
            if number > 0 {
                writeln!(f, "{number} {how}")?;
            }
        }
        let killed = self.stops.iter().filter(|stop| stop.stopped.is_none()).count();
        if killed > 0 {
            writeln!(f, "{killed} × the server did not end by itself, and was killed")?;
        }
        write!(f, "{} of {} requests were lost", all.lost(), all.0.len())
    }
}

fn row(f: &mut fmt::Formatter<'_>, stop: &str, connections: &str, counts: &Counts, ended: &str) -> fmt::Result {
    let Counts { served, refused, lost, raced, failed } = counts;
    let line =
        format!("{stop:>5}  {connections:<11} {served:>8} {refused:>8} {lost:>8} {raced:>8} {failed:>8}  {ended}");
    writeln!(f, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::Exchange;

    fn stop(outcomes: &[Outcome], stopped: Option<Duration>) -> Stop {
        let now = Instant::now();
        let exchanges = outcomes.iter().map(|&outcome| Exchange { outcome, started: now, ended: now });
        Stop { connections: "new", tally: Tally(exchanges.collect()), stopped }
    }

    #[test]
    fn only_a_stop_without_loss_or_error_is_clean() {
        let second = Some(Duration::from_secs(1));
        for (stop, clean) in [
            (stop(&[Outcome::Served, Outcome::Refused, Outcome::IdleRace, Outcome::Status(302)], second), true),
            (stop(&[Outcome::Served], None), false),
            (stop(&[Outcome::Served, Outcome::Lost(Loss::Eof)], second), false),
            (stop(&[Outcome::Served, Outcome::Status(503)], second), false),
            (stop(&[Outcome::NoAnswer], second), false),
        ] {
            assert_eq!(Report { stops: vec![stop.clone()] }.is_clean(), clean, "{stop:?}");
        }
    }

    #[test]
    fn the_table_adds_up() {
        let one = stop(&[Outcome::Served, Outcome::Refused], Some(Duration::from_millis(2345)));
        let two = stop(&[Outcome::Served, Outcome::Lost(Loss::Reset), Outcome::IdleRace], None);
        let table = Report { stops: vec![one, two] }.to_string();
        let expected = " stop  connections   served  refused     lost    raced   failed  ended
    1  new                1        1        0        0        0  after 2.3 s
    2  new                1        0        1        1        0  never
  all                     2        1        1        1        0

1 lost: reset before the response
1 × the server did not end by itself, and was killed
1 of 5 requests were lost";
        assert_eq!(table, expected);
    }
}

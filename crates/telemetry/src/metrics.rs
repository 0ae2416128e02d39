//! What a worker counts of its requests, and the page on which all of it can be read.

mod codes;
mod http_page;
mod page;
mod write;

use std::time::Duration;

use rserve_arbiter::Meters;
use rserve_event_loop::{Answered, Census, Observer};

pub use http_page::answer;

/// Counts a worker's requests where the arbiter sees them.
///
/// ```no_run
/// use rserve_arbiter::Context;
/// use rserve_event_loop::Watch;
/// use rserve_telemetry::Metered;
///
/// fn watch(cx: &Context) -> Watch {
///     Watch::by(Metered::new(cx.meters()))
/// }
/// ```
#[derive(Debug)]
pub struct Metered(Meters);

impl Metered {
    /// For the worker whose meters these are.
    #[must_use]
    pub const fn new(meters: Meters) -> Self {
        Self(meters)
    }

    fn measure(&self, histogram: usize, time: Duration) {
        let bucket = BUCKETS.iter().position(|bound| time.as_micros() as u64 <= *bound).unwrap_or(BUCKETS.len());
        self.0.count(histogram + bucket, 1);
        self.0.count(histogram + SUM, time.as_micros() as u64);
    }
}

impl Observer for Metered {
    fn answered(&self, answered: &Answered<'_>) {
        self.0.count(codes::place(answered.status), 1);
        self.0.count(SENT, answered.sent);
        self.measure(TOOK, answered.took);
        self.measure(WAITED, answered.waited);
    }

    fn looks_at_response(&self) -> bool {
        false
    }

    fn connections(&self, census: &Census) {
        let Census { silent, idle, reading, waiting, serving, writing, upgraded, closing } = *census;
        let numbers = [silent, idle, reading, waiting, serving, writing, upgraded, closing];
        numbers.into_iter().enumerate().for_each(|(gauge, number)| self.0.set(gauge, number));
    }
}

/// What the gauges are, in their order.
const STATES: [&str; 8] = ["silent", "idle", "reading", "waiting", "serving", "writing", "upgraded", "closing"];

/// The upper bounds of a histogram's buckets but the last, which has none, in microseconds.
const BUCKETS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Behind a histogram's buckets there is the sum of what it has measured, in microseconds.
const SUM: usize = BUCKETS.len() + 1;

// Where each counter is. Those of the statuses come first.
const TOOK: usize = codes::PLACES;
const WAITED: usize = TOOK + SUM + 1;
const SENT: usize = WAITED + SUM + 1;

const _: () = assert!(SENT < rserve_arbiter::MAX_COUNTERS && STATES.len() <= rserve_arbiter::MAX_GAUGES);

use std::fmt;

use crate::page::Page;

/// How many counters a worker has in its [`Meters`].
pub const MAX_COUNTERS: usize = 128;

/// How many gauges.
pub const MAX_GAUGES: usize = 8;

/// Numbers that a worker keeps where the arbiter sees them, for a program that tells how its server does:
/// [`Program::inform`](crate::Program::inform). What each of them means is the program's affair.
///
/// Counters only grow, and those of workers that are gone are added to those of the living. A gauge is what it was last set
/// to, and goes with its worker. All start at 0. To change one costs an atomic operation, on any thread.
///
/// ```
/// use rserve_arbiter::{Context, Meters};
///
/// const GREETINGS: usize = 0;
///
/// fn greet(cx: &Context) {
///     let meters: Meters = cx.meters();
///     meters.count(GREETINGS, 1);
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Meters(&'static Page);

impl Meters {
    pub(crate) const fn new(page: &'static Page) -> Self {
        Self(page)
    }

    /// Adds to a counter.
    ///
    /// # Panics
    ///
    /// If `counter` is not below [`MAX_COUNTERS`].
    pub fn count(self, counter: usize, by: u64) {
        self.0.count(counter, by);
    }

    /// Sets a gauge.
    ///
    /// # Panics
    ///
    /// If `gauge` is not below [`MAX_GAUGES`].
    pub fn set(self, gauge: usize, value: u64) {
        self.0.set_gauge(gauge, value);
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}

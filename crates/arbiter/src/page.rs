//! The scoreboard: one page of shared memory for each worker process.
//!
//! Orders go down and tidings come up as plain atomics, so a worker that is stuck or was killed has still told what
//! it held, nothing can fill up, and a beat costs one store. Who must wake up for a change is told over the control
//! pair (`control.rs`); the page alone says what changed.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{ListenerId, MAX_COUNTERS, MAX_GAUGES, Outcome};

/// How many listeners a page has room for.
pub const MAX_LISTENERS: usize = 128;

/// What the arbiter wants of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    Serve = 0,
    /// Finish, but go on accepting where a door is open.
    Drain = 1,
    /// Finish, and accept no more.
    Leave = 2,
    /// Cut everything and exit.
    Quit = 3,
}

/// What the arbiter says of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum DoorPhase {
    /// Not to be accepted from: nobody can connect yet, or it is another worker's.
    Bound = 0,
    Open = 1,
    Draining = 2,
    /// No new handshakes; those on their way still come in.
    Gated = 3,
    /// Take what is left, then let go.
    Sweep = 4,
    Closed = 5,
}

pub(crate) struct Page {
    stage: AtomicU8,
    workers: AtomicU16,
    deadline: AtomicU64,
    new_logs: AtomicU64,
    doors: [DoorCell; MAX_LISTENERS],

    ready: AtomicBool,
    beat: AtomicU64,
    accepted: AtomicU64,
    requests: AtomicU64,
    in_flight: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    counters: [AtomicU64; MAX_COUNTERS],
    gauges: [AtomicU64; MAX_GAUGES],
    hand: Hand,
}

#[derive(Default)]
struct DoorCell {
    phase: AtomicU8,
    swept: AtomicBool,
    arrivals: AtomicU64,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            stage: AtomicU8::default(),
            workers: AtomicU16::default(),
            deadline: AtomicU64::default(),
            new_logs: AtomicU64::default(),
            doors: std::array::from_fn(|_| DoorCell::default()),
            ready: AtomicBool::default(),
            beat: AtomicU64::default(),
            accepted: AtomicU64::default(),
            requests: AtomicU64::default(),
            in_flight: AtomicU64::default(),
            outcomes: std::array::from_fn(|_| AtomicU64::default()),
            counters: std::array::from_fn(|_| AtomicU64::default()),
            gauges: std::array::from_fn(|_| AtomicU64::default()),
            hand: Hand::default(),
        }
    }
}

const _: () = assert!(size_of::<Page>() <= 4096, "a page of the scoreboard is one page of memory");

// Relaxed would do for the counters; Release and Acquire where one value vouches for another.
impl Page {
    /// Makes it as new, for the next worker.
    pub(crate) fn reset(&self) {
        let fresh = Self::default();
        self.stage.store(0, Ordering::Relaxed);
        self.workers.store(0, Ordering::Relaxed);
        self.deadline.store(0, Ordering::Relaxed);
        self.new_logs.store(0, Ordering::Relaxed);
        for (door, new) in self.doors.iter().zip(fresh.doors) {
            door.phase.store(new.phase.into_inner(), Ordering::Relaxed);
            door.swept.store(false, Ordering::Relaxed);
            door.arrivals.store(0, Ordering::Relaxed);
        }
        self.ready.store(false, Ordering::Relaxed);
        let numbers = [&self.beat, &self.accepted, &self.requests, &self.in_flight].into_iter();
        for number in numbers.chain(&self.outcomes).chain(&self.counters).chain(&self.gauges) {
            number.store(0, Ordering::Relaxed);
        }
        self.hand.clear();
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Serve,
            1 => Stage::Drain,
            2 => Stage::Leave,
            _ => Stage::Quit,
        }
    }

    /// A worker's stage only ever rises.
    pub(crate) fn raise_stage(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::Release);
    }

    pub(crate) fn door(&self, listener: ListenerId) -> DoorPhase {
        match self.doors[listener.index()].phase.load(Ordering::Acquire) {
            0 => DoorPhase::Bound,
            1 => DoorPhase::Open,
            2 => DoorPhase::Draining,
            3 => DoorPhase::Gated,
            4 => DoorPhase::Sweep,
            _ => DoorPhase::Closed,
        }
    }

    pub(crate) fn set_door(&self, listener: ListenerId, phase: DoorPhase) {
        self.doors[listener.index()].phase.store(phase as u8, Ordering::Release);
    }

    pub(crate) fn swept(&self, listener: ListenerId) -> bool {
        self.doors[listener.index()].swept.load(Ordering::Acquire)
    }

    pub(crate) fn set_swept(&self, listener: ListenerId) {
        self.doors[listener.index()].swept.store(true, Ordering::Release);
    }

    pub(crate) fn deadline(&self, clock: Clock) -> Option<Instant> {
        match self.deadline.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(clock.at(nanos)),
        }
    }

    pub(crate) fn set_deadline(&self, clock: Clock, deadline: Instant) {
        self.deadline.store(clock.nanos(deadline).max(1), Ordering::Release);
    }

    pub(crate) fn workers(&self) -> u16 {
        self.workers.load(Ordering::Relaxed)
    }

    pub(crate) fn set_workers(&self, workers: u16) {
        self.workers.store(workers, Ordering::Relaxed);
    }

    /// How often the log files were to be opened anew.
    pub(crate) fn new_logs(&self) -> u64 {
        self.new_logs.load(Ordering::Acquire)
    }

    pub(crate) fn ask_for_new_logs(&self) {
        self.new_logs.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    pub(crate) fn beat(&self, clock: Clock, now: Instant) {
        self.beat.store(clock.nanos(now), Ordering::Relaxed);
    }

    pub(crate) fn last_beat(&self, clock: Clock) -> Instant {
        clock.at(self.beat.load(Ordering::Relaxed))
    }

    pub(crate) fn set_in_flight(&self, in_flight: usize) {
        self.in_flight.store(in_flight as u64, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_outcome(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Release);
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn count_arrival(&self, listener: ListenerId) {
        self.doors[listener.index()].arrivals.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn arrivals(&self, listener: ListenerId) -> u64 {
        self.doors[listener.index()].arrivals.load(Ordering::Relaxed)
    }

    /// The counters as they stand. The endings are read before the accepts, so that no more can have ended than began.
    pub(crate) fn counts(&self) -> Counts {
        let outcomes = std::array::from_fn(|index| self.outcomes[index].load(Ordering::Acquire));
        Counts {
            outcomes,
            accepted: self.accepted.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn count(&self, counter: usize, by: u64) {
        self.counters[counter].fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn set_gauge(&self, gauge: usize, value: u64) {
        self.gauges[gauge].store(value, Ordering::Relaxed);
    }

    pub(crate) fn add_counters(&self, sums: &mut [u64; MAX_COUNTERS]) {
        sums.iter_mut().zip(&self.counters).for_each(|(sum, counter)| *sum += counter.load(Ordering::Relaxed));
    }

    pub(crate) fn add_gauges(&self, sums: &mut [u64; MAX_GAUGES]) {
        sums.iter_mut().zip(&self.gauges).for_each(|(sum, gauge)| *sum += gauge.load(Ordering::Relaxed));
    }

    pub(crate) const fn hand(&self) -> &Hand {
        &self.hand
    }
}

/// What a worker has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) requests: u64,
    pub(crate) outcomes: [u64; Outcome::ALL.len()],
}

impl Counts {
    pub(crate) fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// Connections accepted that have not ended yet.
    pub(crate) fn open(&self) -> u64 {
        self.accepted - self.outcomes.iter().sum::<u64>()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.requests += other.requests;
        for (mine, theirs) in self.outcomes.iter_mut().zip(other.outcomes) {
            *mine += theirs;
        }
    }

    /// Puts what is still open down as aborted: its worker is gone.
    pub(crate) fn abort_open(&mut self) -> u64 {
        let open = self.open();
        self.outcomes[Outcome::Aborted as usize] += open;
        open
    }
}

/// The request in hand: the beginning of its first line, kept where it outlives the process.
#[derive(Default)]
pub(crate) struct Hand {
    since: AtomicU64,
    length: AtomicU16,
    words: [AtomicU64; Self::BYTES / 8],
}

impl Hand {
    const BYTES: usize = 128;

    pub(crate) fn hold(&self, clock: Clock, now: Instant, label: &[u8]) {
        let label = &label[..label.len().min(Self::BYTES)];
        let (whole, rest) = label.as_chunks();
        for (word, bytes) in self.words.iter().zip(whole) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        if let Some(word) = self.words.get(whole.len()) {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
        }
        self.since.store(clock.nanos(now), Ordering::Relaxed);
        self.length.store(label.len() as u16, Ordering::Release);
    }

    pub(crate) fn clear(&self) {
        self.length.store(0, Ordering::Release);
    }

    /// The label and when it was taken up, if a request is in hand.
    pub(crate) fn look(&self, clock: Clock) -> Option<(String, Instant)> {
        let length = usize::from(self.length.load(Ordering::Acquire));
        if length == 0 {
            return None;
        }
        let bytes: Vec<u8> =
            self.words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).take(length).collect();
        Some((String::from_utf8_lossy(&bytes).into_owned(), clock.at(self.since.load(Ordering::Relaxed))))
    }
}

/// Turns instants into numbers that mean the same in every process forked from this one (`CLOCK_MONOTONIC`).
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) const fn new(epoch: Instant) -> Self {
        Self { epoch }
    }

    fn nanos(self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    fn at(self, nanos: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_can_be_read_and_is_cut_to_size() {
        let (page, now) = (Page::default(), Instant::now());
        let clock = Clock::new(now);
        assert_eq!(page.hand().look(clock), None);
        page.hand().hold(clock, now, b"GET /slow HTTP/1.1");
        assert_eq!(page.hand().look(clock), Some(("GET /slow HTTP/1.1".into(), now)));
        page.hand().hold(clock, now, &[b'x'; 500]);
        assert_eq!(page.hand().look(clock).unwrap().0.len(), Hand::BYTES);
        page.hand().clear();
        assert_eq!(page.hand().look(clock), None);
    }

    #[test]
    fn a_worker_that_dies_leaves_its_open_connections_as_aborted() {
        let page = Page::default();
        for _ in 0..3 {
            page.count_accepted();
        }
        page.count_outcome(Outcome::Answered);
        let mut counts = page.counts();
        assert_eq!(counts.open(), 2);
        assert_eq!(counts.abort_open(), 2);
        assert_eq!((counts.open(), counts.outcome(Outcome::Aborted)), (0, 2));
    }

    #[test]
    fn a_stage_never_falls_and_a_reset_page_is_as_new() {
        let page = Page::default();
        page.raise_stage(Stage::Leave);
        page.raise_stage(Stage::Drain);
        assert_eq!(page.stage(), Stage::Leave);
        page.set_swept(ListenerId(0));
        page.count_accepted();
        page.reset();
        assert_eq!((page.stage(), page.swept(ListenerId(0)), page.counts()), (Stage::Serve, false, Counts::default()));
    }
}

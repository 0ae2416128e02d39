use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What the event loop and the threads have in common: jobs on their way to the threads, and back when they are done; and
/// who is woken when. The time is a parameter, and nobody is woken here.
///
/// To wake a thread for each job costs more than a quick app does. So while the app is quick, one thread runs the jobs one
/// after the other, and another is woken only when a job has waited for a while; and what is done goes back in batches.
/// Once a job has taken long, each gets a thread at once.
#[derive(Debug)]
pub(crate) struct Queue<J, D> {
    threads: usize,
    waiting: VecDeque<(Instant, J)>,
    done: Vec<D>,
    /// When the first of those was done.
    done_since: Instant,
    /// Threads that have been woken and do not sleep yet.
    awake: usize,
    /// A thread waits for the next job where it is woken most cheaply.
    lingers: Option<Place>,
    next_place: Place,
    /// Those of them that are in a job.
    busy: usize,
    last_take: Instant,
    /// A job that is not over has got on.
    last_progress: Instant,
    /// Those of the busy threads that wait for a client.
    waiting_for_clients: usize,
    /// No thread is to be woken before then.
    again: Instant,
    /// For how many more jobs the app counts as slow.
    wary: u8,
    /// What a job has taken of late, on average.
    typical: Duration,
    /// Where the loop is to be woken when something is done.
    waiting_loop: Option<LoopWait>,
}

/// Where the loop waits for what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoopWait {
    /// At the queue, where nothing else wakes it.
    Here,
    /// Where it waits for everything.
    Poll,
}

/// Where a thread lingers: another time, another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u64);

/// Whom to wake.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wake {
    /// The thread that lingers.
    pub(crate) lingering: bool,
    /// So many of the others.
    pub(crate) sleeping: usize,
}

/// Longer than this is not quick.
const PATIENCE: Duration = Duration::from_millis(1);

/// At first, and after a job that took longer, so many must be quicker before the app is trusted to be quick.
const WARY: u8 = 64;

/// While a job takes no longer than this, to be woken for a newcomer costs the loop more than the newcomer gains.
const PROMPT: Duration = Duration::from_micros(5);

/// So many that are done are a batch.
const BATCH: usize = 32;

impl<J, D> Queue<J, D> {
    pub(crate) fn new(threads: usize, now: Instant) -> Self {
        Self {
            threads,
            waiting: VecDeque::new(),
            done: Vec::new(),
            done_since: now,
            awake: 0,
            lingers: None,
            next_place: Place(0),
            busy: 0,
            last_take: now,
            last_progress: now,
            waiting_for_clients: 0,
            again: now,
            wary: WARY,
            typical: PATIENCE,
            waiting_loop: None,
        }
    }

    /// The loop hands jobs in.
    pub(crate) fn push(&mut self, now: Instant, jobs: impl IntoIterator<Item = J>) {
        self.waiting.extend(jobs.into_iter().map(|job| (now, job)));
    }

    /// Which threads to wake now. They count as awake from here on.
    pub(crate) fn wake_threads(&mut self, now: Instant) -> Wake {
        if self.busy > 0 && now >= self.last_take + PATIENCE {
            self.wary = WARY;
        }
        let wanted = match self.waiting.front() {
            None => 0,
            Some(_) if self.app_is_slow() => self.busy + self.waiting.len(),
            Some((since, _)) if now >= *since + PATIENCE => self.awake + 1,
            Some(_) => 1,
        };
        let wanted = if now < self.again { 0 } else { wanted.min(self.threads) };
        let more = wanted.saturating_sub(self.awake);
        self.awake += more;
        let lingering = more > 0 && self.lingers.take().is_some();
        Wake { lingering, sleeping: more - usize::from(lingering) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the loop should wait here first, for a batch that is done almost at once. It is woken when it is.
    pub(crate) fn wait_here(&mut self) -> bool {
        let soon = self.done.is_empty() && !self.waiting.is_empty() && self.typical <= PROMPT && !self.app_is_slow();
        self.waiting_loop = soon.then_some(LoopWait::Here);
        soon
    }

    /// Whether the loop, which waits here, has not been woken yet.
    pub(crate) fn loop_waits_here(&self) -> bool {
        self.waiting_loop == Some(LoopWait::Here)
    }

    /// The loop is going to wait: for how long at most. It is woken before that when something is done.
    pub(crate) fn wait(&mut self) -> Duration {
        self.waiting_loop = self.done.is_empty().then_some(LoopWait::Poll);
        let jobs = self.busy + self.waiting.len();
        if self.waiting_loop.is_none() {
            Duration::ZERO
        } else if jobs == 0 || (self.app_is_slow() && self.awake >= jobs.min(self.threads)) {
            Duration::MAX
        } else {
            PATIENCE
        }
    }

    /// The loop takes what is done, in exchange for an empty vector.
    pub(crate) fn collect(&mut self, done: &mut Vec<D>) {
        self.waiting_loop = None;
        std::mem::swap(&mut self.done, done);
    }

    /// A thread takes the next job.
    pub(crate) fn take(&mut self, now: Instant) -> Option<J> {
        let (_, job) = self.waiting.pop_front()?;
        self.busy += 1;
        self.last_take = now;
        Some(job)
    }

    /// A thread brings a job back that it took then.
    pub(crate) fn bring(&mut self, took: Instant, now: Instant, done: D) {
        self.busy -= 1;
        self.wary = if now >= took + PATIENCE { WARY } else { self.wary.saturating_sub(1) };
        self.typical = (7 * self.typical + (now - took)) / 8;
        self.put_down(now, done);
    }

    /// A thread brings something, and goes on with its job.
    pub(crate) fn bring_some(&mut self, now: Instant, done: D) {
        self.last_progress = now;
        self.put_down(now, done);
    }

    fn put_down(&mut self, now: Instant, done: D) {
        if self.done.is_empty() {
            self.done_since = now;
        }
        self.done.push(done);
    }

    /// A thread is going to wait for a client, in its job.
    pub(crate) fn begin_wait(&mut self) {
        self.waiting_for_clients += 1;
    }

    /// It has waited.
    pub(crate) fn end_wait(&mut self, now: Instant) {
        self.waiting_for_clients -= 1;
        self.last_progress = now;
    }

    /// A thread goes to sleep. If it leaves a job behind the loop must be told.
    pub(crate) fn sleep(&mut self) {
        self.awake -= 1;
    }

    /// A thread was woken that could not take anything. Another is to be woken, but not at once: it might be the same one.
    pub(crate) fn refuse(&mut self, now: Instant) {
        self.awake -= 1;
        self.again = now + PATIENCE;
    }

    /// A thread for which there was no job lingers, if it may.
    pub(crate) fn linger(&mut self) -> Option<Place> {
        if !self.waiting.is_empty() || self.lingers.is_some() {
            return None;
        }
        self.awake -= 1;
        self.lingers = Some(self.next_place);
        self.next_place.0 += 1;
        self.lingers
    }

    /// Whether the thread that lingers there has not been woken yet.
    pub(crate) fn lingers(&self, place: Place) -> bool {
        self.lingers == Some(place)
    }

    /// It goes to sleep, unless it has been woken; whether it has.
    pub(crate) fn stop_lingering(&mut self, place: Place) -> bool {
        let woken = !self.lingers(place);
        if !woken {
            self.lingers = None;
        }
        woken
    }

    /// Where the loop is to be woken now, after a job: it does not wait any more then. `last`: none follows at once.
    pub(crate) fn wake_loop(&mut self, now: Instant, last: bool) -> Option<LoopWait> {
        let due = last || self.app_is_slow() || self.done.len() >= BATCH || now >= self.done_since + PATIENCE;
        if due && !self.done.is_empty() { self.waiting_loop.take() } else { None }
    }

    /// Since when no thread was free for a job, and none has taken one.
    pub(crate) fn stuck_since(&self) -> Option<Instant> {
        if self.waiting_for_clients > 0 {
            return None;
        }
        if self.busy == self.threads {
            return Some(self.last_take.max(self.last_progress));
        }
        // A thread that does something for another one's job, as rayon has it, is not in a job of its own.
        let (waits_since, _) = self.waiting.front().filter(|_| self.awake == self.threads)?;
        Some(self.last_take.max(*waits_since))
    }

    const fn app_is_slow(&self) -> bool {
        self.wary > 0
    }
}

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use rserve_arbiter::Host;

use crate::queue::{LoopWait, Queue};

/// Threads that run jobs, while their owner waits for something else.
///
/// They are a rayon pool, so that an app which uses rayon has its parallel work done by them. But a job of ours is not a
/// job of rayon's: one of rayon's, a *shift*, runs ours until there are none. One shift lingers for a while when there are
/// none, since a thread of rayon's that has nothing to do looks for work for several microseconds before it sleeps.
pub(crate) struct Pool<J, D> {
    threads: ThreadPool,
    shared: Arc<Shared<J, D>>,
}

/// What a job can do on its thread beside its work.
pub(crate) trait Thread<D> {
    /// Hands something to the owner, while the job goes on.
    fn bring(&self, done: D);

    /// The host that the thread is inside of.
    fn host(&self) -> Option<&'static dyn Host>;

    /// Runs `wait`, which waits for a client.
    fn wait_for_client(&self, wait: &mut dyn FnMut());
}

type Run<J, D> = dyn Fn(J, &dyn Thread<D>) -> D + Send + Sync;

struct Shared<J, D> {
    queue: Mutex<Queue<J, D>>,
    linger: Condvar,
    /// Where the owner waits for a batch.
    batch: Condvar,
    host: Option<&'static dyn Host>,
    run: Box<Run<J, D>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// What the main thread has by default: an app should not end where it does not in another class. It costs memory only as
/// far as it is used.
const STACK: usize = 8 << 20;

/// A thread belongs to rayon again after this long, for what the app has given rayon to do; but where a host runs the app,
/// which knows nothing of rayon.
const SHIFT: Duration = Duration::from_millis(20);

/// The owner waits for a batch no longer than this: then it looks at what else has happened.
const FOR_BATCH: Duration = Duration::from_micros(100);

impl<J: Send + 'static, D: Send + 'static> Pool<J, D> {
    /// Starts the threads. `run` is called on them and must not panic; `wake` ends the owner's wait.
    pub(crate) fn new(
        threads: usize,
        host: Option<&'static dyn Host>,
        run: impl Fn(J, &dyn Thread<D>) -> D + Send + Sync + 'static,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, ThreadPoolBuildError> {
        let queue = Mutex::new(Queue::new(threads, Instant::now()));
        let shared = Arc::new(Shared {
            queue,
            linger: Condvar::new(),
            batch: Condvar::new(),
            host,
            run: Box::new(run),
            wake: Box::new(wake),
        });
        let threads = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("app {index}"))
            .stack_size(STACK)
            .build()?;
        Ok(Self { threads, shared })
    }

    /// Hands jobs in, and says how long the owner may wait at most before it calls this again, with or without new ones.
    /// Jobs that are done almost at once are waited for.
    pub(crate) fn submit(&self, now: Instant, jobs: &mut Vec<J>) -> Duration {
        let mut queue = self.shared.lock();
        queue.push(now, jobs.drain(..));
        let wake = queue.wake_threads(now);
        let wait = if queue.wait_here() { None } else { Some(queue.wait()) };
        drop(queue);
        if wake.lingering {
            // Another may have begun to linger where the one that is meant has not left yet.
            self.shared.linger.notify_all();
        }
        for _ in 0..wake.sleeping {
            let shared = Arc::clone(&self.shared);
            self.threads.spawn(move || match shared.host {
                Some(host) => host.inside(&mut || shared.shift()),
                None => shared.shift(),
            });
        }
        wait.unwrap_or_else(|| self.shared.wait_for_batch())
    }

    /// Takes what is done, in exchange for an empty vector.
    pub(crate) fn collect(&self, done: &mut Vec<D>) {
        self.shared.lock().collect(done);
    }

    /// Since when no thread was free for a job, and none has taken one.
    pub(crate) fn stuck_since(&self) -> Option<Instant> {
        self.shared.lock().stuck_since()
    }
}

impl<J, D> Shared<J, D> {
    /// On a thread of the pool: runs jobs.
    fn shift(&self) {
        thread_local! {
            static IN_JOB: Cell<bool> = const { Cell::new(false) };
        }
        if IN_JOB.get() {
            // The app waits for parallel work of its own here, and rayon gave its thread this to do meanwhile. The job that
            // waits would have to wait for others, with the locks that it may hold.
            self.lock().refuse(Instant::now());
            return (self.wake)();
        }
        let mut now = Instant::now();
        let until = self.host.is_none().then(|| now + SHIFT);
        let mut done = None;
        loop {
            let mut queue = self.lock();
            if let Some((took, done)) = done.take() {
                queue.bring(took, now, done);
            }
            let job = if until.is_none_or(|until| now < until) { queue.take(now) } else { None };
            let wake = queue.wake_loop(now, job.is_none());
            drop(queue);
            self.wake(wake);
            let Some(job) = job else {
                // Nothing is locked when the host is let go of and taken again: whoever has it may wait for the lock.
                let mut stays = false;
                self.wait(&mut || stays = self.linger(until.map(|until| until.saturating_duration_since(now))));
                if !stays {
                    return;
                }
                now = Instant::now();
                continue;
            };
            let took = now;
            IN_JOB.set(true);
            done = Some((took, (self.run)(job, self)));
            IN_JOB.set(false);
            now = Instant::now();
        }
    }

    /// On the owner's thread: waits until a batch is done, and says how long to wait for more.
    fn wait_for_batch(&self) -> Duration {
        let waited = self.batch.wait_timeout_while(self.lock(), FOR_BATCH, |queue| queue.loop_waits_here());
        waited.unwrap_or_else(PoisonError::into_inner).0.wait()
    }

    /// Wakes the owner where it waits.
    fn wake(&self, at: Option<LoopWait>) {
        match at {
            Some(LoopWait::Here) => self.batch.notify_one(),
            Some(LoopWait::Poll) => (self.wake)(),
            None => {}
        }
    }

    /// Waits with the host let go of.
    fn wait(&self, wait: &mut dyn FnMut()) {
        match self.host {
            Some(host) => host.wait(wait),
            None => wait(),
        }
    }

    /// Waits for the next job; false if the shift is over.
    fn linger(&self, most: Option<Duration>) -> bool {
        let mut queue = self.lock();
        if most == Some(Duration::ZERO) {
            queue.sleep();
            let leaves_jobs = !queue.is_empty();
            drop(queue);
            if leaves_jobs {
                (self.wake)();
            }
            return false;
        }
        let Some(place) = queue.linger() else {
            let stays = !queue.is_empty();
            if !stays {
                queue.sleep();
            }
            return stays;
        };
        let mut queue = match most {
            Some(most) => {
                let waited = self.linger.wait_timeout_while(queue, most, |queue| queue.lingers(place));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.linger.wait_while(queue, |queue| queue.lingers(place));
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        };
        queue.stop_lingering(place)
    }

    fn lock(&self) -> MutexGuard<'_, Queue<J, D>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J, D> Thread<D> for Shared<J, D> {
    fn bring(&self, done: D) {
        let (mut queue, now) = (self.lock(), Instant::now());
        queue.bring_some(now, done);
        let wake = queue.wake_loop(now, true);
        drop(queue);
        self.wake(wake);
    }

    fn host(&self) -> Option<&'static dyn Host> {
        self.host
    }

    fn wait_for_client(&self, wait: &mut dyn FnMut()) {
        self.lock().begin_wait();
        self.wait(wait);
        self.lock().end_wait(Instant::now());
    }
}

#[cfg(test)]
mod tests;

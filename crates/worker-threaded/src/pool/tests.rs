use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Barrier, Mutex};
use std::thread;

use super::*;

const LONG: Duration = Duration::from_secs(10);

/// An owner that hands jobs in and waits for them, as the worker does.
struct Owner<J, D> {
    pool: Pool<J, D>,
    woken: Receiver<()>,
}

impl<J: Send + 'static, D: Send + 'static> Owner<J, D> {
    fn new(threads: usize, run: impl Fn(J) -> D + Send + Sync + 'static) -> Self {
        let (wake, woken) = channel();
        let wake = Mutex::new(wake);
        let pool = Pool::new(
            threads,
            None,
            move |job, _: &_| run(job),
            move || wake.lock().unwrap().send(()).unwrap_or_default(),
        )
        .unwrap();
        Self { pool, woken }
    }

    /// Until as many are done.
    fn run(&self, mut jobs: Vec<J>) -> Vec<D> {
        let (wanted, began) = (jobs.len(), Instant::now());
        let (mut all, mut done) = (Vec::new(), Vec::new());
        while all.len() < wanted {
            assert!(began.elapsed() < LONG, "{} of {wanted} jobs are done", all.len());
            let wait = self.pool.submit(Instant::now(), &mut jobs);
            let _ = self.woken.recv_timeout(wait.min(LONG));
            self.pool.collect(&mut done);
            all.append(&mut done);
        }
        all
    }
}

#[test]
fn all_jobs_are_run_whatever_their_number() {
    let owner = Owner::new(3, |job: u32| job * 2);
    for number in [1, 2, 100, 10_000, 1] {
        let mut done = owner.run((0..number).collect());
        done.sort_unstable();
        assert_eq!(done, (0..number).map(|job| job * 2).collect::<Vec<_>>());
    }
}

/// None of them ends before all have begun.
#[test]
fn as_many_block_at_once_as_there_are_threads() {
    const THREADS: usize = 16;
    let barrier = Barrier::new(THREADS);
    let owner = Owner::new(THREADS, move |blocks: bool| {
        if blocks {
            barrier.wait();
        }
    });
    for quick in [0, 1000] {
        owner.run(vec![false; quick]);
        owner.run(vec![true; THREADS]);
    }
}

#[test]
fn quick_jobs_are_done_by_few_threads() {
    let owner = Owner::new(8, |_: u32| thread::current().id());
    owner.run((0..1000).collect());
    let threads: HashSet<_> = owner.run((0..50).collect()).into_iter().collect();
    assert!(threads.len() <= 2, "{threads:?}");
}

#[test]
fn it_says_that_it_is_stuck_while_all_threads_are() {
    let barrier = Arc::new(Barrier::new(3));
    let owner = Owner::new(2, {
        let barrier = Arc::clone(&barrier);
        move |()| {
            barrier.wait();
            barrier.wait();
        }
    });
    owner.pool.submit(Instant::now(), &mut vec![(), ()]);
    barrier.wait();
    let since = owner.pool.stuck_since().unwrap();
    assert!(since <= Instant::now());
    assert_eq!(owner.pool.stuck_since(), Some(since));
    barrier.wait();
    let began = Instant::now();
    while owner.pool.stuck_since().is_some() {
        assert!(began.elapsed() < LONG);
        thread::yield_now();
    }
}

/// Rayon gives a thread that waits for a part of its job whatever there is to do. If that were another of our jobs, it
/// would ask for the lock that its own thread holds.
#[test]
fn a_job_that_works_in_parallel_is_not_interrupted_by_another() {
    let lock = Mutex::new(());
    let owner = Owner::new(2, move |job: u32| {
        let _held = lock.lock().unwrap();
        let (a, b) = rayon::join(|| work(job), || work(job));
        a + b
    });
    for _ in 0..20 {
        assert_eq!(owner.run((0..20).collect()).len(), 20);
    }
}

/// What the app leaves to rayon is done even while the only thread is never without a job.
#[test]
fn what_a_job_has_spawned_is_done_while_others_wait() {
    let spawned = Arc::new(AtomicBool::new(false));
    let owner = Owner::new(1, move |job: u32| {
        if job == 0 {
            let spawned = Arc::clone(&spawned);
            rayon::spawn(move || spawned.store(true, Ordering::Relaxed));
        }
        thread::sleep(Duration::from_millis(1)); // the load: together they take several times as long as a shift
        spawned.load(Ordering::Relaxed)
    });
    assert!(owner.run((0..100).collect()).contains(&true));
}

fn work(job: u32) -> u32 {
    thread::sleep(Duration::from_micros(200)); // long enough for the other half to be taken by another thread
    job
}

use std::io;
use std::time::Duration;

use rserve_arbiter::{BootError, Built, Context, Drain, Host, Worker, WorkerClass};
use rserve_event_loop::{Done, EventLoop, Hand, Job, Site, quiet_app_panics};
use tracing::warn;

use crate::in_hand::InHand;
use crate::pool::{Pool, Thread};

/// The class, for the registry.
///
/// ```
/// assert_eq!(rserve_worker_threaded::CLASS.name, "threaded");
/// ```
pub const CLASS: WorkerClass<Site> =
    WorkerClass { name: "threaded", summary: "as many at a time in each process as --threads says", build };

/// After this long in one step the heart is to beat, though there is more to do.
const STEP: Duration = Duration::from_millis(20);

/// So many requests may wait for a thread where the threads find them: what a quick thread does in the time that it takes
/// to wake the loop.
const QUEUE: usize = 64;

/// So many requests that are cut get a line of their own.
const NAMED: usize = 100;

struct ThreadedWorker {
    events: EventLoop,
    pool: Pool<(u64, Job), Brought>,
    in_hand: InHand,
    /// The number of the request that the arbiter knows.
    named: Option<u64>,
    /// How long to wait at most.
    wait: Duration,
    jobs: Vec<(u64, Job)>,
    done: Vec<Brought>,
}

/// Something for the loop; the number of its job, if that is over.
type Brought = (Option<u64>, Done);

struct OnThread<'a>(&'a dyn Thread<Brought>);

impl Hand for OnThread<'_> {
    fn bring(&self, done: Done) {
        self.0.bring((None, done));
    }

    fn is_bound(&self) -> bool {
        self.0.host().is_some_and(Host::is_busy)
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        self.0.wait_for_client(wait);
    }
}

fn build(site: &Site, cx: &mut Context) -> Built {
    let app = site.blocking_app("threaded")?;
    quiet_app_panics();
    let events = EventLoop::with_hands(cx, site.http.clone(), site.threads, QUEUE)?;
    let waker = events.waker()?;
    let pool = Pool::new(
        site.threads,
        cx.leave_host(),
        move |(number, job): (_, Job), thread| (Some(number), job.run(&*app, &OnThread(thread))),
        move || waker.wake(),
    )
    .map_err(|error| BootError::worker(format!("{} threads cannot be started: {error}", site.threads)))?;
    Ok(Box::new(ThreadedWorker {
        events,
        pool,
        in_hand: InHand::default(),
        named: None,
        wait: Duration::MAX,
        jobs: Vec::new(),
        done: Vec::new(),
    }))
}

impl ThreadedWorker {
    /// Waits once, and does what there is to do then; false if the step is to return.
    fn pass(&mut self, cx: &mut Context) -> io::Result<bool> {
        let go_on = self.events.poll_for(cx, self.wait)?;
        self.collect(cx)?;
        while let Some(job) = self.events.next_job(cx)? {
            let number = self.in_hand.add(self.events.now(), job.line());
            self.jobs.push((number, job));
        }
        self.wait = self.pool.submit(self.events.now(), &mut self.jobs);
        if self.wait.is_zero() {
            // Sent now rather than after the next look: their clients' next requests are then part of the next batch.
            self.collect(cx)?;
            self.wait = self.pool.submit(self.events.now(), &mut self.jobs);
        }
        self.name_the_oldest(cx);
        Ok(go_on)
    }

    /// Takes what the pool has done.
    fn collect(&mut self, cx: &mut Context) -> io::Result<()> {
        self.pool.collect(&mut self.done);
        for (number, done) in self.done.drain(..) {
            if let Some(number) = number {
                self.in_hand.remove(number);
            }
            self.events.finish(cx, done)?;
        }
        Ok(())
    }

    /// Tells the arbiter what to name if this worker has to be killed.
    fn name_the_oldest(&mut self, cx: &Context) {
        let oldest = self.in_hand.oldest();
        let number = oldest.map(|(number, ..)| number);
        if number != self.named {
            self.named = number;
            match oldest {
                Some((_, since, line)) => cx.begin_request(since, line),
                None => cx.end_request(),
            }
        }
    }

    /// The arbiter could name one of them, and only while this process is there.
    fn name_what_is_cut(&self, cx: &Context) {
        cx.end_request();
        let mut in_hand = self.in_hand.iter();
        for (since, line) in in_hand.by_ref().take(NAMED) {
            let (seconds, request) = (since.elapsed().as_secs_f64(), String::from_utf8_lossy(line));
            warn!(%request, "cut after {seconds:.1} s: \"{}\"", request.escape_debug());
        }
        let others = in_hand.count();
        if others > 0 {
            warn!("{others} more requests were cut");
        }
    }
}

impl Worker for ThreadedWorker {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        let until = self.events.now() + STEP;
        while self.pass(cx)? && self.events.now() < until {}
        cx.set_stuck_since(self.pool.stuck_since());
        self.events.flush()
    }

    fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
        self.serve_step(cx)?;
        Ok(match self.events.len() {
            0 => Drain::Done,
            in_flight => Drain::Pending { in_flight },
        })
    }

    /// Does not wait for the threads: the process ends while they are in the app.
    fn handle_quit(&mut self, cx: &mut Context) {
        self.name_what_is_cut(cx);
        self.events.quit();
    }
}

//! The harness around a worker, in its own process: the loop, the heartbeat, the deadline, the doors.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use crate::control;
use crate::page::{Clock, Page, Stage};
use crate::say::connections;
use crate::title::Title;
use crate::{Context, Drain, Exit, Outcome, Program, Worker};

/// A step blocks for at most this long, and for at most half the timeout.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// Builds the worker and serves until it is told to stop; returns the process's exit code.
pub(crate) fn run(
    page: &Page,
    clock: Clock,
    control: &UnixStream,
    title: &Title,
    cx: &mut Context,
    program: &mut dyn Program,
) -> u8 {
    let worker = match program.build(cx) {
        Ok(worker) => worker,
        Err(boot) => {
            error!("worker failed to boot: {boot}");
            return boot.exit().code();
        }
    };
    page.set_ready();
    title.show("serving");
    control::wake(control);
    let mut harness =
        Harness { page, clock, control, title, program, worker, finishing: false, said_enough: false, new_logs: 0 };
    let mut served = Ok(());
    match cx.host_outside() {
        Some(host) => host.outside(&mut || served = harness.serve(cx)),
        None => served = harness.serve(cx),
    }
    match served {
        Ok(()) => Exit::Ok.code(),
        Err(failed) => {
            error!("worker cannot go on: {failed}");
            Exit::Failed.code()
        }
    }
}

struct Harness<'a> {
    page: &'a Page,
    clock: Clock,
    control: &'a UnixStream,
    program: &'a mut dyn Program,
    title: &'a Title,
    worker: Box<dyn Worker>,
    finishing: bool,
    said_enough: bool,
    /// How often the log files were opened anew.
    new_logs: u64,
}

impl Harness<'_> {
    fn serve(&mut self, cx: &mut Context) -> io::Result<()> {
        loop {
            let now = now();
            self.page.beat(self.clock, cx.stuck_since().unwrap_or(now));
            if control::listen(self.control).is_none() {
                warn!("the arbiter is gone: leaving");
                self.quit(cx);
                return Ok(());
            }
            let stage = self.page.stage();
            let deadline = self.page.deadline(self.clock).filter(|_| stage != Stage::Serve);
            if stage == Stage::Quit || deadline.is_some_and(|deadline| deadline <= now) {
                self.quit(cx);
                return Ok(());
            }
            if stage != Stage::Serve && !self.finishing {
                self.finishing = true;
                self.title.show(if stage == Stage::Drain { "draining" } else { "leaving" });
                self.worker.handle_exit(cx);
            }
            let new_logs = self.page.new_logs();
            if new_logs != self.new_logs {
                self.new_logs = new_logs;
                self.program.reopen_logs();
            }
            cx.sweep_what_is_empty()?;
            // The worker may not accept from these any more. It lets go of them in this step, and then they close.
            let finished = cx.finished_doors();
            cx.set_wait_limit(if finished.is_empty() { wait_limit(cx, deadline, now) } else { Duration::ZERO });
            if self.step(cx)? == Next::Exit {
                return Ok(());
            }
            if !self.said_enough && cx.settings().max_requests.is_some_and(|most| self.page.requests() >= most) {
                self.said_enough = true;
                control::say_enough(self.control);
            }
            for listener in &finished {
                cx.close_door(*listener);
            }
            if !finished.is_empty() {
                control::wake(self.control);
            }
        }
    }

    /// Says what it costs. Those whose tickets the worker does not end are counted, and said, by the arbiter.
    fn quit(&mut self, cx: &mut Context) {
        let aborted = || self.page.counts().outcome(Outcome::Aborted);
        let before = aborted();
        self.worker.handle_quit(cx);
        let (pid, cut) = (std::process::id(), aborted() - before);
        if cut > 0 {
            warn!(pid, cut, "worker {pid} is cut with {} in hand", connections(cut));
        }
    }

    fn step(&mut self, cx: &mut Context) -> io::Result<Next> {
        if !self.finishing {
            self.worker.serve_step(cx)?;
            return Ok(Next::Step);
        }
        match self.worker.drain_step(cx)? {
            Drain::Pending { in_flight } => self.page.set_in_flight(in_flight),
            Drain::Done if cx.all_doors_closed() => return Ok(Next::Exit),
            Drain::Done => {
                self.page.set_in_flight(0);
                // A worker with nothing in hand is not done while somebody may still knock.
                if cx.wait_for_connection()?.is_some() {
                    self.worker.serve_step(cx)?;
                }
            }
        }
        Ok(Next::Step)
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Step,
    Exit,
}

fn wait_limit(cx: &Context, deadline: Option<Instant>, now: Instant) -> Duration {
    let half = cx.settings().timeout.map_or(LONGEST_STEP, |timeout| LONGEST_STEP.min(timeout / 2));
    deadline.map_or(half, |deadline| half.min(deadline.saturating_duration_since(now)))
}

#[expect(clippy::disallowed_methods, reason = "the harness is where a worker's steps get their time")]
fn now() -> Instant {
    Instant::now()
}

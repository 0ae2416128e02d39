use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rserve_arbiter::{BootError, Context, Drain, Worker, WorkerClass};
use rserve_event_loop::{Phase, Site, quiet_app_panics};
use rserve_http::App;
use tokio::runtime::{Builder, Runtime};

use crate::connection::Connection;
use crate::doors::Doors;
use crate::readiness::Readiness;
use crate::serve::serve;
use crate::shared::{BLOCKING, Shared};

/// The class, for the registry.
///
/// ```
/// assert_eq!(rserve_worker_async::CLASS.name, "async");
/// ```
pub const CLASS: WorkerClass<Site> =
    WorkerClass { name: "async", summary: "many requests at a time in each process, for async apps", build };

/// So many connections are taken before those in hand have their turn: siblings that were woken for them, too, get their
/// share.
const ACCEPTS: usize = 4;

struct AsyncWorker {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    doors: Doors,
    wake: Readiness,
    shared: Arc<Shared>,
}

fn build(site: &Site, cx: &mut Context) -> Result<Box<dyn Worker>, BootError> {
    quiet_app_panics();
    let runtime = runtime(site)?;
    let wake = {
        let _on = runtime.enter();
        Readiness::of(cx.wake_fd().try_clone_to_owned()?)?
    };
    let shared = Arc::new(Shared::new(site));
    Ok(Box::new(AsyncWorker { runtime: Some(runtime), doors: Doors::new(cx), wake, shared }))
}

fn runtime(site: &Site) -> io::Result<Runtime> {
    let mut builder = if site.threads > 1 { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.worker_threads(site.threads).enable_all();
    if let App::Blocking(_) = site.app {
        // As many again pull pieces of response bodies.
        builder.max_blocking_threads(2 * BLOCKING);
    }
    if site.http.watch.observer().is_some() {
        let watch = site.http.watch.clone();
        builder.on_thread_park(move || watch.flush());
    }
    builder.build()
}

impl Worker for AsyncWorker {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        self.shared.tell_whoever_watches();
        self.shared.follow_phase(cx);
        let Self { runtime, doors, wake, shared } = self;
        let runtime = runtime.as_ref().expect("invariant: it is there until it is dropped");
        runtime.block_on(step(doors, wake, shared, cx))?;
        shared.tell_whether_stuck(cx);
        shared.body_memory.tidy(Instant::now());
        Ok(())
    }

    fn handle_exit(&mut self, cx: &mut Context) {
        self.shared.follow_phase(cx);
    }

    fn handle_quit(&mut self, _: &mut Context) {
        self.shared.quit();
    }

    fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
        self.serve_step(cx)?;
        Ok(match self.shared.len() {
            0 => Drain::Done,
            in_flight => Drain::Pending { in_flight },
        })
    }
}

impl Drop for AsyncWorker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not its own drop, which waits for handlers that block.
            runtime.shutdown_background();
        }
        // Threads that are still in the app hold on to whoever watches.
        self.shared.settings.watch.flush();
    }
}

/// Waits and accepts for as long as the step may take; the connections are served by tasks beside it.
async fn step(doors: &mut Doors, wake: &Readiness, shared: &Arc<Shared>, cx: &mut Context) -> io::Result<()> {
    let mut end = Instant::now() + cx.wait_limit();
    if let Some(again) = doors.again() {
        end = end.min(again);
    }
    let mut end = pin!(tokio::time::sleep_until(end.into()));
    loop {
        doors.sync(cx, shared.has_room())?;
        // The harness wants to hear of it when there is nothing in hand and nobody to come.
        let leaving = matches!(shared.phase(), Phase::Leaving { .. });
        let mut changed = pin!(shared.changed.notified());
        changed.as_mut().enable();
        if leaving && shared.len() == 0 {
            // Those who have ended in this step are to be gone, too.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let event = poll_fn(|task| {
            if is_woken(wake, task) || end.as_mut().poll(task).is_ready() {
                return Poll::Ready(Event::End);
            }
            if doors.poll_knock(task).is_ready() {
                return Poll::Ready(Event::Knock);
            }
            changed.as_mut().poll(task).map(|()| Event::Changed)
        });
        match event.await {
            Event::End => return Ok(()),
            Event::Changed => {}
            Event::Knock => {
                for _ in 0..ACCEPTS {
                    if !shared.has_room() {
                        break;
                    }
                    let Some(accepted) = doors.accept(cx) else { break };
                    let connection = Connection::new(accepted, shared)?;
                    tokio::spawn(serve(connection));
                }
                doors.sync(cx, shared.has_room())?;
                if doors.again().is_some() {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

enum Event {
    End,
    Knock,
    Changed,
}

/// Whether the arbiter has something to say. The harness reads it, so what the runtime remembers of it may be out of date.
fn is_woken(wake: &Readiness, task: &mut task::Context<'_>) -> bool {
    while wake.poll_readable(task).is_ready() {
        let looked = wake.try_read(|| {
            let socket = wake.socket();
            let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::ZERO) == Ok(0) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if looked.is_ok() {
            return true;
        }
    }
    false
}

use std::io;

use crate::{BootError, Context};

/// A worker model: how one process serves.
///
/// A worker is *stepped*, not run. The arbiter's child harness owns the loop, the signals, the heartbeat, the
/// deadline and the counting; it calls one method at a time, always from the worker process's main thread:
///
/// | method | called | may block |
/// | --- | --- | --- |
/// | [`serve_step`](Self::serve_step) | again and again while serving | up to [`Context::wait_limit`] |
/// | [`handle_exit`](Self::handle_exit) | once, when the worker is to finish | no |
/// | [`drain_step`](Self::drain_step) | again and again after `handle_exit` | up to [`Context::wait_limit`] |
/// | [`handle_quit`](Self::handle_quit) | at most once; the process ends right after it | no |
///
/// Every step returns as soon as [`Context::wake_fd`] is readable, and in any case within
/// [`Context::wait_limit`]: returning is the heartbeat, unless the worker says that this means nothing
/// ([`Context::set_stuck_since`]). An `Err` from a step is logged and ends the process with
/// exit code 1; the arbiter starts another worker in its place.
///
/// Connections come from [`Context::accept`] and from nowhere else, so that each is counted; the
/// [`Ticket`](crate::Ticket) that comes with one says how it ended.
///
/// # Pitfall: the queue is not yours to leave
///
/// After `handle_exit` there may still be connections in the kernel's queue whose clients believe that they are
/// served. [`Drain::Done`] therefore means only "nothing in my hands": until the listeners are closed, the harness
/// waits on them in the worker's stead and calls `serve_step` when somebody knocks. A worker must go on accepting
/// there for as long as [`Context::may_accept`] says so, and need not know why.
///
/// # Example: a whole worker
///
/// One connection at a time, blocking, no HTTP: it sends back what it reads.
///
/// ```
/// use std::io::{self, Read, Write};
/// use rserve_arbiter::{Context, Drain, Outcome, Worker};
///
/// struct Echo;
///
/// impl Worker for Echo {
///     fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
///         let Some(listener) = cx.wait_for_connection()? else { return Ok(()) };
///         let Some(mut accepted) = cx.accept(listener)? else { return Ok(()) };
///         accepted.stream.set_nonblocking(false)?;
///         let mut bytes = [0; 1024];
///         let read = accepted.stream.read(&mut bytes)?;
///         accepted.ticket.request(false);
///         accepted.stream.write_all(&bytes[..read])?;
///         accepted.ticket.finish(Outcome::Answered);
///         Ok(())
///     }
///
///     fn drain_step(&mut self, _: &mut Context) -> io::Result<Drain> {
///         Ok(Drain::Done) // A connection never outlives serve_step, so there is nothing in hand here.
///     }
/// }
/// ```
pub trait Worker {
    /// Serves for at most one tick: waits, accepts, answers, returns.
    ///
    /// # Errors
    ///
    /// Only what this process cannot go on after: the harness logs it and ends the process with exit code 1.
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()>;

    /// Finish: from here on [`drain_step`](Self::drain_step) is called instead of `serve_step`. Must not block.
    ///
    /// With `--drain-on-term` the doors stay open for now; without it [`Context::may_accept`] is already false for
    /// every listener. Either way the worker asks the context and does not decide.
    fn handle_exit(&mut self, cx: &mut Context) {
        let _ = cx;
    }

    /// Cut: the process ends when this returns. Must not block; tickets still held count as aborted.
    fn handle_quit(&mut self, cx: &mut Context) {
        let _ = cx;
    }

    /// Serves on, as the context allows, and tells what is still in hand.
    ///
    /// # Errors
    ///
    /// As for [`serve_step`](Self::serve_step).
    fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain>;
}

/// What a worker that is finishing still has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// It holds this many connections or requests, and wants to be stepped on.
    Pending {
        /// How many, for the log; at least one.
        in_flight: usize,
    },
    /// Nothing in hand now. The harness ends the process once the listeners are closed too, and until then calls
    /// `serve_step` when somebody knocks.
    Done,
}

/// What comes of building a worker.
pub type Built = Result<Box<dyn Worker>, BootError>;

/// A kind of worker, by name: what `--worker-class` chooses from. `S` is what its workers serve.
///
/// ```
/// use rserve_arbiter::{BootError, Built, Context, WorkerClass};
///
/// fn build(_greeting: &String, _cx: &mut Context) -> Built {
///     Err(BootError::worker("this class is only an example"))
/// }
///
/// pub const CLASS: WorkerClass<String> =
///     WorkerClass { name: "greeter", summary: "greets whoever connects", build };
/// ```
pub struct WorkerClass<S: 'static> {
    /// What the user types.
    pub name: &'static str,
    /// One line for `--help`.
    pub summary: &'static str,
    /// Makes the worker, in its own process, after the fork.
    pub build: fn(&S, &mut Context) -> Built,
}

impl<S> Clone for WorkerClass<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for WorkerClass<S> {}

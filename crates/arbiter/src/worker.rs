use std::io;

use crate::{BootError, Context};

/// A worker model: how one process serves.
///
/// A worker is *stepped*, not run. The harness around it, in each worker process, owns the loop, the signals, the heartbeat,
/// the deadline and the counting. It calls one method at a time, always on the process's main thread, and looks at the
/// world between two calls:
///
/// | method | called | may block | an error |
/// | --- | --- | --- | --- |
/// | [`WorkerClass::build`] | once in each process, after the fork | until [`--timeout`](crate::Settings::timeout) | ends the process; before the server listens, the start as well |
/// | [`serve_step`](Self::serve_step) | again and again while serving; in a drain when somebody knocks and the worker was done | up to [`Context::wait_limit`] | ends the process |
/// | [`handle_exit`](Self::handle_exit) | once at most, when the worker is to finish | no | |
/// | [`drain_step`](Self::drain_step) | again and again after `handle_exit` | up to [`Context::wait_limit`] | ends the process |
/// | [`handle_quit`](Self::handle_quit) | once at most, with or without `handle_exit` before it; the process ends right after it | no | |
///
/// # The heartbeat
///
/// Returning from a step is the heartbeat. A worker that has not returned for `--timeout` is killed, named in the log
/// with the request that it held ([`Context::begin_request`]), and replaced. So every step returns within
/// [`Context::wait_limit`], and as soon as [`Context::wake_fd`] is readable: then there is an order to be heard.
/// [`Context::wait_for_connection`] keeps both rules for classes without an event loop of their own; a class with one
/// waits on the wake-up beside its sockets. What may block is the app, if steps run it: that a request which never ends is
/// found out is what the timeout is for. A class whose app runs elsewhere returns whatever becomes of it, and can say so
/// ([`Context::set_stuck_since`]).
///
/// # Connections
///
/// They come from [`Context::accept`] and from nowhere else, so that each is counted. With one comes its
/// [`Ticket`](crate::Ticket): [`Ticket::request`](crate::Ticket::request) counts a request, which holds the door open in a
/// drain, and [`Ticket::finish`](crate::Ticket::finish) says how the connection ended. Connection and ticket may go to
/// other threads; the context may not.
///
/// # Errors
///
/// An `Err` from a step is logged and ends the process with exit code 1, with all that it held; the arbiter starts
/// another. It is for what this *process* cannot go on after. That a client has hung up is not of that kind, nor that
/// there are no descriptors left for the next one, who can wait in the queue. A panic ends the process likewise.
///
/// # Pitfall: the queue is not yours to leave
///
/// When `handle_exit` is called there may be connections in the kernel's queue whose clients believe that they are served,
/// and in a drain there will be more of them. A worker that stops accepting then loses them all:
///
/// ```
/// # use std::io;
/// # use rserve_arbiter::{Context, Drain};
/// # struct Mine { leaving: bool, in_hand: usize }
/// # impl Mine {
/// fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
///     if self.leaving {
///         return Ok(()); // wrong: this is for the context to say
///     }
///     // …
/// #   Ok(())
/// }
/// # }
/// ```
///
/// Right is to accept for as long as [`Context::may_accept`] says so, and not to know why: mostly `drain_step` does what
/// `serve_step` does, and tells what is in hand. [`Drain::Done`] means no more than "nothing in my hands"; until the
/// listeners are closed, the harness waits on them in the worker's stead and calls `serve_step` when somebody knocks.
/// What is in hand includes connections that have not spoken yet: their first packet may have been lost on the way.
///
/// The crate `rserve-conformance` finds out whether a class that serves HTTP keeps all this.
///
/// # Example: a whole worker, and its server
///
/// ```no_run
#[doc = include_str!("../examples/echo.rs")]
/// ```
pub trait Worker {
    /// Serves for at most one tick: waits, accepts, answers, returns.
    ///
    /// # Errors
    ///
    /// Only what this process cannot go on after: the harness logs it and ends the process with exit code 1.
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()>;

    /// Finish: from here on [`drain_step`](Self::drain_step) is called in place of `serve_step`. Must not block.
    ///
    /// By default nothing: a worker that asks the context in each step has nothing to remember. With `--drain-on-term` the doors stay open for now; without it [`Context::may_accept`] is already false for
    /// every listener. Either way the worker asks the context and does not decide.
    fn handle_exit(&mut self, cx: &mut Context) {
        let _ = cx;
    }

    /// Cut: the process ends when this returns, and is killed if that takes longer than 200 milliseconds. Tickets that are
    /// still held count as aborted. By default nothing, which is right where nothing is left to be said.
    fn handle_quit(&mut self, cx: &mut Context) {
        let _ = cx;
    }

    /// Serves on, as the context allows, and tells what is still in hand: requests and connections, wherever they are.
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

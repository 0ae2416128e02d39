//! What the interpreter must hear of forks, waits and ends.
#![expect(unsafe_code, reason = "the calls of CPython's that PyO3 does not wrap")]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::ffi;
use pyo3::prelude::*;
use rserve::Host;

use crate::{body, closing, errors, loader};

/// The interpreter that this process runs in.
pub(crate) struct Interpreter;

/// A worker of several threads looks so often, and no more, for signals that have not interrupted a wait.
const LOOK_EVERY: Duration = Duration::from_millis(200);

thread_local! {
    static KEPT: Cell<bool> = const { Cell::new(false) };
    static LAST_LOOK: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What the main thread does outside.
struct Run<'a>(&'a mut dyn FnMut());

// SAFETY: it never goes to another thread; PyO3 asks for this to keep what belongs to an attached thread out.
unsafe impl Send for Run<'_> {}

impl Run<'_> {
    fn run(self) {
        (self.0)();
    }
}

static IN_WORKER: AtomicBool = AtomicBool::new(false);
/// This is no worker, but a child that its app has forked.
static HAS_LEFT: AtomicBool = AtomicBool::new(false);

impl Host for Interpreter {
    fn before_fork(&self) {
        // SAFETY: the main thread, which holds the GIL, is about to fork.
        unsafe { ffi::PyOS_BeforeFork() }
    }

    fn after_fork_in_parent(&self) {
        // SAFETY: comes after `before_fork`, in the same thread of the same process.
        unsafe { ffi::PyOS_AfterFork_Parent() }
    }

    fn after_fork_in_child(&self) {
        // SAFETY: comes after `before_fork`, in the only thread of the child.
        unsafe { ffi::PyOS_AfterFork_Child() }
        IN_WORKER.store(true, Ordering::Relaxed);
        call("enter_worker");
    }

    fn wait(&self, wait: &mut dyn FnMut()) {
        Python::attach(closing::close_all);
        // SAFETY: the thread holds the GIL: a host's methods are called on the main thread, and that runs inside of
        // `_native.main`. Between the two calls nothing touches Python.
        let state = unsafe { ffi::PyEval_SaveThread() };
        wait();
        // SAFETY: it is the state that the call above has detached from this thread.
        unsafe { ffi::PyEval_RestoreThread(state) };
        Python::attach(run_signal_handlers);
    }

    fn outside(&self, run: &mut dyn FnMut()) {
        let run = Run(run);
        Python::attach(|py| py.detach(|| run.run()));
    }

    fn has_waited(&self, interrupted: bool) {
        // Handlers run on the main thread alone. To enter for nothing each time would cost more than the wait.
        let due = || LAST_LOOK.get().is_none_or(|last| last.elapsed() >= LOOK_EVERY);
        if interrupted || due() {
            LAST_LOOK.set(Some(Instant::now()));
            Python::attach(run_signal_handlers);
        }
    }

    fn inside(&self, batch: &mut dyn FnMut()) {
        Python::attach(|_| {
            if !KEPT.replace(true) {
                // SAFETY: the thread is attached. It is never detached for good, so that what Python keeps for a thread
                // lives as long as the thread.
                unsafe { ffi::PyGILState_Ensure() };
            }
            batch();
        });
    }

    fn is_busy(&self) -> bool {
        body::is_unfinished()
    }

    fn exit(&self, code: u8) -> ! {
        Python::attach(closing::close_all);
        // Not Py_Exit: other threads may be in the app, and could not go on in an interpreter that is taken apart.
        call("finish");
        std::process::exit(i32::from(code))
    }
}

/// Whether nobody else has a reference to it.
pub(crate) fn is_ours_alone<T>(object: &Bound<'_, T>) -> bool {
    // SAFETY: the object is alive, and the thread is attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}

/// In a child that the app has forked.
pub(crate) fn leave_worker() {
    HAS_LEFT.store(true, Ordering::Relaxed);
}

/// After a call of the app's, with what it has raised: ends the process if it is a child that the app has forked. It shares
/// connections and scoreboard with the worker, and would serve, count and answer beside it.
pub(crate) fn end_if_forked(py: Python<'_>, raised: Option<&PyErr>) {
    if HAS_LEFT.load(Ordering::Relaxed) {
        let raised = raised.map(|raised| raised.clone_ref(py).into_value(py));
        let ended = loader::ours(py).and_then(|ours| ours.call_method1("end_child", (raised,)).map(drop));
        std::process::exit(ended.map_or(1, |()| 0))
    }
}

/// Calls into the Python side of this crate.
fn call(name: &str) {
    if let Err(raised) = Python::attach(|py| loader::ours(py)?.call_method0(name).map(drop)) {
        tracing::error!("{name}: {raised}");
    }
}

/// Runs the Python signal handlers whose signals have come. No Python code need run for long while a worker waits.
pub(crate) fn run_signal_handlers(py: Python<'_>) {
    let Err(raised) = py.check_signals() else { return };
    // A Ctrl-C reaches the arbiter too, and it says what becomes of the worker.
    if raised.is_instance_of::<PyKeyboardInterrupt>(py) {
        return;
    }
    errors::log(py, &raised, b"", "a signal handler of the app failed");
    if raised.is_instance_of::<PySystemExit>(py) && IN_WORKER.load(Ordering::Relaxed) {
        let code = loader::ours(py).and_then(|ours| ours.call_method1("exit_code", (raised.value(py),))?.extract());
        Interpreter.exit(code.unwrap_or(1));
    }
}

use std::path::Path;

use crate::{Built, Context, Settings, Status};

/// What the arbiter asks of the program that it runs in.
///
/// A function that builds a worker is a program, one that has no settings to read again:
///
/// ```
/// use rserve_arbiter::{BootError, Built, Context, Program};
///
/// fn build(_context: &mut Context) -> Built {
///     Err(BootError::worker("no worker here"))
/// }
///
/// let mut program: fn(&mut Context) -> Built = build;
/// assert!(Program::reload(&mut program).is_err());
/// ```
pub trait Program {
    /// Makes the worker. Called in each worker process, after the fork.
    ///
    /// # Errors
    ///
    /// Before the server has started they end it; later the worker is tried again after a while.
    fn build(&mut self, cx: &mut Context) -> Built;

    /// The folder in which a successor that takes the listeners over (SIGUSR2) is started, by the words that started
    /// this program. A program that has changed its folder says where it was; the default is the current one.
    fn start_folder(&self) -> Option<&Path> {
        None
    }

    /// Reads the settings again (SIGHUP). Called in the arbiter; workers are built by what was read only once
    /// [`take_up`](Self::take_up) is called. It should not block for long: nobody is supervised meanwhile.
    ///
    /// # Errors
    ///
    /// One line that says what is wrong. Everything then stays as it was.
    fn reload(&mut self) -> Result<Settings, String> {
        Err("this program has no settings that could be read again".to_owned())
    }

    /// Answers somebody who asks how the server does, at [`Settings::desk`]. `asked` is all that they have said so far, up to
    /// 8 KiB; `None`: more of it is needed. The connection is closed after the answer. Called in the arbiter, which does nothing
    /// else meanwhile. The default says nothing and hangs up.
    fn inform(&mut self, asked: &[u8], status: &mut dyn FnMut() -> Status) -> Option<Vec<u8>> {
        let _ = (asked, status);
        Some(Vec::new())
    }

    /// There are so many worker processes now, and were not before. Called in the arbiter. The default does nothing.
    fn workers_changed(&mut self, workers: u16) {
        let _ = workers;
    }

    /// Opens the log files anew, which may have been moved away (SIGUSR1). Called in the arbiter, and in each worker between
    /// two of its steps. The default does nothing.
    fn reopen_logs(&mut self) {}

    /// Workers that are forked from now on are to be built by what [`reload`](Self::reload) has read. Not called if an
    /// address in it cannot be bound: then everything stays as it was. The default does nothing.
    fn take_up(&mut self) {}
}

impl<F: FnMut(&mut Context) -> Built> Program for F {
    fn build(&mut self, cx: &mut Context) -> Built {
        self(cx)
    }
}

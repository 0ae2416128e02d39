/// A language runtime that the whole program runs inside of, such as a Python interpreter: what it must hear of forks,
/// waits and ends.
///
/// Unless its method says otherwise it is called on the main thread of a process, and that thread is *inside* the host: it may
/// call into it, and nobody else can, until [`wait`](Self::wait) lets others in. A program without a host has none of this.
///
/// ```
/// use rserve_arbiter::Host;
///
/// struct Lock;
///
/// impl Host for Lock {
///     fn wait(&self, wait: &mut dyn FnMut()) {
///         // release the lock ...
///         wait();
///         // ... and take it again
///     }
/// }
/// ```
pub trait Host: Sync {
    /// In the arbiter, right before a worker is forked.
    fn before_fork(&self) {}

    /// In the arbiter, after the fork; also when there was no fork because it failed.
    fn after_fork_in_parent(&self) {}

    /// In the worker, before anything else that calls into the host.
    fn after_fork_in_child(&self) {}

    /// Runs `wait`, which may block for long and does not call into the host; meanwhile other threads may be inside.
    ///
    /// Also the place to see to what has come for the main thread in the meantime, such as signals.
    fn wait(&self, wait: &mut dyn FnMut());

    /// Runs `run`, which is most of a worker's life, with the main thread out of the host: for a worker class that has the
    /// app called on other threads. Of the waits in it the host hears by [`has_waited`](Self::has_waited).
    fn outside(&self, run: &mut dyn FnMut()) {
        run();
    }

    /// On the main thread, outside: it has waited. The place to see to what has come for it, such as signals;
    /// `_interrupted`: one has ended the wait.
    fn has_waited(&self, _interrupted: bool) {}

    /// On another thread: runs `batch`, which calls the app more than once, perhaps with [`wait`](Self::wait) in between,
    /// inside the host.
    fn inside(&self, batch: &mut dyn FnMut()) {
        batch();
    }

    /// Whether the app is in the middle of something on this thread, so that it may not be called for another request: a
    /// response whose body it still has to give, for example.
    fn is_busy(&self) -> bool {
        false
    }

    /// Ends a worker's process with this code, the host's own clean-up first.
    fn exit(&self, code: u8) -> ! {
        std::process::exit(i32::from(code))
    }
}

/// Runs `wait` by the host if there is one.
pub(crate) fn wait<T>(host: Option<&'static dyn Host>, wait: impl FnOnce() -> T) -> T {
    let Some(host) = host else { return wait() };
    let (mut wait, mut result) = (Some(wait), None);
    host.wait(&mut || result = wait.take().map(|wait| wait()));
    result.expect("invariant: a host runs what it is given, once")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Counting(AtomicU32);

    impl Host for Counting {
        fn wait(&self, wait: &mut dyn FnMut()) {
            wait();
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_wait_is_the_hosts_if_there_is_one() {
        static HOST: Counting = Counting(AtomicU32::new(0));
        assert_eq!((wait(None, || 1), wait(Some(&HOST), || 2)), (1, 2));
        assert_eq!(HOST.0.load(Ordering::Relaxed), 1);
    }
}

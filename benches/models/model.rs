//! What is compared: a worker class, with one of the apps.

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use crate::{
    app,
    support::{Builder, Held, Server},
};

/// A way to serve.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    class: &'static str,
    app: &'static str,
    args: &'static [&'static str],
}

/// Each class with the app that blocks, and `async` also with the one that awaits.
pub(crate) const MODELS: [Model; 4] = [
    Model { name: "sync", class: "sync", app: "blocking", args: &["--keep-alive", "60"] },
    Model { name: "threaded", class: "threaded", app: "blocking", args: &["--keep-alive", "60", "--threads", "16"] },
    Model { name: "async, blocking app", class: "async", app: "blocking", args: &["--keep-alive", "60"] },
    Model { name: "async", class: "async", app: "waiting", args: &["--keep-alive", "60"] },
];

impl Model {
    /// A server of this model with one worker, to be started.
    pub(crate) fn builder(&self) -> Builder {
        let program = env::current_exe().expect("a running program has a path");
        Server::builder(self.class)
            .program(program)
            .env(app::WANTED, "1")
            .args(["--worker-connections", "2000"])
            .args(self.args.iter().copied())
            .args([self.app])
    }
}

/// The processor's time that a process has used, over all its threads that are alive.
pub(crate) fn cpu_time(pid: Pid) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let nanoseconds = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Memory of its own and its share of what it has in common with others, in KiB.
pub(crate) fn pss_kib(pid: Pid) -> usize {
    Held::by(pid).kib
}

/// Keeps this process on one core, if there is more than one.
pub(crate) fn pin_to_core(core: usize) {
    if thread::available_parallelism().is_ok_and(|cores| cores.get() > core.max(1)) {
        let mut set = CpuSet::new();
        set.set(core).expect("a core's number is small");
        sched_setaffinity(Pid::from_raw(0), &set).expect("the core is there");
    }
}

/// A moment, to see how much time and processor's time have passed since.
pub(crate) struct Since {
    pid: Pid,
    start: Instant,
    cpu: Duration,
}

impl Since {
    pub(crate) fn now(pid: Pid) -> Self {
        Self { pid, start: Instant::now(), cpu: cpu_time(pid) }
    }

    /// Seconds, and seconds of the processor.
    pub(crate) fn elapsed(&self) -> (Duration, Duration) {
        (self.start.elapsed(), cpu_time(self.pid).saturating_sub(self.cpu))
    }
}

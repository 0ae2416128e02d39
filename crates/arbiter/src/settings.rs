use std::path::PathBuf;
use std::time::Duration;

use crate::{Bind, Identity};

/// What the arbiter is told, at the start and at each reload.
///
/// ```
/// use rserve_arbiter::{DrainSettings, Settings};
///
/// let settings = Settings { workers: 4, drain: Some(DrainSettings::default()), ..Settings::default() };
/// assert_eq!(settings.graceful_timeout.as_secs(), 30);
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses to listen on, at most [`MAX_LISTENERS`](crate::MAX_LISTENERS).
    pub binds: Vec<Bind>,
    /// `listen(2)`'s backlog: how many connections the kernel keeps for us (it caps this at `net.core.somaxconn`).
    pub backlog: u32,
    /// Each worker gets listeners of its own at the TCP addresses (`SO_REUSEPORT`, socket(7)).
    pub reuse_port: bool,
    /// How many worker processes to keep.
    pub workers: u16,
    /// A worker that has not beaten for this long is killed and replaced; `None`: never.
    pub timeout: Option<Duration>,
    /// How long a graceful stop may take, from its signal to the last exit.
    pub graceful_timeout: Duration,
    /// Drain on SIGTERM, and how; `None`: SIGTERM has its classic meaning and leaves the backlog to the kernel.
    pub drain: Option<DrainSettings>,
    /// A worker that has served this many requests is replaced; `None`: never.
    pub max_requests: Option<u64>,
    /// Added to [`max_requests`](Self::max_requests) for each worker: a number from 0 to this, by chance, so that not
    /// all are replaced at once.
    pub max_requests_jitter: u64,
    /// How many workers a reload replaces at a time; 0: all.
    pub reload_step: u16,
    /// Where to write the arbiter's pid; taken up at the start only.
    pub pid_file: Option<PathBuf>,
    /// Who the workers are, and who owns the Unix sockets.
    pub identity: Identity,
    /// What to call this server in the titles of its processes, which ps(1) shows; `None`: they are left alone. The memory of
    /// the command line is used for it: from then on `std::env::args_os` must not be called.
    pub name: Option<String>,
    /// Where the arbiter can be asked how the server does ([`Program::inform`](crate::Program::inform)); `None`: nowhere. Taken up
    /// at the start only.
    pub desk: Option<Bind>,
    /// The worker class's name, for the log.
    pub worker_class: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            binds: Vec::new(),
            backlog: 2048,
            reuse_port: false,
            workers: 1,
            timeout: Some(Duration::from_secs(30)),
            graceful_timeout: Duration::from_secs(30),
            drain: None,
            max_requests: None,
            max_requests_jitter: 0,
            reload_step: 0,
            pid_file: None,
            identity: Identity::default(),
            name: None,
            desk: None,
            worker_class: "sync",
        }
    }
}

/// How long the door stays open after SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSettings {
    /// The door closes once nobody has brought a request for this long.
    pub quiet: Duration,
    /// The door closes this long after SIGTERM even if requests go on arriving.
    pub open: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self { quiet: Duration::from_secs(2), open: Duration::from_secs(10) }
    }
}

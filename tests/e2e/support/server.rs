//! Runs the real binary in a process group of its own and cleans up after it.

use std::{
    env, fs, io,
    net::TcpListener,
    os::fd::AsFd,
    os::unix::{
        fs::PermissionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, User},
};
use tempfile::TempDir;

use super::{
    Target,
    http::{Conn, request},
    log::{Line, Log},
    process,
    report::Report,
    target::{Socket, free_address},
};

/// How long a server may take to say that it listens. Generous, because a debug build on a busy machine is slow.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running server. Dropping it kills its whole process group; when the test is failing the log is printed first.
pub(crate) struct Server {
    child: Child,
    arbiter: Pid,
    log: Log,
    targets: Vec<Target>,
    command_line: String,
    exit: Option<Exit>,
    dir: TempDir,
}

/// How and when the arbiter ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) at: Instant,
}

impl Exit {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub(crate) fn signal(&self) -> Option<Signal> {
        self.status.signal().and_then(|number| Signal::try_from(number).ok())
    }
}

impl Server {
    /// A server of this worker class, to be given more arguments and started. Flags of the class may follow its name.
    pub(crate) fn builder(class: &str) -> Builder {
        Builder {
            program: binary(),
            args: ["-k"].into_iter().chain(class.split(' ')).map(Into::into).collect(),
            log_format: "json",
            env: Vec::new(),
            sockets: Vec::new(),
            addresses: Vec::new(),
            settings_file: None,
            unprivileged: false,
            process_1: false,
            activated: None,
        }
    }

    /// Where the first listener is.
    pub(crate) fn target(&self) -> Target {
        self.targets[0].clone()
    }

    /// The folder that it was started in.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The arbiter's process.
    pub(crate) fn pid(&self) -> Pid {
        self.arbiter
    }

    /// The live workers, lowest pid first.
    pub(crate) fn workers(&self) -> Vec<Pid> {
        process::children(self.pid())
    }

    /// Waits until the live workers are as wanted and returns them.
    pub(crate) fn wait_for_workers(&self, bound: Duration, wanted: impl Fn(&[Pid]) -> bool) -> Vec<Pid> {
        let mut workers = Vec::new();
        let ok = wait_until(bound, || {
            workers = self.workers();
            wanted(&workers)
        });
        assert!(ok, "the workers are {workers:?} after {bound:?}");
        workers
    }

    /// Signals the arbiter alone, and tells when.
    pub(crate) fn signal(&self, signal: Signal) -> Instant {
        let at = Instant::now();
        process::send(self.pid(), signal);
        at
    }

    /// Signals the arbiter and all its workers, as a terminal does on Ctrl-C.
    pub(crate) fn signal_group(&self, signal: Signal) -> Instant {
        let at = Instant::now();
        killpg(self.pid(), signal).expect("the group is there");
        at
    }

    /// Writes the `rserve.toml` in its folder anew.
    pub(crate) fn rewrite_settings(&self, text: &str) {
        fs::write(self.dir.path().join("rserve.toml"), text).expect("our own directory");
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The first line that `wanted` accepts; panics with the whole log when none comes within `bound`.
    pub(crate) fn wait_for_line(&self, bound: Duration, what: &str, wanted: impl FnMut(&Line) -> bool) -> Line {
        self.log
            .wait_for(bound, wanted)
            .unwrap_or_else(|| panic!("no line about {what} within {bound:?} from {}", self.command_line))
    }

    /// A connection whose request, for a path below `/sleep/`, the demo app has in hand.
    pub(crate) fn in_hand(&self, path: &str) -> Conn {
        let mut conn = Conn::open(&self.target()).expect("the server listens");
        conn.send(request(path)).expect("the server reads");
        self.wait_for_handler();
        conn
    }

    /// Waits until the demo app's `/sleep/` has a request in hand, which it tells in a [`debug_log`](Builder::debug_log).
    pub(crate) fn wait_for_handler(&self) {
        self.wait_for_line(READY_WITHIN, "a handler's beginning", |line| line.message() == "sleeping");
    }

    /// Waits for the arbiter's end.
    pub(crate) fn wait_exit(&mut self, bound: Duration) -> Exit {
        self.wait_exit_at_most(bound).unwrap_or_else(|| panic!("still running after {bound:?}: {}", self.command_line))
    }

    /// The end of the arbiter, or `None` when it still runs after `bound`.
    pub(crate) fn wait_exit_at_most(&mut self, bound: Duration) -> Option<Exit> {
        if self.exit.is_none() {
            wait_until(bound, || {
                let status = self.child.try_wait().expect("the child can be waited for");
                self.exit = status.map(|status| Exit { status, at: Instant::now() });
                self.exit.is_some()
            });
        }
        self.exit
    }

    /// Whether the arbiter still runs.
    pub(crate) fn running(&mut self) -> bool {
        self.wait_exit_at_most(Duration::ZERO).is_none()
    }

    /// The report of a finished drain; panics when its counts do not balance.
    pub(crate) fn drain_report(&self) -> Report {
        self.drain_report_of(0)
    }

    /// The report of the first server's finished drain (0), or of one that took its place (1, 2 …).
    pub(crate) fn drain_report_of(&self, nth: usize) -> Report {
        let mut before = nth;
        let line = self.wait_for_line(Duration::from_secs(2), "the drain's report", |line| {
            let report = line.message() == Report::MESSAGE;
            before = before.wrapping_sub(usize::from(report));
            report && before == usize::MAX
        });
        let report = Report::from_line(&line);
        report.assert_balanced();
        report
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The group outlives its leader while a worker does, so it is signalled even when the arbiter has been reaped.
        let _ = killpg(pid(&self.child), Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of {}\n{}---", self.command_line, self.log.text());
        }
    }
}

/// A server to be started.
#[derive(Clone)]
pub(crate) struct Builder {
    program: PathBuf,
    args: Vec<String>,
    log_format: &'static str,
    env: Vec<(String, String)>,
    sockets: Vec<Socket>,
    addresses: Vec<(Option<String>, Target)>,
    settings_file: Option<String>,
    unprivileged: bool,
    process_1: bool,
    activated: Option<Arc<TcpListener>>,
}

impl Builder {
    /// Another program than `rserve` that has its command line.
    #[allow(dead_code, reason = "for the benches, whose server is not the plain one")]
    pub(crate) fn program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Hands it a listening socket as systemd does, and keeps that.
    pub(crate) fn activated(mut self, listener: &Arc<TcpListener>) -> Self {
        let address = listener.local_addr().expect("it is bound");
        self.activated = Some(listener.clone());
        self.addresses.push((None, Target::Tcp(address)));
        self
    }

    pub(crate) fn args<T: Into<String>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn workers(self, workers: usize) -> Self {
        self.args(["-w".into(), workers.to_string()])
    }

    /// Drains on SIGTERM, shutting the door after `quiet` seconds without arrivals.
    pub(crate) fn drain(self, quiet: f32) -> Self {
        self.args(["--drain-on-term".into(), "--drain-quiet".into(), quiet.to_string()])
    }

    /// Logs for people; without this it logs for the test.
    pub(crate) fn text_log(mut self) -> Self {
        self.log_format = "text";
        self
    }

    /// Logs all there is: a line for each connection too, so not for a load.
    pub(crate) fn debug_log(self) -> Self {
        self.args(["--log-level", "debug"])
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Has an `rserve.toml` of this text in the folder that it is started in.
    pub(crate) fn settings_file(mut self, text: &str) -> Self {
        self.settings_file = Some(text.into());
        self
    }

    /// One more listener on a free address of this kind. Without any there is one on IPv4.
    pub(crate) fn socket(mut self, socket: Socket) -> Self {
        self.sockets.push(socket);
        self
    }

    /// One more listener at an address of the test's choice.
    pub(crate) fn address(mut self, bind: impl Into<String>, target: Target) -> Self {
        self.addresses.push((Some(bind.into()), target));
        self
    }

    /// One more listener at an address that stands in the settings file.
    pub(crate) fn address_in_file(mut self, target: Target) -> Self {
        self.addresses.push((None, target));
        self
    }

    /// Runs as `nobody`, without any capability. Needs root.
    pub(crate) fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Runs as process 1 of a namespace that has no init, as in a container. Needs root.
    pub(crate) fn process_1(mut self) -> Self {
        self.process_1 = true;
        self
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> Server {
        let server = self.spawn();
        // Not that somebody else is listening.
        server.wait_for_line(READY_WITHIN, "readiness", |line| {
            line.text.contains("listening on http") || line.text.contains("listening on unix")
        });
        server
    }

    /// Starts it without waiting: for those that are to fail.
    pub(crate) fn spawn(mut self) -> Server {
        self.args.extend(["--log-format".into(), self.log_format.into()]);
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("our own directory");
        if let Some(text) = self.settings_file {
            fs::write(dir.path().join("rserve.toml"), text).expect("our own directory");
        }
        if self.sockets.is_empty() && self.addresses.is_empty() {
            self.sockets.push(Socket::V4);
        }
        let mut targets = Vec::new();
        let free = self.sockets.iter().map(|&socket| free_address(socket, &dir));
        for (bind, target) in free.map(|(bind, target)| (Some(bind), target)).chain(self.addresses) {
            self.args.extend(bind.into_iter().flat_map(|bind| ["-b".into(), bind]));
            targets.push(target);
        }
        let program = if self.unprivileged { for_everyone(&self.program, &dir) } else { self.program.clone() };
        let mut command = match &self.activated {
            None if self.process_1 => {
                let mut unshare = Command::new("unshare");
                unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]).arg(program);
                unshare.stdin(Stdio::null());
                unshare
            }
            None => {
                let mut command = Command::new(program);
                command.stdin(Stdio::null());
                command
            }
            // Only the process itself knows its pid, which must be told.
            Some(listener) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\""]).arg(program);
                shell.stdin(listener.as_fd().try_clone_to_owned().expect("there are descriptors left"));
                shell
            }
        };
        command.args(&self.args).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command.env_remove("WEB_CONCURRENCY").env_remove("FORWARDED_ALLOW_IPS").env_remove("RSERVE_CMD_ARGS");
        command.envs(self.env).current_dir(dir.path());
        if self.unprivileged {
            let nobody = User::from_name("nobody").expect("the user database is readable").expect("nobody exists");
            command.uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
        }
        // A thread that forks while the binary is being copied keeps the copy open for writing until it execs.
        let mut spawned = command.spawn();
        wait_until(Duration::from_secs(5), || {
            let busy = matches!(&spawned, Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy);
            if busy {
                spawned = command.spawn();
            }
            !busy
        });
        let mut child = spawned.expect("the binary can be run");
        let log = Log::default();
        log.follow(child.stdout.take().expect("piped"));
        log.follow(child.stderr.take().expect("piped"));
        let mut arbiter = pid(&child);
        if self.process_1 {
            // It is the child of the program that has made the namespace, unless it has ended by now.
            wait_until(Duration::from_secs(5), || match process::children(arbiter).first() {
                Some(&inside) => {
                    arbiter = inside;
                    true
                }
                None => child.try_wait().expect("the child can be waited for").is_some(),
            });
        }
        let command_line = format!("rserve {}", self.args.join(" "));
        Server { child, arbiter, log, targets, command_line, exit: None, dir }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid is a small number"))
}

/// Looks at `condition` again and again until it holds or `bound` is over; tells whether it came to hold.
pub(crate) fn wait_until(bound: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + bound;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The program under test. The variable `SERVER_UNDER_TEST` names another program to try the tests on.
fn binary() -> PathBuf {
    env::var_os("SERVER_UNDER_TEST").unwrap_or_else(|| env!("CARGO_BIN_EXE_rserve").into()).into()
}

/// The program at a place where every user may run it: a checkout in somebody's home is out of reach for `nobody`.
fn for_everyone(program: &Path, dir: &TempDir) -> PathBuf {
    let path = dir.path().join("rserve");
    fs::hard_link(program, &path)
        .or_else(|_| fs::copy(program, &path).map(|_| ()))
        .expect("the binary can be linked or copied");
    path
}

//! Runs the program under test in a process group of its own, and cleans up after it.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::{Client, Target},
    drain_report::DrainReport,
    log::Log,
    process::{self, wait_until},
    verdict::{Advise, Finding, Verdict, ensure},
};

/// How long a server may take to say that it listens: a debug build on a busy machine is slow.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Flags with which the demo app says that a handler has begun.
pub(crate) const TELL: [&str; 2] = ["--log-level", "debug"];

/// The program under test, and what the servers that a check started have written.
pub(crate) struct Setup<'a> {
    pub(crate) binary: &'a PathBuf,
    pub(crate) class: &'a str,
    pub(crate) args: &'a [OsString],
    pub(crate) envs: &'a [(OsString, OsString)],
    pub(crate) transcripts: Mutex<Vec<(String, Log)>>,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Socket {
    Tcp,
    Unix,
}

/// A running server. Dropping it kills its whole process group.
pub(crate) struct Server {
    child: Child,
    log: Log,
    target: Target,
    status: Option<ExitStatus>,
    _folder: TempDir,
}

impl Setup<'_> {
    /// Starts the server on loopback, with these flags, and waits until it listens.
    pub(crate) fn start(&self, flags: &[&str]) -> Verdict<Server> {
        self.start_on(Socket::Tcp, flags)
    }

    pub(crate) fn start_on(&self, socket: Socket, flags: &[&str]) -> Verdict<Server> {
        let folder = tempfile::tempdir().or_advise("a temporary folder", "the kit needs one: look at TMPDIR")?;
        let path = folder.path().join("socket");
        let bind = match socket {
            Socket::Tcp => "127.0.0.1:0".to_owned(),
            Socket::Unix => format!("unix:{}", path.display()),
        };
        let mut command = Command::new(self.binary);
        command.args(["-k", self.class, "-b", &bind, "--log-format", "json"]).args(flags).args(self.args).arg("demo");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        for name in ["WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "RSERVE_CMD_ARGS"] {
            command.env_remove(name);
        }
        command.envs(self.envs.iter().map(|(name, value)| (name, value))).current_dir(folder.path());
        let advice = "Check::new takes the program's path: env!(\"CARGO_BIN_EXE_name\") in an integration test";
        let mut child = command.spawn().or_advise(&format!("starting {}", self.binary.display()), advice)?;
        let log = Log::default();
        let pipes = (child.stdout.take(), child.stderr.take());
        pipes.0.into_iter().for_each(|pipe| log.follow(pipe));
        pipes.1.into_iter().for_each(|pipe| log.follow(pipe));
        self.transcripts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((format!("{command:?}").replace('"', ""), log.clone()));
        let target = Target::Unix(path);
        let mut server = Server { child, log, target, status: None, _folder: folder };
        let line = server.log.wait_for(READY_WITHIN, |message| message.starts_with("listening on "));
        let advice = "is the class added to the program with Server::worker_class, under the name given to Check::new, \
                      and does it serve blocking apps? The log says more";
        ensure(line.is_some(), advice, || "the server does not start".to_owned())?;
        if let (Socket::Tcp, Some(line)) = (socket, line) {
            server.target = Target::Tcp(address(&line).or_advise("the address it listens on", advice)?);
        }
        Ok(server)
    }
}

impl Server {
    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// The live workers, lowest pid first.
    pub(crate) fn workers(&self) -> Vec<Pid> {
        process::children(self.pid())
    }

    /// Signals the arbiter alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill(self.pid(), signal);
    }

    /// Whether a line with such a message comes within `bound`.
    pub(crate) fn says(&self, bound: Duration, what: &str) -> bool {
        self.log.wait_for(bound, |message| message.contains(what)).is_some()
    }

    /// Whether these words stand anywhere in the log.
    pub(crate) fn has_logged(&self, what: &str) -> bool {
        self.log.text().contains(what)
    }

    /// Sends SIGTERM and waits until the workers have been told.
    pub(crate) fn begin_drain(&self) -> Verdict {
        self.signal(Signal::SIGTERM);
        let told = self.says(Duration::from_secs(10), "SIGTERM: draining");
        ensure(told, "the arbiter draws this line: does the program's main end in Server::main?", || {
            "the log has no line that a drain begins".to_owned()
        })
    }

    /// One GET on a connection of its own: a whole 200.
    pub(crate) fn get(&self, path: &str, advice: &str) -> Verdict<String> {
        let response = Client::asking(&self.target, path).and_then(|mut client| client.response());
        let response = response.or_advise(&format!("GET {path}"), advice)?;
        let status = response.status;
        ensure(status == 200, advice, || format!("GET {path} was answered with {status}"))?;
        Ok(response.text())
    }

    /// A connection whose request, for a path below `/sleep/`, is in the hands of the demo app.
    ///
    /// It says so in its debug log, which the server must have been started with: [`TELL`].
    pub(crate) fn in_hand(&self, path: &str) -> Verdict<Client> {
        let advice = "serve_step must accept what waits on the listeners, read it, and call the app";
        let client = Client::asking(&self.target, path).or_advise("connecting", advice)?;
        let begun = self.says(Duration::from_secs(20), "sleeping");
        ensure(begun, advice, || format!("GET {path} did not reach the app within 20 s"))?;
        Ok(client)
    }

    /// Watches for so long whether the workers stay the same.
    pub(crate) fn stays_alive(&self, time: Duration, advice: &str) -> Verdict {
        let before = self.workers();
        let mut now = Vec::new();
        let changed = wait_until(time, || {
            now = self.workers();
            now != before
        });
        ensure(!changed, advice, || format!("the workers were {before:?} and then {now:?}: one has died"))
    }

    /// Waits for the end: within `bound`, with exit code 0, and with no process left behind.
    pub(crate) fn wait_exit(&mut self, bound: Duration, advice: &str) -> Verdict<Duration> {
        let begun = Instant::now();
        wait_until(bound, || {
            self.status = self.child.try_wait().ok().flatten();
            self.status.is_some()
        });
        let took = begun.elapsed();
        let status = self.status.ok_or_else(|| Finding {
            saw: format!("it still runs {:.1} s after it was told to stop", bound.as_secs_f64()),
            advice: advice.to_owned(),
        })?;
        ensure(status.success(), advice, || format!("it ended with {status}"))?;
        let group = self.pid();
        wait_until(Duration::from_secs(2), || process::group(group).is_empty());
        let left = process::group(group);
        let advice = "end what the worker has started, before it says Done and in handle_quit";
        ensure(left.is_empty(), advice, || format!("the processes {left:?} have outlived the arbiter"))?;
        Ok(took)
    }

    /// The report of a finished drain, whose counts balance.
    pub(crate) fn drain_report(&self) -> Verdict<DrainReport> {
        let line = self.log.wait_for(Duration::from_secs(5), |message| message == DrainReport::MESSAGE);
        let line = line.ok_or("there is none").or_advise("the report of the drain", "did the arbiter die?")?;
        let report = DrainReport::new(line);
        report.check_balance()?;
        Ok(report)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The group outlives its leader while a worker does, so it is signalled even when the arbiter has been reaped.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// The first address in the line that says what it listens on.
fn address(line: &Value) -> Result<std::net::SocketAddr, String> {
    let message = line.get("message").and_then(Value::as_str).unwrap_or_default();
    let listening = message.strip_prefix("listening on ").and_then(|rest| rest.split([' ', ',']).next());
    let address = listening.map(|address| address.strip_prefix("http://").unwrap_or(address));
    address.unwrap_or_default().parse().map_err(|error| format!("{error} in \"{message}\""))
}

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::Error;

/// How much of what a server wrote is shown when it did not start, from its end.
const SHOWN: i64 = 2_000;

/// How often to look whether something has happened.
const LOOK: Duration = Duration::from_millis(5);

/// A server in a process group of its own; dropping it kills the whole group.
pub(crate) struct Process {
    child: Child,
    output: File,
}

impl Process {
    pub(crate) fn start(command: &[OsString]) -> Result<Self, Error> {
        let output = tempfile::tempfile()?;
        let [program, arguments @ ..] = command else { return Err(Error::NoPort) };
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .process_group(0)
            .spawn()
            .map_err(|error| Error::Spawn { program: program.to_string_lossy().into_owned(), error })?;
        Ok(Self { child, output })
    }

    /// SIGTERM to the process that was started, and to none of its children: what a platform does.
    pub(crate) fn terminate(&self) {
        // If it is gone, its end tells.
        let _ = kill(self.pid(), Signal::SIGTERM);
    }

    pub(crate) fn status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end until `deadline`, or until `give_up` says so.
    pub(crate) fn wait(&mut self, deadline: Instant, give_up: impl Fn() -> bool) -> io::Result<Option<ExitStatus>> {
        loop {
            let status = self.status()?;
            if status.is_some() || Instant::now() >= deadline || give_up() {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The end of what it wrote, to be put behind a message.
    pub(crate) fn said(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = self.output.seek(SeekFrom::End(0)).and_then(|length| {
            let shown = i64::try_from(length).unwrap_or(SHOWN).min(SHOWN);
            self.output.seek(SeekFrom::End(-shown))?;
            self.output.read_to_end(&mut bytes)
        });
        match read {
            Ok(0) => String::new(),
            Ok(_) => format!("; the end of what it wrote:\n{}", String::from_utf8_lossy(&bytes).trim_end()),
            Err(error) => format!("; what it wrote cannot be read: {error}"),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("invariant: Linux's pids are small"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group outlives its leader while a worker does.
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

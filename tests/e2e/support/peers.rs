//! Other programs that the tests run: balancers, and a server to compare with.

use std::{
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use super::wait_until;

/// How long a program may take to listen.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// gunicorn, from the virtual environment that `cargo xtask setup` makes, or why there is none.
pub(crate) fn gunicorn() -> Result<PathBuf, &'static str> {
    // Cargo gives tests a folder inside its target folder, and the environment lies beside it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder of cargo's has a parent");
    let program = target.join("peers/bin/gunicorn");
    program.is_file().then_some(program).ok_or("there is no gunicorn: `cargo xtask setup` installs it where it can")
}

/// The folder of the apps that other servers serve.
pub(crate) fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/peers")
}

/// A program of this name, where Debian puts it.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|program| program.is_file())
}

/// A running program in a process group of its own; dropping it kills the group.
pub(crate) struct Program(Child);

impl Program {
    /// Starts it, and waits until somebody listens at `address`.
    pub(crate) fn start(command: &mut Command, address: SocketAddr) -> Self {
        command.stdin(Stdio::null()).process_group(0);
        let mut program = Self(command.spawn().expect("the program can be run"));
        let listens = wait_until(READY_WITHIN, || TcpStream::connect(address).is_ok());
        assert!(listens && program.0.try_wait().unwrap().is_none(), "{command:?} does not listen at {address}");
        program
    }

    pub(crate) fn terminate(&self) {
        kill(self.pid(), Signal::SIGTERM).expect("it has not been waited for");
    }

    /// Waits for its end.
    pub(crate) fn wait_exit(&mut self, bound: Duration) {
        assert!(wait_until(bound, || self.0.try_wait().unwrap().is_some()), "still running after {bound:?}");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).expect("a pid is a small number"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

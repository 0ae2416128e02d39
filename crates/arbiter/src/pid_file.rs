//! The file that says which process to signal.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use tracing::warn;

use crate::Error;
use crate::error::plain;

/// Removed when dropped in the process that wrote it, if it still says so.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// Where it goes once the predecessor, which has its own file there, is gone.
    later: Option<PathBuf>,
    pid: u32,
}

impl PidFile {
    /// Writes our pid to `path`; beside a live predecessor to the same with `.2` behind it, as gunicorn does.
    ///
    /// A file of a process that is gone is taken over.
    pub(crate) fn write(path: &Path, beside_predecessor: bool) -> Result<Self, Error> {
        let mut second = OsString::from(path);
        second.push(".2");
        let (place, later) =
            if beside_predecessor { (PathBuf::from(second), Some(path.to_owned())) } else { (path.to_owned(), None) };
        if let Some(pid) = live_owner(&place) {
            return Err(Error::Running { file: place.display().to_string(), pid: pid.as_raw() });
        }
        let failed = |source| Error::PidFile { file: place.display().to_string(), source: plain(source) };
        put(&place).map_err(failed)?;
        Ok(Self { path: place, later, pid: process::id() })
    }

    /// The predecessor is gone: takes its place.
    pub(crate) fn move_up(&mut self) {
        let Some(place) = self.later.take() else { return };
        match fs::rename(&self.path, &place) {
            Ok(()) => self.path = place,
            Err(error) => warn!("cannot rename pid file {} to {}: {error}", self.path.display(), place.display()),
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.pid == process::id() && read(&self.path) == Some(self.pid) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whole or not at all: who reads it must not find half a number.
fn put(path: &Path) -> io::Result<()> {
    let mut draft = OsString::from(path);
    draft.push(format!(".{}", process::id()));
    fs::write(&draft, format!("{}\n", process::id()))?;
    // Whatever our mask: it is there to be read by those who send signals.
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o644))?;
    fs::rename(&draft, path).inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })
}

fn read(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The process that the file names, if it lives and is another than this one.
fn live_owner(path: &Path) -> Option<Pid> {
    let pid = read(path).filter(|pid| *pid != process::id()).and_then(|pid| i32::try_from(pid).ok())?;
    let lives = match kill(Pid::from_raw(pid), None) {
        Ok(()) | Err(nix::Error::EPERM) => pid > 0,
        Err(_) => false,
    };
    lives.then(|| Pid::from_raw(pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_we_are_and_goes_with_us() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let file = PidFile::write(&path, false).unwrap();
        assert_eq!(read(&path), Some(process::id()));
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_of_a_process_that_is_gone_is_taken_over_and_one_of_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        // No process has a number as high as that (proc(5), pid_max).
        for stale in ["4194999", "", "nonsense"] {
            fs::write(&path, stale).unwrap();
            drop(PidFile::write(&path, false).unwrap());
        }
        fs::write(&path, "1").unwrap();
        let error = PidFile::write(&path, false).unwrap_err();
        assert!(matches!(error, Error::Running { pid: 1, .. }), "{error}");
    }

    #[test]
    fn a_successor_waits_for_its_predecessors_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, "1").unwrap();
        let mut file = PidFile::write(&path, true).unwrap();
        assert_eq!((read(&path), read(&dir.path().join("pid.2"))), (Some(1), Some(process::id())));
        file.move_up();
        assert_eq!((read(&path), read(&dir.path().join("pid.2"))), (Some(process::id()), None));
    }
}

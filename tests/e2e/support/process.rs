//! What `/proc` tells about the processes of a server.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The live (not zombie) children of `parent`, lowest pid first.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let mut found: Vec<Pid> = fs::read_dir("/proc")
        .expect("/proc is readable")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| stat(pid).is_some_and(|stat| stat.parent == parent.as_raw() && stat.state != 'Z'))
        .map(Pid::from_raw)
        .collect();
    found.sort();
    found
}

/// Whether the process exists and still runs (a zombie does not).
pub(crate) fn alive(pid: Pid) -> bool {
    stat(pid.as_raw()).is_some_and(|stat| stat.state != 'Z')
}

/// Sends a signal; a process that has just gone is no error.
pub(crate) fn send(pid: Pid, signal: Signal) {
    match kill(pid, signal) {
        Ok(()) | Err(nix::Error::ESRCH) => {}
        Err(error) => panic!("cannot send {signal} to {pid}: {error}"),
    }
}

struct Stat {
    state: char,
    parent: i32,
}

/// Reads `/proc/PID/stat`; the command name may hold spaces and parentheses, so that fields are counted from the last
/// `)` (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some(Stat { state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}

//! What `/proc` tells about the processes of a server.

use std::{fs, time::Duration};

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

/// How many children of `parent` have ended without having been waited for.
pub(crate) fn zombies(parent: Pid) -> usize {
    let processes = fs::read_dir("/proc").expect("/proc is readable");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).filter(|stat| stat.parent == parent.as_raw() && stat.state == 'Z').count()
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

/// What a process holds that it could forget to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Open descriptors.
    pub(crate) descriptors: usize,
    /// Those of them that are files without a name, as temporary files are.
    pub(crate) nameless: usize,
    /// Memory of its own, and its share of what it has in common with others (PSS), in KiB.
    pub(crate) kib: usize,
    /// The part of its memory that is no file's, in KiB: it does not change when others that run the program end.
    pub(crate) anonymous_kib: usize,
}

impl Held {
    /// What it holds now.
    pub(crate) fn by(pid: Pid) -> Self {
        let folder = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
        // One that is closed between the two looks has no target.
        let targets: Vec<_> = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect();
        let nameless = targets.iter().filter(|target| target.to_string_lossy().ends_with(" (deleted)")).count();
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
        let number = |name: &str| {
            let number = rollup.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
            number.and_then(|number| number.parse().ok()).expect("proc_pid_smaps(5) promises it")
        };
        let (kib, anonymous_kib) = (number("Pss:"), number("Anonymous:"));
        Self { descriptors: targets.len(), nameless, kib, anonymous_kib }
    }
}

/// How long the process has had a core, all its threads together; to a hundredth of a second.
pub(crate) fn cpu_time(pid: Pid) -> Duration {
    stat(pid.as_raw()).expect("the process runs").cpu_time
}

/// What ps(1) shows of the process.
pub(crate) fn title(pid: Pid) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split('\0').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The words behind this name in `/proc/PID/status`.
pub(crate) fn status(pid: Pid, name: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("proc_pid_status(5) promises it").split_whitespace().map(str::to_owned).collect()
}

struct Stat {
    state: char,
    parent: i32,
    cpu_time: Duration,
}

/// Reads `/proc/PID/stat`; the command name may hold spaces and parentheses, so that fields are counted from the last
/// `)` (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let (state, parent) = (fields.next()?.chars().next()?, fields.next()?.parse().ok()?);
    // utime and stime, in ticks, of which Linux tells a hundred a second on every machine.
    let ticks: u64 = fields.skip(9).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or_default()).sum();
    Some(Stat { state, parent, cpu_time: Duration::from_millis(10 * ticks) })
}

//! What `/proc` tells of the processes of a server.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use nix::unistd::Pid;

/// The live (not zombie) children of `parent`, lowest pid first.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    live(|stat| stat.parent == parent.as_raw())
}

/// The live processes of a process group.
pub(crate) fn group(group: Pid) -> Vec<Pid> {
    live(|stat| stat.group == group.as_raw())
}

/// Whether the process has been stopped by a signal.
pub(crate) fn stopped(pid: Pid) -> bool {
    stat(pid.as_raw()).is_some_and(|stat| stat.state == 'T')
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
        thread::sleep(Duration::from_millis(20));
    }
}

struct Stat {
    state: char,
    parent: i32,
    group: i32,
}

fn live(wanted: impl Fn(&Stat) -> bool) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<Pid> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| stat(pid).is_some_and(|stat| stat.state != 'Z' && wanted(&stat)))
        .map(Pid::from_raw)
        .collect();
    found.sort();
    found
}

/// Reads `/proc/PID/stat`; the command name may hold spaces and parentheses, so that fields are counted from the last
/// `)` (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_its_group() {
        assert!(group(nix::unistd::getpgrp()).contains(&Pid::this()));
    }
}

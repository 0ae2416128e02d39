//! Who sends SIGKILL: a person, or the kernel because memory ran out.

use std::fs;
use std::path::{Path, PathBuf};

/// Counts the out-of-memory kills in our cgroup, and those of the whole machine.
pub(super) struct OomKills {
    counters: [Counter; 2],
}

struct Counter {
    file: Option<PathBuf>,
    seen: Option<u64>,
    says: &'static str,
}

impl OomKills {
    pub(super) fn new() -> Self {
        let ours = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| file_of_cgroup(&text));
        let counter = |file: Option<PathBuf>, says| {
            let seen = file.as_deref().and_then(read);
            Counter { file, seen, says }
        };
        Self {
            counters: [
                counter(ours, " (out of memory: the limit of its cgroup was reached)"),
                counter(Some("/proc/vmstat".into()), " (probably out of memory: the kernel has just killed for that)"),
            ],
        }
    }

    /// What to say of a SIGKILL that was not ours. Each kill that was counted explains one.
    pub(super) fn explain(&mut self) -> &'static str {
        let mut says = None;
        for counter in &mut self.counters {
            let now = counter.file.as_deref().and_then(read);
            if now > counter.seen {
                // One that was explained by the cgroup is in the machine's count as well.
                counter.seen = if says.is_none() { counter.seen.map(|seen| seen + 1) } else { now };
                says = says.or(Some(counter.says));
            }
        }
        let counted = self.counters.iter().any(|counter| counter.seen.is_some());
        says.unwrap_or(if counted { " (by hand: the kernel has not run out of memory)" } else { UNKNOWN })
    }
}

/// Where nobody counts.
pub(super) const UNKNOWN: &str = " (by hand, or out of memory)";

fn read(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// The file that counts for the cgroup in this `/proc/self/cgroup`: of version 2, or of version 1.
fn file_of_cgroup(text: &str) -> Option<PathBuf> {
    let (mut unified, mut legacy) = (None, None);
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        if controllers.is_empty() {
            unified = Some(Path::new("/sys/fs/cgroup").join(path).join("memory.events"));
        } else if controllers.split(',').any(|name| name == "memory") {
            legacy = Some(Path::new("/sys/fs/cgroup/memory").join(path).join("memory.oom_control"));
        }
    }
    [unified, legacy].into_iter().flatten().find(|file| read(file).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_that_was_counted_explains_one_death() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memory.events");
        let count = |kills: u64| fs::write(&file, format!("oom 7\noom_kill {kills}\noom_group_kill 0\n")).unwrap();
        count(3);
        let counter = Counter { file: Some(file.clone()), seen: read(&file), says: "oom" };
        let nobody = Counter { file: None, seen: None, says: "never" };
        let mut kills = OomKills { counters: [counter, nobody] };
        let by_hand = " (by hand: the kernel has not run out of memory)";
        assert_eq!(kills.explain(), by_hand);
        count(5);
        assert_eq!([kills.explain(), kills.explain(), kills.explain()], ["oom", "oom", by_hand]);
    }

    #[test]
    fn without_a_count_nothing_is_claimed() {
        let nobody = || Counter { file: None, seen: None, says: "never" };
        assert_eq!(OomKills { counters: [nobody(), nobody()] }.explain(), UNKNOWN);
    }
}

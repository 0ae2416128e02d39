//! `cargo xtask icount`: how many instructions the codec spends on a request, counted by valgrind's callgrind.
//!
//! A count does not depend on the load of the machine, so it can be a gate where a time cannot. It does depend on the
//! compiler and a little on the processor (which vector instructions it has).

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{setup, step};

/// Where the counts are kept, from the root.
const FILE: &str = "benches/icount.txt";

const HEADER: &str = "\
# Instructions that the codec spends on one request, by callgrind; `cargo xtask icount` renews this file, and
# `cargo xtask ci` fails when a count is more than 5 % off.
#   decode-N: a head with N fields.  exchange-N: the same, and its response.
";

/// What `benches/icount.rs` can do.
const CASES: [&str; 4] = ["decode-1", "decode-9", "exchange-1", "exchange-9"];

/// How many times each is done. It is done twice as often too: the difference has neither start-up nor end in it.
const TIMES: u64 = 2000;

/// In per cent.
const TOLERANCE: u64 = 5;

/// Counts, and writes the file; or with `check` holds the counts against the file.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    if !setup::on_path("valgrind") {
        println!("    skipped: valgrind is not installed");
        return if check { Ok(()) } else { Err("nothing was counted: install valgrind".into()) };
    }
    let build = ["build", "--locked", "--release", "--package", "rserve-http", "--example", "icount"];
    step::cargo(root, &build, &[])?;
    let mut counts = Vec::new();
    for case in CASES {
        let count = (count(root, case, 2 * TIMES)?.saturating_sub(count(root, case, TIMES)?) + TIMES / 2) / TIMES;
        println!("    {case}: {count} instructions");
        counts.push((case, count));
    }
    let path = root.join(FILE);
    if check {
        let kept = fs::read_to_string(&path).map_err(|error| format!("cannot read {FILE}: {error}"))?;
        return compare(&counts, &kept);
    }
    let lines: String = counts.iter().map(|(case, count)| format!("{case} {count}\n")).collect();
    fs::write(&path, format!("{HEADER}{lines}")).map_err(|error| format!("cannot write {FILE}: {error}"))
}

/// All instructions of a run that does `case` so many times.
fn count(root: &Path, case: &str, times: u64) -> Result<u64, String> {
    // Cargo knows where the program is; we only say what to run it with.
    let runner = "target.'cfg(all())'.runner = ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null']";
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["run", "--quiet", "--locked", "--release", "--package", "rserve-http", "--example", "icount"])
        .args(["--config", runner, "--", case, &times.to_string()])
        .current_dir(root)
        .stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cargo run did not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    parse(&said).filter(|_| output.status.success()).ok_or_else(|| format!("valgrind told no count, but this:\n{said}"))
}

/// The number in callgrind's line `==1234== Collected : 5678`.
fn parse(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

/// Fails if a count is off, for the better too: the next change for the worse would have that much room.
fn compare(counts: &[(&str, u64)], kept: &str) -> Result<(), String> {
    let find = |case: &str| kept.lines().find_map(|line| line.strip_prefix(case)?.trim().parse::<u64>().ok());
    let mut off = Vec::new();
    for (case, count) in counts {
        match find(case) {
            None => off.push(format!("{case}: {count}, and {FILE} has no count of it")),
            Some(kept) if count.abs_diff(kept) * 100 > kept * TOLERANCE => {
                off.push(format!("{case}: {kept} → {count}"))
            }
            Some(_) => {}
        }
    }
    if off.is_empty() {
        return Ok(());
    }
    let advice = "if that is meant, or the compiler is another, `cargo xtask icount` renews the file";
    Err(format!("instruction counts are more than {TOLERANCE} % off ({}): {advice}", off.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{compare, parse};

    #[test]
    fn the_count_is_found_in_what_callgrind_says() {
        assert_eq!(parse("==7== Events    : Ir\n==7== Collected : 5678\n==7==\n"), Some(5678));
        assert_eq!(parse("valgrind: no such program\n"), None);
    }

    #[test]
    fn a_count_may_be_five_per_cent_off_and_no_more() {
        let kept = "# comment\ndecode-1 1000\ndecode-9 2000\n";
        for (count, fine) in [(950, true), (1000, true), (1050, true), (949, false), (1051, false)] {
            assert_eq!(compare(&[("decode-1", count)], kept).is_ok(), fine, "{count}");
        }
        assert!(compare(&[("exchange-1", 1000)], kept).is_err());
    }
}

//! Runs a program as a named step: its name before, its time after, an error that says which step it was.

use std::{env, path::Path, process::Command, time::Instant};

/// Runs `work`, printing its name and how long it took.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    println!("==> {name}");
    let start = Instant::now();
    let outcome = work();
    let seconds = start.elapsed().as_secs_f64();
    match outcome {
        Ok(()) => {
            println!("==> {name}: passed in {seconds:.1} s");
            Ok(())
        }
        Err(error) => Err(format!("{name} failed after {seconds:.1} s: {error}")),
    }
}

/// Runs cargo in `root` with the given words, and with these variables set.
pub(crate) fn cargo(root: &Path, words: &[&str], variables: &[(&str, &str)]) -> Result<(), String> {
    // The cargo that runs us, so that `cargo +toolchain xtask ci` stays on that toolchain.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(words).envs(variables.iter().copied()).current_dir(root);
    run(&mut command, &format!("cargo {}", words.join(" ")))
}

/// Runs `command` to its end; `shown` is how a person would have typed it.
pub(crate) fn run(command: &mut Command, shown: &str) -> Result<(), String> {
    println!("    {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}` did not start: {error}")),
    }
}

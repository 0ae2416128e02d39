//! Takes down of what and how the program is built, for `--version`.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RSERVE_COMMIT");
    let profile = env::var("PROFILE").unwrap_or_default();
    // Whoever builds from an archive may say which commit it is of. A debug build is of no commit for long.
    let told = env::var("RSERVE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = told.or_else(|| if profile == "release" { head() } else { None });
    let rustc = env::var("RUSTC").ok().and_then(|rustc| said(Command::new(rustc).arg("--version")));
    for (name, value) in
        [("COMMIT", commit), ("TARGET", env::var("TARGET").ok()), ("PROFILE", Some(profile)), ("RUSTC", rustc)]
    {
        println!("cargo::rustc-env=RSERVE_BUILD_{name}={}", value.as_deref().unwrap_or("unknown"));
    }
}

/// The commit that is checked out, if these sources are a checkout of ours.
fn head() -> Option<String> {
    let log = said(Command::new("git").args(["rev-parse", "--git-path", "logs/HEAD"]))?;
    println!("cargo::rerun-if-changed={log}");
    // Not that of a repository in which somebody keeps a copy of these sources.
    said(Command::new("git").args(["ls-files", "--error-unmatch", "build.rs"]))?;
    said(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]))
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

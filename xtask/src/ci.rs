//! `cargo xtask ci`: the steps in the order in which they are likely to fail, cheapest first.

use std::{path::Path, time::Instant};

use crate::{
    icount, plot, python, setup,
    step::{cargo, step},
    tidy,
};

/// Runs every step and stops at the first that fails.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let start = Instant::now();
    step("setup", || setup::run(root))?;
    step("fmt", || cargo(root, &["fmt", "--all", "--check"], &[]))?;
    step("tidy", || tidy::run(root).and_then(|()| plot::check(root)))?;
    step("clippy", || {
        cargo(root, &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])
    })?;
    // `cargo test` runs the doctests of every library too.
    step("tests", || cargo(root, &["test", "--locked", "--workspace"], &[]))?;
    step("python", || python::run(root, None))?;
    step("rustdoc", || {
        cargo(root, &["doc", "--locked", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])
    })?;
    step("icount", || icount::run(root, true))?;
    println!("==> ci: all steps passed in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

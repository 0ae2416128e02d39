//! `cargo xtask soak`: the end-to-end tests of the drain in their long form.

use std::path::Path;

use crate::step::{cargo, step};

/// Runs the drain's tests with `SOAK` set to how many stops they make in all; their table goes to standard output.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    // One test at a time: each of them loads both cores of a small machine by itself.
    let words = [
        "test",
        "--locked",
        "--release",
        "--package",
        "rserve",
        "--test",
        "e2e",
        "--",
        "drain_loss",
        "handshakes",
        "--nocapture",
        "--test-threads=1",
    ];
    step("soak", || cargo(root, &words, &[("SOAK", "2000")]))
}

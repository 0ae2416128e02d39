//! `cargo xtask soak`: the end-to-end tests of the drain in their long form.

use std::{env, path::Path};

use crate::step::{cargo, step};

/// How many stops under load, unless the variable says otherwise.
const STOPS: &str = "2000";

/// Runs the drain's tests with `SOAK` set to a number of stops; their table, in Markdown, goes to standard output.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let stops = env::var("SOAK").unwrap_or_else(|_| STOPS.to_owned());
    // One test at a time: each of them loads both cores of a small machine by itself.
    let options = ["--nocapture", "--test-threads=1"];
    let test = ["test", "--locked", "--release", "--package", "rserve", "--test", "e2e", "--"];
    let words = [&test[..], &["drain_loss", "handshakes", "pods", "rolling"], &options].concat();
    step("soak", || cargo(root, &words, &[("SOAK", &stops)]))
}

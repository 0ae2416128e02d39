//! `cargo xtask soak`: the end-to-end tests of the drain in their long form.

use std::{env, path::Path};

use crate::step::{cargo, step};

/// How many stops under load, unless the variable says otherwise.
const STOPS: &str = "2000";

/// The tests that have a long form.
const TESTS: [&str; 6] = ["chaos", "drain_loss", "handshakes", "pods", "replacing", "rolling"];

/// Runs these tests, or all that have a long form, with `SOAK` set to a number of stops; their tables, in Markdown, go to
/// standard output.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<(), String> {
    let stops = env::var("SOAK").unwrap_or_else(|_| STOPS.to_owned());
    // One test at a time: each of them loads both cores of a small machine by itself.
    let options = ["--nocapture", "--test-threads=1"];
    let test = ["test", "--locked", "--release", "--package", "rserve", "--test", "e2e", "--"];
    let names: Vec<&str> = if names.is_empty() { TESTS.to_vec() } else { names.iter().map(String::as_str).collect() };
    let words = [&test[..], &names, &options].concat();
    step("soak", || cargo(root, &words, &[("SOAK", &stops)]))
}

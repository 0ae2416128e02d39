//! The long forms of the tests: the same bodies, many more times, with a row of a Markdown table for each kind of load.

use std::{env, sync::Once};

use super::Tally;

/// How many stops under load `SOAK=N` asks for in all.
pub(crate) fn wanted() -> Option<usize> {
    let text = env::var("SOAK").ok()?;
    Some(text.parse().expect("SOAK is a number of stops"))
}

/// Prints what became of the stops under one kind of load, when that was asked for.
pub(crate) fn report(load: &str, stops: usize, tally: &Tally, failed: usize) {
    static HEAD: Once = Once::new();
    if wanted().is_some() {
        HEAD.call_once(|| {
            println!("\n| load | stops | served | refused | lost | failed |\n|---|---:|---:|---:|---:|---:|");
        });
        let (served, refused, lost) = (tally.served(), tally.refused(), tally.lost());
        // Begins on a line of its own, whatever the test runner has written before.
        println!("\n| {load} | {stops} | {served} | {refused} | {lost} | {failed} |");
    }
}

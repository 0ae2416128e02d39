//! The long forms of the tests: the same bodies, many more times, with a row of a Markdown table for each kind of load.

use std::{env, fmt::Display, sync::Mutex};

use super::Tally;

/// How many stops under load `SOAK=N` asks for in all.
pub(crate) fn wanted() -> Option<usize> {
    let text = env::var("SOAK").ok()?;
    Some(text.parse().expect("SOAK is a number of stops"))
}

/// Prints what became of the stops under one kind of load, when that was asked for.
pub(crate) fn report(class: &str, load: &str, stops: usize, tally: &Tally, failed: usize) {
    const TABLE: Table = Table::new(&["load", "class", "stops", "served", "refused", "lost", "failed"]);
    TABLE.row(&[&load, &class, &stops, &tally.served(), &tally.refused(), &tally.lost(), &failed]);
}

/// Prints what became of the clients while workers or servers were replaced so many times, when that was asked for.
pub(crate) fn replaced(class: &str, what: &str, listeners: &str, times: usize, tally: &Tally) {
    const TABLE: Table = Table::new(&["what", "listeners", "class", "times", "served", "refused", "raced", "lost"]);
    TABLE.row(&[&what, &listeners, &class, &times, &tally.served(), &tally.refused(), &tally.raced(), &tally.lost()]);
}

/// Prints what became of the clients in a chaos, when that was asked for.
pub(crate) fn chaos(class: &str, mischiefs: usize, deaths: usize, tally: &Tally, cut: usize) {
    const TABLE: Table = Table::new(&["class", "mischiefs", "workers died", "held by them", "served", "lost"]);
    TABLE.row(&[&class, &mischiefs, &deaths, &cut, &tally.served(), &tally.lost()]);
}

/// A Markdown table, printed in a soak row by row as its tests come to an end.
pub(crate) struct Table {
    columns: &'static [&'static str],
}

impl Table {
    pub(crate) const fn new(columns: &'static [&'static str]) -> Self {
        Self { columns }
    }

    /// Prints a row, and before the first one of this table its head.
    pub(crate) fn row(&self, cells: &[&dyn Display]) {
        static PRINTED: Mutex<Vec<&'static [&'static str]>> = Mutex::new(Vec::new());
        if wanted().is_none() {
            return;
        }
        let mut printed = PRINTED.lock().expect("printing does not panic");
        if !printed.contains(&self.columns) {
            printed.push(self.columns);
            // Begins on a line of its own, whatever the test runner has written before.
            println!("\n| {} |\n|---|{}", self.columns.join(" | "), "---:|".repeat(self.columns.len() - 1));
        }
        let cells: Vec<String> = cells.iter().map(ToString::to_string).collect();
        println!("\n| {} |", cells.join(" | "));
    }
}

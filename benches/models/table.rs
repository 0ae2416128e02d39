//! The measured table, in Markdown: what `docs/worker-classes.md` shows.

use std::{fmt, time::Duration};

use crate::client::Run;

/// Rows under one heading.
pub(crate) struct Table {
    first: &'static str,
    rows: Vec<Row>,
}

/// What one model did in one scenario.
pub(crate) struct Row {
    scenario: &'static str,
    model: &'static str,
    rate: f64,
    p50: Duration,
    p99: Duration,
    most: Duration,
    cpu: Duration,
    pss_kib: usize,
}

impl Row {
    pub(crate) fn new(scenario: &'static str, model: &'static str, run: &Run, cpu: Duration, pss_kib: usize) -> Self {
        let requests = run.latencies.len() as u32;
        Self {
            scenario,
            model,
            rate: f64::from(requests) / run.elapsed.as_secs_f64(),
            p50: run.percentile(0.5),
            p99: run.percentile(0.99),
            most: run.percentile(1.0),
            cpu: cpu / requests,
            pss_kib,
        }
    }
}

impl Table {
    pub(crate) const fn new(first: &'static str) -> Self {
        Self { first, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Nothing, if nothing was measured.
    pub(crate) fn print(&self, title: &str) {
        if self.rows.is_empty() {
            return;
        }
        println!("\n{title}\n");
        println!("| {} | model | requests/s | p50 | p99 | longest | CPU per request | PSS |", self.first);
        println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
        for row in &self.rows {
            println!("{row}");
        }
        println!();
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, model, rate, p50, p99, most, cpu, pss_kib } = self;
        let mib = *pss_kib as f64 / 1024.0;
        let (p50, p99, most, cpu) = (Short(*p50), Short(*p99), Short(*most), Short(*cpu));
        write!(f, "| {scenario} | {model} | {rate:.0} | {p50} | {p99} | {most} | {cpu} | {mib:.1} MiB |")
    }
}

/// With three digits or so, in the unit that fits.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_nanos() as f64 / 1e3;
        match micros {
            0.0..100.0 => write!(f, "{micros:.1} µs"),
            100.0..1_000.0 => write!(f, "{micros:.0} µs"),
            1_000.0..100_000.0 => write!(f, "{:.1} ms", micros / 1e3),
            _ => write!(f, "{:.1} s", micros / 1e6),
        }
    }
}

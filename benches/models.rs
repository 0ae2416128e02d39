//! Which worker class for which app? The classes side by side on the same apps, and how long each takes to drain:
//! `cargo bench --package rserve --bench models`, which takes some minutes.
//!
//! One worker on the first core, its clients on the second (on a machine with one core, all on that). Criterion times
//! what it can repeat. Beside it a table tells what a time does not: latencies, the processor's time for each request, and
//! memory. Times depend on the machine and on what else runs there; compare within one run.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on ends, and the log of its server is printed")]

#[path = "models/app.rs"]
mod app;
#[path = "models/client.rs"]
mod client;
#[path = "models/drain.rs"]
mod drain;
#[path = "models/model.rs"]
mod model;
#[path = "models/scenario.rs"]
mod scenario;
// The server of the end-to-end tests, which use more of it than this.
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../tests/e2e/support/mod.rs"]
mod support;
#[path = "models/table.rs"]
mod table;

use std::{process::ExitCode, time::Duration};

use criterion::Criterion;

fn main() -> ExitCode {
    if app::is_wanted() {
        return app::main();
    }
    client::pin();
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    scenario::side_by_side(&mut criterion);
    scenario::beside_a_long_one();
    drain::time_to_drain(&mut criterion);
    criterion.final_summary();
    ExitCode::SUCCESS
}

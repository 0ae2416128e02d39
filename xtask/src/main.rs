//! The developer's commands, as `cargo xtask COMMAND`. Only the standard library, so that it builds in a second.
#![forbid(unsafe_code)]

mod ci;
mod icount;
mod plot;
mod python;
mod setup;
mod soak;
mod step;
mod tidy;

use std::{env, path::PathBuf, process::ExitCode};

const HELP: &str = "\
usage: cargo xtask COMMAND

  ci      what CI runs: set-up, fmt, tidy, clippy, tests and doctests, the Python host, rustdoc, icount --check
  tidy    the checks over the sources alone
  icount  count the codec's instructions per request into benches/icount.txt, or --check them against it
  plot    draw the table of docs/worker-classes.md into docs/worker-classes.svg
  python  build the wheel and run the tests of the Python host, for python3 or for the interpreter that follows
  soak    2000 stops under load (or SOAK=N of them), and the tables of what became of them; names of tests may follow
  setup   install what the tests need, where that is possible
";

fn main() -> ExitCode {
    let mut args = env::args().skip(1).peekable();
    let command = args.next();
    let check = command.as_deref() == Some("icount") && args.next_if_eq("--check").is_some();
    let interpreter = if command.as_deref() == Some("python") { args.next() } else { None };
    let names: Vec<String> = if command.as_deref() == Some("soak") { args.by_ref().collect() } else { Vec::new() };
    if let Some(extra) = args.next() {
        eprintln!("error: unexpected argument '{extra}'\n{HELP}");
        return ExitCode::from(2);
    }
    let root = root();
    let outcome = match command.as_deref() {
        Some("ci") => ci::run(&root),
        Some("tidy") => tidy::run(&root),
        Some("icount") => icount::run(&root, check),
        Some("plot") => plot::run(&root),
        Some("python") => python::run(&root, interpreter.as_deref()),
        Some("soak") => soak::run(&root, &names),
        Some("setup") => setup::run(&root),
        Some("help" | "-h" | "--help") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("error: no command '{other}'\n{HELP}");
            return ExitCode::from(2);
        }
        None => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root: the folder above this crate's.
fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

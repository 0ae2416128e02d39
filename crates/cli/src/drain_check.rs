//! `rserve drain-check`: what a server loses when it is stopped under load. A subcommand and not a program of its own, so
//! that it is wherever `rserve` is, and a program with an app of its own in it checks itself.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    time::Duration,
};

use clap::Parser;
use rserve_arbiter::Exit;
use rserve_drain_check::Check;

use crate::{
    flags::{number, seconds},
    terminal::{complain, show},
    usage::answer,
};

/// The word that asks for it. No app can be called so.
pub(crate) const NAME: &str = "drain-check";

/// Shows what a server loses when it is stopped under load.
///
/// Starts the server on a spare port of loopback, asks it for a page again and again, sends SIGTERM, and tells what
/// became of each request; several times, with new connections and with kept ones. Nothing is loaded but the server
/// that it has started. Exits with 0 if nothing was lost and nobody got an error, with 1 otherwise.
#[derive(Debug, Parser)]
#[command(name = "rserve drain-check", max_term_width = 110, allow_negative_numbers = true)]
#[command(override_usage = "rserve drain-check [OPTIONS] [-- RSERVE_OPTIONS...]\n       \
                            rserve drain-check [OPTIONS] --command 'PROGRAM ... {port} ...'")]
pub(crate) struct Flags {
    /// The server to check instead of rserve; {port} stands for the port on 127.0.0.1 that it is to listen on. Split
    /// into words as a shell does, but no shell runs it
    #[arg(long, value_name = "COMMAND", value_parser = words, conflicts_with = "options")]
    command: Option<Words>,

    /// What to ask for; a page that takes as long as the app's slow ones shows most
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = target)]
    path: String,

    /// Requests a second
    #[arg(long, value_name = "N", default_value = "100", value_parser = number(1, 1000))]
    rate: u32,

    /// Clients that keep their connections, in the stops with such
    #[arg(long, value_name = "N", default_value = "10", value_parser = number(1, 100))]
    clients: u32,

    /// Stops with new connections, and as many again with kept ones
    #[arg(long, value_name = "N", default_value = "3", value_parser = number(1, 100))]
    stops: u32,

    /// How long clients go on coming after SIGTERM, as they do until a balancer has learned of it
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = short_time)]
    after: Duration,

    /// How long the server may take to start, to answer and to stop before it is killed
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds(1.0))]
    patience: Duration,

    /// rserve's own options and app; without any, its defaults (and ./rserve.toml) are checked
    #[arg(last = true, value_name = "RSERVE_OPTIONS")]
    options: Vec<OsString>,
}

/// Runs it; `words` begin with [`NAME`].
pub(crate) fn run(words: &[OsString]) -> Exit {
    let flags = match Flags::try_parse_from(words) {
        Ok(flags) => flags,
        Err(error) => return answer(&error).give(),
    };
    if let Some(bind) = flags.options.iter().find(|word| is_bind(word)) {
        complain(format!("{} is drain-check's to choose: leave it out", bind.display()));
        return Exit::Usage;
    }
    check(flags)
}

fn check(flags: Flags) -> Exit {
    let is_ours = flags.command.is_none();
    let drains = flags.options.iter().any(|word| word == "--drain-on-term");
    let command = match flags.command {
        Some(Words(words)) => words,
        None => {
            let bind = ["--bind", "127.0.0.1:{port}"].map(OsString::from);
            // All words before ours, for it may be an interpreter that was told to run this.
            let program = env::args_os().take_while(|word| word != NAME);
            program.chain(flags.options).chain(bind).collect()
        }
    };
    let check = Check {
        path: flags.path,
        rate: f64::from(flags.rate),
        clients: flags.clients as usize,
        stops: flags.stops,
        after: flags.after,
        patience: flags.patience,
        ..Check::new(command)
    };
    match check.run(&mut io::stderr()) {
        Ok(report) if report.is_clean() => {
            show(format_args!("{report}\n"));
            Exit::Ok
        }
        Ok(report) => {
            show(format_args!("{report}\n"));
            if is_ours && !drains && report.lost() > 0 {
                complain("connections were lost\nhint: --drain-on-term serves everybody who has connected");
            }
            Exit::Failed
        }
        Err(error) => {
            complain(&error);
            match error {
                rserve_drain_check::Error::NoPort => Exit::Usage,
                _ => Exit::Failed,
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Words(Vec<OsString>);

fn words(text: &str) -> Result<Words, String> {
    let words = shlex::split(text).filter(|words| !words.is_empty());
    let words = words.ok_or("a program and its arguments are needed, each quote closed")?;
    Ok(Words(words.into_iter().map(Into::into).collect()))
}

fn target(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("a path begins with /, like /hello?name=you".to_owned())
    }
}

/// A load is to end soon.
fn short_time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=60.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds from 0 to 60 are needed".to_owned())
}

/// Whether the word gives an address to listen on, in any of the ways in which flags are written.
fn is_bind(word: &OsStr) -> bool {
    let word = word.to_string_lossy();
    word == "--bind" || word.starts_with("--bind=") || (word.starts_with("-b") && !word.starts_with("--"))
}

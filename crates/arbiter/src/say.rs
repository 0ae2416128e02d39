//! Notices as log lines.

use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tracing::{debug, error, info, warn};

use crate::Settings;
use crate::machine::{Death, Leave, Notice, Sig, SlotId};
use crate::page::{Clock, Page};

/// What a line may tell of a worker.
pub(crate) struct Subject {
    pub(crate) pid: Pid,
    pub(crate) page: &'static Page,
}

/// Writes the line. `killer` is what is known of a SIGKILL that was not ours; `subject` knows the workers, and those that have just died.
pub(crate) fn say(
    notice: &Notice,
    now: Instant,
    clock: Clock,
    settings: &Settings,
    addresses: &[String],
    killer: &str,
    subject: impl Fn(SlotId) -> Option<Subject>,
) {
    let pid = |slot| subject(slot).map_or(0, |subject| subject.pid.as_raw());
    let hand = |slot: &SlotId| {
        let held = subject(*slot).and_then(|subject| subject.page.hand().look(clock));
        held.map_or_else(String::new, |(label, since)| {
            format!(", {:.1} s into \"{}\"", (now - since).as_secs_f64(), label.escape_debug())
        })
    };
    match notice {
        Notice::Serving => {
            let (workers, class) = (settings.workers, settings.worker_class);
            let plural = if workers == 1 { "" } else { "s" };
            info!(
                class,
                workers,
                arbiter = std::process::id(),
                "listening on {} with {workers} {class} worker{plural}",
                unique(addresses),
            );
        }
        Notice::Draining => info!("SIGTERM: draining"),
        Notice::Leaving => {
            info!("SIGTERM: stopping; requests in hand are finished, the backlog is left (see --drain-on-term)")
        }
        Notice::Quitting => info!("quick stop"),
        Notice::Killing(left) => info!("again: killing {left} that {} left", if *left == 1 { "is" } else { "are" }),
        Notice::Ignored(Sig::Term) => info!("SIGTERM again: it changes nothing, this server is stopping already"),
        Notice::Ignored(sig @ (Sig::Hup | Sig::Usr2)) => {
            let name = if *sig == Sig::Hup { "SIGHUP" } else { "SIGUSR2" };
            info!("{name}: ignored: it has a meaning only while this server serves, and it is starting or stopping");
        }
        Notice::Ignored(sig @ (Sig::TtIn | Sig::TtOu)) => {
            let (name, bound) =
                if *sig == Sig::TtIn { ("SIGTTIN", "1024 are the most") } else { ("SIGTTOU", "one is the least") };
            info!(
                "{name}: the number of workers stays: {bound}, and while this server stops none are added or sent away"
            );
        }
        Notice::Ignored(sig) => debug!("{sig:?} changes nothing now"),
        Notice::Reloading => info!("SIGHUP: settings read; each worker serves until its successor is ready"),
        Notice::Reloaded => {
            let (workers, class) = (settings.workers, settings.worker_class);
            info!(class, workers, "reloaded: listening on {} with {workers} {class}", unique(addresses));
        }
        Notice::Target(workers) => info!(workers, "number of workers set to {workers}"),
        Notice::Deadline(workers) => {
            warn!(
                workers,
                "--graceful-timeout is over: cutting {workers} worker{}",
                if *workers == 1 { "" } else { "s" }
            );
        }
        Notice::Stuck(slot) => {
            let timeout = settings.timeout.unwrap_or_default().as_secs_f64();
            error!(
                pid = pid(*slot),
                "worker {} did not beat for {timeout} s (--timeout){}: killing it",
                pid(*slot),
                hand(slot)
            );
        }
        Notice::Overdue(slot) => {
            warn!(
                pid = pid(*slot),
                "worker {} did not leave within --graceful-timeout{}: cutting it",
                pid(*slot),
                hand(slot)
            );
        }
        Notice::Died(slot, death) => {
            error!(pid = pid(*slot), "worker {} {}{killer}{}: replacing it", pid(*slot), died(*death), hand(slot));
        }
        Notice::BootFailed(slot, death) => {
            error!(pid = pid(*slot), "worker {} {}{killer} before it was ready", pid(*slot), died(*death));
        }
        Notice::KeepsDying { failures, wait } => {
            let seconds = wait.as_secs_f64();
            warn!(
                failures,
                "{failures} workers in its place died too soon in a row: the next is started in {seconds:.1} s"
            );
        }
        Notice::SpawnFailed(wait) => warn!("a worker could not be started: trying again in {} s", wait.as_secs()),
        Notice::LeaveRequested(slot, reason) => {
            let why = match reason {
                Leave::Signal => "was sent a SIGTERM",
                Leave::MaxRequests => "has served --max-requests",
                Leave::Listener => "lacks a listener that nobody else serves",
            };
            info!(pid = pid(*slot), "worker {} {why}: it leaves once its successor is ready", pid(*slot));
        }
        Notice::GateShut(listener, last) => debug!(listener = listener.index(), last, "gate shut"),
        Notice::GateReopened(listener) => debug!(listener = listener.index(), "somebody knocked: gate reopened"),
    }
}

/// With `--reuse-port` an address has several listeners.
fn unique(addresses: &[String]) -> String {
    let mut seen = Vec::new();
    for address in addresses.iter().filter(|address| !address.is_empty()) {
        if !seen.contains(&address.as_str()) {
            seen.push(address);
        }
    }
    seen.join(", ")
}

pub(crate) fn died(death: Death) -> String {
    match death {
        Death::Code(code) => format!("exited with code {code}"),
        Death::Signal(number) => {
            let name =
                Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string());
            format!("was killed by {name}")
        }
    }
}

/// So many, in words.
pub(crate) fn connections(number: u64) -> String {
    if number == 1 { "1 connection".to_owned() } else { format!("{number} connections") }
}

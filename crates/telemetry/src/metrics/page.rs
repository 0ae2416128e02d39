use std::time::UNIX_EPOCH;

use rserve_arbiter::{Cause, ListenerStatus, Outcome, Status};

use super::write::{Page, seconds};
use super::{BUCKETS, SENT, STATES, SUM, TOOK, WAITED, codes};

/// All that there is to tell, in Prometheus' text format.
pub(super) fn page(status: &Status) -> String {
    let mut page = Page::default();
    requests(&mut page, status);
    connections(&mut page, status);
    listeners(&mut page, &status.listeners);
    workers(&mut page, status);
    drain(&mut page, status);
    page.0
}

fn requests(page: &mut Page, status: &Status) {
    let Status { counters, .. } = status;
    let codes = (0..codes::PLACES).filter(|place| counters[*place] > 0);
    let codes = codes.map(|place| (codes::name(place), counters[place]));
    page.each("rserve_http_requests_total", "counter", "Requests that were answered, by status.", "code", codes);
    let mut histogram = |name, help, start: usize| {
        page.histogram(name, help, &BUCKETS, &counters[start..start + SUM], counters[start + SUM]);
    };
    let help = "From when a request was there until its response was sent.";
    histogram("rserve_http_request_duration_seconds", help, TOOK);
    let help = "From when a request was there until the app was called.";
    histogram("rserve_http_request_wait_seconds", help, WAITED);
    let help = "Bytes of the bodies of responses.";
    page.single("rserve_http_response_body_bytes_total", "counter", help, counters[SENT]);
}

fn connections(page: &mut Page, status: &Status) {
    let help = "Connections that were accepted.";
    page.single("rserve_connections_accepted_total", "counter", help, status.accepted);
    let ended = status.ended.iter().map(|(outcome, number)| (outcome_name(*outcome), *number));
    page.each("rserve_connections_ended_total", "counter", "Connections that have ended, by how.", "outcome", ended);
    let states = STATES.iter().zip(status.gauges);
    page.each(
        "rserve_connections",
        "gauge",
        "Connections by what they wait for, as of the last second.",
        "state",
        states,
    );
}

fn listeners(page: &mut Page, listeners: &[ListenerStatus]) {
    let each = |number: fn(&ListenerStatus) -> u32| {
        // Those of one address (--reuse-port) are one to those who read this.
        let mut sums: Vec<(&str, u64)> = Vec::new();
        for listener in listeners {
            let number = u64::from(number(listener));
            match sums.iter_mut().find(|(name, _)| *name == listener.name) {
                Some((_, sum)) => *sum += number,
                None => sums.push((&listener.name, number)),
            }
        }
        sums
    };
    let help = "Connections in the kernel's queue that no worker has accepted yet.";
    page.each("rserve_listener_backlog", "gauge", help, "listener", each(|listener| listener.queue));
    let help = "How many the queue takes.";
    page.each("rserve_listener_backlog_limit", "gauge", help, "listener", each(|listener| listener.limit));
    let help = "Packets that were dropped, mostly because the queue was full.";
    page.each("rserve_listener_drops_total", "counter", help, "listener", each(|listener| listener.drops));
}

fn workers(page: &mut Page, status: &Status) {
    let Status { workers, workers_ready, workers_wanted, .. } = *status;
    let states = [("ready", workers_ready), ("other", workers.saturating_sub(workers_ready))];
    page.each("rserve_workers", "gauge", "Worker processes: ready ones, and those that boot.", "state", states);
    page.single("rserve_workers_wanted", "gauge", "Worker processes to keep.", workers_wanted);
    let replaced = status.replaced.iter().map(|(cause, number)| (cause_name(*cause), *number));
    page.each("rserve_worker_restarts_total", "counter", "Workers that were replaced, by why.", "cause", replaced);
    page.single("rserve_reloads_total", "counter", "How often the settings were read again.", status.reloads);
    let started = status.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let help = "When the arbiter was started, since the Unix epoch.";
    page.single("rserve_start_time_seconds", "gauge", help, seconds(started.as_micros() as u64));
    let version = [(env!("CARGO_PKG_VERSION"), 1)];
    page.each("rserve_build_info", "gauge", "What is running; always 1.", "version", version);
}

fn drain(page: &mut Page, status: &Status) {
    page.single("rserve_stopping", "gauge", "1 while the server stops, 0 before.", u8::from(status.stopping));
    let drain = &status.drain;
    let since = drain.since.unwrap_or_default().as_secs_f64();
    page.single("rserve_drain_seconds", "gauge", "For how long the server has been draining.", since);
    for (name, help, number) in [
        ("gates_shut", "How often a listener's gate was shut.", drain.gates_shut),
        ("gates_reopened", "How often one was lifted again because somebody knocked.", drain.gates_reopened),
        ("held_off_packets", "Packets that were dropped behind a gate.", drain.held_off),
        ("left_in_queue", "Connections that were left in a queue.", drain.left_in_queue),
    ] {
        page.single(&format!("rserve_drain_{name}_total"), "counter", help, number);
    }
}

const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Idle => "idle",
        Outcome::Silent => "silent",
        Outcome::ClientGone => "client_gone",
        Outcome::Refused => "refused",
        Outcome::Upgraded => "upgraded",
        Outcome::Aborted => "aborted",
    }
}

const fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Timeout => "timeout",
        Cause::Signal => "signal",
        Cause::Exit => "exit",
        Cause::Boot => "boot",
        Cause::MaxRequests => "max_requests",
        Cause::Asked => "asked",
        Cause::Reload => "reload",
        _ => "other",
    }
}

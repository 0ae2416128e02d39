//! The books of a drain: what was accepted, and how each ended.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use tracing::{info, warn};

use crate::machine::DoorLog;
use crate::page::{Counts, Page};
use crate::sys::gate::Gate;
use crate::{ListenerId, MAX_COUNTERS, Outcome};

/// What the workers that are gone have counted, and where the counts stood when the drain began.
#[derive(Default)]
pub(crate) struct Books {
    gone: Counts,
    gone_counters: Counters,
    gone_arrivals: BTreeMap<ListenerId, u64>,
    begun: Option<Begun>,
    gates: BTreeMap<ListenerId, Gate>,
    left_in_queue: u32,
}

struct Counters([u64; MAX_COUNTERS]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; MAX_COUNTERS])
    }
}

#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    counts: Counts,
    syncookies: Option<u64>,
}

impl Books {
    /// A drain begins, with these counts of the living workers.
    pub(crate) fn begin(&mut self, now: Instant, living: &Counts) {
        let mut counts = *living;
        counts.add(&self.gone);
        self.begun = Some(Begun { at: now, counts, syncookies: syncookies_sent() });
    }

    pub(crate) fn begun_at(&self) -> Option<Instant> {
        self.begun.map(|begun| begun.at)
    }

    pub(crate) const fn left(&self) -> u32 {
        self.left_in_queue
    }

    pub(crate) const fn gone_counters(&self) -> [u64; MAX_COUNTERS] {
        self.gone_counters.0
    }

    pub(crate) fn add_gone(&self, counts: &mut Counts) {
        counts.add(&self.gone);
    }

    /// Adds the meters of a worker that is gone.
    pub(crate) fn meters_gone(&mut self, page: &Page) {
        page.add_counters(&mut self.gone_counters.0);
    }

    pub(crate) fn draining(&self) -> bool {
        self.begun.is_some()
    }

    pub(crate) fn worker_gone(&mut self, counts: &Counts, arrivals: impl Iterator<Item = (ListenerId, u64)>) {
        self.gone.add(counts);
        for (listener, arrivals) in arrivals {
            *self.gone_arrivals.entry(listener).or_default() += arrivals;
        }
    }

    pub(crate) fn gone_arrivals(&self, listener: ListenerId) -> u64 {
        self.gone_arrivals.get(&listener).copied().unwrap_or_default()
    }

    pub(crate) fn gone_requests(&self) -> u64 {
        self.gone.requests
    }

    pub(crate) fn gate_used(&mut self, listener: ListenerId, gate: Gate) {
        self.gates.insert(listener, gate);
    }

    pub(crate) fn left_in_queue(&mut self, connections: u32) {
        self.left_in_queue += connections;
    }

    /// Writes the report: one line, in which what was accepted and what was open add up to how they ended.
    pub(crate) fn report<'a>(&self, now: Instant, doors: impl Iterator<Item = (ListenerId, &'a DoorLog)>) {
        let Some(begun) = self.begun else { return };
        let ended = since(&self.gone, &begun.counts);
        let (ids, doors): (Vec<ListenerId>, Vec<DoorLog>) = doors.map(|(id, log)| (id, *log)).unzip();
        let gate = ids.iter().map(|id| gate_name(self.gates.get(id).copied())).collect::<Vec<_>>().join(",");
        let longest = |time: fn(&DoorLog) -> f64| doors.iter().map(time).fold(0.0, f64::max);
        let sum = |number: fn(&DoorLog) -> u32| doors.iter().map(number).sum::<u32>();
        let cookies = syncookies_sent().zip(begun.syncookies).map(|(after, before)| after - before);
        if let Some(cookies) = cookies.filter(|cookies| *cookies > 0) {
            warn!(
                cookies,
                "SYN cookies were sent during the drain: handshakes made with them are not covered by the gate"
            );
        }
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    seconds = millis((now - begun.at).as_secs_f64()),
                    accepted = ended.accepted,
                    open_at_term = begun.counts.open(),
                    answered = ended.outcome(Outcome::Answered),
                    idle = ended.outcome(Outcome::Idle),
                    silent = ended.outcome(Outcome::Silent),
                    client_gone = ended.outcome(Outcome::ClientGone),
                    refused = ended.outcome(Outcome::Refused),
                    upgraded = ended.outcome(Outcome::Upgraded),
                    aborted = ended.outcome(Outcome::Aborted),
                    requests = ended.requests,
                    left_in_queue = self.left_in_queue,
                    queue_at_term = sum(|door| door.queue_at_term),
                    draining_s = millis(longest(|door| door.draining.as_secs_f64())),
                    gated_s = millis(longest(|door| door.gated.as_secs_f64())),
                    closing_s = millis(longest(|door| door.sweeping.as_secs_f64())),
                    gate,
                    gates_shut = sum(|door| door.gates_shut),
                    gates_reopened = sum(|door| door.gates_reopened),
                    held_off = sum(|door| door.held_off),
                    syncookies = cookies.unwrap_or(0),
                    "drained"
                )
            };
        }
        if ended.outcome(Outcome::Aborted) > 0 || self.left_in_queue > 0 {
            line!(warn);
        } else {
            line!(info);
        }
    }
}

/// What came after `before`.
pub(crate) fn since(after: &Counts, before: &Counts) -> Counts {
    Counts {
        accepted: after.accepted - before.accepted,
        requests: after.requests - before.requests,
        outcomes: std::array::from_fn(|index| after.outcomes[index] - before.outcomes[index]),
    }
}

fn millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn gate_name(gate: Option<Gate>) -> &'static str {
    match gate {
        Some(Gate::Filter) => "filter",
        Some(Gate::Ttl) => "ttl",
        Some(Gate::Shutdown) => "shutdown",
        None => "none",
    }
}

/// `SyncookiesSent` of this network namespace, from proc(5)'s `/proc/net/netstat`.
fn syncookies_sent() -> Option<u64> {
    let text = fs::read_to_string("/proc/net/netstat").ok()?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let place = lines.next()?.split_whitespace().position(|name| name == "SyncookiesSent")?;
    lines.next()?.split_whitespace().nth(place)?.parse().ok()
}

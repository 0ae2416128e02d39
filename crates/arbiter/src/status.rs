use std::time::{Duration, SystemTime};

use crate::{MAX_COUNTERS, MAX_GAUGES, Outcome};

/// How a server does, as its arbiter knows it: for [`Program::inform`](crate::Program::inform).
///
/// All that is counted is counted since the arbiter started, over all workers that there were.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// When the arbiter was started.
    pub started: SystemTime,
    /// Whether the server is stopping, and has begun to serve its backlog first or to finish what is in hand.
    pub stopping: bool,
    /// How many worker processes it is to keep.
    pub workers_wanted: u16,
    /// How many there are, those included that boot or leave.
    pub workers: u16,
    /// How many of them are ready.
    pub workers_ready: u16,
    /// Why workers were replaced, and how often.
    pub replaced: [(Cause, u64); Cause::ALL.len()],
    /// How often the settings were read again and taken up.
    pub reloads: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// How connections have ended. What is open is the difference.
    pub ended: [(Outcome, u64); Outcome::ALL.len()],
    /// Requests that connections have brought.
    pub requests: u64,
    /// The listeners that are open.
    pub listeners: Vec<ListenerStatus>,
    /// What a drain has done so far.
    pub drain: DrainStatus,
    /// The workers' counters: [`Meters::count`](crate::Meters::count).
    pub counters: [u64; MAX_COUNTERS],
    /// The sums of the living workers' gauges: [`Meters::set`](crate::Meters::set).
    pub gauges: [u64; MAX_GAUGES],
}

/// One listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenerStatus {
    /// Its address, as the log has it.
    pub name: String,
    /// How many connections wait in its queue to be accepted.
    pub queue: u32,
    /// How many may.
    pub limit: u32,
    /// How many packets it has dropped: mostly those of clients who found the queue full. 0 on a Unix socket.
    pub drops: u32,
}

/// What a drain has done.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct DrainStatus {
    /// For how long it has gone on; `None`: there is none.
    pub since: Option<Duration>,
    /// How often the gate of a listener was shut.
    pub gates_shut: u64,
    /// How often somebody knocked at one, so that it was lifted again.
    pub gates_reopened: u64,
    /// Packets that were dropped behind one: of clients who were kept waiting.
    pub held_off: u64,
    /// Connections that were left in a queue.
    pub left_in_queue: u64,
}

/// Why a worker was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It was stuck for longer than [`Settings::timeout`](crate::Settings::timeout), and was killed.
    Timeout,
    /// A signal killed it.
    Signal,
    /// It exited by itself.
    Exit,
    /// It could not boot.
    Boot,
    /// It has served [`Settings::max_requests`](crate::Settings::max_requests).
    MaxRequests,
    /// It was sent a SIGTERM.
    Asked,
    /// The settings were read again.
    Reload,
}

impl Cause {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Timeout, Self::Signal, Self::Exit, Self::Boot, Self::MaxRequests, Self::Asked, Self::Reload];
}

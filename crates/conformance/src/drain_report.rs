//! The line that ends a drain.

use serde_json::Value;

use crate::verdict::{Verdict, ensure};

/// The ways in which an accepted connection can end; each ends in exactly one of them.
const ENDS: [&str; 7] = ["answered", "idle", "silent", "client_gone", "refused", "upgraded", "aborted"];

/// The counts of a drain, by the names that the log gives them.
pub(crate) struct DrainReport(Value);

impl DrainReport {
    /// The message of the line that carries the report.
    pub(crate) const MESSAGE: &str = "drained";

    pub(crate) const fn new(line: Value) -> Self {
        Self(line)
    }

    /// A count, by name.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// Every connection that was there at SIGTERM or came later has ended in exactly one way.
    pub(crate) fn check_balance(&self) -> Verdict {
        let held = self.count("open_at_term") + self.count("accepted");
        let ended: u64 = ENDS.iter().map(|end| self.count(end)).sum();
        let advice = "take connections from Context::accept alone, keep the Ticket with the connection, and end it with \
                      Ticket::finish";
        ensure(held == ended, advice, || format!("the report has {held} connections and {ended} endings: {}", self.0))
    }

    /// Nothing was cut, and nothing was left to the kernel.
    pub(crate) fn check_nothing_cut(&self) -> Verdict {
        let (aborted, left) = (self.count("aborted"), self.count("left_in_queue"));
        ensure(left == 0, ACCEPT_ON, || {
            format!("{left} connections were left in the backlog when the listener closed")
        })?;
        let advice = "a Ticket that is dropped counts as aborted: call Ticket::finish with how the connection ended, and \
                      let drain_step say Pending for as long as one is in hand";
        ensure(aborted == 0, advice, || format!("{aborted} connections count as aborted, and nothing had to be cut"))
    }
}

/// What to tell the author of a class that leaves its queue behind.
pub(crate) const ACCEPT_ON: &str = "after handle_exit go on accepting for as long as Context::may_accept says so: let drain_step do what serve_step does, \
     and close nothing by yourself; clients who wait in the queue believe that they are connected";

//! What has become of workers, and why, in numbers.

use crate::Cause;
use crate::machine::{Death, Leave, Notice};

#[derive(Default)]
pub(super) struct Tally {
    replaced: [u64; Cause::ALL.len()],
    pub(super) reloads: u64,
    pub(super) stopping: bool,
}

impl Tally {
    /// Counts what the log is told, with `workers` alive.
    pub(super) fn hear(&mut self, notice: &Notice, workers: usize) {
        let cause = match notice {
            Notice::Stuck(_) => Cause::Timeout,
            Notice::Died(_, Death::Signal(_)) => Cause::Signal,
            Notice::Died(_, Death::Code(_)) => Cause::Exit,
            Notice::BootFailed(..) => Cause::Boot,
            Notice::LeaveRequested(_, Leave::MaxRequests) => Cause::MaxRequests,
            Notice::LeaveRequested(_, Leave::Signal | Leave::Listener) => Cause::Asked,
            Notice::Reloading => {
                self.reloads += 1;
                self.replaced[Cause::Reload as usize] += workers as u64;
                return;
            }
            Notice::Draining | Notice::Leaving | Notice::Quitting => {
                self.stopping = true;
                return;
            }
            _ => return,
        };
        self.replaced[cause as usize] += 1;
    }

    pub(super) fn replaced(&self) -> [(Cause, u64); Cause::ALL.len()] {
        Cause::ALL.map(|cause| (cause, self.replaced[cause as usize]))
    }
}

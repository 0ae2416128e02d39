//! The one line that ends a drain.

use serde_json::Value;

use super::log::Line;

/// The counts and times of a drain, by the names that the log gives them.
#[derive(Clone, Debug)]
pub(crate) struct Report(Line);

/// The ways in which an accepted connection can end; each ends in exactly one of them.
const ENDS: [&str; 7] = ["answered", "idle", "silent", "client_gone", "refused", "upgraded", "aborted"];

impl Report {
    /// The message of the line that carries the report.
    pub(crate) const MESSAGE: &str = "drained";

    pub(crate) fn from_line(line: &Line) -> Self {
        Self(line.clone())
    }

    /// A count, by name.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let value = self.field(name);
        value.as_u64().unwrap_or_else(|| panic!("{name} is not a count in {}", self.0.text))
    }

    /// Which gate each listener used, comma-joined.
    pub(crate) fn gate(&self) -> String {
        self.field("gate").as_str().unwrap_or_default().to_owned()
    }

    /// Every connection that was there at SIGTERM or came later ended in exactly one way.
    pub(crate) fn assert_balanced(&self) {
        let held = self.count("open_at_term") + self.count("accepted");
        let ended: u64 = ENDS.iter().map(|end| self.count(end)).sum();
        assert_eq!(held, ended, "the drain's counts do not balance: {}", self.0.text);
    }

    /// Nothing was cut and nothing was left to the kernel.
    pub(crate) fn assert_nothing_cut(&self) {
        assert_eq!(self.count("aborted"), 0, "{}", self.0.text);
        assert_eq!(self.count("left_in_queue"), 0, "{}", self.0.text);
    }

    fn field(&self, name: &str) -> Value {
        self.0.field(name).unwrap_or_else(|| panic!("no {name} in the drain's report {}", self.0.text))
    }
}

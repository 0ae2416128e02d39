//! What a server tells of itself.
//!
//! - [`LogFile`]: where lines go, for as long as the server runs: through rotations, and through times without room on the
//!   disk.
//! - [`AccessLog`]: a line for each request, in gunicorn's [`Format`] or as JSON.
//! - [`Metered`] counts requests where the arbiter sees them, and [`answer_metrics`] is the page for Prometheus; [`Statsd`] sends to a server.
#![forbid(unsafe_code)]

mod access;
mod log_file;
mod metrics;
mod observers;
mod statsd;

pub use access::{AccessLog, Format, FormatError};
pub use log_file::{LogFile, Lost};
pub use metrics::{Metered, answer as answer_metrics};
pub use observers::Observers;
pub use statsd::{Statsd, StatsdAddress, StatsdAddressError};

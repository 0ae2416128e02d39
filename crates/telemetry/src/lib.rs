//! What a server tells of itself.
//!
//! - [`LogFile`]: where lines go, for as long as the server runs: through rotations, and through times without room on the
//!   disk.
//! - [`AccessLog`]: a line for each request, in gunicorn's [`Format`] or as JSON.
#![forbid(unsafe_code)]

mod access;
mod log_file;

pub use access::{AccessLog, Format, FormatError};
pub use log_file::{LogFile, Lost};

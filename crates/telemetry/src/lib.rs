//! What a server tells of itself.
//!
//! - [`LogFile`]: where lines go, for as long as the server runs: through rotations, and through times without room on the
//!   disk.
#![forbid(unsafe_code)]

mod log_file;

pub use log_file::{LogFile, Lost};

//! End-to-end tests: the real binary, real sockets, every worker class.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, and the log of its server is printed")]

mod accept_rule;
mod access_log;
mod chaos;
mod cli;
mod containers;
mod drain_check;
mod drain_loss;
mod drain_rules;
mod handshakes;
mod harness;
mod http2;
mod http2_slow;
mod identity;
mod kill_points;
mod logs;
mod metrics;
mod mistakes;
mod patient;
mod pods;
mod process_1;
mod proxy;
mod reload;
mod replacing;
mod rolling;
mod serving;
mod settings;
mod shell;
mod statsd;
mod supervision;
mod support;
mod threaded;
mod units;
mod upgrade;

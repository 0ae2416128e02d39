//! What was typed. Parsing only: nothing is read from the environment or the file system, nothing is looked up.

mod asked;
mod identity;
mod python;
mod values;

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Command, CommandFactory, Parser, ValueEnum, value_parser};
use rserve_arbiter::Bind;
use rserve_http::AllowList;
use rserve_telemetry::{Format, StatsdAddress};

use crate::version::LONG;

const SERVER_SOCKET: &str = "Server socket";
const WORKER_PROCESSES: &str = "Worker processes";
const DRAIN: &str = "Drain";
const HTTP: &str = "HTTP limits";
const PROXIES: &str = "Proxies in front";
const LOGGING: &str = "Logging";

const TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}";

/// More processes than this on one machine is a slip: they would not fit in memory, and no machine has the cores.
const MOST_WORKERS: u32 = 1024;

/// What can be set, which is the same on the command line and in a file: each field is a setting of its name.
///
/// Names, shorts and defaults are gunicorn's wherever gunicorn has the flag. Durations are in seconds and may have
/// decimals. The ranges are wide: they are there to catch a slip of the finger before it becomes an outage.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "rserve", version, long_version = LONG, help_template = TEMPLATE, max_term_width = 110, allow_negative_numbers = true)]
#[command(args_override_self = true)] // of a flag that is given twice the last counts, as with gunicorn
#[command(about = "A pre-fork application server that stops without losing a connection.", long_about = None)]
#[command(
    after_help = "`rserve drain-check` shows what a stop under load loses; `rserve shell` prints completions and man \
                        pages. Each has a --help."
)]
pub(crate) struct Flags {
    /// The app to serve, by name [default: the first one built in]
    pub(crate) app: Option<String>,

    /// Change to this folder before the app is loaded
    #[arg(long, value_name = "FOLDER")]
    pub(crate) chdir: Option<PathBuf>,

    /// Address to listen on; may be repeated: host:port, [v6]:port, :port (every IPv4 interface), unix:PATH
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:8000", help_heading = SERVER_SOCKET)]
    pub(crate) bind: Vec<Bind>,

    /// Connections that the kernel queues until a worker accepts them (it may cap this: net.core.somaxconn)
    #[arg(long, value_name = "N", default_value = "2048", help_heading = SERVER_SOCKET)]
    // 65535 is what listen(2) took at most before Linux 4.1; a queue that long is minutes of waiting.
    #[arg(value_parser = values::number(1, 65_535))]
    pub(crate) backlog: u32,

    /// Give each worker a listener of its own at every TCP address (SO_REUSEPORT)
    #[arg(long, help_heading = SERVER_SOCKET)]
    pub(crate) reuse_port: bool,

    /// File to write the arbiter's process id to
    #[arg(short, long, value_name = "FILE", help_heading = SERVER_SOCKET)]
    pub(crate) pid: Option<PathBuf>,

    /// Worker processes to keep [default: $WEB_CONCURRENCY, or 1]
    #[arg(short, long, value_name = "N", default_value = "1", hide_default_value = true)]
    #[arg(help_heading = WORKER_PROCESSES, value_parser = values::number(1, MOST_WORKERS))]
    pub(crate) workers: u32,

    /// How a worker serves its requests
    #[arg(short = 'k', long, value_name = "CLASS", default_value = "sync", help_heading = WORKER_PROCESSES)]
    pub(crate) worker_class: String,

    /// Threads that run the app in each worker; with sync, above 1 means threaded
    #[arg(long, value_name = "N", default_value = "1", help_heading = WORKER_PROCESSES)]
    // Each may hold a request, its body and a stack; more than this is a slip.
    #[arg(value_parser = values::number(1, 4096))]
    pub(crate) threads: u32,

    /// Connections that one worker holds at most
    #[arg(long, value_name = "N", default_value = "1000", help_heading = WORKER_PROCESSES)]
    // Linux gives a process at most fs.nr_open descriptors, 1048576 by default.
    #[arg(value_parser = values::number(1, 1_000_000))]
    pub(crate) worker_connections: u32,

    /// Replace a worker that has been stuck in one request for this long; 0: never
    #[arg(short, long, value_name = "SECONDS", default_value = "30", help_heading = WORKER_PROCESSES)]
    // Below a second, a machine that is merely busy looks like a worker that is stuck.
    #[arg(value_parser = values::seconds_or_zero(1.0))]
    pub(crate) timeout: Duration,

    /// How long a graceful stop may take; what is still in hand then is cut, counted and named
    #[arg(long, value_name = "SECONDS", default_value = "30", help_heading = WORKER_PROCESSES)]
    #[arg(value_parser = values::seconds(0.1))]
    pub(crate) graceful_timeout: Duration,

    /// Replace a worker that has served this many requests; 0: never
    #[arg(long, value_name = "N", default_value = "0", help_heading = WORKER_PROCESSES)]
    #[arg(value_parser = values::number(0, u32::MAX))]
    pub(crate) max_requests: u32,

    /// Add to --max-requests a number from 0 to this, by chance, for each worker
    #[arg(long, value_name = "N", default_value = "0", help_heading = WORKER_PROCESSES)]
    #[arg(value_parser = values::number(0, u32::MAX))]
    pub(crate) max_requests_jitter: u32,

    /// Workers that a reload (SIGHUP) replaces at a time; 0: all
    #[arg(long, value_name = "N", default_value = "0", help_heading = WORKER_PROCESSES)]
    #[arg(value_parser = values::number(0, 1024))]
    pub(crate) reload_step: u32,

    /// On SIGTERM serve everybody who has connected before exiting, the backlog included
    #[arg(long, help_heading = DRAIN)]
    pub(crate) drain_on_term: bool,

    /// Stop listening once no request has arrived for this long after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value = "2", help_heading = DRAIN)]
    #[arg(value_parser = values::seconds(0.05))]
    pub(crate) drain_quiet: Duration,

    /// Stop listening this long after SIGTERM even if requests keep arriving; 0: at once
    #[arg(long, value_name = "SECONDS", default_value = "10", help_heading = DRAIN)]
    #[arg(value_parser = values::seconds_or_zero(0.05))]
    pub(crate) drain_open: Duration,

    /// A path at which rserve itself answers health checks, with 200, which hold no drain up; may be repeated
    /// [default: /healthz for the demo app, none otherwise]
    #[arg(long, value_name = "PATH", help_heading = DRAIN, value_parser = values::path)]
    pub(crate) health_path: Vec<String>,

    /// What rserve answers at a --health-path during a drain
    #[arg(long, value_name = "STATUS", default_value = "200", help_heading = DRAIN)]
    pub(crate) drain_health: DrainHealth,

    /// Keep an idle connection open for this long [default: 2, but with sync 0]
    #[arg(long, value_name = "SECONDS", help_heading = HTTP, value_parser = values::seconds_or_zero(0.1))]
    pub(crate) keep_alive: Option<Duration>,

    /// How long a client may take to send the head of a request
    #[arg(long, value_name = "SECONDS", default_value = "30", help_heading = HTTP, value_parser = values::seconds(0.1))]
    pub(crate) header_timeout: Duration,

    /// How long a client may take to send each 4 KiB of a body
    #[arg(long, value_name = "SECONDS", default_value = "30", help_heading = HTTP, value_parser = values::seconds(0.1))]
    pub(crate) body_timeout: Duration,

    /// How long a client may take none of its response
    #[arg(long, value_name = "SECONDS", default_value = "60", help_heading = HTTP, value_parser = values::seconds(0.1))]
    pub(crate) write_timeout: Duration,

    /// Longest request line, in bytes
    #[arg(long, value_name = "BYTES", default_value = "4094", help_heading = HTTP)]
    // The shortest request line, "GET / HTTP/1.1", has 16 bytes with its end; 8190 is gunicorn's most.
    #[arg(value_parser = values::number(16, 8190))]
    pub(crate) limit_request_line: u32,

    /// Header fields in one request at most
    #[arg(long, value_name = "N", default_value = "100", help_heading = HTTP)]
    // What the codec and http::HeaderMap hold; gunicorn takes twice as many.
    #[arg(value_parser = values::number(1, 16_384))]
    pub(crate) limit_request_fields: u32,

    /// Longest header field, name and value, in bytes
    #[arg(long, value_name = "BYTES", default_value = "8190", help_heading = HTTP)]
    // Shorter than 16, and no browser's request gets in; longer than 65535, and http::HeaderName does not hold it.
    #[arg(value_parser = values::number(16, 65_535))]
    pub(crate) limit_request_field_size: u32,

    /// Expect a PROXY protocol header at the beginning of each connection from --proxy-allow-from; without MODE: auto
    #[arg(long, value_name = "MODE", default_value = "off", ignore_case = true, help_heading = PROXIES)]
    #[arg(num_args = 0..=1, default_missing_value = "auto")]
    pub(crate) proxy_protocol: ProxyMode,

    /// Addresses and networks, with commas between them, that must send a PROXY header; others must not; *: all must
    #[arg(long, value_name = "LIST", default_value = "127.0.0.1,::1", help_heading = PROXIES)]
    pub(crate) proxy_allow_from: AllowList,

    /// Addresses and networks whose X-Forwarded-* fields are believed; *: all [default: $FORWARDED_ALLOW_IPS, or
    /// 127.0.0.1,::1]
    #[arg(long, value_name = "LIST", default_value = "127.0.0.1,::1", hide_default_value = true)]
    #[arg(help_heading = PROXIES)]
    pub(crate) forwarded_allow_ips: AllowList,

    #[command(flatten)]
    pub(crate) identity: IdentityFlags,

    #[command(flatten)]
    pub(crate) python: PythonFlags,

    /// File to log to; -: standard error. SIGUSR1 opens it anew
    #[arg(long, visible_alias = "error-logfile", value_name = "FILE", default_value = "-", help_heading = LOGGING)]
    pub(crate) log_file: PathBuf,

    /// File to log each request to; -: standard output [default: none]
    #[arg(long, value_name = "FILE", help_heading = LOGGING)]
    pub(crate) access_logfile: Option<PathBuf>,

    /// What a line of the --access-logfile says, with gunicorn's atoms; or json
    #[arg(long, value_name = "FORMAT", default_value = Format::DEFAULT, help_heading = LOGGING)]
    pub(crate) access_logformat: Format,

    /// Serve metrics for Prometheus at this address; a port alone is one of 127.0.0.1 [default: none]
    #[arg(long, value_name = "ADDRESS", help_heading = LOGGING, value_parser = values::local_address)]
    pub(crate) metrics_bind: Option<Bind>,

    /// Send metrics to the statsd server at host:port or unix://PATH, with gunicorn's names [default: none]
    #[arg(long, value_name = "ADDRESS", help_heading = LOGGING)]
    pub(crate) statsd_host: Option<StatsdAddress>,

    /// What stands before the names of these metrics
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true, help_heading = LOGGING)]
    pub(crate) statsd_prefix: String,

    /// Tags behind each of them, with commas between them, for Datadog's statsd
    #[arg(long, value_name = "TAGS", default_value = "", hide_default_value = true, help_heading = LOGGING)]
    pub(crate) dogstatsd_tags: String,

    /// Send what the app prints to the --log-file, too
    #[arg(long, help_heading = LOGGING)]
    pub(crate) capture_output: bool,

    /// Least important messages to log; critical is the same as error
    #[arg(long, value_name = "LEVEL", default_value = "info", ignore_case = true, help_heading = LOGGING)]
    pub(crate) log_level: LogLevel,

    /// One line per message, for people or for machines
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = LOGGING)]
    pub(crate) log_format: LogFormat,
}

/// The settings as clap knows them: the one list of what there is.
///
/// A plain flag is on, as gunicorn's are, and `--flag=false` is off again where a file has turned it on.
pub(crate) fn settings() -> Command {
    Flags::command().mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .value_parser(value_parser!(bool))
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .hide_possible_values(true),
        _ => arg,
    })
}

/// gunicorn's names for the versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProxyMode {
    Off,
    V1,
    V2,
    Auto,
}

/// What a health check is told during a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DrainHealth {
    #[value(name = "200")]
    Ok,
    #[value(name = "503")]
    Unavailable,
}

/// gunicorn's names for the levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

pub(crate) use asked::Asked;
pub(crate) use identity::IdentityFlags;
pub(crate) use python::{HeaderMode, PythonFlags};
pub(crate) use values::{number, seconds};

#[cfg(test)]
mod tests;

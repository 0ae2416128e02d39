//! What the flags mean: the settings of each part, with what depends on the app and on the worker class.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::StatusCode;
use rserve_arbiter::{DrainSettings, Settings};
use rserve_event_loop::HttpSettings;
use rserve_http::{Limits, ProxyProtocol};

use crate::{
    Error,
    flags::{DrainHealth, Flags, ProxyMode},
    health::Health,
};

/// How long an idle connection is kept by default; gunicorn's value.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// What each part of the server is told.
pub(crate) struct Config {
    pub(crate) arbiter: Settings,
    pub(crate) http: HttpSettings,
    pub(crate) health: Health,
    pub(crate) threads: usize,
}

impl Config {
    /// Reads the flags; `health_path` is the app's own, if it has one.
    pub(crate) fn new(flags: &Flags, worker_class: &'static str, health_path: Option<&str>) -> Result<Self, Error> {
        let mut seen = HashSet::new();
        if let Some(twice) = flags.bind.iter().find(|bind| !seen.insert(bind.to_string())) {
            return Err(Error::Usage(format!("the address {twice} is given twice to --bind")));
        }
        let drain = DrainSettings { quiet: flags.drain_quiet, open: flags.drain_open };
        let arbiter = Settings {
            binds: flags.bind.clone(),
            backlog: flags.backlog,
            workers: u16::try_from(flags.workers).expect("invariant: no more workers pass than a u16 holds"),
            timeout: unless_zero(flags.timeout),
            graceful_timeout: flags.graceful_timeout,
            drain: flags.drain_on_term.then_some(drain),
            max_requests: (flags.max_requests > 0).then_some(flags.max_requests.into()),
            max_requests_jitter: flags.max_requests_jitter.into(),
            reload_step: u16::try_from(flags.reload_step).expect("invariant: no larger step passes than a u16 holds"),
            reuse_port: flags.reuse_port,
            pid_file: flags.pid.clone(),
            identity: flags.identity.find()?,
            name: flags.identity.name.clone(),
            desk: flags.metrics_bind.clone(),
            worker_class,
        };
        let http = HttpSettings {
            forwarded_allow_ips: Arc::new(flags.forwarded_allow_ips.clone()),
            keep_alive: keep_alive(flags, worker_class),
            ..http(flags, health_path)
        };
        let health = Health {
            paths: http.health_paths.clone(),
            in_a_drain: match flags.drain_health {
                DrainHealth::Ok => StatusCode::OK,
                DrainHealth::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            },
        };
        Ok(Self { arbiter, http, health, threads: flags.threads as usize })
    }
}

fn http(flags: &Flags, health_path: Option<&str>) -> HttpSettings {
    let health_paths = match (&flags.health_path[..], health_path) {
        ([], Some(path)) => vec![path.to_owned()],
        (typed, _) => typed.to_vec(),
    };
    HttpSettings {
        limits: Limits {
            request_line: flags.limit_request_line as usize,
            fields: flags.limit_request_fields as usize,
            field_size: flags.limit_request_field_size as usize,
            ..Limits::default()
        },
        worker_connections: flags.worker_connections as usize,
        head_timeout: flags.header_timeout,
        body_timeout: flags.body_timeout,
        write_timeout: flags.write_timeout,
        health_paths,
        proxy_protocol: match flags.proxy_protocol {
            ProxyMode::Off => None,
            ProxyMode::V1 => Some(ProxyProtocol::V1),
            ProxyMode::V2 => Some(ProxyProtocol::V2),
            ProxyMode::Auto => Some(ProxyProtocol::Auto),
        },
        proxy_allow_from: flags.proxy_allow_from.clone(),
        ..HttpSettings::default()
    }
}

/// A connection that is kept stays with its worker, where its next request may wait although a sibling is idle. In a
/// class that runs one request at a time that is the rule, so there it has to be asked for.
fn keep_alive(flags: &Flags, worker_class: &str) -> Option<Duration> {
    match flags.keep_alive {
        Some(typed) => unless_zero(typed),
        None if worker_class == rserve_worker_sync::CLASS.name => None,
        None => Some(KEEP_ALIVE),
    }
}

fn unless_zero(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::flags::settings;

    fn config(words: &[&str]) -> Result<Config, String> {
        Config::new(&flags(words), "sync", Some("/healthz")).map_err(|error| error.to_string())
    }

    fn flags(words: &[&str]) -> Flags {
        let matches = settings().try_get_matches_from([&["rserve"], words].concat()).unwrap();
        Flags::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn the_proxy_protocol_is_off_auto_or_of_one_version() {
        for (words, protocol) in [
            (&[][..], None),
            (&["--proxy-protocol"], Some(ProxyProtocol::Auto)),
            (&["--proxy-protocol", "auto"], Some(ProxyProtocol::Auto)),
            (&["--proxy-protocol", "off"], None),
            (&["--proxy-protocol=v1"], Some(ProxyProtocol::V1)),
            (&["--proxy-protocol=V2"], Some(ProxyProtocol::V2)),
            (&["--proxy-protocol", "--proxy-allow-from", "*"], Some(ProxyProtocol::Auto)),
        ] {
            assert_eq!(config(words).unwrap().http.proxy_protocol, protocol, "{words:?}");
        }
        let list = config(&["--proxy-allow-from", "10.0.0.0/8,::1"]).unwrap().http.proxy_allow_from;
        assert_eq!(list, "10.0.0.0/8,::1".parse().unwrap());
    }

    #[test]
    fn zero_seconds_means_none_where_it_may_be_said() {
        let config = config(&["--timeout", "0", "--keep-alive", "0", "--drain-on-term", "--drain-open", "0"]).unwrap();
        assert_eq!((config.arbiter.timeout, config.http.keep_alive), (None, None));
        assert_eq!(config.arbiter.drain.unwrap().open, Duration::ZERO);
    }

    #[test]
    fn connections_are_kept_unless_the_class_is_sync() {
        let kept = |words: &[&str], class| Config::new(&flags(words), class, None).unwrap().http.keep_alive;
        for (words, sync, another) in [
            (&[][..], None, Some(Duration::from_secs(2))),
            (&["--keep-alive", "0"], None, None),
            (&["--keep-alive", "5"], Some(Duration::from_secs(5)), Some(Duration::from_secs(5))),
        ] {
            assert_eq!((kept(words, "sync"), kept(words, "another")), (sync, another), "{words:?}");
        }
    }

    #[test]
    fn the_drain_is_off_unless_asked_for() {
        assert!(config(&["--drain-quiet", "1"]).unwrap().arbiter.drain.is_none());
    }

    #[test]
    fn the_defaults_of_the_parts_are_those_of_the_flags() {
        let config = config(&["--drain-on-term"]).unwrap();
        let arbiter = Settings::default();
        assert_eq!((config.arbiter.timeout, config.arbiter.backlog), (arbiter.timeout, arbiter.backlog));
        assert_eq!(config.arbiter.graceful_timeout, arbiter.graceful_timeout);
        assert_eq!(config.arbiter.drain, Some(DrainSettings::default()));
        let http = HttpSettings::default();
        assert_eq!((config.http.limits, config.http.keep_alive), (http.limits, http.keep_alive));
        assert_eq!(config.http.worker_connections, http.worker_connections);
        let times = |http: &HttpSettings| [http.head_timeout, http.body_timeout, http.write_timeout];
        assert_eq!(times(&config.http), times(&http));
        assert_eq!((config.http.proxy_protocol, &config.http.proxy_allow_from), (None, &http.proxy_allow_from));
        assert_eq!(config.http.forwarded_allow_ips, http.forwarded_allow_ips);
    }

    #[test]
    fn an_apps_own_health_path_yields_to_those_that_are_typed() {
        assert_eq!(config(&[]).unwrap().http.health_paths, ["/healthz"]);
        assert_eq!(config(&["--health-path", "/a", "--health-path", "/b"]).unwrap().http.health_paths, ["/a", "/b"]);
    }

    #[test]
    fn one_address_twice_is_refused() {
        let error = config(&["-b", ":80", "-b", "0.0.0.0:80"]).err().unwrap();
        assert_eq!(error, "the address 0.0.0.0:80 is given twice to --bind");
    }
}

//! What the flags mean: the settings of each part, with the environment's say and what depends on the app.

use std::{collections::HashSet, env, sync::Arc, time::Duration};

use rserve_arbiter::{DrainSettings, Settings};
use rserve_event_loop::HttpSettings;
use rserve_http::{AllowList, Limits, ProxyProtocol};

use crate::{
    Error,
    flags::{Flags, ProxyMode, parse_workers},
};

/// The variable that says how many workers, where the flag does not; hosting platforms set it.
const WEB_CONCURRENCY: &str = "WEB_CONCURRENCY";

/// gunicorn's variable that says whose forwarded fields are believed, where the flag does not.
const FORWARDED_ALLOW_IPS: &str = "FORWARDED_ALLOW_IPS";

/// How long an idle connection is kept by default; gunicorn's value.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    web_concurrency: Option<String>,
    forwarded_allow_ips: Option<String>,
}

impl Environment {
    pub(crate) fn read() -> Self {
        // What is not text cannot be right, and is better shown than overlooked.
        let read = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self { web_concurrency: read(WEB_CONCURRENCY), forwarded_allow_ips: read(FORWARDED_ALLOW_IPS) }
    }
}

/// What each part of the server is told.
pub(crate) struct Config {
    pub(crate) arbiter: Settings,
    pub(crate) http: HttpSettings,
    pub(crate) threads: usize,
}

impl Config {
    /// Reads the flags; `health_path` is the app's own, if it has one.
    pub(crate) fn new(
        flags: &Flags,
        worker_class: &'static str,
        environment: &Environment,
        health_path: Option<&str>,
    ) -> Result<Self, Error> {
        let mut seen = HashSet::new();
        if let Some(twice) = flags.bind.iter().find(|bind| !seen.insert(bind.to_string())) {
            return Err(Error::Usage(format!("the address {twice} is given twice to --bind")));
        }
        let drain = DrainSettings { quiet: flags.drain_quiet, open: flags.drain_open };
        let arbiter = Settings {
            binds: flags.bind.clone(),
            backlog: flags.backlog,
            workers: workers(flags, environment.web_concurrency.as_deref())?,
            timeout: unless_zero(flags.timeout),
            graceful_timeout: flags.graceful_timeout,
            drain: flags.drain_on_term.then_some(drain),
            max_requests: (flags.max_requests > 0).then_some(flags.max_requests.into()),
            max_requests_jitter: flags.max_requests_jitter.into(),
            reload_step: u16::try_from(flags.reload_step).expect("invariant: no larger step passes than a u16 holds"),
            worker_class,
        };
        let forwarded = environment.forwarded_allow_ips.as_deref();
        let http = HttpSettings {
            forwarded_allow_ips: Arc::new(forwarded_allow_ips(flags, forwarded)?),
            keep_alive: keep_alive(flags, worker_class),
            ..http(flags, health_path)
        };
        Ok(Self { arbiter, http, threads: flags.threads as usize })
    }
}

fn workers(flags: &Flags, web_concurrency: Option<&str>) -> Result<u16, Error> {
    let workers = match (flags.workers, web_concurrency) {
        (Some(typed), _) => typed,
        // A platform that sets the variable to nothing means nothing by it.
        (None, None | Some("")) => 1,
        (None, Some(text)) => parse_workers(text)
            .map_err(|needed| Error::Usage(format!("invalid value '{text}' for {WEB_CONCURRENCY}: {needed}")))?,
    };
    Ok(u16::try_from(workers).expect("invariant: no more workers pass than a u16 holds"))
}

fn forwarded_allow_ips(flags: &Flags, variable: Option<&str>) -> Result<AllowList, Error> {
    match (&flags.forwarded_allow_ips, variable) {
        (Some(typed), _) => Ok(typed.clone()),
        (None, None) => Ok(AllowList::default()),
        // Of a list of trust the cautious reading: one that is set to nothing trusts nobody.
        (None, Some(text)) => text
            .parse()
            .map_err(|error| Error::Usage(format!("invalid value '{text}' for {FORWARDED_ALLOW_IPS}: {error}"))),
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
    use clap::Parser;

    use super::*;

    fn config(words: &[&str], web_concurrency: Option<&str>) -> Result<Config, String> {
        config_in(words, Environment { web_concurrency: web_concurrency.map(str::to_owned), ..Environment::default() })
    }

    fn config_in(words: &[&str], environment: Environment) -> Result<Config, String> {
        let flags = Flags::try_parse_from([&["rserve"], words].concat()).unwrap();
        Config::new(&flags, "sync", &environment, Some("/healthz")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flag_outranks_the_environment() {
        for (words, variable, workers) in [
            (&[][..], None, 1),
            (&[], Some(""), 1),
            (&[], Some("3"), 3),
            (&["-w", "2"], Some("3"), 2),
            (&["-w", "2"], Some("nonsense"), 2),
        ] {
            assert_eq!(config(words, variable).unwrap().arbiter.workers, workers, "{words:?} {variable:?}");
        }
    }

    #[test]
    fn a_wrong_variable_is_named() {
        for value in ["0", "many", "1025"] {
            let error = config(&[], Some(value)).err().unwrap();
            assert_eq!(
                error,
                format!("invalid value '{value}' for WEB_CONCURRENCY: a number from 1 to 1024 is needed")
            );
        }
    }

    #[test]
    fn whose_word_is_believed_is_said_by_the_flag_or_the_environment() {
        let variable =
            |text: &str| Environment { forwarded_allow_ips: Some(text.to_owned()), ..Environment::default() };
        for (words, text, list) in [
            (&[][..], "10.0.0.0/8", "10.0.0.0/8"),
            (&[], "*", "*"),
            (&[], "", ""),
            (&["--forwarded-allow-ips", "::1"], "10.0.0.0/8", "::1"),
            (&["--forwarded-allow-ips", ""], "*", ""),
            (&["--forwarded-allow-ips", "::1"], "nonsense", "::1"),
        ] {
            let believed = config_in(words, variable(text)).unwrap().http.forwarded_allow_ips;
            assert_eq!(*believed, list.parse().unwrap(), "{words:?} {text:?}");
        }
        assert_eq!(
            config_in(&[], variable("10.0.0.1/8")).err().unwrap(),
            "invalid value '10.0.0.1/8' for FORWARDED_ALLOW_IPS: '10.0.0.1/8' has bits beyond its prefix: write 10.0.0.0/8 \
             for the network"
        );
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
            assert_eq!(config(words, None).unwrap().http.proxy_protocol, protocol, "{words:?}");
        }
        let list = config(&["--proxy-allow-from", "10.0.0.0/8,::1"], None).unwrap().http.proxy_allow_from;
        assert_eq!(list, "10.0.0.0/8,::1".parse().unwrap());
    }

    #[test]
    fn zero_seconds_means_none_where_it_may_be_said() {
        let config =
            config(&["--timeout", "0", "--keep-alive", "0", "--drain-on-term", "--drain-open", "0"], None).unwrap();
        assert_eq!((config.arbiter.timeout, config.http.keep_alive), (None, None));
        assert_eq!(config.arbiter.drain.unwrap().open, Duration::ZERO);
    }

    #[test]
    fn connections_are_kept_unless_the_class_is_sync() {
        let kept = |words: &[&str], class| {
            let flags = Flags::try_parse_from([&["rserve"], words].concat()).unwrap();
            Config::new(&flags, class, &Environment::default(), None).unwrap().http.keep_alive
        };
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
        assert!(config(&["--drain-quiet", "1"], None).unwrap().arbiter.drain.is_none());
    }

    #[test]
    fn the_defaults_of_the_parts_are_those_of_the_flags() {
        let config = config(&["--drain-on-term"], None).unwrap();
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
        assert_eq!(config(&[], None).unwrap().http.health_paths, ["/healthz"]);
        assert_eq!(
            config(&["--health-path", "/a", "--health-path", "/b"], None).unwrap().http.health_paths,
            ["/a", "/b"]
        );
    }

    #[test]
    fn one_address_twice_is_refused() {
        let error = config(&["-b", ":80", "-b", "0.0.0.0:80"], None).err().unwrap();
        assert_eq!(error, "the address 0.0.0.0:80 is given twice to --bind");
    }
}

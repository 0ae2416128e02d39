use clap::{Args, FromArgMatches, error::ErrorKind};
use expect_test::{Expect, expect, expect_file};

use super::*;
use crate::usage::{Answer, answer};

fn parse(words: &[&str]) -> Result<Flags, clap::Error> {
    Flags::from_arg_matches(&settings().try_get_matches_from([&["rserve"], words].concat())?)
}

#[track_caller]
fn refused(words: &[&str], expected: &Expect) {
    let Answer::Wrong(text) = answer(&parse(words).unwrap_err()) else { panic!("{words:?} is no error") };
    assert!(text.lines().count() <= 2, "{text}");
    expected.assert_eq(&format!("error: {text}"));
}

#[test]
fn clap_finds_no_fault_in_the_definition() {
    Asked::augment_args(settings()).debug_assert();
}

/// As a file calls it, which knows nothing else of the flags.
#[test]
fn every_setting_has_the_name_of_its_flag() {
    for arg in settings().get_arguments().filter(|arg| !arg.is_positional()) {
        assert_eq!(arg.get_long().unwrap().replace('-', "_"), arg.get_id().as_str());
    }
}

#[test]
fn a_plain_flag_is_on_and_can_be_said_to_be_off() {
    for (words, on) in [
        (&["--drain-on-term", "hello"][..], true),
        (&["--drain-on-term=true"], true),
        (&["--drain-on-term=false", "hello"], false),
        (&["--drain-on-term", "--drain-on-term=false"], false),
    ] {
        assert_eq!(parse(words).unwrap().drain_on_term, on, "{words:?}");
    }
}

#[test]
fn the_help_is_grouped_by_topic() {
    let help = Asked::augment_args(settings()).term_width(100).render_help().to_string();
    expect_file!["help.txt"].assert_eq(&help);
}

#[test]
fn the_defaults_are_gunicorns() {
    let flags = parse(&[]).unwrap();
    assert_eq!(flags.bind, ["127.0.0.1:8000".parse().unwrap()]);
    assert_eq!((flags.backlog, flags.workers, flags.worker_class.as_str()), (2048, 1, "sync"));
    assert_eq!((flags.timeout.as_secs(), flags.graceful_timeout.as_secs(), flags.keep_alive), (30, 30, None));
    assert_eq!(
        (flags.limit_request_line, flags.limit_request_fields, flags.limit_request_field_size),
        (4094, 100, 8190)
    );
    assert_eq!((flags.threads, flags.worker_connections, flags.drain_on_term), (1, 1000, false));
    assert_eq!((flags.log_level, flags.log_format), (LogLevel::Info, LogFormat::Text));
}

#[test]
fn of_a_flag_that_is_given_twice_the_last_counts() {
    let flags = parse(&["--workers", "2", "--log-format=text", "-w3", "--log-format=json"]).unwrap();
    assert_eq!((flags.workers, flags.log_format), (3, LogFormat::Json));
}

#[test]
fn shorts_and_repeated_flags() {
    let flags = parse(&["-b", ":80", "-b", "unix:/run/a.sock", "-w", "4", "-k", "sync", "-t", "0", "hello"]).unwrap();
    assert_eq!(flags.bind.len(), 2);
    assert_eq!((flags.workers, flags.timeout, flags.app.as_deref()), (4, Duration::ZERO, Some("hello")));
}

#[test]
fn durations_take_decimals() {
    let flags = parse(&["--drain-quiet", "0.25", "--drain-open", "0", "--keep-alive", "1.5"]).unwrap();
    assert_eq!(flags.drain_quiet, Duration::from_millis(250));
    assert_eq!(flags.drain_open, Duration::ZERO);
    assert_eq!(flags.keep_alive, Some(Duration::from_millis(1500)));
}

#[test]
fn level_names_ignore_case() {
    assert_eq!(parse(&["--log-level", "WARNING"]).unwrap().log_level, LogLevel::Warning);
}

#[test]
fn help_and_version_are_no_errors() {
    for (word, kind) in [("--help", ErrorKind::DisplayHelp), ("--version", ErrorKind::DisplayVersion)] {
        let error = parse(&[word]).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(matches!(answer(&error), Answer::Shown(_)));
    }
}

#[test]
fn every_number_has_its_range() {
    for (flag, wrong) in [
        ("--workers", &["0", "1025", "-1", "two", ""][..]),
        ("--threads", &["0", "4097"]),
        ("--backlog", &["0", "65536"]),
        ("--worker-connections", &["0", "1000001"]),
        ("--timeout", &["0.5", "86401", "-1", "nan", "inf", "1e300", "30s", ""]),
        ("--graceful-timeout", &["0", "86401"]),
        ("--drain-quiet", &["0", "86401"]),
        ("--drain-open", &["0.01", "86401"]),
        ("--keep-alive", &["0.01", "86401"]),
        ("--limit-request-line", &["0", "8191"]),
        ("--limit-request-fields", &["0", "16385"]),
        ("--limit-request-field-size", &["0", "65536"]),
        ("--proxy-protocol", &["v3", "true", ""]),
        ("--proxy-allow-from", &["localhost", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.1:80", "::1,x"]),
        ("--forwarded-allow-ips", &["localhost", "10.0.0.1/8", "*.*"]),
        ("--drain-on-term", &["yes", "1", ""]),
        ("--health-path", &["healthz", "/a b", "/a?b", ""]),
    ] {
        for value in wrong {
            let error = parse(&[&format!("{flag}={value}")]).expect_err(&format!("{flag}={value}"));
            let Answer::Wrong(text) = answer(&error) else { panic!("{flag}={value} is no error") };
            assert!(text.contains(flag), "{flag}={value}: {text}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_to_do() {
    refused(&["-w", "0"], &expect!["error: invalid value '0' for '--workers <N>': a number from 1 to 1024 is needed"]);
    refused(
        &["-t", "30s"],
        &expect!["error: invalid value '30s' for '--timeout <SECONDS>': 0, or seconds from 1 to 86400, are needed"],
    );
    refused(
        &["--graceful-timeout", "0"],
        &expect!["error: invalid value '0' for '--graceful-timeout <SECONDS>': seconds from 0.1 to 86400 are needed"],
    );
    refused(
        &["-b", "::1"],
        &expect![
            "error: invalid value '::1' for '--bind <ADDRESS>': write an IPv6 address in brackets, like [::1]:8000"
        ],
    );
    refused(
        &["--wrkers", "2"],
        &expect![[r#"
        error: unexpected argument '--wrkers' found
        hint: a similar argument exists: '--workers'"#]],
    );
    refused(
        &["--zzz"],
        &expect![[r#"
        error: unexpected argument '--zzz' found
        hint: --help lists what there is"#]],
    );
    refused(
        &["--log-level", "trace"],
        &expect![
            "error: invalid value 'trace' for '--log-level <LEVEL>' [possible values: debug, info, warning, error, critical]"
        ],
    );
    refused(&["--bind"], &expect!["error: a value is required for '--bind <ADDRESS>' but none was supplied"]);
    refused(
        &["one", "two"],
        &expect![[r#"
        error: unexpected argument 'two' found
        hint: --help lists what there is"#]],
    );
    refused(
        &["--proxy-allow-from", "::1,10.0.0.1/8"],
        &expect![
            "error: invalid value '::1,10.0.0.1/8' for '--proxy-allow-from <LIST>': '10.0.0.1/8' has bits beyond its prefix: write 10.0.0.0/8 for the network"
        ],
    );
    refused(
        &["--forwarded-allow-ips", "localhost"],
        &expect![
            "error: invalid value 'localhost' for '--forwarded-allow-ips <LIST>': 'localhost' is not an IP address, a network like 10.0.0.0/8, or *"
        ],
    );
    refused(
        &["--health-path", "healthz"],
        &expect![
            "error: invalid value 'healthz' for '--health-path <PATH>': a path begins with / and has no query, like /healthz"
        ],
    );
}

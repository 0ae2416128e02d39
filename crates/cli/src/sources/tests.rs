use std::{collections::HashMap, fs};

use expect_test::{Expect, expect};
use tempfile::TempDir;

use super::*;
use crate::flags;

mod every_setting;

/// A folder with a settings file in it, and what the program is started with there.
struct Start {
    folder: TempDir,
    variables: HashMap<&'static str, String>,
    words: Vec<String>,
}

impl Start {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, variables: HashMap::new(), words: vec!["rserve".to_owned()] }
    }

    fn file(self, text: &str) -> Self {
        self.named_file(FILE, text)
    }

    fn named_file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.to_owned());
        self
    }

    fn words(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    fn sources(&self) -> Result<Sources, Answer> {
        let words = self.words.iter().map(OsString::from);
        Sources::new(flags::settings(), words, self.folder.path(), |name| self.variables.get(name).map(OsString::from))
    }

    fn flags(&self) -> Flags {
        self.sources().ok().unwrap().read().unwrap().flags
    }

    /// The complaint, with the folder left out.
    fn complaint(&self) -> String {
        let text = match self.sources() {
            Ok(sources) => sources.read().unwrap_err().to_string(),
            Err(answer) => answer.into_text(),
        };
        assert!(text.lines().count() <= 2, "{text}");
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[track_caller]
fn refused(text: &str, expected: Expect) {
    expected.assert_eq(&Start::new().file(text).complaint());
}

#[test]
fn of_all_who_say_something_the_last_counts() {
    // Each bit is a source that says how many workers.
    for set in 0..16_u32 {
        let says = |source: u32| set & (1 << source) != 0;
        let mut start = Start::new();
        if says(0) {
            start = start.variable("WEB_CONCURRENCY", "2").variable("FORWARDED_ALLOW_IPS", "10.0.0.2");
        }
        if says(1) {
            start = start.file("workers = 3\nforwarded_allow_ips = '10.0.0.3'");
        }
        if says(2) {
            start = start.variable(CMD_ARGS, "--workers 4 --forwarded-allow-ips 10.0.0.4");
        }
        if says(3) {
            start = start.words(&["-w5", "--forwarded-allow-ips=10.0.0.5"]);
        }
        let flags = start.flags();
        let expected = set.checked_ilog2().map_or(1, |last| last + 2);
        assert_eq!(flags.workers, expected, "{set:b}");
        let list = if set == 0 { "127.0.0.1,::1".to_owned() } else { format!("10.0.0.{expected}") };
        assert_eq!(flags.forwarded_allow_ips, list.parse().unwrap(), "{set:b}");
    }
}

#[test]
fn a_list_is_replaced_and_not_added_to() {
    let start = Start::new().file("bind = [':1', ':2']").variable(CMD_ARGS, "-b :3 -b :4");
    let ports = |start: &Start| start.flags().bind.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ports(&start), ["0.0.0.0:3", "0.0.0.0:4"]);
    assert_eq!(ports(&start.words(&["-b", ":5"])), ["0.0.0.0:5"]);
}

#[test]
fn what_is_on_can_be_turned_off_again() {
    let start = Start::new().file("drain_on_term = true");
    assert!(start.flags().drain_on_term);
    let start = start.variable(CMD_ARGS, "--drain-on-term=false");
    assert!(!start.flags().drain_on_term);
    assert!(start.words(&["--drain-on-term"]).flags().drain_on_term);
}

#[test]
fn a_variable_that_is_empty_or_outranked_is_not_looked_at() {
    assert_eq!(Start::new().variable("WEB_CONCURRENCY", "").flags().workers, 1);
    assert_eq!(Start::new().variable("WEB_CONCURRENCY", "nonsense").file("workers = 2").flags().workers, 2);
    // Of a list of trust that is set to nothing the cautious reading.
    let trusted = Start::new().variable("FORWARDED_ALLOW_IPS", "").flags().forwarded_allow_ips;
    assert_eq!(trusted, "".parse().unwrap());
}

#[test]
fn a_wrong_variable_is_named() {
    expect!["invalid value '0' for 'WEB_CONCURRENCY': a number from 1 to 1024 is needed"]
        .assert_eq(&Start::new().variable("WEB_CONCURRENCY", "0").complaint());
    expect![
        "invalid value '10.0.0.1/8' for 'FORWARDED_ALLOW_IPS': '10.0.0.1/8' has bits beyond its prefix: write 10.0.0.0/8 for the network"
    ]
    .assert_eq(&Start::new().variable("FORWARDED_ALLOW_IPS", "10.0.0.1/8").complaint());
}

#[test]
fn words_are_split_as_a_shell_would() {
    let start = Start::new().variable(CMD_ARGS, r#"-w 2 --health-path '/a' --health-path="/b" hel\lo"#);
    let flags = start.flags();
    assert_eq!((flags.workers, flags.app.as_deref()), (2, Some("hello")));
    assert_eq!(flags.health_path, ["/a", "/b"]);
    for (text, expected) in [
        ("-w '2", expect!["RSERVE_CMD_ARGS: a quotation mark is not closed, or a backslash has nothing behind it"]),
        ("-w 0", expect!["RSERVE_CMD_ARGS: invalid value '0' for '--workers <N>': a number from 1 to 1024 is needed"]),
        (
            "--wrkers 1",
            expect![[r#"
                RSERVE_CMD_ARGS: unexpected argument '--wrkers' found
                hint: a similar argument exists: '--workers'"#]],
        ),
    ] {
        expected.assert_eq(&Start::new().variable(CMD_ARGS, text).complaint());
    }
}

#[test]
fn every_kind_of_value_means_what_it_means_on_the_command_line() {
    let flags = Start::new()
        .file(
            "wsgi_app = 'hello'
             bind = [
                 ':8001',
                 'unix:/run/a.sock',
             ]
             backlog = 1_000
             limit_request_line = 0x400
             graceful_timeout = 2.5
             timeout = '5'
             health_path = '/a'
             proxy_protocol = 'V2'
             proxy_allow_from = ['10.0.0.0/8', '::1']
             drain_on_term = true",
        )
        .flags();
    let typed = Start::new()
        .words(&["-b:8001", "-bunix:/run/a.sock", "--backlog=1000", "--limit-request-line=1024", "-t5"])
        .words(&["--graceful-timeout=2.5", "--health-path=/a", "--proxy-protocol=v2", "--drain-on-term", "hello"])
        .words(&["--proxy-allow-from=10.0.0.0/8,::1"])
        .flags();
    assert_eq!(flags, typed);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest() {
    refused(
        "workers = 2\n\n# more\nwrkers = 3\n",
        expect![[r#"
        rserve.toml:4: no setting 'wrkers'
        hint: did you mean 'workers'?"#]],
    );
    refused(
        "drain-on-term = true",
        expect![[r#"
        rserve.toml:1: no setting 'drain-on-term'
        hint: did you mean 'drain_on_term'?"#]],
    );
    refused(
        "loglevel = 'info'",
        expect![[r#"
        rserve.toml:1: no setting 'loglevel'
        hint: did you mean 'log_level'?"#]],
    );
    refused(
        "keepalive = 5",
        expect![[r#"
        rserve.toml:1: no setting 'keepalive'
        hint: did you mean 'keep_alive'?"#]],
    );
    for key in ["config", "help", "check_config", "zzz"] {
        let text = Start::new().file(&format!("{key} = 1")).complaint();
        assert_eq!(text.lines().next().unwrap(), format!("rserve.toml:1: no setting '{key}'"));
    }
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    refused(
        "workers = 0",
        expect!["rserve.toml:1: invalid value '0' for 'workers': a number from 1 to 1024 is needed"],
    );
    refused(
        "\nworkers = true",
        expect!["rserve.toml:2: invalid value 'true' for 'workers': a number from 1 to 1024 is needed"],
    );
    refused(
        "timeout = '30s'",
        expect!["rserve.toml:1: invalid value '30s' for 'timeout': 0, or seconds from 1 to 86400, are needed"],
    );
    refused(
        "drain_on_term = 1",
        expect!["rserve.toml:1: invalid value '1' for 'drain_on_term' [possible values: true, false]"],
    );
    refused(
        "log_level = 'loud'",
        expect![
            "rserve.toml:1: invalid value 'loud' for 'log_level' [possible values: debug, info, warning, error, critical]"
        ],
    );
    refused(
        "workers = [1, 2]",
        expect!["rserve.toml:1: invalid value '1,2' for 'workers': a number from 1 to 1024 is needed"],
    );
    refused(
        "bind = [\n  ':80',\n  '::1',\n]",
        expect!["rserve.toml:3: invalid value '::1' for 'bind': write an IPv6 address in brackets, like [::1]:8000"],
    );
    refused(
        "bind = 8000",
        expect![
            "rserve.toml:1: invalid value '8000' for 'bind': '8000' alone is not an address: write 127.0.0.1:8000, or :8000 for every IPv4 interface"
        ],
    );
    refused("bind = []", expect!["rserve.toml:1: 'bind' is an empty list: leave it out"]);
    refused(
        "bind = [[':80']]",
        expect![
            "rserve.toml:1: 'bind' is a list in a list: a setting is a string, a number, true, false, or a list of them"
        ],
    );
    refused(
        "timeout = 2026-01-01",
        expect!["rserve.toml:1: 'timeout' is a date: a setting is a string, a number, true, false, or a list of them"],
    );
    refused("timeout.soft = 1", expect!["rserve.toml:1: 'timeout' is a table: settings stand in none"]);
    refused("[server]\nworkers = 2", expect!["rserve.toml:1: 'server' is a table: settings stand in none"]);
}

#[test]
fn of_two_mistakes_the_first_is_named() {
    refused(
        "workers = 0\nbacklog = 0",
        expect!["rserve.toml:1: invalid value '0' for 'workers': a number from 1 to 1024 is needed"],
    );
}

#[test]
fn a_setting_stands_in_the_file_once() {
    refused("app = 'a'\nwsgi_app = 'b'", expect!["rserve.toml:2: 'wsgi_app' is what line 1 sets by another name"]);
    refused("workers = 2\nworkers = 3", expect!["rserve.toml:2: not TOML: duplicate key"]);
}

#[test]
fn what_is_not_toml_is_named_with_its_place() {
    refused("workers = 2\nworkers 3", expect!["rserve.toml:2: not TOML: key with no value, expected `=`"]);
    refused("bind = ':80", expect!["rserve.toml:1: not TOML: invalid literal string, expected `'`"]);
    let python = Start::new().named_file("gunicorn.conf.py", "import os\n").words(&["-c", "gunicorn.conf.py"]);
    expect![[r#"
        gunicorn.conf.py:1: not TOML: key with no value, expected `=`
        hint: a settings file is TOML; gunicorn's Python files are not read"#]]
    .assert_eq(&python.complaint());
}

#[test]
fn a_file_that_is_named_must_be_there() {
    expect!["cannot read the settings file nowhere.toml: no such file or directory"]
        .assert_eq(&Start::new().words(&["-c", "nowhere.toml"]).complaint());
    let start =
        Start::new().file("workers = 2").named_file("a.toml", "workers = 3").named_file("b.toml", "workers = 4");
    assert_eq!(start.flags().workers, 2);
    let start = start.variable(CMD_ARGS, "-c a.toml");
    assert_eq!(start.flags().workers, 3);
    assert_eq!(start.words(&["--config=b.toml"]).flags().workers, 4);
}

#[test]
fn which_file_is_settled_at_the_start() {
    let start = Start::new();
    let without = start.sources().ok().unwrap();
    let start = start.file("workers = 2");
    assert_eq!(without.read().unwrap().flags.workers, 1);

    let with = start.sources().ok().unwrap();
    assert_eq!(with.read().unwrap().flags.workers, 2);
    let start = start.file("workers = 3");
    assert_eq!(with.read().unwrap().flags.workers, 3);
    fs::remove_file(start.folder.path().join(FILE)).unwrap();
    assert!(with.read().unwrap_err().to_string().starts_with("cannot read the settings file"));
}

#[test]
fn a_reload_leaves_alone_what_only_a_restart_changes() {
    let start = Start::new().file("workers = 2\nlog_level = 'error'");
    let sources = start.sources().ok().unwrap();
    let said = sources.read().unwrap();
    let start = start.file("workers = 3\nlog_format = 'json'");
    let again = sources.read_again(&said).unwrap();
    assert_eq!(again.flags, Flags { workers: 3, ..said.flags.clone() });
    let start = start.file("workers = 0");
    assert!(sources.read_again(&again).is_err());
    let _folder = start.file("log_format = 'text'\nlog_level = 'error'");
    assert_eq!(sources.read_again(&again).unwrap().flags, Flags { workers: 1, ..said.flags });
}

#[test]
fn what_a_reload_leaves_alone_are_settings() {
    for setting in NEEDS_RESTART {
        assert!(flags::settings().get_arguments().any(|arg| arg.get_id() == setting), "{setting}");
    }
}

#[test]
fn settings_are_printed_as_a_file_that_says_the_same() {
    let start = Start::new()
        .file("bind = [':80', 'unix:/run/a b\"c.sock']\ndrain_on_term = true\ndrain_quiet = 0.5")
        .variable("FORWARDED_ALLOW_IPS", "")
        .variable(CMD_ARGS, "--health-path /a --log-level debug --proxy-protocol")
        .words(&["-w", "3", "hello"]);
    let sources = start.sources().ok().unwrap();
    let printed = sources.print(&sources.read().unwrap());
    let folder = format!("{}/", start.folder.path().display());
    let (defaults, others): (Vec<_>, Vec<_>) = printed.lines().partition(|line| line.ends_with("  # default"));
    expect![[r#"
        app = "hello"  # command line
        bind = [":80", 'unix:/run/a b"c.sock']  # /srv/rserve.toml:1
        drain_on_term = true  # /srv/rserve.toml:2
        drain_quiet = 0.5  # /srv/rserve.toml:3
        forwarded_allow_ips = ""  # environment variable FORWARDED_ALLOW_IPS
        health_path = ["/a"]  # RSERVE_CMD_ARGS
        log_level = "debug"  # RSERVE_CMD_ARGS
        proxy_protocol = "auto"  # RSERVE_CMD_ARGS
        workers = 3  # command line"#]]
    .assert_eq(&others.join("\n").replace(&folder, "/srv/"));
    for line in ["backlog = 2048  # default", "# keep_alive = (2, but with sync 0)  # default"] {
        assert!(defaults.contains(&line), "no {line:?} in {printed}");
    }
    assert_eq!(Start::new().file(&printed).flags(), start.flags());
}

#[test]
fn the_example_in_the_docs_is_a_settings_file() {
    let flags = Start::new().file(include_str!("../../../../docs/rserve.toml")).flags();
    assert_eq!((flags.workers, flags.bind.len(), flags.drain_on_term), (4, 2, true));
}

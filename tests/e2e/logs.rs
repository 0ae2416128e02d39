//! Where log lines go: to a file, through rotations, full disks, and readers that have left.

use std::{
    fs::{self, OpenOptions},
    io::Read,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::PathBuf,
    time::Duration,
};

use nix::{
    fcntl::OFlag,
    sys::{
        signal::Signal::{SIGTERM, SIGUSR1},
        stat::Mode,
    },
    unistd::mkfifo,
};
use serde_json::Value;

use crate::support::{Builder, Server, each_class, http::get, wait_until};

each_class!(log_files_are_opened_anew_by_all_on_sigusr1);

const SOON: Duration = Duration::from_secs(15);

/// A file that somebody writes to.
struct Followed(PathBuf);

impl Followed {
    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for(&self, wanted: &str) {
        assert!(wait_until(SOON, || self.text().contains(wanted)), "no '{wanted}' in {:?}:\n{}", self.0, self.text());
    }

    fn move_away(&self) -> Self {
        let old = self.0.with_extension("1");
        fs::rename(&self.0, &old).unwrap();
        Self(old)
    }

    /// Each line is there whole.
    fn assert_json(&self) {
        for line in self.text().lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
    }
}

/// Starts a server that logs to the file `log` in its folder.
fn start(builder: Builder) -> (Server, Followed) {
    let server = builder.args(["--log-file", "log"]).spawn();
    let log = Followed(server.dir().join("log"));
    log.wait_for("listening");
    (server, log)
}

fn log_files_are_opened_anew_by_all_on_sigusr1(class: &str) {
    let (mut server, log) = start(Server::builder(class).workers(2).debug_log());
    get(&server.target(), "/hello").unwrap();
    // A worker says why it has closed the connection.
    log.wait_for("closed");
    let old = log.move_away();
    server.signal(SIGUSR1);
    log.wait_for("SIGUSR1");
    assert!(!old.text().contains("SIGUSR1"));
    // Each worker looks when it is woken; what it says until then goes to the old file.
    let closed = || {
        get(&server.target(), "/hello").unwrap();
        log.text().contains("closed")
    };
    assert!(wait_until(SOON, closed), "{}", log.text());
    // Nobody has the old one open.
    let holds = |pid: i32| {
        fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
            .any(|link| link == old.0)
    };
    let all = || server.workers().into_iter().chain([server.pid()]).all(|pid| !holds(pid.as_raw()));
    assert!(wait_until(SOON, all), "somebody holds the old file");
    old.assert_json();
    server.signal(SIGTERM);
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    log.wait_for("stopped");
    log.assert_json();
    assert_eq!(server.log().text(), "");
}

#[test]
fn full_disk_does_not_stop_the_server_and_what_it_cost_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = Followed(folder.path().join("log"));
    symlink("/dev/full", &log.0).unwrap();
    let server = Server::builder("sync").debug_log().args(["--log-file", log.0.to_str().unwrap()]).spawn();
    let served = || get(&server.target(), "/hello").is_ok_and(|response| response.status == 200);
    assert!(wait_until(SOON, served));
    fs::remove_file(&log.0).unwrap();
    server.signal(SIGUSR1);
    log.wait_for("lines of this log were lost: no storage space");
    log.assert_json();
}

#[test]
fn reader_that_has_left_does_not_stop_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("log");
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let mut reader = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&pipe).unwrap();
    let mut server = Server::builder("sync").debug_log().args(["--log-file", pipe.to_str().unwrap()]).spawn();
    let mut text = String::new();
    let listens = || {
        let _ = reader.read_to_string(&mut text);
        text.contains("listening")
    };
    assert!(wait_until(SOON, listens));
    drop(reader);
    for _ in 0..5 {
        assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
        // To open a pipe that nobody reads would block.
        server.signal(SIGUSR1);
    }
    server.signal(SIGTERM);
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
}

#[test]
fn log_file_that_cannot_be_opened_is_an_error() {
    let mut server = Server::builder("sync").args(["--log-file", "none/log"]).spawn();
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.log().wait_for_end(SOON);
    let said = server.log().text();
    assert!(said.starts_with("error: cannot open the log file none/log: no such file"), "{said}");
}

#[test]
fn log_file_has_both_names_and_stands_in_a_file_too() {
    let sources: [fn(Builder) -> Builder; 4] = [
        |builder| builder.args(["--error-logfile", "log"]),
        |builder| builder.args(["--log-file=log"]),
        |builder| builder.settings_file("log_file = 'log'"),
        |builder| builder.env("RSERVE_CMD_ARGS", "--log-file log"),
    ];
    for source in sources {
        let server = source(Server::builder("sync")).spawn();
        Followed(server.dir().join("log")).wait_for("listening");
    }
    // The strongest says that it is standard error.
    Server::builder("sync").settings_file("log_file = 'log'").args(["--log-file", "-"]).start();
}

#[test]
fn output_is_captured_if_it_is_wanted() {
    for (args, captured) in [(&["--capture-output"][..], true), (&[], false)] {
        let (server, log) = start(Server::builder("sync").args(args.iter().copied()));
        let link = |number| fs::read_link(format!("/proc/{}/fd/{number}", server.workers()[0])).unwrap();
        assert_eq!([link(1) == log.0, link(2) == log.0], [captured; 2], "{args:?}");
        let old = log.move_away();
        server.signal(SIGUSR1);
        log.wait_for("SIGUSR1");
        let moved = || link(1) != old.0 && link(2) != old.0;
        assert!(wait_until(SOON, moved), "{args:?}");
        assert_eq!([link(1) == log.0, link(2) == log.0], [captured; 2], "{args:?}");
    }
    let sources: [fn(Builder) -> Builder; 2] = [
        |builder| builder.settings_file("capture_output = true"),
        |builder| builder.env("RSERVE_CMD_ARGS", "--capture-output"),
    ];
    for source in sources {
        let (server, log) = start(source(Server::builder("sync")));
        assert_eq!(fs::read_link(format!("/proc/{}/fd/1", server.workers()[0])).unwrap(), log.0);
    }
    // There is nothing to capture it into.
    Server::builder("sync").args(["--capture-output"]).start();
}

//! Where settings come from: the real program with a file, variables and flags that disagree.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Command, Output},
    time::Duration,
};

use nix::sys::signal::Signal::{SIGCONT, SIGHUP, SIGKILL, SIGSTOP, SIGTERM};
use tempfile::TempDir;

use crate::support::{Builder, Server, Target, free_port, http::get, send};

const SOON: Duration = Duration::from_secs(10);

/// The program, to be run to its end in a folder with this `rserve.toml`.
struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("rserve.toml"), text).unwrap();
        Self(dir)
    }

    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rserve"));
        for variable in ["WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "RSERVE_CMD_ARGS"] {
            command.env_remove(variable);
        }
        let Output { status, stdout, stderr } = command.args(args).current_dir(self.0.path()).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    #[track_caller]
    fn assert_refused(&self, args: &[&str], code: i32, said: &str) {
        let (exit, stdout, stderr) = self.run(args);
        let stderr = stderr.replace(&format!("{}/", self.0.path().display()), "");
        assert_eq!((exit, stdout.as_str(), stderr.as_str()), (Some(code), "", said), "{args:?}");
    }
}

fn starts(builder: Builder, workers: usize) {
    builder.start().wait_for_workers(SOON, |found| found.len() == workers);
}

#[test]
fn of_all_who_say_how_many_workers_the_last_counts() {
    let builder = Server::builder("sync").env("WEB_CONCURRENCY", "1");
    starts(builder.clone().settings_file("workers = 2"), 2);
    let builder = builder.settings_file("workers = 2").env("RSERVE_CMD_ARGS", "--workers 3");
    starts(builder.clone(), 3);
    starts(builder.args(["--workers", "4"]), 4);
}

#[test]
fn file_of_the_current_folder_is_read_and_the_log_says_so() {
    let server = Server::builder("sync").settings_file("workers = 2\ndrain_on_term = true\ndrain_quiet = 0.1").start();
    server.wait_for_line(SOON, "the file", |line| {
        line.message().starts_with("settings from /") && line.message().ends_with("/rserve.toml")
    });
    server.signal(SIGTERM);
    server.drain_report();
}

#[test]
fn what_is_wrong_in_a_file_is_told_in_one_place() {
    let folder = Folder::with("# ours\nworkers = 0\n");
    folder.assert_refused(
        &[],
        2,
        "error: rserve.toml:2: invalid value '0' for 'workers': a number from 1 to 1024 is needed\n",
    );
    let folder = Folder::with("wrkers = 2");
    folder.assert_refused(&[], 2, "error: rserve.toml:1: no setting 'wrkers'\nhint: did you mean 'workers'?\n");
    folder.assert_refused(
        &["--config", "other.toml"],
        2,
        "error: cannot read the settings file other.toml: no such file or directory\n",
    );
}

#[test]
fn check_config_says_whether_it_would_start() {
    // An address that is taken says nothing of the settings.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = Folder::with(&format!("bind = '{address}'\nworkers = 2"));
    let ok = format!("ok: app demo, worker class sync, 2 to start, to listen on {address}\n");
    assert_eq!(folder.run(&["--check-config"]), (Some(0), ok, String::new()));
    folder.assert_refused(
        &["--check-config", "-k", "mine"],
        2,
        "error: no worker class 'mine' (there are: sync, threaded, async)\n",
    );
    folder.assert_refused(&["--check-config", "shop"], 4, "error: no app 'shop' (there are: demo)\n");
    folder.assert_refused(
        &["--check-config", "-b", &address.to_string(), "-b", &address.to_string()],
        2,
        &format!("error: the address {address} is given twice to --bind\n"),
    );
}

#[test]
fn print_config_is_a_settings_file() {
    let folder = Folder::with("bind = [':0', 'unix:a.sock']\nkeep_alive = 1.5\ndrain_on_term = true");
    let (code, printed, _) = folder.run(&["--print-config", "-w", "3", "demo"]);
    assert_eq!(code, Some(0));
    let place = folder.0.path().join("rserve.toml");
    for line in [
        "app = \"demo\"  # command line",
        "backlog = 2048  # default",
        &format!("keep_alive = 1.5  # {}:2", place.display()),
        "workers = 3  # command line",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "no {line:?} in {printed}");
    }
    let meaning = |printed: &str| -> Vec<String> {
        printed.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
    };
    let (code, again, _) = Folder::with(&printed).run(&["--print-config"]);
    assert_eq!((code, meaning(&again)), (Some(0), meaning(&printed)));
}

#[test]
fn reload_reads_the_file_again() {
    let server = Server::builder("sync").settings_file("workers = 1").start();
    server.rewrite_settings("workers = 3\nbacklog = 1000");
    server.signal(SIGHUP);
    server.wait_for_workers(SOON, |workers| workers.len() == 3);
    server.wait_for_line(SOON, "what stays", |line| {
        line.message() == "SIGHUP: backlog stays as it was: only a restart changes it"
    });
}

/// The stop is in the queue already when the new listener comes, and so is a death that makes a new worker necessary: a
/// second later, as the one that died was young.
#[test]
fn stop_right_behind_a_reload_stops() {
    let addresses = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
    let builder = Server::builder("sync").address_in_file(Target::Tcp(addresses[0])).drain(1.5);
    let mut server = builder.settings_file(&format!("bind = '{}'", addresses[0])).start();
    server.rewrite_settings(&format!("bind = ['{}', '{}']", addresses[0], addresses[1]));
    let worker = server.wait_for_workers(SOON, |workers| workers.len() == 1)[0];
    server.signal(SIGSTOP);
    server.signal(SIGHUP);
    server.signal(SIGTERM);
    send(worker, SIGKILL);
    server.signal(SIGCONT);
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    server.drain_report().assert_nothing_cut();
}

#[test]
fn reload_of_a_file_with_a_mistake_changes_nothing() {
    let server = Server::builder("sync").settings_file("workers = 2").start();
    let workers = server.wait_for_workers(SOON, |workers| workers.len() == 2);
    server.rewrite_settings("wrkers = 3");
    server.signal(SIGHUP);
    server.wait_for_line(SOON, "the mistake", |line| {
        line.message().contains("rserve.toml:1: no setting 'wrkers'; hint: did you mean 'workers'?")
    });
    assert_eq!(server.workers(), workers);
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

/// Neither for those who serve nor for a worker that is started afterwards.
#[test]
fn reload_that_cannot_bind_an_address_changes_nothing() {
    let ours = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let builder = Server::builder("sync").address_in_file(Target::Tcp(ours));
    let server = builder.settings_file(&format!("bind = '{ours}'")).start();
    let old = server.wait_for_workers(SOON, |workers| workers.len() == 1);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = taken.local_addr().unwrap();
    server.rewrite_settings(&format!("bind = ['{ours}', '{theirs}']\nlimit_request_line = 16"));
    server.signal(SIGHUP);
    server.wait_for_line(SOON, "the refusal", |line| {
        line.message().contains(&theirs.to_string()) && line.message().ends_with("everything stays as it was")
    });
    send(old[0], SIGKILL);
    let new = server.wait_for_workers(SOON, |now| now.len() == 1 && now != old);
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);

    server.rewrite_settings(&format!("bind = '{ours}'\nlimit_request_line = 16"));
    server.signal(SIGHUP);
    server.wait_for_workers(SOON, |now| now.len() == 1 && now != new);
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 414);
}

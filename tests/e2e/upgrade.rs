//! SIGUSR2: another server takes the listeners over while this one serves.

use std::{fs, net::TcpListener, os::unix::net::UnixDatagram, path::PathBuf, sync::Arc, time::Duration};

use nix::{
    sys::{
        signal::Signal::{SIGHUP, SIGTERM, SIGUSR2},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};

use crate::support::{
    Line, Server, Socket, alive, each_class,
    http::get,
    load::{Load, Shape},
    send, turn, wait_until,
};

each_class!(
    upgrade_loses_nobody,
    upgrade_can_be_taken_back,
    successor_that_cannot_start_harms_nothing,
    stop_waits_for_a_successor_that_does_not_serve_yet,
    stop_that_waits_for_a_successor_in_vain_drains,
    socket_of_others_is_left_to_the_next_who_is_started_with_it,
);

const SOON: Duration = Duration::from_secs(15);

/// Sends USR2, and waits until the new server serves.
fn upgrade(server: &Server) -> Pid {
    server.signal(SIGUSR2);
    let line = server.wait_for_line(SOON, "the successor", |line| line.text.contains("SIGTERM ends this server"));
    pid_in(&line)
}

fn pid_in(line: &Line) -> Pid {
    let pid = line.field("pid").and_then(|pid| pid.as_i64()).unwrap();
    Pid::from_raw(i32::try_from(pid).unwrap())
}

fn upgrade_loses_nobody(class: &str) {
    let _turn = turn();
    let mut server = Server::builder(class)
        .args(["--keep-alive", "5", "--pid", "pid"])
        .workers(2)
        .drain(0.4)
        .socket(Socket::V4)
        .socket(Socket::Unix)
        .start();
    let pid_file = server.dir().join("pid");
    let loads: Vec<Load> = server
        .targets()
        .iter()
        .flat_map(|target| {
            let fresh = Load::start(target, "/sleep/2", Shape::Fresh { rate: 50.0 });
            [fresh, Load::start(target, "/hello", Shape::KeepAlive { clients: 2 })]
        })
        .collect();
    loads.iter().for_each(|load| load.wait_for(20));
    let successor = upgrade(&server);
    assert_eq!(fs::read_to_string(&pid_file).unwrap().trim(), server.pid().to_string());
    server.signal(SIGTERM);
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    // All that comes now is the successor's.
    loads.iter().for_each(|load| load.wait_for(50));
    assert!(wait_until(SOON, || fs::read_to_string(&pid_file).is_ok_and(|text| text.trim() == successor.to_string())));
    for load in loads {
        let tally = load.stop();
        println!("{tally}");
        tally.assert_none_lost(0);
        assert_eq!(tally.refused(), 0, "{tally}");
    }
    send(successor, SIGTERM);
    assert!(wait_until(SOON, || !alive(successor)), "the successor stops as any server does");
    assert!(!pid_file.exists(), "and takes the file with it");
}

/// The successor is sent away instead of the old server.
fn upgrade_can_be_taken_back(class: &str) {
    let _turn = turn();
    let server = Server::builder(class).workers(1).drain(0.4).socket(Socket::V4).socket(Socket::Unix).start();
    let loads: Vec<Load> =
        server.targets().iter().map(|target| Load::start(target, "/sleep/2", Shape::Fresh { rate: 50.0 })).collect();
    let successor = upgrade(&server);
    loads.iter().for_each(|load| load.wait_for(20));
    send(successor, SIGTERM);
    assert!(wait_until(SOON, || !alive(successor)));
    server.wait_for_line(SOON, "the successor's end", |line| line.text.contains("this server serves on"));
    loads.iter().for_each(|load| load.wait_for(20));
    for load in loads {
        let tally = load.stop();
        println!("{tally}");
        tally.assert_none_lost(0);
        assert_eq!(tally.refused(), 0, "{tally}");
    }
}

fn successor_that_cannot_start_harms_nothing(class: &str) {
    let server = Server::builder(class).args(["--pid", "pid"]).drain(0.4).start();
    // It finds its place in the pid file taken, by a process that lives.
    fs::write(server.dir().join("pid.2"), "1").unwrap();
    server.signal(SIGUSR2);
    server.wait_for_line(SOON, "the failure", |line| line.text.contains("exited with code 1: this server serves on"));
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    assert_eq!(fs::read_to_string(server.dir().join("pid.2")).unwrap(), "1");
}

/// A server whose successor is on its way and waits for its settings, which have just been written otherwise.
fn server_with_a_slow_successor(class: &str) -> (Server, PathBuf) {
    let server = Server::builder(class).settings_file("workers = 1").drain(0.4).start();
    let settings = server.dir().join("rserve.toml");
    fs::remove_file(&settings).unwrap();
    mkfifo(&settings, Mode::S_IRWXU).unwrap();
    server.signal(SIGUSR2);
    server.wait_for_line(SOON, "the successor", |line| line.text.contains(" started"));
    (server, settings)
}

fn stop_waits_for_a_successor_that_does_not_serve_yet(class: &str) {
    let _turn = turn();
    let (mut server, settings) = server_with_a_slow_successor(class);
    let load = Load::start(&server.target(), "/sleep/2", Shape::Fresh { rate: 50.0 });
    load.wait_for(5);
    server.signal(SIGTERM);
    let line = server.wait_for_line(SOON, "the wait", |line| line.text.contains("does not serve yet"));
    load.wait_for(20);
    assert!(server.running());
    fs::write(settings, "workers = 2").unwrap();
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    load.wait_for(20);
    let tally = load.stop();
    tally.assert_none_lost(0);
    assert_eq!(tally.refused(), 0, "{tally}");
    send(pid_in(&line), SIGTERM);
    assert!(wait_until(SOON, || !alive(pid_in(&line))));
}

fn stop_that_waits_for_a_successor_in_vain_drains(class: &str) {
    let _turn = turn();
    let (mut server, settings) = server_with_a_slow_successor(class);
    let load = Load::start(&server.target(), "/sleep/2", Shape::Fresh { rate: 50.0 });
    load.wait_for(5);
    server.signal(SIGTERM);
    server.wait_for_line(SOON, "the wait", |line| line.text.contains("does not serve yet"));
    fs::write(settings, "wrkers = 2").unwrap();
    server.wait_for_line(SOON, "the drain", |line| line.message() == "SIGTERM: draining");
    load.wait_for(5);
    let tally = load.stop();
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    tally.assert_none_lost(0);
    assert_eq!(tally.refused(), 0, "{tally}");
    server.drain_report().assert_nothing_cut();
}

#[test]
fn second_sigterm_does_not_wait_for_the_successor() {
    let (mut server, settings) = server_with_a_slow_successor("sync");
    server.signal(SIGTERM);
    server.wait_for_line(SOON, "the wait", |line| line.text.contains("does not serve yet"));
    server.signal(SIGTERM);
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    fs::write(settings, "wrkers = 2").unwrap();
}

/// Its relative paths mean to it what they meant to the first.
#[test]
fn successor_starts_in_the_folder_that_the_first_was_started_in() {
    let args = ["-c", "rserve.toml", "--chdir", ".."];
    let server = Server::builder("sync").args(args).settings_file("workers = 2").drain(0.4).start();
    let successor = upgrade(&server);
    send(successor, SIGTERM);
    assert!(wait_until(SOON, || !alive(successor)));
}

/// As systemd does with a socket unit: whoever connects between two lives of the server waits for the next.
fn socket_of_others_is_left_to_the_next_who_is_started_with_it(class: &str) {
    let _turn = turn();
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let builder = Server::builder(class).activated(&listener).drain(0.4);
    let mut server = builder.clone().start();
    let load = Load::start(&server.target(), "/sleep/2", Shape::Fresh { rate: 50.0 });
    for _ in 0..3 {
        load.wait_for(20);
        server.signal(SIGTERM);
        assert_eq!(server.wait_exit(SOON).code(), Some(0));
        server = builder.clone().start();
    }
    load.wait_for(20);
    let tally = load.stop();
    println!("{tally}");
    tally.assert_none_lost(0);
    assert_eq!(tally.refused(), 0, "{tally}");
}

#[test]
fn systemd_is_told_how_the_server_fares() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let hear = || {
        let mut bytes = [0; 1024];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    // The watchdog is asked for, so one of its messages may stand anywhere.
    let hear_of = |wanted: &str| {
        let mut heard = hear();
        while heard == "WATCHDOG=1\n" {
            heard = hear();
        }
        assert!(heard.starts_with(wanted), "{heard:?} instead of {wanted}");
        heard
    };
    let path = path.to_str().unwrap();
    let builder = Server::builder("sync").env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "400000").drain(0.4);
    let mut server = builder.args(["--reload-step", "1"]).start();
    hear_of("READY=1\n");
    assert!((0..3).all(|_| hear() == "WATCHDOG=1\n"), "twice in its time");
    server.signal(SIGHUP);
    let stamp = hear_of("RELOADING=1\nMONOTONIC_USEC=");
    assert!(stamp.lines().nth(1).is_some_and(|line| line["MONOTONIC_USEC=".len()..].parse::<u64>().is_ok()));
    hear_of("READY=1\n");
    let successor = upgrade(&server);
    hear_of("READY=1\n");
    server.signal(SIGTERM);
    hear_of("STOPPING=1\n");
    hear_of(&format!("MAINPID={successor}\n"));
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    send(successor, SIGTERM);
    hear_of("STOPPING=1\n");
}

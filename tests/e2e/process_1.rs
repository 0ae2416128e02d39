//! As process 1 of a container without an init: it waits for whoever ends there, and stops as anywhere else.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM, SIGUSR2},
    unistd::geteuid,
};

use crate::support::{
    Builder, Server, children, each_class,
    http::get,
    load::{Load, Shape},
    send, skip, turn, wait_until, zombies,
};

each_class!(orphans_are_waited_for, term_drains, killed_worker_is_replaced, quick_stop_ends_it, an_upgrade_is_refused);

/// The server, or `None` where it cannot be tried.
fn process_1(class: &str, of: impl Fn(Builder) -> Builder) -> Option<Server> {
    if !geteuid().is_root() {
        skip("a namespace for processes takes root");
        return None;
    }
    Some(of(Server::builder(class).process_1()).start())
}

fn orphans_are_waited_for(class: &str) {
    const ORPHANS: usize = 20;
    let Some(mut server) = process_1(class, |builder| builder.drain(3.0)) else { return };
    let before = server.workers().len();
    // Each shell ends before what it has started, whose new parent is process 1 then.
    let script = format!("for i in $(seq {ORPHANS}); do (sleep 1 &) ; done");
    let inside = ["--pid", "--target", &server.pid().to_string(), "sh", "-c", &script].map(str::to_owned);
    let status = Command::new("nsenter").args(inside).stdin(Stdio::null()).status().unwrap();
    assert!(status.success());
    let adopted = wait_until(Duration::from_secs(1), || children(server.pid()).len() == before + ORPHANS);
    assert!(adopted, "{:?}", children(server.pid()));
    // They end while it serves, and in the drain.
    server.signal(SIGTERM);
    let gone =
        wait_until(Duration::from_secs(3), || children(server.pid()).len() <= before && zombies(server.pid()) == 0);
    assert!(gone, "{} children, {} zombies", children(server.pid()).len(), zombies(server.pid()));
    assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(0));
}

fn term_drains(class: &str) {
    let _turn = turn();
    let Some(mut server) = process_1(class, |builder| builder.workers(2).drain(0.4)) else { return };
    let load = Load::start(&server.target(), "/sleep/50", Shape::Fresh { rate: 50.0 });
    load.wait_for(20);
    server.signal(SIGTERM);
    load.wait_for(20);
    let tally = load.stop();
    tally.assert_none_lost(0);
    assert_eq!(tally.refused(), 0, "{tally}");
    assert_eq!(server.wait_exit(Duration::from_secs(20)).code(), Some(0));
    server.drain_report().assert_nothing_cut();
}

fn killed_worker_is_replaced(class: &str) {
    let Some(server) = process_1(class, |builder| builder.workers(2)) else { return };
    let before = server.wait_for_workers(Duration::from_secs(10), |workers| workers.len() == 2);
    send(before[0], SIGKILL);
    server.wait_for_workers(Duration::from_secs(5), |now| now.len() == 2 && !now.contains(&before[0]));
    assert_eq!(zombies(server.pid()), 0);
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

fn quick_stop_ends_it(class: &str) {
    let Some(mut server) = process_1(class, Builder::debug_log) else { return };
    let _in_hand = server.in_hand("/sleep/60000");
    server.signal(SIGINT);
    assert_eq!(server.wait_exit(Duration::from_secs(5)).code(), Some(0));
}

fn an_upgrade_is_refused(class: &str) {
    let Some(mut server) = process_1(class, |builder| builder) else { return };
    server.signal(SIGUSR2);
    server.wait_for_line(Duration::from_secs(5), "the refusal", |line| line.text.contains("SIGUSR2"));
    assert!(server.running());
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

/// Whoever cannot start says so by the code that its container ends with.
#[test]
fn the_exit_code_is_the_containers() {
    if !geteuid().is_root() {
        return skip("a namespace for processes takes root");
    }
    for (words, code) in [(&["--workers", "0"][..], 2), (&["module:app"], 4), (&["-b", "192.0.2.1:80"], 1)] {
        let mut server = Server::builder("sync").process_1().args(words.iter().copied()).spawn();
        assert_eq!(server.wait_exit(Duration::from_secs(10)).code(), Some(code), "{words:?}");
    }
}

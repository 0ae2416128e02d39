//! Everything at once, by chance, under load: the arbiter lives, the workers come back, and nobody is lost but those whom a
//! worker that was killed had in its hands.
//!
//! `SOAK=N` does N / 4 mischiefs instead of 40. A failure prints the seed; `CHAOS=SEED` brings its mischiefs back.

use std::{env, path::PathBuf, process::Command, thread, time::Duration};

use nix::{
    sys::signal::Signal::{
        self, SIGABRT, SIGCONT, SIGHUP, SIGILL, SIGKILL, SIGSTOP, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGWINCH,
    },
    unistd::{Pid, geteuid},
};
use tempfile::TempDir;

use crate::support::{
    Held, Server, each_class,
    http::Conn,
    load::{Load, Shape},
    send, skip, soak, turn, wait_until, zombies,
};

each_class!(whatever_happens_the_server_goes_on);

const WORKERS: usize = 3;
/// A worker that keeps dying is waited for for a while.
const SOON: Duration = Duration::from_secs(60);

fn whatever_happens_the_server_goes_on(class: &str) {
    if !geteuid().is_root() {
        return skip("limits of others are root's to change");
    }
    let _turn = turn();
    let seed = env::var("CHAOS").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("CHAOS is a number"));
    println!("CHAOS={seed}");
    let disk = SmallDisk::new();
    let access_log = disk.0.path().join("access.log");
    // As nobody: the kernel lets root fork beyond all limits.
    let builder = Server::builder(class).unprivileged().workers(WORKERS).drain(0.3);
    let builder = builder.args(["--timeout", "5", "--access-logfile", access_log.to_str().unwrap()]);
    let mut server = builder.start();
    server.wait_for_workers(SOON, |workers| workers.len() == WORKERS);
    let (arbiter, worker) = (Held::by(server.pid()).descriptors, Held::by(server.workers()[0]).descriptors);

    let load = Load::start(&server.target(), "/sleep/20", Shape::Fresh { rate: 40.0 });
    load.wait_for(20);
    let mut chaos = Chaos { server: &server, random: fastrand::Rng::with_seed(seed) };
    let mischiefs = soak::wanted().map_or(40, |stops| stops / 4);
    for _ in 0..mischiefs {
        chaos.mischief();
        thread::sleep(Duration::from_millis(chaos.random.u64(20..150)));
    }

    assert!(server.running(), "the arbiter is gone");
    let target = || number_of_workers(&server);
    assert!(wait_until(SOON, || server.workers().len() == target()), "{:?}, not {}", server.workers(), target());
    load.wait_for(20);
    let tally = load.stop();
    println!("{tally}");
    let (deaths, cut) = deaths(&server);
    // A worker may die between its accept(2) and the entry in its books.
    assert!(tally.lost() <= cut + deaths, "{tally}, and {deaths} workers died with {cut} connections");
    assert_eq!(tally.served() + tally.lost() + tally.refused(), tally.0.len(), "{tally}");
    assert_eq!(tally.refused(), 0, "{tally}");
    soak::chaos(class, mischiefs, deaths, &tally, cut);

    // What is left over: none of the dead, and of the living no descriptor more than in the beginning.
    assert!(wait_until(SOON, || zombies(server.pid()) == 0), "a zombie is left");
    // With each worker goes one of the arbiter's; and one that asks the kernel for queues is opened when it is needed.
    let most = arbiter + server.workers().len() - WORKERS.min(server.workers().len()) + 1;
    let now = || Held::by(server.pid()).descriptors;
    assert!(wait_until(SOON, || now() <= most), "the arbiter has {} descriptors, and had {arbiter}", now());
    for pid in server.workers() {
        let now = || Held::by(pid).descriptors;
        // That of the descriptor that is kept back for when there are no others, and of temporary files.
        assert!(wait_until(SOON, || now() <= worker + 1), "a worker has {} descriptors, and had {worker}", now());
    }
    server.signal(SIGTERM);
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    server.drain_report();
}

struct Chaos<'a> {
    server: &'a Server,
    random: fastrand::Rng,
}

impl Chaos<'_> {
    fn mischief(&mut self) {
        let what = self.random.u32(..13);
        match what {
            0 | 1 => self.strike(SIGKILL),
            2 => {
                let signal = if self.random.bool() { SIGILL } else { SIGABRT };
                self.strike(signal);
            }
            3 => self.strike(SIGTERM),
            4 => {
                // Shorter than --timeout: it is only slow.
                let Some(worker) = self.worker() else { return };
                send(worker, SIGSTOP);
                self.pause(50..400);
                send(worker, SIGCONT);
            }
            5 => {
                self.server.signal(SIGSTOP);
                self.pause(50..400);
                self.server.signal(SIGCONT);
            }
            6 => {
                self.server.signal_group(SIGSTOP);
                self.pause(50..400);
                self.server.signal_group(SIGCONT);
            }
            7 => self.storm(SIGTTIN),
            8 => self.storm(SIGTTOU),
            9 => self.storm(SIGHUP),
            10 => {
                self.storm(SIGUSR1);
                self.storm(SIGWINCH);
            }
            11 => self.without("--nproc", "0:0", "100000:100000"),
            _ => self.without_descriptors(),
        }
    }

    fn storm(&mut self, signal: Signal) {
        for _ in 0..self.random.u32(1..6) {
            self.server.signal(signal);
            self.pause(0..20);
        }
    }

    fn worker(&mut self) -> Option<Pid> {
        let workers = self.server.workers();
        (!workers.is_empty()).then(|| workers[self.random.usize(..workers.len())])
    }

    fn strike(&mut self, signal: Signal) {
        if let Some(worker) = self.worker() {
            send(worker, signal);
        }
    }

    fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        thread::sleep(Duration::from_millis(self.random.u64(milliseconds)));
    }

    /// No forks for a while, whoever dies meanwhile.
    fn without(&mut self, limit: &str, none: &str, plenty: &str) {
        set_limit(self.server.pid(), limit, none);
        self.strike(SIGKILL);
        self.pause(100..600);
        set_limit(self.server.pid(), limit, plenty);
    }

    /// A worker, or the arbiter, has no descriptor left for a while, and silent clients take what there was.
    fn without_descriptors(&mut self) {
        let Some(worker) = self.worker() else { return };
        let pid = if self.random.bool() { worker } else { self.server.pid() };
        set_limit(pid, "--nofile", "8:100000");
        let silent: Vec<_> = (0..30).map(|_| Conn::open(&self.server.target())).collect();
        self.pause(100..600);
        drop(silent);
        set_limit(pid, "--nofile", "10000:100000");
    }
}

/// One that has just died has no limits.
fn set_limit(pid: Pid, limit: &str, value: &str) {
    let pid = format!("--pid={pid}");
    let _ = Command::new("prlimit").args([&pid, &format!("{limit}={value}")]).output().expect("util-linux has it");
}

/// How many workers there are to be, by what the arbiter has said last: of signals that come close together the kernel
/// delivers one.
fn number_of_workers(server: &Server) -> usize {
    let text = server.log().text();
    let said = text.lines().rev().find_map(|line| {
        if line.contains("SIGHUP: settings read") {
            return Some(WORKERS);
        }
        line.split("number of workers set to ").nth(1)?.split('"').next()?.parse().ok()
    });
    said.unwrap_or(WORKERS)
}

/// How many workers died that were not to, and with how many connections in their hands.
fn deaths(server: &Server) -> (usize, usize) {
    let text = server.log().text();
    let cut = |line: &str| -> Option<usize> { line.split(" died with ").nth(1)?.split(' ').next()?.parse().ok() };
    let died = text.lines().filter(|line| line.contains(": replacing it") || line.contains("before it was ready"));
    (died.count(), text.lines().filter_map(cut).sum())
}

/// A disk that is full soon.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=16k,mode=777", "none"]).arg(dir.path());
        assert!(mount.status().is_ok_and(|status| status.success()), "a tmpfs can be mounted");
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path: PathBuf = self.0.path().to_owned();
        // Lazily: a server that is still being killed may have a file open.
        let _ = Command::new("umount").arg("--lazy").arg(path).status();
    }
}

//! Two servers behind a real balancer are restarted in turn, at more load than they can serve: no request fails.
//!
//! The requests are POSTs, which a balancer may not send a second time: what a server resets, the client gets as an error.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::SIGTERM;

use crate::support::{
    Outcome, Server, Tally, Target,
    balancer::{Balancer, Kind},
    each_class, free_port,
    load::{Ask, Load, Method, Shape},
    peers::{self, Program},
    skip,
    soak::{self, Table},
    turn,
};

each_class!(no_request_fails_in_a_rolling_restart);

/// What to ask for, and how many requests a second two servers of two workers each can serve.
fn capacity(name: &str) -> (&'static str, f64) {
    match name {
        // In each worker as many at once as it has threads.
        "async" => ("/sleep/3000", 4.0 * 64.0 / 3.0),
        "threaded --threads 4" => ("/sleep/200", 4.0 * 20.0),
        _ => ("/sleep/50", 4.0 * 20.0),
    }
}

/// Longer than a drain may take.
const PATIENCE: Duration = Duration::from_secs(35);

const TABLE: Table = Table::new(&["balancer", "server", "restarts", "requests", "not 200", "in %", "s to stop"]);

fn no_request_fails_in_a_rolling_restart(class: &str) {
    let kinds = Kind::installed();
    if kinds.is_empty() {
        return skip("there is neither HAProxy nor nginx: `cargo xtask setup` installs them where it can");
    }
    let _turn = turn();
    // One balancer's two restarts are enough to see that nothing is broken.
    let kinds = if soak::wanted().is_some() { &kinds[..] } else { &kinds[..1] };
    for &kind in kinds {
        let roll = many_rolls(kind, class, &|address| Backend::rserve(class, address));
        assert!(roll.failed() == 0, "behind {kind}: {}", roll.tally);
    }
}

/// What the same costs with a server that closes its listener on SIGTERM, without which the test above proves little.
#[test]
fn gunicorn_fails_many_requests_in_a_rolling_restart() {
    let (kinds, gunicorn) = (Kind::installed(), peers::gunicorn());
    let Ok(gunicorn) = &gunicorn else { return skip("there is no gunicorn: `cargo xtask setup` installs it") };
    if soak::wanted().is_none() || kinds.is_empty() {
        return skip("a comparison, which `cargo xtask soak` makes");
    }
    let _turn = turn();
    for kind in kinds {
        let roll = many_rolls(kind, "gunicorn sync", &|address| Backend::gunicorn(gunicorn, address));
        assert!(roll.failed() * 10 >= roll.tally.0.len(), "behind {kind}: {}", roll.tally);
    }
}

/// A server that can be stopped and started again.
enum Backend {
    Rserve(Server),
    Other(Program),
}

impl Backend {
    fn rserve(class: &str, address: SocketAddr) -> Self {
        // Longer than the balancers keep idle connections, so that it is they who close them.
        let builder = Server::builder(class).workers(2).args(["--drain-on-term", "--keep-alive", "75"]);
        // A balancer that learns from refused connects keeps the door open to the end of this.
        let builder = if soak::wanted().is_some() { builder } else { builder.args(["--drain-open", "2"]) };
        Self::Rserve(builder.address(address.to_string(), Target::Tcp(address)).start())
    }

    fn gunicorn(program: &std::path::Path, address: SocketAddr) -> Self {
        let mut command = Command::new(program);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.arg("--chdir").arg(peers::apps()).args(["--workers", "2", "--bind", &address.to_string(), "slow:app"]);
        Self::Other(Program::start(&mut command, address))
    }

    fn stop(self) {
        match self {
            Self::Rserve(mut server) => {
                server.signal(SIGTERM);
                assert_eq!(server.wait_exit(PATIENCE).code(), Some(0));
                server.drain_report().assert_nothing_cut();
            }
            Self::Other(mut program) => {
                program.terminate();
                program.wait_exit(PATIENCE);
            }
        }
    }
}

/// What became of one or more rolling restarts.
#[derive(Default)]
struct Roll {
    tally: Tally,
    stops: Vec<Duration>,
}

impl Roll {
    fn failed(&self) -> usize {
        self.tally.count(|outcome| outcome != Outcome::Served)
    }
}

/// Two restarts, or a hundredth of the stops that a soak wants; one row of the table.
fn many_rolls(kind: Kind, name: &str, start: &dyn Fn(SocketAddr) -> Backend) -> Roll {
    let rolls = soak::wanted().map_or(1, |stops| (stops / 400).max(1));
    let mut all = Roll::default();
    for _ in 0..rolls {
        let one = roll(kind, name, start);
        all.tally.0.extend(one.tally.0);
        all.stops.extend(one.stops);
    }
    all.stops.sort();
    let (requests, failed) = (all.tally.0.len(), all.failed());
    TABLE.row(&[
        &kind,
        &name,
        &all.stops.len(),
        &requests,
        &failed,
        &format_args!("{:.1}", 100.0 * failed as f64 / requests as f64),
        &format_args!("{:.1}", all.stops[all.stops.len() / 2].as_secs_f64()),
    ]);
    println!("{name} behind {kind}: {}", all.tally);
    all
}

fn roll(kind: Kind, name: &str, start: &dyn Fn(SocketAddr) -> Backend) -> Roll {
    let addresses = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
    let mut backends = addresses.map(|address| Some(start(address)));
    let balancer = Balancer::start(kind, addresses);
    let (path, capacity) = capacity(name);
    let post = Ask { method: Method::Post, patience: 2 * PATIENCE, ..Ask::from(path) };
    let load = Load::start(&balancer.target(), post, Shape::Fresh { rate: 1.2 * capacity });
    load.wait_for(50);
    let mut stops = Vec::new();
    for (backend, address) in backends.iter_mut().zip(addresses) {
        let signalled = Instant::now();
        backend.take().expect("each is stopped once").stop();
        stops.push(signalled.elapsed());
        *backend = Some(start(address));
        // The other one must not go before the balancer has found this one.
        thread::sleep(Duration::from_secs(1));
    }
    let roll = Roll { tally: load.stop(), stops };
    if roll.failed() > 0 {
        println!("{kind}'s log:\n{}", balancer.log());
    }
    roll
}

//! What is asked of each model.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::{
    client::{Clients, Run},
    model::{MODELS, Since, pss_kib},
    support::{Server, Target, http::Conn, http::request},
    table::{Row, Table},
};

/// One kind of app under one kind of load.
struct Scenario {
    name: &'static str,
    path: &'static str,
    /// Bytes of the request's body.
    body: usize,
    clients: usize,
    /// A connection for each request.
    fresh: bool,
    /// Connections that were used once and then do nothing.
    idle: usize,
    /// Of the one measurement that is for the table.
    requests: u64,
}

const PLAIN: Scenario =
    Scenario { name: "", path: "/instant", body: 0, clients: 16, fresh: false, idle: 0, requests: 40_000 };

const SCENARIOS: [Scenario; 8] = [
    // What does the class itself cost?
    Scenario { name: "instant", ..PLAIN },
    // Who keeps a core busy with the app, and lets nobody wait for long?
    Scenario { name: "1 ms of work", path: "/cpu", requests: 2_000, ..PLAIN },
    // How many can wait at once, if each holds a thread?
    Scenario { name: "10 ms wait", path: "/wait/10", clients: 16, requests: 1_000, ..PLAIN },
    // And with many more clients than threads?
    Scenario { name: "10 ms wait, 100 clients", path: "/wait/10", clients: 100, requests: 2_000, ..PLAIN },
    // What do large responses cost?
    Scenario { name: "1 MiB response", path: "/mib", clients: 4, requests: 1_000, ..PLAIN },
    // And large uploads?
    Scenario { name: "1 MiB upload", path: "/upload", body: 1 << 20, clients: 4, requests: 1_000, ..PLAIN },
    // What does a handshake for each request cost?
    Scenario { name: "a connection for each request", fresh: true, requests: 10_000, ..PLAIN },
    // Do connections that do nothing slow down one that does?
    Scenario { name: "one busy beside 1,000 idle", clients: 1, idle: 1_000, requests: 10_000, ..PLAIN },
];

/// The models on each scenario in turn: criterion's times, and the table.
pub(crate) fn side_by_side(criterion: &mut Criterion) {
    let mut table = Table::new("scenario");
    for scenario in &SCENARIOS {
        let mut group = criterion.benchmark_group(scenario.name);
        group.throughput(Throughput::Elements(1));
        for model in &MODELS {
            let server = model.builder().workers(1).start();
            let worker = server.workers()[0];
            let address = address(&server);
            let _idle = rest(address, scenario.idle);
            let mut clients = Clients::new(address, scenario.clients, scenario.path, scenario.body, scenario.fresh);
            let mut measured = false;
            group.bench_function(BenchmarkId::from_parameter(model.name), |bencher| {
                measured = true;
                bencher.iter_custom(|requests| clients.run(requests).elapsed);
            });
            // Left out on the command line.
            if !measured {
                continue;
            }
            let since = Since::now(worker);
            let run = clients.run(scenario.requests);
            let (_, cpu) = since.elapsed();
            table.add(Row::new(scenario.name, model.name, &run, cpu, pss_kib(worker)));
        }
        group.finish();
    }
    table.print("One worker on one core");
}

fn address(server: &Server) -> SocketAddr {
    let Target::Tcp(address) = server.target() else { unreachable!("the default listener is TCP") };
    address
}

/// Connections that have asked once.
fn rest(address: SocketAddr, count: usize) -> Vec<Conn> {
    let target = Target::Tcp(address);
    let ask = |_| {
        let mut conn = Conn::open(&target).unwrap();
        conn.send(request("/instant")).unwrap();
        assert_eq!(conn.response().unwrap().status, 200);
        conn
    };
    (0..count).map(ask).collect()
}

/// Which worker has which of the pooled connections, and which one gets the long request, is chance.
const TRIES: usize = 4;

/// Who waits behind a request of 5 s? Two workers, 8 clients that ask for something quick for a second: with a connection
/// for each request, and with connections that they had before.
pub(crate) fn beside_a_long_one() {
    let mut table = Table::new("fast requests beside one of 5 s, two workers");
    for (name, fresh) in [("fresh connections", true), ("pooled connections", false)] {
        for model in &MODELS {
            let (mut all, mut cpu, mut pss) = (Run::default(), Duration::ZERO, 0);
            for _ in 0..TRIES {
                let server = model.builder().workers(2).start();
                let address = address(&server);
                let mut clients = Clients::new(address, 8, "/instant", 0, fresh);
                clients.run(400);
                let mut long = Conn::open(&Target::Tcp(address)).unwrap();
                long.send(request("/wait/5000")).unwrap();
                cpu += run_for(&mut clients, &server, Duration::from_secs(1), &mut all);
                pss = server.workers().into_iter().map(pss_kib).sum();
            }
            all.latencies.sort_unstable();
            table.add(Row::new(name, model.name, &all, cpu, pss));
        }
    }
    table.print("Beside a long request");
}

/// Small batches until the time is over: those that wait for the long one hold up their batch, which is the point.
fn run_for(clients: &mut Clients, server: &Server, during: Duration, all: &mut Run) -> Duration {
    let since: Vec<Since> = server.workers().into_iter().map(Since::now).collect();
    let start = Instant::now();
    while start.elapsed() < during {
        let run = clients.run(80);
        all.elapsed += run.elapsed;
        all.latencies.extend(run.latencies);
    }
    since.iter().map(|since| since.elapsed().1).sum()
}

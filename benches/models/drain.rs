//! How long does a drain take with a queue before the door?

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode};
use nix::sys::signal::Signal;

use crate::{
    model::MODELS,
    support::http::{Conn, closing_request},
};

/// So many connections, each with a request that takes 10 ms, have been made when SIGTERM comes.
const BACKLOG: usize = 100;

/// The longest that any of them could take.
const BOUND: Duration = Duration::from_secs(30);

/// From SIGTERM to the exit of a server with one worker. Half a second of it is `--drain-quiet`, in which the server makes
/// sure that nobody comes any more; a server without clients takes that long too, which the first line shows.
pub(crate) fn time_to_drain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("SIGTERM to exit");
    group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(10));
    for (backlog, model) in [(0, &MODELS[0])].into_iter().chain(MODELS.iter().map(|model| (BACKLOG, model))) {
        group.bench_function(BenchmarkId::new(model.name, backlog), |bencher| {
            bencher
                .iter_custom(|times| (0..times).map(|_| drain(model.builder().workers(1).drain(0.5), backlog)).sum());
        });
    }
    group.finish();
}

fn drain(builder: crate::support::Builder, backlog: usize) -> Duration {
    let mut server = builder.start();
    let target = server.target();
    let mut conns: Vec<Conn> = (0..backlog).map(|_| Conn::open(&target).unwrap()).collect();
    for conn in &mut conns {
        conn.send(closing_request("/wait/10")).unwrap();
    }
    let at = server.signal(Signal::SIGTERM);
    let exit = server.wait_exit(BOUND);
    assert_eq!(exit.code(), Some(0));
    for conn in &mut conns {
        assert_eq!(conn.response().unwrap().status, 200, "a drain that loses connections needs no timing");
    }
    exit.at - at
}

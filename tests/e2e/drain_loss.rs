//! A stop under load loses nobody: many stops at random moments, over every kind of socket and several kinds of load.
//!
//! `SOAK=N` makes about N stops instead of a hundred and prints a row of a Markdown table for each load; the bodies are
//! the same.

use std::{
    any::Any,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::SIGTERM;

use crate::support::{
    Server, Socket, Tally, each_class,
    load::{Load, Shape},
    soak, turn, twenty_a_second,
};

each_class!(
    fresh_connections_instant_handler,
    fresh_connections_1_ms_handler,
    fresh_connections_50_ms_handler_below_capacity,
    fresh_connections_50_ms_handler_above_capacity,
    fresh_connections_50_ms_handler_far_above_capacity,
    kept_connections_instant_handler,
    kept_connections_1_ms_handler,
    kept_connections_50_ms_handler,
    without_the_drain_connections_are_lost,
);

fn fresh_connections_instant_handler(class: &str) {
    stops(class, "new connections, 0 ms", "/hello", |_| Shape::Fresh { rate: 150.0 });
}

fn fresh_connections_1_ms_handler(class: &str) {
    stops(class, "new connections, 1 ms", "/sleep/1", |_| Shape::Fresh { rate: 150.0 });
}

fn fresh_connections_50_ms_handler_below_capacity(class: &str) {
    stops(class, "new connections, 50 ms, 0.8 × capacity", &twenty_a_second(class), |workers| {
        times_capacity(0.8, workers)
    });
}

fn fresh_connections_50_ms_handler_above_capacity(class: &str) {
    stops(class, "new connections, 50 ms, 1.2 × capacity", &twenty_a_second(class), |workers| {
        times_capacity(1.2, workers)
    });
}

fn fresh_connections_50_ms_handler_far_above_capacity(class: &str) {
    stops(class, "new connections, 50 ms, 2.5 × capacity", &twenty_a_second(class), |workers| {
        times_capacity(2.5, workers)
    });
}

fn kept_connections_instant_handler(class: &str) {
    stops(class, "keep-alive, 0 ms", "/hello", |_| Shape::KeepAlive { clients: 2 });
}

fn kept_connections_1_ms_handler(class: &str) {
    stops(class, "keep-alive, 1 ms", "/sleep/1", |workers| Shape::KeepAlive { clients: 2 * workers });
}

fn kept_connections_50_ms_handler(class: &str) {
    stops(class, "keep-alive, 50 ms", "/sleep/50", |workers| Shape::KeepAlive { clients: 4 * workers });
}

/// The negative twin: with the classic stop the same load loses connections, so that the tests above can fail.
fn without_the_drain_connections_are_lost(class: &str) {
    let _turn = turn();
    // A class that runs many requests at a time would leave nobody in the backlog.
    let mut server = Server::builder(class).workers(2).args(["--worker-connections", "1"]).start();
    let load = Load::start(&server.target(), "/sleep/50", times_capacity(2.5, 2));
    load.wait_for(40);
    server.signal(SIGTERM);
    server.wait_exit(Duration::from_secs(35));
    let tally = load.stop();
    println!("{tally}");
    assert!(tally.lost() > 5, "{tally}");
    // Not in silence.
    server.wait_for_line(Duration::from_secs(1), "the backlog", |line| line.message().contains("left in the backlog"));
}

/// New connections at so many times what the workers can serve with a handler that takes [`twenty_a_second`].
fn times_capacity(factor: f64, workers: usize) -> Shape {
    Shape::Fresh { rate: factor * 20.0 * workers as f64 }
}

/// How a load meets the drain.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    /// The load ends soon after SIGTERM, and the door closes when it is quiet: nobody is refused.
    LoadEnds,
    /// The load goes on, and the door closes after `--drain-open`: later ones are refused, none before.
    DoorCloses,
}

#[derive(Clone, Debug)]
struct Stop<'a> {
    class: &'a str,
    path: &'a str,
    shape: Shape,
    socket: Socket,
    workers: usize,
    ending: Ending,
    seed: u64,
}

/// Twelve stops, or as many as a soak wants: every kind of socket with 1, 2 and 4 workers, four side by side.
fn stops(class: &str, name: &str, path: &str, shape: impl Fn(usize) -> Shape) {
    const LOADS: usize = 8;
    const SIDE_BY_SIDE: usize = 4;
    let _turn = turn();
    let number = soak::wanted().map_or(12, |stops| stops.div_ceil(LOADS));
    let stops: Vec<_> = (0..number)
        .map(|index| {
            let workers = [1, 2, 4][index / 4 % 3];
            Stop {
                class,
                path,
                shape: shape(workers),
                socket: Socket::ALL[index % 4],
                workers,
                // Each combination meets either ending in turn from round to round.
                ending: [Ending::LoadEnds, Ending::DoorCloses][(index + index / 4 + index / 12) % 2],
                seed: fastrand::u64(..),
            }
        })
        .collect();

    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    for batch in stops.chunks(SIDE_BY_SIDE) {
        thread::scope(|scope| {
            let running: Vec<_> = batch.iter().map(|stop| (stop, scope.spawn(|| stop_once(stop)))).collect();
            for (stop, thread) in running {
                match thread.join() {
                    Ok(one) => {
                        if one.lost() > 0 {
                            failures.push(format!("{stop:?}: {one}"));
                        }
                        tally.0.extend(one.0);
                    }
                    Err(panic) => failures.push(format!("{stop:?}: {}", panic_text(panic.as_ref()))),
                }
            }
        });
    }
    soak::report(class, name, number, &tally, failures.len());
    println!("{name}: {tally}");
    assert!(failures.is_empty(), "{} of {number} stops failed:\n{}", failures.len(), failures.join("\n"));
    tally.assert_none_lost(number / 4);
}

/// One start, load, SIGTERM and end; everything but losses is judged here.
fn stop_once(stop: &Stop<'_>) -> Tally {
    const DOOR_OPEN: Duration = Duration::from_millis(700);
    let mut random = fastrand::Rng::with_seed(stop.seed);
    let mut builder = Server::builder(stop.class).workers(stop.workers).socket(stop.socket);
    if let Shape::KeepAlive { .. } = stop.shape {
        builder = builder.args(["--keep-alive", "5"]);
    }
    builder = match stop.ending {
        Ending::LoadEnds => builder.drain(0.3),
        // A load that is held up for a moment is not to be taken for its end.
        Ending::DoorCloses => {
            let open = DOOR_OPEN.as_secs_f32();
            builder.drain(open).args(["--drain-open".into(), open.to_string()])
        }
    };
    let mut server = builder.start();
    let load = Load::start(&server.target(), stop.path, stop.shape);
    load.wait_for(3);
    thread::sleep(Duration::from_millis(random.u64(..500)));
    let signalled = server.signal(SIGTERM);
    let tally = match stop.ending {
        Ending::LoadEnds => {
            thread::sleep(Duration::from_millis(random.u64(..500)));
            let tally = load.stop();
            assert_eq!(tally.refused(), 0, "refused before it was quiet: {tally}");
            tally
        }
        Ending::DoorCloses => {
            server.wait_exit(Duration::from_secs(35));
            load.stop()
        }
    };
    let exit = server.wait_exit(Duration::from_secs(35));
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    // A client may be held up for a moment between noting its start and connecting.
    tally.assert_none_refused_before(signalled + DOOR_OPEN - Duration::from_millis(100));
    assert_all_answered(&tally, exit.at);
    server.drain_report().assert_nothing_cut();
    tally
}

/// Every outcome is one of the good ones, or a loss, which the caller counts; nothing was answered by a dead server.
fn assert_all_answered(tally: &Tally, ended: Instant) {
    use crate::support::Outcome::{IdleRace, Lost, Refused, Served};
    let strange = tally.count(|outcome| !matches!(outcome, Served | Refused | IdleRace | Lost(_)));
    assert_eq!(strange, 0, "{tally}");
    let late = tally.0.iter().filter(|it| it.outcome == Served && it.started > ended).count();
    assert_eq!(late, 0, "served by whom? {tally}");
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (_, Some(text)) => (*text).to_owned(),
        _ => "a panic without words".to_owned(),
    }
}

//! Pods that are taken away while balancers that have not heard of it go on sending: a stop as in Kubernetes, where
//! SIGTERM and the news go out at the same time, and each node hears the news in its own time.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::SIGTERM;

use crate::support::{
    Server, Tally, each_class,
    load::{Ask, Load, Shape},
    net::{Node, on_own_node},
    soak::{self, Table},
    turn,
};

each_class!(steady_traffic_is_served_until_the_last_has_heard, sparse_traffic_needs_more_patience);

/// Longer than any stop here.
const PATIENCE: Duration = Duration::from_secs(30);

const STEADY: Table =
    Table::new(&["the last hears after", "class", "requests", "served", "refused", "lost", "s to exit"]);

const SPARSE: Table = Table::new(&["sparse", "class", "requests", "served", "refused", "lost", "s to exit"]);

/// All at the defaults: the time to exit follows the news.
fn steady_traffic_is_served_until_the_last_has_heard(class: &'static str) {
    const QUIET: f64 = 2.0;
    const OPEN: f64 = 10.0;
    let delays: &[u64] = if soak::wanted().is_some() { &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] } else { &[0, 2] };
    on_own_node(move |mut node| {
        let _turn = turn();
        let pods: Vec<_> = delays
            .iter()
            .map(|&delay| Pod { server: start(&mut node, class, &[]), heard_after: Duration::from_secs(delay) })
            .collect();
        let ends = side_by_side(pods, |pod| {
            // One node hears early, and one late.
            let early = pod.load("/sleep/10", Shape::Fresh { rate: 10.0 });
            let late = pod.load("/sleep/10", Shape::Fresh { rate: 10.0 });
            late.wait_for(10);
            pod.stop(Duration::ZERO, vec![(early, 0.5), (late, 1.0)])
        });
        for (&delay, end) in delays.iter().zip(ends) {
            let seconds = end.row(&STEADY, &format_args!("{delay} s"), class);
            assert_eq!(end.tally.served(), end.tally.0.len(), "{delay} s: {}", end.tally);
            let expected = (delay as f64 + QUIET).min(OPEN);
            // A health check that meets the gate has it opened again, three times at most.
            assert!((expected - 0.5..expected + 7.0).contains(&seconds), "{seconds} s instead of {expected}");
        }
    });
}

/// A request now and then: the door falls quiet between two of them, unless it is told to wait.
fn sparse_traffic_needs_more_patience(class: &'static str) {
    // Between two requests, until the last has heard, and `--drain-quiet`.
    let [gap, heard_after, quiet] = if soak::wanted().is_some() { [4.0, 10.0, 2.0] } else { [1.0, 2.5, 0.4] };
    on_own_node(move |mut node| {
        let _turn = turn();
        let (long_quiet, longer) = ((1.5 * gap).to_string(), (2.0 * heard_after).to_string());
        let quiet = quiet.to_string();
        let settings = [
            (format!("`--drain-quiet {quiet}`"), vec!["--drain-quiet", &quiet], 0.0),
            (format!("`--drain-quiet {long_quiet}`"), vec!["--drain-quiet", &long_quiet, "--drain-open", &longer], 0.0),
            (format!("`preStop` sleep of {heard_after} s"), vec!["--drain-quiet", &quiet], heard_after),
        ];
        let heard_after = Duration::from_secs_f64(heard_after);
        let pods: Vec<_> = settings
            .iter()
            .map(|(_, words, sleep)| (Pod { server: start(&mut node, class, words), heard_after }, *sleep))
            .collect();
        let ends = side_by_side(pods, |(pod, sleep)| {
            let load = pod.load("/sleep/10", Shape::Fresh { rate: 1.0 / gap });
            load.wait_for(1);
            pod.stop(Duration::from_secs_f64(sleep), vec![(load, 1.0)])
        });
        for ((setting, ..), end) in settings.iter().zip(&ends) {
            end.row(&SPARSE, setting, class);
            assert_eq!(end.tally.lost(), 0, "{setting}: {}", end.tally);
        }
        let [impatient, patient, asleep] = &ends[..] else { panic!("three settings") };
        assert!(impatient.turned_away() > 0, "{}", impatient.tally);
        assert_eq!((patient.turned_away(), asleep.turned_away()), (0, 0), "{}; {}", patient.tally, asleep.tally);
    });
}

fn start(node: &mut Node, class: &str, words: &[&str]) -> Server {
    node.start(Server::builder(class).workers(2).args(["--drain-on-term"]).args(words.iter().copied()))
}

/// A pod, and when the last balancer hears that it goes.
struct Pod {
    server: Server,
    heard_after: Duration,
}

/// What became of the requests to a pod that was taken away.
struct End {
    tally: Tally,
    /// From its deletion.
    took: Duration,
}

impl Pod {
    fn load(&self, path: &str, shape: Shape) -> Load {
        // Of an address that leads nowhere any more a client may hear nothing.
        let ask = Ask { patience: Duration::from_secs(8), ..Ask::from(path) };
        Load::start(&self.server.target(), ask, shape)
    }

    /// Deletes the pod: SIGTERM comes after its hook, and each load ends at this part of the time until the last has heard.
    /// All the while its health is checked.
    fn stop(mut self, hook: Duration, loads: Vec<(Load, f64)>) -> End {
        let checks = self.load("/healthz", Shape::Fresh { rate: 0.7 });
        let deleted = Instant::now();
        let balancers: Vec<_> = loads
            .into_iter()
            .map(|(load, part)| {
                let heard_after = self.heard_after.mul_f64(part);
                thread::spawn(move || {
                    thread::sleep(heard_after);
                    load.stop()
                })
            })
            .collect();
        thread::sleep(hook);
        self.server.signal(SIGTERM);
        let exit = self.server.wait_exit(PATIENCE);
        assert_eq!(exit.code(), Some(0));
        self.server.drain_report().assert_nothing_cut();
        assert_eq!(checks.stop().lost(), 0, "a health check was lost");
        let tallies = balancers.into_iter().map(|balancer| balancer.join().expect("the load goes well").0);
        End { tally: Tally(tallies.flatten().collect()), took: exit.at - deleted }
    }
}

impl End {
    /// Refused, or without an answer to the handshake.
    fn turned_away(&self) -> usize {
        self.tally.0.len() - self.tally.served() - self.tally.lost()
    }

    /// Tells the time to exit, in seconds.
    fn row(&self, table: &Table, what: &dyn Display, class: &str) -> f64 {
        let (tally, seconds) = (&self.tally, self.took.as_secs_f64());
        let requests = tally.0.len();
        let cells: [&dyn Display; 7] = [
            what,
            &class,
            &requests,
            &tally.served(),
            &self.turned_away(),
            &tally.lost(),
            &format_args!("{seconds:.1}"),
        ];
        table.row(&cells);
        println!("{what}, {class}: {tally}, {seconds:.1} s to exit");
        seconds
    }
}

/// Mostly they wait.
fn side_by_side<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let running: Vec<_> = items.into_iter().map(|item| scope.spawn(|| work(item))).collect();
        running.into_iter().map(|thread| thread.join().expect("the stop goes well")).collect()
    })
}

//! The checks, by name.

mod beating;
mod draining;
mod serving;
mod stopping;

use std::{
    fmt, io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::{
    client::{Client, Target},
    server::Setup,
    verdict::Verdict,
};

/// A check: its name, and what it shows when it passes.
#[non_exhaustive]
pub struct CheckInfo {
    /// What [`Check::only`](crate::Check::only) and the report call it.
    pub name: &'static str,
    /// What holds of a class that passes, in one sentence.
    pub shows: &'static str,
    pub(crate) run: fn(&Setup<'_>) -> Verdict,
}

/// All checks, in the order of the report.
///
/// ```
/// for check in rserve_conformance::CHECKS {
///     println!("{}: {}", check.name, check.shows);
/// }
/// ```
pub static CHECKS: &[CheckInfo] = &[
    CheckInfo { name: "serves", shows: "one client is served, and then forty who come at once", run: serving::serves },
    CheckInfo {
        name: "speaks-http",
        shows: "bodies of either framing reach the app, a large response comes whole, and a malformed request gets a 400",
        run: serving::speaks_http,
    },
    CheckInfo {
        name: "outlives-its-clients",
        shows: "clients that leave in the middle cost the worker nothing",
        run: serving::outlives_its_clients,
    },
    CheckInfo {
        name: "serves-on-a-unix-socket",
        shows: "a connection without addresses is served as any other",
        run: serving::serves_on_a_unix_socket,
    },
    CheckInfo {
        name: "beats-when-idle",
        shows: "a worker that nobody asks for anything is not taken for stuck",
        run: beating::beats_when_idle,
    },
    CheckInfo {
        name: "beats-under-load",
        shows: "a worker that always has somebody to serve is not taken for stuck",
        run: beating::beats_under_load,
    },
    CheckInfo {
        name: "beats-beside-slow-clients",
        shows: "clients that send nothing, or half a request, do not make the worker look stuck",
        run: beating::beats_beside_slow_clients,
    },
    CheckInfo {
        name: "is-found-out-when-stuck",
        shows: "a handler that never ends blocks nobody for long: others are served beside it, or --timeout replaces it",
        run: beating::is_found_out_when_stuck,
    },
    CheckInfo {
        name: "ends-when-idle",
        shows: "a worker with nothing in hand says Done, with and without --drain-on-term",
        run: stopping::ends_when_idle,
    },
    CheckInfo {
        name: "finishes-what-it-holds",
        shows: "without --drain-on-term, SIGTERM lets the request in hand be answered",
        run: stopping::finishes_what_it_holds,
    },
    CheckInfo {
        name: "finishes-what-it-holds-in-a-drain",
        shows: "a request in hand that outlasts the listeners is answered before the worker is done",
        run: stopping::finishes_what_it_holds_in_a_drain,
    },
    CheckInfo {
        name: "leaves-when-sent-away",
        shows: "one worker that gets SIGTERM answers what it holds and leaves, while the server serves on",
        run: stopping::leaves_when_sent_away,
    },
    CheckInfo {
        name: "is-replaced-unnoticed",
        shows: "SIGHUP under load replaces every worker, and no client is lost or refused",
        run: stopping::is_replaced_unnoticed,
    },
    CheckInfo {
        name: "quits-at-once",
        shows: "SIGINT and SIGQUIT end a server with a request in hand at once",
        run: stopping::quits_at_once,
    },
    CheckInfo {
        name: "is-cut-at-the-deadline",
        shows: "a request that outlasts --graceful-timeout is cut then, counted as aborted, and named in the log",
        run: stopping::is_cut_at_the_deadline,
    },
    CheckInfo {
        name: "drains-its-backlog",
        shows: "all who wait in the backlog at SIGTERM, and all who come during the drain, are served and counted",
        run: draining::drains_its_backlog,
    },
    CheckInfo {
        name: "drains-its-backlog-on-a-unix-socket",
        shows: "the same on a Unix socket, whose door shuts only once",
        run: draining::drains_its_backlog_on_a_unix_socket,
    },
    CheckInfo {
        name: "loses-nobody-under-load",
        shows: "clients that come without end are served until the door closes, and refused after it: nobody is lost",
        run: draining::loses_nobody_under_load,
    },
    CheckInfo {
        name: "answers-late-requests",
        shows: "a connection that was open at SIGTERM and sends its request a second later is answered",
        run: draining::answers_late_requests,
    },
    CheckInfo {
        name: "gives-up-on-silent-clients",
        shows: "a connection that stays silent does not hold the drain until its deadline, and counts as silent",
        run: draining::gives_up_on_silent_clients,
    },
    CheckInfo {
        name: "lets-go-of-idle-connections",
        shows: "a connection that is kept alive is closed in an orderly way in a drain, and does not hold it up",
        run: draining::lets_go_of_idle_connections,
    },
];

impl fmt::Debug for CheckInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What a test of the class alone starts: one worker, so that all of it is seen.
const ONE: [&str; 2] = ["-w", "1"];

/// What `work` comes to while four clients ask without a pause, each time on a new connection; and the first error that one
/// of them has met.
fn under_load<T>(target: &Target, work: impl FnOnce() -> T) -> (T, io::Result<()>) {
    let over = AtomicBool::new(false);
    let ask = || {
        while !over.load(Ordering::Relaxed) {
            Client::asking(target, "/hello")?.response()?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        let outcome = work();
        over.store(true, Ordering::Relaxed);
        let asked = clients.into_iter().try_for_each(|client| client.join().unwrap_or(Ok(())));
        (outcome, asked)
    })
}

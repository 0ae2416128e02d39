//! Does it end when it is told to, and not before?

use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::{
    process::wait_until,
    server::{Setup, TELL},
    verdict::{Advise, Verdict, ensure},
};

use super::{ONE, under_load};

/// With a deadline that nobody should reach.
const DRAIN: [&str; 7] = ["-w", "2", "--drain-on-term", "--drain-quiet", "0.2", "--graceful-timeout", "20"];

const SAY_DONE: &str =
    "drain_step must say Done once nothing is in the worker's hands; the harness sees to the listeners";
const SAY_PENDING: &str = "say Pending in drain_step for as long as a request is in hand, wherever it is: Done once the \
                           listeners are closed ends the process";

pub(super) fn ends_when_idle(setup: &Setup<'_>) -> Verdict {
    for flags in [&DRAIN[..], &["-w", "2", "--graceful-timeout", "20"]] {
        let mut server = setup.start(flags)?;
        server.get("/hello", "serve")?;
        server.signal(Signal::SIGTERM);
        server.wait_exit(Duration::from_secs(10), SAY_DONE)?;
    }
    Ok(())
}

pub(super) fn finishes_what_it_holds(setup: &Setup<'_>) -> Verdict {
    let mut server = setup.start(&[&["-w", "1", "--graceful-timeout", "20"][..], &TELL].concat())?;
    let mut client = server.in_hand("/sleep/3000")?;
    server.signal(Signal::SIGTERM);
    let response = client.response().or_advise("the request in hand at SIGTERM", SAY_PENDING)?;
    ensure(response.status == 200, SAY_PENDING, || format!("the request in hand got a {}", response.status))?;
    drop(client);
    server.wait_exit(Duration::from_secs(10), SAY_DONE)?;
    Ok(())
}

pub(super) fn finishes_what_it_holds_in_a_drain(setup: &Setup<'_>) -> Verdict {
    let mut server = setup.start(&[&DRAIN[..], &TELL].concat())?;
    let mut client = server.in_hand("/sleep/3000")?;
    server.begin_drain()?;
    let response = client.response().or_advise("the request in hand at SIGTERM", SAY_PENDING)?;
    ensure(response.status == 200, SAY_PENDING, || format!("the request in hand got a {}", response.status))?;
    drop(client);
    server.wait_exit(Duration::from_secs(10), SAY_DONE)?;
    server.drain_report()?.check_nothing_cut()
}

pub(super) fn leaves_when_sent_away(setup: &Setup<'_>) -> Verdict {
    let server = setup.start(&[ONE, TELL].concat())?;
    let mut client = server.in_hand("/sleep/1500")?;
    let before = server.workers();
    for worker in &before {
        let _ = kill(*worker, Signal::SIGTERM);
    }
    let response = client.response().or_advise("the request in hand of a worker that was sent away", SAY_PENDING)?;
    ensure(response.status == 200, SAY_PENDING, || format!("the request in hand got a {}", response.status))?;
    drop(client);
    let mut now = Vec::new();
    let gone = wait_until(Duration::from_secs(10), || {
        now = server.workers();
        !now.is_empty() && now.iter().all(|worker| !before.contains(worker))
    });
    ensure(gone, SAY_DONE, || format!("10 s after SIGTERM to the worker {before:?} the workers are {now:?}"))?;
    server.get("/hello", "serve")?;
    Ok(())
}

pub(super) fn is_replaced_unnoticed(setup: &Setup<'_>) -> Verdict {
    let server = setup.start(&["-w", "2"])?;
    let before = server.workers();
    let mut now = Vec::new();
    let (replaced, asked) = under_load(server.target(), || {
        server.signal(Signal::SIGHUP);
        wait_until(Duration::from_secs(15), || {
            now = server.workers();
            now.len() == before.len() && now.iter().all(|worker| !before.contains(worker))
        })
    });
    asked.or_advise("while the workers were replaced, a client", SAY_PENDING)?;
    ensure(replaced, SAY_DONE, || format!("15 s after SIGHUP the workers {before:?} are {now:?}"))
}

pub(super) fn quits_at_once(setup: &Setup<'_>) -> Verdict {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let mut server = setup.start(&[&DRAIN[..], &TELL].concat())?;
        let _client = server.in_hand("/sleep/600000")?;
        server.signal(signal);
        server.wait_exit(Duration::from_secs(3), "handle_quit must not block: the process ends when it returns")?;
    }
    Ok(())
}

pub(super) fn is_cut_at_the_deadline(setup: &Setup<'_>) -> Verdict {
    const CUT: &str = "leave the ticket of a request that was cut to be dropped, or finish it as Outcome::Aborted";
    let flags = ["-w", "1", "--drain-on-term", "--drain-quiet", "0.2", "--graceful-timeout", "2"];
    let mut server = setup.start(&[&flags[..], &TELL].concat())?;
    let mut client = server.in_hand("/sleep/600000")?;
    server.begin_drain()?;
    let took =
        server.wait_exit(Duration::from_secs(6), "handle_quit must not block: the process ends when it returns")?;
    let seconds = took.as_secs_f64();
    ensure(seconds > 1.5, SAY_PENDING, || format!("with a request in hand it left {seconds:.1} s after SIGTERM"))?;
    ensure(client.response().is_err(), CUT, || "a request without end was answered".to_owned())?;
    let aborted = server.drain_report()?.count("aborted");
    ensure(aborted == 1, CUT, || format!("one request was cut, and {aborted} count as aborted"))?;
    let name = "tell Context::begin_request which request is in hand, and Context::end_request when it is done, or log what \
                is cut in handle_quit: what is cut has a name";
    let named = wait_until(Duration::from_secs(2), || server.has_logged("/sleep/600000"));
    ensure(named, name, || "no line of the log names what was cut".to_owned())
}

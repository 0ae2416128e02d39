//! Does its heart beat, and only while it should?

use std::time::Duration;

use crate::{
    client::Client,
    process::wait_until,
    server::{Setup, TELL},
    verdict::{Advise, Finding, Verdict, ensure},
};

use super::under_load;

/// `--timeout` of these checks: short, and still twice the longest step.
const TIMEOUT: [&str; 4] = ["-w", "1", "--timeout", "2"];
/// Twice that.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

pub(super) fn beats_when_idle(setup: &Setup<'_>) -> Verdict {
    let server = setup.start(&TIMEOUT)?;
    server.stays_alive(
        LONG_ENOUGH,
        "returning from a step is the heartbeat: wait no longer than Context::wait_limit, and for Context::wake_fd as well \
         (Context::wait_for_connection does both)",
    )
}

pub(super) fn beats_under_load(setup: &Setup<'_>) -> Verdict {
    const RETURN: &str =
        "returning from a step is the heartbeat: return after a few requests, even if more of them wait";
    let server = setup.start(&TIMEOUT)?;
    let (alive, asked) = under_load(server.target(), || server.stays_alive(LONG_ENOUGH, RETURN));
    alive?;
    asked.or_advise("a client of four that asked without a pause", RETURN)
}

pub(super) fn beats_beside_slow_clients(setup: &Setup<'_>) -> Verdict {
    const SHORT: &str = "reading from a client must not block a step: give the socket a read timeout below Context::wait_limit \
                         and keep the connection for the next step, or read where no step waits for it";
    let server = setup.start(&TIMEOUT)?;
    for words in ["", "GET /hello HT"] {
        let mut client = Client::open(server.target()).or_advise("connecting", SHORT)?;
        client.send(words).or_advise("sending", SHORT)?;
        server.stays_alive(LONG_ENOUGH, SHORT).map_err(|finding| {
            let sent = if words.is_empty() { "nothing" } else { "half a head" };
            Finding { saw: format!("beside a client that sent {sent}, {}", finding.saw), ..finding }
        })?;
        drop(client);
        server.get("/hello", "when a client has left, serve the next")?;
    }
    Ok(())
}

pub(super) fn is_found_out_when_stuck(setup: &Setup<'_>) -> Verdict {
    let server = setup.start(&[&TIMEOUT[..], &TELL].concat())?;
    let _stuck = server.in_hand("/sleep/600000")?;
    // Not just once: who was in the hands of the worker when it was killed is lost with it.
    let answered = wait_until(Duration::from_secs(20), || {
        let response = Client::asking(server.target(), "/hello").and_then(|mut client| {
            client.set_patience(Duration::from_secs(6))?;
            client.response()
        });
        response.is_ok_and(|response| response.status == 200)
    });
    let advice = "let the step wait for the handler, so that the heart stops with it and --timeout replaces the worker; or \
                  take other connections while it runs; or say that it is stuck with Context::set_stuck_since";
    ensure(answered, advice, || {
        "beside a handler that never ends nobody else is served, and the worker goes on beating: nothing would ever end \
         that"
            .to_owned()
    })
}

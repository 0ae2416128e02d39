//! An arbiter with two workers that send back what they read: `cargo run --package rserve-arbiter --example echo`.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use rserve_arbiter::{Accepted, Arbiter, Context, Drain, DrainSettings, Outcome, Settings, Worker};

/// Serves one connection at a time: it sends the first kilobyte back.
#[derive(Default)]
pub(crate) struct Echo {
    in_hand: Option<Accepted>,
    /// For how long the client in hand has been waited for.
    waited: Duration,
}

impl Worker for Echo {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        let Some(mut accepted) = self.take_next(cx)? else { return Ok(()) };
        match echo(&mut accepted, cx.wait_limit()) {
            Ok(outcome) => accepted.ticket.finish(outcome),
            // Silent so far. It must not hold the step, whose return is the heartbeat: it is gone on with in the next.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.waited += cx.wait_limit();
                if self.waited < Duration::from_secs(if cx.draining() { 3 } else { 30 }) {
                    self.in_hand = Some(accepted);
                } else {
                    accepted.ticket.finish(Outcome::Silent);
                }
            }
            // What concerns one connection is no error of the step, which would end the process.
            Err(_) => accepted.ticket.finish(Outcome::ClientGone),
        }
        Ok(())
    }

    fn handle_exit(&mut self, _: &mut Context) {
        self.waited = Duration::ZERO;
    }

    fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
        // It accepts on: for how long is the context's knowledge.
        self.serve_step(cx)?;
        Ok(if self.in_hand.is_some() { Drain::Pending { in_flight: 1 } } else { Drain::Done })
    }
}

impl Echo {
    fn take_next(&mut self, cx: &mut Context) -> io::Result<Option<Accepted>> {
        if self.in_hand.is_some() {
            return Ok(self.in_hand.take());
        }
        self.waited = Duration::ZERO;
        let Some(listener) = cx.wait_for_connection()? else { return Ok(None) };
        cx.accept(listener)
    }
}

fn echo(accepted: &mut Accepted, limit: Duration) -> io::Result<Outcome> {
    accepted.stream.set_nonblocking(false)?;
    accepted.stream.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
    let mut bytes = [0; 1024];
    let read = accepted.stream.read(&mut bytes)?;
    if read == 0 {
        return Ok(Outcome::Silent);
    }
    accepted.ticket.request(false);
    accepted.stream.write_all(&bytes[..read])?;
    Ok(Outcome::Answered)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let settings = Settings {
        binds: vec!["127.0.0.1:8000".parse()?],
        workers: 2,
        drain: Some(DrainSettings::default()),
        worker_class: "echo",
        ..Settings::default()
    };
    let exit = Arbiter::bind(settings)?.run(&mut |_| Ok(Box::new(Echo::default())));
    Ok(exit.into())
}

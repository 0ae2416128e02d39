use rserve_http::{Handler, Response};

use crate::connection::Writing;
use crate::sending::{First, fetch};
use crate::taken::Taken;

/// Something for the app to do on another thread than the [`EventLoop`](crate::EventLoop)'s: to answer a request, or to
/// give the next piece of a response's body.
#[derive(Debug)]
#[must_use = "the client waits until it has been run and given back"]
pub struct Job(pub(crate) Work);

#[derive(Debug)]
pub(crate) enum Work {
    Request(Taken),
    Piece { key: usize, writing: Box<Writing> },
}

/// A [`Job`] that has been run. It must come back to its loop: [`EventLoop::finish`](crate::EventLoop::finish).
#[derive(Debug)]
#[must_use = "the client waits until it has been given back"]
pub struct Done(pub(crate) Outcome);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
pub(crate) enum Outcome {
    Answered { taken: Taken, response: Response, first: Option<First> },
    Fetched { key: usize, writing: Box<Writing> },
}

impl Job {
    /// The first line of the request, for the log.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        match &self.0 {
            Work::Request(taken) => taken.line(),
            Work::Piece { writing, .. } => writing.incoming.head().request_line(),
        }
    }

    /// Runs the app, and blocks for as long as it does. A panic of the app is logged and ends the request, not the thread.
    pub fn run(self, handler: &dyn Handler) -> Done {
        Done(match self.0 {
            Work::Request(mut taken) => {
                let mut response = taken.answer(handler);
                let first = first_piece(&taken, &mut response);
                Outcome::Answered { taken, response, first }
            }
            Work::Piece { key, mut writing } => {
                writing.sending.fetch();
                Outcome::Fetched { key, writing }
            }
        })
    }
}

/// Asks the body for its first piece at once, so that it goes with the head.
fn first_piece(taken: &Taken, response: &mut Response) -> Option<First> {
    let body = response.body_mut();
    if body.in_memory().is_some() || taken.incoming.head().index().is_head() {
        return None;
    }
    let length = body.len();
    Some(First { length, fetched: fetch(body) })
}

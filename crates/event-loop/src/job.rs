use std::mem;
use std::time::Instant;

use http::StatusCode;
use rserve_http::{Answer, Body, Handler};

use crate::feed::{Feed, Feeder, Next, Put, feed};
use crate::sending::fetch;
use crate::taken::Taken;

/// Something for the app to do on another thread than the [`EventLoop`](crate::EventLoop)'s: to answer a request, or to
/// give more of a response's body.
#[derive(Debug)]
#[must_use = "the client waits until it has been run and given back"]
pub struct Job(pub(crate) Work);

#[derive(Debug)]
pub(crate) enum Work {
    Request(Taken),
    Rest { key: usize, line: Box<[u8]>, feeder: Feeder, body: Body },
}

/// What a [`Job`] has done. It must come back to its loop: [`EventLoop::finish`](crate::EventLoop::finish).
#[derive(Debug)]
#[must_use = "the client waits until it has been given back"]
pub struct Done(pub(crate) Outcome);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
pub(crate) enum Outcome {
    /// The response, whose body is in it or fed; `more`: the thread goes on to ask the body.
    Answered { taken: Taken, answer: Answer, fed: Option<Fed>, more: bool },
    /// The thread has put something in for this connection, which waits for it; `over`: and goes on no more.
    Fed { key: Option<usize>, over: bool },
}

/// A body that is asked by another thread.
#[derive(Debug)]
pub(crate) struct Fed {
    pub(crate) length: Option<u64>,
    pub(crate) feed: Feed,
}

/// The thread that runs a [`Job`], as the job sees it.
pub trait Hand {
    /// Takes something to the loop at once, where [`EventLoop::finish`](crate::EventLoop::finish) is for it; the job goes on.
    fn bring(&self, done: Done);

    /// Whether the response's body must be asked for the rest on this thread, with no other call of the app in between.
    fn is_bound(&self) -> bool;

    /// Runs `wait`, which blocks until a client takes more of its response, or for as long as it may take over that.
    fn wait(&self, wait: &mut dyn FnMut());
}

impl Job {
    /// The first line of the request, for the log.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        match &self.0 {
            Work::Request(taken) => taken.line(),
            Work::Rest { line, .. } => line,
        }
    }

    /// Runs the app, and blocks for as long as it does. A panic of the app is logged and ends the request, not the thread.
    ///
    /// A body that is not in memory is asked for its pieces ahead of the client. When enough wait for the client, a body
    /// that [is bound](Hand::is_bound) to this thread has it wait; another becomes a job of its own later.
    pub fn run(self, handler: &dyn Handler, hand: &dyn Hand) -> Done {
        match self.0 {
            Work::Request(mut taken) => {
                // It has waited in the queue to here.
                if taken.incoming.whole.is_some() {
                    taken.incoming.called = Some(Instant::now());
                }
                let answer = taken.answer(handler);
                answered(taken, answer, hand)
            }
            Work::Rest { key, feeder, body, .. } => ask(key, &feeder, body, hand),
        }
    }
}

fn answered(taken: Taken, mut answer: Answer, hand: &dyn Hand) -> Done {
    // To send a file no app is needed.
    if answer.body().in_memory().is_some() || answer.body().as_file().is_some() {
        return Done(Outcome::Answered { taken, answer, fed: None, more: false });
    }
    let mut body = mem::take(answer.body_mut());
    let (key, (feeder, feed)) = (taken.key, feed());
    let fed = Some(Fed { length: body.len(), feed });
    let is_wanted = !taken.incoming.head().index().is_head()
        && answer.status() != StatusCode::NO_CONTENT
        && answer.status() != StatusCode::NOT_MODIFIED;
    // The first piece goes with the head.
    if !is_wanted || ask_once(&feeder, &mut body).next == Next::Stop {
        drop(body);
        return Done(Outcome::Answered { taken, answer, fed, more: false });
    }
    hand.bring(Done(Outcome::Answered { taken, answer, fed, more: true }));
    ask(key, &feeder, body, hand)
}

/// Asks a body for all that it has, or for as much as the client may lag behind.
fn ask(key: usize, feeder: &Feeder, mut body: Body, hand: &dyn Hand) -> Done {
    loop {
        let put = ask_once(feeder, &mut body);
        let key = put.hungry.then_some(key);
        if put.next == Next::Stop {
            drop(body);
            return Done(Outcome::Fed { key, over: true });
        }
        if put.next == Next::Wait && !hand.is_bound() {
            match feeder.park(body) {
                None => return Done(Outcome::Fed { key, over: true }),
                Some(back) => body = back,
            }
        }
        if key.is_some() {
            hand.bring(Done(Outcome::Fed { key, over: false }));
        }
        if put.next == Next::Wait && hand.is_bound() {
            hand.wait(&mut || feeder.wait());
        }
    }
}

fn ask_once(feeder: &Feeder, body: &mut Body) -> Put {
    let fetched = fetch(body);
    feeder.put(fetched, body.in_memory().is_some())
}

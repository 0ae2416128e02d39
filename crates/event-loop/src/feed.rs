//! A body on its way from the thread that asks it for pieces to the loop that sends them.
//!
//! The thread runs ahead of the client, but not far. What becomes of it then depends on the body: one that is bound to its
//! thread has it wait for the client; another is left here, and any thread goes on with it once all is sent.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rserve_http::Body;

use crate::sending::Fetched;

/// What the loop has of it. When this is dropped nobody is going to send what is left, and the body is asked no more.
#[derive(Debug)]
pub(crate) struct Feed(Arc<Shared>);

/// What the thread has of it.
#[derive(Debug)]
pub(crate) struct Feeder(Arc<Shared>);

/// What there is for the loop.
#[derive(Debug)]
pub(crate) enum Portion {
    Piece(Bytes),
    End,
    /// Nothing yet. [`Put::hungry`] will be true once there is.
    Dry,
    /// Nothing, and no thread asks the body: [`Feed::unpark`].
    Parked,
}

/// What a thread hears when it has put a piece in.
#[derive(Debug)]
pub(crate) struct Put {
    /// The loop waits for it, and has to be told.
    pub(crate) hungry: bool,
    pub(crate) next: Next,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    /// The client has to take something first.
    Wait,
    /// The body is at its end, or nobody wants the rest.
    Stop,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// What comes after the pieces, once that is known.
    end: Option<Result<(), String>>,
    parked: Option<Body>,
    hungry: bool,
    closed: bool,
}

/// So many bytes wait for the client, and what is over from the last piece.
const MOST: usize = 128 * 1024;

/// A thread that waits goes on when no more are left than this.
const ROOM: usize = MOST / 2;

/// Pieces shorter than this are sent together.
const SHORT: usize = 4 * 1024;

/// Up to so many bytes.
const TOGETHER: usize = 16 * 1024;

/// A new one, both sides.
pub(crate) fn feed() -> (Feeder, Feed) {
    let shared = Arc::new(Shared::default());
    (Feeder(Arc::clone(&shared)), Feed(shared))
}

impl Feeder {
    /// Puts in what the body has said; `is_last`: it has no more.
    pub(crate) fn put(&self, fetched: Fetched, is_last: bool) -> Put {
        let mut state = self.0.lock();
        match fetched {
            Ok(Some(piece)) => {
                state.bytes += piece.len();
                state.pieces.push_back(piece);
                state.end = is_last.then_some(Ok(()));
            }
            Ok(None) => state.end = Some(Ok(())),
            Err(error) => state.end = Some(Err(error)),
        }
        let next = match &*state {
            State { closed: true, .. } | State { end: Some(_), .. } => Next::Stop,
            State { bytes, .. } if *bytes < MOST => Next::GoOn,
            State { .. } => Next::Wait,
        };
        Put { hungry: mem::take(&mut state.hungry), next }
    }

    /// Blocks until there is room for more, or nobody wants it.
    pub(crate) fn wait(&self) {
        let state = self.0.lock();
        let waited = self.0.changed.wait_while(state, |state| state.bytes > ROOM && !state.closed);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Leaves the body to the loop, which has it asked again when all is sent; gives it back if that is so already.
    pub(crate) fn park(&self, body: Body) -> Option<Body> {
        let mut state = self.0.lock();
        if state.bytes == 0 && !state.closed {
            return Some(body);
        }
        if !state.closed {
            state.parked = Some(body);
        }
        None
    }
}

impl Feed {
    /// What comes next; or why the body cannot go on.
    pub(crate) fn take(&self) -> Result<Portion, String> {
        let mut state = self.0.lock();
        let Some(first) = state.pieces.pop_front() else {
            if let Some(end) = state.end.take() {
                return end.map(|()| Portion::End);
            }
            state.hungry = state.parked.is_none();
            return Ok(if state.hungry { Portion::Dry } else { Portion::Parked });
        };
        let piece = state.join(first);
        state.bytes -= piece.len();
        if state.bytes <= ROOM {
            self.0.changed.notify_one();
        }
        Ok(Portion::Piece(piece))
    }

    /// The body, if a thread has left it here, for another to go on with.
    pub(crate) fn unpark(&self) -> Option<(Feeder, Body)> {
        let mut state = self.0.lock();
        let body = state.parked.take()?;
        state.hungry = true;
        Some((Feeder(Arc::clone(&self.0)), body))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        let parked = state.parked.take();
        drop(state);
        self.0.changed.notify_one();
        // It may run anything.
        drop(parked);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A short piece, and short ones that follow it.
    fn join(&mut self, first: Bytes) -> Bytes {
        let is_short = |piece: &Bytes| piece.len() < SHORT;
        if !is_short(&first) || !self.pieces.front().is_some_and(is_short) {
            return first;
        }
        let mut joined = Vec::from(first);
        while let Some(next) = self.pieces.pop_front_if(|next| is_short(next) && joined.len() + next.len() <= TOGETHER)
        {
            joined.extend_from_slice(&next);
        }
        joined.into()
    }
}

#[cfg(test)]
mod tests;

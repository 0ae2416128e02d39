use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Connection, InHand, Line, Stage, State};

/// A request in the books of its connection.
pub(super) struct InBooks {
    pub(super) line: Line,
    /// Pieces of its response that the client has not taken.
    pieces: usize,
    /// The last piece is among them.
    over: bool,
}

impl InBooks {
    pub(super) const fn new(line: Line) -> Self {
        Self { line, pieces: 0, over: false }
    }
}

/// A piece of a response over HTTP/2, until it is sent. It lies with hyper for as long as the client does not let the stream
/// go on (RFC 9113 section 5.2), and for so long its request is in hand.
pub(crate) struct Piece {
    bytes: Bytes,
    connection: Arc<Connection>,
    key: usize,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.connection.note_taken(self.key);
    }
}

impl InHand {
    /// A piece of its response, to be handed to hyper.
    pub(crate) fn owe(&self, bytes: Bytes) -> Piece {
        let mut state = self.connection.state();
        if let Some(request) = state.requests.get_mut(self.key) {
            request.pieces += 1;
            if request.pieces == 1 {
                state.owed += 1;
                state.limit_writing(&self.connection);
            }
        }
        Piece { bytes, connection: Arc::clone(&self.connection), key: self.key }
    }
}

/// Requests that are answered, and those whose answers are not taken.
impl Connection {
    /// The app has given the whole response.
    pub(super) fn finish_request(&self, key: usize) {
        let mut state = self.state();
        // Gone, if the worker was told to quit.
        let Some(request) = state.requests.get_mut(key) else { return };
        request.over = true;
        if request.pieces == 0 {
            state.remove(key, self);
            state.limit_writing(self);
        }
    }

    /// The client has taken a piece, or the stream is gone.
    fn note_taken(&self, key: usize) {
        let mut state = self.state();
        let Some(request) = state.requests.get_mut(key) else { return };
        request.pieces -= 1;
        if request.pieces == 0 {
            let over = request.over;
            state.owed -= 1;
            if over {
                state.remove(key, self);
            }
        }
        state.limit_writing(self);
    }
}

impl State {
    fn remove(&mut self, key: usize, connection: &Connection) {
        self.requests.remove(key);
        if self.requests.is_empty() && matches!(self.stage, Stage::Streams { .. }) {
            self.stage = Stage::Streams { idle: Some(Instant::now()), served: true };
            self.set_deadline(&connection.shared);
            self.wake();
        }
    }

    /// The client has some time, anew, to take more of the responses, if nothing is done here but to wait for that.
    fn limit_writing(&mut self, connection: &Connection) {
        if let Stage::Streams { idle: None, .. } = self.stage {
            let waits = self.owed > 0 && self.owed == self.requests.len();
            self.deadline = waits.then(|| Instant::now() + connection.shared.settings.write_timeout);
        }
    }
}

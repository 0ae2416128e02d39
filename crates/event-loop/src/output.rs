use std::time::Instant;

use socket2::Socket;

use crate::sending::{Cut, Sent, send};

/// What is to be sent on a connection, in order: finished responses, and what is said in the app's stead.
///
/// A connection has one only while there is something in it.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
    /// The client has not taken all of it, and must take more by then.
    pub(crate) stuck: Option<Instant>,
}

impl Output {
    /// Sends once what there is. `stuck_until`: what becomes of [`stuck`](Self::stuck) if the client takes a part.
    pub(crate) fn send(&mut self, socket: &Socket, stuck_until: Instant) -> Result<Sent, Cut> {
        let sent = send(socket, &self.bytes[self.sent..])?;
        self.sent += sent;
        if self.sent == self.bytes.len() {
            return Ok(Sent::All);
        }
        if sent > 0 || self.stuck.is_none() {
            self.stuck = Some(stuck_until);
        }
        Ok(Sent::Part)
    }

    /// Leaves only what is still to be sent, for somebody else to send it.
    pub(crate) fn hand_over(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.sent);
        (self.sent, self.stuck) = (0, None);
        &mut self.bytes
    }
}

/// Keeps what connections with nothing to send do not need.
#[derive(Debug, Default)]
pub(crate) struct OutputPool {
    #[expect(clippy::vec_box, reason = "the box goes to a connection as it is")]
    free: Vec<Box<Output>>,
}

/// More than this many are not kept.
const POOLED: usize = 64;

/// Larger ones are not kept, so that the pool holds 1 MiB at most.
const POOLED_BYTES: usize = 16 * 1024;

impl OutputPool {
    /// The bytes that the output of a connection ends with; it gets one if it has none.
    pub(crate) fn bytes_of<'a>(&mut self, output: &'a mut Option<Box<Output>>) -> &'a mut Vec<u8> {
        &mut output.get_or_insert_with(|| self.free.pop().unwrap_or_default()).bytes
    }

    /// Takes one back, whatever is in it.
    pub(crate) fn give_back(&mut self, output: &mut Option<Box<Output>>) {
        let Some(mut output) = output.take() else { return };
        if self.free.len() < POOLED && output.bytes.capacity() <= POOLED_BYTES {
            output.bytes.clear();
            (output.sent, output.stuck) = (0, None);
            self.free.push(output);
        }
    }
}

//! One client whose every segment the test sends itself.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rserve_drain_check::{Complete, complete};

use super::{Segment, Tun};

/// A client without a will of its own: it acknowledges nothing and repeats nothing unless the test says so.
pub(crate) struct Peer {
    local: SocketAddr,
    server: SocketAddr,
    next_to_send: u32,
    next_to_receive: u32,
    last: Option<Segment>,
}

impl Peer {
    pub(crate) fn new(tun: &mut Tun, server: SocketAddr) -> Self {
        let local = SocketAddr::new(tun.new_host(server.ip()), 40_000);
        Self { local, server, next_to_send: 1_000, next_to_receive: 0, last: None }
    }

    /// Sends a SYN, or sends it again.
    pub(crate) fn syn(&mut self, tun: &Tun) {
        let syn = Segment { syn: true, ..Segment::bare(self.local, self.server, 1_000) };
        self.next_to_send = 1_001;
        tun.send(&syn.packet());
    }

    /// Whether a SYN-ACK comes within `bound`.
    pub(crate) fn expect_syn_ack(&mut self, tun: &Tun, bound: Duration) -> bool {
        let answer = self.receive(tun, bound, |segment| segment.syn);
        if let Some(answer) = &answer {
            self.next_to_receive = answer.seq.wrapping_add(1);
        }
        answer.is_some()
    }

    /// Half a handshake, begun again as a client's kernel does when it hears nothing: whether the server answers.
    pub(crate) fn begin(&mut self, tun: &Tun) -> bool {
        (0..3).any(|_| {
            self.syn(tun);
            self.expect_syn_ack(tun, Duration::from_secs(1))
        })
    }

    /// Acknowledges all that has come; the first one completes the handshake.
    pub(crate) fn ack(&mut self, tun: &Tun) {
        let ack = self.segment(Vec::new());
        tun.send(&ack.packet());
    }

    /// Sends data, with an acknowledgement.
    pub(crate) fn send(&mut self, tun: &Tun, data: &str) {
        let segment = self.segment(data.into());
        self.next_to_send = self.next_to_send.wrapping_add(segment.length());
        tun.send(&segment.packet());
        self.last = Some(segment);
    }

    /// Sends the last data again, as a client's kernel does when no acknowledgement has come.
    pub(crate) fn send_again(&mut self, tun: &Tun) {
        tun.send(&self.last.as_ref().expect("data has been sent").packet());
    }

    /// Sends a reset, so that the server's side is gone too.
    pub(crate) fn reset(&mut self, tun: &Tun) {
        tun.send(&Segment { rst: true, ..self.segment(Vec::new()) }.packet());
    }

    /// The status of a whole response that comes within `bound`. What comes is acknowledged. A reset, or an end before
    /// the response is whole, is an error that says so.
    pub(crate) fn expect_response(&mut self, tun: &Tun, bound: Duration) -> Result<u16, &'static str> {
        let deadline = Instant::now() + bound;
        let mut received = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(segment) = self.receive(tun, left, |_| true) else { return Err("no response in time") };
            if segment.rst {
                return Err("reset");
            }
            if segment.length() == 0 || segment.seq != self.next_to_receive {
                continue;
            }
            received.extend_from_slice(&segment.payload);
            self.next_to_receive = self.next_to_receive.wrapping_add(segment.length());
            self.ack(tun);
            if let Some(Complete { status, .. }) = complete(&received, false) {
                return Ok(status);
            }
            if segment.fin {
                return Err("closed before the response was whole");
            }
        }
    }

    /// The first segment to this client that is `wanted`; others are passed over.
    pub(crate) fn receive(&self, tun: &Tun, bound: Duration, wanted: impl Fn(&Segment) -> bool) -> Option<Segment> {
        let deadline = Instant::now() + bound;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let segment = tun.receive_for(self.local, left)?;
            if wanted(&segment) {
                return Some(segment);
            }
        }
    }

    fn segment(&self, payload: Vec<u8>) -> Segment {
        let bare = Segment::bare(self.local, self.server, self.next_to_send);
        Segment { ack: Some(self.next_to_receive), payload, ..bare }
    }
}

use std::sync::Arc;

use rserve_http::{Decoder, Event, Framing, Head, Refusal};

use crate::connection::Connection;

/// The codec beside hyper: what of an HTTP/1 connection may go through.
pub(super) struct Inspect {
    decoder: Decoder,
    has_head: bool,
    over: bool,
    /// Bytes of the body since its time limit was last moved.
    unmarked: usize,
    /// Whether the app wants its heads as they came.
    keeps_heads: bool,
}

/// How much of a body must come in the time limit.
const BODY_PROGRESS: usize = 4 * 1024;

/// The largest head that hyper reads into its buffer is a little larger.
const LARGEST_HEAD: usize = 400_000;

impl Inspect {
    pub(super) fn new(connection: &Arc<Connection>) -> Self {
        Self {
            decoder: Decoder::new(connection.shared.settings.limits),
            has_head: false,
            over: false,
            unmarked: 0,
            keeps_heads: connection.shared.is_blocking(),
        }
    }

    /// Whether the request has gone through whole, so that nothing more may before it is answered.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    pub(super) const fn is_in_body(&self) -> bool {
        self.has_head && !self.over
    }

    /// The request is answered.
    pub(super) fn begin_next(&mut self, connection: &Connection) {
        self.decoder.next_request();
        (self.has_head, self.over) = (false, false);
        connection.begin_idle();
    }

    /// Nothing is there that could go through.
    pub(super) fn await_more(&mut self, connection: &Connection) {
        if self.has_head {
            let progress = self.unmarked >= BODY_PROGRESS;
            if progress {
                self.unmarked = 0;
            }
            connection.await_body(progress);
        }
    }

    /// Clears what may go through of `waiting`, behind what is cleared already.
    pub(super) fn look(
        &mut self,
        connection: &Connection,
        waiting: &mut Vec<u8>,
        at: &mut usize,
        cleared: &mut usize,
    ) -> Result<(), Refusal> {
        while !self.over {
            let start = *at + *cleared;
            let (used, event) = self.decoder.decode(&waiting[start..])?;
            match event {
                Event::Head => {
                    let bytes = &waiting[start..start + used];
                    let head = self.decoder.head().view(bytes);
                    self.has_head = true;
                    let health_check = connection.shared.settings.is_health_check(&head);
                    let index = head.index();
                    let has_body = !matches!(index.framing(), Framing::None | Framing::Length(0));
                    let raw = self.keeps_heads.then(|| bytes.to_vec());
                    connection.begin_request(health_check, !index.keep_alive(), has_body, raw);
                    *cleared += match tame(head) {
                        None => used,
                        Some(tamed) => {
                            let length = tamed.len();
                            waiting.splice(start..start + used, tamed);
                            length
                        }
                    };
                    self.unmarked = BODY_PROGRESS;
                }
                Event::Data(range) => {
                    *cleared += used;
                    self.unmarked += range.len();
                }
                Event::End => {
                    *cleared += used;
                    self.over = true;
                    connection.end_request();
                }
                // Framing between the pieces of a body is hyper's as well.
                Event::NeedMore if self.has_head => {
                    *cleared += used;
                    return Ok(());
                }
                Event::NeedMore => {
                    // Empty lines.
                    waiting.drain(..start + used);
                    *at = 0;
                    if waiting.len() > LARGEST_HEAD {
                        return Err(Refusal::HeadTooLarge);
                    }
                    if !self.decoder.is_idle() {
                        connection.begin_head();
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// A head whose target `http::Uri` does not take, with that percent-encoded: browsers send some such characters.
fn tame(head: Head<'_>) -> Option<Vec<u8>> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/?:@!$&'()*+,;=-._~%".contains(byte);
    let target = head.target();
    if target.as_bytes().iter().all(plain) || http::Uri::try_from(target).is_ok() {
        return None;
    }
    let version = if head.version() == rserve_http::Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut tamed = format!("{} {} {version}\r\n", head.method(), head.uri()).into_bytes();
    for (name, value) in head.headers() {
        tamed.extend_from_slice(name.as_bytes());
        tamed.extend_from_slice(b": ");
        tamed.extend_from_slice(value);
        tamed.extend_from_slice(b"\r\n");
    }
    tamed.extend_from_slice(b"\r\n");
    Some(tamed)
}

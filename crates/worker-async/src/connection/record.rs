use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use rserve_event_loop::{Answered, Asked, Census, Kept, Observer};

use super::Connection;

/// What is told of a request once it is answered.
pub(crate) struct Record {
    kept: Kept,
    since: Instant,
    /// How long it waited for a thread, in nanoseconds.
    waited: AtomicU64,
    /// Until then there is nothing to tell.
    said: Option<(StatusCode, HeaderMap)>,
    sent: u64,
}

impl Record {
    pub(super) fn of(parts: &Parts, observer: &dyn Observer) -> Self {
        let kept = Kept::of(parts, observer);
        Self { kept, since: Instant::now(), waited: AtomicU64::new(0), said: None, sent: 0 }
    }

    /// The app is called only now.
    pub(crate) fn note_call(&self) {
        self.waited.store(self.since.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// What it is answered.
    pub(crate) fn note_response(&mut self, status: StatusCode, fields: Option<&HeaderMap>) {
        self.said = Some((status, fields.cloned().unwrap_or_default()));
    }

    /// So many bytes of the response's body go out.
    pub(crate) fn note_sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    pub(super) fn tell(&self, connection: &Connection) {
        let Some((status, fields)) = &self.said else { return };
        connection.tell(Asked::Kept(&self.kept), *status, fields, self.sent, |answered| Answered {
            waited: Duration::from_nanos(self.waited.load(Ordering::Relaxed)),
            took: answered.now - self.since,
            ..answered
        });
    }
}

/// Telling whoever watches.
impl Connection {
    /// Counts itself where it stands.
    pub(crate) fn take_part(&self, census: &mut Census) {
        let state = self.state();
        *if state.stuck.is_some() { &mut census.writing } else { state.stage.place(census) } += 1;
    }

    fn tell<'a>(
        &self,
        asked: Asked<'a>,
        status: StatusCode,
        fields: &'a HeaderMap,
        sent: u64,
        times: impl FnOnce(Answered<'a>) -> Answered<'a>,
    ) {
        let Some(observer) = self.shared.settings.watch.observer() else { return };
        let (peer, local) = self.ends();
        let (waited, took, now) = (Duration::ZERO, Duration::ZERO, Instant::now());
        observer.answered(&times(Answered { asked, peer, local, status, fields, sent, waited, took, now }));
    }

    /// A request that nobody could take up was refused with this response.
    pub(crate) fn tell_of_refusal(&self, response: &[u8]) {
        let status = response.get(9..12).and_then(|digits| StatusCode::from_bytes(digits).ok());
        let head = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(response.len(), |end| end + 4);
        let sent = (response.len() - head) as u64;
        self.tell(Asked::Malformed, status.unwrap_or_default(), &HeaderMap::new(), sent, |answered| answered);
    }
}

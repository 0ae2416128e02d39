use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::{Connection, State, Writing};
use crate::incoming::Incoming;
use crate::shared::Shared;
use crate::watch::{Answered, Asked, Census};

/// What was said in a response that is being sent piece by piece.
#[derive(Debug)]
pub(crate) struct Said {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
}

/// After this long it is told again where connections stand.
pub(crate) const CENSUS: Duration = Duration::from_secs(1);

/// Telling whoever watches.
impl Connection {
    /// Counts itself where it stands.
    pub(crate) fn take_part(&self, census: &mut Census) {
        let place = match &self.state {
            _ if self.is_stuck() => &mut census.writing,
            State::Silent { .. } => &mut census.silent,
            State::Idle { .. } => &mut census.idle,
            State::Head { .. } | State::Body { .. } => &mut census.reading,
            State::Ready { .. } => &mut census.waiting,
            State::Taken | State::Dry(_) => &mut census.serving,
            State::Writing(_) => &mut census.writing,
            State::Ending { .. } | State::Lingering { .. } => &mut census.closing,
        };
        *place += 1;
    }

    /// A request was answered.
    pub(super) fn tell(&self, incoming: &Incoming, status: StatusCode, fields: &HeaderMap, sent: u64, shared: &Shared) {
        let Some(observer) = shared.settings.watch.observer() else { return };
        shared.untold.set(true);
        let since_whole = |moment| incoming.whole.map_or(Duration::ZERO, |whole| moment - whole);
        observer.answered(&Answered {
            asked: if incoming.has_head() { Asked::Head(incoming.head()) } else { Asked::Malformed },
            peer: self.peer,
            local: self.local,
            status,
            fields,
            sent,
            waited: incoming.called.map_or(Duration::ZERO, since_whole),
            took: since_whole(shared.now),
            now: shared.now,
        });
    }

    /// A response was sent, or is cut.
    pub(super) fn tell_of_writing(&self, writing: &Writing, shared: &Shared) {
        if let Some(said) = &writing.said {
            self.tell(&writing.incoming, said.status, &said.fields, writing.sending.given, shared);
        }
    }

    /// A request was refused with what now stands at the end of the output.
    pub(super) fn tell_of_refusal(&self, incoming: Option<&Incoming>, status: StatusCode, shared: &Shared) {
        let Some(observer) = shared.settings.watch.observer() else { return };
        shared.untold.set(true);
        let output = self.output.as_ref().map_or(&[][..], |output| &output.bytes);
        let body = output.windows(4).rposition(|bytes| bytes == b"\r\n\r\n").map_or(0, |end| output.len() - end - 4);
        let incoming = incoming.filter(|incoming| incoming.has_head());
        observer.answered(&Answered {
            asked: incoming.map_or(Asked::Malformed, |incoming| Asked::Head(incoming.head())),
            peer: self.peer,
            local: self.local,
            status,
            fields: &HeaderMap::new(),
            sent: body as u64,
            waited: Duration::ZERO,
            took: Duration::ZERO,
            now: shared.now,
        });
    }
}

use std::time::{Duration, Instant};

use rserve_event_loop::{Census, CloseReason};

use super::{Connection, LINGER, State, Verdict};
use crate::shared::Shared;

/// Where a connection stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// It has not sent a byte of a request since it was accepted.
    Silent { accepted: Instant },
    /// It has sent nothing since it was answered.
    Idle { answered: Instant },
    /// A part of a head is there, or of what may stand before the first.
    Head,
    /// The head is there, and the body is coming.
    Body,
    /// The request is whole: the next move is ours.
    Busy,
    /// It speaks HTTP/2. `idle`: since when it has no request in hand; `served`: it has had one.
    Streams { idle: Option<Instant>, served: bool },
    /// It speaks another protocol.
    Upgraded,
    /// Our side is shut. What still comes is read and dropped, so that no reset destroys the response on its way.
    Lingering { reason: CloseReason },
}

impl Stage {
    /// What to put down for it if the client leaves now.
    pub(crate) const fn reason_if_left(self) -> CloseReason {
        match self {
            Self::Silent { .. } => CloseReason::Silent,
            Self::Idle { .. } => CloseReason::ClientClosed,
            Self::Head | Self::Body | Self::Busy | Self::Streams { .. } | Self::Upgraded | Self::Lingering { .. } => {
                CloseReason::RequestCut
            }
        }
    }

    /// Counts a connection that stands here.
    pub(super) const fn place(self, census: &mut Census) -> &mut u64 {
        match self {
            Self::Silent { .. } | Self::Streams { idle: Some(_), served: false } => &mut census.silent,
            Self::Idle { .. } | Self::Streams { idle: Some(_), .. } => &mut census.idle,
            Self::Head | Self::Body => &mut census.reading,
            Self::Busy | Self::Streams { idle: None, .. } => &mut census.serving,
            Self::Upgraded => &mut census.upgraded,
            Self::Lingering { .. } => &mut census.closing,
        }
    }

    /// What to put down for it if it is cut now; `unsent`: the client has not taken all that we send.
    pub(super) const fn reason_if_cut(self, unsent: bool) -> CloseReason {
        match self {
            Self::Silent { .. } => CloseReason::Silent,
            Self::Idle { .. } if !unsent => CloseReason::Idle,
            Self::Streams { served: false, .. } => CloseReason::Silent,
            Self::Streams { idle: Some(_), .. } if !unsent => CloseReason::Idle,
            Self::Lingering { reason } => reason,
            Self::Idle { .. } | Self::Head | Self::Body | Self::Busy | Self::Streams { .. } | Self::Upgraded => {
                CloseReason::Quit
            }
        }
    }
}

/// Stages and their time limits.
impl Connection {
    /// Bytes have come, and there is no whole head yet.
    pub(crate) fn begin_head(&self) {
        let mut state = self.state();
        if let Stage::Silent { .. } | Stage::Idle { .. } = state.stage {
            state.stage = Stage::Head;
            state.deadline = Some(Instant::now() + self.shared.settings.head_timeout);
        }
    }

    /// Those bytes were none of a request's: a PROXY header, or the empty line that some clients send after a body.
    pub(crate) fn take_back_head(&self, before: Stage) {
        let mut state = self.state();
        state.stage = before;
        state.set_deadline(&self.shared);
    }

    /// A head was accepted, and counts as a request. `asked`: the client wants the connection closed after it.
    pub(crate) fn begin_request(&self, health_check: bool, asked: bool, has_body: bool, head: Option<Vec<u8>>) {
        let mut state = self.state();
        state.head = head;
        if let Some(ticket) = &state.ticket {
            ticket.request(health_check);
        }
        (state.client_asked, state.responding) = (asked, false);
        state.stage = if has_body { Stage::Body } else { Stage::Busy };
        state.deadline = None;
    }

    /// More of the body is awaited. `progress`: enough has come since the last time for the time limit to begin anew.
    pub(crate) fn await_body(&self, progress: bool) {
        let mut state = self.state();
        if progress || state.deadline.is_none() {
            state.deadline = Some(Instant::now() + self.shared.settings.body_timeout);
        }
    }

    /// The request is whole.
    pub(crate) fn end_request(&self) {
        let mut state = self.state();
        if let Stage::Body = state.stage {
            (state.stage, state.deadline) = (Stage::Busy, None);
        }
    }

    /// Its request is answered, and another may come.
    pub(crate) fn begin_idle(&self) {
        let mut state = self.state();
        (state.responding, state.resting) = (false, false);
        state.stage = Stage::Idle { answered: Instant::now() };
        state.set_deadline(&self.shared);
    }

    /// It speaks HTTP/2.
    pub(crate) fn begin_streams(&self) {
        let mut state = self.state();
        state.stage = Stage::Streams { idle: Some(Instant::now()), served: false };
        state.set_deadline(&self.shared);
    }

    /// Our side is shut.
    pub(crate) fn begin_lingering(&self, reason: CloseReason) {
        let mut state = self.state();
        (state.stage, state.deadline) = (Stage::Lingering { reason }, None);
    }

    pub(crate) fn stage(&self) -> Stage {
        self.state().stage
    }

    /// The client does not take what we send, or takes it again.
    pub(crate) fn set_stuck(&self, stuck: bool) {
        let until = stuck.then(|| Instant::now() + self.shared.settings.write_timeout);
        self.state().stuck = until;
    }

    /// Has it wait without hyper for the next request.
    pub(crate) fn rest(&self) {
        let mut state = self.state();
        state.resting = true;
        state.set_deadline(&self.shared);
    }

    /// Its deadline may have passed: how it is to end then.
    pub(crate) fn expire(&self, now: Instant) -> Option<Verdict> {
        let mut state = self.state();
        if state.stuck.is_some_and(|until| until <= now) {
            return Some(Verdict::Reset(CloseReason::WriteTimeout));
        }
        if state.stuck.is_some() || state.deadline.is_none_or(|deadline| deadline > now) {
            return None;
        }
        state.deadline = None;
        match state.stage {
            // It has come just now, and is about to be read.
            Stage::Silent { .. } | Stage::Idle { .. } if self.has_input() => None,
            // What has come lies with the kernel, since the app does not ask for it now.
            Stage::Body if self.has_input() => None,
            Stage::Silent { .. } => Some(Verdict::Close(CloseReason::Silent)),
            Stage::Idle { answered } if now < state.phase.idle_until(&self.shared.settings, answered) => {
                Some(Verdict::Rest)
            }
            Stage::Idle { answered } if now < answered + LINGER => Some(Verdict::Shut(CloseReason::Idle)),
            Stage::Idle { .. } => Some(Verdict::Close(CloseReason::Idle)),
            Stage::Head => Some(Verdict::Refuse(CloseReason::HeadTimeout)),
            Stage::Body if state.responding => Some(Verdict::Reset(CloseReason::BodyTimeout)),
            Stage::Body => Some(Verdict::Refuse(CloseReason::BodyTimeout)),
            Stage::Streams { idle: None, .. } => Some(Verdict::Reset(CloseReason::WriteTimeout)),
            Stage::Streams { .. } if state.leaving.is_none() => {
                state.leaving = Some(now);
                state.set_deadline(&self.shared);
                None
            }
            Stage::Streams { .. } => Some(Verdict::Shut(state.stage.reason_if_cut(false))),
            Stage::Busy | Stage::Upgraded | Stage::Lingering { .. } => None,
        }
    }
}

/// After this long an idle connection needs no buffers.
const REST: Duration = Duration::from_secs(1);

impl State {
    /// Sets the time limit of the stage, where it depends on nothing else.
    pub(super) fn set_deadline(&mut self, shared: &Shared) {
        let settings = &shared.settings;
        self.deadline = match self.stage {
            Stage::Silent { accepted } => Some(self.phase.silent_until(settings, accepted)),
            Stage::Idle { answered } => {
                let until = self.phase.idle_until(settings, answered);
                Some(if self.resting { until } else { until.min(answered + REST) })
            }
            Stage::Streams { idle: Some(since), served } => Some(match self.leaving {
                Some(leaving) => leaving.max(since) + LINGER,
                None if served => self.phase.idle_until(settings, since),
                None => self.phase.silent_until(settings, since),
            }),
            Stage::Busy | Stage::Upgraded => None,
            Stage::Streams { idle: None, .. } | Stage::Head | Stage::Body | Stage::Lingering { .. } => self.deadline,
        };
    }
}

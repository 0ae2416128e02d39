mod owed;
mod record;
mod socket;
mod stage;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{Method, Uri, Version};
use rserve_arbiter::{Accepted, Outcome, Ticket};
use rserve_event_loop::{CloseReason, Phase};
use rserve_http::{Client, ConnectInfo, ProxyHeader, Refusal};
use slab::Slab;

use crate::readiness::Readiness;
use crate::shared::{Shared, lock};
use owed::InBooks;
pub(crate) use record::Record;
pub(crate) use stage::Stage;

/// One connection: its socket, its entry in the books, and what is known of it. All who have to do with it share it: the task
/// that serves it, the [`Gate`](crate::gate::Gate) through which hyper reads and writes, and the worker.
pub(crate) struct Connection {
    socket: Readiness,
    pub(crate) shared: Arc<Shared>,
    key: usize,
    state: Mutex<State>,
}

/// What changes.
struct State {
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    /// Whether what it says of others in forwarded fields is believed.
    believed: bool,
    stage: Stage,
    phase: Phase,
    /// Until it has ended.
    ticket: Option<Ticket>,
    /// Of the task that serves it.
    waker: Option<Waker>,
    /// Until the stage must have changed.
    deadline: Option<Instant>,
    /// Until the client must have taken more of what we send.
    stuck: Option<Instant>,
    verdict: Option<Verdict>,
    /// The requests that the app has, or whose response goes out.
    requests: Slab<InBooks>,
    /// So many of them wait for the client to take more of their responses.
    owed: usize,
    /// The client said that its request is the last.
    client_asked: bool,
    /// A response has been handed to hyper, so that nothing else can be answered.
    responding: bool,
    body_failed: bool,
    /// The head of the request, if the app wants it as it came.
    head: Option<Vec<u8>>,
    /// It is idle, and nobody has buffers for it.
    resting: bool,
    /// Since when an HTTP/2 client is told to bring no more requests.
    leaving: Option<Instant>,
}

/// That a connection is to end, for another reason than that hyper is done with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// Without another word.
    Close(CloseReason),
    /// With the end of what we send, so that the client sees it before the socket is closed.
    Shut(CloseReason),
    /// With a reset, so that nobody takes what was sent for whole.
    Reset(CloseReason),
    /// With a response of ours.
    Refuse(CloseReason),
    /// Not at all: it has been idle for a while, and hyper with its buffers is let go of.
    Rest,
}

/// What its task is to do.
pub(crate) enum Look {
    End(Verdict),
    Wait(Option<Instant>),
}

impl Connection {
    /// Takes a connection into the books. On the runtime only.
    pub(crate) fn new(accepted: Accepted, shared: &Arc<Shared>) -> io::Result<Arc<Self>> {
        let Accepted { stream, peer, local, ticket } = accepted;
        let (accepted, phase) = (Instant::now(), shared.phase());
        let state = State {
            peer,
            local,
            believed: shared.settings.forwarded_allow_ips.allows(peer.map(|peer| peer.ip())),
            stage: Stage::Silent { accepted },
            phase,
            ticket: Some(ticket),
            waker: None,
            deadline: Some(phase.silent_until(&shared.settings, accepted)),
            stuck: None,
            verdict: None,
            requests: Slab::new(),
            owed: 0,
            client_asked: false,
            responding: false,
            body_failed: false,
            head: None,
            resting: false,
            leaving: None,
        };
        let socket = Readiness::of(stream.into())?;
        Ok(shared.enter(|key| Arc::new(Self { socket, shared: Arc::clone(shared), key, state: Mutex::new(state) })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Where it comes from: its peer.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.state().peer
    }

    /// Its peer, and the address that that was connected to.
    fn ends(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let state = self.state();
        (state.peer, state.local)
    }

    /// Takes in what a PROXY header says.
    pub(crate) fn introduce(&self, header: &ProxyHeader) {
        let mut state = self.state();
        match *header {
            ProxyHeader::Tcp { source, destination } => {
                (state.peer, state.local) = (Some(source), Some(destination));
                state.believed = self.shared.settings.forwarded_allow_ips.allows(Some(source.ip()));
            }
            // Nobody says who speaks. It may be the proxy itself; but of a client on a Unix socket HAProxy says LOCAL, too.
            ProxyHeader::Unknown | ProxyHeader::Local => state.believed = false,
        }
    }

    /// Whom a request is from, by its fields.
    pub(crate) fn client(&self, connect: &ConnectInfo, believed: bool, fields: &http::HeaderMap) -> Client {
        let forwarders = believed.then_some(&*self.shared.settings.forwarded_allow_ips);
        let fields = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        Client::find(connect.peer.map(|peer| peer.ip()), forwarders, fields)
    }

    /// An HTTP/2 request has come.
    pub(crate) fn count_request(&self, health_check: bool) {
        if let Some(ticket) = &self.state().ticket {
            ticket.request(health_check);
        }
    }

    /// Says that the app gets a request: what it is told of where that came from, and whether what the peer says of others is
    /// believed.
    pub(crate) fn take_up(self: &Arc<Self>, line: Line) -> (InHand, ConnectInfo, bool) {
        let mut state = self.state();
        let key = state.requests.insert(InBooks::new(line));
        if let Stage::Streams { .. } = state.stage {
            (state.stage, state.deadline) = (Stage::Streams { idle: None, served: true }, None);
            // Not before: a client that is told to leave may not ask for anything any more, and this one has come to ask.
            if state.phase != Phase::Serving && state.leaving.is_none() {
                state.leaving = Some(Instant::now());
                state.wake();
            }
        }
        let connect = ConnectInfo { peer: state.peer, local: state.local, draining: self.shared.stopping() };
        (InHand { connection: Arc::clone(self), key, record: None }, connect, state.believed)
    }

    /// Says that a response goes to hyper: whether the connection may go on after it.
    pub(crate) fn begin_response(&self, upgrades: bool) -> bool {
        let mut state = self.state();
        state.responding = true;
        if upgrades {
            (state.stage, state.deadline) = (Stage::Upgraded, None);
        }
        state.phase.keeps_connections(&self.shared.settings)
    }

    pub(crate) fn is_responding(&self) -> bool {
        self.state().responding
    }

    /// The bytes of the head, once, if they were kept.
    pub(crate) fn take_head(&self) -> Option<Vec<u8>> {
        self.state().head.take()
    }

    pub(crate) fn note_failed_body(&self) {
        self.state().body_failed = true;
    }

    /// Follows the worker's phase, on which patience depends.
    pub(crate) fn on_phase(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        if let Stage::Streams { served: true, .. } = state.stage {
            state.leaving.get_or_insert_with(Instant::now);
        }
        state.set_deadline(&self.shared);
        state.wake();
    }

    /// What its task is to do, and whom to wake when that changes.
    pub(crate) fn look(&self, waker: &Waker) -> Look {
        let mut state = self.state();
        if state.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        match state.verdict {
            // What was answered before goes out first.
            Some(verdict) if state.stuck.is_none() => Look::End(verdict),
            _ => Look::Wait(state.stuck.or(state.deadline)),
        }
    }

    /// What the log calls a request that it has in hand.
    pub(crate) fn line_in_hand(&self) -> Option<String> {
        self.state().requests.iter().next().map(|(_, request)| request.line.to_string())
    }

    /// Whether an HTTP/2 client is to bring no more requests.
    pub(crate) fn is_leaving(&self) -> bool {
        self.state().leaving.is_some()
    }

    /// That it is to end like this, unless that is decided already. Its task is to look.
    pub(crate) fn judge(&self, verdict: Verdict) {
        let mut state = self.state();
        state.verdict.get_or_insert(verdict);
    }

    /// Refuses the request that comes in; false: another response is on its way already.
    pub(crate) fn refuse(&self, refusal: Refusal) -> bool {
        let mut state = self.state();
        if !state.responding {
            state.verdict.get_or_insert(Verdict::Refuse(CloseReason::Refused(refusal)));
        }
        !state.responding
    }

    /// Why it ended if hyper ended it, and whether it did so as it should.
    pub(crate) fn reason_of_end(&self, result: Result<(), hyper::Error>) -> Verdict {
        let state = self.state();
        match result {
            _ if state.body_failed => Verdict::Reset(CloseReason::BodyFailed),
            // Without a request in hand it does not matter how a client goes.
            _ if let Stage::Streams { served, .. } = state.stage
                && (result.is_ok() || state.requests.is_empty()) =>
            {
                Verdict::Shut(if served { CloseReason::ClientClosed } else { CloseReason::Silent })
            }
            Ok(()) if state.client_asked => Verdict::Close(CloseReason::ClientAsked),
            Ok(()) => Verdict::Shut(CloseReason::LastResponse),
            Err(error) if error.is_user() || error.is_body_write_aborted() => {
                tracing::error!(request = state.line(), %error, "a response cannot be finished, so its connection is cut");
                Verdict::Reset(CloseReason::BodyFailed)
            }
            Err(error) if error.is_parse() => Verdict::Shut(CloseReason::Refused(Refusal::RequestLine)),
            Err(error) if error.is_incomplete_message() => Verdict::Close(CloseReason::RequestCut),
            Err(_) => Verdict::Close(CloseReason::ResponseCut),
        }
    }

    /// Ends it in the books.
    pub(crate) fn close(&self, reason: CloseReason) {
        let mut state = self.state();
        // It is gone if it was closed before: its key is another's now.
        let Some(ticket) = state.ticket.take() else { return };
        tracing::debug!(peer = ?state.peer, %reason, "closed");
        ticket.finish(reason.outcome());
        drop(state);
        self.shared.leave(self.key);
    }

    /// Ends it where it stands; the lines of the requests that are cut.
    pub(crate) fn quit(&self) -> Vec<String> {
        let mut state = self.state();
        let Some(ticket) = state.ticket.take() else { return Vec::new() };
        let reason = state.stage.reason_if_cut(state.stuck.is_some());
        tracing::debug!(peer = ?state.peer, %reason, "closed");
        let outcome = if state.requests.is_empty() { reason.outcome() } else { Outcome::Aborted };
        ticket.finish(outcome);
        state.requests.drain().map(|request| request.line.to_string()).collect()
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn line(&self) -> String {
        self.requests.iter().next().map_or_else(String::new, |(_, request)| request.line.to_string())
    }
}

/// From our last byte to the client's, at most.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// What the log calls a request.
pub(crate) struct Line {
    method: Method,
    uri: Uri,
    version: Version,
}

impl Line {
    pub(crate) fn of<B>(request: &http::Request<B>) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone(), version: request.version() }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.method, self.uri, self.version)
    }
}

/// A request that the app has, or whose response goes out, until this is dropped.
pub(crate) struct InHand {
    pub(crate) connection: Arc<Connection>,
    key: usize,
    /// For whoever is told of its response.
    pub(crate) record: Option<Box<Record>>,
}

impl InHand {
    /// Keeps what somebody is to be told of the request, if anybody is.
    pub(crate) fn keep(&mut self, parts: &Parts) {
        if let Some(observer) = self.connection.shared.settings.watch.observer() {
            self.record = Some(Box::new(Record::of(parts, observer)));
        }
    }

    /// What the log calls it.
    pub(crate) fn line(&self) -> String {
        self.connection.state().requests.get(self.key).map_or_else(String::new, |request| request.line.to_string())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            record.tell(&self.connection);
        }
        self.connection.finish_request(self.key);
    }
}

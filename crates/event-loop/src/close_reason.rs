use std::fmt;

use rserve_arbiter::Outcome;
use rserve_http::{ProxyRefusal, Refusal};

/// Why a connection was closed. Every close has one; it is logged at debug level and decides the [`Outcome`].
///
/// ```
/// use rserve_arbiter::Outcome;
/// use rserve_event_loop::CloseReason;
///
/// let reason = CloseReason::HeadTimeout;
/// assert_eq!(reason.outcome(), Outcome::Refused);
/// assert_eq!(reason.to_string(), "the client took too long to send the head of its request");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Answered, and the client had said that this was its last request.
    ClientAsked,
    /// Answered, and the server does not keep this connection: by its settings, by the app's word, or in a drain.
    LastResponse,
    /// The client closed it between two requests.
    ClientClosed,
    /// It lay idle after a response for too long, or the server is stopping.
    Idle,
    /// It never brought a byte of a request; perhaps a PROXY header, as a balancer's health check does.
    Silent,
    /// The client left in the middle of its request.
    RequestCut,
    /// The client left before it had the whole response.
    ResponseCut,
    /// The client stopped reading the response.
    WriteTimeout,
    /// A head took too long: 408.
    HeadTimeout,
    /// A body took too long: 408.
    BodyTimeout,
    /// The request was refused.
    Refused(Refusal),
    /// Its PROXY header was refused, or the lack of one.
    Proxy(ProxyRefusal),
    /// The body could not be stored: 500.
    Spool,
    /// The app failed in the middle of a response body.
    BodyFailed,
    /// It went on to another protocol, and ended there.
    Upgraded,
    /// The worker was told to stop at once.
    Quit,
}

impl CloseReason {
    /// What the books say of such a connection.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::ClientAsked | Self::LastResponse | Self::ClientClosed => Outcome::Answered,
            Self::Idle => Outcome::Idle,
            Self::Silent => Outcome::Silent,
            // A client that has not read for so long is gone for all we can tell.
            Self::RequestCut | Self::ResponseCut | Self::WriteTimeout => Outcome::ClientGone,
            Self::HeadTimeout | Self::BodyTimeout | Self::Refused(_) | Self::Proxy(_) | Self::Spool => Outcome::Refused,
            Self::Upgraded => Outcome::Upgraded,
            Self::BodyFailed | Self::Quit => Outcome::Aborted,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientAsked => "the client asked for it",
            Self::LastResponse => "the server keeps no connection after its response now",
            Self::ClientClosed => "the client closed it between requests",
            Self::Idle => "it was idle",
            Self::Silent => "it never brought a byte of a request",
            Self::RequestCut => "the client left in the middle of its request",
            Self::ResponseCut => "the client left before it had the whole response",
            Self::WriteTimeout => "the client stopped reading the response",
            Self::HeadTimeout => "the client took too long to send the head of its request",
            Self::BodyTimeout => "the client took too long to send the body of its request",
            Self::Refused(refusal) => return refusal.fmt(f),
            Self::Proxy(refusal) => return refusal.fmt(f),
            Self::Spool => "the request body could not be stored",
            Self::BodyFailed => "the app failed in the middle of a response body",
            Self::Upgraded => "it ended in the protocol that it had been upgraded to",
            Self::Quit => "the worker was told to stop at once",
        })
    }
}

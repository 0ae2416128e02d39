use std::net::SocketAddr;
use std::time::Instant;

use rserve_http::{ProxyHeader, ProxyProtocol, ProxyRefusal};

use super::Connection;
use crate::incoming::Incoming;
use crate::settings::HttpSettings;
use crate::shared::Shared;

/// A PROXY header that may stand before the first request, and has not been looked at yet.
///
/// ```
/// use rserve_event_loop::{HttpSettings, Preface};
/// use rserve_http::{ProxyProtocol, ProxyRefusal};
/// use std::time::Instant;
///
/// let settings = HttpSettings { proxy_protocol: Some(ProxyProtocol::Auto), ..HttpSettings::default() };
/// let proxy = Preface::of("127.0.0.1:5000".parse().ok(), &settings, Instant::now()).unwrap();
/// assert_eq!(proxy.decode(b"GET / HTTP/1.1\r\n").unwrap_err(), ProxyRefusal::Missing);
/// let other = Preface::of("192.0.2.7:5000".parse().ok(), &settings, Instant::now()).unwrap();
/// assert_eq!(other.decode(b"GET / HTTP/1.1\r\n"), Ok(Some((0, None))));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Preface {
    protocol: ProxyProtocol,
    /// The peer may send a header, and so it must: where one could come and need not, a client whose bytes a proxy passes
    /// on as they are could write its own.
    trusted: bool,
    /// A connection with nothing but a header is as silent as one that was accepted then.
    pub(super) accepted: Instant,
}

/// What the bytes so far make of it.
pub(super) enum Prefaced {
    /// There may be a header, and it is not whole.
    Partly,
    /// There was one, and nothing behind it yet.
    Only,
    /// What is there now is the request's.
    Done,
}

impl Preface {
    /// What to expect of a connection from there; `None`: nothing, since the PROXY protocol is off.
    #[must_use]
    pub fn of(peer: Option<SocketAddr>, settings: &HttpSettings, accepted: Instant) -> Option<Self> {
        settings.proxy_protocol.map(|protocol| Self {
            protocol,
            trusted: settings.proxy_allow_from.allows(peer.map(|peer| peer.ip())),
            accepted,
        })
    }

    /// What stands at the front of `input`: how many bytes of it are used up, and the header, if there is one. `None`: more
    /// input is needed.
    ///
    /// # Errors
    ///
    /// That of a malformed header, of one that may not be there, and of one that is missing. The connection is to be closed.
    pub fn decode(self, input: &[u8]) -> Result<Option<(usize, Option<ProxyHeader>)>, ProxyRefusal> {
        if self.trusted {
            return Ok(self.protocol.decode(input)?.map(|(used, header)| (used, Some(header))));
        }
        // Whatever version it is, and even if it is malformed.
        match ProxyProtocol::Auto.decode(input) {
            Ok(None) => Ok(None),
            Err(ProxyRefusal::Missing) => Ok(Some((0, None))),
            Ok(Some(_)) | Err(_) => Err(ProxyRefusal::Forbidden),
        }
    }
}

/// Before the first request.
impl Connection {
    /// Takes a PROXY header in, and henceforth is a connection of whomever it names.
    pub(super) fn take_preface(
        &mut self,
        preface: Preface,
        incoming: &mut Incoming,
        shared: &Shared,
    ) -> Result<Prefaced, ProxyRefusal> {
        let Some((used, header)) = preface.decode(incoming.undecoded())? else { return Ok(Prefaced::Partly) };
        self.preface = None;
        incoming.skip(used);
        match header {
            Some(ProxyHeader::Tcp { source, destination }) => {
                (self.peer, self.local) = (Some(source), Some(destination));
                self.believed = shared.settings.forwarded_allow_ips.allows(Some(source.ip()));
            }
            // Nobody says who speaks. It may be the proxy itself; but of a client on a Unix socket HAProxy says LOCAL, too.
            Some(ProxyHeader::Unknown | ProxyHeader::Local) => self.believed = false,
            None => {}
        }
        Ok(if incoming.has_rest() { Prefaced::Done } else { Prefaced::Only })
    }
}

#[cfg(test)]
mod tests;

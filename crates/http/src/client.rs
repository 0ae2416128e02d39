use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::allow_list::AllowList;

/// Who asks, and how, as far as it can be believed: the proxies in front may speak for their clients.
///
/// An extension of the `http::Request` that [`Request::into_http`](crate::Request::into_http) makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The client's address; `None` if it came by a Unix socket and nobody has said more.
    pub ip: Option<IpAddr>,
    /// The scheme of the address the client has asked for.
    pub scheme: Scheme,
}

/// Whether the client's own connection, perhaps to a proxy, is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Not, as far as we were told.
    #[default]
    Http,
    /// By TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Client {
    /// What the `fields` of a request from `peer` tell. `forwarders` is the list by which the peer was found to be
    /// believed; `None`: it is not, and its fields say nothing.
    ///
    /// - The address is the right-most in `X-Forwarded-For` that `forwarders` does not [name](AllowList::names): each
    ///   proxy adds the one that it was asked by, so this is the last that somebody trustworthy has seen. Where all are
    ///   named, it is the left-most; behind something that is no address nothing is believed. Ports are dropped.
    /// - The scheme is https if there is one of the fields `X-Forwarded-Proto: https`, `X-Forwarded-Protocol: ssl` and
    ///   `X-Forwarded-Ssl: on`, and each of them that is there has exactly that value.
    ///
    /// ```
    /// use rserve_http::{AllowList, Client};
    ///
    /// let (peer, forwarders) = ("10.0.0.1".parse().ok(), "10.0.0.0/8".parse::<AllowList>()?);
    /// let fields = [("X-Forwarded-For", &b"198.51.100.1, 192.0.2.7, 10.0.0.2"[..])];
    ///
    /// let believed = Client::find(peer, Some(&forwarders), fields);
    /// assert_eq!(believed.ip, "192.0.2.7".parse().ok());
    /// let spoofed = Client::find(peer, None, fields);
    /// assert_eq!(spoofed.ip, peer);
    /// # Ok::<(), rserve_http::AllowListError>(())
    /// ```
    pub fn find<'a>(
        peer: Option<IpAddr>,
        forwarders: Option<&AllowList>,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let Some(forwarders) = forwarders else { return Self { ip: peer, scheme: Scheme::Http } };
        let mut found = None;
        let mut secure = None;
        for (name, value) in fields {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            let wanted = match name.len() {
                15 if is("x-forwarded-for") => {
                    found = value.split(|byte| *byte == b',').fold(found, |found, hop| step(found, hop, forwarders));
                    continue;
                }
                15 if is("x-forwarded-ssl") => &b"on"[..],
                17 if is("x-forwarded-proto") => b"https",
                20 if is("x-forwarded-protocol") => b"ssl",
                _ => continue,
            };
            secure = Some(secure.unwrap_or(true) && value == wanted);
        }
        let scheme = if secure == Some(true) { Scheme::Https } else { Scheme::Http };
        Self { ip: found.or(peer), scheme }
    }
}

/// One more hop on the right: who the client is now, after `found` was by the hops on its left.
///
/// It comes to the same as a walk from the right to the first address that is not named, and needs no list of them.
fn step(found: Option<IpAddr>, hop: &[u8], forwarders: &AllowList) -> Option<IpAddr> {
    let hop = hop.trim_ascii();
    if hop.is_empty() {
        return found;
    }
    let ip = address(hop)?;
    if forwarders.names(ip) { found.or(Some(ip)) } else { Some(ip) }
}

/// An address as proxies write it: plain, in brackets, or with a port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(hop).ok()?;
    let plain = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = plain.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(forwarders: &str, fields: &[(&str, &str)]) -> (String, Scheme) {
        let forwarders: AllowList = forwarders.parse().unwrap();
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        let client = Client::find(Some([10, 0, 0, 1].into()), Some(&forwarders), fields);
        (client.ip.unwrap().to_string(), client.scheme)
    }

    #[test]
    fn the_client_is_the_last_address_that_a_trusted_hop_has_seen() {
        const LIST: &str = "10.0.0.0/8,fd00::/8";
        for (forwarders, values, ip) in [
            (LIST, &[][..], "10.0.0.1"),
            (LIST, &[""], "10.0.0.1"),
            (LIST, &["192.0.2.7"], "192.0.2.7"),
            (LIST, &["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
            (LIST, &["6.6.6.6, 192.0.2.7,10.3.3.3 , fd00::9"], "192.0.2.7"),
            (LIST, &["6.6.6.6", "192.0.2.7", "10.3.3.3"], "192.0.2.7"),
            (LIST, &["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
            (LIST, &["192.0.2.7, , 10.3.3.3,"], "192.0.2.7"),
            (LIST, &["192.0.2.7:5555, 10.3.3.3:80"], "192.0.2.7"),
            (LIST, &["[2001:db8::7]:5555"], "2001:db8::7"),
            (LIST, &["[2001:db8::7]"], "2001:db8::7"),
            (LIST, &["2001:db8::7"], "2001:db8::7"),
            (LIST, &["::ffff:192.0.2.7, ::ffff:10.2.2.2"], "192.0.2.7"),
            (LIST, &["6.6.6.6, unknown"], "10.0.0.1"),
            (LIST, &["6.6.6.6, unknown, 10.3.3.3"], "10.3.3.3"),
            (LIST, &["<script>, 192.0.2.7"], "192.0.2.7"),
            (LIST, &["6.6.6.6, [[::1]]"], "10.0.0.1"),
            (LIST, &["6.6.6.6 192.0.2.7"], "10.0.0.1"),
            // Whoever connects is believed, and nobody behind him.
            ("*", &["6.6.6.6, 10.0.0.9"], "10.0.0.9"),
            ("*,10.0.0.0/8", &["6.6.6.6, 192.0.2.7, 10.0.0.9"], "192.0.2.7"),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("X-Forwarded-For", *value)).collect();
            assert_eq!(client(forwarders, &fields).0, ip, "{values:?}");
        }
    }

    #[test]
    fn the_scheme_is_https_if_all_who_speak_of_it_say_so() {
        use Scheme::{Http, Https};
        for (fields, scheme) in [
            (&[][..], Http),
            (&[("X-Forwarded-Proto", "https")], Https),
            (&[("x-forwarded-PROTO", "https")], Https),
            (&[("X-Forwarded-Protocol", "ssl")], Https),
            (&[("X-Forwarded-Ssl", "on")], Https),
            (&[("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "on")], Https),
            (&[("X-Forwarded-Proto", "http")], Http),
            (&[("X-Forwarded-Proto", "HTTPS")], Http),
            (&[("X-Forwarded-Proto", "https, http")], Http),
            (&[("X-Forwarded-Proto", "")], Http),
            (&[("X-Forwarded-Proto", "http"), ("X-Forwarded-Ssl", "on")], Http),
            (&[("X-Forwarded-Ssl", "on"), ("X-Forwarded-Proto", "http")], Http),
            (&[("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")], Http),
            (&[("X_Forwarded_Proto", "https"), ("X-Forwarded-Scheme", "https")], Http),
            (&[("Forwarded", "for=6.6.6.6;proto=https")], Http),
        ] {
            assert_eq!(client("10.0.0.1", fields), ("10.0.0.1".to_owned(), scheme), "{fields:?}");
        }
    }

    #[test]
    fn who_is_not_believed_is_the_client() {
        let fields = [("X-Forwarded-For", &b"6.6.6.6"[..]), ("X-Forwarded-Proto", b"https")];
        for peer in [None, Some([192, 0, 2, 7].into())] {
            assert_eq!(Client::find(peer, None, fields), Client { ip: peer, scheme: Scheme::Http });
        }
    }
}

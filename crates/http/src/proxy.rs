use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::StatusCode;
use memchr::memchr;

use crate::encode::encode_error;

/// Which versions of the PROXY protocol are understood: a header before the first request of a connection, in which a
/// proxy that passes bytes on says whose connection it is.
///
/// The protocol is HAProxy's (`proxy-protocol.txt`, versions 1 and 2).
///
/// ```
/// use rserve_http::{ProxyHeader, ProxyProtocol, ProxyRefusal};
///
/// let input = b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 80\r\nGET / HTTP/1.1\r\n";
/// let (used, header) = ProxyProtocol::Auto.decode(input)?.unwrap();
/// assert!(input[used..].starts_with(b"GET "));
/// let (source, destination) = ("192.0.2.7:50000".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
/// assert_eq!(header, ProxyHeader::Tcp { source, destination });
///
/// assert_eq!(ProxyProtocol::V2.decode(input), Err(ProxyRefusal::Missing));
/// # Ok::<(), ProxyRefusal>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary.
    V2,
    /// Either: they differ in their first byte.
    Auto,
}

/// What a header says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The proxy itself made the connection, mostly to see whether we live (command LOCAL). HAProxy says so of clients whose
    /// addresses are not TCP's, too.
    Local,
    /// It was made for somebody whose TCP address the proxy does not tell (UNKNOWN, UNSPEC, or a Unix socket).
    Unknown,
    /// It was made for a client of the proxy.
    Tcp {
        /// The client's address.
        source: SocketAddr,
        /// The address that the client had connected to.
        destination: SocketAddr,
    },
}

/// Why a connection is refused for its PROXY header, or for the lack of one.
///
/// The message is one lowercase line and quotes nothing that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProxyRefusal {
    /// The connection begins with something else.
    #[error("the connection does not begin with a PROXY protocol header, which its sender must send")]
    Missing,
    /// Its sender is not one who may say for whom it speaks.
    #[error("a PROXY protocol header came from an address that may not send one")]
    Forbidden,
    /// A version 1 line is longer than 107 bytes, the longest there can be.
    #[error("the PROXY protocol line is too long")]
    LineTooLong,
    /// A version 1 line is not `PROXY TCP4|TCP6 source destination port port` and CRLF, nor `PROXY UNKNOWN`.
    #[error("the PROXY protocol line is malformed")]
    Line,
    /// A version 2 header is longer than 4096 bytes.
    #[error("the PROXY protocol header is too large")]
    TooLarge,
    /// The version after the binary signature is not 2.
    #[error("the version of the PROXY protocol header is not 2")]
    Version,
    /// The command is neither LOCAL nor PROXY.
    #[error("the command of the PROXY protocol header is unknown")]
    Command,
    /// The addresses are of a family or transport that is not defined, or the transport is not a stream.
    #[error("the address family of the PROXY protocol header is not one of stream sockets")]
    Family,
    /// The header is too short for the addresses it announces.
    #[error("the PROXY protocol header is too short for its addresses")]
    Short,
}

const LINE_START: &[u8] = b"PROXY ";

/// `PROXY TCP6 ` or `PROXY UNKNOWN `, two addresses of 39 digits and two ports of 5, with CRLF.
const LONGEST_LINE: usize = 107;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The format allows 64 KiB more than its fixed part. Proxies send the addresses and some facts about TLS, of which a
/// client certificate is the largest.
const LARGEST: usize = 4096;

impl ProxyProtocol {
    /// Finds the header at the front of `input`, and how many bytes of it are used up; `None`: more input is needed.
    ///
    /// It remembers nothing and looks at no more than 4096 bytes, so it may be asked again with each byte that comes.
    /// Type-length-value fields behind the addresses are skipped, the checksum among them: TCP has one.
    ///
    /// # Errors
    ///
    /// A [`ProxyRefusal`] is final, and told as early as it can be: the connection is to be closed.
    pub fn decode(self, input: &[u8]) -> Result<Option<(usize, ProxyHeader)>, ProxyRefusal> {
        if self != Self::V2 && agree(input, LINE_START) {
            decode_line(input)
        } else if self != Self::V1 && agree(input, SIGNATURE) {
            decode_binary(input)
        } else {
            Err(ProxyRefusal::Missing)
        }
    }
}

impl ProxyRefusal {
    /// The status that tells the client: 403 for one who is not allowed, 400 for the rest.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Missing
            | Self::LineTooLong
            | Self::Line
            | Self::TooLarge
            | Self::Version
            | Self::Command
            | Self::Family
            | Self::Short => StatusCode::BAD_REQUEST,
        }
    }

    /// Appends the whole response, with `Connection: close`, to `out`.
    ///
    /// `date` is what [`format_date`](crate::format_date) wrote.
    pub fn encode(self, date: &[u8; 29], out: &mut Vec<u8>) {
        encode_error(self.status(), &self.to_string(), true, date, out);
    }
}

/// Whether one of them begins with the other.
fn agree(input: &[u8], start: &[u8]) -> bool {
    input.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn decode_line(input: &[u8]) -> Result<Option<(usize, ProxyHeader)>, ProxyRefusal> {
    let bounded = &input[..input.len().min(LONGEST_LINE)];
    let Some(feed) = memchr(b'\n', bounded) else {
        return if bounded.len() == LONGEST_LINE { Err(ProxyRefusal::LineTooLong) } else { Ok(None) };
    };
    let line = bounded[LINE_START.len()..feed].strip_suffix(b"\r").ok_or(ProxyRefusal::Line)?;
    let text = str::from_utf8(line).map_err(|_| ProxyRefusal::Line)?;
    Ok(Some((feed + 1, parse_line(text).ok_or(ProxyRefusal::Line)?)))
}

fn parse_line(text: &str) -> Option<ProxyHeader> {
    let mut words = text.split(' ');
    let addresses = match words.next()? {
        // What follows is to be ignored.
        "UNKNOWN" => return Some(ProxyHeader::Unknown),
        "TCP4" => [ip::<Ipv4Addr>(words.next()?)?, ip::<Ipv4Addr>(words.next()?)?],
        "TCP6" => [ip::<Ipv6Addr>(words.next()?)?, ip::<Ipv6Addr>(words.next()?)?],
        _ => return None,
    };
    let ports = [port(words.next()?)?, port(words.next()?)?];
    words.next().is_none().then(|| tcp(addresses, ports))
}

fn ip<A: FromStr + Into<IpAddr>>(word: &str) -> Option<IpAddr> {
    word.parse::<A>().ok().map(Into::into)
}

/// Decimal without leading zeros or a sign, both of which `parse` would take.
fn port(word: &str) -> Option<u16> {
    let plain = word == "0" || word.starts_with(|first: char| matches!(first, '1'..='9'));
    word.parse().ok().filter(|_| plain)
}

fn decode_binary(input: &[u8]) -> Result<Option<(usize, ProxyHeader)>, ProxyRefusal> {
    let Some((fixed, rest)) = input.split_first_chunk::<16>() else { return Ok(None) };
    let (version_and_command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if version_and_command >> 4 != 2 {
        return Err(ProxyRefusal::Version);
    }
    if fixed.len() + length > LARGEST {
        return Err(ProxyRefusal::TooLarge);
    }
    let kind = match (version_and_command & 0xF, family) {
        // The family means nothing here.
        (0, _) => Kind::Local,
        (1, 0x00) => Kind::Unspecified,
        (1, 0x11) => Kind::V4,
        (1, 0x21) => Kind::V6,
        (1, 0x31) => Kind::Unix,
        (1, _) => return Err(ProxyRefusal::Family),
        _ => return Err(ProxyRefusal::Command),
    };
    if length < kind.size() {
        return Err(ProxyRefusal::Short);
    }
    Ok(rest.get(..length).map(|block| (fixed.len() + length, kind.read(block))))
}

/// What a version 2 header is about.
#[derive(Clone, Copy)]
enum Kind {
    Local,
    Unspecified,
    V4,
    V6,
    Unix,
}

impl Kind {
    /// How many bytes the addresses take at least.
    const fn size(self) -> usize {
        match self {
            Self::Local | Self::Unspecified => 0,
            Self::V4 => 2 * 4 + 4,
            Self::V6 => 2 * 16 + 4,
            Self::Unix => 2 * 108,
        }
    }

    fn read(self, block: &[u8]) -> ProxyHeader {
        match self {
            Self::Local => ProxyHeader::Local,
            Self::Unspecified | Self::Unix => ProxyHeader::Unknown,
            Self::V4 => addresses::<4>(block),
            Self::V6 => addresses::<16>(block),
        }
    }
}

/// Source, destination, source port, destination port, at the front of a block that is long enough.
fn addresses<const SIZE: usize>(block: &[u8]) -> ProxyHeader
where
    IpAddr: From<[u8; SIZE]>,
{
    let ip = |at: usize| {
        let bytes: [u8; SIZE] = block[at..at + SIZE].try_into().expect("invariant: a slice of SIZE bytes");
        IpAddr::from(bytes)
    };
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    tcp([ip(0), ip(SIZE)], [port(2 * SIZE), port(2 * SIZE + 2)])
}

/// IPv4 addresses in IPv6 clothes are undressed, as those of the kernel are: lists of addresses name them plainly.
fn tcp(ips: [IpAddr; 2], ports: [u16; 2]) -> ProxyHeader {
    let [source, destination] = [0, 1].map(|side| SocketAddr::new(ips[side].to_canonical(), ports[side]));
    ProxyHeader::Tcp { source, destination }
}

#[cfg(test)]
mod tests;

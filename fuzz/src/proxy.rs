use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rserve_http::{ProxyHeader, ProxyProtocol, ProxyRefusal};

/// However a PROXY header is cut into reads, what comes of it is the same, and it is what a plain reader finds in the
/// bytes that were used up; what is allowed in one version is allowed in either, and nothing else.
pub fn proxy(data: &[u8]) {
    let one = decide(ProxyProtocol::V1, data);
    let two = decide(ProxyProtocol::V2, data);
    let either = decide(ProxyProtocol::Auto, data);
    // The first byte tells them apart, so at most one of them can want more or be satisfied.
    match (&one, &two) {
        (Err(ProxyRefusal::Missing), other) | (other, Err(ProxyRefusal::Missing)) => assert_eq!(either, *other),
        _ => assert!(data.is_empty(), "{} begins both versions", data.escape_ascii()),
    }
    if let Ok(Some((used, header))) = either {
        assert!(used <= LARGEST, "{used} bytes were used up");
        assert_eq!(plain(&data[..used]), Some(header), "{}", data[..used].escape_ascii());
        check_addresses(header);
    }
}

/// The largest version 2 header that is taken.
const LARGEST: usize = 4096;

type Decision = Result<Option<(usize, ProxyHeader)>, ProxyRefusal>;

/// What comes of the bytes, having seen that it does not depend on how many of them are there at a time.
fn decide(protocol: ProxyProtocol, data: &[u8]) -> Decision {
    let whole = protocol.decode(data);
    let ends = (0..data.len()).take(LARGEST + 1);
    for end in ends {
        match protocol.decode(&data[..end]) {
            Ok(None) => {}
            early => assert_eq!(early, whole, "{} of {}", end, data.escape_ascii()),
        }
    }
    whole
}

/// The specification read off the page, for a header that is whole.
fn plain(header: &[u8]) -> Option<ProxyHeader> {
    match header.strip_prefix(b"\r\n\r\n\0\r\nQUIT\n") {
        Some(rest) => plain_binary(rest),
        None => plain_line(str::from_utf8(header).ok()?.strip_prefix("PROXY ")?.strip_suffix("\r\n")?),
    }
}

fn plain_line(line: &str) -> Option<ProxyHeader> {
    let words: Vec<&str> = line.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = words[..] else {
        return (words[0] == "UNKNOWN").then_some(ProxyHeader::Unknown);
    };
    let address = |ip: &str, port: &str| {
        let port: u16 = port.parse::<u16>().ok().filter(|number| number.to_string() == port)?;
        match family {
            "TCP4" => Some(SocketAddr::from((ip.parse::<Ipv4Addr>().ok()?, port))),
            "TCP6" => Some(SocketAddr::from((ip.parse::<Ipv6Addr>().ok()?.to_canonical(), port))),
            _ => None,
        }
    };
    if family == "UNKNOWN" {
        return Some(ProxyHeader::Unknown);
    }
    let source = address(source, source_port)?;
    Some(ProxyHeader::Tcp { source, destination: address(destination, destination_port)? })
}

fn plain_binary(rest: &[u8]) -> Option<ProxyHeader> {
    let [command, family, high, low, block @ ..] = rest else { return None };
    if block.len() != usize::from(*high) << 8 | usize::from(*low) {
        return None;
    }
    let port = |at: usize| Some(u16::from(*block.get(at)?) << 8 | u16::from(*block.get(at + 1)?));
    match (command, family) {
        (0x20, _) => Some(ProxyHeader::Local),
        (0x21, 0x00) => Some(ProxyHeader::Unknown),
        (0x21, 0x31) => (block.len() >= 216).then_some(ProxyHeader::Unknown),
        (0x21, 0x11) => {
            let ip = |at: usize| Some(Ipv4Addr::new(block[at], block[at + 1], block[at + 2], *block.get(at + 3)?));
            let source = SocketAddr::from((ip(0)?, port(8)?));
            Some(ProxyHeader::Tcp { source, destination: SocketAddr::from((ip(4)?, port(10)?)) })
        }
        (0x21, 0x21) => {
            let ip = |at: usize| {
                let bytes: [u8; 16] = block.get(at..at + 16)?.try_into().ok()?;
                Some(Ipv6Addr::from(bytes).to_canonical())
            };
            let source = SocketAddr::from((ip(0)?, port(32)?));
            Some(ProxyHeader::Tcp { source, destination: SocketAddr::from((ip(16)?, port(34)?)) })
        }
        _ => None,
    }
}

/// Written down again in either version, the addresses are read as they are.
fn check_addresses(header: ProxyHeader) {
    let ProxyHeader::Tcp { source, destination } = header else { return };
    // A version 1 line has one family for both.
    if source.is_ipv4() != destination.is_ipv4() {
        return;
    }
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    let line = format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port());
    assert_eq!(ProxyProtocol::V1.decode(line.as_bytes()), Ok(Some((line.len(), header))), "{line}");
}

use super::*;

const V4: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 80\r\n";
const REST: &[u8] = b"GET / HTTP/1.1\r\n";

/// A version 2 header: what the fixed part says, and the block behind it.
fn binary(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[version_and_command, family], &length, block].concat()
}

fn v4_block() -> Vec<u8> {
    [&[192, 0, 2, 7, 10, 0, 0, 1][..], &50000_u16.to_be_bytes(), &80_u16.to_be_bytes()].concat()
}

fn v6_block(source: &str, destination: &str) -> Vec<u8> {
    let bytes = |ip: &str| ip.parse::<Ipv6Addr>().unwrap().octets();
    [&bytes(source)[..], &bytes(destination), &50000_u16.to_be_bytes(), &80_u16.to_be_bytes()].concat()
}

fn from(source: &str, destination: &str) -> ProxyHeader {
    ProxyHeader::Tcp { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// Whatever way the bytes come in, the header ends where it ends and the request behind it is left alone.
#[track_caller]
fn accepted(protocol: ProxyProtocol, header: &[u8], expected: ProxyHeader) {
    for end in 0..header.len() {
        assert_eq!(protocol.decode(&header[..end]), Ok(None), "{end} bytes");
    }
    assert_eq!(protocol.decode(header), Ok(Some((header.len(), expected))));
    assert_eq!(protocol.decode(&[header, REST].concat()), Ok(Some((header.len(), expected))));
}

/// Whatever way the bytes come in, nothing is believed before the refusal comes.
#[track_caller]
fn refused(protocol: ProxyProtocol, input: &[u8], expected: ProxyRefusal) {
    let first = (0..=input.len()).find(|end| protocol.decode(&input[..*end]) != Ok(None));
    let first = first.unwrap_or_else(|| panic!("{} is waited on", input.escape_ascii()));
    for end in first..=input.len() {
        assert_eq!(protocol.decode(&input[..end]), Err(expected), "{} at {end}", input.escape_ascii());
    }
}

#[test]
fn lines() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    assert_eq!(longest.len(), 107);
    for (line, header) in [
        ("PROXY TCP4 192.0.2.7 10.0.0.1 50000 80\r\n", from("192.0.2.7:50000", "10.0.0.1:80")),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", from("255.255.255.255:65535", "0.0.0.0:0")),
        ("PROXY TCP6 2001:db8::7 fd00::1 50000 80\r\n", from("[2001:db8::7]:50000", "[fd00::1]:80")),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:a00:1 50000 80\r\n", from("192.0.2.7:50000", "10.0.0.1:80")),
        ("PROXY UNKNOWN\r\n", ProxyHeader::Unknown),
        ("PROXY UNKNOWN ffff::1 what ever\r\n", ProxyHeader::Unknown),
        (longest.as_str(), ProxyHeader::Unknown),
    ] {
        accepted(ProxyProtocol::V1, line.as_bytes(), header);
        accepted(ProxyProtocol::Auto, line.as_bytes(), header);
    }
}

#[test]
fn lines_that_are_not_as_they_should_be() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY tcp4 192.0.2.7 10.0.0.1 50000 80\r\n",
        "PROXY TCP5 192.0.2.7 10.0.0.1 50000 80\r\n",
        "PROXY UNIX /a /b\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY  TCP4 192.0.2.7 10.0.0.1 50000 80\r\n",
        "PROXY TCP4  192.0.2.7 10.0.0.1 50000 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 50000 80 \r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 50000 80 9\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 50000\r\n",
        "PROXY TCP4 192.0.2.7 50000 80\r\n",
        "PROXY TCP4\t192.0.2.7 10.0.0.1 50000 80\r\n",
        "PROXY TCP4 192.0.2.07 10.0.0.1 50000 80\r\n",
        "PROXY TCP4 192.0.2.256 10.0.0.1 50000 80\r\n",
        "PROXY TCP4 192.0.2 10.0.0.1 50000 80\r\n",
        "PROXY TCP4 localhost 10.0.0.1 50000 80\r\n",
        "PROXY TCP4 ::1 ::1 50000 80\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 50000 80\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 50000 80\r\n",
        "PROXY TCP6 [::1] ::1 50000 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 65536 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 -1 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 +1 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 050 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 00 80\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 50000 \r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 50000 80\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 50000 80\r\r\n",
        "PROXY UNKNOWN\n",
        "PROXY TCP4 192.0.2.7\u{e9} 10.0.0.1 50000 80\r\n",
        "PROXY / HTTP/1.1\r\n",
    ] {
        refused(ProxyProtocol::V1, line.as_bytes(), ProxyRefusal::Line);
        refused(ProxyProtocol::Auto, line.as_bytes(), ProxyRefusal::Line);
    }
    refused(ProxyProtocol::Auto, b"PROXY UNKNOWN \xff\r\n", ProxyRefusal::Line);
    for line in [format!("PROXY UNKNOWN {}\r\n", "f".repeat(108 - 16)), format!("PROXY {}", "x".repeat(500))] {
        refused(ProxyProtocol::Auto, line.as_bytes(), ProxyRefusal::LineTooLong);
    }
}

#[test]
fn binary_headers() {
    let mapped = v6_block("::ffff:192.0.2.7", "::ffff:10.0.0.1");
    let checksum_and_more = [&v4_block()[..], &[3, 0, 4, 1, 2, 3, 4, 4, 0, 1, 0]].concat();
    let largest = [&v4_block()[..], &[4, 0x0F, 0xE1], &vec![0; LARGEST - 16 - 12 - 3]].concat();
    assert_eq!(largest.len() + 16, LARGEST);
    let client = from("192.0.2.7:50000", "10.0.0.1:80");
    for (command, family, block, header) in [
        (0x21, 0x11, &v4_block()[..], client),
        (0x21, 0x21, &v6_block("2001:db8::7", "fd00::1"), from("[2001:db8::7]:50000", "[fd00::1]:80")),
        (0x21, 0x21, &mapped, client),
        (0x21, 0x11, &checksum_and_more, client),
        (0x21, 0x11, &largest, client),
        (0x21, 0x31, &[0; 216], ProxyHeader::Unknown),
        (0x21, 0x00, &[], ProxyHeader::Unknown),
        (0x21, 0x00, &v4_block(), ProxyHeader::Unknown),
        (0x20, 0x00, &[], ProxyHeader::Local),
        (0x20, 0x11, &v4_block(), ProxyHeader::Local),
        (0x20, 0xFF, &[1, 2, 3], ProxyHeader::Local),
    ] {
        let bytes = binary(command, family, block);
        accepted(ProxyProtocol::V2, &bytes, header);
        accepted(ProxyProtocol::Auto, &bytes, header);
    }
}

#[test]
fn binary_headers_that_are_not_as_they_should_be() {
    for (command, family, block, refusal) in [
        (0x11, 0x11, &v4_block()[..], ProxyRefusal::Version),
        (0x31, 0x11, &v4_block(), ProxyRefusal::Version),
        (0x01, 0x11, &v4_block(), ProxyRefusal::Version),
        (0x22, 0x11, &v4_block(), ProxyRefusal::Command),
        (0x2F, 0x00, &[], ProxyRefusal::Command),
        // Datagrams, half-specified ones, and what nobody has defined.
        (0x21, 0x12, &v4_block(), ProxyRefusal::Family),
        (0x21, 0x22, &v6_block("::1", "::1"), ProxyRefusal::Family),
        (0x21, 0x32, &[0; 216], ProxyRefusal::Family),
        (0x21, 0x10, &v4_block(), ProxyRefusal::Family),
        (0x21, 0x01, &v4_block(), ProxyRefusal::Family),
        (0x21, 0x41, &v4_block(), ProxyRefusal::Family),
        (0x21, 0x11, &v4_block()[..11], ProxyRefusal::Short),
        (0x21, 0x11, &[], ProxyRefusal::Short),
        (0x21, 0x21, &v6_block("::1", "::1")[..35], ProxyRefusal::Short),
        (0x21, 0x31, &[0; 215], ProxyRefusal::Short),
        (0x21, 0x11, &[0; LARGEST - 15], ProxyRefusal::TooLarge),
        (0x20, 0x00, &[0; 65535], ProxyRefusal::TooLarge),
    ] {
        let bytes = binary(command, family, block);
        // The fixed part is enough to tell, so nothing is waited for.
        refused(ProxyProtocol::V2, &bytes[..16], refusal);
        refused(ProxyProtocol::Auto, &bytes, refusal);
    }
}

#[test]
fn what_is_no_header_is_told_at_the_first_byte_that_differs() {
    let v2 = binary(0x20, 0, &[]);
    for (protocol, input, differs) in [
        (ProxyProtocol::Auto, REST, 1),
        (ProxyProtocol::Auto, b"PUT / HTTP/1.1\r\n", 2),
        (ProxyProtocol::Auto, b"PROPFIND / HTTP/1.1\r\n", 4),
        (ProxyProtocol::Auto, b"PROXY\r\n", 6),
        (ProxyProtocol::Auto, b" PROXY TCP4", 1),
        (ProxyProtocol::Auto, b"proxy TCP4", 1),
        (ProxyProtocol::Auto, b"\r\nGET / HTTP/1.1\r\n", 3),
        (ProxyProtocol::Auto, b"\r\n\r\n\0\r\nQUIT\r\n", 12),
        (ProxyProtocol::Auto, b"\x16\x03\x01", 1),
        (ProxyProtocol::V1, &v2, 1),
        (ProxyProtocol::V2, V4, 1),
    ] {
        for end in 0..=input.len() {
            let expected = if end < differs { Ok(None) } else { Err(ProxyRefusal::Missing) };
            assert_eq!(protocol.decode(&input[..end]), expected, "{} at {end}", input.escape_ascii());
        }
    }
}

#[test]
fn no_input_panics() {
    arbtest::arbtest(|u| {
        let mut input = u
            .choose(&[&b""[..], LINE_START, b"PROXY TCP4 ", &SIGNATURE[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"])?
            .to_vec();
        input.extend(u.arbitrary::<Vec<u8>>()?);
        let protocol = *u.choose(&[ProxyProtocol::V1, ProxyProtocol::V2, ProxyProtocol::Auto])?;
        // More input never changes what was decided.
        let mut decided = None;
        for end in 0..=input.len() {
            let found = protocol.decode(&input[..end]);
            if let Some(decided) = decided {
                assert_eq!(found, decided);
            } else if found != Ok(None) {
                assert!(found.is_err() || found == Ok(protocol.decode(&input).unwrap()));
                decided = Some(found);
            }
        }
        Ok(())
    });
}

#[test]
fn a_refusal_becomes_a_response() {
    for (refusal, line) in [
        (ProxyRefusal::Forbidden, "HTTP/1.1 403 Forbidden\r\n"),
        (ProxyRefusal::Missing, "HTTP/1.1 400 Bad Request\r\n"),
    ] {
        let mut out = Vec::new();
        refusal.encode(b"Thu, 01 Jan 1970 00:00:00 GMT", &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(line) && text.contains("Connection: close\r\n"), "{text}");
        assert!(text.ends_with(&format!("{refusal}\n")), "{text}");
    }
}

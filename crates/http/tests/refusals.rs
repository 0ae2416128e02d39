//! The table of refusals in `docs/http.md`, held against the codec: each row is provoked, over the wire's bytes alone.

#[path = "refusals/provoked.rs"]
mod provoked;

use std::collections::BTreeMap;

use provoked::{PROVOKED, bytes};
use rserve_http::{Decoder, Event, Limits, Refusal};

const TABLE: &str = include_str!("../../../docs/http.md");

const LIMITS: Limits = Limits { request_line: 50, fields: 4, field_size: 36, body: Some(20) };

/// The rows of the table: message, status, section.
fn rows() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let table = TABLE.split("\n## ").find_map(|part| part.strip_prefix("Refused\n"));
    let rows = table.expect("the table is there").lines().filter(|line| line.starts_with("| ")).skip(2);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, status, section, message] = cells[..] else { panic!("four columns: {row}") };
        (message, (status, section))
    })
    .collect()
}

fn refusal(limits: Limits, mut input: &[u8]) -> Option<Refusal> {
    let mut decoder = Decoder::new(limits);
    loop {
        match decoder.decode(input) {
            Err(refusal) => return Some(refusal),
            Ok((_, Event::NeedMore)) => return None,
            Ok((used, _)) => input = &input[used..],
        }
    }
}

/// A head that is too large by less than each of its parts.
fn vast_head() -> Vec<u8> {
    let field = format!("X: {}\r\n", "v".repeat(8000));
    format!("GET / HTTP/1.1\r\nHost: a\r\n{}", field.repeat(150)).into_bytes()
}

#[test]
fn every_row_of_the_table_is_provoked_and_answered_as_it_says() {
    let mut seen = vec![refusal(Limits { fields: 1000, ..Limits::default() }, &vast_head()).unwrap()];
    for (input, expected) in PROVOKED {
        let input = bytes(input, *expected);
        assert_eq!(refusal(LIMITS, input.as_bytes()), Some(*expected), "{input:?}");
        seen.push(*expected);
    }

    let mut rows = rows();
    for refusal in seen {
        let message = refusal.to_string();
        let status = refusal.status().as_u16().to_string();
        let mut response = Vec::new();
        refusal.encode(b"Sun, 06 Nov 1994 08:49:37 GMT", &mut response);
        let response = String::from_utf8(response).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
        assert!(response.ends_with(&format!("\r\n\r\n{message}\n")), "{response}");
        if let Some(row) = rows.remove(&*message) {
            assert_eq!(row, (&*status, section(refusal)), "the row of {message:?}");
        } else {
            // Provoked twice, or not in the table.
            assert!(TABLE.contains(&format!("| {message} |")), "docs/http.md has no row for {message:?}");
        }
    }
    assert!(rows.is_empty(), "in docs/http.md, and provoked by nothing here: {:?}", rows.keys());
}

/// Where the rule comes from. Whoever adds a refusal is sent here, and so to the tests and to the table.
fn section(refusal: Refusal) -> &'static str {
    use Refusal::*;
    match refusal {
        EmptyLines | BareLineFeed | BareCarriageReturn => "RFC 9112 2.2",
        RequestLine | RequestLineTooLong => "RFC 9112 3",
        Version => "RFC 9110 2.5",
        Target | HostMissing | HostRepeated | HostInvalid => "RFC 9112 3.2",
        HostMismatch => "RFC 9112 3.2.2",
        Connect => "RFC 9110 9.3.6",
        Folding => "RFC 9112 5.2",
        FieldName => "RFC 9112 5.1",
        FieldValue => "RFC 9110 5.5",
        LengthInvalid => "RFC 9110 8.6",
        LengthRepeated | CodingNotChunked => "RFC 9112 6.3",
        LengthAndCoding | CodingIn10 | CodingRepeated | CodingUnknown => "RFC 9112 6.1",
        Expectation => "RFC 9110 10.1.1",
        ChunkSize | ChunkSizeTooLarge | ChunkEnd => "RFC 9112 7.1",
        ChunkExtension | ChunkExtensionTooLong => "RFC 9112 7.1.1",
        Trailer => "RFC 9112 7.1.2",
        FieldTooLarge | TooManyFields | HeadTooLarge | TrailerTooLarge => "RFC 9110 5.4",
        BodyTooLarge => "RFC 9110 15.5.14",
    }
}

use arbtest::arbtest;

use super::*;
use crate::decoder::tests::transcript;
use crate::{encode_chunk, encode_last_chunk};

const HEAD: &[u8] = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const LIMITS: Limits = Limits { request_line: 100, fields: 3, field_size: 30, body: Some(100) };

/// What becomes of a chunked body: its data, a refusal, or that it is unfinished.
fn outcome(body: &[u8]) -> String {
    transcript(LIMITS, &[HEAD, body]).swap_remove(1)
}

#[test]
fn bodies_are_decoded() {
    for (body, expected) in [
        ("0\r\n\r\n", "body: "),
        ("000\r\n\r\n", "body: "),
        ("3\r\nabc\r\n0\r\n\r\n", "body: abc"),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "body: 01234567890123456789"),
        ("0000000000000001\r\na\r\n0\r\n\r\n", "body: a"),
        ("1;name=\"value\"\r\na\r\n0;last\r\n\r\n", "body: a"),
        ("1\r\na\r\n0\r\nA: b\r\nC:\r\n\r\n", "body: a"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "body: \\r\\n"),
        ("3\r\nab", "unfinished"),
        ("0\r\n", "unfinished"),
    ] {
        assert_eq!(outcome(body.as_bytes()), expected, "{body:?}");
    }
}

#[test]
fn bodies_at_the_limits_are_decoded() {
    let data = "d".repeat(100);
    let text = "v".repeat(28);
    for body in [
        format!("64\r\n{data}\r\n0\r\n\r\n"),
        format!("64;a{text}v\r\n{data}\r\n0\r\n\r\n"),
        format!("64\r\n{data}\r\n0\r\nA:{text}\r\nB:\r\nC:\r\n\r\n"),
    ] {
        assert_eq!(outcome(body.as_bytes()), format!("body: {data}"), "{body:?}");
    }
}

#[test]
fn bodies_are_refused() {
    use Refusal::*;
    for (body, expected) in [
        ("\r\n", ChunkSize),
        ("x\r\n", ChunkSize),
        ("-1\r\n", ChunkSize),
        ("0x1\r\na\r\n", ChunkSize),
        (" 1\r\na\r\n", ChunkSize),
        ("1 \r\na\r\n", ChunkSize),
        ("1 ;a\r\na\r\n", ChunkSize),
        ("1\na\r\n", ChunkSize),
        (";a\r\n", ChunkSize),
        ("00000000000000001\r\n", ChunkSizeTooLarge),
        ("10000000000000000\r\n", ChunkSizeTooLarge),
        ("1\r\na\r\nffffffffffffffff\r\n", ChunkSizeTooLarge),
        ("65\r\n", BodyTooLarge),
        ("1\r\na\r\n64\r\n", BodyTooLarge),
        ("1\rx", BareCarriageReturn),
        ("1\r\nab\r\n", ChunkEnd),
        ("1\r\na\n", ChunkEnd),
        ("1\r\na\rx", ChunkEnd),
        ("1;a\nb\r\n", ChunkExtension),
        ("1;a\0\r\n", ChunkExtension),
        ("1;a\x7f\r\n", ChunkExtension),
        ("1;a\rb", BareCarriageReturn),
        ("1;0123456789012345678901234567890", ChunkExtensionTooLong),
        ("1;0123456789012345\r\na\r\n1;0123456789012345", ChunkExtensionTooLong),
        ("0\r\n A: b\r\n", Trailer),
        ("0\r\nA\r\n", Trailer),
        ("0\r\nA : b\r\n", Trailer),
        ("0\r\nA: b\n", Trailer),
        ("0\r\nA: \0\r\n", Trailer),
        ("0\r\n\n", Trailer),
        ("0\r\nA: b\rC", BareCarriageReturn),
        ("0\r\n\rC", BareCarriageReturn),
        ("0\r\nA: 0123456789012345678901234567", TrailerTooLarge),
        ("0\r\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", TrailerTooLarge),
        ("0\r\nA:\r\nB:\r\nC:\r\nD", TrailerTooLarge),
    ] {
        assert_eq!(outcome(body.as_bytes()), format!("refused: {expected}"), "{body:?}");
    }
}

#[test]
fn what_the_encoder_chunks_the_decoder_joins() {
    arbtest(|u| {
        let chunks: Vec<Vec<u8>> = u.arbitrary()?;
        let mut input = HEAD.to_vec();
        for chunk in &chunks {
            encode_chunk(chunk, &mut input);
        }
        encode_last_chunk(&mut input);
        let expected = format!("body: {}", chunks.concat().escape_ascii());
        assert_eq!(transcript(Limits::default(), &[&input])[1..], [expected, "idle".to_owned()]);
        Ok(())
    });
}

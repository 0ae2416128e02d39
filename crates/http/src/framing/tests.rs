use super::*;
use crate::{Decoder, Limits};

fn framing(version: &str, fields: &str) -> Result<Framing, Refusal> {
    let mut decoder = Decoder::new(Limits::default());
    let head = format!("POST / HTTP/{version}\r\nHost: a\r\n{}\r\n", fields.replace('|', "\r\n"));
    decoder.decode(head.as_bytes())?;
    Ok(decoder.head().framing())
}

/// Each line: the fields (`|` stands for CRLF), what becomes of them under HTTP/1.1, and under HTTP/1.0.
#[test]
fn the_table() {
    use Refusal::*;
    let ten = |framing| (Ok(framing), Ok(framing));
    let both = |refusal| (Err(refusal), Err(refusal));
    let coding = |refusal| (Err(refusal), Err(CodingIn10));

    for (fields, (in_11, in_10)) in [
        ("", ten(Framing::None)),
        ("Content-Length: 0|", ten(Framing::Length(0))),
        ("Content-Length: 5|", ten(Framing::Length(5))),
        ("CONTENT-LENGTH:\t5 \t|", ten(Framing::Length(5))),
        ("Content-Length: 005|", ten(Framing::Length(5))),
        ("Content-Length: 18446744073709551615|", ten(Framing::Length(u64::MAX))),
        ("Content-Length: 18446744073709551616|", both(LengthInvalid)),
        ("Content-Length: 99999999999999999999999|", both(LengthInvalid)),
        ("Content-Length:|", both(LengthInvalid)),
        ("Content-Length: +5|", both(LengthInvalid)),
        ("Content-Length: -5|", both(LengthInvalid)),
        ("Content-Length: 5, 5|", both(LengthInvalid)),
        ("Content-Length: 5 5|", both(LengthInvalid)),
        ("Content-Length: 0x5|", both(LengthInvalid)),
        ("Content-Length: 5.0|", both(LengthInvalid)),
        ("Content-Length: five|", both(LengthInvalid)),
        ("Content-Length: 5|Content-Length: 5|", both(LengthRepeated)),
        ("Content-Length: 5|content-length: 6|", both(LengthRepeated)),
        ("Content-Length: x|Content-Length: 6|", both(LengthRepeated)),
        ("Transfer-Encoding: chunked|", (Ok(Framing::Chunked), Err(CodingIn10))),
        ("transfer-encoding: ChunKed|", (Ok(Framing::Chunked), Err(CodingIn10))),
        ("Transfer-Encoding: gzip, chunked|", coding(CodingUnknown)),
        ("Transfer-Encoding: identity, chunked|", coding(CodingUnknown)),
        ("Transfer-Encoding: , chunked|", coding(CodingUnknown)),
        ("Transfer-Encoding: gzip|", coding(CodingNotChunked)),
        ("Transfer-Encoding: identity|", coding(CodingNotChunked)),
        ("Transfer-Encoding: xchunked|", coding(CodingNotChunked)),
        ("Transfer-Encoding: chunked, gzip|", coding(CodingNotChunked)),
        ("Transfer-Encoding: chunked,|", coding(CodingNotChunked)),
        ("Transfer-Encoding: chunked;q=1|", coding(CodingNotChunked)),
        ("Transfer-Encoding: \"chunked\"|", coding(CodingNotChunked)),
        ("Transfer-Encoding:|", coding(CodingNotChunked)),
        ("Transfer-Encoding: chunked, chunked|", coding(CodingRepeated)),
        ("Transfer-Encoding: chunked|Transfer-Encoding: chunked|", coding(CodingRepeated)),
        ("Transfer-Encoding: gzip|Transfer-Encoding: chunked|", coding(CodingRepeated)),
        ("Content-Length: 5|Transfer-Encoding: chunked|", coding(LengthAndCoding)),
        ("Transfer-Encoding: chunked|Content-Length: 5|", coding(LengthAndCoding)),
        ("Transfer-Encoding: chunked|Content-Length: x|", coding(LengthAndCoding)),
        ("Transfer-Encoding: gzip|Content-Length: 5|", coding(LengthAndCoding)),
        ("Transfer-Encoding: chunked|Content-Length: 5|Content-Length: 5|", coding(LengthAndCoding)),
        // The white space tricks never get as far as the table.
        ("Transfer-Encoding : chunked|", both(FieldName)),
        ("Content-Length : 5|", both(FieldName)),
        ("Transfer-Encoding: \x0bchunked|", both(FieldValue)),
        ("X: y| Transfer-Encoding: chunked|", both(Folding)),
    ] {
        assert_eq!(framing("1.1", fields), in_11, "HTTP/1.1 {fields:?}");
        assert_eq!(framing("1.0", fields), in_10, "HTTP/1.0 {fields:?}");
    }
}

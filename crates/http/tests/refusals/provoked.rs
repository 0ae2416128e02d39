//! What is refused, for the tests of the codec and for those of the server.

use rserve_http::Refusal;

/// Something that is refused for each reason. `|` stands for CRLF, and a head that needs no first line of its own
/// begins with `|`.
pub(crate) const PROVOKED: &[(&str, Refusal)] = {
    use Refusal::*;
    &[
        ("||||||||||||||||||", EmptyLines),
        ("GET / HTTP/1.1\nHost: a||", BareLineFeed),
        ("|\rX: y||", BareCarriageReturn),
        ("GET / HTTP/1.1 ||", RequestLine),
        ("GE\0T / HTTP/1.1||", RequestLine),
        ("GET / HTTP/2.0||", Version),
        ("GET /#a HTTP/1.1|Host: a||", Target),
        ("CONNECT a:80 HTTP/1.1|Host: a||", Connect),
        ("|X: y| z||", Folding),
        ("|X : y||", FieldName),
        ("|X\0: y||", FieldName),
        ("|X: y\0||", FieldValue),
        ("GET / HTTP/1.1||", HostMissing),
        ("|Host: a||", HostRepeated),
        ("GET / HTTP/1.1|Host: a/b||", HostInvalid),
        ("GET http://b/ HTTP/1.1|Host: a||", HostMismatch),
        ("|Content-Length: 5|Content-Length: 5||", LengthRepeated),
        ("|Content-Length: 5,5||", LengthInvalid),
        ("|Content-Length: 5|Transfer-Encoding: chunked||", LengthAndCoding),
        ("GET / HTTP/1.0|Transfer-Encoding: chunked||", CodingIn10),
        ("|Transfer-Encoding: chunked|Transfer-Encoding: chunked||", CodingRepeated),
        ("|Transfer-Encoding: chunked, gzip||", CodingNotChunked),
        ("|Transfer-Encoding: gzip, chunked||", CodingUnknown),
        ("|Expect: tea||", Expectation),
        ("|Transfer-Encoding: chunked||0x5|", ChunkSize),
        ("|Transfer-Encoding: chunked||1|a|ffffffffffffffff|", ChunkSizeTooLarge),
        ("|Transfer-Encoding: chunked||1|ab", ChunkEnd),
        ("|Transfer-Encoding: chunked||1;\0|", ChunkExtension),
        ("|Transfer-Encoding: chunked||1;0123456789012345678901234567890123456789|", ChunkExtensionTooLong),
        ("|Transfer-Encoding: chunked||0|A : b||", Trailer),
        ("|Transfer-Encoding: chunked||0|A:|B:|C:|D:|E:||", TrailerTooLarge),
        ("GET /01234567890123456789012345678901234567890123456789 HTTP/1.1||", RequestLineTooLong),
        ("|X: 0123456789012345678901234567890123456789||", FieldTooLarge),
        ("|X:|X:|X:|X:||", TooManyFields),
        ("|Content-Length: 21||", BodyTooLarge),
    ]
};

/// What an entry of [`PROVOKED`] stands for.
pub(crate) fn bytes(input: &str, expected: Refusal) -> String {
    if input.starts_with('|') && expected != Refusal::EmptyLines {
        format!("GET / HTTP/1.1\r\nHost: a{}", input.replace('|', "\r\n"))
    } else {
        input.replace('|', "\r\n")
    }
}

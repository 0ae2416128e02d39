use rserve_http::Refusal;
use rserve_http::Refusal::*;

/// What sets our reading of a connection's bytes apart from hyper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// We refuse a request that hyper takes.
    WeRefuse(Refusal),
    /// hyper refuses a target that we take.
    HyperRefusesTarget,
    /// hyper goes on after a request whose Connection field says close, beside something that is not text.
    HyperOverlooksClose,
    /// Anything else.
    Unexplained,
}

use Difference::{HyperOverlooksClose, HyperRefusesTarget, WeRefuse};

/// The differences that are meant: each with an input that shows it (`|` stands for CRLF) and its reason.
///
/// An input that does not show its difference any more fails a test, so the list cannot outlive its reasons.
pub(crate) const ALLOWED: &[(Difference, &str, &str)] = &[
    (
        WeRefuse(BareLineFeed),
        "GET / HTTP/1.1\nHost: a\n\n",
        "RFC 9112 section 2.2 allows it; proxies differ on it, so smuggling lives on it",
    ),
    (
        WeRefuse(EmptyLines),
        "||||||||||GET / HTTP/1.1|Host: a||",
        "RFC 9112 section 2.2 asks for at least one to be skipped; hyper skips them without end",
    ),
    (WeRefuse(Target), "GET /a#b HTTP/1.1|Host: a||", "hyper drops a fragment, which is never sent by RFC 9110"),
    (WeRefuse(Target), "GET a:80 HTTP/1.1|Host: a||", "hyper leaves the form of a target to the app"),
    (WeRefuse(Connect), "CONNECT a:80 HTTP/1.1|Host: a:80||", "hyper can be a proxy, this server cannot"),
    (WeRefuse(HostMissing), "GET / HTTP/1.1||", "hyper leaves Host to the app"),
    (WeRefuse(HostRepeated), "GET / HTTP/1.1|Host: a|Host: b||", "hyper leaves Host to the app"),
    (WeRefuse(HostInvalid), "GET / HTTP/1.1|Host: a/b||", "hyper leaves Host to the app"),
    (WeRefuse(HostMismatch), "GET http://a/ HTTP/1.1|Host: b||", "hyper leaves Host to the app"),
    (
        WeRefuse(LengthRepeated),
        "PUT / HTTP/1.1|Host: a|Content-Length: 1|Content-Length: 1||x",
        "RFC 9110 section 8.6 allows equal ones to be merged; hyper does",
    ),
    (
        WeRefuse(LengthAndCoding),
        "PUT / HTTP/1.1|Host: a|Content-Length: 1|Transfer-Encoding: chunked||0||",
        "RFC 9112 section 6.3 lets the coding win, and names this as an attempt to smuggle",
    ),
    (
        WeRefuse(CodingUnknown),
        "PUT / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||0||",
        "hyper undoes the last coding and leaves the others to the app",
    ),
    (
        WeRefuse(CodingRepeated),
        "PUT / HTTP/1.1|Host: a|Transfer-Encoding: chunked, chunked||0||",
        "hyper undoes the last coding and leaves the others to the app",
    ),
    (
        WeRefuse(Expectation),
        "GET / HTTP/1.1|Host: a|Expect: tea||",
        "RFC 9110 section 10.1.1 allows other expectations to be ignored; hyper does",
    ),
    (
        WeRefuse(ChunkSize),
        "PUT / HTTP/1.1|Host: a|Transfer-Encoding: chunked||1 |x|0||",
        "hyper allows white space behind a chunk size, which the grammar does not",
    ),
    (
        WeRefuse(ChunkSizeTooLarge),
        "PUT / HTTP/1.1|Host: a|Transfer-Encoding: chunked||00000000000000001|x|0||",
        "hyper allows any number of leading zeros, we 16 digits",
    ),
    (
        WeRefuse(ChunkExtension),
        "PUT / HTTP/1.1|Host: a|Transfer-Encoding: chunked||1;\0|x|0||",
        "hyper skips extensions, whatever their bytes are",
    ),
    (
        WeRefuse(Trailer),
        "PUT / HTTP/1.1|Host: a|Transfer-Encoding: chunked||0|\nx||",
        "hyper takes a bare LF for the blank line behind the trailers",
    ),
    (
        HyperRefusesTarget,
        "GET /<a> HTTP/1.1|Host: a||",
        "clients send characters that http::Uri does not take; we hand them over as they are, or escaped in a Uri",
    ),
    (
        HyperOverlooksClose,
        "GET / HTTP/1.1|Host: a|Connection: \u{e9}, close||GET / HTTP/1.1|Host: a||",
        "a close counts wherever it stands; hyper does not look into a field that is not ASCII",
    ),
];

/// Where our limits are tighter than hyper's.
pub(crate) const LIMITS: [Refusal; 7] = [
    RequestLineTooLong,
    FieldTooLarge,
    TooManyFields,
    HeadTooLarge,
    BodyTooLarge,
    ChunkExtensionTooLong,
    TrailerTooLarge,
];

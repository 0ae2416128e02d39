use http::StatusCode;

use crate::encode::encode_error;

/// Why a request is refused.
///
/// A refusal ends the connection: where the next request would begin is not known any more.  The message is one
/// lowercase line and quotes nothing the client sent, so it is safe in a log and in the response.
///
/// ```
/// use rserve_http::{Decoder, Limits, Refusal};
///
/// let refusal = Decoder::new(Limits::default()).decode(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
/// assert_eq!(refusal, Refusal::HostMissing);
/// assert_eq!(refusal.status(), 400);
/// assert_eq!(refusal.to_string(), "an HTTP/1.1 request needs a Host field");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The request line is longer than [`Limits::request_line`](crate::Limits::request_line).
    #[error("the request line is too long")]
    RequestLineTooLong,
    /// A field line is longer than [`Limits::field_size`](crate::Limits::field_size).
    #[error("a header field is too large")]
    FieldTooLarge,
    /// There are more field lines than [`Limits::fields`](crate::Limits::fields).
    #[error("too many header fields")]
    TooManyFields,
    /// The head as a whole is larger than one MiB.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// More than eight empty lines came before the request line (RFC 9112 section 2.2 asks for one to be ignored).
    #[error("too many empty lines before the request line")]
    EmptyLines,
    /// A line ends in LF without CR (RFC 9112 section 2.2 lets a server accept it; smuggling lives on it).
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    /// A CR that is not followed by LF (RFC 9112 section 2.2).
    #[error("a carriage return stands without a line feed")]
    BareCarriageReturn,
    /// A field line that begins with white space (RFC 9112 section 5.2), or white space before the first field.
    #[error("a header line begins with white space")]
    Folding,
    /// The first line is not `method SP target SP version` (RFC 9112 section 3).
    #[error("the request line is malformed")]
    RequestLine,
    /// The version is not HTTP/1.0 or HTTP/1.1.
    #[error("the protocol version is not supported, HTTP/1.0 and HTTP/1.1 are")]
    Version,
    /// The target is in none of the forms of RFC 9112 section 3.2, has a fragment, or is not ASCII.
    #[error("the request target is malformed")]
    Target,
    /// CONNECT asks for a tunnel: this is an origin server (RFC 9110 section 9.3.6).
    #[error("the CONNECT method is not implemented")]
    Connect,
    /// A field name is not a token, or white space stands before its colon (RFC 9112 section 5.1).
    #[error("a header field name is malformed")]
    FieldName,
    /// A field value has a control character (RFC 9110 section 5.5).
    #[error("a header field value has a forbidden character")]
    FieldValue,
    /// An HTTP/1.1 request without Host (RFC 9112 section 3.2).
    #[error("an HTTP/1.1 request needs a Host field")]
    HostMissing,
    /// More than one Host field (RFC 9112 section 3.2).
    #[error("there is more than one Host field")]
    HostRepeated,
    /// A Host value that is not `host [":" port]` (RFC 9112 section 3.2).
    #[error("the Host field is malformed")]
    HostInvalid,
    /// The target names another host than the Host field (RFC 9112 section 3.2.2 obliges clients to send the same).
    #[error("the request target and the Host field name different hosts")]
    HostMismatch,
    /// More than one Content-Length field.
    #[error("there is more than one Content-Length field")]
    LengthRepeated,
    /// A Content-Length that is not a plain decimal number below 2^64 (RFC 9110 section 8.6).
    #[error("the Content-Length field is not a number")]
    LengthInvalid,
    /// Both Content-Length and Transfer-Encoding (RFC 9112 section 6.1).
    #[error("there are both a Content-Length and a Transfer-Encoding field")]
    LengthAndCoding,
    /// A Transfer-Encoding in an HTTP/1.0 request (RFC 9112 section 6.1).
    #[error("an HTTP/1.0 request cannot have a Transfer-Encoding field")]
    CodingIn10,
    /// More than one Transfer-Encoding field, or chunked applied twice (RFC 9112 section 6.1).
    #[error("the Transfer-Encoding is repeated")]
    CodingRepeated,
    /// Chunked is not the last transfer coding, so the length cannot be told (RFC 9112 section 6.3).
    #[error("the last transfer coding is not chunked")]
    CodingNotChunked,
    /// Another coding below chunked (RFC 9112 section 6.1 asks for 501).
    #[error("only the chunked transfer coding is implemented")]
    CodingUnknown,
    /// An expectation other than 100-continue (RFC 9110 section 10.1.1).
    #[error("the only expectation that can be met is 100-continue")]
    Expectation,
    /// The body is larger than [`Limits::body`](crate::Limits::body).
    #[error("the request body is too large")]
    BodyTooLarge,
    /// A chunk does not begin with a hexadecimal size and CRLF (RFC 9112 section 7.1).
    #[error("a chunk size is malformed")]
    ChunkSize,
    /// A chunk size, or the sum of them, does not fit 64 bits.
    #[error("a chunk size is too large")]
    ChunkSizeTooLarge,
    /// The data of a chunk is not followed by CRLF.
    #[error("a chunk is longer than its size says")]
    ChunkEnd,
    /// A chunk extension has a forbidden character (RFC 9112 section 7.1.1).
    #[error("a chunk extension is malformed")]
    ChunkExtension,
    /// All chunk extensions of the body are together longer than [`Limits::field_size`](crate::Limits::field_size).
    #[error("the chunk extensions are too long")]
    ChunkExtensionTooLong,
    /// A trailer line is not a field (RFC 9112 section 7.1.2).
    #[error("a trailer field is malformed")]
    Trailer,
    /// A trailer field is too long, or there are too many.
    #[error("the trailer fields are too large")]
    TrailerTooLarge,
}

impl Refusal {
    /// The status that tells the client.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestLineTooLong => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::FieldTooLarge | Self::TooManyFields | Self::HeadTooLarge | Self::TrailerTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Connect | Self::CodingUnknown => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::EmptyLines
            | Self::BareLineFeed
            | Self::BareCarriageReturn
            | Self::Folding
            | Self::RequestLine
            | Self::Target
            | Self::FieldName
            | Self::FieldValue
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::HostMismatch
            | Self::LengthRepeated
            | Self::LengthInvalid
            | Self::LengthAndCoding
            | Self::CodingIn10
            | Self::CodingRepeated
            | Self::CodingNotChunked
            | Self::ChunkSize
            | Self::ChunkSizeTooLarge
            | Self::ChunkEnd
            | Self::ChunkExtension
            | Self::ChunkExtensionTooLong
            | Self::Trailer => StatusCode::BAD_REQUEST,
        }
    }

    /// Appends the whole response, with `Connection: close`, to `out`.
    ///
    /// `date` is what [`format_date`](crate::format_date) wrote.
    pub fn encode(&self, date: &[u8; 29], out: &mut Vec<u8>) {
        encode_error(self.status(), &self.to_string(), true, date, out);
    }
}

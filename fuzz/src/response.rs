use arbitrary::{Result, Unstructured};
use http::response::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use rserve_http::{
    AnswerHead, Exchange, Outgoing, RawHead, ResponseError, Version, encode_chunk, encode_head, encode_last_chunk,
    format_date,
};

/// Whatever response an app builds, the client reads that response and no other, or it is refused before a byte is
/// written.
pub fn response(data: &[u8]) {
    // An input that is too short is one that says less.
    if let Ok(case) = Case::new(&mut Unstructured::new(data)) {
        case.check();
    }
}

#[derive(Debug)]
struct Case {
    parts: Parts,
    exchange: Exchange,
    pieces: Vec<Vec<u8>>,
    length: Option<u64>,
}

/// The names that mean something to the encoder, and two that do not.
const NAMES: [&str; 12] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "date",
    "server",
    "keep-alive",
    "trailer",
    "upgrade",
    "te",
    "proxy-connection",
    "set-cookie",
    "content-type",
];

const VALUES: [&str; 8] = ["close", "keep-alive, Close", "chunked", "gzip, chunked", "0", "5", "05", "text/plain"];

impl Case {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        let version = if u.arbitrary()? { Version::Http11 } else { Version::Http10 };
        let exchange = Exchange { version, is_head: u.arbitrary()?, keep_alive: u.arbitrary()? };
        let status = if u.arbitrary()? { *u.choose(&[100, 200, 204, 205, 304, 404])? } else { u.arbitrary()? };
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = StatusCode::from_u16(status).unwrap_or_default();
        for _ in 0..u.int_in_range(0..=6)? {
            if let Some((name, value)) = field(u)? {
                parts.headers.append(name, value);
            }
        }
        let pieces: Vec<Vec<u8>> = u.arbitrary()?;
        let length = pieces.iter().map(Vec::len).sum::<usize>() as u64;
        Ok(Self { parts, exchange, pieces, length: u.arbitrary::<bool>()?.then_some(length) })
    }

    fn check(&self) {
        let mut date = [0; 29];
        format_date(std::time::UNIX_EPOCH, &mut date);
        let mut out = b"before".to_vec();
        let encoded = encode_head(&self.parts, self.length, &self.exchange, &date, &mut out);
        let mut wire = out.strip_prefix(b"before").expect("only appended to").to_vec();
        self.check_raw(&encoded, &wire, &date);
        let (outgoing, persist) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => {
                assert!(wire.is_empty(), "nothing is written for an error");
                return self.check_error(&error);
            }
        };
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut slots);
        let end = head.parse(&wire).expect("a head").unwrap();
        assert_eq!((end, head.version, head.code), (wire.len(), Some(1), Some(self.parts.status.as_u16())), "{self:?}");
        let seen = Fields(head.headers);
        self.check_fields(&seen, persist);
        let body = Client::new(&self.exchange, self.parts.status, &seen);

        if self.write_body(outgoing, &mut wire) {
            let sent: Vec<u8> = if outgoing == Outgoing::None { Vec::new() } else { self.pieces.concat() };
            assert_eq!(body.read(&wire[end..]), Some(sent), "{self:?}");
            assert!(body != Client::ToTheEnd || !persist, "{self:?}");
        }
    }

    /// The same head as bytes is the same head, or is refused as this one is.
    fn check_raw(&self, typed: &std::result::Result<(Outgoing, bool), ResponseError>, wire: &[u8], date: &[u8; 29]) {
        let mut out = Vec::new();
        let raw = RawHead::new(self.parts.status.as_str().as_bytes()).and_then(|mut head| {
            for (name, value) in &self.parts.headers {
                head.field(name.as_str().as_bytes(), value.as_bytes())?;
            }
            AnswerHead::Raw(head).encode(self.length, &self.exchange, date, &mut out)
        });
        assert_eq!(raw.is_ok(), typed.is_ok(), "{raw:?}, not {typed:?}: {self:?}");
        if raw.is_ok() {
            assert_eq!(raw.as_ref().ok(), typed.as_ref().ok(), "{self:?}");
            let fields = |head: &[u8]| {
                let mut lines: Vec<Vec<u8>> =
                    head.split(|&byte| byte == b'\n').skip(1).map(<[u8]>::to_ascii_lowercase).collect();
                lines.sort();
                lines
            };
            assert_eq!(fields(&out), fields(wire), "{self:?}");
        }
    }

    fn check_error(&self, error: &ResponseError) {
        let has = |name: &str| self.parts.headers.contains_key(name);
        let justified = match error {
            // Types cannot hold these.
            ResponseError::Status | ResponseError::Name | ResponseError::Value => false,
            ResponseError::Interim(status) => status.as_u16() < 200 && *status == self.parts.status,
            ResponseError::Length => has("content-length"),
            ResponseError::LengthMismatch { stated, actual } => {
                has("content-length") && stated != actual && self.length == Some(*actual)
            }
            ResponseError::TransferEncoding => has("transfer-encoding"),
        };
        assert!(justified, "{error:?} for {self:?}");
    }

    fn check_fields(&self, seen: &Fields<'_, '_>, persist: bool) {
        const OWNED: [&str; 8] = [
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "upgrade",
        ];
        for name in self.parts.headers.keys().filter(|name| !OWNED.contains(&name.as_str())) {
            let given: Vec<_> = self.parts.headers.get_all(name).iter().map(|value| trim(value.as_bytes())).collect();
            assert_eq!(seen.all(name.as_str()), given, "{self:?}");
        }
        for name in &OWNED[3..] {
            assert!(seen.all(name).is_empty(), "{name} in {self:?}");
        }
        for name in ["date", "server"] {
            let given = self.parts.headers.get_all(name).iter().count();
            assert_eq!(seen.all(name).len(), given.max(1), "{name} in {self:?}");
        }
        let expected: &[&[u8]] = match (persist, self.exchange.version) {
            (false, _) => &[b"close"],
            (true, Version::Http10) => &[b"keep-alive"],
            (true, Version::Http11) => &[],
        };
        assert_eq!(seen.all("connection"), expected, "{self:?}");
        assert!(!persist || self.exchange.keep_alive, "{self:?}");
        assert!(seen.all("content-length").len() + seen.all("transfer-encoding").len() <= 1, "{self:?}");
        if self.parts.status == StatusCode::NO_CONTENT {
            assert!(seen.all("content-length").is_empty(), "{self:?}");
        }
        if self.exchange.version == Version::Http10 {
            assert!(seen.all("transfer-encoding").is_empty(), "{self:?}");
        }
    }

    /// Sends the body as the event loop does; false where it would cut the connection instead.
    fn write_body(&self, outgoing: Outgoing, wire: &mut Vec<u8>) -> bool {
        match outgoing {
            Outgoing::None => {}
            Outgoing::Length(length) if length != self.pieces.iter().map(|piece| piece.len() as u64).sum() => {
                return false;
            }
            Outgoing::Length(_) | Outgoing::UntilClose => wire.extend(self.pieces.concat()),
            Outgoing::Chunked => {
                self.pieces.iter().for_each(|piece| encode_chunk(piece, wire));
                encode_last_chunk(wire);
            }
        }
        true
    }
}

/// A field that an app can build. What `http` does not let it build cannot be sent at all: that is checked here.
fn field(u: &mut Unstructured<'_>) -> Result<Option<(HeaderName, HeaderValue)>> {
    let name = if u.arbitrary()? { u.choose(&NAMES)?.as_bytes().to_vec() } else { u.arbitrary()? };
    let value = if u.arbitrary()? { u.choose(&VALUES)?.as_bytes().to_vec() } else { u.arbitrary()? };
    let value = HeaderValue::from_bytes(&value).inspect(|value| {
        let splits = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'\0');
        assert!(!value.as_bytes().iter().any(splits), "a value with a line end: {value:?}");
    });
    Ok(HeaderName::from_bytes(&name).ok().zip(value.ok()))
}

struct Fields<'a, 'b>(&'a [httparse::Header<'b>]);

impl Fields<'_, '_> {
    fn all(&self, name: &str) -> Vec<&[u8]> {
        self.0.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value).collect()
    }
}

/// How a client finds the end of a response (RFC 9112 section 6.3).
#[derive(Debug, PartialEq, Eq)]
enum Client {
    Nothing,
    Chunks,
    Length(usize),
    ToTheEnd,
}

impl Client {
    fn new(exchange: &Exchange, status: StatusCode, seen: &Fields<'_, '_>) -> Self {
        if exchange.is_head || matches!(status.as_u16(), 100..=199 | 204 | 304) {
            return Self::Nothing;
        }
        if seen.all("transfer-encoding") == [b"chunked"] {
            return Self::Chunks;
        }
        match seen.all("content-length")[..] {
            [] => Self::ToTheEnd,
            [length] => {
                let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
                Self::Length(length.expect("a length"))
            }
            _ => panic!("two lengths"),
        }
    }

    /// The body, if it is the whole of `rest`.
    fn read(&self, mut rest: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Nothing => rest.is_empty().then(Vec::new),
            Self::Length(length) => (rest.len() == *length).then(|| rest.to_vec()),
            Self::ToTheEnd => Some(rest.to_vec()),
            Self::Chunks => {
                let mut body = Vec::new();
                loop {
                    let (start, size) = httparse::parse_chunk_size(rest).ok()?.unwrap();
                    let (data, after) = rest[start..].split_at_checked(size as usize)?;
                    body.extend_from_slice(data);
                    rest = after.strip_prefix(b"\r\n")?;
                    if size == 0 {
                        return rest.is_empty().then_some(body);
                    }
                }
            }
        }
    }
}

/// Without the white space around it, which no reader sees (RFC 9110 section 5.5).
fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |at| at + 1);
    &value[start..end]
}

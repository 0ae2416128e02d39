use crate::head::Version;
use crate::refusal::Refusal;

/// How the end of a request's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// This many bytes (RFC 9112 section 6.2).
    Length(u64),
    /// Chunks, then trailers (RFC 9112 section 7.1).
    Chunked,
}

/// What the Content-Length fields of a head say, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Length {
    #[default]
    Absent,
    One(u64),
    Invalid,
    Repeated,
}

/// What the Transfer-Encoding fields of a head say, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    #[default]
    Absent,
    Chunked,
    /// Chunked is last, over a coding that is not chunked.
    Unknown,
    NotChunked,
    Repeated,
}

/// The one table that decides where a request ends (RFC 9112 section 6.3).
///
/// Whatever two parsers could read in two ways is refused here, even where the RFC lets a server guess.
pub(crate) fn decide(version: Version, coding: Coding, length: Length) -> Result<Framing, Refusal> {
    match (version, coding, length) {
        (_, Coding::Absent, Length::Absent) => Ok(Framing::None),
        (_, Coding::Absent, Length::One(length)) => Ok(Framing::Length(length)),
        (_, Coding::Absent, Length::Invalid) => Err(Refusal::LengthInvalid),
        (_, Coding::Absent, Length::Repeated) => Err(Refusal::LengthRepeated),
        (Version::Http10, Coding::Chunked | Coding::Unknown | Coding::NotChunked | Coding::Repeated, _) => {
            Err(Refusal::CodingIn10)
        }
        (Version::Http11, _, Length::One(_) | Length::Invalid | Length::Repeated) => Err(Refusal::LengthAndCoding),
        (Version::Http11, Coding::Chunked, Length::Absent) => Ok(Framing::Chunked),
        (Version::Http11, Coding::Unknown, Length::Absent) => Err(Refusal::CodingUnknown),
        (Version::Http11, Coding::NotChunked, Length::Absent) => Err(Refusal::CodingNotChunked),
        (Version::Http11, Coding::Repeated, Length::Absent) => Err(Refusal::CodingRepeated),
    }
}

impl Length {
    /// Takes in one more Content-Length field.
    pub(crate) fn and(self, value: &[u8]) -> Self {
        match self {
            Self::Absent => parse_length(value).map_or(Self::Invalid, Self::One),
            Self::One(_) | Self::Invalid | Self::Repeated => Self::Repeated,
        }
    }
}

impl Coding {
    /// Takes in one more Transfer-Encoding field.
    pub(crate) fn and(self, value: &[u8]) -> Self {
        if self != Self::Absent {
            return Self::Repeated;
        }
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).rev();
        if !codings.next().is_some_and(is_chunked) {
            return Self::NotChunked;
        }
        match (codings.clone().any(is_chunked), codings.next()) {
            (true, _) => Self::Repeated,
            (false, Some(_)) => Self::Unknown,
            (false, None) => Self::Chunked,
        }
    }
}

/// Digits only: no sign, no list, no white space.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests;

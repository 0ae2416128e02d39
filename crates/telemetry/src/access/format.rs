use std::fmt;
use std::str::FromStr;

use http::{HeaderName, header};

/// How a line of the access log is written: gunicorn's `access_log_format`, or `json`.
///
/// ```
/// use rserve_telemetry::Format;
///
/// assert!("%(h)s %({x-request-id}i)s".parse::<Format>().is_ok());
/// let error = "%(h)s %(x)s".parse::<Format>().unwrap_err();
/// assert_eq!(error.to_string(), "there is no atom %(x)s; docs/logging.md has those that there are");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// Text with atoms in it.
    Text(Text),
}

/// A format of text and atoms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    source: String,
    pub(super) pieces: Vec<Piece>,
    fields: Vec<HeaderName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Host,
    /// `%(l)s`, which nobody knows.
    Dash,
    User,
    Time,
    Line,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    Length,
    Seconds,
    Millis,
    Micros,
    DecimalSeconds,
    Pid,
    RequestField(HeaderName),
    ResponseField(HeaderName),
    /// A variable that the format of another server takes from the request in some other way.
    Variable(Variable),
}

/// The variables of CGI that are no header field and no other atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Target,
    RemotePort,
    ServerName,
    ServerPort,
    Software,
    /// One that only an app could know.
    Unknown,
}

/// Why a format is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// An atom that does not exist.
    #[error("there is no atom %({0})s; docs/logging.md has those that there are")]
    Unknown(String),
    /// A percent sign that begins nothing.
    #[error("'{0}' is no atom: write %(name)s, and %% for a percent sign")]
    Malformed(String),
    /// An atom that names a header field which cannot be.
    #[error("'{0}' cannot be the name of a header field")]
    Name(String),
}

/// gunicorn's, which is Apache's "combined".
const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

impl Format {
    /// gunicorn's default.
    pub const DEFAULT: &'static str = DEFAULT;

    /// Whether lines have fields of the response in them.
    pub(super) fn looks_at_response(&self) -> bool {
        match self {
            Self::Json => false,
            Self::Text(text) => text.pieces.iter().any(|piece| matches!(piece, Piece::ResponseField(_))),
        }
    }

    /// The request's fields that lines have in them.
    pub(super) fn fields(&self) -> &[HeaderName] {
        const JSON: &[HeaderName] = &[header::REFERER, header::USER_AGENT, header::AUTHORIZATION];
        match self {
            Self::Json => JSON,
            Self::Text(text) => &text.fields,
        }
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(source: &str) -> Result<Self, FormatError> {
        if source == "json" {
            return Ok(Self::Json);
        }
        let pieces = parse(source)?;
        let mut fields: Vec<HeaderName> = pieces.iter().filter_map(Piece::field).collect();
        fields.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        fields.dedup();
        Ok(Self::Text(Text { source: source.to_owned(), pieces, fields }))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Text(text) => &text.source,
        })
    }
}

impl Piece {
    /// The request's field that it is made from.
    fn field(&self) -> Option<HeaderName> {
        match self {
            Self::RequestField(name) => Some(name.clone()),
            Self::User => Some(header::AUTHORIZATION),
            Self::Variable(Variable::ServerName) => Some(header::HOST),
            _ => None,
        }
    }
}

fn parse(source: &str) -> Result<Vec<Piece>, FormatError> {
    let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), source);
    while let Some(start) = rest.find('%') {
        text.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some(behind) = rest.strip_prefix("%%") {
            text.push('%');
            rest = behind;
            continue;
        }
        let malformed = || FormatError::Malformed(rest.chars().take(20).collect());
        let inside = rest.strip_prefix("%(").ok_or_else(malformed)?;
        let (name, behind) = inside.split_once(')').ok_or_else(malformed)?;
        let behind = behind.strip_prefix('s').ok_or_else(malformed)?;
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(atom(name)?);
        rest = behind;
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn atom(name: &str) -> Result<Piece, FormatError> {
    let unknown = || FormatError::Unknown(name.to_owned());
    Ok(match name {
        "h" => Piece::Host,
        "l" => Piece::Dash,
        "u" => Piece::User,
        "t" => Piece::Time,
        "r" => Piece::Line,
        "m" => Piece::Method,
        "U" => Piece::Path,
        "q" => Piece::Query,
        "H" => Piece::Protocol,
        "s" | "st" => Piece::Status,
        "B" | "b" => Piece::Length,
        "f" => Piece::RequestField(header::REFERER),
        "a" => Piece::RequestField(header::USER_AGENT),
        "T" => Piece::Seconds,
        "M" => Piece::Millis,
        "D" => Piece::Micros,
        "L" => Piece::DecimalSeconds,
        "p" => Piece::Pid,
        _ => {
            let inside = name.strip_prefix('{').ok_or_else(unknown)?;
            let (inner, kind) = inside.split_once('}').ok_or_else(unknown)?;
            let field =
                |inner: &str| HeaderName::from_bytes(inner.as_bytes()).map_err(|_| FormatError::Name(inner.to_owned()));
            match kind {
                "i" => Piece::RequestField(field(inner)?),
                "o" => Piece::ResponseField(field(inner)?),
                "e" => variable(&inner.to_ascii_lowercase()),
                _ => return Err(unknown()),
            }
        }
    })
}

fn variable(name: &str) -> Piece {
    match name {
        "request_method" => Piece::Method,
        "path_info" => Piece::Path,
        "query_string" => Piece::Query,
        "server_protocol" => Piece::Protocol,
        "remote_addr" => Piece::Host,
        "content_type" => Piece::RequestField(header::CONTENT_TYPE),
        "content_length" => Piece::RequestField(header::CONTENT_LENGTH),
        "raw_uri" => Piece::Variable(Variable::Target),
        "remote_port" => Piece::Variable(Variable::RemotePort),
        "server_name" => Piece::Variable(Variable::ServerName),
        "server_port" => Piece::Variable(Variable::ServerPort),
        "server_software" => Piece::Variable(Variable::Software),
        _ => {
            let field = name.strip_prefix("http_").map(|field| field.replace('_', "-"));
            let field = field.and_then(|field| HeaderName::from_bytes(field.as_bytes()).ok());
            field.map_or(Piece::Variable(Variable::Unknown), Piece::RequestField)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_text_and_atoms() {
        let Ok(Format::Text(text)) = r#"%(h)s 100%% "%({X-Id}i)s"%({HTTP_X_ID}e)s"#.parse() else { panic!() };
        let id = || Piece::RequestField(HeaderName::from_static("x-id"));
        let text_piece = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(text.pieces, [Piece::Host, text_piece(" 100% \""), id(), text_piece("\""), id()]);
        assert_eq!(text.fields, [HeaderName::from_static("x-id")]);
    }

    #[test]
    fn what_is_no_atom_is_named() {
        for (format, error) in [
            ("%(x)s", "there is no atom %(x)s; docs/logging.md has those that there are"),
            ("%({a}x)s", "there is no atom %({a}x)s; docs/logging.md has those that there are"),
            ("%({a b}i)s", "'a b' cannot be the name of a header field"),
            ("100%", "'%' is no atom: write %(name)s, and %% for a percent sign"),
            ("%h %l %u", "'%h %l %u' is no atom: write %(name)s, and %% for a percent sign"),
            ("%(h)d", "'%(h)d' is no atom: write %(name)s, and %% for a percent sign"),
        ] {
            assert_eq!(format.parse::<Format>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_format_is_printed_as_it_was_written() {
        for format in [DEFAULT, "json", "100%%", ""] {
            assert_eq!(format.parse::<Format>().unwrap().to_string(), format);
        }
    }
}

//! What a client sends must not forge a line, nor end one, nor command a terminal.

/// Appends `bytes` with backslashes, quotation marks, and all that is not plain ASCII escaped, so that they can stand between
/// quotation marks.
pub(super) fn escape(mut bytes: &[u8], out: &mut Vec<u8>) {
    // Nearly always, and without a branch for each byte.
    if bytes.iter().fold(true, |plain, byte| plain & is_plain(*byte)) {
        return out.extend_from_slice(bytes);
    }
    while let Some(end) = bytes.iter().position(|byte| !is_plain(*byte)) {
        out.extend_from_slice(&bytes[..end]);
        match bytes[end] {
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            byte => {
                out.extend_from_slice(b"\\x");
                out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        bytes = &bytes[end + 1..];
    }
    out.extend_from_slice(bytes);
}

/// Percent-decodes a path, as an app gets it.
pub(super) fn decoded(path: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        let byte = match behind {
            [high, low, behind @ ..] if *first == b'%' => digit(*high).zip(digit(*low)).map(|(high, low)| {
                rest = behind;
                high << 4 | low
            }),
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
    }
    decoded
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

const fn is_plain(byte: u8) -> bool {
    (byte.wrapping_sub(0x20) < 0x5f) & (byte != b'"') & (byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_text_stays_what_it_is() {
        for (bytes, escaped) in [
            (&b"GET /a?b=c HTTP/1.1"[..], r"GET /a?b=c HTTP/1.1"),
            (b"a\"b\\c", r#"a\"b\\c"#),
            (b"\r\n\x00\x1b[2J\x7f\xc3\xa9", r"\x0d\x0a\x00\x1b[2J\x7f\xc3\xa9"),
            (b"", ""),
        ] {
            let mut out = Vec::new();
            escape(bytes, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), escaped);
        }
    }

    #[test]
    fn a_path_is_decoded_where_it_can_be() {
        for (path, expected) in [
            ("/a%20b", &b"/a b"[..]),
            ("/%0a%C3%a9", b"/\n\xc3\xa9"),
            ("/%", b"/%"),
            ("/%4", b"/%4"),
            ("/%zz%41", b"/%zzA"),
        ] {
            assert_eq!(decoded(path), expected, "{path}");
        }
    }
}

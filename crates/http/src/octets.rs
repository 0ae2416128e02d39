//! Which bytes may stand where, as tables: a look at one costs less than a comparison with each range.

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// The bytes of `host [":" port]` (RFC 3986 section 3.2).
pub(crate) const fn is_host_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & HOST != 0
}

/// What may stand in a request target up to its query, or in the query: visible ASCII without `#`, since a fragment is
/// never sent.
pub(crate) const fn is_target_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & TARGET != 0
}

/// Whether all bytes may stand in a field value (RFC 9110 section 5.5): no control characters but the tab.
pub(crate) fn is_field_value(value: &[u8]) -> bool {
    let looks_plain = value.last_chunk().is_some_and(|last| {
        let (chunks, _) = value.as_chunks();
        chunks.iter().chain([last]).all(|chunk| is_plain(*chunk))
    });
    looks_plain || value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

/// Whether none of eight bytes is below the space or DEL, told by all of them at once: subtracting from a byte what is more
/// than it borrows from its highest bit, or from another one's if that was so already.
const fn is_plain(bytes: [u8; 8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = EACH * 0x80;
    let bytes = u64::from_ne_bytes(bytes);
    let is_delete = bytes ^ (EACH * 0x7f);
    let below = bytes.wrapping_sub(EACH * b' ' as u64) & !bytes;
    let delete = is_delete.wrapping_sub(EACH) & !is_delete;
    (below | delete) & HIGHEST == 0
}

const TOKEN: u8 = 1;
const HOST: u8 = 2;
const TARGET: u8 = 4;

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = classes_of(byte as u8);
        byte += 1;
    }
    classes
};

const fn classes_of(byte: u8) -> u8 {
    let token = matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*'
        | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
    let host = matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$'
        | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'[' | b']');
    let target = matches!(byte, b'!'..=b'~') && byte != b'#';
    (if token { TOKEN } else { 0 }) | (if host { HOST } else { 0 }) | (if target { TARGET } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_value_is_judged_the_same_wherever_a_byte_stands() {
        for byte in 0..=u8::MAX {
            let fine = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            for length in 1..20 {
                for at in 0..length {
                    for filler in [b'a', 0xff, b' ', b'~'] {
                        let mut value = vec![filler; length];
                        value[at] = byte;
                        assert_eq!(is_field_value(&value), fine, "{byte} at {at} of {length}");
                    }
                }
            }
        }
        assert!(is_field_value(b""));
    }
}

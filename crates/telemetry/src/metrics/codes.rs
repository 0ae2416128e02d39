use http::StatusCode;

/// The statuses that have a counter of their own: those that IANA has registered.
const CODES: [u16; 62] = [
    100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400,
    401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425,
    426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
];

/// How many counters that makes: the others have one together for each class.
pub(super) const PLACES: usize = CODES.len() + 6;

/// Where a status is counted.
pub(super) fn place(status: StatusCode) -> usize {
    let code = status.as_u16();
    let class = usize::from(code / 100).clamp(1, 6) - 1;
    CODES.binary_search(&code).unwrap_or(CODES.len() + class)
}

/// What is counted there: a status, or a class such as `4xx`.
pub(super) fn name(place: usize) -> String {
    CODES.get(place).map_or_else(|| format!("{}xx", place - CODES.len() + 1), u16::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_a_place_with_a_name() {
        assert!(CODES.is_sorted());
        for (code, expected) in [(200, "200"), (404, "404"), (511, "511"), (499, "4xx"), (599, "5xx"), (999, "6xx")] {
            let place = place(StatusCode::from_u16(code).unwrap());
            assert!(place < PLACES);
            assert_eq!(name(place), expected);
        }
    }
}

use rserve_http::Limits;

use crate::drive::{SMALL, drive};

/// However the bytes of a connection are cut into reads, the same comes of them.
///
/// All of it in one read is compared with a byte at a time, with cuts in two, and with many cuts that a generator seeded
/// by the input chooses.
pub fn connection(data: &[u8]) {
    for limits in [Limits::default(), SMALL] {
        let whole = drive(limits, [data]);
        assert_eq!(drive(limits, data.chunks(1)), whole, "byte by byte: {}", data.escape_ascii());

        // All cuts of a short input; of a long one as many, spread over it.
        let stride = data.len().div_ceil(MOST_CUTS).max(1);
        for at in (1..data.len()).step_by(stride) {
            let (front, back) = data.split_at(at);
            assert_eq!(drive(limits, [front, back]), whole, "cut at {at}: {}", data.escape_ascii());
        }

        let pieces = random_pieces(data);
        assert_eq!(drive(limits, pieces.iter().copied()), whole, "as {pieces:?}");
    }
}

const MOST_CUTS: usize = 64;

fn random_pieces(data: &[u8]) -> Vec<&[u8]> {
    // FNV-1a over the input, then xorshift: any change of the input changes the cuts.
    let mut state = data
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let mut pieces = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (piece, after) = rest.split_at((state % 16 + 1).min(rest.len() as u64) as usize);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

//! Does one thing a given number of times, for `cargo xtask icount` to count its instructions.
#![forbid(unsafe_code)]

mod requests;

use std::env;
use std::hint::black_box;

use requests::{BROWSER, SMALL};
use rserve_http::{Decoder, Limits};

fn main() {
    let mut args = env::args().skip(1);
    let case = args.next().unwrap_or_default();
    // What `cargo test` starts it for: to see that it runs.
    let times = args.next().and_then(|times| times.parse().ok()).unwrap_or(1);
    let (input, answers) = match &*case {
        "decode-9" => (BROWSER, false),
        "exchange-1" => (SMALL, true),
        "exchange-9" => (BROWSER, true),
        _ => (SMALL, false),
    };
    let mut decoder = Decoder::new(Limits::default());
    let parts = requests::response();
    let mut out = Vec::with_capacity(1024);
    for _ in 0..times {
        requests::decode(&mut decoder, black_box(input));
        if answers {
            out.clear();
            requests::encode(black_box(&parts), &decoder.head().exchange(), &mut out);
            black_box(&out);
        }
        decoder.next_request();
    }
}

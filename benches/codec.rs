//! What the codec costs, without sockets: `cargo bench --package rserve-http`.
//!
//! Times depend on the machine and on what else runs there; compare runs on one machine. The measure that noise cannot
//! move is the instruction count: `cargo xtask icount`.
#![forbid(unsafe_code)]

mod requests;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use requests::{BROWSER, SMALL};
use rserve_http::{Decoder, Event, Limits};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    small_head(&mut criterion);
    browser_head(&mut criterion);
    byte_by_byte(&mut criterion);
    chunked_body(&mut criterion);
    encode_response(&mut criterion);
    pipelined_16(&mut criterion);
    criterion.final_summary();
}

/// What is the least that a request costs to read?
fn small_head(criterion: &mut Criterion) {
    decode_one(criterion, "decode a small head", SMALL);
}

/// And one from a browser: what do eight more fields cost?
fn browser_head(criterion: &mut Criterion) {
    decode_one(criterion, "decode a browser's head", BROWSER);
}

fn decode_one(criterion: &mut Criterion, name: &str, input: &[u8]) {
    let mut decoder = Decoder::new(Limits::default());
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let used = requests::decode(&mut decoder, black_box(input));
            black_box(decoder.head().view(&input[..used]).path());
            decoder.next_request();
        });
    });
}

/// Does a head that drips in cost more than its bytes: is anything searched or parsed twice?
fn byte_by_byte(criterion: &mut Criterion) {
    let mut decoder = Decoder::new(Limits::default());
    criterion.bench_function("decode a browser's head, a byte at a time", |bencher| {
        bencher.iter(|| {
            for end in 1..BROWSER.len() {
                let decoded = decoder.decode(black_box(&BROWSER[..end]));
                assert_eq!(decoded, Ok((0, Event::NeedMore)));
            }
            requests::decode(&mut decoder, BROWSER);
            decoder.next_request();
        });
    });
}

/// How fast does an upload in chunks go through, in chunks of 4 KiB and of 16 bytes?
fn chunked_body(criterion: &mut Criterion) {
    const LENGTH: usize = 64 * 1024;
    let mut group = criterion.benchmark_group("decode 64 KiB in chunks");
    group.throughput(Throughput::Bytes(LENGTH as u64));
    for size in [4096, 16] {
        let mut input = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in vec![b'x'; LENGTH].chunks(size) {
            rserve_http::encode_chunk(chunk, &mut input);
        }
        rserve_http::encode_last_chunk(&mut input);
        let mut decoder = Decoder::new(Limits::default());
        let mut body = Vec::with_capacity(LENGTH);
        group.bench_function(format!("of {size} bytes"), |bencher| {
            bencher.iter(|| {
                body.clear();
                read_body(&mut decoder, black_box(&input), &mut body);
                assert_eq!(body.len(), LENGTH);
                decoder.next_request();
            });
        });
    }
    group.finish();
}

fn read_body(decoder: &mut Decoder, mut input: &[u8], body: &mut Vec<u8>) {
    loop {
        let (used, event) = decoder.decode(input).expect("invariant: the request is well-formed");
        match event {
            Event::Head => {}
            Event::Data(range) => body.extend_from_slice(&input[range]),
            Event::End | Event::NeedMore => return,
        }
        input = &input[used..];
    }
}

/// What does it cost to write a small response?
fn encode_response(criterion: &mut Criterion) {
    let mut decoder = Decoder::new(Limits::default());
    requests::decode(&mut decoder, SMALL);
    let exchange = decoder.head().exchange();
    let parts = requests::response();
    let mut out = Vec::with_capacity(1024);
    criterion.bench_function("encode a small response", |bencher| {
        bencher.iter(|| {
            out.clear();
            requests::encode(black_box(&parts), &exchange, &mut out);
            black_box(&out);
        });
    });
}

/// How many requests a second could one core answer if sockets and apps cost nothing? Sixteen in a buffer, as a load
/// generator that pipelines sends them, and sixteen responses behind each other.
fn pipelined_16(criterion: &mut Criterion) {
    let input = SMALL.repeat(16);
    let mut decoder = Decoder::new(Limits::default());
    let parts = requests::response();
    let mut out = Vec::with_capacity(16 * 1024);
    let mut group = criterion.benchmark_group("pipelined");
    group.throughput(Throughput::Elements(16));
    group.bench_function("16 requests and responses", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut rest = black_box(&input[..]);
            while !rest.is_empty() {
                let used = requests::decode(&mut decoder, rest);
                requests::encode(&parts, &decoder.head().exchange(), &mut out);
                decoder.next_request();
                rest = &rest[used..];
            }
            black_box(&out);
        });
    });
    group.finish();
}

//! RESP: requests parsed, replies encoded.
//!
//! `cargo bench --bench resp`; times are for a whole input, of which the names tell the contents.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use verbena::resp::{Limits, Protocol, Reply, RequestParser};

const GET: &str = "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000012345\r\n";

fn set(len: usize) -> String {
    format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000012345\r\n${len}\r\n{}\r\n", "v".repeat(len))
}

fn mset(pairs: usize) -> String {
    let pair = "$16\r\nkey:000000012345\r\n$5\r\nvalue\r\n";
    format!("*{}\r\n$4\r\nMSET\r\n{}", 1 + 2 * pairs, pair.repeat(pairs))
}

fn parse(c: &mut Criterion) {
    let limits = Limits::authenticated(512 << 20);
    let mut group = c.benchmark_group("parse");
    for (name, input) in [
        ("get", GET.to_owned()),
        ("get x 64", GET.repeat(64)),
        ("set of 64 bytes", set(64)),
        ("set of 16 KiB", set(16 << 10)),
        ("mset of 100 pairs", mset(100)),
        ("inline", "GET key:000000012345\r\n".to_owned()),
    ] {
        let mut parser = RequestParser::default();
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let input = black_box(input.as_bytes());
                parser.begin(0);
                let mut end = 0;
                while let Ok(Some(request)) = parser.parse(input, &limits) {
                    black_box(parser.args(input, &request).len());
                    end = request.end;
                }
                assert_eq!(end, input.len());
                parser.begin(end);
            });
        });
    }
}

/// What a benchmark encodes.
type Encode = fn(&mut Reply<'_>);

fn encode(c: &mut Criterion) {
    let replies: [(&str, Encode); 5] = [
        ("ok", |reply| reply.ok()),
        ("integer", |reply| reply.integer(black_box(1_234_567))),
        ("bulk of 64 bytes", |reply| reply.bulk(black_box(&[b'v'; 64]))),
        ("bulk of 16 KiB", |reply| reply.bulk(black_box(&[b'v'; 16 << 10]))),
        ("map of 100 pairs", |reply| {
            reply.map(100);
            for number in 0..100 {
                reply.bulk(black_box(b"field"));
                reply.bulk_integer(number);
            }
        }),
    ];
    let mut space = vec![0; 64 << 10];
    for (group, protocol) in [("encode resp2", Protocol::Resp2), ("encode resp3", Protocol::Resp3)]
    {
        let mut group = c.benchmark_group(group);
        for (name, write) in replies {
            group.bench_function(name, |bench| {
                bench.iter(|| {
                    let mut reply = Reply::new(&mut space, protocol);
                    write(&mut reply);
                    reply.written()
                });
            });
        }
    }
}

criterion_group!(benches, parse, encode);
criterion_main!(benches);

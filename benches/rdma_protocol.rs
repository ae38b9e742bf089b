//! The RDMA stream protocol, without a device: what its bookkeeping adds to a request and its reply.
//!
//! `cargo bench --bench rdma_protocol`; two state machines are joined by hand, and their work requests
//! complete at once.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use verbena_transport::rdma::protocol::{Config, Protocol, Region, Role, WorkRequest};

const REGION: usize = 1 << 20;

fn side(role: Role, rkey: u32) -> Protocol {
    let config = Config {
        role,
        region: Region { addr: 0x10_0000, length: REGION as u32, rkey },
        receives: 1024,
        send_buffer: 256 << 10,
        send_queue: 128,
        max_inline: 128,
        keepalive: Some(Duration::from_secs(3)),
        handshake_timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(30),
    };
    let mut protocol = Protocol::new(config, Instant::now());
    protocol.established();
    protocol
}

/// Has `from` post all it has to send, as if it completed and arrived at once.
fn carry(from: &mut Protocol, to: &mut Protocol, completions: &mut VecDeque<()>) {
    while let Some(work) = from.poll_transmit() {
        let signalled = match work {
            WorkRequest::Control { message, signalled } => {
                to.message_received(&message);
                signalled
            }
            WorkRequest::Write { immediate, signalled, .. } => {
                if let Some(announced) = immediate {
                    to.write_received(announced);
                }
                signalled
            }
        };
        completions.extend(signalled.then_some(()));
    }
    for () in completions.drain(..) {
        from.send_completed();
    }
    black_box(to.poll_receives());
}

/// Moves `n` bytes from one side to the other, and has them consumed there.
fn send(from: &mut Protocol, to: &mut Protocol, mut n: usize, completions: &mut VecDeque<()>) {
    while n > 0 {
        let space = from.space().len().min(n);
        from.write(space);
        n -= space;
        carry(from, to, completions);
        while !to.received().is_empty() {
            to.consume(to.received().len());
            carry(to, from, completions);
            carry(from, to, completions);
        }
    }
}

fn round_trips(c: &mut Criterion) {
    let mut group = c.benchmark_group("round trip");
    for (name, request, reply) in [
        ("get of 64 bytes", 40, 72),
        ("get of 16 KiB", 40, 16 << 10),
        ("get of 1 MiB", 40, 1 << 20),
    ] {
        let (mut client, mut server) = (side(Role::Client, 1), side(Role::Server, 2));
        let mut completions = VecDeque::new();
        carry(&mut client, &mut server, &mut completions);
        carry(&mut server, &mut client, &mut completions);
        group.throughput(Throughput::Bytes((request + reply) as u64));
        group.bench_function(name, |bench| {
            bench.iter(|| {
                send(&mut client, &mut server, request, &mut completions);
                send(&mut server, &mut client, reply, &mut completions);
            });
        });
        assert_eq!((client.closed(), server.closed()), (None, None));
    }
}

criterion_group!(benches, round_trips);
criterion_main!(benches);

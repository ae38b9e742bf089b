//! The command core: GET and SET through session, dispatch and keyspace, with no socket under them;
//! shards that threads fight over and shards that they do not; a table that grows.
//!
//! `cargo bench --bench core`; times are for one request, or for one entry of a table.

use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::Barrier;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use verbena::config::Settings;
use verbena::keyspace::{Key, Table};
use verbena::state::Server;
use verbena::value::Entry;
use verbena::value::entry::Value;
use verbena::worker::Worker;
use verbena::{server, session};
use verbena_transport::{Connection, ConnectionInfo, Endpoint, unix};

/// Keys that requests are drawn from.
const KEYS: u32 = 100_000;

/// Bytes of a value.
const VALUE: usize = 64;

/// Different batches of requests: enough that they do not repeat before the caches have forgotten
/// their keys.
const BATCHES: usize = 4096;

/// A connection whose peer sends the same batches over and over, and reads no replies.
struct Feed {
    info: ConnectionInfo,
    batches: Rc<[Vec<u8>]>,
    /// Batches that are still to come.
    left: u64,
    current: usize,
    space: Vec<u8>,
}

impl Feed {
    fn new(batches: Rc<[Vec<u8>]>, count: u64) -> Self {
        let endpoint = Endpoint::Path("bench".into());
        Feed {
            info: ConnectionInfo {
                backend: &unix::BACKEND,
                peer: endpoint.clone(),
                local: endpoint,
                fd: None,
                certificate: None,
            },
            batches,
            left: count,
            current: 0,
            space: vec![0; 64 << 10],
        }
    }
}

impl Connection for Feed {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Ok(0));
        }
        self.left -= 1;
        self.current = (self.current + 1) % self.batches.len();
        Poll::Ready(Ok(self.batches[self.current].len()))
    }

    fn expect(&mut self, _: usize) {}

    fn buffers(&mut self) -> (&[u8], &mut [u8]) {
        (&self.batches[self.current], &mut self.space)
    }

    fn advance(&mut self, received: usize, _: usize) {
        assert_eq!(received, self.batches[self.current].len(), "a batch holds whole requests");
    }

    fn queue(&mut self, chunk: Bytes) {
        black_box(chunk);
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn unsent(&self) -> usize {
        0
    }

    fn memory(&self) -> (usize, usize) {
        (0, self.space.len())
    }

    fn shutdown(&mut self) {}
}

fn server(workers: usize) -> &'static Server {
    let settings = Settings { io_threads: workers, ..Settings::default() };
    server::new(settings, None).0
}

fn encode(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn key(number: u32) -> String {
    format!("key:{number:012}")
}

fn request(out: &mut Vec<u8>, command: &str, key: &str) {
    match command {
        "GET" => encode(out, &[b"GET", key.as_bytes()]),
        _ => encode(out, &[b"SET", key.as_bytes(), &[b'v'; VALUE]]),
    }
}

/// Batches of `pipeline` requests, for keys drawn at random.
fn batches(command: &str, pipeline: usize) -> Rc<[Vec<u8>]> {
    let mut random = StdRng::seed_from_u64(7);
    (0..BATCHES)
        .map(|_| {
            let mut batch = Vec::new();
            for _ in 0..pipeline {
                request(&mut batch, command, &key(random.random_range(0..KEYS)));
            }
            batch
        })
        .collect()
}

/// Serves `count` batches on worker `index`, and says how long that took.
fn serve(server: &'static Server, index: usize, batches: Rc<[Vec<u8>]>, count: u64) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let worker = Rc::new(Worker::new(server, index));
    let feed = Box::new(Feed::new(batches, count));
    let record = server.clients.register(feed.info.clone(), worker.refresh_clock(), session::SIZE);
    let id = record.id;
    let started = Instant::now();
    runtime.block_on(session::serve(worker, feed, record));
    let elapsed = started.elapsed();
    server.clients.remove(id);
    elapsed
}

fn core(c: &mut Criterion) {
    let server = server(1);
    let fill: Rc<[_]> = (0..KEYS)
        .map(|number| {
            let mut batch = Vec::new();
            request(&mut batch, "SET", &key(number));
            batch
        })
        .collect();
    serve(server, 0, fill, u64::from(KEYS));
    let mut group = c.benchmark_group("core");
    for command in ["GET", "SET"] {
        for pipeline in [1, 64] {
            let batches = batches(command, pipeline);
            group.throughput(Throughput::Elements(pipeline as u64));
            group.bench_function(BenchmarkId::new(command, pipeline), |bench| {
                bench.iter_custom(|count| serve(server, 0, batches.clone(), count));
            });
        }
    }
}

/// Two threads that write: to keys of one shard, or each to a shard of its own.
fn shards(c: &mut Criterion) {
    const THREADS: usize = 2;
    let server = server(THREADS);
    let mut group = c.benchmark_group("shards");
    for (name, tags) in [("contended", ["{same}", "{same}"]), ("uncontended", ["{one}", "{two}"])] {
        group.throughput(Throughput::Elements(THREADS as u64));
        group.bench_function(name, |bench| {
            bench.iter_custom(|count| {
                let barrier = Barrier::new(THREADS);
                std::thread::scope(|scope| {
                    let threads: Vec<_> = (0..THREADS)
                        .map(|index| {
                            let (barrier, tag) = (&barrier, tags[index]);
                            scope.spawn(move || {
                                let mut batch = Vec::new();
                                request(&mut batch, "SET", &format!("{tag}{index}"));
                                barrier.wait();
                                serve(server, index, Rc::new([batch]), count)
                            })
                        })
                        .collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
                })
            });
        });
    }
}

fn table(c: &mut Criterion) {
    let mut group = c.benchmark_group("table");
    for len in [100u32, 10_000, 1_000_000] {
        let names: Vec<String> = (0..len).map(key).collect();
        group.throughput(Throughput::Elements(u64::from(len)));
        group.sample_size(10);
        group.bench_function(BenchmarkId::new("growth", len), |bench| {
            bench.iter_with_large_drop(|| {
                let mut table = Table::default();
                for name in &names {
                    let key = Key::new(name.as_bytes());
                    table.insert(key.hash, Entry::new(key.bytes, Value::Int(1), None));
                }
                table
            });
        });
    }
}

criterion_group!(benches, core, shards, table);
criterion_main!(benches);

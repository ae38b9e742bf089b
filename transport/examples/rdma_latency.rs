//! Round trips and bandwidth of the transport itself, with nothing above it: an echo thread and a
//! client thread, to compare with perftest's `ib_send_lat` and `ib_write_bw`.
//!
//! `rdma_latency [--tcp] [--poll-us N] [--size BYTES] [--count N] [--reply BYTES]
//! [--one-thread]`: sends requests
//! of `--size` bytes one at a time, each answered by `--reply` bytes (the same as the request if not
//! given). `--one-thread` has both ends in one thread: all work and no waiting, for a profile.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use verbena_transport::rdma::{self, RdmaOptions};
use verbena_transport::{Connection, Endpoint, RdmaClientOptions, Target, connect, tcp};

#[derive(Clone, Copy)]
struct Options {
    tcp: bool,
    poll_us: i64,
    size: usize,
    reply: usize,
    count: usize,
    one_thread: bool,
}

fn options() -> Options {
    let mut options =
        Options { tcp: false, poll_us: -1, size: 64, reply: 0, count: 20_000, one_thread: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().and_then(|value| value.parse().ok()).expect("a number");
        match arg.as_str() {
            "--tcp" => options.tcp = true,
            "--poll-us" => options.poll_us = value(),
            "--one-thread" => options.one_thread = true,
            "--size" => options.size = value() as usize,
            "--reply" => options.reply = value() as usize,
            "--count" => options.count = value() as usize,
            other => panic!("unknown option {other}"),
        }
    }
    if options.reply == 0 {
        options.reply = options.size;
    }
    options
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.expect("a runtime").block_on(future)
}

/// Waits until `n` bytes have arrived.
async fn receive(connection: &mut dyn Connection, n: usize) -> bool {
    poll_fn(|cx| {
        loop {
            if connection.buffers().0.len() >= n {
                return std::task::Poll::Ready(true);
            }
            connection.expect(n);
            match connection.poll_receive(cx) {
                std::task::Poll::Ready(Ok(0) | Err(_)) => return std::task::Poll::Ready(false),
                std::task::Poll::Ready(Ok(_)) => {}
                std::task::Poll::Pending => return std::task::Poll::Pending,
            }
        }
    })
    .await
}

async fn send(connection: &mut dyn Connection, message: &Bytes) {
    let (_, space) = connection.buffers();
    if space.len() >= message.len() && message.len() <= 16 << 10 {
        space[..message.len()].copy_from_slice(message);
        connection.advance(0, message.len());
    } else {
        connection.queue(message.clone());
    }
    poll_fn(|cx| connection.poll_flush(cx)).await.expect("flushes");
}

async fn serve(options: Options, ready: oneshot::Sender<SocketAddr>) {
    let ip = std::env::var("VERBENA_RDMA_ADDR").unwrap_or_else(|_| "192.168.77.1".into());
    let addr = SocketAddr::new(ip.parse().expect("an address"), 0);
    let mut listener = if options.tcp {
        let options = tcp::TcpOptions { backlog: 16, ..tcp::TcpOptions::default() };
        tcp::listen(addr, &options).expect("listens")
    } else {
        let poll_us = options.poll_us.into();
        rdma::listen(addr, Arc::new(RdmaOptions { poll_us, ..RdmaOptions::default() }))
            .expect("listens")
    };
    if let Endpoint::Ip(addr) = listener.local() {
        ready.send(addr).expect("the client waits");
    }
    let incoming = poll_fn(|cx| listener.poll_accept(cx)).await.expect("accepts");
    let mut connection = incoming.attach().expect("attaches");
    let reply = Bytes::from(vec![7; options.reply]);
    while receive(&mut *connection, options.size).await {
        connection.advance(options.size, 0);
        send(&mut *connection, &reply).await;
    }
}

/// Microseconds of each round trip.
async fn measure(options: Options, addr: SocketAddr) -> Vec<f64> {
    let (host, port) = (addr.ip().to_string(), addr.port());
    let target = if options.tcp {
        Target::tcp(host, port)
    } else {
        let poll_us = options.poll_us;
        Target::rdma(host, port, RdmaClientOptions { poll_us, ..Default::default() })
    };
    let mut connection = connect(&target).await.expect("connects");
    let request = Bytes::from(vec![3; options.size]);
    let mut times = Vec::with_capacity(options.count * 11 / 10);
    let mut start = Instant::now();
    for _ in 0..options.count * 11 / 10 {
        send(&mut *connection, &request).await;
        assert!(receive(&mut *connection, options.reply).await, "the server answers");
        connection.advance(options.reply, 0);
        let end = Instant::now();
        times.push((end - start).as_secs_f64() * 1e6);
        start = end;
    }
    // The first are a warm-up.
    times.split_off(options.count / 10)
}

fn main() {
    let options = options();
    let (ready, listening) = oneshot::channel();
    let mut times = if options.one_thread {
        block_on(async move {
            tokio::task::spawn_local(serve(options, ready));
            measure(options, listening.await.expect("the server starts")).await
        })
    } else {
        let server = std::thread::spawn(move || block_on(serve(options, ready)));
        let addr = listening.blocking_recv().expect("the server starts");
        let times = block_on(measure(options, addr));
        server.join().expect("the server ends");
        times
    };
    times.sort_by(f64::total_cmp);
    let at = |quantile: f64| times[((times.len() - 1) as f64 * quantile) as usize];
    let bytes = (options.size + options.reply) as f64 * times.len() as f64;
    println!(
        "{} poll_us {} size {} reply {}: round trip p50 {:.1} us, p10 {:.1} us, p99 {:.1} us, min {:.1} us; {:.1} MB/s",
        if options.tcp { "tcp" } else { "rdma" },
        options.poll_us,
        options.size,
        options.reply,
        at(0.5),
        at(0.1),
        at(0.99),
        at(0.0),
        bytes / times.iter().sum::<f64>(),
    );
    if !options.tcp {
        println!("{:?}", rdma::stats());
    }
}

//! The raw-verbs floor: a ping-pong and a stream of SENDs between two queue pairs of one device, both
//! sides polling, on the `ibverbs` crate and nothing of Verbena's transport, so that it measures the
//! device. Prints one JSON object per size.
//!
//! Needs an RDMA device; `scripts/lab-report` runs it where soft-RoCE is.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use ibverbs::{
    CompletionQueue, Context, MemoryRegion, PreparedQueuePair, QueuePair, QueuePairEndpoint,
    ibv_qp_type, ibv_wc,
};

#[derive(Parser)]
struct Options {
    /// Message sizes in bytes.
    #[arg(long, value_delimiter = ',', default_value = "16,64,1024,16384,65536,1048576")]
    sizes: Vec<usize>,
    /// Round trips of each size.
    #[arg(long, default_value_t = 2000)]
    rounds: u64,
    /// Bytes streamed to measure the bandwidth of each size.
    #[arg(long, default_value_t = 32 << 20)]
    stream: usize,
    /// The device's address to use, as an index of its GID table; by default the last IPv4 one.
    #[arg(long)]
    gid: Option<u32>,
}

/// Messages under way while streaming.
const WINDOW: usize = 16;

/// Time without a completion after which a peer is given up for lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Retries without limit where the peer has no receive posted.
const RNR_RETRY_FOREVER: u8 = 7;

/// Retries of a packet that was not acknowledged, and the wait before each: 4.096 µs × 2^14, 67 ms.
/// An emulated machine may not get to run for many milliseconds.
const RETRIES: u8 = 7;
const RETRY_TIMEOUT: u8 = 14;

const SEND: u64 = 1;
const RECEIVE: u64 = 2;

fn main() -> io::Result<()> {
    let options = Options::parse();
    let devices = ibverbs::devices()?;
    let device = devices.get(0).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "no RDMA device: scripts/soft-roce up makes one")
    })?;
    let context = device.open()?;
    let gid = match options.gid {
        Some(gid) => gid,
        // An IPv4 address is mapped into IPv6: ::ffff:a.b.c.d.
        None => context
            .gid_table()
            .iter()
            .rfind(|entry| {
                entry.gid.subnet_prefix() == 0 && entry.gid.interface_id() >> 32 == 0xffff
            })
            .map(|entry| entry.gid_index)
            .unwrap_or(1),
    };
    for &size in &options.sizes {
        measure(&context, gid, size, &options)?;
    }
    Ok(())
}

fn measure(context: &Context, gid: u32, size: usize, options: &Options) -> io::Result<()> {
    let (main_end, echo_end) = Rendezvous::pair();
    let messages = (options.stream / size).max(WINDOW);
    let rounds = options.rounds.min((64 << 20) / size as u64).max(20);
    thread::scope(|scope| {
        let echo = scope.spawn(move || -> io::Result<()> {
            let mut side = Side::new(context, gid, size, echo_end)?;
            for _ in 0..rounds {
                side.wait(RECEIVE)?;
                side.post_receive()?;
                side.send()?;
            }
            // The stream: take it all, then say so.
            for _ in 0..messages {
                side.wait(RECEIVE)?;
                side.post_receive()?;
            }
            side.send()?;
            side.wait(SEND)
        });
        let figures = drive(context, gid, size, main_end, rounds, messages);
        let echoed = echo.join().expect("the echo side does not panic");
        match (figures, echoed) {
            (Ok(figures), Ok(())) => println!("{figures}"),
            // A side that only waited in vain does not know why.
            (Err(error), Err(cause)) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(cause);
            }
            (Err(error), _) | (Ok(_), Err(error)) => return Err(error),
        }
        Ok(())
    })
}

/// Measures the round trips to the echo side and then the stream to it; returns a JSON object.
fn drive(
    context: &Context,
    gid: u32,
    size: usize,
    rendezvous: Rendezvous,
    rounds: u64,
    messages: usize,
) -> io::Result<serde_json::Value> {
    let mut side = Side::new(context, gid, size, rendezvous)?;
    let mut times = Histogram::<u64>::new_with_bounds(1, PATIENCE.as_nanos() as u64, 3)
        .expect("three digits are allowed");
    for _ in 0..rounds {
        let started = Instant::now();
        side.send()?;
        side.wait(RECEIVE)?;
        times.saturating_record(started.elapsed().as_nanos() as u64);
        side.post_receive()?;
    }
    side.drain()?;
    let started = Instant::now();
    for _ in 0..messages {
        if side.sending == WINDOW {
            side.wait(SEND)?;
        }
        side.send()?;
    }
    side.wait(RECEIVE)?;
    let seconds = started.elapsed().as_secs_f64();
    let us = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(serde_json::json!({
        "test": "send", "size": size, "rounds": rounds,
        "p50_us": us(0.5), "p99_us": us(0.99), "max_us": us(1.0),
        "mb_per_s": (messages * size) as f64 / seconds / 1e6,
    }))
}

/// Where the two sides meet before they use the device: each tells the other where it is, and that
/// its receives are posted. If one fails, the other's waiting ends.
struct Rendezvous {
    endpoint: (mpsc::Sender<QueuePairEndpoint>, mpsc::Receiver<QueuePairEndpoint>),
    ready: (mpsc::Sender<()>, mpsc::Receiver<()>),
}

impl Rendezvous {
    fn pair() -> (Rendezvous, Rendezvous) {
        let (endpoint_to_b, endpoint_from_a) = mpsc::channel();
        let (endpoint_to_a, endpoint_from_b) = mpsc::channel();
        let (ready_to_b, ready_from_a) = mpsc::channel();
        let (ready_to_a, ready_from_b) = mpsc::channel();
        (
            Rendezvous {
                endpoint: (endpoint_to_b, endpoint_from_b),
                ready: (ready_to_b, ready_from_b),
            },
            Rendezvous {
                endpoint: (endpoint_to_a, endpoint_from_a),
                ready: (ready_to_a, ready_from_a),
            },
        )
    }
}

/// Sends to the other side, and waits for what it sends.
fn exchange<T>((tell, hear): &(mpsc::Sender<T>, mpsc::Receiver<T>), value: T) -> io::Result<T> {
    let lost = || io::Error::new(io::ErrorKind::TimedOut, "the other side ended");
    tell.send(value).map_err(|_| lost())?;
    hear.recv().map_err(|_| lost())
}

/// One end: its queue pair, its memory, and what has completed.
struct Side<'a> {
    queue: &'a CompletionQueue<'a>,
    pair: QueuePair<'a>,
    memory: MemoryRegion<u8>,
    size: usize,
    sending: usize,
    sent: usize,
    received: usize,
}

impl<'a> Side<'a> {
    fn new(
        context: &'a Context,
        gid: u32,
        size: usize,
        rendezvous: Rendezvous,
    ) -> io::Result<Self> {
        // They live until the process ends: a handful of sizes, measured once.
        let queue: &CompletionQueue<'_> = Box::leak(Box::new(context.create_cq(64, 0)?));
        let domain = Box::leak(Box::new(context.alloc_pd()?));
        let prepared: PreparedQueuePair<'_> = domain
            .create_qp(queue, queue, ibv_qp_type::IBV_QPT_RC)
            .set_gid_index(gid)
            .set_max_send_wr(WINDOW as u32 * 2)
            .set_max_recv_wr(WINDOW as u32 * 2)
            .set_rnr_retry(RNR_RETRY_FOREVER)
            .set_retry_count(RETRIES)
            .set_timeout(RETRY_TIMEOUT)
            .build()?;
        let peer = exchange(&rendezvous.endpoint, prepared.endpoint())?;
        let pair = prepared.handshake(peer)?;
        // The first half is received into, the second sent from.
        let memory = domain.allocate::<u8>(size * 2)?;
        let mut side = Side { queue, pair, memory, size, sending: 0, sent: 0, received: 0 };
        for _ in 0..WINDOW * 2 {
            side.post_receive()?;
        }
        // Nothing is sent before both sides can receive: the crate's handshake makes a queue pair
        // ready to send at once, and has no step between at which to post.
        exchange(&rendezvous.ready, ())?;
        Ok(side)
    }

    fn post_receive(&mut self) -> io::Result<()> {
        // SAFETY: the memory lives as long as the queue pair, and nobody reads what arrives.
        unsafe { self.pair.post_receive(&mut self.memory, ..self.size, RECEIVE) }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.sending >= WINDOW {
            self.poll()?;
        }
        self.sending += 1;
        // SAFETY: the memory lives as long as the queue pair, and nobody writes to this half.
        unsafe { self.pair.post_send(&mut self.memory, self.size.., SEND) }
    }

    fn poll(&mut self) -> io::Result<()> {
        let mut completions = [ibv_wc::default(); WINDOW];
        let completed = self.queue.poll(&mut completions)?;
        for completion in completed {
            if let Some((status, code)) = completion.error() {
                return Err(io::Error::other(format!("a work request failed: {status} ({code})")));
            }
            if completion.wr_id() == SEND {
                self.sending -= 1;
                self.sent += 1;
            } else {
                self.received += 1;
            }
        }
        Ok(())
    }

    /// Waits for one completion of this kind.
    fn wait(&mut self, kind: u64) -> io::Result<()> {
        let started = Instant::now();
        let mut turns = 0u32;
        loop {
            let count = if kind == SEND { &mut self.sent } else { &mut self.received };
            if *count > 0 {
                *count -= 1;
                return Ok(());
            }
            self.poll()?;
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(1 << 20) && started.elapsed() > PATIENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the other side is silent"));
            }
        }
    }

    /// Waits until nothing is being sent.
    fn drain(&mut self) -> io::Result<()> {
        while self.sending > 0 {
            self.poll()?;
        }
        self.sent = 0;
        Ok(())
    }
}

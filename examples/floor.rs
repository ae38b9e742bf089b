//! The floor that Verbena is measured against: the same transports on the same runtime, and a
//! responder that does nothing: it counts requests and answers a constant for each.
//!
//! `cargo run --release --example floor -- --port 6390 [--io-threads 1] [--size 64]`
//!
//! A request is counted by its `*`, which the keys of the benchmarks do not contain.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;

use bytes::Bytes;
use clap::Parser;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use verbena_transport::{Connection, Incoming, event_loop, tcp};

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 6390)]
    port: u16,
    #[arg(long, default_value_t = 1)]
    io_threads: usize,
    /// Bytes of the value in the constant answer.
    #[arg(long, default_value_t = 64)]
    size: usize,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let answer = Bytes::from(format!("${}\r\n{}\r\n", options.size, "x".repeat(options.size)));
    let mut workers = Vec::new();
    for _ in 0..options.io_threads {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Box<dyn Incoming>>();
        let answer = answer.clone();
        std::thread::spawn(move || {
            let serve = event_loop::block_on(async move {
                while let Some(incoming) = receiver.recv().await {
                    if let Ok(connection) = incoming.attach() {
                        event_loop::spawn_local(respond(connection, answer.clone()));
                    }
                }
            });
            serve.expect("an event loop");
        });
        workers.push(sender);
    }
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let addr = SocketAddr::from(([127, 0, 0, 1], options.port));
        let listen = tcp::TcpOptions::default();
        let mut listener = tcp::listen(addr, &listen)?;
        println!("Ready to accept connections tcp");
        for turn in (0..workers.len()).cycle() {
            let incoming = poll_fn(|cx| listener.poll_accept(cx)).await?;
            workers[turn].send(incoming).expect("workers do not end");
        }
        Ok(())
    })
}

async fn respond(mut connection: Box<dyn Connection>, answer: Bytes) {
    let mut spill = Vec::new();
    loop {
        let received = poll_fn(|cx| {
            if connection.unsent() > 0
                && let Poll::Ready(Err(error)) = connection.poll_flush(cx)
            {
                return Poll::Ready(Err(error));
            }
            connection.poll_receive(cx)
        });
        if !matches!(received.await, Ok(1..)) {
            return;
        }
        let (received, space) = connection.buffers();
        let requests = received.iter().filter(|byte| **byte == b'*').count();
        let len = received.len();
        let fits = (space.len() / answer.len()).min(requests);
        for chunk in space.chunks_exact_mut(answer.len()).take(fits) {
            chunk.copy_from_slice(&answer);
        }
        for _ in fits..requests {
            spill.extend_from_slice(&answer);
        }
        connection.advance(len, fits * answer.len());
        if !spill.is_empty() {
            connection.queue(Bytes::from(std::mem::take(&mut spill)));
        }
    }
}

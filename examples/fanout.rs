//! Loads of clients that are sent what others do, for `scripts/bench pushes`.
//!
//! `cargo run --release --example fanout -- --port 6379 publish|track|idle [--clients N] [--seconds S]`
//!
//! - `publish`: some clients publish to one channel, `--in-flight` messages at a time each, to which
//!   `--clients` others have subscribed. Counts the messages that these receive, which must be as many as
//!   the publishers were told.
//! - `track`: `--clients` clients have read one key and track it. A writer changes it again and again, as
//!   soon as all of them were told and have read it anew. Counts its writes.
//! - `idle`: `--clients` clients subscribe to one channel each, and stay until the input ends. Says `ready`
//!   when they have.
//!
//! Prints one JSON object. The exit status is 1 if a message was lost.

use std::cell::{Cell, RefCell};
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

#[derive(Parser, Clone)]
struct Options {
    #[arg(long, default_value_t = 6379)]
    port: u16,
    mode: Mode,
    #[arg(long, default_value_t = 100)]
    clients: usize,
    #[arg(long, default_value_t = 10)]
    publishers: usize,
    /// Messages that each publisher sends before it waits for their replies.
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Publish,
    Track,
    Idle,
}

/// Bytes of a message.
const LEN: usize = 64;

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tasks = LocalSet::new();
    let run = tasks.run_until(async {
        match options.mode {
            Mode::Publish => publish(&options).await,
            Mode::Track => track(&options).await,
            Mode::Idle => idle(&options).await,
        }
    });
    match runtime.block_on(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fanout: {error}");
            ExitCode::FAILURE
        }
    }
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
    request.into_bytes()
}

/// A connection on which `requests` have been answered.
async fn connect(port: u16, requests: &[&[&str]]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    for words in requests {
        stream.write_all(&request(words)).await?;
    }
    stream.write_all(&request(&["PING", "ready"])).await?;
    let mut received = Vec::new();
    while !received.ends_with(b"ready\r\n") {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(stream)
}

async fn publish(options: &Options) -> io::Result<bool> {
    let message = "m".repeat(LEN);
    let size = request(&["message", "c", &message]).len();
    let received = Rc::new(Cell::new(0));
    for _ in 0..options.clients {
        let mut stream = connect(options.port, &[&["SUBSCRIBE", "c"]]).await?;
        let received = received.clone();
        spawn_local(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(len @ 1..) = stream.read(&mut buffer).await {
                received.set(received.get() + len);
            }
        });
    }
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(options.seconds);
    let mut publishers = Vec::new();
    for _ in 0..options.publishers {
        let mut stream = connect(options.port, &[&["PING"]]).await?;
        let batch = request(&["PUBLISH", "c", &message]).repeat(options.in_flight);
        let in_flight = options.in_flight;
        publishers.push(spawn_local(async move {
            let (mut batches, mut buffer) = (0, vec![0; 4096]);
            while Instant::now() < end {
                stream.write_all(&batch).await?;
                let mut left = in_flight;
                while left > 0 {
                    let len = stream.read(&mut buffer).await?;
                    left -= buffer[..len].iter().filter(|byte| **byte == b'\n').count();
                }
                batches += 1;
            }
            io::Result::Ok(batches * in_flight)
        }));
    }
    let mut published = 0;
    for publisher in publishers {
        published += publisher.await.expect("it does not panic")?;
    }
    let expected = published * options.clients * size;
    let all = async {
        while received.get() < expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let complete = timeout(PATIENCE, all).await.is_ok() && received.get() == expected;
    let seconds = started.elapsed().as_secs_f64();
    let delivered = received.get() / size;
    println!(
        "{{\"delivered\": {delivered}, \"per_second\": {:.0}, \"seconds\": {seconds:.3}, \
         \"complete\": {complete}}}",
        delivered as f64 / seconds
    );
    Ok(complete)
}

/// What the tracking clients and the writer share.
#[derive(Default)]
struct Round {
    /// Clients that have read the key since it was last written.
    fresh: Cell<usize>,
    all_fresh: Notify,
    failed: RefCell<Option<io::Error>>,
}

async fn track(options: &Options) -> io::Result<bool> {
    let round = Rc::new(Round::default());
    let setup: &[&[&str]] = &[&["HELLO", "3"], &["CLIENT", "TRACKING", "ON"], &["GET", "k"]];
    let mut writer = connect(options.port, &[&["SET", "k", "v"]]).await?;
    for _ in 0..options.clients {
        let stream = connect(options.port, setup).await?;
        let (round, clients) = (round.clone(), options.clients);
        spawn_local(async move {
            if let Err(error) = reread(stream, &round, clients).await {
                *round.failed.borrow_mut() = Some(error);
                round.all_fresh.notify_one();
            }
        });
    }
    let write = request(&["SET", "k", "v"]);
    let (started, mut writes) = (Instant::now(), 0);
    while started.elapsed().as_secs_f64() < options.seconds {
        round.fresh.set(0);
        writer.write_all(&write).await?;
        let mut reply = [0; 5];
        writer.read_exact(&mut reply).await?;
        let told = timeout(PATIENCE, round.all_fresh.notified()).await;
        if let Some(error) = round.failed.take() {
            return Err(error);
        }
        if told.is_err() {
            println!("{{\"writes\": {writes}, \"told\": {}}}", round.fresh.get());
            return Ok(false);
        }
        writes += 1;
    }
    let per_second = f64::from(writes) / started.elapsed().as_secs_f64();
    println!("{{\"writes\": {writes}, \"per_second\": {per_second:.1}}}");
    Ok(true)
}

/// Reads the key anew whenever the client is told that it has changed.
async fn reread(mut stream: TcpStream, round: &Round, clients: usize) -> io::Result<()> {
    const INVALIDATION: &[u8] = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    const VALUE: &[u8] = b"$1\r\nv\r\n";
    let read = request(&["GET", "k"]);
    let mut received = Vec::new();
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        loop {
            if let Some(rest) = received.strip_prefix(INVALIDATION) {
                received = rest.to_vec();
                stream.write_all(&read).await?;
            } else if let Some(rest) = received.strip_prefix(VALUE) {
                received = rest.to_vec();
                round.fresh.set(round.fresh.get() + 1);
                if round.fresh.get() == clients {
                    round.all_fresh.notify_one();
                }
            } else if INVALIDATION.starts_with(&received) || VALUE.starts_with(&received) {
                break;
            } else {
                return Err(io::Error::other(format!("received {received:?}")));
            }
        }
    }
}

async fn idle(options: &Options) -> io::Result<bool> {
    let mut clients = Vec::new();
    for number in 0..options.clients {
        let channel = format!("channel {number}");
        clients.push(connect(options.port, &[&["SUBSCRIBE", &channel]]).await?);
    }
    println!("ready");
    // Nothing arrives meanwhile.
    std::io::Read::read_to_end(&mut io::stdin(), &mut Vec::new())?;
    Ok(true)
}

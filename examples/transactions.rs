//! Transactions over random counters, whose sum is checked: no increment may be lost, and every
//! request must be answered.
//!
//! `cargo run --release --example transactions -- --port 6379 [--seconds 60] [--clients 50]`
//!
//! Half of the transactions are optimistic: they watch two counters, read them, and write them back
//! incremented, again and again until EXEC is not refused. The others increment several counters by
//! INCR. At the end the sum of all counters must be the increments that EXEC has acknowledged.
//!
//! Prints one JSON object. The exit status is 1 if an increment was lost or a reply did not come.

use std::cell::Cell;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;
use verbena::tools::client::{Client, Value};
use verbena_transport::Target;

#[derive(Parser, Clone)]
struct Options {
    #[arg(long, default_value_t = 6379)]
    port: u16,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Counters; the fewer there are, the more transactions meet.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..))]
    keys: u32,
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Seconds without a reply after which a deadlock is reported.
    #[arg(long, default_value_t = 10)]
    patience: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Counters that a transaction of INCRs increments.
const INCREMENTS: usize = 8;

/// What a client has done so far.
#[derive(Default)]
struct Done {
    optimistic: Cell<u64>,
    increments: Cell<u64>,
    /// Times that EXEC was refused because a watched counter had changed.
    conflicts: Cell<u64>,
    /// What the counters must add up to.
    sum: Cell<u64>,
    replies: Cell<u64>,
    ended: Cell<bool>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("transactions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<bool> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let mut control = connect(options).await?;
        let counters: Vec<String> = (0..options.keys).map(counter).collect();
        call(&mut control, &[&["DEL".to_owned()], &counters[..]].concat()).await?;

        let started = Instant::now();
        let deadline = started + Duration::from_secs_f64(options.seconds);
        let all: Vec<Rc<Done>> = (0..options.clients).map(|_| Rc::default()).collect();
        let mut tasks = JoinSet::new();
        for (index, done) in (0u64..).zip(&all) {
            let random = fastrand::Rng::with_seed(options.seed << 32 | index);
            tasks.spawn_local(work(options.clone(), random, deadline, done.clone()));
        }
        tokio::select! {
            result = join(&mut tasks) => result?,
            error = watch(options, &all) => return Err(error),
        }
        let elapsed = started.elapsed().as_secs_f64();

        let values = call(&mut control, &[&["MGET".to_owned()], &counters[..]].concat()).await?;
        let found =
            values.as_slice().unwrap_or_default().iter().map(number).sum::<io::Result<u64>>()?;
        let total =
            |field: fn(&Done) -> &Cell<u64>| all.iter().map(|d| field(d).get()).sum::<u64>();
        let expected = total(|done| &done.sum);
        let transactions = total(|done| &done.optimistic) + total(|done| &done.increments);
        println!(
            "{}",
            serde_json::json!({
                "transactions": transactions,
                "per_second": transactions as f64 / elapsed,
                "optimistic": total(|done| &done.optimistic),
                "conflicts": total(|done| &done.conflicts),
                "expected": expected,
                "found": found,
                "seconds": elapsed,
            })
        );
        if found != expected {
            eprintln!("transactions: the counters add up to {found}, and should to {expected}");
        }
        Ok(found == expected)
    })
}

fn counter(number: u32) -> String {
    format!("counter:{number}")
}

async fn connect(options: &Options) -> io::Result<Client> {
    let target = Target::tcp("127.0.0.1", options.port);
    Client::connect(&target).await.map_err(io::Error::other)
}

async fn join(tasks: &mut JoinSet<io::Result<()>>) -> io::Result<()> {
    while let Some(result) = tasks.join_next().await {
        result.map_err(io::Error::other)??;
    }
    Ok(())
}

/// Returns when a client has had no reply for too long.
async fn watch(options: &Options, all: &[Rc<Done>]) -> io::Error {
    let mut interval = tokio::time::interval(Duration::from_secs(options.patience.max(1)));
    let mut before = vec![u64::MAX; all.len()];
    loop {
        interval.tick().await;
        for (index, (done, before)) in all.iter().zip(&mut before).enumerate() {
            let now = done.replies.get();
            if std::mem::replace(before, now) == now && !done.ended.get() {
                return io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("client {index} had no reply for {} s: a deadlock?", options.patience),
                );
            }
        }
    }
}

/// One client: transactions of both kinds until the time is over.
async fn work(
    options: Options,
    mut random: fastrand::Rng,
    deadline: Instant,
    done: Rc<Done>,
) -> io::Result<()> {
    let mut client = connect(&options).await?;
    while Instant::now() < deadline {
        if random.bool() {
            let first = random.u32(..options.keys);
            let second = (first + random.u32(1..options.keys)) % options.keys;
            let keys = [counter(first), counter(second)];
            while !optimistic(&mut client, &keys, &done).await? {
                add(&done.conflicts, 1);
            }
            add(&done.optimistic, 1);
        } else {
            let keys: Vec<_> =
                (0..INCREMENTS).map(|_| counter(random.u32(..options.keys))).collect();
            increment(&mut client, &keys, &done).await?;
            add(&done.increments, 1);
        }
    }
    done.ended.set(true);
    Ok(())
}

/// Reads two counters and writes them back incremented, unless they have changed meanwhile: says
/// whether that was done.
async fn optimistic(client: &mut Client, keys: &[String; 2], done: &Done) -> io::Result<bool> {
    let [first, second] = keys;
    let read =
        exchange(client, &[&["WATCH", first, second], &["GET", first], &["GET", second]], done)
            .await?;
    let next = |value| Ok::<_, io::Error>((number(value)? + 1).to_string());
    let (one, two) = (next(&read[1])?, next(&read[2])?);
    let write = exchange(
        client,
        &[&["MULTI"], &["SET", first, &one], &["SET", second, &two], &["EXEC"]],
        done,
    )
    .await?;
    committed(&write[3], 2, done)
}

/// Increments all of the counters.
async fn increment(client: &mut Client, keys: &[String], done: &Done) -> io::Result<()> {
    let commands: Vec<_> = keys.iter().map(|key| ["INCR", key]).collect();
    let mut all: Vec<&[&str]> = vec![&["MULTI"]];
    all.extend(commands.iter().map(|command| &command[..]));
    all.push(&["EXEC"]);
    let replies = exchange(client, &all, done).await?;
    if !committed(&replies[keys.len() + 1], keys.len(), done)? {
        return Err(unexpected("EXEC that watches nothing", &Value::Null));
    }
    Ok(())
}

/// Whether EXEC has done its `count` commands, each of which increments one counter.
fn committed(exec: &Value, count: usize, done: &Done) -> io::Result<bool> {
    match exec {
        Value::Null => Ok(false),
        Value::Array(replies) if replies.len() == count => {
            add(&done.sum, count as u64);
            Ok(true)
        }
        other => Err(unexpected("EXEC", other)),
    }
}

/// Sends commands in one write, and waits for their replies.
async fn exchange(client: &mut Client, all: &[&[&str]], done: &Done) -> io::Result<Vec<Value>> {
    for command in all {
        client.send(command);
    }
    client.flush().await?;
    let mut replies = Vec::with_capacity(all.len());
    for command in all {
        let reply = client.receive().await?;
        if let Value::Error(_) = reply {
            return Err(unexpected(command[0], &reply));
        }
        replies.push(reply);
    }
    add(&done.replies, 1);
    Ok(replies)
}

async fn call(client: &mut Client, command: &[String]) -> io::Result<Value> {
    match client.call(command).await? {
        error @ Value::Error(_) => Err(unexpected(&command[0], &error)),
        reply => Ok(reply),
    }
}

/// The value of a counter; one that does not exist is 0.
fn number(value: &Value) -> io::Result<u64> {
    match value {
        Value::Null => Ok(0),
        value => value
            .as_bytes()
            .and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok())
            .ok_or_else(|| unexpected("GET", value)),
    }
}

fn unexpected(command: &str, reply: &Value) -> io::Error {
    let reply = match reply {
        Value::Error(text) => String::from_utf8_lossy(text).into_owned(),
        other => format!("{other:?}"),
    };
    io::Error::other(format!("{command} was answered by {reply}"))
}

fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get() + count);
}

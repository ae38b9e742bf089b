//! Drives the connections of a test.
//!
//! Each thread has a runtime of its own and its share of the connections, and shares nothing with
//! the others but a count of the requests that are left. A connection sends a pipeline, prepares
//! the next one while the server works, and reads the clock once: at the last reply, which is also
//! when the next pipeline leaves. With `--rate`, [`open_loop`](super::open_loop) says when requests
//! leave.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::{JoinError, JoinSet};
use verbena_transport::{Backend, Connection};

use super::open_loop::{self, Schedule, Sent};
use super::options::Options;
use super::pipeline::{Command, Numbers, Pipeline};
use super::replies::Replies;
use super::workload::Test;
use crate::tools::client::Reason;

/// How often the progress is shown.
const PROGRESS: Duration = Duration::from_millis(250);

/// The longest latency that is told from longer ones: one hour, in nanoseconds.
const MAX_LATENCY: u64 = 3_600_000_000_000;

/// What a test has measured.
pub struct Outcome {
    pub transport: &'static Backend,
    pub elapsed: Duration,
    /// Nanoseconds, one count for each request.
    pub latencies: Histogram<u64>,
    pub errors: u64,
    pub first_error: Option<String>,
    /// With `--rate`.
    pub sent: Option<Sent>,
}

/// What a running test has measured so far.
pub struct Snapshot<'a> {
    pub elapsed: Duration,
    pub latencies: &'a Histogram<u64>,
}

/// Why a test came to no result.
#[derive(Debug)]
pub enum Failure {
    /// No connection.
    Setup(String),
    /// A connection broke.
    Broken(io::Error),
    /// The server answered with an error.
    Reply(String),
    /// Another thread has failed, and says why.
    Elsewhere,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Setup(text) => f.write_str(text),
            Failure::Broken(error) => write!(f, "Connection lost: {}", Reason(error)),
            Failure::Reply(text) => write!(f, "Error from server: {text}"),
            Failure::Elsewhere => f.write_str("ended early"),
        }
    }
}

/// A histogram of nanoseconds that tells values apart to three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_LATENCY, 3).expect("the bounds are constants that fit")
}

/// What the threads of a test share.
pub(super) struct Shared {
    pub(super) options: Options,
    command: Arc<Command>,
    /// Requests that no connection has taken yet, while warming up and while measuring.
    warmup: Budget,
    measured: Budget,
    /// The next number of a sequence.
    sequence: Arc<AtomicU64>,
    gate: Gate,
    /// When the measured part began.
    started: OnceLock<Instant>,
    /// Whether the threads report while they run.
    watched: bool,
    latencies: Mutex<Histogram<u64>>,
}

/// How much of a phase is left.
pub(super) struct Budget {
    taken: AtomicU64,
    requests: u64,
    pub(super) duration: Option<Duration>,
}

/// More than any test sends, and far enough from overflow.
const UNLIMITED: u64 = u64::MAX / 2;

impl Budget {
    fn new(requests: u64, seconds: Option<f64>) -> Budget {
        Budget {
            taken: AtomicU64::new(0),
            requests: if seconds.is_some() { UNLIMITED } else { requests },
            duration: seconds.map(Duration::from_secs_f64),
        }
    }

    fn is_empty(&self) -> bool {
        self.requests == 0
    }

    /// Takes up to `count` requests.
    pub(super) fn take(&self, count: u64) -> u64 {
        let taken = self.taken.fetch_add(count, Ordering::Relaxed);
        self.requests.saturating_sub(taken).min(count)
    }

    /// Leaves nothing to take.
    fn end(&self) {
        self.taken.store(UNLIMITED, Ordering::Relaxed);
    }
}

/// Where the threads wait for each other between phases, unless one has failed.
struct Gate {
    threads: u32,
    /// How many have come, counting every phase; `None` when one has failed.
    arrived: Mutex<Option<u32>>,
    moved: Condvar,
}

impl Gate {
    /// Waits until all have arrived; false if one never will.
    fn pass(&self) -> bool {
        let mut arrived = lock(&self.arrived);
        let Some(before) = *arrived else { return false };
        let all = (before / self.threads + 1) * self.threads;
        *arrived = Some(before + 1);
        self.moved.notify_all();
        loop {
            match *arrived {
                None => return false,
                Some(count) if count >= all => return true,
                Some(_) => {
                    arrived = self.moved.wait(arrived).unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }

    fn fail(&self) {
        *lock(&self.arrived) = None;
        self.moved.notify_all();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Makes every thread come to its end.
    fn fail(&self) {
        self.gate.fail();
        self.warmup.end();
        self.measured.end();
    }
}

/// What a thread hands back.
struct ThreadOutcome {
    transport: &'static Backend,
    end: Instant,
    errors: u64,
    first_error: Option<String>,
    sent: Option<Sent>,
}

/// Runs a test. `watch` sees what it has measured every quarter of a second, if `watched`.
pub fn run(
    options: &Options,
    test: &Test,
    watched: bool,
    mut watch: impl FnMut(Snapshot),
) -> Result<Outcome, Failure> {
    let threads = options.threads.min(options.clients);
    let shared = Arc::new(Shared {
        options: options.clone(),
        command: test.command.clone(),
        warmup: Budget::new(options.warmup_requests.unwrap_or(0), options.warmup),
        measured: Budget::new(options.requests, options.duration),
        sequence: Arc::default(),
        gate: Gate { threads, arrived: Mutex::new(Some(0)), moved: Condvar::new() },
        started: OnceLock::new(),
        watched,
        latencies: Mutex::new(histogram()),
    });
    let (done, finished) = mpsc::channel();
    for index in 0..threads {
        let (done, shared_here) = (done.clone(), shared.clone());
        let thread = std::thread::Builder::new().name(format!("load-{index}")).spawn(move || {
            let outcome = run_thread(&shared_here, index);
            if outcome.is_err() {
                shared_here.fail();
            }
            // Nobody listens any more if another thread could not be started.
            let _ = done.send(outcome);
        });
        if let Err(error) = thread {
            shared.fail();
            return Err(Failure::Broken(error));
        }
    }
    drop(done);
    let mut outcomes = Vec::new();
    let mut failure = None;
    loop {
        match finished.recv_timeout(PROGRESS) {
            Ok(Ok(outcome)) => outcomes.push(outcome),
            Ok(Err(Failure::Elsewhere)) => {}
            Ok(Err(other)) => failure = Some(failure.unwrap_or(other)),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                if let (true, Some(started)) = (watched, shared.started.get()) {
                    let latencies = &lock(&shared.latencies);
                    watch(Snapshot { elapsed: started.elapsed(), latencies });
                }
            }
        }
    }
    let end = outcomes.iter().map(|outcome| outcome.end).max();
    let (None, Some(end), Some(start)) = (&failure, end, shared.started.get()) else {
        return Err(failure.unwrap_or(Failure::Elsewhere));
    };
    let latencies = lock(&shared.latencies).clone();
    let sent = outcomes.iter_mut().filter_map(|outcome| outcome.sent.take()).reduce(Sent::sum);
    Ok(Outcome {
        sent,
        transport: outcomes[0].transport,
        elapsed: end - *start,
        latencies,
        errors: outcomes.iter().map(|outcome| outcome.errors).sum(),
        first_error: outcomes.into_iter().find_map(|outcome| outcome.first_error),
    })
}

/// Opens the connections that the options ask for, and keeps them until the process is killed.
pub fn idle(options: &Options) -> Result<(), Failure> {
    runtime(options, false)?.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..options.clients {
            connections.push(connect(options).await?);
        }
        println!("{} idle connections; end this with Ctrl-C", connections.len());
        std::future::pending().await
    })
}

/// A runtime for one thread; `timers` cost it two readings of the clock in each turn.
fn runtime(options: &Options, timers: bool) -> Result<LocalRuntime, Failure> {
    let mut builder = Builder::new_current_thread();
    if options.rate.is_some() {
        // The open loop's task is always ready to run: events are polled for after each turn of it.
        builder.event_interval(1);
    }
    if timers {
        builder.enable_time();
    }
    builder.enable_io().build_local(LocalOptions::default()).map_err(Failure::Broken)
}

async fn connect(options: &Options) -> Result<Box<dyn Connection>, Failure> {
    match options.server.connect(options.resp3, options.dbnum).await {
        Ok(client) => Ok(client.into_connection()),
        Err(error) => Err(Failure::Setup(error.to_string())),
    }
}

/// The share of one thread: its connections, warming up, measuring.
fn run_thread(shared: &Arc<Shared>, index: u32) -> Result<ThreadOutcome, Failure> {
    runtime(&shared.options, shared.watched)?.block_on(async {
        let latencies = Rc::new(RefCell::new(histogram()));
        let mut loads = Vec::new();
        for client in (index..shared.options.clients).step_by(shared.gate.threads as usize) {
            loads.push(Load::new(shared.clone(), client, latencies.clone()).await?);
        }
        let transport = loads[0].connection.info().backend;
        if !shared.warmup.is_empty() {
            if !shared.gate.pass() {
                return Err(Failure::Elsewhere);
            }
            let phase = Phase { index, start: Instant::now(), budget: |shared| &shared.warmup };
            (loads, _) = phase.run(loads, shared).await?;
            latencies.borrow_mut().reset();
        }
        if !shared.gate.pass() {
            return Err(Failure::Elsewhere);
        }
        let start = *shared.started.get_or_init(Instant::now);
        let reports = shared
            .watched
            .then(|| tokio::task::spawn_local(report(shared.clone(), latencies.clone())));
        let phase = Phase { index, start, budget: |shared| &shared.measured };
        let sent;
        (loads, sent) = phase.run(loads, shared).await?;
        let end = Instant::now();
        if let Some(reports) = reports {
            reports.abort();
        }
        hand_over(shared, &latencies);
        Ok(ThreadOutcome {
            transport,
            end,
            sent,
            errors: loads.iter().map(|load| load.replies.errors).sum(),
            first_error: loads.into_iter().find_map(|load| load.replies.first_error),
        })
    })
}

/// Adds what this thread has measured to the whole, again and again.
async fn report(shared: Arc<Shared>, latencies: Rc<RefCell<Histogram<u64>>>) {
    let mut interval = tokio::time::interval(PROGRESS);
    loop {
        interval.tick().await;
        hand_over(&shared, &latencies);
    }
}

fn hand_over(shared: &Shared, latencies: &RefCell<Histogram<u64>>) {
    let mut latencies = latencies.borrow_mut();
    lock(&shared.latencies).add(&*latencies).expect("both histograms have the same bounds");
    latencies.reset();
}

/// A part of a thread's test: warming up, or being measured.
struct Phase {
    /// The thread's index.
    index: u32,
    start: Instant,
    budget: fn(&Shared) -> &Budget,
}

impl Phase {
    /// Lets all connections of the thread work until the phase is over. The first that fails ends
    /// it.
    async fn run(
        self,
        loads: Vec<Load>,
        shared: &Arc<Shared>,
    ) -> Result<(Vec<Load>, Option<Sent>), Failure> {
        match shared.options.rate {
            None => Ok((self.run_closed(loads).await?, None)),
            Some(rate) => {
                let share = loads.len() as f64 / f64::from(shared.options.clients);
                // Not a seed of a connection's numbers.
                let seed = !(shared.options.seed ^ u64::from(self.index) << 32);
                let schedule = Schedule::new(rate * share, seed);
                let Phase { budget, start, .. } = self;
                let run = open_loop::run(loads, shared.clone(), budget, start, schedule);
                let (loads, sent) = joined(tokio::task::spawn_local(run).await)?;
                Ok((loads, Some(sent)))
            }
        }
    }

    /// Has each connection send its next requests when it has the replies to those before.
    async fn run_closed(self, loads: Vec<Load>) -> Result<Vec<Load>, Failure> {
        let mut tasks = JoinSet::new();
        let Phase { budget, start, .. } = self;
        for mut load in loads {
            tasks.spawn_local(async move {
                let shared = load.shared.clone();
                load.run(budget(&shared), start).await?;
                Ok(load)
            });
        }
        let mut loads = Vec::new();
        while let Some(load) = tasks.join_next().await {
            loads.push(joined(load)?);
        }
        Ok(loads)
    }
}

/// What a task has returned; its panic goes on in its caller.
fn joined<T>(result: Result<T, JoinError>) -> T {
    result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// One connection and the load that it makes.
pub(super) struct Load {
    pub(super) connection: Box<dyn Connection>,
    pub(super) pipeline: Pipeline,
    replies: Replies,
    latencies: Rc<RefCell<Histogram<u64>>>,
    shared: Arc<Shared>,
}

impl Load {
    async fn new(
        shared: Arc<Shared>,
        index: u32,
        latencies: Rc<RefCell<Histogram<u64>>>,
    ) -> Result<Load, Failure> {
        let options = &shared.options;
        let numbers = match options.keyspace {
            None => Numbers::Zero,
            Some(range) if options.sequential => {
                Numbers::Sequence { next: shared.sequence.clone(), range }
            }
            Some(range) => {
                let seed = options.seed ^ u64::from(index) << 32;
                Numbers::Random { random: fastrand::Rng::with_seed(seed), range }
            }
        };
        Ok(Load {
            connection: connect(options).await?,
            pipeline: Pipeline::new(shared.command.clone(), options.pipeline as usize, numbers),
            replies: Replies::new(shared.command.replies()),
            latencies,
            shared,
        })
    }

    /// Sends pipelines, each after the last reply to the one before, until the budget is spent.
    async fn run(&mut self, budget: &Budget, start: Instant) -> Result<(), Failure> {
        let deadline = budget.duration.map(|duration| start + duration);
        let depth = u64::from(self.shared.options.pipeline);
        let mut sent = Instant::now();
        let mut count = budget.take(depth) as usize;
        self.pipeline.renew(count);
        while count > 0 {
            let over = deadline.is_some_and(|deadline| sent >= deadline);
            let next = || if over { 0 } else { budget.take(depth) as usize };
            let next = self.exchange(count, next).await.map_err(Failure::Broken)?;
            let received = Instant::now();
            self.record(received - sent, count);
            self.check_errors()?;
            (sent, count) = (received, next);
            if self.shared.options.keep_alive == 0 {
                self.connection = connect(&self.shared.options).await?;
                sent = Instant::now();
            }
        }
        Ok(())
    }

    /// Sends `count` requests and waits for their replies. In the meantime it takes as many as
    /// `next` says for the next time, prepares them, and returns their number.
    async fn exchange(&mut self, count: usize, next: impl Fn() -> usize) -> io::Result<usize> {
        self.pipeline.write(&mut *self.connection, count);
        let mut missing = count;
        let mut prepared = None;
        poll_fn(|cx| {
            loop {
                flush(&mut *self.connection, cx)?;
                let prepared = *prepared.get_or_insert_with(|| {
                    let count = next();
                    self.pipeline.renew(count);
                    count
                });
                missing -= ready!(self.poll_replies(cx, missing))?;
                if missing == 0 {
                    return Poll::Ready(Ok(prepared));
                }
            }
        })
        .await
    }

    /// Receives once, and says how many requests, of at most `missing`, have been answered by that.
    pub(super) fn poll_replies(
        &mut self,
        cx: &mut Context<'_>,
        missing: usize,
    ) -> Poll<io::Result<usize>> {
        let connection = &mut *self.connection;
        if ready!(connection.poll_receive(cx))? == 0 {
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed it");
            return Poll::Ready(Err(error));
        }
        let (received, _) = connection.buffers();
        let (consumed, complete) = self.replies.pass(received, missing)?;
        connection.advance(consumed, 0);
        Poll::Ready(Ok(complete))
    }

    /// Takes down how long `count` requests took.
    pub(super) fn record(&self, latency: Duration, count: usize) {
        let latency = latency.as_nanos() as u64;
        self.latencies.borrow_mut().saturating_record_n(latency, count as u64);
    }

    /// # Errors
    /// If a reply was an error, and these are not to be counted.
    pub(super) fn check_errors(&mut self) -> Result<(), Failure> {
        if self.replies.errors > 0 && !self.shared.options.count_errors {
            return Err(Failure::Reply(self.replies.first_error.take().unwrap_or_default()));
        }
        Ok(())
    }
}

/// Sends what can be sent now. The rest waits for its waker: meanwhile replies are read, so that
/// neither side waits for the other to read first.
pub(super) fn flush(connection: &mut dyn Connection, cx: &mut Context<'_>) -> io::Result<()> {
    if connection.unsent() > 0
        && let Poll::Ready(result) = connection.poll_flush(cx)
    {
        result?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_exactly() {
        let budget = Budget::new(10, None);
        assert_eq!([budget.take(4), budget.take(4), budget.take(4), budget.take(4)], [4, 4, 2, 0]);
        let budget = Budget::new(10, Some(1.0));
        assert_eq!(budget.take(100), 100);
        budget.end();
        assert_eq!(budget.take(1), 0);
    }

    #[test]
    fn a_gate_opens_when_all_have_come_and_when_one_has_failed() {
        let gate = Gate { threads: 2, arrived: Mutex::new(Some(0)), moved: Condvar::new() };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| gate.pass() && gate.pass());
            assert!(gate.pass() && gate.pass());
            assert!(other.join().unwrap());
            let other = scope.spawn(|| gate.pass());
            gate.fail();
            assert!(!other.join().unwrap());
        });
        assert!(!gate.pass());
    }
}

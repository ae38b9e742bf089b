//! The open loop of `--rate`: requests are due at random times of a fixed rate, whether or not the
//! replies to earlier ones have come.
//!
//! The times are those of a Poisson process, of which each thread has its share. A request goes to
//! a random connection that has fewer than `-P` requests in flight. Where none has, it waits; its
//! latency counts from when it was due all the same, so that a slow server cannot slow down the
//! clock by which it is measured (coordinated omission).
//!
//! One task drives all connections of a thread. While replies are awaited it polls: a sleep and a
//! wake-up take longer than a request does.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::unistd::{SysconfVar, sysconf};
use verbena_transport::Alarm;

use super::engine::{Budget, Failure, Load, Shared, flush, histogram, lock};

/// Timers ring up to so much late on virtual machines: the last part of a wait is polled.
const TIMER_MARGIN: Duration = Duration::from_micros(100);

/// Requests that are sent before replies are looked for: on a virtual machine a request takes 4 µs
/// to send, by which a reply that has come seems to have taken longer.
const SENDS_PER_TURN: usize = 4;

/// How requests were sent.
pub struct Sent {
    /// Requests that were due and not sent when the time was over.
    pub unsent: u64,
    /// Nanoseconds from when a request was due to when it was sent: the wait for a connection, and
    /// for this program.
    pub delays: Histogram<u64>,
}

impl Sent {
    pub fn new() -> Sent {
        Sent { unsent: 0, delays: histogram() }
    }

    /// What two threads have sent.
    pub fn sum(mut self, other: Sent) -> Sent {
        self.unsent += other.unsent;
        self.delays.add(&other.delays).expect("both histograms have the same bounds");
        self
    }
}

/// The times of a Poisson process, as the time since its start.
pub struct Schedule {
    random: fastrand::Rng,
    /// Nanoseconds between two requests, on average.
    mean: f64,
    /// Nanoseconds from the start to the next request.
    next: f64,
}

impl Schedule {
    /// `rate` is in requests per second.
    pub fn new(rate: f64, seed: u64) -> Schedule {
        let mut schedule =
            Schedule { random: fastrand::Rng::with_seed(seed), mean: 1e9 / rate, next: 0.0 };
        schedule.advance();
        schedule
    }

    /// When the next request is due.
    fn next(&self) -> Duration {
        Duration::from_nanos(self.next as u64)
    }

    /// Draws the time of the request after that one.
    fn advance(&mut self) {
        // `f64` is in [0, 1): its complement has a logarithm.
        self.next -= (1.0 - self.random.f64()).ln() * self.mean;
    }
}

/// Lets the connections of a thread send until the budget is spent, and waits for the replies. It
/// must be a task of its own: only such a task can wake itself without a system call.
///
/// # Errors
/// The first failure of a connection, or the first error reply unless these are counted.
pub async fn run(
    loads: Vec<Load>,
    shared: Arc<Shared>,
    budget: fn(&Shared) -> &Budget,
    start: Instant,
    schedule: Schedule,
) -> Result<(Vec<Load>, Sent), Failure> {
    let mut generator = Generator::new(loads, shared, budget, start, schedule)?;
    // The runtime's limit for one task would end a turn early, and every turn ends soon by itself.
    tokio::task::unconstrained(poll_fn(|cx| generator.poll(cx))).await?;
    Ok((generator.clients.into_iter().map(|client| client.load).collect(), generator.sent))
}

/// Sends requests when they are due, over the connections of one thread.
struct Generator {
    clients: Vec<Client>,
    /// Indexes of the clients that may send one more request.
    free: Vec<usize>,
    in_flight: usize,
    /// Requests that one client may have in flight.
    depth: usize,
    schedule: Schedule,
    /// Whether the schedule's next request is one that the budget has room for.
    taken: bool,
    sent: Sent,
    /// Clients whose connection may have something to receive, or room to send.
    ready: Arc<Mutex<Vec<usize>>>,
    /// Of `ready`, those of this turn.
    turn: Vec<usize>,
    alarm: Alarm,
    shared: Arc<Shared>,
    budget: fn(&Shared) -> &Budget,
    start: Instant,
    deadline: Option<Duration>,
    /// The server, too, needs the only CPU that there is.
    yields: bool,
}

/// One connection, and when its requests in flight were due, oldest first.
struct Client {
    load: Load,
    due: VecDeque<Duration>,
    /// Made when the generator's task is known.
    waker: Option<Waker>,
}

impl Generator {
    fn new(
        loads: Vec<Load>,
        shared: Arc<Shared>,
        budget: fn(&Shared) -> &Budget,
        start: Instant,
        schedule: Schedule,
    ) -> Result<Generator, Failure> {
        let clients: Vec<Client> = loads
            .into_iter()
            .map(|load| Client { load, due: VecDeque::new(), waker: None })
            .collect();
        Ok(Generator {
            free: (0..clients.len()).collect(),
            // Each is polled once before the first of its wakers is there.
            ready: Arc::new(Mutex::new((0..clients.len()).collect())),
            clients,
            in_flight: 0,
            depth: shared.options.pipeline as usize,
            schedule,
            taken: budget(&shared).take(1) > 0,
            sent: Sent::new(),
            turn: Vec::new(),
            alarm: Alarm::new().map_err(Failure::Broken)?,
            deadline: budget(&shared).duration,
            shared,
            budget,
            start,
            yields: matches!(sysconf(SysconfVar::_NPROCESSORS_ONLN), Ok(Some(1))),
        })
    }

    /// One turn: sends what is due, and takes in the replies that have come.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.end_in_time();
        let mut sends = 0;
        while sends < SENDS_PER_TURN && self.send_if_due(cx.waker()).map_err(Failure::Broken)? {
            sends += 1;
        }
        std::mem::swap(&mut self.turn, &mut lock(&self.ready));
        while let Some(index) = self.turn.pop() {
            self.receive(index, cx.waker())?;
        }
        if self.in_flight > 0 {
            if self.yields {
                std::thread::yield_now();
            }
        } else if !self.taken {
            return Poll::Ready(Ok(()));
        } else {
            let wait = self.schedule.next().saturating_sub(self.start.elapsed());
            if wait > 2 * TIMER_MARGIN {
                self.alarm.set(wait - TIMER_MARGIN);
                ready!(self.alarm.poll_ring(cx));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends nothing more once the phase has lasted as long as it should.
    fn end_in_time(&mut self) {
        let Some(deadline) = self.deadline.filter(|_| self.taken) else { return };
        if self.schedule.next() >= deadline {
            self.taken = false;
        } else if self.start.elapsed() >= deadline {
            while self.schedule.next() < deadline {
                self.sent.unsent += 1;
                self.schedule.advance();
            }
            self.taken = false;
        }
    }

    /// Sends the next request if it is due and a connection may send it; says whether that was so.
    fn send_if_due(&mut self, task: &Waker) -> io::Result<bool> {
        if !self.taken || self.free.is_empty() {
            return Ok(false);
        }
        let (due, now) = (self.schedule.next(), self.start.elapsed());
        if now < due {
            return Ok(false);
        }
        let place = self.schedule.random.usize(..self.free.len());
        let index = self.free[place];
        let client = &mut self.clients[index];
        client.due.push_back(due);
        if client.due.len() == self.depth {
            self.free.swap_remove(place);
        }
        let Load { connection, pipeline, .. } = &mut client.load;
        pipeline.renew(1);
        pipeline.write(&mut **connection, 1);
        let waker = client.waker.get_or_insert_with(|| Signal::waker(index, &self.ready, task));
        flush(&mut **connection, &mut Context::from_waker(waker))?;
        self.sent.delays.saturating_record((now - due).as_nanos() as u64);
        self.in_flight += 1;
        self.schedule.advance();
        self.taken = (self.budget)(&self.shared).take(1) > 0;
        Ok(true)
    }

    /// Takes in what a connection has received, until it has a waker to call for more.
    fn receive(&mut self, index: usize, task: &Waker) -> Result<(), Failure> {
        let Client { load, due, waker } = &mut self.clients[index];
        let waker = waker.get_or_insert_with(|| Signal::waker(index, &self.ready, task));
        let mut cx = Context::from_waker(waker);
        flush(&mut *load.connection, &mut cx).map_err(Failure::Broken)?;
        while let Poll::Ready(complete) =
            load.poll_replies(&mut cx, due.len()).map_err(Failure::Broken)?
        {
            let now = self.start.elapsed();
            if complete > 0 && due.len() == self.depth {
                self.free.push(index);
            }
            self.in_flight -= complete;
            for due in due.drain(..complete) {
                load.record(now - due, 1);
            }
            load.check_errors()?;
        }
        Ok(())
    }
}

/// The waker of one connection: notes which, and wakes the generator.
struct Signal {
    index: usize,
    ready: Arc<Mutex<Vec<usize>>>,
    task: Waker,
}

impl Signal {
    fn waker(index: usize, ready: &Arc<Mutex<Vec<usize>>>, task: &Waker) -> Waker {
        Waker::from(Arc::new(Signal { index, ready: ready.clone(), task: task.clone() }))
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        lock(&self.ready).push(self.index);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_between_requests_are_exponential() {
        let mut schedule = Schedule::new(1e6, 1);
        let mut gaps: Vec<f64> = (0..100_000)
            .map(|_| {
                let before = schedule.next;
                schedule.advance();
                schedule.next - before
            })
            .collect();
        gaps.sort_by(f64::total_cmp);
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        // Five standard errors of the mean, and of the median, are 16 ns.
        assert!((mean - 1000.0).abs() < 16.0, "{mean}");
        let median = gaps[gaps.len() / 2];
        assert!((median - 1000.0 * 2f64.ln()).abs() < 16.0, "{median}");
        let above = gaps.iter().filter(|gap| **gap > 3000.0).count() as f64 / gaps.len() as f64;
        assert!((above - (-3f64).exp()).abs() < 0.004, "{above}");
    }

    #[test]
    fn a_schedule_is_repeated_with_its_seed() {
        let times = |seed| {
            let mut schedule = Schedule::new(1000.0, seed);
            (0..10)
                .map(|_| {
                    schedule.advance();
                    schedule.next()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
        assert!(times(3).is_sorted());
    }
}

//! How busy the server's threads are: the turns of their event loops, and the time that they take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::{SysconfVar, gettid, sysconf};
use parking_lot::Mutex;
use verbena_transport::event_loop::Activity;

use super::Server;
use super::stats::WorkerStats;

/// What the threads' loops have done. Those of the workers count, and the rounds of the control thread.
pub struct Load {
    workers: Box<[CachePadded<Activity>]>,
    /// Rounds of the control thread's periodic work, and their nanoseconds.
    rounds: AtomicU64,
    rounds_time: AtomicU64,
    /// The system's number of the first worker's thread; 0 before it runs.
    first_worker: AtomicU64,
    /// What there was when the statistics were last reset.
    before: Mutex<LoopTotals>,
}

/// Sums over all threads.
#[derive(Clone, Copy, Default)]
pub struct LoopTotals {
    pub turns: u64,
    /// The time in which they did not sleep.
    pub awake: Duration,
    /// The part of it that is the control thread's periodic work.
    pub rounds: Duration,
    /// How long a turn took on average, where it took longest.
    pub longest: Duration,
}

impl Load {
    pub(super) fn new(workers: usize) -> Self {
        Load {
            workers: (0..workers).map(|_| CachePadded::default()).collect(),
            rounds: AtomicU64::new(0),
            rounds_time: AtomicU64::new(0),
            first_worker: AtomicU64::new(0),
            before: Mutex::default(),
        }
    }

    /// The record of a worker's event loop.
    pub fn activity(&self, worker: usize) -> &Activity {
        &self.workers[worker]
    }

    /// The time in which each worker, of those that there may be, did not sleep.
    pub fn awake(&self) -> impl Iterator<Item = Duration> {
        self.workers.iter().map(|activity| activity.awake())
    }

    /// Notes that the calling thread is the first worker's.
    pub fn note_first_worker(&self) {
        self.first_worker.store(gettid().as_raw() as u64, Ordering::Relaxed);
    }

    fn totals(&self) -> LoopTotals {
        let rounds = Duration::from_nanos(self.rounds_time.load(Ordering::Relaxed));
        let turns: u64 = self.workers.iter().map(|activity| activity.turns()).sum();
        let longest = self.workers.iter().map(|activity| activity.longest_turn()).max();
        LoopTotals {
            turns: turns + self.rounds.load(Ordering::Relaxed),
            awake: self.awake().sum::<Duration>() + rounds,
            rounds,
            longest: longest.unwrap_or_default(),
        }
    }
}

impl Server {
    /// What the loops have done since the statistics were last reset.
    pub fn loops(&self) -> LoopTotals {
        let (now, before) = (self.load.totals(), *self.load.before.lock());
        LoopTotals {
            turns: now.turns.saturating_sub(before.turns),
            awake: now.awake.saturating_sub(before.awake),
            rounds: now.rounds.saturating_sub(before.rounds),
            longest: now.longest,
        }
    }

    pub(super) fn reset_loops(&self) {
        self.load.workers.iter().for_each(|activity| activity.forget_longest_turn());
        *self.load.before.lock() = self.load.totals();
    }

    /// Notes a round of the control thread's periodic work.
    pub(super) fn note_round(&self, took: Duration) {
        self.load.rounds.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.load.rounds_time.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The processor time of the first worker's thread, in the system and in the program; the calling
    /// thread has `stats`. `None` where the system does not tell.
    ///
    /// Of another thread the system tells it in hundredths of a second only.
    pub fn first_worker_time(&self, stats: &WorkerStats) -> Option<(Duration, Duration)> {
        if std::ptr::eq(stats, &self.stats[0]) {
            let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
            let micros = |time: nix::sys::time::TimeVal| {
                Duration::from_micros(time.num_microseconds().unsigned_abs())
            };
            return Some((micros(usage.system_time()), micros(usage.user_time())));
        }
        let thread = self.load.first_worker.load(Ordering::Relaxed);
        let line = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
        let second = sysconf(SysconfVar::CLK_TCK).ok().flatten()?;
        processor_time(&line, u64::try_from(second).ok()?)
    }
}

/// The time in the system and in the program that a thread's `stat` tells, where a second has so many ticks.
fn processor_time(line: &str, second: u64) -> Option<(Duration, Duration)> {
    // The name, which may have any characters, ends with the last parenthesis.
    let (_, fields) = line.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_secs(ticks) / u32::try_from(second).ok().filter(|second| *second > 0)?)
    };
    let user = next()?;
    Some((next()?, user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_stands_after_the_name() {
        let line = "12 (a) b) S 1 2 3 0 -1 4194560 10 0 0 0 250 75 0 0 20 0 5 0";
        let expected = (Duration::from_millis(750), Duration::from_millis(2500));
        assert_eq!(processor_time(line, 100), Some(expected));
        assert_eq!(processor_time("12 (a) S 1", 100), None);
        assert_eq!(processor_time(line, 0), None);
    }

    #[test]
    fn the_system_tells_the_time_of_this_thread() {
        let thread = gettid();
        let line = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
        assert!(processor_time(&line, 100).is_some());
    }
}

//! Statistics: each worker counts for itself, readers add up.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Index;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::Mutex;

use super::Server;
use super::command_log::CallLimits;
use super::counter::{Counter, Gauge};
use super::histogram::{Histogram, Latencies};
use crate::error::CommandError;

/// Samples of counters at regular times: what is happening now, per second.
#[derive(Default)]
pub struct Rates {
    samples: VecDeque<(Instant, Sample)>,
}

/// Samples that a rate is an average of.
const SAMPLES: usize = 16;

/// What rates are made of.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    pub commands: u64,
    pub net_input: u64,
    pub net_output: u64,
    /// Turns of the event loops, and their nanoseconds.
    pub turns: u64,
    pub awake: u64,
}

impl Rates {
    pub(super) fn add(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((Instant::now(), sample));
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    /// What was added per second, of what `counter` finds in a sample.
    pub fn per_second(&self, counter: fn(&Sample) -> u64) -> f64 {
        let (Some((from, first)), Some((to, last))) = (self.samples.front(), self.samples.back())
        else {
            return 0.0;
        };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds == 0.0 {
            return 0.0;
        }
        counter(last).saturating_sub(counter(first)) as f64 / seconds
    }

    /// What was added of what `part` finds in a sample, for each of what `whole` finds.
    pub fn ratio(&self, part: fn(&Sample) -> u64, whole: fn(&Sample) -> u64) -> f64 {
        let (Some((_, first)), Some((_, last))) = (self.samples.front(), self.samples.back())
        else {
            return 0.0;
        };
        let added = |of: fn(&Sample) -> u64| of(last).saturating_sub(of(first)) as f64;
        added(part) / added(whole).max(1.0)
    }
}

impl Server {
    /// Commands that were executed since the statistics were reset.
    pub fn commands_processed(&self) -> u64 {
        self.total(|stats| stats.commands.iter().map(|command| command.calls.get()).sum())
    }

    /// The sum of all workers' part.
    pub fn total(&self, part: impl Fn(&WorkerStats) -> u64) -> u64 {
        self.stats.iter().map(part).sum()
    }

    /// Error replies by code.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for stats in self.stats.iter() {
            for (code, count) in stats.errors.lock().iter() {
                *all.entry(code.clone()).or_default() += count;
            }
        }
        all
    }

    /// How long the calls of a command took; `None` if none was measured.
    pub fn latencies(&self, id: usize) -> Option<Latencies> {
        Latencies::of(self.stats.iter().filter_map(|stats| stats.commands[id].latencies()))
    }

    /// Takes a sample, as often as rates are to be made of.
    pub fn sample(&self) {
        let began = Instant::now();
        let loops = self.loops();
        let sample = Sample {
            turns: loops.turns,
            awake: u64::try_from(loops.awake.as_nanos()).unwrap_or(u64::MAX),
            commands: self.commands_processed(),
            net_input: self.total(|stats| stats.net_input.get()),
            net_output: self.total(|stats| stats.net_output.get()),
        };
        self.rates.lock().add(sample);
        self.note_round(began.elapsed());
    }

    /// CONFIG RESETSTAT.
    pub fn reset_stats(&self) {
        self.stats.iter().for_each(WorkerStats::reset);
        self.accepted_connections.store(0, Ordering::Relaxed);
        self.rejected_connections.store(0, Ordering::Relaxed);
        self.query_limit_disconnections.store(0, Ordering::Relaxed);
        self.output_limit_disconnections.store(0, Ordering::Relaxed);
        self.clients.memory.reset_evicted();
        self.eviction.reset_exceeded();
        self.lazy_free.reset_freed();
        self.reset_loops();
        self.rates.lock().clear();
    }
}

/// What INFO commandstats shows of one command, in one cache line.
#[derive(Default)]
#[repr(align(64))]
pub struct CommandStats {
    pub calls: Counter,
    /// Time-stamp ticks spent in the command.
    pub ticks: Counter,
    /// How long calls took, while `latency-tracking` was on.
    latencies: OnceLock<Box<Histogram>>,
    /// Calls refused before they ran.
    pub rejected: Counter,
    /// Calls that answered with an error.
    pub failed: Counter,
}

impl CommandStats {
    /// Counts how long a call took. Only the owning thread may call this.
    #[inline]
    pub fn note_latency(&self, nanoseconds: u64) {
        self.latencies.get_or_init(Box::default).record(nanoseconds);
    }

    fn latencies(&self) -> Option<&Histogram> {
        self.latencies.get().map(|latencies| &**latencies)
    }

    fn reset(&self) {
        let CommandStats { calls, ticks, rejected, failed, latencies } = self;
        [calls, ticks, rejected, failed].into_iter().for_each(Counter::reset);
        latencies.get().into_iter().for_each(|latencies| latencies.reset());
    }
}

/// The counters of all threads that may count: by their numbers, made when a thread first counts.
pub struct AllStats {
    threads: Box<[OnceLock<Box<WorkerStats>>]>,
    commands: usize,
}

impl AllStats {
    /// Of `threads` threads, and `commands` commands.
    pub fn new(threads: usize, commands: usize) -> Self {
        AllStats { threads: (0..threads).map(|_| OnceLock::new()).collect(), commands }
    }

    /// Those of the threads that have counted.
    pub fn iter(&self) -> impl Iterator<Item = &WorkerStats> {
        self.threads.iter().filter_map(|stats| stats.get()).map(|stats| &**stats)
    }
}

impl Index<usize> for AllStats {
    type Output = WorkerStats;

    fn index(&self, thread: usize) -> &WorkerStats {
        self.threads[thread].get_or_init(|| Box::new(WorkerStats::new(self.commands)))
    }
}

/// One worker's counters, on cache lines of their own.
#[repr(align(128))]
pub struct WorkerStats {
    /// When a call is looked at more closely.
    pub limits: CallLimits,
    pub commands: Box<[CommandStats]>,
    /// Bytes received from clients.
    pub net_input: Counter,
    /// Bytes sent to clients.
    pub net_output: Counter,
    /// Times that something was received.
    pub reads: Counter,
    /// Batches of replies.
    pub writes: Counter,
    pub keyspace_hits: Counter,
    pub keyspace_misses: Counter,
    pub expired_keys: Counter,
    pub expired_fields: Counter,
    /// Expiry cycles that ended because their time was up.
    pub expire_cycles_cut: Counter,
    /// Nanoseconds of all expiry cycles.
    pub expire_cycle_time: Counter,
    /// The most commands that one session has executed in one turn.
    pub most_commands: Gauge,
    pub evicted_keys: Counter,
    pub changes: Counter,
    /// Errors by code. Errors are rare, and INFO reads this from another thread.
    errors: Mutex<HashMap<String, u64>>,
}

impl WorkerStats {
    pub fn new(commands: usize) -> Self {
        WorkerStats {
            limits: CallLimits::default(),
            commands: (0..commands).map(|_| CommandStats::default()).collect(),
            net_input: Counter::default(),
            net_output: Counter::default(),
            reads: Counter::default(),
            writes: Counter::default(),
            keyspace_hits: Counter::default(),
            keyspace_misses: Counter::default(),
            expired_keys: Counter::default(),
            expired_fields: Counter::default(),
            expire_cycles_cut: Counter::default(),
            expire_cycle_time: Counter::default(),
            most_commands: Gauge::default(),
            evicted_keys: Counter::default(),
            changes: Counter::default(),
            errors: Mutex::default(),
        }
    }

    /// Counts from nothing again.
    pub fn reset(&self) {
        self.commands.iter().for_each(CommandStats::reset);
        let Self { net_input, net_output, reads, writes, keyspace_hits, keyspace_misses, .. } =
            self;
        let Self { expired_keys, expired_fields, expire_cycles_cut, evicted_keys, .. } = self;
        self.expire_cycle_time.reset();
        self.most_commands.set(0);
        let counters = [net_input, net_output, reads, writes, keyspace_hits, keyspace_misses];
        let more = [expired_keys, expired_fields, expire_cycles_cut, evicted_keys];
        counters.into_iter().chain(more).for_each(Counter::reset);
        self.errors.lock().clear();
    }

    /// Notes how many commands a session has executed in one turn.
    #[inline]
    pub fn note_turn(&self, commands: u64) {
        if commands > self.most_commands.get() {
            self.most_commands.set(commands);
        }
    }

    #[cold]
    pub fn error(&self, error: &CommandError) {
        *self.errors.lock().entry(error.code().into_owned()).or_default() += 1;
    }
}

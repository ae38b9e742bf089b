//! The command log: the calls that took long, and those whose request or reply was large.
//!
//! All workers share it. Only a call that is logged takes a lock.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::counter::Gauge;
use crate::config::Settings;

/// Why a call is logged. Each reason has a log of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// By its microseconds.
    Slow,
    /// By the bytes of its request.
    LargeRequest,
    /// By the bytes of its reply.
    LargeReply,
}

impl Logged {
    pub const ALL: [Logged; 3] = [Logged::Slow, Logged::LargeRequest, Logged::LargeReply];

    /// The name of the log.
    pub fn name(self) -> &'static str {
        match self {
            Logged::Slow => "slow",
            Logged::LargeRequest => "large-request",
            Logged::LargeReply => "large-reply",
        }
    }

    /// The least value that is logged; `None` if nothing is.
    pub fn limit(self, settings: &Settings) -> Option<u64> {
        let limit = match self {
            Logged::Slow => settings.commandlog_execution_slower_than,
            Logged::LargeRequest => settings.commandlog_request_larger_than,
            Logged::LargeReply => settings.commandlog_reply_larger_than,
        };
        u64::try_from(limit).ok().filter(|_| self.most(settings) > 0)
    }

    /// The number of entries that are kept.
    fn most(self, settings: &Settings) -> usize {
        let most = match self {
            Logged::Slow => settings.commandlog_slow_execution_max_len,
            Logged::LargeRequest => settings.commandlog_large_request_max_len,
            Logged::LargeReply => settings.commandlog_large_reply_max_len,
        };
        usize::try_from(most).unwrap_or(0)
    }
}

/// A call as the logs show it.
pub struct LoggedCall {
    /// Seconds of Unix time.
    pub time: i64,
    /// As many arguments as are kept, each as long as is kept.
    pub args: Vec<Box<[u8]>>,
    pub peer: String,
    /// What the client calls itself.
    pub name: String,
}

/// One entry of a log.
#[derive(Clone)]
pub struct LogEntry {
    /// Ascending, from 0, for the life of the process.
    pub id: u64,
    /// Microseconds, or bytes.
    pub value: u64,
    pub call: Arc<LoggedCall>,
}

#[derive(Default)]
struct Log {
    next_id: u64,
    /// From the newest one to the oldest.
    entries: VecDeque<LogEntry>,
}

/// The three logs.
#[derive(Default)]
pub struct CommandLog {
    logs: [Mutex<Log>; Logged::ALL.len()],
}

impl CommandLog {
    fn log(&self, logged: Logged) -> &Mutex<Log> {
        &self.logs[logged as usize]
    }

    /// Adds a call, in the place of the oldest ones that are too many.
    pub fn add(&self, logged: Logged, settings: &Settings, value: u64, call: Arc<LoggedCall>) {
        let mut log = self.log(logged).lock();
        let id = log.next_id;
        log.next_id += 1;
        log.entries.push_front(LogEntry { id, value, call });
        log.entries.truncate(logged.most(settings));
    }

    /// The newest entries, at most so many.
    pub fn newest(&self, logged: Logged, count: usize) -> Vec<LogEntry> {
        self.log(logged).lock().entries.iter().take(count).cloned().collect()
    }

    pub fn len(&self, logged: Logged) -> usize {
        self.log(logged).lock().entries.len()
    }

    pub fn clear(&self, logged: Logged) {
        let entries = std::mem::take(&mut self.log(logged).lock().entries);
        // What they take is freed without the lock.
        drop(entries);
    }
}

/// The limits beyond which a worker looks closer at a call: the least of all that concern its duration, and
/// of those that concern its size. So a call costs two comparisons.
pub struct CallLimits {
    ticks: Gauge,
    bytes: Gauge,
}

impl Default for CallLimits {
    /// No call reaches them.
    fn default() -> Self {
        let limits = CallLimits { ticks: Gauge::default(), bytes: Gauge::default() };
        limits.ticks.set(u64::MAX);
        limits.bytes.set(u64::MAX);
        limits
    }
}

impl CallLimits {
    /// Takes the limits from the settings. Only the owning thread may call this.
    pub fn set(&self, settings: &Settings, clock: &quanta::Clock) {
        let slow = Logged::Slow.limit(settings).map(|us| us.saturating_mul(1000));
        let monitored = u64::try_from(settings.latency_monitor_threshold).ok();
        let monitored = monitored.filter(|ms| *ms > 0).map(|ms| ms.saturating_mul(1_000_000));
        let nanoseconds = slow.into_iter().chain(monitored).min();
        self.ticks.set(nanoseconds.map_or(u64::MAX, |least| ticks(clock, least)));
        let bytes = [Logged::LargeRequest, Logged::LargeReply].map(|log| log.limit(settings));
        self.bytes.set(bytes.into_iter().flatten().min().unwrap_or(u64::MAX));
    }

    /// Whether a call may have reached a limit, by its ticks and the bytes of its request and reply. Where it
    /// says so, the caller compares them one by one.
    #[inline]
    pub fn may_be_reached(&self, ticks: u64, request: u64, reply: u64) -> bool {
        // Both in one: it is at least the greater one.
        ticks >= self.ticks.get() || request | reply >= self.bytes.get()
    }
}

/// The least number of ticks that takes at least so many nanoseconds.
fn ticks(clock: &quanta::Clock, nanoseconds: u64) -> u64 {
    let (mut least, mut most) = (0, u64::MAX);
    // More than that is not reached, and the clock could not convert it.
    let bound = nanoseconds.saturating_mul(16);
    if bound < u64::MAX {
        most = bound;
    }
    while least < most {
        let middle = least + (most - least) / 2;
        if clock.delta_as_nanos(0, middle) >= nanoseconds {
            most = middle;
        } else {
            least = middle + 1;
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(word: &str) -> Arc<LoggedCall> {
        let args = vec![word.as_bytes().into()];
        Arc::new(LoggedCall { time: 0, args, peer: String::new(), name: String::new() })
    }

    #[test]
    fn a_log_keeps_the_newest_and_ids_go_on() {
        let mut settings = Settings { commandlog_slow_execution_max_len: 2, ..Settings::default() };
        let log = CommandLog::default();
        for value in 0..5 {
            log.add(Logged::Slow, &settings, value, call("a"));
        }
        let ids = |count| -> Vec<u64> {
            log.newest(Logged::Slow, count).iter().map(|entry| entry.id).collect()
        };
        assert_eq!((ids(9), ids(1), ids(0)), (vec![4, 3], vec![4], vec![]));
        assert_eq!((log.len(Logged::Slow), log.len(Logged::LargeReply)), (2, 0));
        log.clear(Logged::Slow);
        assert_eq!(log.len(Logged::Slow), 0);
        settings.commandlog_slow_execution_max_len = 1;
        log.add(Logged::Slow, &settings, 5, call("b"));
        log.add(Logged::Slow, &settings, 6, call("b"));
        assert_eq!(ids(9), [6]);
    }

    #[test]
    fn limits_are_the_least_of_those_that_are_on() {
        let clock = quanta::Clock::new();
        let limits = CallLimits::default();
        assert!(!limits.may_be_reached(u64::MAX - 1, 1 << 40, 1 << 40));
        let mut settings = Settings::default();
        limits.set(&settings, &clock);
        let slow = ticks(&clock, 10_000_000);
        assert!(clock.delta_as_nanos(0, slow) >= 10_000_000);
        assert!(clock.delta_as_nanos(0, slow - 1) < 10_000_000);
        assert!(!limits.may_be_reached(slow - 1, (1 << 20) - 1, (1 << 20) - 1));
        assert!(limits.may_be_reached(slow, 0, 0));
        assert!(limits.may_be_reached(0, 1 << 20, 0) && limits.may_be_reached(0, 0, 1 << 20));

        settings.latency_monitor_threshold = 5;
        limits.set(&settings, &clock);
        assert!(limits.may_be_reached(ticks(&clock, 5_000_000), 0, 0));

        settings.latency_monitor_threshold = 0;
        settings.commandlog_slow_execution_max_len = 0;
        settings.commandlog_reply_larger_than = -1;
        settings.commandlog_request_larger_than = -1;
        limits.set(&settings, &clock);
        assert!(!limits.may_be_reached(u64::MAX - 1, 1 << 40, 1 << 40));

        settings.commandlog_slow_execution_max_len = 1;
        settings.commandlog_execution_slower_than = 0;
        settings.commandlog_reply_larger_than = 0;
        limits.set(&settings, &clock);
        assert!(limits.may_be_reached(0, 0, 0));
        settings.commandlog_execution_slower_than = i64::MAX;
        settings.commandlog_reply_larger_than = i64::MAX;
        limits.set(&settings, &clock);
        assert!(!limits.may_be_reached(1 << 60, 0, 0));
    }
}

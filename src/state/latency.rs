//! The latency monitor: what took longer than `latency-monitor-threshold`, by the kind of work.
//!
//! Only work above the threshold takes the lock.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::unix_milliseconds;
use crate::config::Settings;

/// Samples of an event that are kept: one for each second in which it happened.
const SAMPLES: usize = 160;

/// A kind of work that the monitor knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LatencyEvent {
    /// A command that is not among the fast ones.
    Command,
    EvictionCycle,
    /// The removal of one evicted key.
    EvictionDel,
    /// Waiting for memory that is freed in the background.
    EvictionLazyfree,
    ExpireCycle,
    /// The removal of one expired key that a command has found.
    ExpireDel,
    FastCommand,
}

impl LatencyEvent {
    const ALL: [LatencyEvent; 7] = [
        LatencyEvent::Command,
        LatencyEvent::EvictionCycle,
        LatencyEvent::EvictionDel,
        LatencyEvent::EvictionLazyfree,
        LatencyEvent::ExpireCycle,
        LatencyEvent::ExpireDel,
        LatencyEvent::FastCommand,
    ];

    /// The name in LATENCY's replies.
    pub fn name(self) -> &'static str {
        match self {
            LatencyEvent::Command => "command",
            LatencyEvent::EvictionCycle => "eviction-cycle",
            LatencyEvent::EvictionDel => "eviction-del",
            LatencyEvent::EvictionLazyfree => "eviction-lazyfree",
            LatencyEvent::ExpireCycle => "expire-cycle",
            LatencyEvent::ExpireDel => "expire-del",
            LatencyEvent::FastCommand => "fast-command",
        }
    }

    /// The event of that name.
    pub fn named(name: &[u8]) -> Option<LatencyEvent> {
        Self::ALL.into_iter().find(|event| event.name().as_bytes() == name)
    }
}

/// The worst that happened in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencySample {
    /// Seconds of Unix time.
    pub time: i64,
    pub milliseconds: u64,
}

/// What is known of one event.
#[derive(Clone, Debug, Default)]
pub struct LatencyHistory {
    /// From the oldest one to the newest; there is at least one.
    pub samples: VecDeque<LatencySample>,
    /// Milliseconds of the worst one ever, and of all together.
    pub worst: u64,
    pub sum: u64,
    /// How often it happened.
    pub count: u64,
}

impl LatencyHistory {
    fn add(&mut self, sample: LatencySample) {
        self.worst = self.worst.max(sample.milliseconds);
        self.sum += sample.milliseconds;
        self.count += 1;
        match self.samples.back_mut() {
            Some(last) if last.time == sample.time => {
                last.milliseconds = last.milliseconds.max(sample.milliseconds);
            }
            _ => {
                if self.samples.len() == SAMPLES {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
            }
        }
    }
}

/// The events that have happened.
#[derive(Default)]
pub struct LatencyMonitor {
    events: Mutex<BTreeMap<LatencyEvent, LatencyHistory>>,
}

impl LatencyMonitor {
    /// Notes an event at `time`, in seconds of Unix time.
    #[cold]
    fn add(&self, event: LatencyEvent, time: i64, milliseconds: u64) {
        self.events.lock().entry(event).or_default().add(LatencySample { time, milliseconds });
    }

    /// When work begins that may be noted, if anything is: the clock is not read for nothing.
    #[inline]
    pub fn begin(settings: &Settings) -> Option<Instant> {
        (settings.latency_monitor_threshold > 0).then(Instant::now)
    }

    /// Notes work that ends now and has begun as [`begin`](Self::begin) says, if it took long.
    #[inline]
    pub fn end(&self, settings: &Settings, event: LatencyEvent, began: Option<Instant>) {
        if let Some(began) = began {
            self.note(settings, event, began.elapsed());
        }
    }

    /// Notes an event that has just happened, if it took so long that it is to be noted.
    pub fn note(&self, settings: &Settings, event: LatencyEvent, took: Duration) {
        let milliseconds = took.as_millis() as u64;
        let least = settings.latency_monitor_threshold;
        if least > 0 && milliseconds >= least.unsigned_abs() {
            self.add(event, unix_milliseconds() / 1000, milliseconds);
        }
    }

    /// All events that have happened, by name.
    pub fn all(&self) -> Vec<(LatencyEvent, LatencyHistory)> {
        self.events.lock().iter().map(|(event, history)| (*event, history.clone())).collect()
    }

    /// What is known of an event, if it has happened.
    pub fn history(&self, event: LatencyEvent) -> Option<LatencyHistory> {
        self.events.lock().get(&event).cloned()
    }

    /// Forgets an event. Says whether it had happened.
    pub fn forget(&self, event: LatencyEvent) -> bool {
        self.events.lock().remove(&event).is_some()
    }

    /// Forgets everything. Returns the number of events that had happened.
    pub fn forget_all(&self) -> usize {
        std::mem::take(&mut *self.events.lock()).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_events() {
        assert!(LatencyEvent::ALL.is_sorted_by_key(|event| event.name()));
        assert_eq!(LatencyEvent::named(b"expire-del"), Some(LatencyEvent::ExpireDel));
        assert_eq!(LatencyEvent::named(b"Command"), None);
    }

    #[test]
    fn the_worst_of_each_second_is_kept() {
        let monitor = LatencyMonitor::default();
        for (time, milliseconds) in [(10, 20), (12, 30), (12, 15), (13, 5)] {
            monitor.add(LatencyEvent::Command, time, milliseconds);
        }
        let history = monitor.history(LatencyEvent::Command).unwrap();
        let samples: Vec<_> = history.samples.iter().map(|s| (s.time, s.milliseconds)).collect();
        assert_eq!(samples, [(10, 20), (12, 30), (13, 5)]);
        assert_eq!((history.worst, history.sum, history.count), (30, 70, 4));
        assert!(monitor.history(LatencyEvent::FastCommand).is_none());
    }

    #[test]
    fn the_oldest_samples_go_and_the_worst_one_stays_known() {
        let monitor = LatencyMonitor::default();
        for time in 0..175 {
            monitor.add(LatencyEvent::Command, time, 1000 - time as u64);
        }
        let history = monitor.history(LatencyEvent::Command).unwrap();
        assert_eq!(history.samples.len(), SAMPLES);
        assert_eq!(history.samples[0], LatencySample { time: 15, milliseconds: 985 });
        assert_eq!((history.worst, history.count), (1000, 175));
        assert!(monitor.forget(LatencyEvent::Command));
        assert!(!monitor.forget(LatencyEvent::Command));
        assert_eq!(monitor.forget_all(), 0);
    }
}

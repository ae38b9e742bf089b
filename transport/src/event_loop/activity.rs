//! How busy an event loop is, for statistics: its turns, and the time in which it did not sleep.
//!
//! The clock is read when the loop falls asleep and when it wakes up, and at no other time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What one event loop has done. Only its own thread writes it, any thread reads it.
pub struct Activity {
    created: Instant,
    turns: AtomicU64,
    /// Nanoseconds of all periods between two sleeps that have ended.
    awake: AtomicU64,
    /// When the loop woke up, in nanoseconds since `created`; 0 while it sleeps.
    since: AtomicU64,
    /// The turns before the loop woke up.
    turns_before: AtomicU64,
    /// Nanoseconds of an average turn in the period in which those were the longest.
    longest: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Activity {
            created: Instant::now(),
            turns: AtomicU64::new(0),
            awake: AtomicU64::new(0),
            since: AtomicU64::new(0),
            turns_before: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }
}

impl Activity {
    /// Turns of the loop.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The time in which the loop did not sleep.
    pub fn awake(&self) -> Duration {
        let now = self.now();
        let since = self.since.load(Ordering::Relaxed);
        let this_period = if since == 0 { 0 } else { now.saturating_sub(since) };
        Duration::from_nanos(self.awake.load(Ordering::Relaxed) + this_period)
    }

    /// How long a turn took in the period between two sleeps in which they took longest, on average.
    pub fn longest_turn(&self) -> Duration {
        Duration::from_nanos(self.longest.load(Ordering::Relaxed))
    }

    /// Begins anew to look for the longest turn.
    pub fn forget_longest_turn(&self) {
        self.longest.store(0, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn note_turn(&self) {
        self.turns.store(self.turns() + 1, Ordering::Relaxed);
    }

    pub(super) fn falls_asleep(&self) {
        let since = self.since.swap(0, Ordering::Relaxed);
        if since == 0 {
            return;
        }
        let period = self.now().saturating_sub(since);
        self.awake.store(self.awake.load(Ordering::Relaxed) + period, Ordering::Relaxed);
        let turns = self.turns() - self.turns_before.load(Ordering::Relaxed);
        let each = period / turns.max(1);
        if each > self.longest.load(Ordering::Relaxed) {
            self.longest.store(each, Ordering::Relaxed);
        }
    }

    pub(super) fn wakes_up(&self) {
        self.turns_before.store(self.turns(), Ordering::Relaxed);
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// Nanoseconds since it was created, at least 1.
    fn now(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_while_the_loop_is_awake() {
        let activity = Activity::default();
        assert_eq!(activity.awake(), Duration::ZERO);
        activity.wakes_up();
        activity.note_turn();
        while activity.awake() < Duration::from_micros(50) {}
        activity.note_turn();
        activity.falls_asleep();
        let awake = activity.awake();
        assert!(awake >= Duration::from_micros(50));
        assert_eq!((activity.turns(), activity.longest_turn()), (2, awake / 2));
        assert_eq!(activity.awake(), awake, "it sleeps");
        activity.falls_asleep();
        assert_eq!(activity.awake(), awake, "it sleeps already");
        activity.forget_longest_turn();
        assert_eq!(activity.longest_turn(), Duration::ZERO);
    }
}

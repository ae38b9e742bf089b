//! CLIENT PAUSE: until when which commands wait.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Which commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    /// Those that may write.
    Writes,
    All,
}

/// The pause of the whole server. It changes only while no other thread is in the keyspace, so that
/// one look per turn is enough.
#[derive(Default)]
pub struct Pause {
    /// Milliseconds of Unix time.
    until: AtomicI64,
    all: AtomicBool,
}

impl Pause {
    /// What waits now.
    #[inline]
    pub fn current(&self, now: i64) -> Option<Paused> {
        if self.until.load(Ordering::Relaxed) <= now {
            return None;
        }
        Some(if self.all.load(Ordering::Relaxed) { Paused::All } else { Paused::Writes })
    }

    /// Milliseconds until the pause is over; 0 without one.
    pub fn remaining(&self, now: i64) -> u64 {
        self.until.load(Ordering::Relaxed).saturating_sub(now).max(0) as u64
    }

    /// Pauses until `until`. A pause that is already there is never made shorter or weaker.
    pub fn extend(&self, now: i64, until: i64, paused: Paused) {
        let current = self.current(now);
        if current.is_none() || self.until.load(Ordering::Relaxed) < until {
            self.until.store(until, Ordering::Relaxed);
        }
        self.all.store(current.max(Some(paused)) == Some(Paused::All), Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.until.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pause_only_adds_to_the_first() {
        let pause = Pause::default();
        assert_eq!((pause.current(5), pause.remaining(5)), (None, 0));
        pause.extend(5, 100, Paused::Writes);
        assert_eq!((pause.current(99), pause.remaining(99)), (Some(Paused::Writes), 1));
        pause.extend(5, 50, Paused::All);
        assert_eq!((pause.current(99), pause.current(100)), (Some(Paused::All), None));
        pause.extend(6, 70, Paused::Writes);
        assert_eq!(pause.current(99), Some(Paused::All));
        pause.extend(100, 150, Paused::Writes);
        assert_eq!(pause.current(100), Some(Paused::Writes));
        pause.end();
        assert_eq!(pause.current(100), None);
    }
}

//! Looking at the descriptors a few times before the thread sleeps, where that pays off.
//!
//! A worker that keeps up with its clients runs out of work between any two requests. To sleep and be
//! woken takes its processor time, and that of the client that wakes it. So the loop looks a few times
//! before it sleeps. All looks together take 2 µs, the sleep 4 to 7 µs of either side: so even if none
//! of them finds anything, little is lost.
//!
//! Where looks hardly ever spare the loop a sleep (one client that waits for each reply, say), it sleeps
//! at once and only now and then tries again. It must not give up early: sleeps beget sleeps, since the
//! work that piles up until the thread runs is done at once, and then nothing is left to be found.

use std::cell::Cell;

/// Looks before a sleep.
const LOOKS: u32 = 13;

/// The share of the looked-at idle moments, in `CERTAIN`, that must have ended by a look.
const WORTH_IT: u32 = CERTAIN / 32;
const CERTAIN: u32 = 1 << 16;

/// How fast new experience replaces old: each idle moment counts one in so many.
const MEMORY: u32 = 256;

/// Where looking does not pay off, one in so many idle moments tries it again.
const RETRY: u32 = 64;

/// One loop's experience with looking.
pub(super) struct Looker {
    /// Of `CERTAIN`: how often looks have lately ended an idle moment.
    worth: Cell<u32>,
    /// The present idle moment was looked at.
    looking: Cell<bool>,
    /// Idle moments that were not looked at, since the last that was.
    skipped: Cell<u32>,
}

impl Default for Looker {
    fn default() -> Self {
        Looker { worth: Cell::new(CERTAIN / 4), looking: Cell::new(false), skipped: Cell::new(0) }
    }
}

impl Looker {
    /// An idle moment begins: how often to look before it becomes a sleep.
    pub(super) fn looks(&self) -> u32 {
        if self.worth.get() < WORTH_IT {
            let skipped = self.skipped.get() + 1;
            self.skipped.set(skipped % RETRY);
            if skipped < RETRY {
                return 0;
            }
        }
        self.looking.set(true);
        LOOKS
    }

    /// A look has found something; `earlier` ones of this idle moment had not. Where the first one
    /// does, there was no idle moment.
    pub(super) fn found(&self, earlier: u32) {
        if earlier > 0 {
            self.learn(CERTAIN);
        }
    }

    /// The idle moment becomes a sleep.
    pub(super) fn sleeps(&self) {
        if self.looking.get() {
            self.learn(0);
        }
    }

    fn learn(&self, outcome: u32) {
        self.looking.set(false);
        let worth = self.worth.get();
        self.worth.set(worth - worth / MEMORY + outcome / MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pay_off_is_given_up_and_tried_again() {
        let looker = Looker::default();
        let fruitless = || {
            let looks = looker.looks() > 0;
            looker.sleeps();
            looks
        };
        assert_eq!((0..300).filter(|_| fruitless()).count(), 300);
        (0..1000).for_each(|_| _ = fruitless());
        let looked = (0..1000).filter(|_| fruitless());
        assert!((10..40).contains(&looked.count()));
        // It pays off again: all the more often it is done.
        let looked = (0..1000).filter(|_| {
            let looks = looker.looks() > 0;
            if looks {
                looker.found(1)
            } else {
                looker.sleeps()
            }
            looks
        });
        assert!(looked.count() > 500);
    }
}

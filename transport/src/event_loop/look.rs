//! Looking at the descriptors a few times before the thread sleeps, where that pays off.
//!
//! A worker that keeps up with its clients runs out of work between any two requests. To sleep and be
//! woken takes its processor time, 4 to 7 µs, and as much of the client that wakes it. So the loop looks
//! a few times before it sleeps: in one idle moment for a share of what serving one descriptor takes. So
//! even if none of the looks finds anything, what a request costs grows by that share at most.
//!
//! Where looks hardly ever spare the loop a sleep (one client that waits for each reply, say), it sleeps
//! at once and only now and then tries again. It must not give up early: sleeps beget sleeps, since the
//! work that piles up until the thread runs is done at once, and then nothing is left to be found.

use std::cell::Cell;

use quanta::Clock;

/// Of what serving one descriptor takes, in percent: what the looks of an idle moment take. More looks cost
/// the server about as much as they spare its clients.
const SHARE: u64 = 50;

/// Looks in an idle moment, at most: all of them take about twice as long as a sleep.
const MOST: u64 = 64;

/// Ticks of a look, before it was measured.
const LOOK: u64 = 400;

/// One in so many turns that find something is measured.
const MEASURED: u32 = 16;

/// How fast a new measurement replaces old ones: it counts one in so many.
const SMOOTH: u64 = 32;

/// The share of the looked-at idle moments, in `CERTAIN`, that must have ended by a look.
const WORTH_IT: u32 = CERTAIN / 32;
const CERTAIN: u32 = 1 << 16;

/// How fast new experience replaces old: each idle moment counts one in so many.
const MEMORY: u32 = 256;

/// Where looking does not pay off, one in so many idle moments tries it again.
const RETRY: u32 = 64;

/// One loop's experience with looking.
pub(super) struct Looker {
    clock: Clock,
    /// How long serving one descriptor takes, and one look.
    work: Mean,
    look: Mean,
    /// Turns that have found something since the last that was measured.
    unmeasured: Cell<u32>,
    /// Of a turn that is measured: when it found something, and how many descriptors.
    began: Cell<Option<(u64, u64)>>,
    /// Of an idle moment that is measured: when it began.
    idle_since: Cell<Option<u64>>,
    /// Of `CERTAIN`: how often looks have lately ended an idle moment.
    worth: Cell<u32>,
    /// Looks that the present idle moment may take.
    looks: Cell<u64>,
    /// Idle moments that were not looked at, since the last that was.
    skipped: Cell<u32>,
}

impl Default for Looker {
    fn default() -> Self {
        Looker::new(Clock::new())
    }
}

impl Looker {
    fn new(clock: Clock) -> Self {
        Looker {
            clock,
            // Until it is known better: of usual requests.
            work: Mean::new(14 * LOOK * 100 / SHARE),
            look: Mean::new(LOOK),
            unmeasured: Cell::new(0),
            began: Cell::new(None),
            idle_since: Cell::new(None),
            worth: Cell::new(CERTAIN / 4),
            looks: Cell::new(0),
            skipped: Cell::new(0),
        }
    }

    /// All that was ready is served: how often to look before this becomes a sleep.
    pub(super) fn looks(&self) -> u64 {
        self.measure_work();
        self.looks.set(0);
        if self.worth.get() < WORTH_IT {
            let skipped = self.skipped.get() + 1;
            self.skipped.set(skipped % RETRY);
            if skipped < RETRY {
                return 0;
            }
        }
        self.looks.set((self.work.get() * SHARE / 100 / self.look.get()).clamp(1, MOST));
        self.looks.get()
    }

    /// A look has found so many descriptors; `earlier` ones of this idle moment had found none. Where the
    /// first one does, there was no idle moment.
    pub(super) fn found(&self, earlier: u64, descriptors: usize) {
        if earlier > 0 {
            self.learn(CERTAIN);
        }
        self.woken(descriptors);
    }

    /// The idle moment becomes a sleep.
    pub(super) fn sleeps(&self) {
        let looks = self.looks.get();
        if looks == 0 {
            return;
        }
        self.learn(0);
        if let Some(since) = self.idle_since.take() {
            // Whatever else the processor did meanwhile is no part of a look.
            let most = 4 * self.look.get();
            self.look.add((self.clock.raw().saturating_sub(since) / looks).min(most));
        }
    }

    /// A sleep has ended because of so many descriptors.
    pub(super) fn woken(&self, descriptors: usize) {
        let unmeasured = self.unmeasured.get() + 1;
        self.unmeasured.set(unmeasured % MEASURED);
        if unmeasured == MEASURED && descriptors > 0 {
            self.began.set(Some((self.clock.raw(), descriptors as u64)));
        }
    }

    fn measure_work(&self) {
        self.idle_since.set(None);
        if let Some((began, descriptors)) = self.began.take() {
            let now = self.clock.raw();
            // However long it was: more looks than these there will not be.
            let most = MOST * self.look.get() * 100 / SHARE;
            self.work.add((now.saturating_sub(began) / descriptors).min(most));
            self.idle_since.set(Some(now));
        }
    }

    fn learn(&self, outcome: u32) {
        let worth = self.worth.get();
        self.worth.set(worth - worth / MEMORY + outcome / MEMORY);
    }
}

/// A mean of durations in ticks, in which the latest ones count most.
struct Mean(Cell<u64>);

impl Mean {
    fn new(ticks: u64) -> Self {
        Mean(Cell::new(ticks * SMOOTH))
    }

    fn get(&self) -> u64 {
        (self.0.get() / SMOOTH).max(1)
    }

    fn add(&self, ticks: u64) {
        let sum = self.0.get();
        self.0.set(sum - sum / SMOOTH + ticks);
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
                looker.found(1, 1)
            } else {
                looker.sleeps()
            }
            looks
        });
        assert!(looked.count() > 500);
    }

    #[test]
    fn looks_take_a_share_of_what_serving_a_descriptor_takes() {
        let (clock, time) = Clock::mock();
        let looker = Looker::new(clock);
        let looks = |work: u64, look: u64| {
            let mut looks = 0;
            for _ in 0..500 * MEASURED {
                looker.woken(2);
                time.increment(2 * work);
                looks = looker.looks();
                time.increment(looks * look);
                looker.sleeps();
                // It is worth while all the same.
                looker.worth.set(CERTAIN);
            }
            looks
        };
        assert!((24..=25).contains(&looks(8000, 160)));
        assert!((61..=62).contains(&looks(20_000, 160)));
        assert_eq!(looks(1_000_000, 160), MOST);
        assert_eq!(looks(100, 160), 1);
        assert!((24..=25).contains(&looks(8000, 160)), "it forgets");
    }
}

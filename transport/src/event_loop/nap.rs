//! Naps: sleeps of a few microseconds that no descriptor ends.
//!
//! A thread that many clients keep busy still runs out of work between two requests. Then the client that sends
//! the next one has to wake it, which costs the client several microseconds; and the thread goes to
//! sleep and wakes up for that one request. In a nap, requests gather and nobody has to wake the thread, for
//! which reason network cards put interrupts off. Where clients are what limits the throughput (50 connections of
//! one redis-benchmark, one request at a time), they get a tenth more done, and the thread needs less time for it.
//!
//! But a request may wait for the end of a nap. Where clients are not the limit, that is all there is to it, and
//! nothing that the thread sees of its clients tells it which of them it has. So it tries: naps are taken where
//! the clients get more done with them than without, in trials of a fraction of a second again and again, and
//! even then a nap is no longer than a small part of the time from one request of a client to its next. Few
//! clients never meet a napping thread, nor do many who leave it idle for most of the time.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU64;
use std::time::Duration;

use quanta::Clock;
use rustix::thread::{nanosleep, set_current_timer_slack};
use rustix::time::Timespec;

use super::poller::Activity;

/// How long the loop's activity is watched at a time: some hundred requests.
const PERIOD: Duration = Duration::from_millis(4);

/// A nap is no longer than this part of the time from one event of a descriptor to its next. With as many
/// descriptors, one event is expected in it; fewer are not worth it.
const SHARE: u32 = 16;

/// The longest nap: several times what it takes to wake a thread.
const LONGEST: Duration = Duration::from_micros(40);

/// Naps in an idle moment, after which it becomes a sleep. An event waits for the end of one of them at most.
pub(super) const NAPS: u32 = 2;

/// Neighbouring periods with naps and without that a trial compares.
const PAIRS: u32 = 24;

/// Naps begin where so many pairs speak for them: by chance, 1 trial in 500 does.
const BEGIN: u32 = PAIRS * 3 / 4;

/// Naps go on while so many do.
const KEEP: u32 = PAIRS * 5 / 8;

/// A pair speaks for naps where there were so many times more events with them.
const GAIN: f64 = 1.01;

/// Periods from a trial to the next, at first; twice as many from each that found what the last one had.
const SETTLED: u32 = 64;
const LONGEST_SETTLED: u32 = 1024;

/// When and how long one loop's thread naps.
pub(super) struct Napper {
    clock: Clock,
    /// Ticks of the clock at the beginning of the period.
    started: Cell<u64>,
    /// Ticks at the end of the last idle moment.
    resumed: Cell<u64>,
    /// Ticks of the period in which there was something to do.
    busy: Cell<u64>,
    trial: RefCell<Trial>,
    nap: Cell<Option<Duration>>,
}

impl Napper {
    /// Of the calling thread, which from now on wakes up when it has asked to: until then, the system may
    /// let it sleep 50 µs longer.
    pub(super) fn new() -> Napper {
        // A kernel without this call refuses it, and its naps are longer.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let clock = Clock::new();
        let now = clock.raw();
        Napper {
            started: Cell::new(now),
            resumed: Cell::new(now),
            clock,
            busy: Cell::new(0),
            trial: RefCell::default(),
            nap: Cell::new(None),
        }
    }

    /// An idle moment begins: how long to nap, if at all.
    pub(super) fn pauses(&self, activity: &Activity) -> Option<Duration> {
        let now = self.clock.raw();
        self.busy.set(self.busy.get() + now.saturating_sub(self.resumed.get()));
        let elapsed = self.clock.delta(self.started.get(), now);
        if elapsed >= PERIOD {
            self.next_period(now, elapsed, activity);
        }
        self.nap.get()
    }

    /// The idle moment is over.
    pub(super) fn resumes(&self) {
        self.resumed.set(self.clock.raw());
    }

    #[cold]
    fn next_period(&self, now: u64, elapsed: Duration, activity: &Activity) {
        let (events, descriptors) = activity.take();
        let busy = Duration::from_nanos(self.clock.delta_as_nanos(0, self.busy.take()));
        let nap = worthwhile(elapsed, busy, events, descriptors);
        let rate = nap.map(|_| f64::from(events) / elapsed.as_secs_f64());
        // Of a counter of the processor's cycles, the low bits are as good as random.
        let naps = self.trial.borrow_mut().naps_next(rate, now.count_ones().is_multiple_of(2));
        self.nap.set(nap.filter(|_| naps));
        self.started.set(now);
    }
}

/// The nap to try or to take where some time had so many events of so many descriptors, and so much to do.
fn worthwhile(
    elapsed: Duration,
    busy: Duration,
    events: u32,
    descriptors: u32,
) -> Option<Duration> {
    let is_idle = busy < elapsed / 3;
    let is_never_idle = busy > elapsed / 20 * 19;
    if descriptors < SHARE || is_idle || is_never_idle {
        return None;
    }
    let round = elapsed.mul_f64(f64::from(descriptors) / f64::from(events));
    Some((round / SHARE).min(LONGEST))
}

/// Sleeps for so long.
pub(super) fn take(nap: Duration) {
    let time = Timespec { tv_sec: 0, tv_nsec: nap.subsec_nanos().into() };
    // Where a signal ends it, it was long enough.
    let _ = nanosleep(&time);
}

/// Whether clients get more done with naps than without.
#[derive(Default)]
struct Trial {
    /// Naps are taken in the present period.
    naps: bool,
    /// The last verdict.
    verdict: bool,
    /// Periods until the next trial, and how many there were after the last one.
    left: u32,
    settled: u32,
    pairs: u32,
    for_naps: u32,
    /// The rate in the first period of a pair.
    first: Option<f64>,
}

impl Trial {
    /// A period is over, with so many events in a second if it is one to learn from. Whether to nap in the next
    /// one; where a pair of periods begins, `naps_first` decides.
    fn naps_next(&mut self, rate: Option<f64>, naps_first: bool) -> bool {
        let Some(rate) = rate else {
            self.first = None;
            return self.naps;
        };
        if self.left > 0 {
            self.left -= 1;
            if self.left == 0 {
                self.naps = naps_first;
            }
            return self.naps;
        }
        let Some(first) = self.first.take() else {
            self.first = Some(rate);
            self.naps = !self.naps;
            return self.naps;
        };
        self.pairs += 1;
        let (with, without) = if self.naps { (rate, first) } else { (first, rate) };
        self.for_naps += u32::from(with > without * GAIN);
        if self.pairs < PAIRS {
            self.naps = naps_first;
        } else {
            self.end();
        }
        self.naps
    }

    fn end(&mut self) {
        let verdict = self.for_naps >= if self.verdict { KEEP } else { BEGIN };
        self.settled = if verdict == self.verdict {
            (self.settled * 2).clamp(SETTLED, LONGEST_SETTLED)
        } else {
            SETTLED
        };
        self.left = self.settled;
        (self.pairs, self.for_naps) = (0, 0);
        (self.verdict, self.naps) = (verdict, verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_nap_is_a_small_part_of_the_time_between_the_requests_of_a_client() {
        let nap = |events, descriptors| worthwhile(4 * MS, 2 * MS, events, descriptors);
        assert_eq!(nap(400, 50), Some(Duration::from_nanos(500_000 / 16)));
        assert_eq!(nap(400, 16), Some(Duration::from_micros(10)));
        assert_eq!(nap(400, 15), None, "few clients");
        assert_eq!(nap(300, 50), Some(LONGEST));
    }

    #[test]
    fn there_are_no_naps_where_there_is_little_to_do_or_no_idle_moment() {
        let nap = |busy| worthwhile(8 * MS, busy, 400, 50);
        assert_eq!(nap(2 * MS), None);
        assert!(nap(3 * MS).is_some() && nap(7 * MS).is_some());
        assert_eq!(nap(8 * MS), None);
    }

    /// Runs periods whose rates are those of `rate`, given whether there are naps. Returns in how many of the
    /// second half there were.
    fn napped(periods: u32, rate: impl Fn(bool, u32) -> Option<f64>) -> u32 {
        let mut trial = Trial::default();
        let mut naps = false;
        let mut count = 0;
        for period in 0..periods {
            naps = trial.naps_next(rate(naps, period), period.wrapping_mul(0x9e37_79b9) >> 31 == 1);
            count += u32::from(naps && period >= periods / 2);
        }
        count
    }

    /// Up to so many parts in a thousand, either way.
    fn noise(period: u32, most: u32) -> f64 {
        let random =
            period.wrapping_mul(0x85eb_ca6b).rotate_left(13).wrapping_mul(0xc2b2_ae35) >> 8;
        1.0 + (f64::from(random % (2 * most + 1)) - f64::from(most)) / 1000.0
    }

    #[test]
    fn naps_stay_where_clients_get_more_done() {
        let more = |naps, period| Some(if naps { 108.0 } else { 100.0 } * noise(period, 30));
        assert!(napped(20_000, more) > 9_700);
    }

    #[test]
    fn naps_are_hardly_tried_where_clients_get_no_more_done_or_less() {
        let same = |_, period| Some(100.0 * noise(period, 80));
        assert!((1..400).contains(&napped(20_000, same)));
        let less = |naps, period| Some(if naps { 97.0 } else { 100.0 } * noise(period, 30));
        assert!((1..400).contains(&napped(20_000, less)));
    }

    #[test]
    fn periods_with_nothing_to_learn_change_nothing() {
        let mut trial = Trial::default();
        let rate = |naps| Some(if naps { 108.0 } else { 100.0 });
        let mut naps = false;
        for period in 0..20_000 {
            naps = trial.naps_next(rate(naps), period % 3 == 0);
        }
        assert!(trial.verdict);
        for _ in 0..20_000 {
            trial.naps_next(None, false);
        }
        assert!(trial.verdict && trial.pairs < PAIRS);
    }
}

//! How long the calls of a command take: a histogram of two significant digits, from a nanosecond to a second.
//!
//! A worker counts in histograms of its own with plain stores; readers add up all workers'. The buckets are
//! those of an HDR histogram, since clients compare what they are shown with the bounds of Valkey's: all
//! values below 256 have their own, and from there on each power of two is divided into 128.
//! Memory is taken only for the powers of two that occur, one KiB for each.

use std::sync::OnceLock;

use super::counter::Counter;

/// Buckets of one power of two.
const HALF: usize = 128;

/// The values below 128, and the powers of two from there to the longest duration.
const OCTAVES: usize = 24;

/// The longest duration, in nanoseconds. What takes longer is counted as this.
const LONGEST: u64 = 1_000_000_000;

/// The first bound of [`Latencies::cumulative`], in nanoseconds. Each further one is twice that.
const FIRST_BOUND: u64 = 1024;

type Octave = Box<[Counter; HALF]>;

/// One worker's histogram of one command.
#[derive(Default)]
pub struct Histogram {
    octaves: [OnceLock<Octave>; OCTAVES],
}

impl Histogram {
    /// Counts a duration. Only the owning thread may call this.
    #[inline]
    pub fn record(&self, nanoseconds: u64) {
        let value = nanoseconds.clamp(1, LONGEST);
        let octave = octave(value);
        let counters = self.octaves[octave].get_or_init(empty);
        counters[(value >> octave.saturating_sub(1)) as usize % HALF].add(1);
    }

    /// Counts from nothing again. As with all counters, an addition at the same time may be lost.
    pub fn reset(&self) {
        let counters = self.octaves.iter().filter_map(OnceLock::get);
        counters.flat_map(|counters| counters.iter()).for_each(Counter::reset);
    }
}

#[cold]
fn empty() -> Octave {
    Box::new([const { Counter::new() }; HALF])
}

/// The octave of a value: 0 for those below 128, then one for each power of two.
#[inline]
fn octave(value: u64) -> usize {
    (57 - (value | 127).leading_zeros()) as usize
}

/// The lowest and the highest value of a bucket.
fn bounds(bucket: usize) -> (u64, u64) {
    let (octave, position) = (bucket / HALF, (bucket % HALF) as u64);
    if octave == 0 {
        return (position, position);
    }
    let shift = octave - 1;
    let lowest = (HALF as u64 + position) << shift;
    (lowest, lowest + (1 << shift) - 1)
}

/// What several histograms say together.
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
}

impl Latencies {
    /// Adds up the histograms; `None` if nothing was counted.
    pub fn of<'h>(histograms: impl Iterator<Item = &'h Histogram>) -> Option<Latencies> {
        let mut counts = Vec::new();
        for histogram in histograms {
            counts.resize(OCTAVES * HALF, 0);
            for (octave, counters) in histogram.octaves.iter().enumerate() {
                let counters = counters.get().into_iter().flat_map(|counters| counters.iter());
                let places = &mut counts[octave * HALF..];
                places
                    .iter_mut()
                    .zip(counters)
                    .for_each(|(count, counter)| *count += counter.get());
            }
        }
        let total = counts.iter().sum();
        (total > 0).then_some(Latencies { counts, total })
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration in nanoseconds that so many percent of all do not exceed: the greatest of its bucket,
    /// but for 0 % the least.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = (percent / 100.0 * self.total as f64 + 0.5) as u64;
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted.max(1)
        });
        let (lowest, highest) = bounds(reached.unwrap_or(self.counts.len() - 1));
        if percent == 0.0 { lowest } else { highest }
    }

    /// How many durations did not exceed each bound, for bounds that double: microseconds, and the
    /// durations up to there. Bounds at which nothing is added are left out.
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut steps: Vec<(u64, u64)> = Vec::new();
        let mut bound = FIRST_BOUND;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (lowest, _) = bounds(bucket);
            while lowest > bound {
                bound *= 2;
            }
            seen += count;
            // The bucket that begins with the bound belongs to it as a whole, as in Valkey; the last bound
            // is the end of the histogram.
            let shown = (bound + bound / HALF as u64 - 1).min((HALF as u64 * 2) << (OCTAVES - 2));
            let shown = shown / 1000;
            match steps.last_mut() {
                Some((last, total)) if *last == shown => *total = seen,
                _ => steps.push((shown, seen)),
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(durations: &[u64]) -> Latencies {
        let histogram = Histogram::default();
        durations.iter().for_each(|duration| histogram.record(*duration));
        Latencies::of([histogram].iter()).expect("something was counted")
    }

    #[test]
    fn a_value_is_in_a_bucket_of_two_significant_digits() {
        for value in (1..100_000).chain((17..30).flat_map(|n| [(1 << n) - 1, 1 << n])) {
            let (octave, histogram) = (octave(value), Histogram::default());
            histogram.record(value);
            let counters = histogram.octaves[octave].get().unwrap();
            let position = counters.iter().position(|counter| counter.get() == 1).unwrap();
            let (lowest, highest) = bounds(octave * HALF + position);
            assert!(lowest <= value && value <= highest, "{value}: {lowest} to {highest}");
            assert!((highest - lowest) * 100 <= value, "{value}: {lowest} to {highest}");
        }
        assert_eq!(latencies(&[0]).percentile(100.0), 1);
        assert_eq!(bounds(OCTAVES * HALF - 1).1, (1 << 30) - 1);
    }

    #[test]
    fn percentiles_are_those_that_valkey_shows() {
        let shown = |microseconds: u64| latencies(&[microseconds * 1000]).percentile(50.0);
        for (microseconds, nanoseconds) in [
            (1, 1_003),
            (2, 2_007),
            (9, 9_023),
            (37, 37_119),
            (79, 79_359),
            (129, 129_023),
            (50_200, 50_331_647),
            (1_200_000, 1_002_438_655),
        ] {
            assert_eq!(shown(microseconds), nanoseconds, "{microseconds} µs");
        }
        let many = latencies(&(1..=1000).map(|n| n * 1000).collect::<Vec<_>>());
        assert_eq!(many.percentile(0.0), 1_000);
        assert_eq!(many.percentile(50.0), 501_759);
        assert_eq!(many.percentile(100.0), 1_003_519);
        assert_eq!(many.total(), 1000);
    }

    #[test]
    fn bounds_double_and_empty_steps_are_left_out() {
        let us = |n: u64| n * 1000;
        let debug = [us(1_220), us(50_100), us(300_000), us(1_200_000), us(2_300_000)];
        let steps = [(2_113, 1), (67_633, 2), (541_065, 3), (1_073_741, 5)];
        assert_eq!(latencies(&debug).cumulative(), steps);
        let set = [us(1), us(1), us(9), us(10)];
        assert_eq!(latencies(&set).cumulative(), [(1, 2), (16, 4)]);
        for (value, bound) in [(1, 1), (1_031, 1), (1_032, 2), (131_072, 132), (132_095, 132)] {
            assert_eq!(latencies(&[value]).cumulative(), [(bound, 1)], "{value} ns");
        }
    }

    #[test]
    fn a_reset_leaves_nothing() {
        let histogram = Histogram::default();
        assert!(Latencies::of([].iter()).is_none());
        histogram.record(5);
        histogram.record(5_000_000);
        histogram.reset();
        assert!(Latencies::of([histogram].iter()).is_none());
    }
}

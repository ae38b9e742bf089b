//! Random numbers that are to be evenly distributed, not secret: a generator for each thread.

/// A number drawn evenly from all.
#[inline]
pub fn next() -> u64 {
    fastrand::u64(..)
}

/// A number drawn evenly from those below `bound`, which must not be 0.
#[inline]
pub fn below(bound: u64) -> u64 {
    fastrand::u64(..bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_in_bounds() {
        let mut counts = [0; 10];
        (0..100_000).for_each(|_| counts[below(10) as usize] += 1);
        // Ten standard deviations around the mean.
        assert!(counts.iter().all(|count| (9_000..11_000).contains(count)), "{counts:?}");
    }
}

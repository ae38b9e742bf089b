//! Random numbers for draws that need be fair, not secret.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

thread_local! {
    /// SplitMix64's state; the standard library's hash keys are random in each thread.
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0u8));
}

/// A number drawn evenly from all.
pub fn next() -> u64 {
    STATE.with(|state| {
        // The increment and the mixing constants are SplitMix64's.
        state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = state.get();
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    })
}

/// A number drawn evenly from those below `bound`, which must not be 0.
pub fn below(bound: u64) -> u64 {
    // The high half of the product; the bias is below bound / 2^64.
    ((u128::from(next()) * u128::from(bound)) >> 64) as u64
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

//! `math.random`: the sequence of numbers that Valkey's scripts get, the same on every server.

use std::sync::atomic::{AtomicU64, Ordering};

use super::raw::{Raised, Stack};

/// The linear congruential generator of 48 bits that POSIX specifies for `lrand48`.
const FACTOR: u64 = 0x5_DEEC_E66D;
const ADDEND: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// The low 16 bits after seeding.
const SEED_LOW: u64 = 0x330E;

/// The state before anybody seeds it.
const START: u64 = 0x1234_ABCD_330E;

/// Numbers are below this one.
const RANGE: u64 = i32::MAX as u64;

/// The numbers that all scripts of a server share.
pub struct Sequence(AtomicU64);

impl Default for Sequence {
    fn default() -> Self {
        Sequence(AtomicU64::new(START))
    }
}

impl Sequence {
    pub fn seed(&self, seed: i32) {
        self.0.store(u64::from(seed as u32) << 16 | SEED_LOW, Ordering::Relaxed);
    }

    /// A number from 0 to 1, which is not reached.
    pub fn next(&self) -> f64 {
        let next = self.0.load(Ordering::Relaxed).wrapping_mul(FACTOR).wrapping_add(ADDEND) & MASK;
        self.0.store(next, Ordering::Relaxed);
        ((next >> 17) % RANGE) as f64 / RANGE as f64
    }
}

/// `math.random([low,] [high])`
pub fn random(stack: Stack) -> Result<i32, Raised> {
    let drawn = stack.shared().random.next();
    let bound = |argument| stack.check_number(argument) as i64 as i32;
    let (low, high, last) = match stack.top() {
        0 => {
            stack.push_number(drawn);
            return Ok(1);
        }
        1 => (1, bound(1), 1),
        2 => (bound(1), bound(2), 2),
        _ => return stack.error(b"wrong number of arguments"),
    };
    if low > high {
        stack.argument_error(last, c"interval is empty");
    }
    stack.push_number((drawn * (f64::from(high) - f64::from(low) + 1.0)).floor() + f64::from(low));
    Ok(1)
}

/// `math.randomseed(number)`
pub fn randomseed(stack: Stack) -> Result<i32, Raised> {
    let seed = stack.check_number(1) as i64 as i32;
    stack.shared().random.seed(seed);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The replies of Valkey 9.1.2, from its start on, to `EVAL "return tostring(math.random())" 0`.
    #[test]
    fn the_sequence_is_valkeys() {
        let sequence = Sequence::default();
        let first: Vec<String> = (0..2).map(|_| format!("{:.14}", sequence.next())).collect();
        assert_eq!(first, ["0.39646477363839", "0.84048536971234"]);
        sequence.seed(42);
        assert_eq!(format!("{:.14}", sequence.next()), "0.74452500033403");
    }
}

//! From registers to a count: Otmar Ertl's estimator ("New cardinality estimation algorithms for
//! HyperLogLog sketches", 2017, algorithm 6), which needs no correction for small or large counts.

use super::{REGISTERS, RUN_BITS, dense};

/// Values that a register can have.
pub(super) const VALUES: usize = dense::MAX as usize + 1;

/// How many registers have each value.
pub(super) type Histogram = [u32; VALUES];

/// 1 / (2 ln 2): the estimator's factor for an infinite number of registers.
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The estimate, rounded. Registers that no element can have raised so far may make it infinite:
/// the number is then what a processor of Valkey's makes of that.
pub(super) fn count(histogram: &Histogram) -> u64 {
    let registers = REGISTERS as f64;
    let full = f64::from(histogram[RUN_BITS as usize + 1]);
    let mut sum = registers * tau((registers - full) / registers);
    for at in (1..=RUN_BITS as usize).rev() {
        sum = 0.5 * (sum + f64::from(histogram[at]));
    }
    sum += registers * sigma(f64::from(histogram[0]) / registers);
    let estimate = (ALPHA * registers * registers / sum).round();
    if estimate < i64::MAX as f64 { estimate as u64 } else { i64::MIN as u64 }
}

/// x + x²·1 + x⁴·2 + x⁸·4 + …
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut weight, mut sum) = (1.0, x);
    loop {
        let before = sum;
        x *= x;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

/// (1 - x - (1 - x^½)²·½ - (1 - x^¼)²·¼ - …) / 3
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut weight, mut sum) = (1.0, 1.0 - x);
    loop {
        let before = sum;
        x = x.sqrt();
        weight *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

//! The decimal digits that tell a double from its neighbours, by the Grisu2 algorithm.
//!
//! Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers", 2010. The
//! result is nearly always the shortest, and not always: clients see which, so it has to be this very
//! algorithm, with 64-bit significands and every eighth power of ten.

use std::sync::LazyLock;

use crate::number::extended::natural::Natural;

/// `digits × 10^exponent`; the digits are in ASCII.
pub struct Decimal {
    pub digits: [u8; MAX_DIGITS],
    pub len: usize,
    pub exponent: i32,
}

const MAX_DIGITS: usize = 18;

/// `significand × 2^exponent`.
#[derive(Clone, Copy)]
struct Binary {
    significand: u64,
    exponent: i32,
}

impl Binary {
    /// The same number with the highest bit of its significand set.
    fn normalized(self) -> Binary {
        self.at(self.exponent - self.significand.leading_zeros() as i32)
    }

    /// The same number with a lower exponent.
    fn at(self, exponent: i32) -> Binary {
        Binary { significand: self.significand << (self.exponent - exponent), exponent }
    }

    /// The product, rounded to 64 bits.
    fn times(self, other: Binary) -> Binary {
        let product = u128::from(self.significand) * u128::from(other.significand);
        let rounded = (product + (1 << 63)) >> 64;
        Binary { significand: rounded as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;
const POWERS_LEN: usize = 87;

/// Every eighth power of ten, normalized.
static POWERS: LazyLock<[Binary; POWERS_LEN]> =
    LazyLock::new(|| std::array::from_fn(|index| power(FIRST_POWER + index as i32 * POWER_STEP)));

/// 10 to the `exponent`, rounded to 64 bits.
fn power(exponent: i32) -> Binary {
    let mut five = Natural::from(1);
    five.multiply_by_power_of_5(exponent.unsigned_abs() as usize);
    let (bits, two, _) = if exponent >= 0 {
        let (bits, dropped, inexact) = five.highest();
        (bits, dropped as i32, inexact)
    } else {
        Natural::from(1).divide(five)
    };
    let excess = 64 - bits.leading_zeros() as i32;
    let (significand, carried) = if excess > 0 {
        let rounded = (bits + (1 << (excess - 1))) >> excess;
        // A carry out of the 64 bits leaves a power of two.
        (rounded as u64, rounded >> 64 != 0)
    } else {
        ((bits << -excess) as u64, false)
    };
    let exponent = exponent + two + excess;
    if carried {
        Binary { significand: 1 << 63, exponent: exponent + 1 }
    } else {
        Binary { significand, exponent }
    }
}

/// The exponent from which a scaled number's whole part fits in 32 bits, and leaves its fraction room
/// for a decimal digit.
const LEAST_EXPONENT: i32 = -60;

/// The digits of a number that is finite and greater than zero.
pub fn decimal(number: f64) -> Decimal {
    let (value, below, above) = with_boundaries(number);
    let index =
        POWERS.partition_point(|power| above.exponent + power.exponent + 64 < LEAST_EXPONENT);
    let power = POWERS[index];
    let above = above.times(power);
    // The products are off by less than one unit; one less on each side is surely inside.
    let most = Binary { significand: above.significand - 1, ..above };
    let interval = most.significand - (below.times(power).significand + 1);
    let distance = most.significand - value.times(power).significand;
    let mut decimal = generate(most, interval, distance);
    decimal.exponent -= FIRST_POWER + index as i32 * POWER_STEP;
    decimal
}

/// The number and the midpoints between it and its neighbours. The exponents are the same.
fn with_boundaries(number: f64) -> (Binary, Binary, Binary) {
    const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    const HIDDEN: u64 = 1 << FRACTION_BITS;
    /// The exponent of the last bit of the smallest numbers.
    const LEAST: i32 = -1074;
    let bits = number.to_bits();
    let (fraction, biased) = (bits & (HIDDEN - 1), (bits >> FRACTION_BITS) as i32);
    let value = match biased {
        0 => Binary { significand: fraction, exponent: LEAST },
        _ => Binary { significand: fraction | HIDDEN, exponent: LEAST + biased - 1 },
    };
    let Binary { significand, exponent } = value;
    let above = Binary { significand: 2 * significand + 1, exponent: exponent - 1 }.normalized();
    // Below a power of two the neighbours are half as far apart.
    let below = if significand == HIDDEN {
        Binary { significand: 4 * significand - 1, exponent: exponent - 2 }
    } else {
        Binary { significand: 2 * significand - 1, exponent: exponent - 1 }
    };
    (value.at(above.exponent), below.at(above.exponent), above)
}

/// The first digits of `most`, as few as leave a rest that lies inside the interval below it, and as
/// near as so many can be to the number that is `distance` below it.
fn generate(most: Binary, mut interval: u64, mut distance: u64) -> Decimal {
    let mut decimal = Decimal { digits: [0; MAX_DIGITS], len: 0, exponent: 0 };
    let point = -most.exponent as u32;
    let mask = (1u64 << point) - 1;
    let (mut whole, mut fraction) = (most.significand >> point, most.significand & mask);
    for place in (0..10).rev() {
        let unit = 10u64.pow(place);
        decimal.push(whole / unit);
        whole %= unit;
        let rest = (whole << point) + fraction;
        if rest <= interval {
            decimal.exponent = place as i32;
            decimal.approach(distance, interval, rest, unit << point);
            return decimal;
        }
    }
    loop {
        fraction *= 10;
        interval *= 10;
        distance = distance.wrapping_mul(10);
        decimal.exponent -= 1;
        decimal.push(fraction >> point);
        fraction &= mask;
        if fraction < interval {
            decimal.approach(distance, interval, fraction, 1 << point);
            return decimal;
        }
    }
}

impl Decimal {
    /// Appends a digit; leading zeros are left out.
    fn push(&mut self, digit: u64) {
        if digit > 0 || self.len > 0 {
            self.digits[self.len] = b'0' + digit as u8;
            self.len += 1;
        }
    }

    /// Lowers the last digit, which is worth `unit`, while that leads nearer to the number.
    fn approach(&mut self, distance: u64, interval: u64, mut rest: u64, unit: u64) {
        while rest < distance
            && interval - rest >= unit
            && (rest + unit < distance || distance - rest > rest + unit - distance)
        {
            self.digits[self.len - 1] -= 1;
            rest += unit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten_are_the_nearest() {
        for (exponent, significand, two) in [
            (0, 1 << 63, -63),
            (8, 0xbebc_2000_0000_0000, -37),
            (-8, 0xabcc_7711_8461_cefd, -90),
            (-348, 0xfa8f_d5a0_081c_0288, -1220),
            (340, 0xaf87_023b_9bf0_ee6b, 1066),
        ] {
            let power = power(exponent);
            assert_eq!((power.significand, power.exponent), (significand, two), "10^{exponent}");
        }
    }

    #[test]
    fn few_digits_are_found_again() {
        for (number, digits, exponent) in
            [(0.1, "1", -1), (1.5, "15", -1), (5e-324, "5", -324), (1e22, "1", 22)]
        {
            let found = decimal(number);
            assert_eq!(&found.digits[..found.len], digits.as_bytes());
            assert_eq!(found.exponent, exponent);
        }
    }
}

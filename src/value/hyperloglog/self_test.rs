//! PFSELFTEST: tests on the server's own machine, whose processor determines how registers are
//! merged.

use std::borrow::Cow;

use super::{Claim, Cursor, EMPTY, REGISTERS, Registers, count, dense, raise, to_dense};

/// Different elements that are counted.
const ELEMENTS: u64 = 100_000;

/// How far off an estimate may be: many times the standard error, which is 1.04 / √16384.
const TOLERANCE: f64 = 0.05;

/// Returns a description of the first fault.
pub fn self_test() -> Result<(), String> {
    merging()?;
    counting()
}

/// Registers survive being packed, unpacked and merged.
fn merging() -> Result<(), String> {
    let value = |register: usize, step: usize| (register * step % 64) as u8;
    let packed = |step| {
        let mut bytes = to_dense(EMPTY).expect("an empty one is sound");
        for register in 0..REGISTERS {
            super::raise_dense(&mut bytes, Claim { register, value: value(register, step) });
        }
        bytes
    };
    let (a, b) = (packed(7), packed(13));
    let mut registers = Registers::new();
    registers.merge(&a).and_then(|()| registers.merge(&b)).expect("dense ones are sound");
    let merged = registers.to_dense(EMPTY);
    for register in 0..REGISTERS {
        let expected = value(register, 7).max(value(register, 13));
        let found = dense::get(&merged[super::HEADER..], register);
        if found != expected || registers.get(register) != expected {
            return Err(format!("Register {register} should be {expected}, not {found}"));
        }
    }
    Ok(())
}

/// Estimates are near, and the same in both encodings.
fn counting() -> Result<(), String> {
    let mut sparse = Cow::Borrowed(&EMPTY[..]);
    let mut dense = to_dense(EMPTY).expect("an empty one is sound");
    for element in 1..=ELEMENTS {
        let claim = Claim::of(&element.to_le_bytes());
        let has_changed = raise(&mut sparse, claim, &mut Cursor::start(), 3000);
        if has_changed != Ok(super::raise_dense(&mut dense, claim)) {
            return Err(format!("Element {element} changes one encoding only"));
        }
        if element.is_power_of_two() || element == ELEMENTS {
            let (a, b) = (count(&sparse), count(&dense));
            let error = a.unwrap_or(0).abs_diff(element);
            if a != b || error as f64 > TOLERANCE * element as f64 {
                return Err(format!("Too big error. card:{element} abserr:{error}"));
            }
        }
    }
    Ok(())
}

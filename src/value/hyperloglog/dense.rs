//! The dense encoding: six bits for each register, from the lowest of the first byte on.

use super::{Claim, REGISTERS};

pub(super) const BITS: usize = 6;

/// Bytes of all registers.
pub(super) const LEN: usize = REGISTERS * BITS / 8;

/// The greatest number that a register can hold.
pub(super) const MAX: u8 = (1 << BITS) - 1;

pub(super) fn get(registers: &[u8], index: usize) -> u8 {
    let (at, shift) = place(index);
    let next = registers.get(at + 1).copied().unwrap_or(0);
    (u16::from_le_bytes([registers[at], next]) >> shift) as u8 & MAX
}

/// Raises a register, if it is lower. Says whether it was.
pub(super) fn raise(registers: &mut [u8], claim: Claim) -> bool {
    if get(registers, claim.register) >= claim.value {
        return false;
    }
    let (at, shift) = place(claim.register);
    let [keep, keep_next] = (!(u16::from(MAX) << shift)).to_le_bytes();
    let [set, set_next] = (u16::from(claim.value) << shift).to_le_bytes();
    registers[at] = registers[at] & keep | set;
    if let Some(next) = registers.get_mut(at + 1) {
        *next = *next & keep_next | set_next;
    }
    true
}

/// The byte that a register begins in, and the bits before it there.
fn place(index: usize) -> (usize, usize) {
    (index * BITS / 8, index * BITS % 8)
}

//! The library `bit`: operations on the low 32 bits of numbers.

use super::super::raw::{Raised, Stack, entry};

/// Adding this to a number below 2^51 puts its integer part, rounded to even, into the low bits of the double.
const SHIFT: f64 = 6_755_399_441_055_744.0;

pub fn push(stack: Stack) {
    super::push_functions(
        stack,
        &[
            ("tobit", entry!(tobit)),
            ("bnot", entry!(bnot)),
            ("bswap", entry!(bswap)),
            ("band", entry!(band)),
            ("bor", entry!(bor)),
            ("bxor", entry!(bxor)),
            ("lshift", entry!(lshift)),
            ("rshift", entry!(rshift)),
            ("arshift", entry!(arshift)),
            ("rol", entry!(rol)),
            ("ror", entry!(ror)),
            ("tohex", entry!(tohex)),
        ],
    );
}

/// The bits of a number argument.
fn bits(stack: Stack, argument: i32) -> u32 {
    (stack.check_number(argument) + SHIFT).to_bits() as u32
}

/// Answers the bits as a signed number.
fn answer(stack: Stack, bits: u32) -> Result<i32, Raised> {
    stack.push_number(f64::from(bits as i32));
    Ok(1)
}

fn tobit(stack: Stack) -> Result<i32, Raised> {
    answer(stack, bits(stack, 1))
}

fn bnot(stack: Stack) -> Result<i32, Raised> {
    answer(stack, !bits(stack, 1))
}

fn bswap(stack: Stack) -> Result<i32, Raised> {
    answer(stack, bits(stack, 1).swap_bytes())
}

fn fold(stack: Stack, operation: fn(u32, u32) -> u32) -> Result<i32, Raised> {
    let first = bits(stack, 1);
    let all = (2..=stack.top()).fold(first, |all, argument| operation(all, bits(stack, argument)));
    answer(stack, all)
}

fn band(stack: Stack) -> Result<i32, Raised> {
    fold(stack, |a, b| a & b)
}

fn bor(stack: Stack) -> Result<i32, Raised> {
    fold(stack, |a, b| a | b)
}

fn bxor(stack: Stack) -> Result<i32, Raised> {
    fold(stack, |a, b| a ^ b)
}

/// Only the low five bits of the distance count.
fn shift(stack: Stack, operation: fn(u32, u32) -> u32) -> Result<i32, Raised> {
    let (value, distance) = (bits(stack, 1), bits(stack, 2));
    answer(stack, operation(value, distance & 31))
}

fn lshift(stack: Stack) -> Result<i32, Raised> {
    shift(stack, |value, distance| value << distance)
}

fn rshift(stack: Stack) -> Result<i32, Raised> {
    shift(stack, |value, distance| value >> distance)
}

fn arshift(stack: Stack) -> Result<i32, Raised> {
    shift(stack, |value, distance| ((value as i32) >> distance) as u32)
}

fn rol(stack: Stack) -> Result<i32, Raised> {
    shift(stack, u32::rotate_left)
}

fn ror(stack: Stack) -> Result<i32, Raised> {
    shift(stack, u32::rotate_right)
}

/// `bit.tohex(number [, digits])`: a negative number of digits makes capitals.
fn tohex(stack: Stack) -> Result<i32, Raised> {
    let value = bits(stack, 1);
    let digits = if stack.is_none_or_nil(2) { 8 } else { bits(stack, 2) as i32 };
    let alphabet = if digits < 0 { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let len = digits.unsigned_abs().min(8) as usize;
    let mut text = [0; 8];
    for (place, digit) in text[..len].iter_mut().rev().enumerate() {
        *digit = alphabet[(value >> (4 * place) & 15) as usize];
    }
    stack.push_bytes(&text[..len]);
    Ok(1)
}

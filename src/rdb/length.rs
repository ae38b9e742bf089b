//! The first byte of a length, whose upper two bits determine its form.
//!
//! 00: six bits. 01: fourteen bits, big endian. 10: [`LENGTH_32`] or [`LENGTH_64`], then so many bits,
//! big endian. 11: not a length, but that the string is encoded as [`INT_8`], [`INT_16`] or
//! [`INT_32`] (little endian), or [`LZF`].

pub const LONG: u8 = 0b0100_0000;
pub const LENGTH_32: u8 = 0b1000_0000;
pub const LENGTH_64: u8 = 0b1000_0001;
pub const INT_8: u8 = 0b1100_0000;
pub const INT_16: u8 = 0b1100_0001;
pub const INT_32: u8 = 0b1100_0010;
/// The compressed length, the length, and the compressed bytes follow.
pub const LZF: u8 = 0b1100_0011;

/// The greatest length in one byte.
pub const SHORT_LENGTH: u64 = (1 << 6) - 1;
/// The greatest length in two bytes.
pub const LONG_LENGTH: u64 = (1 << 14) - 1;

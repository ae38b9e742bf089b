//! HyperLogLog: an estimate of how many different elements were added. Sans-I/O, on a string's bytes.
//!
//! Clients GET and SET these strings, so the layout is that of Redis, byte for byte:
//!
//! ```text
//! "HYLL" | encoding: 0 dense, 1 sparse | 3 unused bytes | cached count: u64, little-endian | registers
//! ```
//!
//! The cached count's highest bit says that the registers have changed since. An element's hash
//! chooses one of 16384 registers, which holds the longest run of zeros that came so far, plus one.

mod dense;
mod estimate;
mod registers;
mod self_test;
mod sparse;
mod union;
#[cfg(target_arch = "x86_64")]
mod vector;

use std::borrow::Cow;

pub use registers::Registers;
pub use self_test::self_test;
pub use union::Union;

pub const REGISTERS: usize = 1 << INDEX_BITS;

/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = 14;

/// Bits of a hash that the run of zeros is looked for in, with a one behind them.
const RUN_BITS: u32 = u64::BITS - INDEX_BITS;

const HEADER: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING: usize = 4;
const CACHE: std::ops::Range<usize> = 8..16;

/// The flag in the cached count's last byte: the count is stale.
const STALE: u8 = 1 << 7;

/// A HyperLogLog without elements: all registers are zero in two bytes.
pub const EMPTY: &[u8; HEADER + 2] = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff";

/// The bytes of a dense HyperLogLog.
pub type Dense = [u8; HEADER + dense::LEN];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Dense,
    Sparse,
}

/// The registers do not match the header. (A client can write any bytes with SET.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// A register and the least value that an element requires of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub register: usize,
    pub value: u8,
}

impl Claim {
    pub fn of(element: &[u8]) -> Claim {
        let hash = murmur(element, SEED);
        let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros();
        Claim { register: hash as usize % REGISTERS, value: run as u8 + 1 }
    }
}

/// The encoding of a string, if it has the form of a HyperLogLog.
pub fn encoding(bytes: &[u8]) -> Option<Encoding> {
    if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
        return None;
    }
    match bytes[ENCODING] {
        0 => (bytes.len() == size_of::<Dense>()).then_some(Encoding::Dense),
        1 => Some(Encoding::Sparse),
        _ => None,
    }
}

/// The cached count, if it is not stale.
pub fn cached_count(bytes: &[u8]) -> Option<u64> {
    let cache = bytes[CACHE].try_into().expect("the cache is eight bytes");
    Some(u64::from_le_bytes(cache)).filter(|_| bytes[CACHE.end - 1] & STALE == 0)
}

/// Stores a count; one of 2^63 or more is stale at once.
pub fn cache_count(bytes: &mut [u8], count: u64) {
    bytes[CACHE].copy_from_slice(&count.to_le_bytes());
}

pub fn mark_stale(bytes: &mut [u8]) {
    bytes[CACHE.end - 1] |= STALE;
}

/// The estimated count.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupt> {
    match bytes[ENCODING] {
        0 => {
            let mut registers = Registers::new();
            registers.merge(bytes)?;
            Ok(registers.count())
        }
        _ => Ok(estimate::count(&sparse::histogram(&bytes[HEADER..])?)),
    }
}

/// A dense HyperLogLog of these registers, with the header of another.
pub fn dense_of(header: &[u8], packed: &[u8; dense::LEN]) -> Vec<u8> {
    let mut bytes = [&header[..HEADER], packed].concat();
    bytes[ENCODING] = 0;
    bytes
}

/// Replaces all registers of a dense HyperLogLog.
pub fn replace_dense(bytes: &mut [u8], packed: &[u8; dense::LEN]) {
    bytes[HEADER..].copy_from_slice(packed);
}

/// Raises a register of a dense HyperLogLog, if it is lower. Returns whether it was.
pub fn raise_dense(bytes: &mut [u8], claim: Claim) -> bool {
    dense::raise(&mut bytes[HEADER..], claim)
}

/// A position in a sparse HyperLogLog from which a register is searched for: a run, and its first
/// register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    at: usize,
    first: usize,
}

impl Cursor {
    pub fn start() -> Cursor {
        Cursor { at: HEADER, first: 0 }
    }
}

/// Raises a register, if it is lower; borrowed bytes are copied first. Returns whether it was lower.
/// A sparse HyperLogLog becomes dense where it would be longer than `sparse_limit`. The cursor
/// advances to the register: the next claim must be on the same register or on a later one.
pub fn raise(
    bytes: &mut Cow<'_, [u8]>,
    claim: Claim,
    cursor: &mut Cursor,
    sparse_limit: u64,
) -> Result<bool, Corrupt> {
    if bytes[ENCODING] == 0 {
        let has = dense::get(&bytes[HEADER..], claim.register);
        return Ok(has < claim.value && raise_dense(bytes.to_mut(), claim));
    }
    let (before, change) = sparse::find(bytes, claim, *cursor)?;
    *cursor = before;
    let Some(change) = change else { return Ok(false) };
    if change.fits(bytes.len(), sparse_limit) {
        change.apply(bytes.to_mut(), before);
    } else {
        let mut dense = to_dense(bytes)?;
        raise_dense(&mut dense, claim);
        *bytes = Cow::Owned(dense);
    }
    Ok(true)
}

/// The same registers and header in the dense encoding.
pub fn to_dense(bytes: &[u8]) -> Result<Vec<u8>, Corrupt> {
    let mut registers = Registers::new();
    registers.merge(bytes)?;
    Ok(registers.to_dense(bytes))
}

/// The runs of registers of a sparse HyperLogLog in words: `Z:12711 v:2,1 z:5 …`, no more of them
/// than there are registers.
pub fn runs(bytes: &[u8]) -> String {
    let runs = sparse::runs(&bytes[HEADER..]).take(REGISTERS).map(|run| run.to_string());
    runs.collect::<Vec<_>>().join(" ")
}

const SEED: u64 = 0xadc8_3b19;

/// MurmurHash2 for 64-bit machines (Austin Appleby's, in the public domain).
fn murmur(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = (hash ^ word).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}

#[cfg(test)]
mod tests;

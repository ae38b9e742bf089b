//! The envelope of a value in DUMP's payloads: the version of the format behind it, and a checksum of
//! everything before.

use crc_fast::{CrcAlgorithm, checksum};

/// The version that this server writes: Valkey's own since its 9.0.
const VERSION: u16 = 80;

/// The last version that Valkey and Redis have in common. Those between it and [`VERSION`] are of other
/// servers.
const COMMON_VERSION: u16 = 11;

/// Bytes that [`seal`] adds.
pub const SEAL_LEN: usize = size_of::<u16>() + size_of::<u64>();

/// CRC-64 with the polynomial of Jones, which RDB files have.
fn crc64(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Redis, bytes)
}

/// Puts version and checksum behind a value.
pub fn seal(mut value: Vec<u8>) -> Vec<u8> {
    value.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&value);
    value.extend_from_slice(&checksum.to_le_bytes());
    value
}

/// The value in a payload. `None` if the checksum is wrong, or the version; unless `strict`, later
/// versions than this server's are right too. The checksum is looked at only if `checked`.
pub fn open(payload: &[u8], strict: bool, checked: bool) -> Option<&[u8]> {
    let (sealed, checksum) = payload.split_last_chunk()?;
    let (value, version) = sealed.split_last_chunk()?;
    let version = u16::from_le_bytes(*version);
    let is_known = matches!(version, 1..=COMMON_VERSION | VERSION);
    let is_right = is_known || !strict && version > COMMON_VERSION;
    let is_sound = || !checked || crc64(sealed) == u64::from_le_bytes(*checksum);
    (is_right && is_sound()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rdb_files_at_every_length() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        // The reflected polynomial of Jones, bit by bit.
        let slow = |bytes: &[u8]| {
            bytes.iter().fold(0u64, |crc, byte| {
                (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
                    if crc & 1 == 1 { crc >> 1 ^ 0x95ac_9329_ac4b_c9b5 } else { crc >> 1 }
                })
            })
        };
        let bytes: Vec<u8> =
            (0..1000u32).map(|n| (n.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
        for len in (0..300).chain([511, 512, 513, 1000]) {
            assert_eq!(crc64(&bytes[..len]), slow(&bytes[..len]), "{len}");
        }
    }
}

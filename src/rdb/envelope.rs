//! What DUMP puts around a value: the version of the format behind it, and a checksum of all before.

use crc::{CRC_64_REDIS, Crc, Table};

/// The version that this server writes: Valkey's own since its 9.0.
const VERSION: u16 = 80;

/// The last version that Valkey and Redis have in common. Those between it and [`VERSION`] are of other
/// servers.
const COMMON_VERSION: u16 = 11;

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// Puts version and checksum behind a value.
pub fn seal(mut value: Vec<u8>) -> Vec<u8> {
    value.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = CRC.checksum(&value);
    value.extend_from_slice(&checksum.to_le_bytes());
    value
}

/// The value in a payload. `None` if the checksum is wrong, or the version; unless `strict`, later
/// versions than this server's are right too.
pub fn open(payload: &[u8], strict: bool) -> Option<&[u8]> {
    let (sealed, checksum) = payload.split_last_chunk()?;
    let (value, version) = sealed.split_last_chunk()?;
    let version = u16::from_le_bytes(*version);
    let is_known = matches!(version, 1..=COMMON_VERSION | VERSION);
    let is_right = is_known || !strict && version > COMMON_VERSION;
    (is_right && CRC.checksum(sealed) == u64::from_le_bytes(*checksum)).then_some(value)
}

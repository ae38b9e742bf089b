//! A key as the keyspace sees it: its bytes, its cluster slot, its hash.

use memchr::memchr;

use crate::table::hash;

/// Cluster slots: the specification's 2^14.
pub const SLOTS: usize = 1 << 14;

/// CRC16 tables (XMODEM: polynomial 0x1021, initial value 0) for eight bytes at a time. No crate is as
/// fast on short keys: with a key of 6, 10, 16 or 20 bytes this takes 29, 38, 35 and 47 ns, with the
/// `crc` crate's tables for sixteen bytes at a time 44, 77, 31 and 43 ns, and with `crc-fast` 62, 63, 42
/// and 46 ns (a loaded machine with AVX-512; least of seven runs).
///
/// `TABLES[k][b]` is the effect of byte `b` with `k` more bytes after it.
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[k - 1][byte];
            tables[k][byte] = before << 8 ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[7][usize::from(chunk[0] ^ high)]
            ^ TABLES[6][usize::from(chunk[1] ^ low)]
            ^ TABLES[5][usize::from(chunk[2])]
            ^ TABLES[4][usize::from(chunk[3])]
            ^ TABLES[3][usize::from(chunk[4])]
            ^ TABLES[2][usize::from(chunk[5])]
            ^ TABLES[1][usize::from(chunk[6])]
            ^ TABLES[0][usize::from(chunk[7])];
    }
    for &byte in chunks.remainder() {
        crc = crc << 8 ^ TABLES[0][usize::from((crc >> 8) as u8 ^ byte)];
    }
    crc
}

/// The cluster slot of a key: CRC16 of the key, or of what stands between its first `{` and the next
/// `}` if that is not empty (the cluster specification's hash tag).
#[inline]
pub fn slot(key: &[u8]) -> u16 {
    let tagged = match memchr(b'{', key) {
        None => key,
        Some(open) => match memchr(b'}', &key[open + 1..]) {
            None | Some(0) => key,
            Some(len) => &key[open + 1..open + 1 + len],
        },
    };
    crc16(tagged) & (SLOTS - 1) as u16
}

/// A key of the command that is being executed.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    pub hash: u64,
    pub slot: u16,
}

impl<'a> Key<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Key { bytes, hash: hash(bytes), slot: slot(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        // The specification's check value, and what CLUSTER KEYSLOT answers.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"user:1000"), 1649);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") & 16383);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    #[test]
    fn eight_bytes_at_a_time_is_one_byte_at_a_time() {
        let bytes: Vec<u8> = (0..100u32).map(|i| (i * 37) as u8).collect();
        for len in 0..bytes.len() {
            let slow = bytes[..len]
                .iter()
                .fold(0u16, |crc, b| crc << 8 ^ TABLES[0][usize::from((crc >> 8) as u8 ^ b)]);
            assert_eq!(crc16(&bytes[..len]), slow);
        }
    }
}

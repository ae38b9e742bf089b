//! Payloads of RESTORE, of all versions, sound and damaged.

use crc::{CRC_64_REDIS, Crc};

/// One a line: its name, the version of the format, and the value in hexadecimal digits. Those that
/// begin with `redis-` are of the servers that they name, and those that begin with `expired` have
/// fields that have expired; the others show one detail of the format, or one damage.
const LINES: &str = include_str!("payloads.txt");

/// What Valkey takes and this server does not: a value that makes no sense. Valkey finds bytes of the
/// checksum in it, numbers with letters behind them, entries of a stream in no order, and the like.
const REFUSED: &[&str] = &[
    "str-too-long",
    "int8-cut",
    "lzf-len0",
    "zset1-junk2",
    "zset1-hex",
    "zset1-space",
    "zset2-cut",
    "zset-listpack-junk",
    "zset-listpack-long-junk",
    "zset-listpack-hex",
    "last-smaller",
    "last-0",
    "node-ids-descending",
    "node-ids-equal",
    "node-neg-diff",
    "node-neg-seq-diff",
    "node-overlap",
];

/// Packed sorted sets in no order, which stay so in Valkey and are put in order here.
const OUT_OF_ORDER: &[&str] = &[
    "zset-listpack-unsorted",
    "zset-listpack-same-score-unsorted",
    "zset-listpack-long-unsorted",
    "zset-ziplist-unsorted",
];

/// Streams of which XINFO tells what Valkey believes without looking, or of entries that are no more.
const TOLD_OTHERWISE: &[&str] =
    &["entry-id-0-0", "first-wrong", "no-nodes-last-set", "node-all-deleted", "count0"];

/// So are streams of the first version without nodes.
const EMPTY_STREAM_1: &[u8] = &[15, 0];

pub struct Payload {
    pub name: &'static str,
    pub version: u16,
    /// Without version and checksum.
    pub value: Vec<u8>,
}

pub fn all() -> impl Iterator<Item = Payload> {
    LINES.lines().map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("a line has three words");
        let (name, version, digits) = (word(), word(), word());
        let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
        // An empty value is a dash.
        let digits = digits.trim_matches('-').as_bytes().chunks(2);
        let value = digits.map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
        Payload { name, version: version.parse().expect("a version"), value }
    })
}

impl Payload {
    pub fn is_refused(&self) -> bool {
        REFUSED.contains(&self.name)
    }

    pub fn is_out_of_order(&self) -> bool {
        OUT_OF_ORDER.contains(&self.name)
    }

    /// What becomes of it is the same with both servers, to the last detail and at any time.
    pub fn is_certain(&self) -> bool {
        // When what has expired is removed is a matter of chance.
        let expires = self.name.starts_with("expired");
        let is_told_otherwise =
            TOLD_OTHERWISE.contains(&self.name) || self.value.starts_with(EMPTY_STREAM_1);
        !expires && !is_told_otherwise && !self.is_refused() && !self.is_out_of_order()
    }

    /// With version and checksum.
    pub fn sealed(&self) -> Vec<u8> {
        sealed(self.version, &self.value)
    }
}

/// A value with a version and the checksum.
pub fn sealed(version: u16, value: &[u8]) -> Vec<u8> {
    let mut payload = [value, &version.to_le_bytes()].concat();
    let checksum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

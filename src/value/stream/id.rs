//! Ids of stream entries.

use std::fmt;

/// When an entry was added, in milliseconds of Unix time, and which of that millisecond's it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

/// Bytes of the longest id's text: two numbers of twenty digits, and a dash.
const MAX_TEXT: usize = 41;

/// An id as text, without an allocation.
pub struct IdText {
    bytes: [u8; MAX_TEXT],
    len: usize,
}

impl StreamId {
    pub const MIN: StreamId = StreamId::new(0, 0);
    pub const MAX: StreamId = StreamId::new(u64::MAX, u64::MAX);

    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    pub fn is_zero(self) -> bool {
        self == StreamId::MIN
    }

    /// The next greater id, if this is not the greatest.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId::new(self.ms, seq)),
            None => Some(StreamId::new(self.ms.checked_add(1)?, 0)),
        }
    }

    /// The next smaller id, if this is not the smallest.
    pub fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId::new(self.ms, seq)),
            None => Some(StreamId::new(self.ms.checked_sub(1)?, u64::MAX)),
        }
    }

    /// The sixteen bytes that the formats of Valkey keep an id in, ordered as ids are.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.ms) << 64) | u128::from(self.seq)).to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> StreamId {
        let both = u128::from_be_bytes(bytes);
        StreamId::new((both >> 64) as u64, both as u64)
    }

    /// As clients read it: `1526919030474-55`.
    pub fn text(self) -> IdText {
        let mut text = IdText { bytes: [0; MAX_TEXT], len: 0 };
        let mut digits = itoa::Buffer::new();
        text.push(digits.format(self.ms).as_bytes());
        text.push(b"-");
        text.push(digits.format(self.seq).as_bytes());
        text
    }
}

impl IdText {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_carry_over_between_the_parts() {
        let id = StreamId::new;
        assert_eq!(id(1, u64::MAX).next(), Some(id(2, 0)));
        assert_eq!(id(2, 0).previous(), Some(id(1, u64::MAX)));
        assert_eq!(id(1, 1).next().and_then(StreamId::previous), Some(id(1, 1)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
    }

    #[test]
    fn bytes_are_ordered_as_ids_are() {
        let ids = [(0, 0), (0, 1), (0, u64::MAX), (1, 0), (256, 3), (u64::MAX, u64::MAX)];
        let ids = ids.map(|(ms, seq)| StreamId::new(ms, seq));
        assert!(ids.map(StreamId::to_bytes).is_sorted());
        assert_eq!(ids.map(|id| StreamId::from_bytes(id.to_bytes())), ids);
    }

    #[test]
    fn the_longest_text_fits() {
        assert_eq!(StreamId::MAX.text().as_bytes(), StreamId::MAX.to_string().as_bytes());
        assert_eq!(StreamId::new(15, 0).text().as_bytes(), b"15-0");
    }
}

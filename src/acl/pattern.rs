//! Patterns of keys and channels, prepared to be matched quickly.

use bitflags::bitflags;

use crate::glob;

bitflags! {
    /// What may be done with the keys that a pattern matches, or what a command does with a key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyAccess: u8 {
        const READ = 1 << 0;
        const WRITE = 1 << 1;
    }
}

/// A glob pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<[u8]>,
    shape: Shape,
    start: Start,
}

/// The first bytes of each text that a pattern matches, as [`head`] has them, and which of them are certain.
#[derive(Clone, Copy, Debug)]
struct Start {
    head: u64,
    mask: u64,
}

impl Start {
    #[inline]
    fn has(self, head: u64) -> bool {
        head & self.mask == self.head
    }
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Without anything special.
    Literal,
    /// So many literal bytes, then `*`.
    Prefix(usize),
    Other,
}

/// The first eight bytes of a text, those beyond its end 0.
#[inline]
fn head(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => text.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

impl Pattern {
    pub fn new(text: &[u8]) -> Self {
        let prefix = glob::literal_prefix(text);
        let shape = if prefix.len() == text.len() {
            Shape::Literal
        } else if text[prefix.len()..] == *b"*" {
            Shape::Prefix(prefix.len())
        } else {
            Shape::Other
        };
        let mask = match shape {
            Shape::Literal => u64::MAX,
            _ if prefix.len() >= 8 => u64::MAX,
            _ => (1 << (8 * prefix.len())) - 1,
        };
        Pattern { text: text.into(), shape, start: Start { head: head(prefix), mask } }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether it matches `text`, whose [`head`] is given.
    #[inline]
    fn matches(&self, text: &[u8], head: u64) -> bool {
        self.start.has(head) && self.matches_rest(text)
    }

    /// Whether it matches a text that begins as it must.
    #[inline]
    fn matches_rest(&self, text: &[u8]) -> bool {
        match self.shape {
            Shape::Literal => *self.text == *text,
            // No text at all is matched by the empty pattern alone.
            Shape::Prefix(len @ ..=8) => text.len() >= len.max(1),
            Shape::Prefix(len) => text.starts_with(&self.text[..len]),
            Shape::Other => glob::matches(&self.text, text),
        }
    }
}

/// Patterns of keys, each with what it allows.
#[derive(Clone, Debug, Default)]
pub struct KeyPatterns {
    patterns: Vec<(Pattern, KeyAccess)>,
    /// There is one if there are patterns.
    index: Option<Box<Index>>,
}

/// Patterns that an [`Index`] knows.
const INDEXED: usize = u64::BITS as usize;

/// Which patterns may match a text, by that one of its first bytes which tells most of them apart.
#[derive(Clone, Debug)]
struct Index {
    /// Where the byte is in the [`head`], in bits.
    shift: u32,
    /// A bit for each pattern, by the byte.
    candidates: [u64; 256],
}

impl Index {
    fn new(patterns: &[(Pattern, KeyAccess)]) -> Box<Index> {
        let starts: Vec<Start> =
            patterns.iter().take(INDEXED).map(|(pattern, _)| pattern.start).collect();
        let all = (0..8).map(|byte| Index::by(8 * byte, &starts));
        all.min_by_key(|index| index.cost(&starts)).expect("there are eight")
    }

    fn by(shift: u32, starts: &[Start]) -> Box<Index> {
        let mut index = Box::new(Index { shift, candidates: [0; 256] });
        for (byte, candidates) in (0..).zip(&mut index.candidates) {
            for (bit, start) in starts.iter().enumerate() {
                let mask = start.mask & 0xff << shift;
                *candidates |= u64::from(byte << shift & mask == start.head & mask) << bit;
            }
        }
        index
    }

    /// Candidates for the texts of all patterns together.
    fn cost(&self, starts: &[Start]) -> u32 {
        let candidates = |start: &Start| match start.mask >> self.shift & 0xff {
            0 => starts.len() as u32,
            _ => self.candidates(start.head).count_ones(),
        };
        starts.iter().map(candidates).sum()
    }

    #[inline]
    fn candidates(&self, head: u64) -> u64 {
        self.candidates[usize::from((head >> self.shift) as u8)]
    }
}

impl KeyPatterns {
    /// Adds a pattern, or adds to what it allows.
    pub fn add(&mut self, text: &[u8], access: KeyAccess) {
        match self.patterns.iter_mut().find(|(pattern, _)| *pattern.text == *text) {
            Some((_, allowed)) => *allowed |= access,
            None => {
                self.patterns.push((Pattern::new(text), access));
                if self.patterns.len() <= INDEXED {
                    self.index = Some(Index::new(&self.patterns));
                }
            }
        }
    }

    pub fn clear(&mut self) {
        *self = KeyPatterns::default();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, KeyAccess)> {
        self.patterns.iter().map(|(pattern, access)| (pattern, *access))
    }

    /// Whether one of them allows all of `access`, which may be nothing but that the key is named.
    #[inline]
    pub fn allow(&self, key: &[u8], access: KeyAccess) -> bool {
        let Some(index) = &self.index else { return false };
        let head = head(key);
        let mut candidates = index.candidates(head);
        while candidates != 0 {
            let (pattern, allowed) = &self.patterns[candidates.trailing_zeros() as usize];
            candidates &= candidates - 1;
            if pattern.matches(key, head) && allowed.contains(access) {
                return true;
            }
        }
        self.patterns.len() > INDEXED && self.rest_allow(key, head, access)
    }

    #[cold]
    fn rest_allow(&self, key: &[u8], head: u64, access: KeyAccess) -> bool {
        let mut rest = self.patterns[INDEXED..].iter();
        rest.any(|(pattern, allowed)| pattern.matches(key, head) && allowed.contains(access))
    }
}

/// Patterns of channels.
#[derive(Clone, Debug, Default)]
pub struct ChannelPatterns(Vec<Pattern>);

impl ChannelPatterns {
    pub fn add(&mut self, text: &[u8]) {
        if !self.0.iter().any(|pattern| *pattern.text == *text) {
            self.0.push(Pattern::new(text));
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }

    /// Whether one of them matches the channel. A pattern to subscribe to must be one of them.
    pub fn allow(&self, channel: &[u8], is_pattern: bool) -> bool {
        let head = head(channel);
        self.0.iter().any(|pattern| {
            if is_pattern { *pattern.text == *channel } else { pattern.matches(channel, head) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prepared_patterns_match_what_the_glob_does() {
        let patterns: [&[u8]; 12] = [
            b"",
            b"*",
            b"a",
            b"a*",
            b"abcdefgh",
            b"abcdefgh*",
            b"abcdefghij*",
            b"a?c*",
            b"[ab]*",
            b"\\a*",
            b"a**",
            b"abcdefg\x00*",
        ];
        let texts: [&[u8]; 12] = [
            b"",
            b"a",
            b"b",
            b"ab",
            b"abc",
            b"abcdefg",
            b"abcdefgh",
            b"abcdefghi",
            b"abcdefghij",
            b"abcdefghijk",
            b"a\x00",
            b"abcdefg\x00h",
        ];
        for pattern in patterns {
            for text in texts {
                let prepared = Pattern::new(pattern).matches(text, head(text));
                assert_eq!(prepared, glob::matches(pattern, text), "{pattern:?} {text:?}");
            }
        }
    }

    #[test]
    fn any_number_of_patterns_allows_what_one_of_them_does() {
        let texts: Vec<String> = (0..100)
            .map(|n| match n % 5 {
                0 => format!("app:{n}:*"),
                1 => format!("app:{n}"),
                2 => format!("*:{n}"),
                3 => format!("{n}*"),
                _ => format!("a?p{n}*"),
            })
            .collect();
        let mut patterns = KeyPatterns::default();
        let keys: Vec<String> = (0..100)
            .flat_map(|n| {
                [
                    format!("app:{n}:x"),
                    format!("app:{n}"),
                    format!("b:{n}"),
                    format!("{n}"),
                    format!("aap{n}"),
                ]
            })
            .collect();
        for count in 0..=texts.len() {
            for key in &keys {
                let expected = texts[..count]
                    .iter()
                    .any(|text| glob::matches(text.as_bytes(), key.as_bytes()));
                assert_eq!(
                    patterns.allow(key.as_bytes(), KeyAccess::READ),
                    expected,
                    "{count} {key}"
                );
            }
            texts
                .get(count)
                .iter()
                .for_each(|text| patterns.add(text.as_bytes(), KeyAccess::all()));
        }
    }

    #[test]
    fn a_key_needs_one_pattern_that_allows_everything() {
        let mut patterns = KeyPatterns::default();
        patterns.add(b"a*", KeyAccess::READ);
        patterns.add(b"*b", KeyAccess::WRITE);
        assert!(patterns.allow(b"ab", KeyAccess::READ) && patterns.allow(b"ab", KeyAccess::WRITE));
        assert!(!patterns.allow(b"ab", KeyAccess::all()));
        assert!(
            patterns.allow(b"b", KeyAccess::empty()) && !patterns.allow(b"c", KeyAccess::empty())
        );
        patterns.add(b"a*", KeyAccess::WRITE);
        assert!(patterns.allow(b"ab", KeyAccess::all()));
        assert_eq!(patterns.iter().count(), 2);
    }
}

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
    /// The first bytes of each matching text, as [`head`] has them, and which of them are certain.
    head: u64,
    mask: u64,
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
        Pattern { text: text.into(), shape, head: head(prefix), mask }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether it matches `text`, whose [`head`] is given.
    #[inline]
    fn matches(&self, text: &[u8], head: u64) -> bool {
        if head & self.mask != self.head {
            return false;
        }
        match self.shape {
            Shape::Literal => *self.text == *text,
            // No text at all is matched by the empty pattern alone.
            Shape::Prefix(len) => text.starts_with(&self.text[..len]) && !text.is_empty(),
            Shape::Other => glob::matches(&self.text, text),
        }
    }
}

/// Patterns of keys, each with what it allows.
#[derive(Clone, Debug, Default)]
pub struct KeyPatterns(Vec<(Pattern, KeyAccess)>);

impl KeyPatterns {
    /// Adds a pattern, or adds to what it allows.
    pub fn add(&mut self, text: &[u8], access: KeyAccess) {
        match self.0.iter_mut().find(|(pattern, _)| *pattern.text == *text) {
            Some((_, allowed)) => *allowed |= access,
            None => self.0.push((Pattern::new(text), access)),
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Pattern, KeyAccess)> {
        self.0.iter().map(|(pattern, access)| (pattern, *access))
    }

    /// Whether one of them allows all of `access`, which may be nothing but that the key is named.
    #[inline]
    pub fn allow(&self, key: &[u8], access: KeyAccess) -> bool {
        let head = head(key);
        self.0
            .iter()
            .any(|(pattern, allowed)| pattern.matches(key, head) && allowed.contains(access))
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
